"""The changes that a state file no longer holds because a base, a whole state, replaced them.

The file keeps their audit hashes under a seal, in a record called a past. If the state has an
archive, its segments keep the changes themselves, in separate files.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path

from fastfeat_kernels.records import dataclass

from fastfeat.live.file.archive import (
    FOREVER,
    ArchiveChange,
    ArchivedSegment,
    ArchiveSettings,
    ForgottenValues,
    RewrittenSegment,
    at,
    new_name,
    read_archived,
    read_forgotten,
    remove_unnamed_segments,
)
from fastfeat.live.file.sealed_changes import SealedChanges, SealFunction, read_past, seal_changes
from fastfeat.live.file.state_file import name_path_in_errors, read_changes, read_links
from fastfeat.live.file.state_writer import PendingEntry, StateWriter, write_rewritten

SegmentRewriter = Callable[
    [Sequence[tuple[Path, SealedChanges]], Sequence[ForgottenValues]],
    Iterator[RewrittenSegment | None],
]
"""Function that yields each segment's content without forgotten rows; None if it has none."""


@dataclass(slots=True)
class ReplacedChanges:
    """Seals the changes that a new base replaces, and archives them.

    Args:
        file: The state file, open for writing.
        seal: Seal of the last past; empty if no changes were replaced yet.
        archiving: Archive folder and retention; None for no archive.
        sealing: Function that returns seals; None without a key of the audit.
        forgetting: Function that yields segments without forgotten rows.
        owner: Text in the names of this state's segments, which tells them from other states in one
            folder.
    """

    file: StateWriter
    seal: bytes
    archiving: ArchiveSettings | None
    sealing: SealFunction | None = None
    forgetting: SegmentRewriter | None = None
    owner: str = ""

    def keep(self, archiving: ArchiveSettings | None) -> None:
        """Archive replaced changes from now on, and remove segments that are too old or not in use.

        `archiving` of None keeps the setting in the file; without an archive or a key, nothing
        happens. Raises `StateError` if the setting cannot be written.
        """
        wanted = archiving or self.archiving
        if wanted is None or self.sealing is None:
            return
        path = os.fsencode(self.file.path)
        self.owner = self.sealing(b"owner", path, b"").hex()[:12]
        dropped = self._too_old(wanted)
        if wanted != self.archiving or dropped:
            self.file.put_archive(wanted, dropped)
        self.archiving = wanted
        self.remove_others()

    def past(self, pending: Sequence[PendingEntry]) -> SealedChanges | None:
        """Return the sealed record of all entries after the base, with those not in the file yet.

        None without a key of the audit.
        """
        if self.sealing is None:
            return None
        connection, base = self.file.connection, self.file.head.base
        with name_path_in_errors(self.file.path):
            links = read_links(connection, base)
            before = [] if self.seal else [links.previous]
            changes = chain(
                read_changes(connection, base),
                ((one.segment.kind, one.segment.head, one.segment.link) for one in pending),
            )
            return seal_changes(
                base,
                [*before, links.link],
                changes,
                time.time_ns(),
                partial(self.sealing, self.seal),
            )

    def segments(
        self, past: SealedChanges, pending: Sequence[PendingEntry], archiving: ArchiveSettings
    ) -> ArchiveChange:
        """Write new segments to the archive, and return the changed descriptions of segments.

        It writes a segment of the changes after the base. If these changes forget rows, it also
        writes a copy of every segment with such rows, without them. The caller stores the
        descriptions with the new base.
        """
        folder, now = archiving.path(self.file.path), time.time_ns()
        others = self._too_old(archiving)
        connection = self.file.connection
        with name_path_in_errors(self.file.path):
            forgotten = read_forgotten(connection, self.file.head.base)
            known, pasts = read_archived(connection), read_past(connection)
        if not forgotten:
            if not past.n_changes:
                return ArchiveChange(None, others)
            name = new_name(self.file.path, self.owner, past)
            digest = self.file.write_segment(folder / name, pending)
            return ArchiveChange(self._sealed(ArchivedSegment(name, digest, now)), others)
        assert self.forgetting is not None
        assert not pending, "forgotten rows are erased before plans change"
        there = [n for n, one in known.items() if one.file and n not in others]
        sources = [(folder / known[n].file, pasts[n - 1]) for n in there]
        found: list[ArchivedSegment | None] = []
        for (_, of), rewritten in zip(
            [*sources, (self.file.path, past)],
            self.forgetting([*sources, (self.file.path, past)], forgotten),
            strict=True,
        ):
            if rewritten is None:
                found.append(None)
                continue
            name = new_name(self.file.path, self.owner, of)
            digest = write_rewritten(folder / name, of.first, rewritten)
            found.append(ArchivedSegment(name, digest, now, now))
            at("a segment written")
        for n, one in zip(there, found, strict=False):
            if one is not None:
                others[n] = self._sealed(replace(one, sealed_ns=known[n].sealed_ns))
        new = found[-1]
        return ArchiveChange(None if new is None else self._sealed(new), others)

    def remove_others(self) -> bool:
        """Remove segments that the state file does not name; return whether all are gone."""
        if self.archiving is None or not self.owner:
            return True
        with name_path_in_errors(self.file.path):
            named = [one.file for one in read_archived(self.file.connection).values()]
        folder = self.archiving.path(self.file.path)
        return remove_unnamed_segments(folder, self.file.path, self.owner, named)

    def files(self) -> list[Path]:
        """Return the paths of the segments that the state file names."""
        if self.archiving is None:
            return []
        folder = self.archiving.path(self.file.path)
        with name_path_in_errors(self.file.path):
            segments = read_archived(self.file.connection).values()
        return [folder / one.file for one in segments if one.file]

    def _sealed(self, one: ArchivedSegment) -> ArchivedSegment:
        assert self.sealing is not None
        return replace(one, seal=self.sealing(b"archived", one.facts, b""))

    def _too_old(self, archiving: ArchiveSettings) -> dict[int, ArchivedSegment]:
        """Return the segments too old to be kept, marked as dropped, by number of their past."""
        now = time.time_ns()
        with name_path_in_errors(self.file.path):
            known = read_archived(self.file.connection)
        return {
            past: self._sealed(ArchivedSegment("", b"", one.sealed_ns, now))
            for past, one in known.items()
            if one.file and archiving.keep_ns != FOREVER and one.sealed_ns + archiving.keep_ns < now
        }
