"""The hash chain that makes a state auditable: one link per change, bound to the one before.

A link is an HMAC-SHA256 under a key that the state file holds. It covers the previous link, the
plans, the request, its time, the rows, and the answers. After the key is deleted, the digests
reveal nothing about a row: everything that could be hashed for comparison is keyed, and each digest
has a mask of its own, so that not even equal rows can be recognized. When a state drops old
changes, it keeps their links, and one HMAC over them: the seal.
"""

from __future__ import annotations

import hmac
import json
import secrets
import struct
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from functools import lru_cache
from hashlib import blake2b
from itertools import pairwise
from typing import Any

import numpy as np
from fastfeat_kernels.records import dataclass
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
    ChangeResults,
    Entry,
    Settings,
    StateChange,
    StoredRow,
)

ArtifactDigests = Mapping[str, bytes]
"""A dict of plan name to the digest of the fitted plan."""

KEY_BYTES = 32
BEGIN = bytes(N_BYTES)
"""Stands for the previous link in the first link of a state."""

FORMAT = 1
TOLD = ("kind", "name", "source", "first offset", "end offset", "time", "artifact")
"""Names of the fields of a change that its link covers, besides rows and results."""
FEATURES, KEPT = "features of ", "kept"
"""Labels of the tables of a change's results: features of a plan, and stored window results."""

_TOLD_BYTES = 4
_HEAD = struct.Struct("<B3xIIIII")
_N_TOLD = _TOLD_BYTES * len(TOLD)
_BASE = StateChange("update", pa.table({}), "a whole state")
"""Stand-in for a change in the link of a whole state; no real "update" has a name."""


@dataclass(frozen=True, slots=True)
class Link:
    """The hash of one change in the chain, and digests that locate a difference.

    Args:
        digest: The hash itself, which the next link covers; 32 bytes.
        before: Hash of the change before; 32 bytes.
        told: Short hashes of the fields in `TOLD`, 4 bytes each; they show which field was altered.
        inputs: Digest of the rows of the change.
        outputs: Digest of the features, and of the window results stored beside the rows.
        stored: One bit per row: whether it became a row of the log.
    """

    digest: bytes
    before: bytes
    told: bytes
    inputs: Digest
    outputs: Digest
    stored: bytes

    def noted(self) -> bytes:
        """Return everything but `digest` as bytes, for the file.

        The length is 148 bytes, plus 9 per row and 8 per column.
        """
        both = (self.inputs, self.outputs)
        sizes = [len(part) for one in both for part in (one.columns, one.rows)]
        parts = [part for one in both for part in (one.whole, one.columns, one.rows)]
        head = _HEAD.pack(FORMAT, *sizes, len(self.stored))
        return b"".join([head, self.before, self.told, *parts, self.stored])


def link_of(digest: bytes, noted: bytes) -> Link:
    """Return a link from `Link.digest` and the result of `Link.noted`.

    Raises `StateError` if they are truncated, altered, or from another version.
    """
    if len(digest) != N_BYTES or len(noted) < _HEAD.size:
        raise StateError(
            "the state was truncated or altered: one of its audit links is missing or truncated"
        )
    version, *sizes = _HEAD.unpack_from(noted)
    if version != FORMAT:
        raise StateError(
            f"an audit link of the state has format {version}, which this version of fastfeat does "
            "not know. Update fastfeat"
        )
    lengths = [N_BYTES, _N_TOLD, N_BYTES, *sizes[:2], N_BYTES, *sizes[2:]]
    if len(noted) != _HEAD.size + sum(lengths):
        raise StateError(
            f"the state was truncated or altered: one of its audit links has {len(noted)} bytes "
            f"instead of {_HEAD.size + sum(lengths)}"
        )
    ends = np.cumsum([_HEAD.size, *lengths]).tolist()
    before, told, *digests, stored = (noted[at:end] for at, end in pairwise(ends))
    return Link(digest, before, told, Digest(*digests[:3]), Digest(*digests[3:]), stored)


def new_key() -> bytes:
    """Return a random key of 32 bytes for the chain of a new state."""
    return secrets.token_bytes(KEY_BYTES)


