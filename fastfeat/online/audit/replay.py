"""`replay`: all changes of a file of a state done again, to the first difference.

The file is read as it is, some changes at a time; it is not written.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, cast, get_args

from fastfeat import pickles
from fastfeat.errors import InvalidPlan, StateError, TypeMismatch, counted, shortened
from fastfeat.online.audit.chain import (
    BEGIN,
    N_BYTES,
    Chain,
    artifacts_of,
    differing_texts,
    link_of,
    seal_of,
)
from fastfeat.online.audit.forgotten import WITHOUT, seal_of_entry, with_plans
from fastfeat.online.audit.recompute import (
    Again,
    Difference,
    Differs,
    Plans,
    begun,
    moment_text,
    place_of,
)
from fastfeat.online.audit.served_features import ServedCounts, finish, served_plan, writing_served
from fastfeat.online.file.archive import Archived
from fastfeat.online.file.entries import WrittenEntry
from fastfeat.online.file.follower import Follower
from fastfeat.online.file.past import Past
from fastfeat.online.file.state_file import path_of
from fastfeat.online.file.write_lock import noted_commit
from fastfeat.online.state.changes import Change, ChangeResults
from fastfeat.plan.keep.artifact import fitted_of_bytes, read_artifact
from fastfeat.plan.run.fitted import Fitted

Artifact = Fitted | Plans | str | os.PathLike[str]
PlansOf = Callable[[Mapping[str, bytes]], Plans]
Take = Callable[[Change, ChangeResults, Again], None]
"""Is given each change that was done again and found as it was noted."""
UNKNOWN_LINK = Difference(
    None,
    None,
    None,
    None,
    "the link that was noted elsewhere is not in the chain: the file was written anew, or another "
    "was put in its place",
)


Noted = Literal["known and verified", "known, no longer recomputable", "unknown: rewritten"]
"""The three things that a file can say of a link that was noted elsewhere."""
VERIFIED, KNOWN, UNKNOWN = get_args(Noted)


@dataclass(frozen=True, slots=True)
class NotCovered:
    """The changes of a state that cannot be done again any more: their links alone are kept.

    Args:
        n_changes: how many changes.
        n_rows: how many rows they have; None where an earlier version did not note it.
        since_ns: when the last of them were replaced, in nanoseconds since 1970; None where there
            is none, or an earlier version did not note it.
    """

    n_changes: int = 0
    n_rows: int | None = 0
    since_ns: int | None = None

    def __str__(self) -> str:
        """Return the numbers, and since when they are so."""
        rows = "rows that were not counted" if self.n_rows is None else counted(self.n_rows, "row")
        since = "" if self.since_ns is None else f" since {moment_text(self.since_ns)}"
        return f"{counted(self.n_changes, 'change')} of {rows}, no longer recomputable{since}"

    def and_also(self, n_changes: int, n_rows: int | None, since_ns: int | None) -> NotCovered:
        """Return these changes and others."""
        rows = None if self.n_rows is None or n_rows is None else self.n_rows + n_rows
        times = [one for one in (self.since_ns, since_ns) if one is not None]
        return NotCovered(
            self.n_changes + n_changes,
            rows,
            max(times, default=None),
        )


@dataclass(frozen=True, slots=True, repr=False)
class Replay:
    """The result of `ff.replay`; prints as some lines.

    Args:
        n_changes: how many changes were done again and found as they were noted.
        n_rows: how many rows they have.
        head: the last link that fits: noted elsewhere, it is what `head=` takes.
        difference: the first one; None where there is none.
        served: what was written to the file of features; None for none.
        not_covered: the changes that can no longer be done again: with those that were, all that
            the state ever had.
        noted: what is known of the link that `head=` names: "known and verified", "known, no longer
            recomputable" or "unknown: rewritten"; None without `head=`, and after a difference.
        noted_since_ns: of "known, no longer recomputable" since when, in nanoseconds since 1970;
            None where an earlier version did not note it.
        is_withheld: whether there is no such file because it would lack rows; see `partial=`.
    """

    n_changes: int
    n_rows: int
    head: bytes
    difference: Difference | None
    served: ServedCounts | None = None
    not_covered: NotCovered = NotCovered()
    noted: Noted | None = None
    noted_since_ns: int | None = None
    is_withheld: bool = False
    __setstate__ = pickles.set_fields

    @property
    def ok(self) -> bool:
        """Whether all that can be done again is as it was noted."""
        return self.difference is None

    @property
    def is_whole(self) -> bool:
        """Whether every change that the state ever had was done again."""
        return self.not_covered.n_changes == 0

    @property
    def withheld_text(self) -> str:
        """The error of `to=` where rows are not covered; the caller adds the option to write."""
        return (
            f"what was served would lack {self.not_covered}. Nothing was written. To write the "
            "rows that are there"
        )

    @property
    def noted_text(self) -> str:
        """The standing of the link that was noted elsewhere, as text; "" without such a link."""
        since = "" if self.noted_since_ns is None else f" since {moment_text(self.noted_since_ns)}"
        return f"{self.noted or ''}{since}"

    def __repr__(self) -> str:
        """Return a line, and one more for each further thing."""
        done = f"{counted(self.n_changes, 'change')} of {counted(self.n_rows, 'row')}"
        if self.difference is None:
            lines = [f"ok   {done}: every bit and every link; the last one is {self.head.hex()}"]
        else:
            lines = [f"FAIL {self.difference}", f"     {done} before it as they were noted"]
        if not self.is_whole:
            lines.append(f"     not covered: {self.not_covered}")
        if self.noted is not None:
            lines.append(f"     the link that was noted: {self.noted_text}")
        if self.served is not None:
            lines.append(f"     served: {self.served}")
        return "\n".join(lines)


def replay_state(
    path: str | os.PathLike[str],
    artifact: Artifact | None = None,
    *,
    head: bytes | str | None = None,
    to: str | os.PathLike[str] | None = None,
    plan: str | None = None,
    outcomes: Any = None,
    partial: bool = False,
    archive: str | os.PathLike[str] | None = None,
) -> Replay:
    """Return a report of all changes of a state, done again: the first difference, or none.

    Arguments and errors as of `ff.replay`; the fitted plans among them are records. Where changes
    are not covered and `partial` is False, nothing is served, and it is for the caller to say so.
    """
    noted = _head_given(head)
    for option, value in (("plan", plan), ("outcomes", outcomes), ("partial", partial or None)):
        if to is None and value is not None:
            raise InvalidPlan(
                f"{option}= is of the features that were served, and there is no to=. Name their "
                "file: to='served.parquet'"
            )
    committed = noted_commit(path_of(path))
    with closing(Follower(path, checked=False)) as follower, follower.holding():
        key = follower.key
        if not key:
            raise StateError(
                f"{path}: it has no key of an audit, or the key was deleted: nothing that was "
                "noted of its rows can be compared any more"
            )
        walk = _Walk(follower, key, _plans_reader(follower, artifact), noted, committed)
        walk.archive = None if archive is None else Path(archive)
        if to is None:
            return walk.report()
        plans = walk.plans_of(follower.plans)
        name = served_plan(plans, plan)
        with writing_served(to, plans[name], name) as one:
            artifact_of = artifacts_of(plans)[name]

            def take(change: Change, applied: ChangeResults, again: Again) -> None:
                if change.kind != "process" or again.artifacts.get(name) == artifact_of:
                    one.take(change, applied)
                else:
                    one.n_of_others += change.rows.num_rows

            walk.take = take
            report = walk.report()
            if not report.ok or walk.again is None:
                return report
            if not (partial or report.is_whole):
                return replace(report, is_withheld=True)
            return replace(report, served=finish(one, to, outcomes, walk.again.state.tables))


@dataclass(slots=True)
class _Walk:
    """The changes of a state, done again one after the other.

    Args:
        follower: its file.
        key: of the audit.
        plans_of: reads plans.
        noted: the link that was noted elsewhere; None for none.
        committed: how far the state is said to be committed; None where that is not known.
        take: is given each change that was done again; None for nobody.
        again: the state with what was done; None before the first whole state.
        not_covered: what cannot be done.
        is_met: whether the link that was noted was found, and verified.
        archive: the folder of the segments; None for the one that the file names.
        since: of all changes of the past, when they were replaced, or lost from the archive.
    """

    follower: Follower
    key: bytes
    plans_of: PlansOf
    noted: bytes | None
    committed: tuple[int, int] | None
    take: Take | None = None
    again: Again | None = None
    not_covered: NotCovered = field(default_factory=NotCovered)
    is_met: bool = False
    archive: Path | None = None
    since: list[int] = field(default_factory=list[int])

    def report(self) -> Replay:
        """Return the report: all is done."""
        noted: Noted | None = None
        since: int | None = None
        difference: Difference | None = None
        try:
            past = self._past()
            self._replay_file(past[-1] if past else None)
            if self.noted is not None:
                noted, since = self._known(past, self.noted)
        except Differs as found:
            difference = found.difference
            if difference is UNKNOWN_LINK:
                noted = UNKNOWN
        again = self.again
        done = (0, 0, BEGIN) if again is None else (again.n_changes, again.n_rows, again.chain.head)
        return Replay(*done, difference, None, self.not_covered, noted, since)

    def _past(self) -> list[Past]:
        """Return the changes before the file, after doing those again that its archive has."""
        try:
            past, begin = self.follower.past, self.follower.head.base
            archived, folder = self.follower.archived, self.archive or self.follower.archive
        except StateError as error:
            raise Differs(None, None, str(error)) from None
        seal, first, before = b"", past[0].first if past else begin, None
        if first:  # an earlier version replaced them, and kept nothing of them
            self.not_covered = self.not_covered.and_also(first, None, None)
        for number, one in enumerate(past, 1):
            seal = seal_of(self.key, seal, one.facts, one.links)
            if one.seal != seal or one.first != first:
                told = f"the links of the changes {one.first + 1:,} to {one.last:,}, which a whole"
                raise Differs(None, None, f"{told} state has replaced, are others than those noted")
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
            raise Differs(None, None, f"the links of the changes {first + 1:,} to {begin:,} lack")
        return past

    def _check_named(self, segment: Archived, past: Past) -> int:
        """Return since when changes of a segment are lost, after checking what is named of it."""
        if segment.seal != seal_of(self.key, b"archived", segment.facts, b""):
            told = f"what the file names of the segment of the changes {past.first + 1:,} to"
            raise Differs(None, None, f"{told} {past.last:,} is other than what was noted")
        return segment.lost_ns

    def _replay_segment(
        self, path: Path, segment: Archived, past: Past, before: Past | None
    ) -> Again:
        """Do the changes of a segment of the archive again; return the state after them."""
        if not path.exists():
            raise Differs(
                None,
                None,
                f"the segment {path} of the changes {past.first + 1:,} to {past.last:,} is "
                "missing. Put it back, or say where its folder is: archive=",
            )
        try:
            follower = Follower(path, checked=False)
        except StateError as error:
            raise Differs(None, None, str(error)) from None
        with closing(follower), follower.holding():
            if follower.head.digest != segment.digest or follower.head.base != past.first:
                what = f"the segment {path} is other than the one that the file names"
                raise Differs(None, None, what)
            self._begin(follower, past.first, before, past)
            last = past.first
            for written in _each(follower, past.first):
                last = written.seq
                if written.link != past.link_of(last):
                    change = written.entry.change
                    raise Differs(last, change, "its link is other than the one that is kept")
                if written.digests.startswith(WITHOUT):
                    self._pass_over(written)
                else:
                    self._replay(written)
            if last != past.last:
                what = f"the segment {path} ends with change {last:,}, not {past.last:,}"
                raise Differs(None, None, what)
        assert self.again is not None
        return self.again

    def _replay_file(self, past: Past | None) -> None:
        """Do all changes of the file again."""
        follower, base = self.follower, self.follower.head.base
        self._begin(follower, base, past)
        last = base
        for written in _each(follower, base):
            last = written.seq
            self._replay(written)
        _check_end(follower, last, self.committed)

    def _begin(
        self, follower: Follower, base: int, past: Past | None, own: Past | None = None
    ) -> None:
        """Begin with a whole state.

        Args:
            follower: the file.
            base: its number.
            past: the changes before it; None where they are not known.
            own: of a segment, the changes after it.
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
        """Do a change again."""
        assert self.again is not None
        if written.plans:
            self.again = with_plans(self.again, self.plans_of(written.plans))
        applied = self.again.replay(written)
        self.is_met |= self.again.chain.head == self.noted
        if self.take is not None:
            self.take(written.entry.change, applied, self.again)

    def _pass_over(self, written: WrittenEntry) -> None:
        """Do a change of which rows were forgotten: what is left of it is as it was sealed."""
        assert self.again is not None
        if written.digests != seal_of_entry(self.key, written.link, written.entry):
            what = "what is left of it, without what was forgotten, is other than what was noted"
            raise Differs(written.seq, written.entry.change, what)
        if written.altered:
            raise Differs(written.seq, written.entry.change, written.altered)
        if written.plans:
            self.again = with_plans(self.again, self.plans_of(written.plans))
        self.again.pass_over(written)

    def _known(self, past: list[Past], link: bytes) -> tuple[Noted, int | None]:
        """Return the standing of the link that was noted, and since when it is not recomputable.

        Raises:
            Differs: the link is unknown.
        """
        if self.is_met:
            return VERIFIED, None
        for one, since in zip(past, self.since, strict=True):
            if one.has(link):
                return KNOWN, since
        if not past and link == self.follower.links(self.follower.head.base).previous:
            return KNOWN, None
        raise Differs.of(UNKNOWN_LINK)


