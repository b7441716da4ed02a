"""The chain of links that makes a state auditable: a link a change, each bound to the one before.

A link is an HMAC-SHA256 under a key that stands in the state, over the link before it, the plans,
what was asked for, when and by which rows, and what was answered. Whoever deletes the key leaves
digests that say nothing of a row: what could be hashed to be compared is keyed, and each digest is
covered by a stream of its own, so that not even equal rows are seen to be equal.
"""

from __future__ import annotations

import hmac
import json
import secrets
import struct
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from hashlib import blake2b
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastfeat.errors import StateError
from fastfeat.execute.fitted import Fitted
from fastfeat.io.arrow import DataType, Schema, Table, pa
from fastfeat.keep.artifact import fitted_digest
from fastfeat.live.audit.column_words import keyed
from fastfeat.live.audit.digests import N_BYTES, Digest, digest_of, what_differs
from fastfeat.live.audit.row_digest import has_row_digest
from fastfeat.live.file.entries import Links
from fastfeat.live.state.changes import (
    Base,
    Change,
    ChangeResults,
    Entry,
    Settings,
    StoredRow,
)

Artifacts = Mapping[str, bytes]
"""Of each plan by its name the digest."""

KEY_BYTES = 32
BEGIN = bytes(N_BYTES)
"""What stands before the first link of a state."""

FORMAT = 1
TOLD = ("kind", "name", "source", "first offset", "end offset", "time", "artifact")
"""What is told of a change beside its rows."""
FEATURES, KEPT = "features of ", "kept"
"""What tells the tables apart that a change gives."""

_TOLD_BYTES = 4
_HEAD = struct.Struct("<B3xIIIII")
_N_TOLD = _TOLD_BYTES * len(TOLD)
_BASE = Change("update", pa.table({}), "a whole state")
"""What is told of one: no update has a name."""


@dataclass(frozen=True, slots=True)
class Link:
    """The digests that are noted of a change.

    Args:
        digest: the link itself, which the next one holds; 32 bytes.
        before: the link before it.
        told: of each of `TOLD` 4 bytes, which say what was changed where the link does not fit.
        inputs: of the rows of the change.
        outputs: of the features, and of what is kept beside the rows.
        stored: which of the rows were new rows of the log, a bit each.
    """

    digest: bytes
    before: bytes
    told: bytes
    inputs: Digest
    outputs: Digest
    stored: bytes

    def noted(self) -> bytes:
        """Return the bytes that are stored beside `digest`: 9 a row, 8 a column, and 148."""
        both = (self.inputs, self.outputs)
        sizes = [len(part) for one in both for part in (one.columns, one.rows)]
        parts = [part for one in both for part in (one.whole, one.columns, one.rows)]
        head = _HEAD.pack(FORMAT, *sizes, len(self.stored))
        return b"".join([head, self.before, self.told, *parts, self.stored])


def link_of(digest: bytes, noted: bytes) -> Link:
    """Return a link as it was stored.

    Args:
        digest: `Link.digest`.
        noted: what `Link.noted` gave.

    Raises:
        StateError: they are truncated, altered, or of another version.
    """
    if len(digest) != N_BYTES or len(noted) < _HEAD.size:
        raise StateError("its link of the audit is missing or truncated")
    version, *sizes = _HEAD.unpack_from(noted)
    if version != FORMAT:
        raise StateError(f"its link of the audit has format {version}. Update fastfeat")
    lengths = [N_BYTES, _N_TOLD, N_BYTES, *sizes[:2], N_BYTES, *sizes[2:]]
    if len(noted) != _HEAD.size + sum(lengths):
        raise StateError(
            f"its link of the audit has {len(noted)} bytes, not {_HEAD.size + sum(lengths)}: it is "
            "truncated or altered"
        )
    ends = np.cumsum([_HEAD.size, *lengths]).tolist()
    before, told, *digests, stored = (noted[at:end] for at, end in pairwise(ends))
    return Link(digest, before, told, Digest(*digests[:3]), Digest(*digests[3:]), stored)


def new_key() -> bytes:
    """Return a key for the chain of a new state."""
    return secrets.token_bytes(KEY_BYTES)


