"""Windows over late columns: whether the rows they see are old enough for the values to be known.

A late column is known only after the moment of its row. An expression's sight is the set of late
columns in it and the ways by which it sees them. A clock is the time column, or expression of one,
by which a window orders rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import IntFlag
from typing import TYPE_CHECKING, Any, NamedTuple

from fastfeat_kernels.records import dataclass

from fastfeat.errors import Leakage
from fastfeat.io.columns.types import tick_ns
from fastfeat.ir.dtypes import DType
from fastfeat.ir.durations import duration_text, length_text
from fastfeat.ir.node import Call, Column, Node, TableColumn, postorder
from fastfeat.ir.scope import (
    includes_own_row,
    is_over_table,
    order_of,
    table_columns_of,
    table_of,
    window_of,
)
from fastfeat.ir.show import show
from fastfeat.plan.declare import clocks as window_clocks
from fastfeat.plan.declare.bind import bind
from fastfeat.plan.declare.late_columns import NO_NAMES, Delay, LateColumns, Length
from fastfeat.plan.declare.source_columns import reads_own_row

if TYPE_CHECKING:
    from fastfeat.plan.declare.clocks import Clock


class LatePath(IntFlag):
    """The ways in which late columns enter an expression, as flags."""

    NONE = 0
    PAST = 1
    """Values of earlier rows, through a window that excludes the row itself."""
    ENCODED = 2
    """The result of an out-of-fold target encoding."""
    LATE = 4
    """Values of the row itself, or of an arbitrary row of a table."""
    LEARNT = 8
    """Statistics that fit learns from late values of all rows, including the row itself."""


@dataclass(frozen=True, slots=True)
class LateSight:
    """The late columns that an expression sees, and how it sees them.

    Args:
        ways: The ways in which late columns enter.
        late: Late columns that it reads from the row itself.
        clocks: Times of the windows through which it sees earlier rows.
    """

    ways: LatePath = LatePath.NONE
    late: frozenset[str] = NO_NAMES
    clocks: frozenset[Node] = frozenset()


NOTHING = LateSight()


def merge_sights(sights: Sequence[LateSight]) -> LateSight:
    """Return the sight of an expression: the sights of its arguments, merged."""
    seeing = [sight for sight in sights if sight.ways]
    if len(seeing) < 2:
        return seeing[0] if seeing else NOTHING
    ways = LatePath.NONE
    for sight in seeing:
        ways |= sight.ways
    return LateSight(
        ways,
        NO_NAMES.union(*(sight.late for sight in seeing)),
        frozenset[Node]().union(*(sight.clocks for sight in seeing)),
    )


BoundTypes = Mapping[Node, DType]


class KnownAfter(NamedTuple):
    """How long after its row a late column is known, counted by one clock.

    Args:
        length: Time after the row, in nanoseconds or steps as the clock counts.
        unit: "time" or "steps".
        column: Name of the late column.
        given: The length as text, for messages.
        said_by: The option that gives the delay.
    """

    length: int
    unit: str
    column: str
    given: str
    said_by: str

    @property
    def told(self) -> str:
        """The delay as a sentence for messages."""
        return f"{self.column!r} is known {self.given} after its row ({self.said_by})"


def sight_over(
    over: Call, args: Sequence[LateSight], late: LateColumns, types: BoundTypes | None
) -> LateSight:
    """Return the sight of a window function: the ways by which it sees late columns.

    `args` are the sights of its value and of its window; `types` is None before binding. Raises
    Leakage if an encoding enters the window, or a late value of the row itself, or one that is not
    known yet, or one that is ordered by another clock.
    """
    seen, ordered = args
    if ordered.ways:
        is_encoded = ordered.ways == LatePath.ENCODED
        read = "a target encoding" if is_encoded else "a column known only after the prediction"
        raise Leakage(
            f"{show(over)}: time=, by= or tie= of the window reads {read}. Use columns that are "
            "known at the row's moment"
        )
    if seen.ways & LatePath.ENCODED:
        raise Leakage(
            f"{show(over)}: the window reads a target encoding of other rows. The encoding of a "
            "row leaves out the targets of that row's fold only, so those of other rows may "
            "include this row's target. Leave the encoding out of the window"
        )
    if seen.ways & LatePath.LEARNT:
        raise Leakage(
            f"{show(over)}: reads a value that fit learns from all rows of a column known only "
            "after the prediction, so each training row would see its own value. Use the column "
            "itself: col('y').mean(over=...)"
        )
    if not seen.ways:
        return seen
    time = order_of(over).args[0]
    _check_one_clock(over, time, seen.clocks)
    if seen.ways & LatePath.LATE:
        _check_own_row(over)
        _check_clock(over, seen.late, late, types)
    return LateSight(LatePath.PAST, clocks=frozenset({time}))


def _check_own_row(over: Call) -> None:
    if reads_own_row(over):
        raise Leakage(
            f"{show(over)}: compares the row's own {show(over.args[0])}, which is known only after "
            "the prediction. Compare the value of an earlier row: "
            "x.lag(1, over=...).rank(over=...)"
        )
    if includes_own_row(over):
        held = "rows at the moment of the row" if is_over_table(over) else "the row itself"
        raise Leakage(
            f"{show(over)}: the window includes {held}, where {show(over.args[0])} is known only "
            "after the prediction. Leave out closed=, or give the window an offset="
            f"{_or_known(over)}"
        )


def _or_known(over: Call) -> str:
    """Return a hint to declare a table column as known; empty for windows over the data."""
    if not is_over_table(over):
        return ""
    names = sorted({n.name for n in postorder([over.args[0]]) if isinstance(n, TableColumn)})
    told = f"known_tables={{{table_of(order_of(over))!r}: {names!r}}}"
    return f". Or, if the table is known at that moment, declare it: Plan(..., {told})"


def _check_one_clock(over: Call, time: Node, clocks: Iterable[Node]) -> None:
    """Raise if a window over one clock sees results of windows that are ordered by another clock.

    A row that is earlier by one clock may, by the other clock, already have seen the label of the
    current row.
    """
    for other in clocks:
        if other is not time:
            raise Leakage(
                f"{show(over)}: the time of the window is {show(time)}, but the window inside it, "
                "which reads columns known only after the prediction, has the time "
                f"{show(other)}. With two different times a row may see its own label. Give both "
                f"windows the same time, time={show(other)}"
            )


def _check_clock(
    over: Call, columns: Iterable[str], late: LateColumns, types: BoundTypes | None
) -> None:
    """Raise if a window sees late columns by an untrusted clock, or before they are known."""
    time, window = order_of(over).args[0], dict(window_of(over).params)
    clock = trusted_clock(over, time, types)
    if is_over_table(over):
        _check_clock_of_table(over, types)
    holds_end = window["closed"] in ("right", "both")
    if clock.turns and window_clocks.youngest(clock, window["offset"], holds_end=holds_end) < 0:
        needed = length_text(window_clocks.offset_for(clock, 0, holds_end=holds_end), clock.unit)
        raise Leakage(
            f"{show(over)}: the time of the window, {show(time)}, is rounded in a time zone. When "
            "clocks are set back, a later row may have an earlier time, so the window may see rows "
            f"later than its own. Set offset={needed}, or truncate the time in UTC"
        )
    for known in known_after(over, time, clock, columns, late, types):
        if window["unit"] not in (None, known.unit):
            raise _other_kind(over, known, "the length of the window is")
        age = window_clocks.youngest(clock, window["offset"], holds_end=holds_end)
        if age < known.length:
            needed = window_clocks.offset_for(clock, known.length, holds_end=holds_end)
            rounded = f", whose time is {show(time)}," if clock.slack else ""
            seen = f"up to {length_text(age, known.unit)} before" if age > 0 else "up to"
            raise Leakage(
                f"{show(over)}: {known.told}, but the window{rounded} sees rows "
                f"{seen} the row's own moment. Set offset={length_text(needed, known.unit)} or more"
            )


def trusted_clock(told_of: Node, time: Node, types: BoundTypes | None) -> Clock:
    """Return the clock of a time that decides which late values are seen.

    Raises Leakage, which names the expression `told_of`, if the time may run ahead of the row or
    backwards.
    """
    clock = window_clocks.clock_of(time, types)
    if clock is None:
        raise Leakage(
            f"{show(told_of)}: the time {show(time)} decides which labels and outcomes are already "
            "known, but this expression may be later than the row, or run backwards. Use a column, "
            "time='t', or one with .dt.truncate(), .dt.date(), .dt.epoch(), .str.to_datetime(), a "
            "cast to a timestamp, or a constant added or subtracted"
        )
    return clock


def _check_clock_of_table(over: Call, types: BoundTypes | None) -> None:
    """Raise if late columns of a table are ordered by another time than the data."""
    order = order_of(over)
    left, right = order.args[0], table_columns_of(order)[0]
    table = table_of(order)
    if not isinstance(left, Column) or left.name != right.name:
        raise Leakage(
            f"{show(over)}: reads values of the table {table!r} that are known only after the "
            f"prediction, and compares the table's {right.name!r} with {show(left)} of the data. "
            "With two different times a row may see its own label. Let time= and right_time= be "
            f"one column that both have{_or_known(over)}"
        )
    if types is not None and types[left].is_temporal and types[right].is_temporal:
        data, other = types[left], types[right]
        if tick_ns(other) > tick_ns(data):
            raise Leakage(
                f"{show(over)}: reads values of the table {table!r} that are known only after the "
                f"prediction. There {right.name!r} is {other}, coarser than {data} in the data, so "
                "later rows of the table would seem earlier. Give both the same type"
            )


def known_after(
    told_of: Node,
    time: Node,
    clock: Clock,
    columns: Iterable[str],
    late: LateColumns,
    types: BoundTypes | None,
) -> list[KnownAfter]:
    """Return how long after its row each late column is known by one clock, the longest first.

    Raises Leakage, which names the expression `told_of`, if a delay is not given for this clock, or
    is given in another unit.
    """
    found = [
        _known_after(told_of, time, clock, column, delay, types)
        for column in sorted(columns)
        for delay in late.delays.get(column, ())
    ]
    return sorted(found, key=lambda known: -known.length)


def _known_after(
    told_of: Node, time: Node, clock: Clock, column: str, delay: Delay, types: BoundTypes | None
) -> KnownAfter:
    if delay.time is None:
        length, unit = _length_by(told_of, clock, column, delay)
    else:
        length, unit = _length_ahead(told_of, time, clock, column, delay, types)
    told = KnownAfter(length, unit, column, length_text(length, unit), delay.said_by)
    if clock.step is None:
        if clock.unit not in (None, unit):
            raise _other_kind(told_of, told, "its time needs")
        return told
    if unit == "steps":
        raise Leakage(
            f"{show(told_of)}: {told.told}, but one step of the time here is "
            f"{duration_text(clock.step)!r} of {clock.column!r}. Write the delay as a duration: "
            f"{delay.said_by}{duration_text(length * clock.step)!r}"
        )
    return told._replace(length=-(-length // clock.step), unit="steps")


def _length_by(told_of: Node, clock: Clock, column: str, delay: Delay) -> Length:
    found = delay.by_clock.get(clock.column, delay.default_length)
    if found is None:
        known = ", ".join(map(repr, delay.by_clock))
        raise Leakage(
            f"{show(told_of)}: {delay.said_by} has the delay of {column!r} for {known}, but the "
            f"time here is computed from {clock.column!r}. Add its delay for that column: "
            f"{delay.said_by}{{..., {clock.column!r}: ...}}"
        )
    return found


def _length_ahead(
    told_of: Node, time: Node, clock: Clock, column: str, delay: Delay, types: BoundTypes | None
) -> Length:
    """Return how long after its row a label that sees later rows is known, by one clock.

    The window of the label ends by its own clock. If that clock is rounded, the window ends later
    by another clock, at most by the rounding. Outcomes of the last row in it are known even later.
    """
    assert delay.time is not None
    assert delay.default_length is not None
    seen = window_clocks.clock_of(delay.time)
    if seen is not None and seen.column == clock.column and types is not None:
        column_type = {seen.column: types[Column(seen.column)]}
        seen = window_clocks.clock_of(delay.time, bind([delay.time], column_type))
    if seen is None or seen.column != clock.column:
        raise Leakage(
            f"{show(told_of)}: {column!r} is computed from later rows by the time "
            f"{show(delay.time)}, so it is unclear when it is known by {show(time)}, the time "
            "here. Use one column for both, or let one of them be the other after .dt.truncate() "
            "or .dt.date()"
        )
    length, unit = delay.default_length
    if seen.step is not None:
        length, unit = length * seen.step, "time"
    if delay.time is not time:
        length += seen.slack
    waits = [
        _length_by(told_of, seen, name, one) for name, given in delay.seen.items() for one in given
    ]
    for wait, kind in waits:
        if kind != unit:
            known = KnownAfter(wait, kind, column, length_text(wait, kind), "outcomes=")
            raise _other_kind(told_of, known, "the length of ff.ahead is")
    return length + max((wait for wait, _ in waits), default=0), unit


def _other_kind(told_of: Node, known: KnownAfter, what: str) -> Leakage:
    kinds = ("a duration", "a whole number")
    given, other = kinds if known.unit == "time" else kinds[::-1]
    return Leakage(
        f"{show(told_of)}: {known.said_by}{known.given} is {given}, but {what} {other}. "
        "Write both in the unit of the time. If there are times of both kinds, write one delay "
        f"for each: {known.said_by}{{'ts': '30d', 'day': 30}}"
    )


def age_text(seeing: Call, types: BoundTypes | None = None) -> str:
    """Return the clock by which earlier rows are seen, and their least age, as text.

    `seeing` is a function over a window of the data or of a table, or an as-of join.
    """
    if seeing.function == "asof_row":
        time, params = seeing.args[0], dict(seeing.params)
        wait, holds_end, is_of_table = params["delay"], params["allow_exact_matches"], True
    else:
        time, params = order_of(seeing).args[0], dict(window_of(seeing).params)
        wait, holds_end = params["offset"], params["closed"] in ("right", "both")
        is_of_table = is_over_table(seeing)
    by = f"by {show(time)}"
    clock = window_clocks.clock_of(time, types)
    unit: Any = "steps" if clock is not None and clock.step else params["unit"]
    lead = 0
    if clock is not None and is_of_table:
        lead = -(-clock.lead // (clock.step or 1)) - wait
        if lead > 0:
            return f"{by}, up to {length_text(lead, unit or clock.unit)} after the row's own moment"
    elif clock is None and (is_of_table or not (holds_end and not wait)):
        return f"{by}, of unknown age"
    if holds_end and not wait:
        return f"{by}, up to the row's own moment"
    assert clock is not None
    # rows of a table do not lie on the grid of the data's clock
    age = -lead if is_of_table else window_clocks.youngest(clock, wait, holds_end=holds_end)
    if age > 0:
        return f"{by}, at least {length_text(age, unit)} old"
    return f"{by}, before the row's own moment"