def _each(follower: Follower, base: int) -> Iterator[WrittenEntry]:
    """Return the changes after a base; one that cannot be read is a difference."""
    try:
        yield from follower.each(base)
    except StateError as error:
        raise Differs(None, None, str(error)) from None


def _at_base(
    follower: Follower,
    seq: int,
    key: bytes,
    plans_of: PlansOf,
    last: bytes | None,
    seal: bytes,
    before: Again | None,
) -> Again:
    """Return a state as it stands in a base, which is as it was noted.

    Args:
        follower: the file.
        seq: the number of the base.
        key: of the audit.
        plans_of: reads plans.
        last: the link before it; None where it is not known.
        seal: of the changes before it.
        before: what was done before; None for nothing.
    """
    try:
        base, links = follower.base(seq), follower.links(seq)
        plans = plans_of(follower.plans_at(seq))
        link = link_of(links.link, links.digests)
    except StateError as error:
        raise Differs(seq, None, f"the whole state: {error}") from None
    if last is not None and link.before != last:
        raise Differs(seq, None, "the whole state does not follow from the changes before it")
    chain = Chain(key, link.before)
    found = chain.base(base, follower.settings, artifacts_of(plans), seal)
    if "artifact" in differing_texts(link, found):
        raise Differs(seq, None, "the whole state: it is one of another artifact")
    if link.inputs != found.inputs:
        names = [] if base.rows is None else sorted(base.rows.column_names)
        place = place_of(chain, link.inputs, found.inputs, "inputs", names)
        raise Differs(seq, None, "the whole state: its rows are others than those noted", place)
    if link.digest != found.digest:
        what = "the whole state: its tables, offsets or settings are others than those noted"
        raise Differs(seq, None, what)
    try:
        follower.check_base(seq)
    except StateError as error:
        raise Differs(seq, None, f"the whole state: {error}") from None
    again = begun(key, link.digest, plans, follower.settings, base)
    if before is not None:
        again.n_changes, again.n_rows = before.n_changes, before.n_rows
    return again


