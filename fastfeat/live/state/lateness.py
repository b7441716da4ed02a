"""The decision for each arriving row: whether it is late, too far ahead, or repeated.

A row is late if, in any order of the log, it is earlier than the latest row of its entity. Equal
times are compared by tie, a further column. A row is repeated if the log, or an earlier row of the
call, has its id. Results are as if rows came one by one, however they are grouped into calls. So a
call is cut into runs, which are consecutive rows that are computed together: a run ends before a
row that is late relative to a row of the run, so that the earlier one does not see it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from datetime import date
from typing import Any

import numpy as np
from fastfeat_kernels.arrays import Int32Array, Int64Array
from fastfeat_kernels.records import dataclass
from numpy.typing import NDArray

from fastfeat.errors import FutureRow, LateRow
from fastfeat.io.arrow import Table
from fastfeat.ir.durations import length_text
from fastfeat.ir.node import Column, Node
from fastfeat.ir.show import show
from fastfeat.live.log.entities import NEVER
from fastfeat.live.log.retention import subtract_ticks
from fastfeat.live.lower.live_plan import LogOrder
from fastfeat.live.state.changes import LateRule
from fastfeat.live.state.order_clocks import OrderClock, TimeLimits

_MOST_ALONE = 256
"""Largest number of rows in a run of rows that do not see each other."""


@dataclass(frozen=True, slots=True)
class ArrivingRows:
    """Arriving rows, with everything that tells whether they are late or repeated.

    Args:
        times: Per order, the time of each row in ticks.
        entities: Per order, the entity number of each row; -1 for none, other negative numbers for
            entities that the log lacks.
        latest: Per order, the latest time of the row's entity in the log; `NEVER` for no rows.
        ties: Per order, a function that returns a comparable tie for each row, and for each entity
            the tie of its latest row in the log; None if the order has no tie.
        known: For each row, the number of the log row with its id; -1 for none.
        again: For each row, the index of the first row of the call with its id, which may be
            itself.
    """

    times: Sequence[Int64Array]
    entities: Sequence[Int32Array]
    latest: Sequence[Int64Array]
    ties: Sequence[Callable[[], tuple[Sequence[Any], Mapping[int, Any]]] | None]
    known: Int64Array
    again: Int64Array

    @property
    def n_rows(self) -> int:
        """The number of rows."""
        return len(self.known)


@dataclass(frozen=True, slots=True)
class BlockingRow:
    """A row that makes another row late: the latest row of an entity.

    Args:
        order: Index of the order in which the other row is late.
        entity: Number of the entity in this order.
        latest: Time of the entity's latest row, in ticks.
    """

    order: int
    entity: int
    latest: int


@dataclass(frozen=True, slots=True)
class ArrivalRun:
    """Consecutive rows of a call that are computed together.

    Args:
        begin: Index of the first row.
        end: Index after the last row.
        is_stored: Whether the rows of the run become rows of the log, and see the rows before them.
            If not, each row is computed alone, and leaves no trace.
    """

    begin: int
    end: int
    is_stored: bool


@dataclass(frozen=True, slots=True)
class ArrivalRuns:
    """The runs into which the rows of a call are cut, and the decision for each row.

    Args:
        runs: Runs that cover all rows, in order.
        is_repeated: For each row, whether the log or an earlier row of the call has its id.
        counts: Numbers of "late", "dropped" and "repeated" rows, by these words; zeros are left
            out.
        dropped: For each dropped row, the row that makes it late.
    """

    runs: Sequence[ArrivalRun]
    is_repeated: NDArray[np.bool_]
    counts: Mapping[str, int] = field(default_factory=dict[str, int])
    dropped: Sequence[BlockingRow] = ()

    @property
    def is_stored(self) -> NDArray[np.bool_]:
        """Whether each row becomes a row of the log, shape (n_rows,)."""
        found = [np.full(run.end - run.begin, run.is_stored) for run in self.runs]
        return np.concatenate([*found, np.zeros(0, np.bool_)])


RowNamer = Callable[[int, int], str]
"""Function that returns a row's number, time and entity in an order as text, for messages."""


def decide_runs(
    arriving: ArrivingRows,
    clocks: Sequence[OrderClock],
    late: LateRule,
    tell: RowNamer,
    *,
    answers: bool = True,
) -> ArrivalRuns:
    """Return the runs into which arriving rows are cut, and the decision for each row.

    With `answers`, repeated rows are computed again, so the rows in their windows must still be
    there. Raises `LateRow` if a row is late and `late` is "error", or if a row is so late that rows
    in its windows may have been dropped.
    """
    n_rows = arriving.n_rows
    is_repeated = (arriving.known >= 0) | (arriving.again != np.arange(n_rows))
    if not is_repeated.any() and not any(
        _may_be_late(arriving, k) for k in range(len(arriving.times))
    ):
        return ArrivalRuns([ArrivalRun(0, n_rows, True)], is_repeated)
    return _row_by_row(arriving, clocks, late, tell, answers=answers)