@dataclass(frozen=True, slots=True)
class Chain:
    """The chain up to one link, from which the next link is computed; immutable.

    Args:
        key: Key of the state, 32 bytes.
        head: Hash of the last link; `BEGIN` if there is none.

    Raises:
        StateError: A length is wrong.
    """

    key: bytes
    head: bytes = BEGIN

    def __post_init__(self) -> None:
        """Check the lengths of the key and the hash."""
        if len(self.key) != KEY_BYTES or len(self.head) != N_BYTES:
            raise StateError(
                f"the state was altered: its audit needs a key of {KEY_BYTES} bytes and a link of "
                f"{N_BYTES} bytes, got {len(self.key)} and {len(self.head)} bytes"
            )

    def link(self, entry: Entry, artifacts: ArtifactDigests) -> Link:
        """Return the link of the next change; it does not change this object, see `after`.

        `artifacts` has the digest of each plan that answered; for a change of plans, of each new
        one.
        """
        change, applied = entry.change, entry.applied
        outputs = self.digest(answered_tables(applied), len(applied.stored), "outputs")
        stored = np.packbits(applied.stored).tobytes()
        return self._link(_fields(change, artifacts), self._inputs(change), outputs, stored)

    def asked(self, change: StateChange, artifacts: ArtifactDigests) -> Link:
        """Return the link that a change would have without its results.

        Before a replay applies the change, it compares the fields and rows with this link.
        """
        outputs = Digest(b"", b"", b"")
        return self._link(_fields(change, artifacts), self._inputs(change), outputs, b"")

    def base(
        self, base: Base, settings: Settings, artifacts: ArtifactDigests, past: bytes = b""
    ) -> Link:
        """Return the link of a whole state that replaces the changes before it.

        `past` is the last seal of those changes, see `seal_of`; empty if there is none.
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

    def _inputs(self, change: StateChange) -> Digest:
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
        """Return the chain that ends with `link`."""
        return Chain(self.key, link.digest)

    def digest(self, tables: Mapping[str, Table | StoredRow], n_rows: int, what: str) -> Digest:
        """Return a digest of tables with equal numbers of rows, for use in the next link.

        `what` names its use, since each use has its own key: "inputs", "outputs", or "table" and a
        name.
        """
        return digest_of(tables, n_rows, _secret(self.key), self._once(what.encode()))

    def what_differs(
        self, noted: Digest, found: Digest, what: str
    ) -> tuple[int | None, int | None]:
        """Return the first row and the first column in which two digests for the next link differ.

        Either is None if it is not known. `what` names the use of the digests, see `digest`.
        """
        return what_differs(noted, found, self._once(what.encode()))

    def _once(self, what: bytes) -> bytes:
        """Return a key for one use in the next link alone."""
        return hmac.digest(self.key, b"once" + self.head + what, "sha256")


def _fields(change: StateChange, artifacts: ArtifactDigests) -> list[bytes]:
    """Return the fields of a change as bytes, in the order of `TOLD`."""
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


def find_differing_fields(one: Link, other: Link) -> list[str]:
    """Return the names in `TOLD` of the fields that differ between two links.

    Both must follow the same link.
    """
    places = range(0, _N_TOLD, _TOLD_BYTES)
    return [
        name
        for name, k in zip(TOLD, places, strict=True)
        if one.told[k : k + _TOLD_BYTES] != other.told[k : k + _TOLD_BYTES]
    ]


def answered_tables(applied: ChangeResults) -> dict[str, Table | StoredRow]:
    """Return the results of a change by label: features of each plan, and stored window results."""
    tables = {f"{FEATURES}{plan}": features for plan, features in applied.features.items()}
    if applied.kept and any(isinstance(features, StoredRow) for features in tables.values()):
        return {**tables, KEPT: _stored_row(applied.kept)}
    kept = {name: _of_every_row(column, applied.stored) for name, column in applied.kept.items()}
    return {**tables, **({KEPT: pa.table(kept)} if kept else {})}


def _stored_row(columns: Mapping[str, Any]) -> StoredRow:
    """Return columns with one value each as one row in stored form."""
    schema = _schema_of(tuple(columns), tuple(column.type for column in columns.values()))
    scalars = [column[0] for column in columns.values()]
    return StoredRow(schema, [getattr(one, "value", one.as_py()) for one in scalars])


@lru_cache(maxsize=64)
def _schema_of(names: tuple[str, ...], types: tuple[DataType, ...]) -> Schema:
    return pa.schema(list(zip(names, types, strict=True)))


def _of_every_row(column: Any, stored: NDArray[np.bool_]) -> Any:
    """Return a column of the rows that the state took, with nulls inserted for all other rows."""
    if len(column) == len(stored):
        return column
    places = np.cumsum(stored) - 1
    return column.take(pa.array(places, mask=~stored))


def artifacts_of(plans: Mapping[str, Fitted]) -> dict[str, bytes]:
    """Return a dict of plan name to the fitted plan's digest; equal plans have equal digests."""
    return {name: fitted_digest(fitted) for name, fitted in plans.items()}


@dataclass(frozen=True, slots=True)
class Audit:
    """Computes the links and seals that a journal writes, under the key of a state.

    Args:
        key: Key of the state.
        artifacts: Plan name to the digest of the current plan.
    """

    key: bytes
    artifacts: ArtifactDigests

    def link(self, before: bytes, entry: Entry) -> tuple[bytes, bytes]:
        """Return the hash of an entry after the hash `before`, and the bytes of `Link.noted`."""
        made = Chain(self.key, before or BEGIN).link(entry, self.artifacts)
        return made.digest, made.noted()

    def base(self, before: bytes, base: Base, settings: Settings, past: bytes = b"") -> Links:
        """Return the hashes of a whole state after the hash `before`; see `Chain.base`."""
        made = Chain(self.key, before or BEGIN).base(base, settings, self.artifacts, past)
        return Links(before, made.digest, made.noted())

    def seal(self, before: bytes, facts: bytes, links: bytes) -> bytes:
        """Return a seal under the key of the state; see `seal_of`."""
        return seal_of(self.key, before, facts, links)


def seal_of(key: bytes, before: bytes, facts: bytes, links: bytes) -> bytes:
    """Return the seal of replaced changes: an HMAC over their links and the seal before it.

    Args:
        key: Key of the state.
        before: Seal of the changes replaced before them; empty for none.
        facts: Other facts about the changes.
        links: Their links, 32 bytes each.
    """
    return keyed(key, [b"past", before, facts, links])