def _check_end(follower: Follower, last: int, committed: tuple[int, int] | None) -> None:
    """Raise where changes are missing at the end, as opening it would.

    Args:
        follower: the file.
        last: the number of the last change that was done.
        committed: the numbers of the last change and of the base that were committed, as the file
            beside it has them; None where it does not.
    """
    head = follower.head
    if last < head.seq:
        what = f"the last {counted(head.seq - last, 'change')} of {head.seq:,} are missing"
        raise Differs(None, None, what)
    if committed is not None and committed > (head.seq, head.base):
        what = (
            f"it ends with change {head.seq:,}, and {committed[0]:,} were committed: its "
            "write-ahead log is missing or damaged, or this is an older copy"
        )
        raise Differs(None, None, what)
    try:
        follower.check_opening()
    except StateError as error:
        raise Differs(None, None, str(error)) from None


def _plans_reader(follower: Follower, artifact: Artifact | None) -> PlansOf:
    """Return a reader of plans from artifacts: those that were passed are the last ones."""
    last = follower.plans
    passed = None if artifact is None else _plans_given(artifact, last)

    def plans_of(artifacts: Mapping[str, bytes]) -> Plans:
        if passed is not None and dict(artifacts) == dict(last):
            return passed
        return {name: fitted_of_bytes(content) for name, content in artifacts.items()}

    return plans_of


