"""The past of a file of a state: the changes that a base replaces, of which the links are sealed.

Where the state has an archive, segments keep the changes themselves, in files of their own.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path

from fastfeat.live.file.archive import (
    FOREVER,
    ArchiveChange,
    Archived,
    Archiving,
    Forgotten,
    Rewritten,
    at,
    new_name,
    read_archived,
    read_forgotten,
    remove_others,
)
from fastfeat.live.file.past import Past, Sealing, past_of, read_past
from fastfeat.live.file.state_file import naming_state, read_changes, read_links
from fastfeat.live.file.state_writer import Pending, StateWriter, write_rewritten

Forgetting = Callable[
    [Sequence[tuple[Path, Past]], Sequence[Forgotten]], Iterator[Rewritten | None]
]
"""What gives segments without what was forgotten; None for one that does not have it."""


@dataclass(slots=True)
class ReplacedChanges:
    """The changes of a state that a base replaces: what seals them, and where segments are kept.

    Args:
        file: The state, open for writing.
        seal: Of the changes that were replaced so far; empty before the first base.
        archiving: Where segments are kept, and how long; None for nowhere.
        sealing: Gives seals; None without the key of an audit.
        forgetting: Gives segments without what was forgotten.
        owner: What tells its segments apart from those of other states in one folder.
    """

    file: StateWriter
    seal: bytes
    archiving: Archiving | None
    sealing: Sealing | None = None
    forgetting: Forgetting | None = None
    owner: str = ""

    def keep(self, archiving: Archiving | None) -> None:
        """Have segments of what bases replace be kept, and finish what was begun of them.

        Args:
            archiving: where, and how long, from now on; None for as the file has it.

        Raises:
            StateError: it cannot be written.
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

    def past(self, pending: Sequence[Pending]) -> Past | None:
        """Return the past that the entries after the base become; None without a key.

        Args:
            pending: the last entries, which are not in the file yet.
        """
        if self.sealing is None:
            return None
        connection, base = self.file.connection, self.file.head.base
        with naming_state(self.file.path):
            links = read_links(connection, base)
            before = [] if self.seal else [links.previous]
            changes = chain(
                read_changes(connection, base),
                ((one.segment.kind, one.segment.head, one.segment.link) for one in pending),
            )
            return past_of(
                base,
                [*before, links.link],
                changes,
                time.time_ns(),
                partial(self.sealing, self.seal),
            )

    def segments(
        self, past: Past, pending: Sequence[Pending], archiving: Archiving
    ) -> ArchiveChange:
        """Return the segments that the next base changes, after their files are written."""
        folder, now = archiving.path(self.file.path), time.time_ns()
        others = self._too_old(archiving)
        connection = self.file.connection
        with naming_state(self.file.path):
            forgotten = read_forgotten(connection, self.file.head.base)
            known, pasts = read_archived(connection), read_past(connection)
        if not forgotten:
            if not past.n_changes:
                return ArchiveChange(None, others)
            name = new_name(self.file.path, self.owner, past)
            digest = self.file.write_segment(folder / name, pending)
            return ArchiveChange(self._sealed(Archived(name, digest, now)), others)
        assert self.forgetting is not None
        assert not pending, "what was forgotten is erased before plans change"
        there = [n for n, one in known.items() if one.file and n not in others]
        sources = [(folder / known[n].file, pasts[n - 1]) for n in there]
        found: list[Archived | None] = []
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
            found.append(Archived(name, digest, now, now))
            at("a segment written")
        for n, one in zip(there, found, strict=False):
            if one is not None:
                others[n] = self._sealed(replace(one, sealed_ns=known[n].sealed_ns))
        new = found[-1]
        return ArchiveChange(None if new is None else self._sealed(new), others)

    def remove_others(self) -> bool:
        """Remove segments that the file does not name; return whether none of them is left."""
        if self.archiving is None or not self.owner:
            return True
        with naming_state(self.file.path):
            named = [one.file for one in read_archived(self.file.connection).values()]
        folder = self.archiving.path(self.file.path)
        return remove_others(folder, self.file.path, self.owner, named)

    def files(self) -> list[Path]:
        """Return the files of the segments that the file names."""
        if self.archiving is None:
            return []
        folder = self.archiving.path(self.file.path)
        with naming_state(self.file.path):
            segments = read_archived(self.file.connection).values()
        return [folder / one.file for one in segments if one.file]

    def _sealed(self, one: Archived) -> Archived:
        assert self.sealing is not None
        return replace(one, seal=self.sealing(b"archived", one.facts, b""))

    def _too_old(self, archiving: Archiving) -> dict[int, Archived]:
        """Return the segments that are older than what is kept, as they are named from now on."""
        now = time.time_ns()
        with naming_state(self.file.path):
            known = read_archived(self.file.connection)
        return {
            past: self._sealed(Archived("", b"", one.sealed_ns, now))
            for past, one in known.items()
            if one.file and archiving.keep_ns != FOREVER and one.sealed_ns + archiving.keep_ns < now
        }