@dataclass(frozen=True, slots=True)
class Chain:
    """A chain as far as it goes: what the next link is made with. It is never changed.

    Args:
        key: of the state, 32 bytes.
        head: the last link; `BEGIN` where there is none.

    Raises:
        StateError: either has another length.
    """

    key: bytes
    head: bytes = BEGIN

    def __post_init__(self) -> None:
        """Check the lengths."""
        if len(self.key) != KEY_BYTES or len(self.head) != N_BYTES:
            raise StateError(
                f"the audit needs a key of {KEY_BYTES} bytes and a link of {N_BYTES}, got "
                f"{len(self.key)} and {len(self.head)}: the state is altered"
            )

    def link(self, entry: Entry, artifacts: Artifacts) -> Link:
        """Return the link of the next change; `after` gives the chain that has it.

        Args:
            entry: the change, and what it gave.
            artifacts: of each plan that answered; of a change of plans, of each new one.
        """
        change, applied = entry.change, entry.applied
        outputs = self.digest(answered_tables(applied), len(applied.stored), "outputs")
        stored = np.packbits(applied.stored).tobytes()
        return self._link(_fields(change, artifacts), self._inputs(change), outputs, stored)

    def asked(self, change: Change, artifacts: Artifacts) -> Link:
        """Return the link of a change as far as it is known before it is applied."""
        outputs = Digest(b"", b"", b"")
        return self._link(_fields(change, artifacts), self._inputs(change), outputs, b"")

    def base(self, base: Base, settings: Settings, artifacts: Artifacts, past: bytes = b"") -> Link:
        """Return the link of a whole state, which takes the place of the changes before it.

        Args:
            base: the state.
            settings: of it.
            artifacts: of each plan.
            past: the last seal of the changes before it, see `seal`; empty where there is none.
        """
        rows = pa.table({}) if base.rows is None else base.rows
        facts = {"offsets": dict(base.offsets), "swept": list(base.swept), **asdict(settings)}
        facts |= {"past": past.hex()} if past else {}
        tables = [
            part
            for name in sorted(base.tables)
            for part in (name.encode(), self._whole(name, base.tables[name]))
        ]
        told = json.dumps(facts, sort_keys=True).encode()
        beside = Digest(keyed(self._once(b"tables"), [told, *tables]), b"", b"")
        return self._link(
            _fields(_BASE, artifacts), self._inputs(replace(_BASE, rows=rows)), beside, b""
        )

    def _inputs(self, change: Change) -> Digest:
        row = change.row
        if row is not None and has_row_digest(row.schema):
            return self.digest({"": row}, 1, "inputs")
        return self.digest({"": change.rows}, change.rows.num_rows, "inputs")

    def _whole(self, name: str, table: Table) -> bytes:
        return self.digest({"": table}, table.num_rows, f"table {name}").whole

    def _link(
        self, fields: Sequence[bytes], inputs: Digest, outputs: Digest, stored: bytes
    ) -> Link:
        once = self._once(b"told")
        told = b"".join([blake2b(t, key=once, digest_size=_TOLD_BYTES).digest() for t in fields])
        parts = [part for one in (inputs, outputs) for part in (one.whole, one.columns, one.rows)]
        digest = keyed(self.key, [b"link", self.head, *fields, *parts, told, stored])
        return Link(digest, self.head, told, inputs, outputs, stored)

    def after(self, link: Link) -> Chain:
        """Return the chain with a link more."""
        return Chain(self.key, link.digest)

    def digest(self, tables: Mapping[str, Table | StoredRow], n_rows: int, what: str) -> Digest:
        """Return the digest of tables, as the next link holds it.

        Args:
            tables: whose rows stand beside each other, by what tells their columns apart.
            n_rows: of each.
            what: "inputs" or "outputs".
        """
        return digest_of(tables, n_rows, _secret(self.key), self._once(what.encode()))

    def what_differs(
        self, noted: Digest, found: Digest, what: str
    ) -> tuple[int | None, int | None]:
        """Return the first row and column that differ between digests of the next link."""
        return what_differs(noted, found, self._once(what.encode()))

    def _once(self, what: bytes) -> bytes:
        """Return a key that one digest of the next link alone has."""
        return hmac.digest(self.key, b"once" + self.head + what, "sha256")