def _plans_given(artifact: Artifact, known: Mapping[str, bytes]) -> Plans:
    """Return the plans that a user passed, by the names that the file has for them."""
    if isinstance(artifact, Mapping):
        named: dict[str, Fitted] = {name: _loaded(one) for name, one in artifact.items()}
    else:
        (name, *others) = known
        if others:
            raise InvalidPlan(
                f"artifact=: the state has the plans {shortened(known)}: pass a dict of them"
            )
        named = {name: _loaded(artifact)}
    if named.keys() != known.keys():
        raise InvalidPlan(
            f"artifact=: has the plans {shortened(named)}, and the state {shortened(known)}"
        )
    return named


def _loaded(artifact: object) -> Fitted:
    if isinstance(artifact, Fitted):
        return artifact
    if isinstance(artifact, str | os.PathLike):
        return read_artifact(Path(cast("str", artifact)))
    raise TypeMismatch(
        f"artifact= takes a fitted plan, or the path of its file, got a {type(artifact).__name__}"
    )


def _head_given(head: bytes | str | None) -> bytes | None:
    """Return a link that a user noted."""
    if head is None or (isinstance(head, bytes) and len(head) == N_BYTES):
        return head
    try:
        found = bytes.fromhex(head) if isinstance(head, str) else b""
    except ValueError:
        found = b""
    if len(found) != N_BYTES:
        raise StateError(
            f"head={head!r}: a link has {N_BYTES} bytes, or {2 * N_BYTES} hexadecimal digits"
        )
    return found
