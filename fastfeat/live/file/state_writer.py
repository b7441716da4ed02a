"""Writing the file of a state: creating it, committing entries, replacing the base, closing.

An entry is a change with its results; a base is a copy of a whole state, which replaces all entries
before it. Segments are the files of the archive, which keep replaced entries.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import field
from hashlib import sha256
from pathlib import Path
from typing import Any

from fastfeat_kernels.records import dataclass

from fastfeat.errors import StateError
from fastfeat.io.sinks import atomic
from fastfeat.live.file.archive import (
    ArchiveChange,
    ArchivedSegment,
    ArchiveSettings,
    RewrittenSegment,
    put_archived,
    put_archiving,
)
from fastfeat.live.file.entries import (
    EntryRecord,
    Links,
    digest_of_base,
    digest_of_part,
    digest_of_segment,
    digests_of_plans,
    encode_base_head,
    encode_entry,
    split_base,
)
from fastfeat.live.file.sealed_changes import SealedChanges, put_past
from fastfeat.live.file.state_file import (
    APPLICATION,
    FORMAT,
    SUFFIXES,
    TABLES,
    StateFileHead,
    connect,
    file_at,
    name_path_in_errors,
    read_head,
)
from fastfeat.live.file.write_lock import WriteLock
from fastfeat.live.state.changes import Base, Settings
from fastfeat.version import __version__

_LOST = "SQLITE_IOERR_FSYNC"
"""After this error nobody knows what is on disk, so later writes must not seem to succeed."""


@dataclass(frozen=True, slots=True)
class PendingEntry:
    """An entry that is not in the file yet, as bytes.

    Args:
        seq: Number of the entry.
        segment: Row of the table `segments` with its content.
        digest: Running digest of the base and all entries up to this one.
        plans: For a change of plans, plan name to artifact bytes; else empty.
    """

    seq: int
    segment: EntryRecord
    digest: bytes
    plans: Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class StateFileContent:
    """A base with everything that is written beside it.

    Args:
        seq: Number of the base: of the last entry that it includes.
        base: The whole state.
        settings: Settings of the state.
        plans: Plan name to artifact bytes.
        links: Audit hashes of the base.
        key: Key of the audit; empty without one, and then the file keeps no audit hashes either.
        past: Record of the changes that the base replaces; None without one.
        segments: Segments of the archive that are added, replaced or dropped.
    """

    seq: int
    base: Base
    settings: Settings
    plans: Mapping[str, bytes]
    links: Links
    key: bytes
    past: SealedChanges | None = None
    segments: ArchiveChange = field(default_factory=ArchiveChange)


class StateWriter:
    """A state file that is open for writing.

    Args:
        path: Path of the file.
        lock: Write lock of the state, which this process holds.
    """

    def __init__(self, path: Path, lock: WriteLock) -> None:
        self.path = path
        self.lock = lock
        self.connection = connect(path, writes=True)
        self._file = file_at(path)
        self._is_broken = False
        try:
            with name_path_in_errors(path):
                self.head = read_head(self.connection)
                self._check_noted()
                self._empty_log()
        except BaseException:
            self.connection.close()
            raise
        lock.note(self.head.seq, self.head.base)

    def commit(self, pending: Sequence[PendingEntry]) -> None:
        """Write entries in one transaction; raise `StateError` if nothing is written."""
        with self._transaction() as connection:
            _put_entries(connection, pending)
            head = StateFileHead(pending[-1].seq, pending[-1].digest, self.head.base)
            _put_head(connection, head)
        self._reach(head)

    def put_base(self, content: StateFileContent, pending: Sequence[PendingEntry] = ()) -> None:
        """Replace all entries by a base, whole or not at all.

        `pending` are the last entries before the base, which are not in the file yet. Raises
        `StateError` if nothing is written.
        """
        with self._transaction() as connection:
            _put_entries(connection, pending)
            for table in ("segments", "bases", "parts", "artifacts"):
                connection.execute(f"DELETE FROM {table}")
            head = _put_content(connection, content)
        self._reach(head)

    def put_archive(
        self, archiving: ArchiveSettings | None, segments: Mapping[int, ArchivedSegment]
    ) -> None:
        """Write the archive settings (None leaves them as they are) and descriptions of segments.

        Raises `StateError` if nothing is written.
        """
        with self._transaction() as connection:
            if archiving is not None:
                put_archiving(connection, archiving)
            put_archived(connection, segments)

    def write_segment(self, path: Path, pending: Sequence[PendingEntry] = ()) -> bytes:
        """Write a segment with the file's base and entries, and with the pending entries.

        Return the digest of its content. Raises `StateError` if it cannot be written.
        """

        def copy(connection: sqlite3.Connection) -> None:
            uri = f"{self.path.absolute().as_uri()}?mode=ro"
            connection.execute("ATTACH DATABASE ? AS state", (uri,))
            connection.execute("BEGIN")
            for table in ("head", "bases", "parts", "segments", "artifacts"):
                connection.execute(f"INSERT INTO {table} SELECT * FROM state.{table}")
            _put_entries(connection, pending)
            head = self.head
            if pending:
                head = StateFileHead(pending[-1].seq, pending[-1].digest, self.head.base)
                _put_head(connection, head)
            connection.execute("COMMIT")
            connection.execute("DETACH DATABASE state")  # otherwise its journal mode would change

        _write_whole(path, copy)
        return pending[-1].digest if pending else self.head.digest

    def erase_remains(self) -> bool:
        """Erase deleted content from the file; return whether nothing of it is left.

        SQLite overwrites deleted content at once. This method also rewrites the file and empties
        its write-ahead log, which works only while no reader is in the middle of a read. Raises
        `StateError` if the disk is full.
        """
        with name_path_in_errors(self.path):
            self.connection.execute("VACUUM")
            return self._empty_log()

    def close(self) -> None:
        """Close the file, and release the lock."""
        with suppress(sqlite3.Error):  # it will be opened as after a kill
            self.connection.close()
        self.lock.give_back()

    @contextmanager
    def _transaction(self) -> Generator[sqlite3.Connection]:
        if self._is_broken:
            raise StateError(
                f"{self.path}: an earlier write failed. Close the state and open it again"
            )
        try:
            with name_path_in_errors(self.path):
                self.connection.execute("BEGIN IMMEDIATE")
                self._check_alone()
                yield self.connection
                self.connection.execute("COMMIT")
        except BaseException as error:
            cause = error.__cause__
            self._is_broken = isinstance(cause, sqlite3.Error) and cause.sqlite_errorname == _LOST
            if self.connection.in_transaction:
                with suppress(sqlite3.Error):
                    self.connection.execute("ROLLBACK")
            raise

    def _check_alone(self) -> None:
        """Raise if the file is gone or replaced, or another process wrote it despite the lock.

        SQLite would go on writing to a deleted or replaced file, and all these changes would be
        lost when the process ends.
        """
        if file_at(self.path) != self._file:
            raise StateError(
                "the file was deleted or replaced, so nothing can be written to it. Restore it and "
                "open it again; live.history() still returns the rows in memory"
            )
        found = read_head(self.connection)
        if (found.seq, found.digest) != (self.head.seq, self.head.digest):
            raise StateError(
                f"another process has written the file up to entry {found.seq}, but this process "
                f"knows only entries up to {self.head.seq}. Was {self.path.name}-lock removed? "
                "Open the state again"
            )

    def _reach(self, head: StateFileHead) -> None:
        self.head = head
        self.lock.note(head.seq, head.base)

    def _empty_log(self) -> bool:
        """Move the write-ahead log into the file; return whether the log is empty.

        On a full disk the content stays in the log, which is just as safe.
        """
        try:
            found = self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorname != "SQLITE_FULL":
                raise
            return False
        return not found[0]

    def _check_noted(self) -> None:
        """Raise `StateError` if the file lacks the last commit that the lock file names.

        Then a write-ahead log was lost, or the file is an older copy.
        """
        noted, name = self.lock.noted(), self.path.name
        if noted is not None and noted > (self.head.seq, self.head.base):
            raise StateError(
                f"the file ends with entry {self.head.seq}, but entry {noted[0]} was committed: "
                f"{name}-wal is missing or damaged, or the file is an older copy. Restore it; to "
                f"continue without the missing entries, remove {name}-lock"
            )


def create_file(target: Path, lock: WriteLock, content: StateFileContent) -> None:
    """Create the file of a new state, whole or not at all.

    It is written under another name and then moved. Remains of a killed process under that name are
    removed; only the holder of the lock writes there. Raises `StateError` if the file or one of
    SQLite's files beside it exists, or the file cannot be written.
    """
    beside = Path(f"{target}-new")
    for there in (target, *(Path(f"{target}{suffix}") for suffix in SUFFIXES)):
        if os.path.lexists(there):
            raise StateError(
                f"{target}: {there.name} exists already. Give the new state another path, or "
                "remove the files of the older state"
            )
    lock.note(content.seq, content.seq)  # there may be a note about a removed state
    try:
        _remove(beside)
        with name_path_in_errors(target):
            _write_new(beside, content)
        atomic.sync(beside)
        os.replace(beside, target)
        atomic.sync(target.parent)
    except OSError as error:
        raise StateError(f"{target}: the file cannot be written: {error.strerror}") from None
    finally:
        with suppress(OSError):
            _remove(beside)


def write_rewritten(path: Path, seq: int, rewritten: RewrittenSegment) -> bytes:
    """Write a segment from which forgotten rows were removed; return the digest of its content.

    `seq` is the number of its base. Raises `StateError` if it cannot be written.
    """
    one, last = rewritten, b""

    def put(connection: sqlite3.Connection) -> None:
        nonlocal last
        connection.execute("BEGIN")
        content = StateFileContent(seq, one.base, one.settings, one.plans, one.links, b"")
        head = _put_content(connection, content)
        pending, last = list[PendingEntry](), head.digest
        for written in one.entries:
            segment = encode_entry(written)
            last = digest_of_segment(last, written.seq, segment)
            pending.append(PendingEntry(written.seq, segment, last, written.plans))
        _put_entries(connection, pending)
        if pending:
            _put_head(connection, StateFileHead(pending[-1].seq, last, seq))
        connection.execute("COMMIT")

    _write_whole(path, put)
    return last


def _write_whole(path: Path, put: Callable[[sqlite3.Connection], None]) -> None:
    """Write a file of the archive, whole or not at all; `put` fills its tables."""
    beside = Path(f"{path}-new")
    try:
        path.parent.mkdir(exist_ok=True)
        with name_path_in_errors(path):
            _write_file(beside, put, mode="DELETE")
        atomic.sync(beside)
        os.replace(beside, path)
        atomic.sync(path.parent)
    except OSError as error:
        told = f"{path}: the archive segment cannot be written: {error.strerror}"
        raise StateError(told) from None
    finally:
        with suppress(OSError):
            _remove(beside)


def _write_new(path: Path, content: StateFileContent) -> None:
    def put(connection: sqlite3.Connection) -> None:
        connection.execute("BEGIN")
        _put_content(connection, content)
        connection.execute("COMMIT")

    _write_file(path, put, mode="WAL")


def _write_file(path: Path, put: Callable[[sqlite3.Connection], None], *, mode: str) -> None:
    """Write a new file in the format of a state, which nobody reads yet; `put` fills its tables."""
    connection = sqlite3.connect(path, isolation_level=None, uri=True)
    try:
        connection.execute("PRAGMA journal_mode = OFF")
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute(f"PRAGMA application_id = {APPLICATION}")
        connection.execute(f"PRAGMA user_version = {FORMAT}")
        for statement in TABLES:
            connection.execute(statement)
        put(connection)
        connection.execute(f"PRAGMA journal_mode = {mode}")
    finally:
        connection.close()


def _put_content(connection: sqlite3.Connection, content: StateFileContent) -> StateFileHead:
    """Write a base with its plans, key and past; return the new head of the file."""
    seq, links, digests = content.seq, content.links, list[bytes]()
    for part in split_base(content.base):
        connection.execute(
            "INSERT INTO parts VALUES (NULL, ?, ?, ?, ?)", (seq, part.kind, part.name, part.content)
        )
        digests.append(digest_of_part(part))
    plans = digests_of_plans(content.plans)
    head = encode_base_head(content.base, digests, content.settings, plans)
    digest = digest_of_base(head, links)
    connection.execute(
        "INSERT INTO bases VALUES (?, ?, ?, ?, ?, ?)",
        (seq, head, links.previous, links.link, links.digests, digest),
    )
    _put_plans(connection, content.plans)
    connection.execute("DELETE FROM keys")
    if content.key:
        key = content.key
        connection.execute("INSERT INTO keys VALUES (?, ?)", (sha256(key).digest(), key))
    else:
        for table in ("links", "archived", "archive"):
            connection.execute(f"DELETE FROM {table}")
    if content.past is not None:
        number = put_past(connection, content.past)
        if content.segments.new is not None:
            put_archived(connection, {number: content.segments.new})
    put_archived(connection, content.segments.others)
    reached = StateFileHead(seq, digest, seq)
    _put_head(connection, reached)
    return reached


def _put_entries(connection: sqlite3.Connection, pending: Sequence[PendingEntry]) -> None:
    connection.executemany(
        "INSERT INTO segments VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [_row_of(entry) for entry in pending],
    )
    for entry in pending:
        _put_plans(connection, entry.plans)


def _put_plans(connection: sqlite3.Connection, plans: Mapping[str, bytes]) -> None:
    for content in plans.values():
        connection.execute(
            "INSERT OR IGNORE INTO artifacts VALUES (?, ?)", (sha256(content).digest(), content)
        )


def _put_head(connection: sqlite3.Connection, head: StateFileHead) -> None:
    connection.execute(
        "INSERT OR REPLACE INTO head VALUES (1, ?, ?, ?, ?)",
        (head.seq, head.digest, head.base, __version__),
    )


def _row_of(entry: PendingEntry) -> tuple[Any, ...]:
    s = entry.segment
    values = (s.kind, s.source, s.end, s.head, s.rows, s.kept, s.stored, s.link, s.digests)
    return (entry.seq, *values, entry.digest)


def _remove(path: Path) -> None:
    for suffix in ("", "-wal", "-shm", "-journal"):
        Path(f"{path}{suffix}").unlink(missing_ok=True)
