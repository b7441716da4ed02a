"""`Follower`: reads the state file of another process, and its new commits.

A base is a copy of a whole state in the file; entries are the changes after it. The number of a
base is the number of the last entry that it includes.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from fastfeat_kernels.records import dataclass

from fastfeat.errors import StateError
from fastfeat.live.file.archive import ArchivedSegment, read_archived, read_archiving
from fastfeat.live.file.entries import Links, WrittenEntry
from fastfeat.live.file.sealed_changes import SealedChanges, read_past, read_seal
from fastfeat.live.file.state_file import (
    StateFileHead,
    check_base,
    connect,
    file_at,
    name_path_in_errors,
    path_of,
    read_artifact,
    read_base,
    read_base_digest,
    read_base_facts,
    read_entries,
    read_head,
    read_key,
    read_link,
    read_links,
    read_offsets,
    read_plans,
    read_settings,
)
from fastfeat.live.state.changes import Base


@dataclass(frozen=True, slots=True)
class NewEntries:
    """The part of a state file that a follower has not returned yet.

    Args:
        base: A base to begin anew from; None if the entries follow the last call's entries.
        entries: The changes after the base or, without one, since the last call; in order.
    """

    base: Base | None
    entries: tuple[WrittenEntry, ...]


class Follower:
    """A reader of a state file that another process may be writing.

    Args:
        path: Path of the file.
        checked: Whether altered content is an error. An audit reads it unchecked, and reports it.

    Raises:
        StateError: The file is missing, truncated, altered, from a newer version, or no state.
    """

    def __init__(self, path: str | os.PathLike[str], *, checked: bool = True) -> None:
        self.path = path_of(path)
        self.seq: int | None = None
        self._checked = checked
        self._digest = b""
        self._is_held = False
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._connection = connect(self.path, writes=False)
        self._file = file_at(self.path)
        try:
            with self._snapshot() as (_, head):
                self.settings = read_settings(self._connection, head.base)
        except BaseException:
            self._connection.close()
            raise

    @property
    def plans(self) -> Mapping[str, bytes]:
        """A dict of plan name to artifact bytes, after the last entry."""
        with self._snapshot() as (connection, head):
            return read_plans(connection, head.base)

    def plans_at(self, base: int) -> Mapping[str, bytes]:
        """Return a dict of plan name to artifact bytes, at the time of the base number `base`."""
        with self._snapshot() as (connection, _):
            named = read_base_facts(connection, base)[1]
            return {name: read_artifact(connection, key) for name, key in named.items()}

    @property
    def head(self) -> StateFileHead:
        """The numbers of the last entry and of its base, and the digest of all content."""
        with self._snapshot() as (_, head):
            return head

    @property
    def past(self) -> list[SealedChanges]:
        """Records of the changes that bases have replaced, oldest first; they hold hashes alone."""
        with self._snapshot() as (connection, _):
            return read_past(connection)

    @property
    def archive(self) -> Path | None:
        """The folder of the archived segments; None if the state has no archive."""
        with self._snapshot() as (connection, _):
            found = read_archiving(connection)
        return None if found is None else found.path(self.path)

    @property
    def archived(self) -> Mapping[int, ArchivedSegment]:
        """A dict of the number of a past, counted from 1, to its segment in the archive."""
        with self._snapshot() as (connection, _):
            return read_archived(connection)

    def check_base(self, seq: int) -> None:
        """Raise `StateError` if the base number `seq` does not match its SHA-256."""
        with self._snapshot() as (connection, _):
            check_base(connection, seq)

    def base(self, seq: int) -> Base:
        """Return the base number `seq`; raise `StateError` if it is missing or altered."""
        with self._snapshot() as (connection, _):
            return read_base(connection, seq, checked=self._checked)

    def links(self, base: int) -> Links:
        """Return the audit hashes that are stored with the base number `base`."""
        with self._snapshot() as (connection, _):
            return read_links(connection, base, checked=self._checked)

    @property
    def key(self) -> bytes:
        """The key of the audit; empty if there is none or it was deleted."""
        with self._snapshot() as (connection, _):
            return read_key(connection)

    def news(self) -> NewEntries:
        """Return the changes since the last call; the first call also returns the base before them.

        If a compaction has removed entries that were not returned yet, it begins anew with a base.
        Raises `StateError` if the file is altered.
        """
        with self._snapshot() as (connection, head):
            base = None
            begin, digest = self.seq, self._digest
            if begin is None or begin < head.base:
                base = read_base(connection, head.base, checked=self._checked)
                begin = head.base
            if begin == head.base:
                digest = read_base_digest(connection, begin)
            entries, self._digest = self._between(connection, begin, digest, head)
            self.seq = head.seq
            return NewEntries(base, tuple(entries))

    def each(self, base: int) -> Iterator[WrittenEntry]:
        """Yield the entries that follow the base number `base`, read some hundreds at a time.

        Raises `StateError` if the base is missing or an entry is altered, after yielding the
        entries before it.
        """
        with self._snapshot() as (connection, until):
            digest = read_base_digest(connection, base, checked=self._checked)
        begin = base
        while begin < until.seq:
            with self._snapshot() as (connection, _):
                some, digest = read_entries(connection, begin, digest, until, checked=self._checked)
            if not some:
                return
            yield from some
            begin = some[-1].seq
        if digest != until.digest:
            raise StateError(f"the file was altered: it has {begin} of {until.seq} entries")

    def check_opening(self) -> None:
        """Raise `StateError` if opening the file for writing would fail.

        Call it after the base and all entries were read.
        """
        with self._snapshot() as (connection, head):
            read_offsets(connection, head.base)
            read_link(connection, head.base)
            read_seal(connection)
            read_plans(connection, head.base)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()

    def _between(
        self, connection: sqlite3.Connection, begin: int, digest: bytes, until: StateFileHead
    ) -> tuple[list[WrittenEntry], bytes]:
        """Return the entries from number `begin` + 1 to `until`, and the running digest after them.

        `digest` is the running digest up to `begin`.
        """
        entries: list[WrittenEntry] = []
        while begin < until.seq:
            some, digest = read_entries(connection, begin, digest, until, checked=self._checked)
            if not some:
                break
            entries += some
            begin = some[-1].seq
        return entries, digest

    @contextmanager
    def pin_commit(self) -> Generator[None]:
        """Make all reads inside the `with` block see one commit, also if others are written."""
        with self._snapshot():
            self._is_held = True
        self._connection.execute("BEGIN")
        try:
            yield
        finally:
            self._is_held = False
            self._connection.execute("COMMIT")

    @contextmanager
    def _snapshot(self) -> Generator[tuple[sqlite3.Connection, StateFileHead]]:
        """Yield the connection and the state's head, inside a read transaction.

        The transaction sees one commit.
        """
        if os.getpid() != self._process:
            raise StateError(
                f"{self.path} was opened in process {self._process}. Open it again in this process"
            )
        if file_at(self.path) != self._file:
            raise StateError(
                f"{self.path} was replaced by another file after it was opened. Open it again"
            )
        with self._lock, name_path_in_errors(self.path):
            if self._is_held:
                yield self._connection, read_head(self._connection)
                return
            self._connection.execute("BEGIN")
            try:
                yield self._connection, read_head(self._connection)
            finally:
                self._connection.execute("COMMIT")
