"""`Follower`: the state of another process, read beside it: what it has committed since."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastfeat.errors import StateError
from fastfeat.online.entries import Base, Entry
from fastfeat.online.state_file import (
    Head,
    connect,
    explained,
    read_base,
    read_base_digest,
    read_beside,
    read_entries,
    read_head,
    read_plans,
    read_seqs,
)


@dataclass(frozen=True, slots=True)
class News:
    """What a follower has not given yet.

    Args:
        base: the state to begin anew from; None where the entries follow those given before.
        entries: what has changed since, in order.
    """

    base: Base | None
    entries: tuple[Entry, ...]


class Follower:
    """The file of a state, read beside the process that writes it, or of one that nobody writes.

    Args:
        path: of the file.
        checked: whether what is altered is an error; an audit reads it as it is, and says what.

    Raises:
        StateError: it is missing, no state, newer, truncated, or altered.
    """

    def __init__(self, path: str | os.PathLike[str], *, checked: bool = True) -> None:
        self.path = Path(path)
        self.seq: int | None = None
        self._checked = checked
        self._digest = b""
        self._lock = threading.Lock()
        self._connection = connect(self.path, writes=False)
        with self._snapshot() as (_, head):
            self.settings: Mapping[str, Any] = read_beside(self._connection, head.base)[0]

    @property
    def plans(self) -> Mapping[str, bytes]:
        """The artifact of each plan, by name, as they are now."""
        with self._snapshot() as (connection, head):
            return read_plans(connection, head.base)

    @property
    def base_seqs(self) -> tuple[int, ...]:
        """The numbers of the entries that the bases in the file end with; the last one counts."""
        with self._snapshot() as (connection, _):
            return read_seqs(connection)

    def base(self, seq: int) -> Base:
        """Return a base of the file, by its number.

        Raises:
            StateError: there is none, or it is altered.
        """
        with self._snapshot() as (connection, _):
            return read_base(connection, seq, checked=self._checked)

    def news(self) -> News:
        """Return what was committed since the last call; at first, the base and what follows it.

        Where a compaction has taken away entries that were not given yet, it begins anew.

        Raises:
            StateError: it is altered.
        """
        with self._snapshot() as (connection, head):
            base = None
            after, digest = self.seq, self._digest
            if after is None or after < head.base:
                base = read_base(connection, head.base, checked=self._checked)
                after = head.base
            if after == head.base:
                digest = read_base_digest(connection, head.base)
            entries: list[Entry] = []
            for some, reached in self._pages(connection, after, digest, head):
                entries += some
                digest = reached
            self.seq, self._digest = head.seq, digest
            return News(base, tuple(entries))

    def entries(self, after: int) -> Iterator[Entry]:
        """Return the entries in the file after a base, in order, those before the last base too.

        Args:
            after: the number of a base.

        Raises:
            StateError: there is no such base, or an entry is altered.
        """
        with self._snapshot() as (connection, head):
            bases = [*read_seqs(connection), head.seq]
            digest = read_base_digest(connection, after)
            found = list(self._pages(connection, after, digest, head))
        del bases
        for some, _ in found:
            yield from some

    def close(self) -> None:
        """End reading."""
        with self._lock:
            self._connection.close()
