"""Rows that come late, too far ahead, or again: what becomes of each row of a call.

A row is late where it is earlier than the latest row of its entity, by the time and then the tie of
some order. Row by row is the meaning, however rows are put into calls: rows that a call stores
together are cut where one is late against another of them, so that the other does not see it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastfeat.errors import FutureRow, LateRow
from fastfeat.io.arrow import Table
from fastfeat.ir.durations import length_text
from fastfeat.ir.node import Column, Node
from fastfeat.ir.show import show
from fastfeat.live.log.entities import NEVER
from fastfeat.live.log.retention import earlier
from fastfeat.live.lower.live_plan import Order
from fastfeat.live.state.changes import Late
from fastfeat.live.state.order_clocks import Clock, TimeLimits

Numbers = NDArray[np.int64]
Codes = NDArray[np.int32]
_MOST_ALONE = 256
"""Rows that are answered at once though they do not see each other."""


@dataclass(frozen=True, slots=True)
class Arriving:
    """Rows as they arrive, in each order.

    Args:
        times: of each row, in ticks, by order.
        entities: the code of its entity, negative for none, by order.
        latest: the latest time of the entity in the log, `NEVER` for none, by order.
        ties: gives of an order a value of each row that orders as its tie does, and of given
            entities that of the latest row in the log; None where it has no tie.
        known: of each row the number of the row in the log that has its id; -1 for none.
        again: of each row the first row of the call that has its id, which is itself where it is
            the first.
    """

    times: Sequence[Numbers]
    entities: Sequence[Codes]
    latest: Sequence[Numbers]
    ties: Sequence[Callable[[], tuple[Sequence[Any], Mapping[int, Any]]] | None]
    known: Numbers
    again: Numbers

    @property
    def n_rows(self) -> int:
        """The number of rows."""
        return len(self.known)


@dataclass(frozen=True, slots=True)
class LateBehind:
    """The row behind which another is late, as the log knows it.

    Args:
        order: the place of the order by which it is late.
        entity: the number of its entity.
        latest: the latest time of the entity, in ticks.
    """

    order: int
    entity: int
    latest: int


@dataclass(frozen=True, slots=True)
class Run:
    """Rows of a call, one after the other, that are answered at once.

    Args:
        begin: the first.
        end: after the last.
        is_stored: whether they are new rows of the log, which see those before them; else they are
            asked alone, and leave no trace.
    """

    begin: int
    end: int
    is_stored: bool


@dataclass(frozen=True, slots=True)
class ArrivalRuns:
    """The runs of the rows of a call: taken, repeated or dropped.

    Args:
        runs: all rows, in order.
        counts: how many were late, dropped or repeated.
        is_repeated: of each row whether another has its id, in the log or before it in the call.
        dropped: of each dropped row the row behind which it is late.
    """

    runs: Sequence[Run]
    is_repeated: NDArray[np.bool_]
    counts: Mapping[str, int] = field(default_factory=dict[str, int])
    dropped: Sequence[LateBehind] = ()

    @property
    def is_stored(self) -> NDArray[np.bool_]:
        """Whether each row is a new one of the log."""
        found = [np.full(run.end - run.begin, run.is_stored) for run in self.runs]
        return np.concatenate([*found, np.zeros(0, np.bool_)])


Tell = Callable[[int, int], str]
"""Says what a row is, by its number in the call, in an order: its number, time and entity."""


def arrive(
    arriving: Arriving, clocks: Sequence[Clock], late: Late, tell: Tell, *, answers: bool = True
) -> ArrivalRuns:
    """Return the runs of rows that arrive.

    Args:
        arriving: the rows.
        clocks: of the orders.
        late: what becomes of late ones.
        tell: of a row, for messages.
        answers: whether rows that came before are answered again, for which the rows that their
            windows see have to be there.

    Raises:
        LateRow: a row that is late, where it may not be, or later than what is kept.
    """
    n_rows = arriving.n_rows
    is_repeated = (arriving.known >= 0) | (arriving.again != np.arange(n_rows))
    if not is_repeated.any() and not any(
        _may_be_late(arriving, k) for k in range(len(arriving.times))
    ):
        return ArrivalRuns([Run(0, n_rows, True)], is_repeated)
    return _row_by_row(arriving, clocks, late, tell, answers=answers)


def _may_be_late(arriving: Arriving, order: int) -> bool:
    """Return whether a row may be late in an order, against the log or an earlier row."""
    times, entities = arriving.times[order], arriving.entities[order]
    has_tie = arriving.ties[order] is not None
    is_placed = entities >= 0
    earlier = times <= arriving.latest[order] if has_tie else times < arriving.latest[order]
    if bool((earlier & is_placed).any()):
        return True
    if len(times) == 1:
        return False
    steps = np.diff(times)
    if bool((steps > 0).all() if has_tie else (steps >= 0).all()):
        return False
    rows = np.argsort(entities, kind="stable")
    of, steps = entities[rows], np.diff(times[rows])
    turns = steps <= 0 if has_tie else steps < 0
    return bool((turns & (of[1:] == of[:-1]) & (of[1:] >= 0)).any())


def _row_by_row(
    arriving: Arriving, clocks: Sequence[Clock], late: Late, tell: Tell, *, answers: bool
) -> ArrivalRuns:
    """Return the runs of rows, looked at one after the other."""
    states = [_Latest.of(arriving, k) for k in range(len(clocks))]
    known, again = arriving.known.tolist(), arriving.again.tolist()
    is_repeated: NDArray[np.bool_] = np.zeros(arriving.n_rows, np.bool_)
    is_dropped: NDArray[np.bool_] = np.zeros(arriving.n_rows, np.bool_)
    runs: list[Run] = []
    dropped: list[LateBehind] = []
    n_late = 0
    for row in range(arriving.n_rows):
        is_repeated[row] = known[row] >= 0 or (again[row] != row and not is_dropped[again[row]])
        late_in = [k for k, state in enumerate(states) if state.is_late(row)]
        if late_in and (answers or not is_repeated[row]):
            _check_late(row, late_in, states, clocks, late, tell, bool(is_repeated[row]))
        if late_in and not is_repeated[row]:
            n_late += 1
            is_dropped[row] = late == "drop"
            if is_dropped[row]:
                dropped.append(states[late_in[0]].behind_which(row, late_in[0]))
        is_stored = not (is_repeated[row] or is_dropped[row])
        last = runs[-1] if runs else None
        is_cut = is_stored and any(s.is_late_in_run(row) for s in states)
        is_cut |= not is_stored and last is not None and row - last.begin >= _MOST_ALONE
        if last is None or last.is_stored != is_stored or is_cut:
            runs.append(Run(row, row + 1, is_stored))
            for state in states:
                state.begin_run()
        else:
            runs[-1] = Run(last.begin, row + 1, is_stored)
        if is_stored:
            for state in states:
                state.take(row)
    counts = {
        "late": n_late,
        "dropped": int(is_dropped.sum()),
        "repeated": int(is_repeated.sum()),
    }
    return ArrivalRuns(runs, is_repeated, {name: n for name, n in counts.items() if n}, dropped)


def _check_late(
    row: int,
    late_in: Sequence[int],
    states: Sequence[_Latest],
    clocks: Sequence[Clock],
    late: Late,
    tell: Tell,
    is_repeated: bool,
) -> None:
    """Raise where a late row may not be late, or is later than what is kept."""
    for k in late_in:
        clock, behind = clocks[k], states[k].behind(row)
        which = None if is_repeated else states[k].behind_which(row, k)
        if late == "error" and not is_repeated:
            raise LateRow(
                f"{tell(row, k)} is earlier than the latest row of its entity"
                f"{f', by {clock.text_of(behind)}' if behind else ', by its tie'}. Give rows in "
                "order of time, or take late ones: online(late='insert'), or 'drop'",
                which,
            )
        if clock.held.keep is not None and behind > clock.held.keep:
            told = tell(row, k)
            again = f"{told} has the id of a row that came before, and" if is_repeated else told
            raise LateRow(_too_late(again, clock, behind), which)


def _too_late(told: str, clock: Clock, behind: int) -> str:
    keep = clock.held.keep or 0
    longer = f" for more than keep={clock.text_of(keep)}" if keep else ""
    return (
        f"{told} is {clock.text_of(behind)} earlier than the latest row of its entity, and rows "
        f"that its windows would see do not stay{longer}. Keep rows longer: online(keep=...)"
    )


class _Latest:
    """The latest row of each entity in one order, as rows of a call are taken one by one."""

    def __init__(
        self,
        times: list[int],
        entities: list[int],
        ties: Sequence[Any] | None,
        latest: dict[int, tuple[int, Any]],
    ) -> None:
        self._times = times
        self._entities = entities
        self._ties = ties
        self._latest = latest
        self._in_run: dict[int, tuple[int, Any]] = {}

    @staticmethod
    def of(arriving: Arriving, order: int) -> _Latest:
        """Return the state of an order before the first row."""
        times, entities = arriving.times[order].tolist(), arriving.entities[order].tolist()
        asked = arriving.ties[order]
        ties, known = (None, dict[int, Any]()) if asked is None else asked()
        latest = {
            entity: (time, known.get(entity, _FIRST))
            for entity, time in zip(entities, arriving.latest[order].tolist(), strict=True)
            if entity >= 0 and time != NEVER
        }
        return _Latest(times, entities, ties, latest)

    def _moment(self, row: int) -> tuple[int, Any]:
        return self._times[row], _FIRST if self._ties is None else self._ties[row]

    def is_late(self, row: int) -> bool:
        """Return whether a row is earlier than the latest one of its entity."""
        latest = self._latest.get(self._entities[row])
        return latest is not None and self._moment(row) < latest

    def is_late_in_run(self, row: int) -> bool:
        """Return whether it is earlier than one that is answered together with it."""
        latest = self._in_run.get(self._entities[row])
        return latest is not None and self._moment(row) < latest

    def behind(self, row: int) -> int:
        """Return the ticks by which it is earlier."""
        return self._latest[self._entities[row]][0] - self._times[row]

    def behind_which(self, row: int, order: int) -> LateBehind:
        """Return the row behind which it is late."""
        entity = self._entities[row]
        return LateBehind(order, entity, self._latest[entity][0])

    def begin_run(self) -> None:
        """Forget which rows are answered together."""
        self._in_run = {}

    def take(self, row: int) -> None:
        """Take a row into the log."""
        entity, moment = self._entities[row], self._moment(row)
        if entity < 0:
            return
        for latest in (self._latest, self._in_run):
            if entity not in latest or latest[entity] < moment:
                latest[entity] = moment


_FIRST = (False, 0)
"""What a tie that is missing, or none, is ordered as."""


def check_ahead(
    times: Sequence[Numbers],
    is_placed: Sequence[NDArray[np.bool_]],
    clocks: Sequence[Clock],
    limits: TimeLimits,
    watermarks: Sequence[int],
    now_ns: int,
    tell: Tell,
) -> None:
    """Raise where a time is further ahead than it may be.

    Args:
        times: of the rows, in ticks, by order.
        is_placed: whether there is one.
        clocks: of the orders.
        limits: how far it may be.
        watermarks: of each order the latest time of the rows that came before, `NEVER` for none.
        now_ns: the time by this machine's clock, in nanoseconds since 1970.
        tell: of a row, for messages.

    Raises:
        FutureRow: the first such row of the first such order.
    """
    if limits.ahead_ns is None and limits.jump is None:
        return
    for k, clock in enumerate(clocks):
        latest = limits.latest(clock, now_ns, NEVER)
        if latest is not None:
            wrong = np.flatnonzero((times[k] > latest) & is_placed[k])
            if len(wrong):
                row = int(wrong[0])
                ahead = clock.text_of(int(times[k][row]) - now_ns // (clock.tick_ns or 1))
                raise FutureRow(
                    f"{tell(row, k)} is {ahead} ahead of this machine's clock, and max_ahead= "
                    f"allows {length_text(limits.ahead_ns or 0, 'time')}. Look at the clock that "
                    "the time is from"
                )
        jump = limits.jump_of(clock)
        if jump is not None:
            _check_jump(times[k], is_placed[k], clock, jump, watermarks[k], _telling(tell, k))


def _telling(tell: Tell, order: int) -> Callable[[int], str]:
    return lambda row: tell(row, order)


def _check_jump(
    times: Numbers,
    is_placed: NDArray[np.bool_],
    clock: Clock,
    jump: int,
    watermark: int,
    tell: Callable[[int], str],
) -> None:
    """Raise where a time is further ahead of the rows before it than it may be.

    Raises:
        FutureRow: the first such row. Those before it in the call count as rows that came.
    """
    rows = np.flatnonzero(is_placed)
    if not len(rows):
        return
    before = np.maximum.accumulate(np.concatenate([[watermark], times[rows]]))[:-1]
    is_far = (before != NEVER) & (earlier(times[rows], jump) > before)
    if is_far.any():
        first = int(np.argmax(is_far))
        row, by = int(rows[first]), int(times[rows[first]]) - int(before[first])
        raise FutureRow(
            f"{tell(row)} is {clock.text_of(by)} ahead of the latest row before it, and max_jump= "
            f"allows {clock.text_of(jump)}. Look at the clock that the time is from; if there were "
            "no rows for so long, begin again with a longer max_jump="
        )


def check_swept(
    times: Sequence[Numbers],
    entities: Sequence[Codes],
    clocks: Sequence[Clock],
    swept: Sequence[int],
    tell: Tell,
) -> None:
    """Raise where the window of a row could see rows that were swept.

    Args:
        times: of the rows, in ticks, by order.
        entities: the numbers of their entities, by order; -1 for none.
        clocks: of the orders.
        swept: of each order the latest time of which rows were swept, `NEVER` for none.
        tell: of a row, for messages.

    Raises:
        LateRow: the first such row.
    """
    for k, (clock, last) in enumerate(zip(clocks, swept, strict=True)):
        if last != NEVER:
            sees = earlier(times[k], clock.held.span or 0)
            wrong = np.flatnonzero((sees <= last) & (entities[k] != -1))
            if len(wrong):
                raise LateRow(_swept(tell(int(wrong[0]), k)))


def too_early(told: str, clock: Clock, time: int, latest: int) -> LateRow:
    """Return the error of a row that asks for what may have been dropped.

    Args:
        told: what the row is.
        clock: of the order.
        time: of the row, in ticks.
        latest: the latest of its entity, `NEVER` for none.
    """
    keep = clock.held.keep
    if keep is None or latest == NEVER or latest - time <= keep:
        return LateRow(_swept(told))
    return LateRow(_too_late(told, clock, latest - time))


def _swept(told: str) -> str:
    return (
        f"{told} is so much earlier than the latest row of all entities that rows which its "
        "windows would see may have been dropped, since their entity had been silent for long. "
        "Keep rows longer: online(keep=...)"
    )


def row_text(order: Order, log: Table, row: int, first: int = 0) -> str:
    """Return the number, the time and the entity of a row of a call, for a message.

    Args:
        order: by which it is told.
        log: the columns of the log of the rows.
        row: its number among these.
        first: the number that a user knows the first of them by.
    """
    time, *keys = (value_text(node, log, row) for node in (order.time, *order.keys))
    return f"row {first + row}: {time} of {', '.join(keys) or 'the one entity of all rows'}"


def value_text(node: Node, log: Table, row: int) -> str:
    """Return a column and its value in a row, for a message."""
    name = node.name if isinstance(node, Column) else show(node)
    if name not in log.column_names:
        return name
    scalar = log.column(name)[row]
    try:
        value = scalar.as_py()
    except (OverflowError, ValueError):  # a time that Python's datetime cannot hold
        value = scalar.value
    return f"{name} = {str(value) if isinstance(value, date) else repr(value)}"