def _may_be_late(arriving: ArrivingRows, order: int) -> bool:
    """Return whether any row may be late in an order, relative to the log or an earlier row."""
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
    arriving: ArrivingRows,
    clocks: Sequence[OrderClock],
    late: LateRule,
    tell: RowNamer,
    *,
    answers: bool,
) -> ArrivalRuns:
    """Return the runs of arriving rows, deciding one row after the other."""
    states = [_Latest.of(arriving, k) for k in range(len(clocks))]
    known, again = arriving.known.tolist(), arriving.again.tolist()
    is_repeated: NDArray[np.bool_] = np.zeros(arriving.n_rows, np.bool_)
    is_dropped: NDArray[np.bool_] = np.zeros(arriving.n_rows, np.bool_)
    runs: list[ArrivalRun] = []
    dropped: list[BlockingRow] = []
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
            runs.append(ArrivalRun(row, row + 1, is_stored))
            for state in states:
                state.begin_run()
        else:
            runs[-1] = ArrivalRun(last.begin, row + 1, is_stored)
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
    clocks: Sequence[OrderClock],
    late: LateRule,
    tell: RowNamer,
    is_repeated: bool,
) -> None:
    """Raise `LateRow` if the rule forbids a late row, or rows that it needs were dropped.

    `late_in` are the indices of the orders in which the row is late.
    """
    for k in late_in:
        clock, behind = clocks[k], states[k].behind(row)
        which = None if is_repeated else states[k].behind_which(row, k)
        if late == "error" and not is_repeated:
            by = clock.text_of(behind) if behind else "its tie breaker"
            raise LateRow(
                f"{tell(row, k)} is earlier than the latest row of its entity, by {by}. Pass rows "
                "in order of time, or accept late rows: online(late='insert'), or 'drop'",
                which,
            )
        if clock.held.keep is not None and behind > clock.held.keep:
            told = tell(row, k)
            again = f"{told} has the id of an earlier row, and" if is_repeated else told
            raise LateRow(_too_late(again, clock, behind), which)


def _too_late(told: str, clock: OrderClock, behind: int) -> str:
    keep = clock.held.keep or 0
    limit = f" (keep={clock.text_of(keep)})" if keep else ""
    return (
        f"{told} is {clock.text_of(behind)} earlier than the latest row of its entity, and rows "
        f"of its windows may have been dropped{limit}. Keep rows longer: online(keep=...)"
    )


class _Latest:
    """The latest row of each entity in one order, while rows are decided one by one."""

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
    def of(arriving: ArrivingRows, order: int) -> _Latest:
        """Return the latest rows of an order's entities before the first row of the call."""
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
        """Return whether a row is earlier than the latest row of its entity."""
        latest = self._latest.get(self._entities[row])
        return latest is not None and self._moment(row) < latest

    def is_late_in_run(self, row: int) -> bool:
        """Return whether a row is earlier than a row of its entity in the current run."""
        latest = self._in_run.get(self._entities[row])
        return latest is not None and self._moment(row) < latest

    def behind(self, row: int) -> int:
        """Return the number of ticks by which a row is earlier than its entity's latest row."""
        return self._latest[self._entities[row]][0] - self._times[row]

    def behind_which(self, row: int, order: int) -> BlockingRow:
        """Return the row that makes a row late."""
        entity = self._entities[row]
        return BlockingRow(order, entity, self._latest[entity][0])

    def begin_run(self) -> None:
        """Begin a new run, without rows."""
        self._in_run = {}

    def take(self, row: int) -> None:
        """Count a row as stored in the current run."""
        entity, moment = self._entities[row], self._moment(row)
        if entity < 0:
            return
        for latest in (self._latest, self._in_run):
            if entity not in latest or latest[entity] < moment:
                latest[entity] = moment


_FIRST = (False, 0)
"""Sorts before every tie: stands for a missing tie, and for all ties of an order without one."""


