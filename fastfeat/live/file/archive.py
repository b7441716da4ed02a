"""The archive of a state: files that keep the changes which whole states have replaced.

A segment is a file of the form of a state, with a base of its own and without the key: its links
are checked with that of the state. The state names its segments in the table `archived`, beside the
past that they are of. What is written anew has a name of its own; the state names it in the
transaction that replaces the old one, and files that it does not name are removed after that, or
when it is opened next. So a process that is killed leaves the old segments or the new ones.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from fastfeat.errors import StateError
from fastfeat.io.arrow import Table
from fastfeat.live.file.entries import Links, WrittenEntry, table_of
from fastfeat.live.file.past import Past
from fastfeat.live.state.changes import Base, Settings

SUFFIX = ".segment"
FOREVER = -1


def at(point: str) -> None:
    """Do nothing: a test ends the process at a point."""


@dataclass(frozen=True, slots=True)
class Archiving:
    """The folder in which a state keeps its segments, and how long it keeps them.

    Args:
        folder: of the files; "" for one beside the state, named after it.
        keep_ns: how long a segment is kept after it was sealed, in nanoseconds; `FOREVER`.
    """

    folder: str
    keep_ns: int

    def path(self, state: Path) -> Path:
        """Return the folder of the segments of a state."""
        return Path(self.folder) if self.folder else Path(f"{state}-audit")


@dataclass(frozen=True, slots=True)
class Archived:
    """A segment, as the state names it.

    Args:
        file: its name; "" where it was dropped, for it was older than what is kept.
        digest: of all that is in it; empty where it was dropped.
        sealed_ns: when it was sealed first, in nanoseconds since 1970.
        lost_ns: when it was dropped, or changes of it were forgotten; 0 for never.
        seal: of all that, under the key of the audit.
    """

    file: str
    digest: bytes
    sealed_ns: int
    lost_ns: int = 0
    seal: bytes = b""

    @property
    def facts(self) -> bytes:
        """The bytes that are sealed: all fields but the seal."""
        told = [self.file, self.digest.hex(), self.sealed_ns, self.lost_ns]
        return json.dumps(told).encode()


@dataclass(frozen=True, slots=True)
class ArchiveChange:
    """The segments that a new base adds, replaces or drops.

    Args:
        new: the segment of the changes that the base replaces; None for none.
        others: other segments that change, by the number of their past.
    """

    new: Archived | None = None
    others: Mapping[int, Archived] = field(default_factory=dict[int, Archived])


@dataclass(frozen=True, slots=True)
class Rewritten:
    """The content of a segment without what was forgotten.

    Args:
        base: that it begins with.
        settings: of the state.
        plans: the artifact of each plan at its begin, by name.
        links: of the base.
        entries: the changes after it.
    """

    base: Base
    settings: Settings
    plans: Mapping[str, bytes]
    links: Links
    entries: Sequence[WrittenEntry]


@dataclass(frozen=True, slots=True)
class Forgotten:
    """The rows that were forgotten: those with a value in a column.

    Args:
        column: its name.
        values: a table of it.
    """

    column: str
    values: Table


def read_archiving(connection: sqlite3.Connection) -> Archiving | None:
    """Return the archive that a state file names; None if it keeps no segments."""
    if not _has_archive(connection):
        return None
    found = connection.execute("SELECT folder, keep_ns FROM archive").fetchone()
    if found is None:
        return None
    if [type(value) for value in found] != [str, int]:
        raise StateError("it is altered: a value in it has another type than was written")
    return Archiving(*found)


def put_archiving(connection: sqlite3.Connection, archiving: Archiving) -> None:
    """Write the archive of a state into its file."""
    values = (archiving.folder, archiving.keep_ns)
    connection.execute("INSERT OR REPLACE INTO archive VALUES (1, ?, ?)", values)


def read_archived(connection: sqlite3.Connection) -> dict[int, Archived]:
    """Return the segments of a state by number, counted from 1."""
    if not _has_archive(connection):
        return {}
    found = connection.execute("SELECT past, facts, seal FROM archived ORDER BY past").fetchall()
    return {past: _archived(facts, seal) for past, facts, seal in found}


def put_archived(connection: sqlite3.Connection, segments: Mapping[int, Archived]) -> None:
    """Write the rows that name segments into the state file."""
    for past, one in segments.items():
        values = (past, one.facts, one.seal)
        connection.execute("INSERT OR REPLACE INTO archived VALUES (?, ?, ?)", values)


def read_forgotten(connection: sqlite3.Connection, base: int) -> list[Forgotten]:
    """Return the values that changes after a base have forgotten."""
    query = "SELECT head, rows FROM segments WHERE seq > ? AND kind = 'forget' ORDER BY seq"
    return [
        Forgotten(json.loads(head)["name"], table_of(rows))
        for head, rows in connection.execute(query, (base,))
    ]


def new_name(state: Path, owner: str, past: Past) -> str:
    """Return the name of a new segment."""
    changes = f"{past.first + 1:012d}-{past.last:012d}"
    return f"{state.name}.{owner}.{changes}.{os.urandom(4).hex()}{SUFFIX}"


def remove_others(folder: Path, state: Path, owner: str, named: Iterable[str]) -> bool:
    """Remove the segments of a state that it does not name, also those half written.

    Returns:
        Whether none of them is left.
    """
    known, begin = set(named), f"{state.name}.{owner}."
    try:
        there = list(folder.iterdir())
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return remove(
        file
        for file in there
        if file.name.startswith(begin) and SUFFIX in file.name and file.name not in known
    )


def remove(files: Iterable[Path]) -> bool:
    """Remove files; return whether none of them is left: the system may keep one."""
    is_gone = True
    for file in files:
        try:
            file.unlink(missing_ok=True)
        except OSError:
            is_gone = False
    return is_gone


def _has_archive(connection: sqlite3.Connection) -> bool:
    return bool(connection.execute("PRAGMA user_version").fetchone()[0] > 1)


def _archived(facts: Any, seal: Any) -> Archived:
    try:
        file, digest, sealed_ns, lost_ns = cast("list[Any]", json.loads(facts))
        if [type(one) for one in (file, sealed_ns, lost_ns, seal)] != [str, int, int, bytes]:
            raise ValueError
        if Path(file).name != file:
            raise ValueError
        return Archived(file, bytes.fromhex(digest), sealed_ns, lost_ns, seal)
    except (ValueError, TypeError):
        raise StateError("it is altered: what it names of its archive is not whole") from None
