"""Replay of all changes of a state, first of its archive, then of its file.

Each change is applied again and compared with its record. A link is the hash of a change in the
audit chain. A base is a copy of a whole state, which replaces the changes before it. A past is the
record of the changes that one base replaced: their links under a seal. A segment is a file of the
archive, which keeps such changes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import field
from pathlib import Path

from fastfeat_kernels.records import dataclass

from fastfeat.errors import StateError, counted
from fastfeat.live.audit.chain import (
    BEGIN,
    Chain,
    artifacts_of,
    find_differing_fields,
    link_of,
    seal_of,
)
from fastfeat.live.audit.forgotten import WITHOUT, seal_of_entry, with_plans
from fastfeat.live.audit.recompute import (
    Difference,
    ReplayedState,
    ReplayMismatch,
    ReplayPlans,
    begin_replay,
    locate_difference,
)
from fastfeat.live.audit.replay_report import (
    KNOWN,
    UNKNOWN,
    VERIFIED,
    LinkVerdict,
    NotCovered,
    Replay,
)
from fastfeat.live.file.archive import ArchivedSegment
from fastfeat.live.file.entries import WrittenEntry
from fastfeat.live.file.follower import Follower
from fastfeat.live.file.sealed_changes import SealedChanges
from fastfeat.live.state.changes import ChangeResults, StateChange

PlansOf = Callable[[Mapping[str, bytes]], ReplayPlans]
ReplayListener = Callable[[StateChange, ChangeResults, ReplayedState], None]
"""Function that receives each change that matches its record, its results, and the state after."""
UNKNOWN_LINK = Difference(
    None,
    None,
    None,
    None,
    "the noted link is not in the chain: the file was rewritten or replaced",
)


@dataclass(slots=True)
class Walk:
    """A replay of all changes of a state, oldest first.

    Args:
        follower: Reader of the state file.
        key: Key of the audit.
        plans_of: Function from plan name to artifact bytes to the fitted plans.
        noted: Hash that the user noted elsewhere; None for none.
        committed: Numbers of the last committed change and its base, from the lock file; None if
            unknown.
        take: Function that receives each change that was applied again; None to pass on none.
        again: State after the changes so far; None before the first base.
        not_covered: Changes that cannot be applied again.
        is_met: Whether a change that matches its record has the noted hash.
        archive: Folder of the segments; None for the folder that the file names.
        since: For each past, the time when its changes were replaced, or lost from the archive, in
            nanoseconds since 1970.
    """

    follower: Follower
    key: bytes
    plans_of: PlansOf
    noted: bytes | None
    committed: tuple[int, int] | None
    take: ReplayListener | None = None
    again: ReplayedState | None = None
    not_covered: NotCovered = field(default_factory=NotCovered)
    is_met: bool = False
    archive: Path | None = None
    since: list[int] = field(default_factory=list[int])

    def report(self) -> Replay:
        """Apply all changes, and return the report."""
        noted: LinkVerdict | None = None
        since: int | None = None
        difference: Difference | None = None
        try:
            past = self._past()
            self._replay_file(past[-1] if past else None)
            if self.noted is not None:
                noted, since = self._known(past, self.noted)
        except ReplayMismatch as found:
            difference = found.difference
            if difference is UNKNOWN_LINK:
                noted = UNKNOWN
        again = self.again
        done = (0, 0, BEGIN) if again is None else (again.n_changes, again.n_rows, again.chain.head)
        return Replay(*done, difference, None, self.not_covered, noted, since)

    def _past(self) -> list[SealedChanges]:
        """Return the records of all replaced changes, after applying the archived ones again.

        Raises `ReplayMismatch` if seals or numbers do not match.
        """
        try:
            past, begin = self.follower.past, self.follower.head.base
            archived, folder = self.follower.archived, self.archive or self.follower.archive
        except StateError as error:
            raise ReplayMismatch(None, None, str(error)) from None
        seal, first, before = b"", past[0].first if past else begin, None
        if first:  # an earlier version replaced them, and kept no links
            self.not_covered = self.not_covered.and_also(first, None, None)
        for number, one in enumerate(past, 1):
            seal = seal_of(self.key, seal, one.facts, one.links)
            if one.seal != seal or one.first != first:
                told = f"the links of changes {one.first + 1:,} to {one.last:,}, which a snapshot"
                raise ReplayMismatch(
                    None, None, f"{told} has replaced, differ from the recorded links"
                )
            done = 0, 0
            segment, since = archived.get(number), one.replaced_ns
            if segment is not None:
                since = self._check_named(segment, one) or since
            if segment is not None and segment.file:
                known = (0, 0) if self.again is None else (self.again.n_changes, self.again.n_rows)
                file = (folder or Path()) / segment.file
                again = self._replay_segment(file, segment, one, before)
                done = again.n_changes - known[0], again.n_rows - known[1]
            left = one.n_changes - done[0], one.n_rows - done[1]
            self.not_covered = self.not_covered.and_also(*left, since if left[0] else None)
            self.since.append(since)
            first, before = one.last, one
        if first != begin:
            told = f"the links of changes {first + 1:,} to {begin:,} are missing"
            raise ReplayMismatch(None, None, told)
        return past

    def _check_named(self, segment: ArchivedSegment, past: SealedChanges) -> int:
        """Check the seal of a segment's description; return when it lost changes, 0 for never.

        The time is in nanoseconds since 1970.
        """
        if segment.seal != seal_of(self.key, b"archived", segment.facts, b""):
            told = f"the file's entry for the archive segment with changes {past.first + 1:,} to"
            raise ReplayMismatch(None, None, f"{told} {past.last:,} differs from the record")
        return segment.lost_ns

    def _replay_segment(
        self,
        path: Path,
        segment: ArchivedSegment,
        past: SealedChanges,
        before: SealedChanges | None,
    ) -> ReplayedState:
        """Apply the changes in one file of the archive again; return the state after them.

        `past` is the record of these changes, `before` of the changes before them.
        """
        if not path.exists():
            raise ReplayMismatch(
                None,
                None,
                f"the archive segment {path} with changes {past.first + 1:,} to {past.last:,} is "
                "missing. Restore it, or name its folder: archive=",
            )
        try:
            follower = Follower(path, checked=False)
        except StateError as error:
            raise ReplayMismatch(None, None, str(error)) from None
        with closing(follower), follower.pin_commit():
            if follower.head.digest != segment.digest or follower.head.base != past.first:
                what = f"the archive segment {path} is not the one that the state file names"
                raise ReplayMismatch(None, None, what)
            self._begin(follower, past.first, before, past)
            last = past.first
            for written in _each(follower, past.first):
                last = written.seq
                if written.link != past.link_of(last):
                    change = written.entry.change
                    raise ReplayMismatch(last, change, "its link differs from the recorded link")
                if written.digests.startswith(WITHOUT):
                    self._pass_over(written)
                else:
                    self._replay(written)
            if last != past.last:
                what = f"the archive segment {path} ends with change {last:,}, not {past.last:,}"
                raise ReplayMismatch(None, None, what)
        assert self.again is not None
        return self.again

    def _replay_file(self, past: SealedChanges | None) -> None:
        """Apply the changes in the state file again.

        `past` is the record of the changes before its base; None if there is none.
        """
        follower, base = self.follower, self.follower.head.base
        self._begin(follower, base, past)
        last = base
        for written in _each(follower, base):
            last = written.seq
            self._replay(written)
        _check_end(follower, last, self.committed)

    def _begin(
        self,
        follower: Follower,
        base: int,
        past: SealedChanges | None,
        own: SealedChanges | None = None,
    ) -> None:
        """Set `again` to the state that a base stores, after checking the base.

        Args:
            follower: Reader of the state file, or of a segment.
            base: Number of the base.
            past: Record of the changes before it; None if they are unknown.
            own: For a segment, the record of its changes.
        """
        before = past.link_of(past.last) if past is not None else None
        seal, noted = b"" if past is None else past.seal, None
        if own is not None:
            noted = own.link_of(own.first)
            seal = seal if follower.links(base).link == noted else WITHOUT
        self.again = _at_base(follower, base, self.key, self.plans_of, before, seal, self.again)
        if seal == WITHOUT and noted is not None:
            self.again.chain = Chain(self.key, noted)
        else:
            self.is_met |= self.again.chain.head == self.noted

    def _replay(self, written: WrittenEntry) -> None:
        """Apply a change again, compare it, and pass it on to `take`."""
        assert self.again is not None
        if written.plans:
            self.again = with_plans(self.again, self.plans_of(written.plans))
        applied = self.again.replay(written)
        self.is_met |= self.again.chain.head == self.noted
        if self.take is not None:
            self.take(written.entry.change, applied, self.again)

    def _pass_over(self, written: WrittenEntry) -> None:
        """Apply a change that lost forgotten rows, with its recorded results.

        Raises `ReplayMismatch` if its remaining content does not match its seal.
        """
        assert self.again is not None
        if written.digests != seal_of_entry(self.key, written.link, written.entry):
            what = "its content without the forgotten rows differs from the record"
            raise ReplayMismatch(written.seq, written.entry.change, what)
        if written.altered:
            raise ReplayMismatch(written.seq, written.entry.change, written.altered)
        if written.plans:
            self.again = with_plans(self.again, self.plans_of(written.plans))
        self.again.pass_over(written)

    def _known(self, past: list[SealedChanges], link: bytes) -> tuple[LinkVerdict, int | None]:
        """Return the verdict on the noted hash, and since when its change cannot be applied again.

        Raises `ReplayMismatch` if no change has this hash.
        """
        if self.is_met:
            return VERIFIED, None
        for one, since in zip(past, self.since, strict=True):
            if one.has(link):
                return KNOWN, since
        if not past and link == self.follower.links(self.follower.head.base).previous:
            return KNOWN, None
        raise ReplayMismatch.of(UNKNOWN_LINK)


def _each(follower: Follower, base: int) -> Iterator[WrittenEntry]:
    """Yield the changes after base number `base`; raise `ReplayMismatch` if one cannot be read."""
    try:
        yield from follower.each(base)
    except StateError as error:
        raise ReplayMismatch(None, None, str(error)) from None


def _at_base(
    follower: Follower,
    seq: int,
    key: bytes,
    plans_of: PlansOf,
    last: bytes | None,
    seal: bytes,
    before: ReplayedState | None,
) -> ReplayedState:
    """Return the state that a base stores, after comparing the base with its record.

    Args:
        follower: Reader of the file.
        seq: Number of the base.
        key: Key of the audit.
        plans_of: Function from plan name to artifact bytes to the fitted plans.
        last: Hash of the last change before the base; None if unknown.
        seal: Seal of the changes before it.
        before: State of the replay so far, for its numbers of changes and rows; None at the
            beginning.
    """
    try:
        base, links = follower.base(seq), follower.links(seq)
        plans = plans_of(follower.plans_at(seq))
        link = link_of(links.link, links.digests)
    except StateError as error:
        raise ReplayMismatch(seq, None, f"the snapshot cannot be used: {error}") from None
    if last is not None and link.before != last:
        raise ReplayMismatch(seq, None, "the snapshot does not follow from the changes before it")
    chain = Chain(key, link.before)
    found = chain.base(base, follower.settings, artifacts_of(plans), seal)
    if "artifact" in find_differing_fields(link, found):
        raise ReplayMismatch(seq, None, "the snapshot belongs to a different plan artifact")
    if link.inputs != found.inputs:
        names = [] if base.rows is None else sorted(base.rows.column_names)
        place = locate_difference(chain, link.inputs, found.inputs, "inputs", names)
        raise ReplayMismatch(seq, None, "the rows of the snapshot differ from the record", place)
    if link.digest != found.digest:
        what = "the tables, offsets or settings of the snapshot differ from the record"
        raise ReplayMismatch(seq, None, what)
    try:
        follower.check_base(seq)
    except StateError as error:
        raise ReplayMismatch(seq, None, f"the snapshot cannot be used: {error}") from None
    again = begin_replay(key, link.digest, plans, follower.settings, base)
    if before is not None:
        again.n_changes, again.n_rows = before.n_changes, before.n_rows
    return again


def _check_end(follower: Follower, last: int, committed: tuple[int, int] | None) -> None:
    """Raise `ReplayMismatch` if changes are missing at the end, or the file could not be opened.

    `last` is the number of the last applied change. `committed` has the numbers of the last
    committed change and its base from the lock file, or is None.
    """
    head = follower.head
    if last < head.seq:
        what = f"missing at the end: {counted(head.seq - last, 'change')} of {head.seq:,}"
        raise ReplayMismatch(None, None, what)
    if committed is not None and committed > (head.seq, head.base):
        what = (
            f"the file ends with change {head.seq:,}, but change {committed[0]:,} was committed: "
            "its write-ahead log is missing or damaged, or the file is an older copy"
        )
        raise ReplayMismatch(None, None, what)
    try:
        follower.check_opening()
    except StateError as error:
        raise ReplayMismatch(None, None, str(error)) from None
