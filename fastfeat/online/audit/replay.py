"""`replay`: all changes of a file of a state done again, to the first difference.

The file is read as it is, some changes at a time; it is not written.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from fastfeat.errors import InvalidPlan, StateError, TypeMismatch, counted, shortened
from fastfeat.online.audit.chain import (
    BEGIN,
    N_BYTES,
    Chain,
    artifacts_of,
    differing_texts,
    link_of,
)
from fastfeat.online.audit.recompute import Again, Difference, Differs, Plans, begun, place_of
from fastfeat.online.audit.served_features import ServedCounts, finish, served_plan, writing_served
from fastfeat.online.file.entries import WrittenEntry
from fastfeat.online.file.follower import Follower
from fastfeat.online.state.changes import Change, ChangeResults
from fastfeat.online.state.state import State
from fastfeat.plan.keep.artifact import fitted_of_bytes, read_artifact
from fastfeat.plan.run.fitted import Fitted

Artifact = Fitted | Plans | str | os.PathLike[str]
PlansOf = Callable[[Mapping[str, bytes]], Plans]
Take = Callable[[Change, ChangeResults], None]
"""Is given each change that was done again and found as it was noted."""


@dataclass(frozen=True, slots=True, repr=False)
class Replay:
    """The result of `ff.replay`; prints as a line, or two.

    Args:
        n_changes: how many changes were done again and found as they were noted.
        n_rows: how many rows they have.
        head: the last link that fits: noted elsewhere, it is what `head=` takes.
        difference: the first one; None where there is none.
        served: what was written to the file of features; None for none.
    """

    n_changes: int
    n_rows: int
    head: bytes
    difference: Difference | None
    served: ServedCounts | None = None

    @property
    def ok(self) -> bool:
        """Whether all is as it was noted."""
        return self.difference is None

    def __repr__(self) -> str:
        """Return a line, and where something differs a second one."""
        done = f"{counted(self.n_changes, 'change')} of {counted(self.n_rows, 'row')}"
        if self.difference is None:
            told = f"ok   {done}: every bit and every link; the last one is {self.head.hex()}"
            return told if self.served is None else f"{told}\n     served: {self.served}"
        return f"FAIL {self.difference}\n     {done} before it as they were noted"


def replay_state(
    path: str | os.PathLike[str],
    artifact: Artifact | None = None,
    *,
    head: bytes | str | None = None,
    to: str | os.PathLike[str] | None = None,
    plan: str | None = None,
    outcomes: Any = None,
) -> Replay:
    """Return a report of all changes of a state, done again: the first difference, or none.

    Arguments and errors as of `ff.replay`; the fitted plans among them are records.
    """
    noted = _head_given(head)
    for option, value in (("plan", plan), ("outcomes", outcomes)):
        if to is None and value is not None:
            raise InvalidPlan(
                f"{option}= is of the features that were served, and there is no to=. Name their "
                "file: to='served.parquet'"
            )
    with closing(Follower(path, checked=False)) as follower:
        key = follower.key
        if not key:
            raise StateError(
                f"{path}: it has no key of an audit, or the key was deleted: nothing that was "
                "noted of its rows can be compared any more"
            )
        plans_of = _plans_reader(follower, artifact)
        if to is None:
            return _replayed(follower, key, plans_of, noted, None)[0]
        plans = plans_of(follower.plans)
        name = served_plan(plans, plan)
        with writing_served(to, plans[name], name) as one:
            report, state = _replayed(follower, key, plans_of, noted, one.take)
            if not report.ok or state is None:
                return report
            return replace(report, served=finish(one, to, outcomes, state.tables))


def _replayed(
    follower: Follower,
    key: bytes,
    plans_of: PlansOf,
    noted: bytes | None,
    take: Take | None,
) -> tuple[Replay, State | None]:
    """Return the report, and the state at the end."""
    again: Again | None = None
    is_met, last = noted is None, 0
    try:
        for base in follower.base_seqs:
            again = _at_base(follower, base, key, plans_of, again)
            is_met, last = is_met or again.chain.head == noted, base
            for written in _each(follower, base):
                last = written.seq
                if written.plans:
                    again = _with_plans(again, plans_of(written.plans))
                applied = again.replay(written)
                is_met = is_met or again.chain.head == noted
                if take is not None:
                    take(written.entry.change, applied)
        _check_end(follower, last, is_met=is_met)
    except Differs as found:
        difference = found.difference
    else:
        difference = None
    if again is None:
        return Replay(0, 0, BEGIN, difference), None
    report = Replay(again.n_changes, again.n_rows, again.chain.head, difference)
    return report, again.state


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
    before: Again | None,
) -> Again:
    """Return a state as it stands in a base, which is as it was noted."""
    try:
        base, links = follower.base(seq), follower.links(seq)
        plans = plans_of(follower.plans_at(seq))
        link = link_of(links.link, links.digests)
    except StateError as error:
        raise Differs(seq, None, f"the whole state: {error}") from None
    if before is not None and link.before != before.chain.head:
        raise Differs(seq, None, "the whole state does not follow from the changes before it")
    chain = Chain(key, link.before)
    found = chain.base(base, follower.settings, artifacts_of(plans))
    if "artifact" in differing_texts(link, found):
        raise Differs(seq, None, "the whole state: it is one of another artifact")
    if link.inputs != found.inputs:
        names = [] if base.rows is None else sorted(base.rows.column_names)
        place = place_of(chain, link.inputs, found.inputs, "inputs", names)
        raise Differs(seq, None, "the whole state: its rows are others than those noted", place)
    if link.digest != found.digest:
        what = "the whole state: its tables, offsets or settings are others than those noted"
        raise Differs(seq, None, what)
    again = begun(key, link.digest, plans, follower.settings, base)
    if before is not None:
        again.n_changes, again.n_rows = before.n_changes, before.n_rows
    return again


def _with_plans(before: Again, plans: Plans) -> Again:
    """Return a state as it stands, with other plans."""
    state = before.state
    again = begun(before.chain.key, before.chain.head, plans, state.settings, state.base())
    again.n_changes, again.n_rows = before.n_changes, before.n_rows
    return again


def _check_end(follower: Follower, last: int, *, is_met: bool) -> None:
    """Raise where changes are missing at the end, or the link that was noted elsewhere is."""
    until = follower.head.seq
    if last < until:
        what = f"the last {counted(until - last, 'change')} of {until:,} are missing"
        raise Differs(None, None, what)
    if not is_met:
        what = (
            "the link that was noted elsewhere is not in the chain: the file was written anew, or "
            "changes up to that link were replaced by a whole state"
        )
        raise Differs(None, None, what)


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
