"""The past of a file: changes that a whole state has replaced, of which only links remain.

A row of the table `links` covers all changes that one base has replaced: their numbers and the time
of replacement as JSON, and their links, 32 bytes each. Each row is sealed together with the one
before it under the key of the audit, and a base is bound to the last seal, so that no row can be
altered or left out.
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
"""Length of a link and of a seal."""
_NUMBERS = ("first", "last", "n_rows", "replaced_ns")
Sealing = Callable[[bytes, bytes, bytes], bytes]
"""Returns a seal, given the seal before it, facts and links."""


@dataclass(frozen=True, slots=True)
class Past:
    """Changes that a whole state has replaced.

    Args:
        first: Number of the last change before them.
        last: Number of the last one of them.
        n_rows: Number of their rows.
        replaced_ns: Time of replacement by this machine's clock, in nanoseconds since 1970.
        facts: The fields above as JSON, which is sealed.
        links: Link of the whole state that they followed, and of each change; 32 bytes each.
        seal: Seal of facts, links and the past before.
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
        """Return whether a link is one of theirs."""
        at = self.links.find(link)
        while at % N_BYTES and at >= 0:
            at = self.links.find(link, at + 1)
        return at >= 0

    def link_of(self, seq: int) -> bytes:
        """Return the link of a change; for `first`, the link of the whole state before them."""
        begin = len(self.links) - N_BYTES * (self.last - seq + 1)
        return self.links[begin : begin + N_BYTES]


def past_of(
    begin: int,
    links: Iterable[bytes],
    changes: Iterable[tuple[str, bytes, bytes]],
    replaced_ns: int,
    sealing: Callable[[bytes, bytes], bytes],
) -> Past:
    """Return the record of changes that are about to be replaced.

    Args:
        begin: Number of the base that they follow.
        links: Links that come before their own.
        changes: Kind, head as JSON, and link of each change.
        replaced_ns: Time of replacement, in nanoseconds since 1970.
        sealing: Returns the seal of facts and links.

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


def read_past(connection: sqlite3.Connection) -> list[Past]:
    """Return the past of a file from its beginning on, without checking its seals.

    Raises `StateError` if it cannot be read.
    """
    if not _has_past(connection):
        return []
    found = connection.execute("SELECT facts, links, seal FROM links ORDER BY id").fetchall()
    if any(type(value) is not bytes for row in found for value in row):
        raise StateError("it is altered: a value in it has another type than was written")
    return [_past(*row) for row in found]


def read_seal(connection: sqlite3.Connection) -> bytes:
    """Return the last seal of the past; empty if there is none."""
    if not _has_past(connection):
        return b""
    found = connection.execute("SELECT seal FROM links ORDER BY id DESC LIMIT 1").fetchone()
    if found is not None and (type(found[0]) is not bytes or len(found[0]) != N_BYTES):
        raise StateError("it is altered: a seal of its past is not whole")
    return b"" if found is None else found[0]


def put_past(connection: sqlite3.Connection, past: Past) -> int:
    """Write a past to the file; return its number, counted from 1."""
    found = connection.execute(
        "INSERT INTO links (facts, links, seal) VALUES (?, ?, ?)",
        (past.facts, past.links, past.seal),
    )
    return cast("int", found.lastrowid)


def _has_past(connection: sqlite3.Connection) -> bool:
    """Return whether a file has a format that keeps links."""
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
