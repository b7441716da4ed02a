"""`Journal`: writes the changes of a state to its file.

A file holds a base, which is a copy of a whole state, and the entries after it: changes with their
results, numbered over the life of the state. Opening a state reads the base and applies the entries
again. All writes of one call are one transaction. Compaction replaces all entries by a new base. A
link is the hash that the audit gives a change; it covers the link before it. A seal covers the
links of replaced changes.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np

from fastfeat.errors import StateError
from fastfeat.io.arrow import pa
from fastfeat.live.file.archive import (
    ArchiveChange,
    ArchiveSettings,
    at,
    read_archiving,
    remove,
)
from fastfeat.live.file.entries import Links, WrittenEntry, digest_of_segment, encode_entry
from fastfeat.live.file.follower import Follower
from fastfeat.live.file.replaced_changes import ReplacedChanges
from fastfeat.live.file.sealed_changes import read_seal
from fastfeat.live.file.state_file import (
    has_kind,
    name_path_in_errors,
    path_of,
    read_base,
    read_base_digest,
    read_entries,
    read_key,
    read_link,
    read_offsets,
    read_plans,
    read_settings,
    read_sizes,
)
from fastfeat.live.file.state_writer import (
    PendingEntry,
    StateFileContent,
    StateWriter,
    create_file,
)
from fastfeat.live.file.write_lock import WriteLock, take_write_lock
from fastfeat.live.state.changes import (
    Base,
    ChangeResults,
    Durability,
    Entry,
    Settings,
    StateChange,
)

_NO_LINKS = Links()
EntryLinker = Callable[[bytes, Entry], tuple[bytes, bytes]]
"""Function that returns the audit hash and digests of an entry, given the hash before it."""
BaseLinker = Callable[[bytes, Base, Settings, bytes], Links]
"""Function that returns the audit hashes of a base.

