"""The archive of a state: files that keep changes after a whole state has replaced them.

A segment is a file in the format of a state, with a base of its own and without the key: its links
are checked with the key of the state. The state lists its segments in the table `archived`, beside
their past. A rewritten segment gets a new name. The transaction that replaces a segment stores the
new name, and files that the state does not name are removed afterwards, or when it is opened next.
So after a kill there are either the old segments or the new ones.
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
    """Do nothing; a test replaces it to end the process at a point."""


@dataclass(frozen=True, slots=True)
class Archiving:
    """The folder in which a state keeps its segments, and for how long.

    Args:
        folder: Folder of the files; "" for a folder beside the state, named after it.
        keep_ns: How long a segment is kept after it was sealed, in nanoseconds; or `FOREVER`.
    """

    folder: str
    keep_ns: int

    def path(self, state: Path) -> Path:
        """Return the folder of the segments of a state."""
        return Path(self.folder) if self.folder else Path(f"{state}-audit")


@dataclass(frozen=True, slots=True)
class Archived:
    """A segment, as the state file describes it.

    Args:
        file: Name of the file; "" if it was dropped because of its age.
        digest: Digest of its content; empty if it was dropped.
        sealed_ns: Time when it was first sealed, in nanoseconds since 1970.
        lost_ns: Time when it was dropped, or rows in it were forgotten; 0 for never.
        seal: Seal of the fields above, under the key of the audit.
    """

    file: str
    digest: bytes
    sealed_ns: int
    lost_ns: int = 0
    seal: bytes = b""

    @property
    def facts(self) -> bytes:
        """The sealed bytes: all fields except the seal."""
        told = [self.file, self.digest.hex(), self.sealed_ns, self.lost_ns]
        return json.dumps(told).encode()


@dataclass(frozen=True, slots=True)
class ArchiveChange:
    """The segments that a new base adds, replaces or drops.

    Args:
        new: Segment of the changes that the base replaces; None for none.
        others: Other segments that change, by the number of their past.
    """

    new: Archived | None = None
    others: Mapping[int, Archived] = field(default_factory=dict[int, Archived])


@dataclass(frozen=True, slots=True)
class Rewritten:
    """The content of a segment without forgotten rows.

    Args:
        base: Base that it begins with.
        settings: Settings of the state.
        plans: Plan name to artifact at its begin.
        links: Links of the base.
        entries: Changes after the base.
    """

    base: Base
    settings: Settings
    plans: Mapping[str, bytes]
    links: Links
    entries: Sequence[WrittenEntry]


@dataclass(frozen=True, slots=True)
class Forgotten:
    """Forgotten rows, as values of a column.

    Args:
        column: Name of the column.
        values: Table with that column.
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
    """Remove segments that a state does not name, also half-written ones.

    Return whether all are gone.
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
    """Remove files; return whether all are gone, since the system may keep one."""
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
