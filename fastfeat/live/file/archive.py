"""The archive of a state: files that keep changes after a whole state has replaced them.

A base is a copy of a whole state. When a new base replaces the changes before it, the state file
keeps their hashes (links) alone, in a record called a past; an archive also keeps the changes. A
segment is one file of the archive, in the format of a state file, with a base of its own and
without the key of the audit: its links are checked with the key of the state. The state lists its
segments in the table `archived`, by the number of their past.

A segment is rewritten when rows in it are forgotten, and then gets a new name. The transaction that
replaces a segment stores the new name, and files that the state does not name are removed
afterwards, or when it is opened next. So after a kill there are either the old segments or the new
ones.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field
from pathlib import Path
from typing import Any, cast

from fastfeat_kernels.records import dataclass

from fastfeat.errors import StateError
from fastfeat.io.arrow import Table
from fastfeat.live.file.entries import Links, WrittenEntry, table_of
from fastfeat.live.file.sealed_changes import SealedChanges
from fastfeat.live.state.changes import Base, Settings

SUFFIX = ".segment"
FOREVER = -1


def at(point: str) -> None:
    """Do nothing; a test replaces this function to end the process at the point named `point`."""


@dataclass(frozen=True, slots=True)
class ArchiveSettings:
    """The folder in which a state keeps its segments, and the time for which it keeps them.

    Args:
        folder: Folder of the files; "" for a folder beside the state, named after it.
        keep_ns: Time for which a segment is kept after it was first written, in nanoseconds; or
            `FOREVER`.
    """

    folder: str
    keep_ns: int

    def path(self, state: Path) -> Path:
        """Return the folder of the segments; `state` is the path of the state file."""
        return Path(self.folder) if self.folder else Path(f"{state}-audit")


@dataclass(frozen=True, slots=True)
class ArchivedSegment:
    """A segment, as the state file describes it.

    Args:
        file: Name of the file; "" if it was dropped because of its age.
        digest: SHA-256 of the segment's base and changes; empty if it was dropped.
        sealed_ns: Time when it was first written, in nanoseconds since 1970.
        lost_ns: Time when it was dropped, or rows in it were forgotten; 0 for never.
        seal: HMAC of the fields above, under the key of the audit.
    """

    file: str
    digest: bytes
    sealed_ns: int
    lost_ns: int = 0
    seal: bytes = b""

    @property
    def facts(self) -> bytes:
        """All fields except the seal as JSON: the bytes that the seal covers."""
        told = [self.file, self.digest.hex(), self.sealed_ns, self.lost_ns]
        return json.dumps(told).encode()


@dataclass(frozen=True, slots=True)
class ArchiveChange:
    """The segments that are added, replaced or dropped when a new base is written.

    Args:
        new: Segment with the changes that the new base replaces; None for none.
        others: Number of a past to its changed segment: rewritten, or dropped because of its age.
    """

    new: ArchivedSegment | None = None
    others: Mapping[int, ArchivedSegment] = field(default_factory=dict[int, ArchivedSegment])


@dataclass(frozen=True, slots=True)
class RewrittenSegment:
    """The content of a segment after forgotten rows were removed from it.

    Args:
        base: Base that the segment begins with.
        settings: Settings of the state.
        plans: Plan name to artifact bytes at the beginning of the segment.
        links: Audit hashes of the base.
        entries: Changes after the base.
    """

    base: Base
    settings: Settings
    plans: Mapping[str, bytes]
    links: Links
    entries: Sequence[WrittenEntry]


@dataclass(frozen=True, slots=True)
class ForgottenValues:
    """A column and values in it: all rows with one of these values were forgotten.

    Args:
        column: Name of the column.
        values: Table with that column alone; one forgotten value per row.
    """

    column: str
    values: Table


def read_archiving(connection: sqlite3.Connection) -> ArchiveSettings | None:
    """Return the archive settings in a state file; None if the state has no archive."""
    if not _has_archive(connection):
        return None
    found = connection.execute("SELECT folder, keep_ns FROM archive").fetchone()
    if found is None:
        return None
    if [type(value) for value in found] != [str, int]:
        raise StateError("the file was altered: one of its values has the wrong type")
    return ArchiveSettings(*found)


def put_archiving(connection: sqlite3.Connection, archiving: ArchiveSettings) -> None:
    """Write the archive settings into a state file."""
    values = (archiving.folder, archiving.keep_ns)
    connection.execute("INSERT OR REPLACE INTO archive VALUES (1, ?, ?)", values)


def read_archived(connection: sqlite3.Connection) -> dict[int, ArchivedSegment]:
    """Return a dict of the number of a past, counted from 1, to its segment in the archive."""
    if not _has_archive(connection):
        return {}
    found = connection.execute("SELECT past, facts, seal FROM archived ORDER BY past").fetchall()
    return {past: _archived(facts, seal) for past, facts, seal in found}


def put_archived(connection: sqlite3.Connection, segments: Mapping[int, ArchivedSegment]) -> None:
    """Write descriptions of segments into a state file, by number of their past."""
    for past, one in segments.items():
        values = (past, one.facts, one.seal)
        connection.execute("INSERT OR REPLACE INTO archived VALUES (?, ?, ?)", values)


def read_forgotten(connection: sqlite3.Connection, base: int) -> list[ForgottenValues]:
    """Return the forgotten values that are recorded in the changes after the base number `base`."""
    query = "SELECT head, rows FROM segments WHERE seq > ? AND kind = 'forget' ORDER BY seq"
    return [
        ForgottenValues(json.loads(head)["name"], table_of(rows))
        for head, rows in connection.execute(query, (base,))
    ]


def new_name(state: Path, owner: str, past: SealedChanges) -> str:
    """Return a new file name for the segment of a past, with a random part.

    `owner` tells the segments of this state from others in the same folder.
    """
    changes = f"{past.first + 1:012d}-{past.last:012d}"
    return f"{state.name}.{owner}.{changes}.{os.urandom(4).hex()}{SUFFIX}"


def remove_unnamed_segments(folder: Path, state: Path, owner: str, named: Iterable[str]) -> bool:
    """Remove a state's segments except the files in `named`, also half-written ones.

    Return whether all of them are gone.
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


def _archived(facts: Any, seal: Any) -> ArchivedSegment:
    try:
        file, digest, sealed_ns, lost_ns = cast("list[Any]", json.loads(facts))
        if [type(one) for one in (file, sealed_ns, lost_ns, seal)] != [str, int, int, bytes]:
            raise ValueError
        if Path(file).name != file:
            raise ValueError
        return ArchivedSegment(file, bytes.fromhex(digest), sealed_ns, lost_ns, seal)
    except (ValueError, TypeError):
        raise StateError("the file was altered: its entry of an archived file is invalid") from None