Its arguments are the hash before the base, the base, the settings, and the seal of the replaced
changes.
"""
INTERVAL = 1.0
SMALLEST_COMPACTION = 1 << 25
"""Bytes of entries below which no compaction is due."""


class Journal:
    """The file of a state, open for writing by this process alone. Thread-safe.

    Args:
        file: The open file.
        durability: When writes are on disk: "commit" before `write` returns, "interval" at most a
            second later, "checkpoint" when `flush` or `close` returns.
    """

    def __init__(self, file: StateWriter, durability: Durability) -> None:
        self.path = file.path
        self.durability = durability
        self.linking: EntryLinker | None = None
        self.linking_base: BaseLinker | None = None
        self._file = file
        self._process = os.getpid()
        self._lock = threading.RLock()
        self._pending: list[PendingEntry] = []
        self._due: float | None = None
        self._timer: threading.Timer | None = None
        self._seq, self._digest, base = file.head.seq, file.head.digest, file.head.base
        with name_path_in_errors(self.path):
            connection = file.connection
            self.settings = read_settings(connection, base)
            self.key = read_key(connection)
            self._plans = read_plans(connection, base)
            self._offsets = read_offsets(connection, base)
            self._link: bytes = read_link(connection, base)
            self._n_base_bytes, self._n_bytes = read_sizes(connection, base)
            self._is_erasing = has_kind(connection, base, "forget")
            seal, archiving = read_seal(connection), read_archiving(connection)
        self.replaced = ReplacedChanges(file, seal, archiving)
        self._end = weakref.finalize(self, _end, file, self._pending, durability)

    @staticmethod
    def create(
        path: str | os.PathLike[str],
        plans: Mapping[str, bytes],
        settings: Settings,
        base: Base,
        durability: Durability = "commit",
        *,
        key: bytes = b"",
        links: Links = _NO_LINKS,
    ) -> Journal:
        """Return the journal of a new state, after creating its file whole or not at all.

        Args:
            path: Path of the file, which must not exist.
            plans: Plan name to artifact bytes.
            settings: Settings of the state.
            base: Content that it begins with.
            durability: When writes are on disk; see `Journal`.
            key: Key of the audit; empty without one.
            links: Audit hashes of the base; empty without a key.

        Raises:
            StateError: The file exists, or cannot be written.
        """
        content = StateFileContent(0, base, settings, plans, links, key)

        def create(target: Path, lock: WriteLock) -> None:
            create_file(target, lock, content)

        return _open_journal(path, durability, create)

    @staticmethod
    def open(path: str | os.PathLike[str], durability: Durability = "commit") -> Journal:
        """Return the journal of an existing state.

        Raises `StateError` if the file is missing, in use, from a newer version, truncated or
        altered, or lacks its last commit.
        """
        return _open_journal(path, durability, _check_there)

    @staticmethod
    def follow(path: str | os.PathLike[str], *, checked: bool = True) -> Follower:
        """Return a reader of a state file that another process may be writing."""
        return Follower(path, checked=checked)

    @property
    def plans(self) -> Mapping[str, bytes]:
        """A dict of plan name to artifact bytes, after the last written entry."""
        return dict(self._plans)

    @property
    def offsets(self) -> Mapping[str, int]:
        """A dict of source name to the offset after its last written row.

        It includes rows that are not on disk yet.
        """
        return dict(self._offsets)

    @property
    def seq(self) -> int:
        """The number of the last written entry, including entries not on disk yet."""
        return self._seq

    @property
    def link(self) -> bytes:
        """The audit hash of the last entry, or of the base if none follows; empty without a key."""
        return self._link

    @property
    def is_erasing(self) -> bool:
        """Whether the file may still hold rows that were to be forgotten."""
        return self._is_erasing

    @property
    def wants_compaction(self) -> bool:
        """Whether the entries take more than 32 MiB, and more than twice the room of the base.

        A state of a million entities takes seconds to write, while entries are read again at a
        million rows a second.
        """
        return self._n_bytes > max(SMALLEST_COMPACTION, 2 * self._n_base_bytes)

    def base(self) -> Base:
        """Return the base that the entries follow; raise `StateError` if it is altered."""
        with self._using(), name_path_in_errors(self.path):
            return read_base(self._file.connection, self._file.head.base)

    def entries(self) -> Iterator[WrittenEntry]:
        """Yield the entries on disk after the base, in order; nothing may be written meanwhile.

        Raises `StateError` if an entry is missing or altered, after yielding the entries before it.
        """
        with self._using(), name_path_in_errors(self.path):
            head = self._file.head
            after, digest = head.base, read_base_digest(self._file.connection, head.base)
        while True:
            with self._using(), name_path_in_errors(self.path):
                some, digest = read_entries(self._file.connection, after, digest, head)
            yield from some
            if not some or some[-1].seq >= head.seq:
                return
            after = some[-1].seq

    def write(self, entries: Sequence[Entry]) -> None:
        """Write the changes of one call, in one transaction.

        Raises `StateError` if nothing is written because the disk is full, an earlier delayed write
        has failed, or the journal is closed.
        """
        self._write([(entry, {}) for entry in entries])

    def change_plans(self, plans: Mapping[str, bytes], base: Base, time_ns: int) -> None:
        """Record other plans, and replace all entries by a base for them, in one transaction.

        `plans` maps plan name to artifact bytes; `base` is the state with the window results that
        these plans store beside rows. Raises `StateError` if nothing is written.
        """
        with self._using():
            self._flush_whole()
            change = StateChange("plans", pa.table({}), time_ns=time_ns)
            entry = Entry(change, ChangeResults({}, np.zeros(0, np.bool_)))
            pending, link = self._linked([(entry, plans)])
            before = self._seq, self._link, self._plans
            self._seq, self._link, self._plans = pending[-1].seq, link, dict(plans)
            try:
                self._put(base, pending)
            except BaseException:
                self._seq, self._link, self._plans = before
                raise

    def keep_past(self, archiving: ArchiveSettings | None) -> None:
        """Keep replaced changes in an archive from now on; see `ReplacedChanges.keep`."""
        with self._using():
            self.replaced.keep(archiving)

    def flush(self) -> None:
        """Write all entries that are not on disk yet.

        Raises `StateError` if that fails; the next call tries again.
        """
        with self._using():
            self._flush()

    def compact(
        self,
        base: Base,
        *,
        erases: bool = False,
    ) -> bool:
        """Replace all entries by a base, whole or not at all; the audit hashes of the entries stay.

        If no entry was written since the last base, `base` is not used, since the file has it
        already. With `erases`, the deleted content is also erased from the file.

        Returns:
            With `erases`, whether nothing is left. A reader in the middle of a read may keep erased
            content in the write-ahead log until `erase` is called again or the state is closed, and
            the system may refuse to remove a segment, which is tried again later.

        Raises:
            StateError: The base cannot be written, and the file is as before; with durability
                "checkpoint" also if there are changes that are not on disk.
        """
        with self._using():
            self._flush_whole()
            if self._seq == self._file.head.base:
                is_gone = self.replaced.remove_others()
            else:
                is_gone = self._put(base)
            return self._file.erase_remains() and is_gone if erases else True

    def settle(self, base: Callable[[], Base], *, erases: bool = False) -> None:
        """Compact the file if that is due: after a change that forgets rows, or with many entries.

        With durability "checkpoint", it waits until all changes are on disk. If the disk has too
        little room for a base, that is no error, and a later call tries again.

        Args:
            base: Function that returns the state after the last written entry.
            erases: Whether the last change forgot rows.

        Raises:
            StateError: Forgotten rows could not be erased.
        """
        with self._using():
            self._is_erasing |= erases
            if self.durability == "checkpoint" and self._pending:
                return
            if self._is_erasing:
                self._is_erasing = not self.compact(base(), erases=True)
            elif self.wants_compaction:
                try:
                    self.compact(base())
                except StateError:
                    self._n_base_bytes = self._n_bytes - self._n_bytes // 4

    def delete_key(self, base: Base) -> bool:
        """Delete the key of the audit, and replace all entries by `base`.

        Return whether all replaced content is erased, also in the archive. Without the key, digests
        reveal nothing about any row. Raises `StateError` as `compact` does; then the key stays.
        """
        with self._using():
            files, past = self.replaced.files(), self.replaced
            before = self.key, self.linking, self.linking_base, past.sealing
            self.key, self.linking, self.linking_base, past.sealing = b"", None, None, None
            try:
                self._flush_whole()
                is_gone = self._put(base)
                is_erased = self._file.erase_remains() and is_gone
            except StateError:
                self.key, self.linking, self.linking_base, past.sealing = before
                raise
            return remove(files) and is_erased

    def erase(self) -> bool:
        """Erase content that SQLite has deleted; return whether nothing of it is left in the file.

        See `compact` for the reasons why some may be left.
        """
        with self._using():
            return self._file.erase_remains()

    def close(self) -> None:
        """Write all entries that are not on disk yet, and close the file.

        Raises `StateError` if that fails; the journal then stays open.
        """
        if self._end.alive:
            with self._using():
                self._flush()
                self._end()

    def discard(self) -> None:
        """Close the file without writing pending entries."""
        if self._end.alive:
            with self._using():
                self._pending.clear()
                self._end()

    def _using(self) -> threading.RLock:
        """Return the lock; raise `StateError` if the journal is closed, or opened before a fork."""
        if os.getpid() != self._process:
            raise StateError(
                f"{self.path} was opened in process {self._process}, before this process was "
                "forked from it. Open it after the fork"
            )
        if not self._end.alive:
            raise StateError(f"{self.path} is closed")
        return self._lock

    def _write(self, given: Sequence[tuple[Entry, Mapping[str, bytes]]]) -> None:
        with self._using():
            if self._due is not None and time.monotonic() >= self._due:
                self._flush()
            pending, link = self._linked(given)
            if self.durability == "commit" and pending:
                self._file.commit(pending)
            else:
                self._pending += pending
            for one, (entry, plans) in zip(pending, given, strict=True):
                self._seq, self._digest, self._link = one.seq, one.digest, link
                self._n_bytes += one.segment.n_bytes
                self._plans = dict(plans) or self._plans
                if entry.change.source:
                    self._offsets[entry.change.source] = entry.change.end
            if self.durability == "interval":
                self._wait()

    def _linked(
        self, given: Sequence[tuple[Entry, Mapping[str, bytes]]]
    ) -> tuple[list[PendingEntry], bytes]:
        """Return entries as rows of the file, and the audit hash of the last one."""
        seq, digest, link, pending = self._seq, self._digest, self._link, list[PendingEntry]()
        for entry, plans in given:
            seq, digests = seq + 1, b""
            if self.linking is not None:
                link, digests = self.linking(link, entry)
            segment = encode_entry(WrittenEntry(seq, entry, link, digests, plans))
            digest = digest_of_segment(digest, seq, segment)
            pending.append(PendingEntry(seq, segment, digest, plans))
        return pending, link

    def _put(self, base: Base, pending: Sequence[PendingEntry] = ()) -> bool:
        """Replace all entries, also `pending` ones that were never in the file, by a base.

        Return whether all segments of the archive that the file no longer names are removed.
        """
        given, known = replace(base, offsets=self.offsets), replace(_NO_LINKS, previous=self._link)
        replaced = self.replaced
        past = replaced.past(pending)
        seal = replaced.seal if past is None else past.seal
        if self.linking_base is not None:
            known = self.linking_base(self._link, given, self.settings, seal)
        segments = ArchiveChange()
        if past is not None and replaced.archiving is not None:
            segments = replaced.segments(past, pending, replaced.archiving)
            at("segments written")
        parts = (self._seq, given, self.settings, self._plans, known, self.key)
        self._file.put_base(StateFileContent(*parts, past, segments), pending)
        at("segments named")
        self._digest, self._link = self._file.head.digest, known.link
        replaced.seal = seal if self.key else b""
        with name_path_in_errors(self.path):
            sizes = read_sizes(self._file.connection, self._seq)
        self._n_base_bytes, self._n_bytes = sizes
        is_gone = replaced.remove_others()
        if not self.key:
            replaced.archiving = None
        return is_gone

    def _flush_whole(self) -> None:
        """Commit pending entries; raise `StateError` if they must wait for a checkpoint."""
        if self.durability == "checkpoint" and self._pending:
            raise StateError(
                f"{self.path}: some changes are not on disk yet. Call live.checkpoint() first"
            )
        self._flush()

    def _flush(self) -> None:
        """Commit pending entries; if that fails, they stay pending."""
        if self._pending:
            self._file.commit(self._pending)
            self._pending.clear()
        self._due = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _wait(self) -> None:
        """Start a timer that commits pending entries after `INTERVAL` seconds."""
        if self._timer is None:
            if self._due is None:
                self._due = time.monotonic() + INTERVAL
            self._timer = threading.Timer(INTERVAL, _flush_later, (weakref.ref(self),))
            self._timer.daemon = True
            self._timer.start()

    def flush_later(self) -> None:
        """Commit pending entries; the timer calls this.

        After an error, the timer starts again.
        """
        with suppress(StateError), self._using():
            self._timer = None
            try:
                self._flush()
            except StateError:
                self._wait()
                raise


def _open_journal(
    path: str | os.PathLike[str], durability: Durability, prepare: Callable[[Path, WriteLock], None]
) -> Journal:
    target = path_of(path)
    lock = take_write_lock(target)
    try:
        prepare(target, lock)
        file = StateWriter(target, lock)
    except BaseException:
        lock.give_back()
        raise
    try:
        return Journal(file, durability)
    except BaseException:
        file.close()
        raise


def _check_there(path: Path, _: WriteLock) -> None:
    if not path.exists():
        raise StateError(f"{path}: there is no such state")


def _flush_later(journal: weakref.ref[Journal]) -> None:
    known = journal()
    if known is not None:
        known.flush_later()


def _end(file: StateWriter, pending: list[PendingEntry], durability: Durability) -> None:
    """Close the file of a journal that is closed or garbage-collected.

    With durability "interval", pending entries are committed first.
    """
    try:
        if pending and durability == "interval":
            file.commit(pending)
    finally:
        file.close()
