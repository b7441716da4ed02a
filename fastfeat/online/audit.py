"""The chain of links that makes a state auditable: a link a change, each bound to the one before.

A link is an HMAC-SHA256 under a key that stands in the state, over the link before it, the plans,
what was asked for, when and by which rows, and what was answered. Whoever deletes the key leaves
digests that say nothing of a row: what could be hashed to be compared is keyed, and each digest is
covered by a stream of its own, so that not even equal rows are seen to be equal.
"""

from __future__ import annotations

import secrets
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from itertools import pairwise

import numpy as np

from fastfeat.errors import StateError
from fastfeat.io.arrow import Table, pa
from fastfeat.online.changes import Applied, Change
from fastfeat.online.digests import (
    N_BYTES,
    Digest,
    digest_of,
    keyed,
    what_differs,
)

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


@dataclass(frozen=True, slots=True)
class Entry:
    """A change of a state, what it gave, and by which plans.

    Args:
        change: what was asked for.
        applied: what it gave.
        artifacts: of each plan by its name the digest, as `artifact.fitted_digest` gives it.
    """

    change: Change
    applied: Applied
    artifacts: Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class Link:
    """What is noted of a change.

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

    def to_bytes(self) -> bytes:
        """Return the link as it is stored: 17 bytes a row, 8 a column, and 180."""
        both = (self.inputs, self.outputs)
        sizes = [len(part) for one in both for part in (one.columns, one.rows)]
        parts = [part for one in both for part in (one.whole, one.columns, one.rows)]
        head = _HEAD.pack(FORMAT, *sizes, len(self.stored))
        return b"".join([head, self.digest, self.before, self.told, *parts, self.stored])


def link_of(content: bytes) -> Link:
    """Return the link that `Link.to_bytes` gave.

    Raises:
        StateError: it is truncated, altered, or of another version.
    """
    if len(content) < _HEAD.size:
        raise StateError("a link of the audit is truncated: it has no head")
    version, *sizes = _HEAD.unpack_from(content)
    if version != FORMAT:
        raise StateError(f"a link of the audit has format {version}. Update fastfeat")
    lengths = [N_BYTES, N_BYTES, _N_TOLD, N_BYTES, *sizes[:2], N_BYTES, *sizes[2:]]
    if len(content) != _HEAD.size + sum(lengths):
        raise StateError(
            f"a link of the audit has {len(content)} bytes, not {_HEAD.size + sum(lengths)}: it "
            "is truncated or altered"
        )
    ends = np.cumsum([_HEAD.size, *lengths]).tolist()
    digest, before, told, *digests, stored = (content[at:end] for at, end in pairwise(ends))
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

    def link(self, entry: Entry) -> Link:
        """Return the link of the next change; `after` gives the chain that has it."""
        rows, applied = entry.change.rows, entry.applied
        inputs = self.digest({"": rows}, rows.num_rows, "inputs")
        outputs = self.digest(given(applied), len(applied.stored), "outputs")
        stored, fields, once = np.packbits(applied.stored).tobytes(), _fields(entry), self._once("")
        told = b"".join(blake2b(t, key=once, digest_size=_TOLD_BYTES).digest() for t in fields)
        parts = [part for one in (inputs, outputs) for part in (one.whole, one.columns, one.rows)]
        digest = keyed(self.key, [b"link", self.head, *fields, *parts, told, stored])
        return Link(digest, self.head, told, inputs, outputs, stored)

    def after(self, link: Link) -> Chain:
        """Return the chain with a link more."""
        return Chain(self.key, link.digest)

    def digest(self, tables: Mapping[str, Table], n_rows: int, what: str) -> Digest:
        """Return the digest of tables, as the next link holds it.

        Args:
            tables: whose rows stand beside each other, by what tells their columns apart.
            n_rows: of each.
            what: "inputs" or "outputs".
        """
        return digest_of(tables, n_rows, _secret(self.key), self._once(what))

    def what_differs(
        self, noted: Digest, found: Digest, what: str
    ) -> tuple[int | None, int | None]:
        """Return the first row and column that differ between digests of the next link."""
        return what_differs(noted, found, self._once(what))

    def _once(self, what: str) -> bytes:
        """Return a key that digests of the next link alone have."""
        return keyed(self.key, [b"once", self.head, what.encode()])


def _fields(entry: Entry) -> list[bytes]:
    """Return what is told of a change beside its rows, in the order of `TOLD`."""
    change = entry.change
    plans = [
        part
        for name in sorted(entry.artifacts)
        for part in (len(name).to_bytes(8, "little"), name.encode(), entry.artifacts[name])
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


def told_that_differ(one: Link, other: Link) -> list[str]:
    """Return which of `TOLD` two links after one link were not told alike."""
    places = range(0, _N_TOLD, _TOLD_BYTES)
    return [
        name
        for name, k in zip(TOLD, places, strict=True)
        if one.told[k : k + _TOLD_BYTES] != other.told[k : k + _TOLD_BYTES]
    ]


def given(applied: Applied) -> dict[str, Table]:
    """Return what a change gave as tables: of each plan, and what is kept beside rows."""
    tables = {f"{FEATURES}{plan}": features for plan, features in applied.features.items()}
    if applied.kept:
        tables[KEPT] = pa.table(dict(applied.kept))
    return tables
