"""The past of a file: changes that a whole state has replaced, of which the links alone stay.

A row of the table `links` is of all changes that one base has replaced: their numbers, and when
they were replaced, as JSON, and their links, 32 bytes each. Rows are sealed one after the other
under the key of the audit, and a base is bound to the seal before it, so that none can be altered
or left out.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from fastfeat.errors import StateError
from fastfeat.live.state.changes import WITHOUT_ROWS

N_BYTES = 32
"""Of a link, and of a seal."""
_NUMBERS = ("first", "last", "n_rows", "replaced_ns")
Sealing = Callable[[bytes, bytes, bytes], bytes]
"""What gives the seal of facts and links after the seal before them."""


@dataclass(frozen=True, slots=True)
class Past:
    """Changes that a whole state has replaced.

    Args:
        first: the number of the last change before them.
        last: the number of the last one of them.
        n_rows: how many rows they have.
        replaced_ns: when they were replaced, by this machine's clock, in nanoseconds since 1970.
        facts: all that as JSON, which is sealed.
        links: the link of the whole state that they followed, and of each of them; 32 bytes each.
        seal: of facts and links, and of the past before.
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
    replaced_ns: int,
    sealing: Callable[[bytes, bytes], bytes],
) -> Past:
    """Return the past that some changes become.

    Args:
        begin: the number of the base that they follow.
        links: what stands before their own links.
        changes: of each its kind, its head as JSON, and its link.
        replaced_ns: when they are replaced.
        sealing: gives the seal of facts and links.

    Raises:
        StateError: the head of one cannot be read.
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
    first, last, n_rows, replaced_ns = (_number(told, name) for name in _NUMBERS)
    n_links, n_more = divmod(len(links), N_BYTES)
    if n_more or n_links <= last - first:
        raise StateError("it is altered: the links of its past are not whole")
    return Past(first, last, n_rows, replaced_ns, facts, links, seal)


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
