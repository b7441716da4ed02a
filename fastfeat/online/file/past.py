"""The past of a file: changes that a whole state has replaced, of which the links alone stay.

A row of the table `links` is of all changes that one base has replaced: their number, rows and
times as JSON, and their links, 32 bytes each. Rows are sealed one after the other under the key of
the audit, and a base is bound to the seal before it, so that none can be altered or left out.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

from fastfeat.errors import StateError
from fastfeat.online.state.changes import WITHOUT_ROWS

N_BYTES = 32
"""Of a link, and of a seal."""
_NUMBERS = ("first", "last", "n_rows", "first_ns", "last_ns", "replaced_ns")
Reason = Literal["compaction", "forget", "plans"]
"""Why a whole state took the place of changes."""
Sealing = Callable[[bytes, bytes, bytes], bytes]
"""What gives the seal of facts and links after the seal before them."""


@dataclass(frozen=True, slots=True)
class Past:
    """Changes that a whole state has replaced.

    Args:
        first: the number of the last change before them.
        last: the number of the last one of them.
        n_rows: how many rows they have.
        first_ns: when the first one was asked for; 0 where there is none.
        last_ns: when the last one was.
        replaced_ns: when they were replaced, by this machine's clock, in nanoseconds since 1970.
        reason: why.
        facts: all that as JSON, which is sealed.
        links: the link of the whole state that they followed, and of each of them; 32 bytes each.
        seal: of facts and links, and of the past before.
    """

    first: int
    last: int
    n_rows: int
    first_ns: int
    last_ns: int
    replaced_ns: int
    reason: Reason
    facts: bytes
    links: bytes
    seal: bytes

    @property
    def n_changes(self) -> int:
        """The number of changes."""
        return self.last - self.first

    def has(self, link: bytes) -> bool:
        """Return whether a link is among theirs."""
        at = self.links.find(link)
        while at % N_BYTES and at >= 0:
            at = self.links.find(link, at + 1)
        return at >= 0

    def link_of(self, seq: int) -> bytes:
        """Return the link of a change, or of the whole state before them for `first`."""
        begin = len(self.links) - N_BYTES * (self.last - seq + 1)
        return self.links[begin : begin + N_BYTES]


def past_of(
    begin: int,
    links: Iterable[bytes],
    changes: Iterable[tuple[str, bytes, bytes]],
    reason: Reason,
    replaced_ns: int,
    sealing: Callable[[bytes, bytes], bytes],
) -> Past:
    """Return the past that some changes become.

    Args:
        begin: the number of the base that they follow.
        links: what stands before their own links.
        changes: of each its kind, its head as JSON, and its link.
        reason: why they are replaced.
        replaced_ns: when.
        sealing: gives the seal of facts and links.

    Raises:
        StateError: the head of one cannot be read.
    """
    kept, times, n_rows = list(links), list[int](), 0
    last = begin
    for kind, head, link in changes:
        facts = _facts(head)
        last += 1
        kept.append(link)
        times.append(_number(facts, "time_ns"))
        n_rows += 0 if kind in WITHOUT_ROWS else _number(facts, "n_bits")
    told = {
        "first": begin,
        "last": last,
        "n_rows": n_rows,
        "first_ns": times[0] if times else 0,
        "last_ns": times[-1] if times else 0,
        "replaced_ns": replaced_ns,
        "reason": reason,
    }
    written, blob = json.dumps(told).encode(), b"".join(kept)
    return _past(written, blob, sealing(written, blob))


def read_past(connection: sqlite3.Connection) -> list[Past]:
    """Return the past of a file, from its beginning on; it may not be sealed as it should be.

    Raises:
        StateError: it cannot be read.
    """
    if not _has_past(connection):
        return []
    found = connection.execute("SELECT facts, links, seal FROM links ORDER BY id").fetchall()
    if any(type(value) is not bytes for row in found for value in row):
        raise StateError("it is altered: a value in it has another type than was written")
    return [_past(*row) for row in found]


def read_seal(connection: sqlite3.Connection) -> bytes:
    """Return the last seal of the past; empty where there is none."""
    if not _has_past(connection):
        return b""
    found = connection.execute("SELECT seal FROM links ORDER BY id DESC LIMIT 1").fetchone()
    if found is not None and (type(found[0]) is not bytes or len(found[0]) != N_BYTES):
        raise StateError("it is altered: a seal of its past is not whole")
    return b"" if found is None else found[0]


def put_past(connection: sqlite3.Connection, past: Past) -> int:
    """Write the past that some changes have become; return its number, counted from 1."""
    found = connection.execute(
        "INSERT INTO links (facts, links, seal) VALUES (?, ?, ?)",
        (past.facts, past.links, past.seal),
    )
    return cast("int", found.lastrowid)


def _has_past(connection: sqlite3.Connection) -> bool:
    """Return whether a file is of a format that keeps links."""
    return bool(connection.execute("PRAGMA user_version").fetchone()[0] > 1)


def _past(facts: bytes, links: bytes, seal: bytes) -> Past:
    told = _facts(facts)
    first, last, n_rows, first_ns, last_ns, replaced_ns = (_number(told, n) for n in _NUMBERS)
    n_links, reason = divmod(len(links), N_BYTES), told.get("reason")
    if n_links[1] or n_links[0] <= last - first or reason not in ("compaction", "forget", "plans"):
        raise StateError("it is altered: the links of its past are not whole")
    return Past(first, last, n_rows, first_ns, last_ns, replaced_ns, reason, facts, links, seal)


def _facts(text: bytes) -> Mapping[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise StateError("it is altered: what is told of a change cannot be read")
    return cast("dict[str, Any]", found)


def _number(facts: Mapping[str, Any], name: str) -> int:
    found = facts.get(name)
    if type(found) is not int:
        raise StateError(f"it is altered: {name} of a change is missing")
    return found
