"""The pasts of a file: records of changes that whole states have replaced, with their hashes.

When a whole state (a base) replaces the changes before it, one row of the table `links` records
them: their numbers and the time of replacement as JSON (the facts), and the audit hash of each
change (its link, 32 bytes). The seal of a row is an HMAC over the row and the seal of the row
before it, under the key of the audit. A base is bound to the last seal, so that no row can be
altered or left out.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Mapping
from typing import Any, cast

from fastfeat_kernels.records import dataclass

from fastfeat.errors import StateError
from fastfeat.live.state.changes import WITHOUT_ROWS

N_BYTES = 32
"""Number of bytes of a link and of a seal."""
_NUMBERS = ("first", "last", "n_rows", "replaced_ns")
SealFunction = Callable[[bytes, bytes, bytes], bytes]
"""Function that returns a seal, given the seal before it, the facts and the links."""


@dataclass(frozen=True, slots=True)
class SealedChanges:
    """The record of the changes that one base has replaced.

    Args:
        first: Number of the base that these changes followed, which is the number of the last
            change before them.
        last: Number of the last of these changes.
        n_rows: Total number of rows in these changes.
        replaced_ns: Time of replacement by this machine's clock, in nanoseconds since 1970.
        facts: The fields above as JSON, which the seal covers.
        links: Hash of the base that they followed, then of each change; 32 bytes each.
        seal: HMAC of the facts, the links and the seal of the past before.
    """

    first: int
    last: int
    n_rows: int
    replaced_ns: int
    facts: bytes
    links: bytes
    seal: bytes

    @property
    def n_changes(self) -> int:
        """The number of replaced changes."""
        return self.last - self.first

    def has(self, link: bytes) -> bool:
        """Return whether one of the replaced changes, or the base before them, has this hash."""
        at = self.links.find(link)
        while at % N_BYTES and at >= 0:
            at = self.links.find(link, at + 1)
        return at >= 0

    def link_of(self, seq: int) -> bytes:
        """Return the hash of the change number `seq`, or, for `first`, of the base before them."""
        begin = len(self.links) - N_BYTES * (self.last - seq + 1)
        return self.links[begin : begin + N_BYTES]


def seal_changes(
    begin: int,
    links: Iterable[bytes],
    changes: Iterable[tuple[str, bytes, bytes]],
    replaced_ns: int,
    sealing: Callable[[bytes, bytes], bytes],
) -> SealedChanges:
    """Return the record of changes that are about to be replaced.

    Args:
        begin: Number of the base that the changes follow.
        links: Hashes that precede the hashes of the changes: of the base; in the first past of a
            file, also of the last change before that base.
        changes: Kind, JSON head, and hash of each change.
        replaced_ns: Time of replacement, in nanoseconds since 1970.
        sealing: Function that returns the seal of facts and links.

    Raises:
        StateError: A head cannot be read.
    """
    kept, last, n_rows = list(links), begin, 0
    for kind, head, link in changes:
        last += 1
        kept.append(link)
        n_rows += 0 if kind in WITHOUT_ROWS else _number(_facts(head), "n_bits")
    numbers = (begin, last, n_rows, replaced_ns)
    written = json.dumps(dict(zip(_NUMBERS, numbers, strict=True))).encode()
    blob = b"".join(kept)
    return _past(written, blob, sealing(written, blob))


def read_past(connection: sqlite3.Connection) -> list[SealedChanges]:
    """Return all pasts of a file, oldest first, without checking their seals.

    Raises `StateError` if one cannot be read.
    """
    if not _has_past(connection):
        return []
    found = connection.execute("SELECT facts, links, seal FROM links ORDER BY id").fetchall()
    if any(type(value) is not bytes for row in found for value in row):
        raise StateError("the file was altered: one of its values has the wrong type")
    return [_past(*row) for row in found]


def read_seal(connection: sqlite3.Connection) -> bytes:
    """Return the seal of the last past; empty if the file has none."""
    if not _has_past(connection):
        return b""
    found = connection.execute("SELECT seal FROM links ORDER BY id DESC LIMIT 1").fetchone()
    if found is not None and (type(found[0]) is not bytes or len(found[0]) != N_BYTES):
        raise StateError(
            "the file was altered: the seal of the changes that a snapshot replaces is damaged"
        )
    return b"" if found is None else found[0]


def put_past(connection: sqlite3.Connection, past: SealedChanges) -> int:
    """Add a past to a file; return its number, counted from 1."""
    found = connection.execute(
        "INSERT INTO links (facts, links, seal) VALUES (?, ?, ?)",
        (past.facts, past.links, past.seal),
    )
    return cast("int", found.lastrowid)


def _has_past(connection: sqlite3.Connection) -> bool:
    """Return whether the format of a file has the table `links`."""
    return bool(connection.execute("PRAGMA user_version").fetchone()[0] > 1)


def _past(facts: bytes, links: bytes, seal: bytes) -> SealedChanges:
    told = _facts(facts)
    first, last, n_rows, replaced_ns = (_number(told, name) for name in _NUMBERS)
    n_links, n_more = divmod(len(links), N_BYTES)
    if n_more or n_links <= last - first:
        raise StateError(
            "the file was altered: the links of the changes that a snapshot replaces are incomplete"
        )
    return SealedChanges(first, last, n_rows, replaced_ns, facts, links, seal)


def _facts(text: bytes) -> Mapping[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise StateError(
            "the file was altered: the list of the changes that a snapshot replaces cannot be read"
        )
    return cast("dict[str, Any]", found)


def _number(facts: Mapping[str, Any], name: str) -> int:
    found = facts.get(name)
    if type(found) is not int:
        raise StateError(
            "the file was altered: the list of the changes that a snapshot replaces lacks the "
            f"number {name!r}"
        )
    return found