def check_ahead(
    times: Sequence[Int64Array],
    is_placed: Sequence[NDArray[np.bool_]],
    clocks: Sequence[OrderClock],
    limits: TimeLimits,
    watermarks: Sequence[int],
    now_ns: int,
    tell: RowNamer,
) -> None:
    """Raise `FutureRow` for the first row with a time further ahead than the limits allow.

    Args:
        times: Per order, the time of each row in ticks.
        is_placed: Per order, flags of the rows that have a time and a key.
        clocks: Clock of each order.
        limits: Limits on how far times may be ahead.
        watermarks: Per order, the latest time of all rows before the call, in ticks; `NEVER` for no
            rows.
        now_ns: Time by this machine's clock, in nanoseconds since 1970.
        tell: Names a row in messages.
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
                    f"{tell(row, k)} is {ahead} ahead of this machine's clock, but max_ahead= "
                    f"allows only {length_text(limits.ahead_ns or 0, 'time')}. Check the clock "
                    "that set this time"
                )
        jump = limits.jump_of(clock)
        if jump is not None:
            _check_jump(times[k], is_placed[k], clock, jump, watermarks[k], _telling(tell, k))


def _telling(tell: RowNamer, order: int) -> Callable[[int], str]:
    return lambda row: tell(row, order)


def _check_jump(
    times: Int64Array,
    is_placed: NDArray[np.bool_],
    clock: OrderClock,
    jump: int,
    watermark: int,
    tell: Callable[[int], str],
) -> None:
    """Raise `FutureRow` for the first row more than `jump` ticks ahead of all rows before it.

    `watermark` is the latest time before the call; earlier rows of the call count, too.
    """
    rows = np.flatnonzero(is_placed)
    if not len(rows):
        return
    before = np.maximum.accumulate(np.concatenate([[watermark], times[rows]]))[:-1]
    is_far = (before != NEVER) & (subtract_ticks(times[rows], jump) > before)
    if is_far.any():
        first = int(np.argmax(is_far))
        row, by = int(rows[first]), int(times[rows[first]]) - int(before[first])
        raise FutureRow(
            f"{tell(row)} is {clock.text_of(by)} ahead of the latest row before it, but max_jump= "
            f"allows only {clock.text_of(jump)}. Check the clock that set this time; if there were "
            "no rows for so long, start again with a longer max_jump="
        )


def check_swept(
    times: Sequence[Int64Array],
    entities: Sequence[Int32Array],
    clocks: Sequence[OrderClock],
    swept: Sequence[int],
    tell: RowNamer,
) -> None:
    """Raise `LateRow` for the first row with a window that could have seen swept rows.

    Swept rows are rows of silent entities, dropped to save memory.

    Args:
        times: Per order, the time of each row in ticks.
        entities: Per order, the entity number of each row; -1 for none.
        clocks: Clock of each order.
        swept: Per order, the latest time up to which rows were swept; `NEVER` for none.
        tell: Names a row in messages.
    """
    for k, (clock, last) in enumerate(zip(clocks, swept, strict=True)):
        if last != NEVER:
            sees = subtract_ticks(times[k], clock.held.span or 0)
            wrong = np.flatnonzero((sees <= last) & (entities[k] != -1))
            if len(wrong):
                raise LateRow(_swept(tell(int(wrong[0]), k)))


def too_early(told: str, clock: OrderClock, time: int, latest: int) -> LateRow:
    """Return the error for a row so early that rows in its windows may have been dropped.

    `told` is the text of the row. `time` and its entity's `latest` time are in ticks; `latest` is
    `NEVER` for no rows.
    """
    keep = clock.held.keep
    if keep is None or latest == NEVER or latest - time <= keep:
        return LateRow(_swept(told))
    return LateRow(_too_late(told, clock, latest - time))


def _swept(told: str) -> str:
    return (
        f"{told} is so much earlier than the latest row of all entities that rows of its windows "
        "may have been dropped, because its entity had no new rows for a long time. Keep rows "
        "longer: online(keep=...)"
    )


def row_text(order: LogOrder, log: Table, row: int, first: int = 0) -> str:
    """Return the number, time and entity of a row of a call, for messages.

    `first` is the number by which the user knows the first row.
    """
    values = (value_text(node, log, row) for node in (order.time, *order.keys))
    return f"row {first + row} ({', '.join(values)})"


def value_text(node: Node, log: Table, row: int) -> str:
    """Return the name of a column and its value in a row, for messages."""
    name = node.name if isinstance(node, Column) else show(node)
    if name not in log.column_names:
        return name
    scalar = log.column(name)[row]
    try:
        value = scalar.as_py()
    except (OverflowError, ValueError):  # a time that Python's datetime cannot hold
        value = scalar.value
    return f"{name} = {str(value) if isinstance(value, date) else repr(value)}"
