"""`Follower`: the state of another process, read beside it: what it has committed since."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fastfeat.errors import StateError
from fastfeat.live.file.archive import Archived, read_archived, read_archiving
from fastfeat.live.file.entries import Links, WrittenEntry
from fastfeat.live.file.past import Past, read_past, read_seal
from fastfeat.live.file.state_file import (
    Head,
    check_base,
    connect,
    file_at,
    naming_state,
    path_of,
    read_artifact,
    read_base,
    read_base_digest,
    read_beside,
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
class News:
    """The changes that a follower has not given yet.

    Args:
        base: the state to begin anew from; None where the entries follow those given before.
        entries: what has changed since, in order.
    """

    base: Base | None
    entries: tuple[WrittenEntry, ...]


class Follower:
    """The file of a state, read beside the process that writes it, or of one that nobody writes.

    Args:
        path: of the file.
        checked: whether what is altered is an error; an audit reads it as it is, and says what.

    Raises:
        StateError: it is missing, no state, newer, truncated, or altered.
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
        """The artifact of each plan, by name, as they are now."""
        with self._snapshot() as (connection, head):
            return read_plans(connection, head.base)

    def plans_at(self, base: int) -> Mapping[str, bytes]:
        """Return the artifact of each plan, by name, as they were at a base."""
        with self._snapshot() as (connection, _):
            named = read_beside(connection, base)[1]
            return {name: read_artifact(connection, key) for name, key in named.items()}

    @property
    def head(self) -> Head:
        """The head of the state: the number of the last entry, and of the base that counts."""
        with self._snapshot() as (_, head):
            return head

    @property
    def past(self) -> list[Past]:
        """The changes that bases have replaced, from the first one on."""
        with self._snapshot() as (connection, _):
            return read_past(connection)

    @property
    def archive(self) -> Path | None:
        """The folder of its segments; None where it keeps none."""
        with self._snapshot() as (connection, _):
            found = read_archiving(connection)
        return None if found is None else found.path(self.path)

    @property
    def archived(self) -> Mapping[int, Archived]:
        """Its segments, by the number of their past, counted from 1."""
        with self._snapshot() as (connection, _):
            return read_archived(connection)

    def check_base(self, seq: int) -> None:
        """Raise where a base does not match its SHA-256."""
        with self._snapshot() as (connection, _):
            check_base(connection, seq)

    def base(self, seq: int) -> Base:
        """Return a base of the file, by its number.

        Raises:
            StateError: there is none, or it is altered.
        """
        with self._snapshot() as (connection, _):
            return read_base(connection, seq, checked=self._checked)

    def links(self, base: int) -> Links:
        """Return the links of a base, by its number."""
        with self._snapshot() as (connection, _):
            return read_links(connection, base, checked=self._checked)

    @property
    def key(self) -> bytes:
        """The key of the audit; empty where there is none, or it was deleted."""
        with self._snapshot() as (connection, _):
            return read_key(connection)

    def news(self) -> News:
        """Return the news since the last call; at first, the base and the entries after it.

        Where a compaction has taken away entries that were not given yet, it begins anew.

        Raises:
            StateError: it is altered.
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
            return News(base, tuple(entries))

    def each(self, base: int) -> Iterator[WrittenEntry]:
        """Return the entries in the file after its base, read some at a time.

        Args:
            base: the number of the base.

        Raises:
            StateError: there is no such base, or an entry is altered; those before have been given.
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
            raise StateError(f"it is altered: it has {begin} entries of {until.seq}")

    def check_opening(self) -> None:
        """Raise where an opening for writing would, after its base and its entries were read."""
        with self._snapshot() as (connection, head):
            read_offsets(connection, head.base)
            read_link(connection, head.base)
            read_seal(connection)
            read_plans(connection, head.base)

    def close(self) -> None:
        """End reading."""
        with self._lock:
            self._connection.close()

    def _between(
        self, connection: sqlite3.Connection, begin: int, digest: bytes, until: Head
    ) -> tuple[list[WrittenEntry], bytes]:
        """Return the entries from one on, and the digest up to the last of them."""
        entries: list[WrittenEntry] = []
        while begin < until.seq:
            some, digest = read_entries(connection, begin, digest, until, checked=self._checked)
            if not some:
                break
            entries += some
            begin = some[-1].seq
        return entries, digest

    @contextmanager
    def holding(self) -> Generator[None]:
        """Have all that the body reads be of one commit, whatever is written meanwhile."""
        with self._snapshot():
            self._is_held = True
        self._connection.execute("BEGIN")
        try:
            yield
        finally:
            self._is_held = False
            self._connection.execute("COMMIT")

    @contextmanager
    def _snapshot(self) -> Generator[tuple[sqlite3.Connection, Head]]:
        """Give the connection in the middle of a read, which sees one commit, and where that is."""
        if os.getpid() != self._process:
            raise StateError(f"{self.path} was opened in process {self._process}: open it anew")
        if file_at(self.path) != self._file:
            raise StateError(f"{self.path} is another file than when it was opened: open it anew")
        with self._lock, naming_state(self.path):
            if self._is_held:
                yield self._connection, read_head(self._connection)
                return
            self._connection.execute("BEGIN")
            try:
                yield self._connection, read_head(self._connection)
            finally:
                self._connection.execute("COMMIT")