def _fields(change: Change, artifacts: Artifacts) -> list[bytes]:
    """Return the facts of a change beside its rows, in the order of `TOLD`."""
    plans = [
        part
        for name in sorted(artifacts)
        for part in (len(name).to_bytes(8, "little"), name.encode(), artifacts[name])
    ]
    numbers = (change.first, change.end, change.time_ns)
    return [
        *(text.encode() for text in (change.kind, change.name, change.source)),
        *(n.to_bytes(16, "little", signed=True) for n in numbers),
        b"".join(plans),
    ]


@lru_cache(maxsize=8)
def _secret(key: bytes) -> bytes:
    return keyed(key, [b"words"])


def differing_texts(one: Link, other: Link) -> list[str]:
    """Return the names of `TOLD` by which two links after one link differ."""
    places = range(0, _N_TOLD, _TOLD_BYTES)
    return [
        name
        for name, k in zip(TOLD, places, strict=True)
        if one.told[k : k + _TOLD_BYTES] != other.told[k : k + _TOLD_BYTES]
    ]


def answered_tables(applied: ChangeResults) -> dict[str, Table | StoredRow]:
    """Return the tables that a change gave: features of each plan, and what is kept beside rows."""
    tables = {f"{FEATURES}{plan}": features for plan, features in applied.features.items()}
    if applied.kept and any(isinstance(features, StoredRow) for features in tables.values()):
        return {**tables, KEPT: _stored_row(applied.kept)}
    kept = {name: _of_every_row(column, applied.stored) for name, column in applied.kept.items()}
    return {**tables, **({KEPT: pa.table(kept)} if kept else {})}


def _stored_row(columns: Mapping[str, Any]) -> StoredRow:
    """Return columns of one value as a row."""
    schema = _schema_of(tuple(columns), tuple(column.type for column in columns.values()))
    scalars = [column[0] for column in columns.values()]
    return StoredRow(schema, [getattr(one, "value", one.as_py()) for one in scalars])


@lru_cache(maxsize=64)
def _schema_of(names: tuple[str, ...], types: tuple[DataType, ...]) -> Schema:
    return pa.schema(list(zip(names, types, strict=True)))


def _of_every_row(column: Any, stored: NDArray[np.bool_]) -> Any:
    """Return a column that may be one of the stored rows alone as one of every row."""
    if len(column) == len(stored):
        return column
    places = np.cumsum(stored) - 1
    return column.take(pa.array(places, mask=~stored))


def artifacts_of(plans: Mapping[str, Fitted]) -> dict[str, bytes]:
    """Return the digest of each plan, by name: equal plans have equal ones."""
    return {name: fitted_digest(fitted) for name, fitted in plans.items()}


@dataclass(frozen=True, slots=True)
class Audit:
    """The key and the artifacts of which the links of a state are made, as its file stores them.

    Args:
        key: of the state.
        artifacts: of each plan that is asked.
    """

    key: bytes
    artifacts: Artifacts

    def link(self, before: bytes, entry: Entry) -> tuple[bytes, bytes]:
        """Return the link of an entry, and what is noted beside it, after the one before it."""
        made = Chain(self.key, before or BEGIN).link(entry, self.artifacts)
        return made.digest, made.noted()

    def base(self, before: bytes, base: Base, settings: Settings, past: bytes = b"") -> Links:
        """Return the links of a whole state after the link before it; see `Chain.base`."""
        made = Chain(self.key, before or BEGIN).base(base, settings, self.artifacts, past)
        return Links(before, made.digest, made.noted())

    def seal(self, before: bytes, facts: bytes, links: bytes) -> bytes:
        """Return the seal of changes that are no longer there; see `seal_of`."""
        return seal_of(self.key, before, facts, links)


def seal_of(key: bytes, before: bytes, facts: bytes, links: bytes) -> bytes:
    """Return the seal of changes of which the links alone are kept.

    Args:
        key: of the state.
        before: the seal of those before them; empty for none.
        facts: what else is kept of them.
        links: their links.
    """
    return keyed(key, [b"past", before, facts, links])
