"""Clocks: how far the time of a window may lie before the moment of its row.

A window over late columns is safe only where its time never runs ahead of the row and never turns
back. A column is trusted; so is what rounds one down or moves all of it by a constant. How old the
youngest row is that a window sees follows from its offset and from how coarsely its time counts.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise
from typing import Any, Final

from fastfeat.errors import FastfeatError
from fastfeat.io.columns.conversions import tick_ns
from fastfeat.ir.dtypes import PER_SECOND, DType
from fastfeat.ir.node import Call, Column, Literal, Node
from fastfeat.scalars.truncation import Interval, interval_of
from fastfeat.scalars.zones import ZoneTable, table_for

_DAY: Final = 86_400 * 10**9
_EPOCH: Final = {"d": _DAY, **{unit: 10**9 // n for unit, n in PER_SECOND.items()}}
_LONGEST_MONTH, _LONGEST_QUARTER, _LONGEST_YEAR = 31, 92, 366
_MONTH, _QUARTER, _YEAR = 1, 3, 12
_DATE: Final = Interval(days=1)
_EPOCH_DAY: Final = datetime.date(1970, 1, 1)
_UTC: Final = ZoneTable((), (0,))
_FIRST_CHANGE: Final = 86_400
"""Changes of the offset of a zone before it are not asked whether they turn clocks back."""

Unit = str | None
"""Of the lengths of a window: "time", "steps" (whole numbers), None where nothing says it."""


@dataclass(frozen=True, slots=True)
class Clock:
    """The known properties of the time of a window.

    Lengths are in nanoseconds; where the time is a column of whole numbers, in its steps.

    Args:
        column: the name of the column that it is made of.
        base: the column that it is made of, or the `str.to_datetime` of a column of text.
        unit: in what the window counts.
        step: how many nanoseconds a step of whole numbers made of instants has; None of others.
        slack: a time lies less than this before the moment of its row; 0 is that moment itself.
        grid: every time is a multiple of this, but for `phase`; 0 for no such grid.
        phase: where the grid begins.
        turns: whether a later row may have an earlier time, less than `slack` earlier: clocks that
            are set back across the start of an interval.
        lead: a time lies at most this after the moment of its row.
    """

    column: str
    base: Node
    unit: Unit = None
    step: int | None = None
    slack: int = 0
    grid: int = 0
    phase: int = 0
    turns: bool = False
    lead: int = 0


def clock_of(
    time: Node, types: Mapping[Node, DType] | None = None, since: Node | None = None
) -> Clock | None:
    """Return the clock of a window's time; None where it cannot be trusted.

    Args:
        time: the expression.
        types: of every node, once they are bound: then the zones of columns count too.
        since: the time that is the moment of a row: what is not made of it is no clock then. None
            for the column that the time is made of.
    """
    path = _path_to_column(time, since)
    if path is None:
        return None
    first, calls = path
    dtype = None if types is None else types[first]
    name = first.name if isinstance(first, Column) else ""
    clock = Clock(name, first, unit=None if dtype is None else _unit_of(dtype))
    for call in calls:
        known = _after(clock, call, types)
        if known is None:
            return None
        clock = known
    return clock


def _path_to_column(time: Node, since: Node | None) -> tuple[Node, list[Call]] | None:
    """Return the column that a time is made of, and the functions of it, the first one first.

    Args:
        time: the expression.
        since: what to find in place of a column; None for a column.
    """
    calls: list[Call] = []
    node = time
    while not (isinstance(node, Column) if since is None else node is since):
        if not isinstance(node, Call):
            return None
        inside = [arg for arg in node.args if not isinstance(arg, Literal)]
        if len(inside) != 1 or (node.function == "sub" and node.args[0] is not inside[0]):
            return None
        calls.append(node)
        (node,) = inside
    return node, calls[::-1]


def _unit_of(dtype: DType) -> Unit:
    return "time" if dtype.is_temporal else "steps"


def _after(clock: Clock, call: Call, types: Mapping[Node, DType] | None) -> Clock | None:
    """Return a clock after one more function; None where it is none that keeps order."""
    params = dict(call.params)
    inside = next(arg for arg in call.args if not isinstance(arg, Literal))
    dtype = None if types is None else types[inside]
    match call.function:
        case "add" | "sub":
            constant = next(arg for arg in call.args if isinstance(arg, Literal))
            sign = -1 if call.function == "sub" else 1
            return _moved(clock, constant.value, sign, is_date=_is_date(inside, dtype))
        case "str.to_datetime":
            return replace(clock, base=call, unit="time")
        case "dt.truncate":
            zone = params.get("tz") or (None if dtype is None else dtype.tz)
            return _truncated(replace(clock, unit="time"), interval_of(params["every"]), zone)
        case "dt.date":
            zone = params.get("tz") or (None if dtype is None else dtype.tz)
            return _truncated(replace(clock, unit="time"), _DATE, zone, is_date=True)
        case "dt.epoch":
            step = _EPOCH[params["unit"]]
            return replace(_rounded(clock, step, 0), unit="steps", step=step)
        case "cast":
            return _cast(clock, params["dtype"], dtype)
        case _:
            return None


def _is_date(node: Node, dtype: DType | None) -> bool:
    """Return whether a time is a date: by its type, or by the function that makes it."""
    if dtype is not None:
        return dtype.name in ("date32", "date64")
    return isinstance(node, Call) and node.function == "dt.date"


def _moved(clock: Clock, constant: Any, sign: int, *, is_date: bool) -> Clock | None:
    """Return a clock that is a constant more; a date moves by whole days, rounded down."""
    match constant:
        case bool():
            return None
        case int():
            unit, moved = clock.unit or "steps", constant * (clock.step or 1)
        case datetime.timedelta():
            unit, moved = "time", constant // datetime.timedelta(microseconds=1) * 1000
        case _:
            return None
    moved *= sign
    if is_date and unit == "time":
        moved = moved // _DAY * _DAY
    return replace(clock, unit=unit, phase=clock.phase + moved, lead=clock.lead + moved)


def _truncated(
    clock: Clock, interval: Interval, zone: str | None, *, is_date: bool = False
) -> Clock:
    """Return a clock that is cut to intervals of the local time of a zone.

    Args:
        clock: the clock.
        interval: the length of the intervals.
        zone: its name; None for UTC.
        is_date: whether the start of an interval stays a local date, and is no instant.
    """
    table = _table_of(zone)
    least, most = min(table.offsets) * 10**9, max(table.offsets) * 10**9
    if turns_back(table, interval, is_date=is_date):
        clock = replace(clock, turns=True)
    if is_date and least == most:  # local time is the instant, moved
        clock = replace(clock, phase=clock.phase + most, lead=clock.lead + most)
        least = most = 0
    elif is_date:  # it stands for its midnight in UTC, which comes later than that east of it
        clock = replace(clock, lead=clock.lead + max(most, 0))
    if interval.months:
        n_months = interval.months
        years, rest = divmod(n_months, _YEAR)
        quarters, months = divmod(rest, _QUARTER)
        days = years * _LONGEST_YEAR + quarters * _LONGEST_QUARTER + months * _LONGEST_MONTH
        return _unevenly(clock, days * _DAY + most - least)
    length = interval.nanoseconds or interval.days * _DAY
    if most > least:
        return _unevenly(clock, length + most - least)
    return _rounded(clock, length, interval.first_day * _DAY - least)


def _table_of(zone: str | None) -> ZoneTable:
    """Return the offsets of a zone; of none, or of one that is not known, those of UTC."""
    if zone is None:
        return _UTC
    try:
        return table_for(zone)
    except FastfeatError:  # binding the expression says so, with a hint
        return _UTC


@lru_cache(maxsize=256)
def turns_back(table: ZoneTable, interval: Interval, *, is_date: bool) -> bool:
    """Return whether the start of the interval of a later instant may be an earlier one, from 1970.

    Clocks that are set back may come back into an interval that had ended: those of St. John's did
    from 00:01 to 23:01. An interval that begins at the very time they are set back to begins with
    the later hour, which is right, unless all that is left of it is its date.

    Args:
        table: the offsets of a zone.
        interval: the length of the intervals of local time.
        is_date: as of `_truncated`.
    """
    for change, (before, after) in zip(table.changes, pairwise(table.offsets), strict=True):
        if after >= before or change < _FIRST_CHANGE:
            continue
        last = _start_of((change + before) * 10**9 - 1, interval)
        first = (change + after) * 10**9
        start = _start_of(first, interval)
        if start < last and (is_date or start < first):
            return True
    return False


def _start_of(local: int, interval: Interval) -> int:
    """Return the start of the interval of a local time, in nanoseconds since 1970."""
    if not interval.months:
        length = interval.nanoseconds or interval.days * _DAY
        return local - (local - interval.first_day * _DAY) % length
    day = _EPOCH_DAY + datetime.timedelta(days=local // _DAY)
    since = (day.year - _EPOCH_DAY.year) * _YEAR + day.month - 1
    years, months = divmod(since - since % interval.months, _YEAR)
    begins = datetime.date(_EPOCH_DAY.year + years, months + 1, 1)
    return (begins - _EPOCH_DAY).days * _DAY


def _cast(clock: Clock, wanted: DType, given: DType | None) -> Clock | None:
    """Return a clock as another type."""
    if wanted.is_temporal and clock.step not in (None, tick_ns(wanted)):
        return None  # a step would become longer or shorter, and a delay with it
    match wanted.name:
        case "timestamp":
            return replace(_rounded(clock, tick_ns(wanted), 0), unit="time", step=None)
        case "date32" | "date64":
            zone = None if given is None else given.tz
            clock = replace(clock, unit="time", step=None)
            return _truncated(clock, _DATE, zone, is_date=True)
        case _ if wanted.is_integer:
            if given is not None and given.is_temporal:
                return replace(clock, unit="steps", step=tick_ns(given))
            exact = given is not None and given.is_integer
            return replace(clock if exact else _rounded(clock, 1, 0), unit="steps")
        case _:
            return None


def _rounded(clock: Clock, length: int, phase: int) -> Clock:
    """Return a clock that is rounded down to multiples of a length.

    Where one grid holds the other, the coarser one is all that counts.
    """
    since = clock.phase - phase
    if clock.grid and clock.grid % length == 0 and since % length == 0:
        return clock
    if clock.slack == clock.grid and (
        not clock.grid or length % clock.grid == 0 == since % clock.grid
    ):
        slack = length
    else:
        slack = clock.slack + length
    return replace(clock, slack=slack, grid=length, phase=phase)


def _unevenly(clock: Clock, longest: int) -> Clock:
    """Return a clock that is rounded down to intervals of several lengths."""
    return replace(clock, slack=clock.slack + longest, grid=0, phase=0)


def lead_over(time: Node, other: Node, types: Mapping[Node, DType] | None) -> int | None:
    """Return how far a time may lie after another one of its row, at most; below 0 before it.

    Args:
        time: the time.
        other: the other one.
        types: of every node, once they are bound.

    Returns:
        Nanoseconds, or steps of whole numbers; None where nothing is known of it.
    """
    since = clock_of(time, types, other)
    if since is not None:
        return since.lead
    clock, seen = clock_of(time, types), clock_of(other, types)
    if clock is None or seen is None or clock.base is not seen.base:
        return None
    lead = clock.lead - seen.lead
    if lead <= 0 and _holds(clock, seen):  # by whole intervals of the other one
        return -(-lead // seen.grid * seen.grid)
    return lead + seen.slack


def rises_with(time: Node, other: Node, types: Mapping[Node, DType] | None) -> bool:
    """Return whether, of two rows, the one with the later time never has the earlier other one.

    Args:
        time: the time.
        other: the other one.
        types: of every node, once they are bound.
    """
    if clock_of(time, types, other) is not None:
        return True
    clock, seen = clock_of(time, types), clock_of(other, types)
    return clock is not None and seen is not None and clock.base is seen.base


def tells(time: Node, other: Node, types: Mapping[Node, DType] | None) -> bool:
    """Return whether rows of one time have one other time too, as far as it is known.

    Args:
        time: the time.
        other: the other one.
        types: of every node, once they are bound.
    """
    if clock_of(other, types, time) is not None:
        return True
    since = clock_of(time, types, other)
    if since is not None:
        return not since.slack
    clock, seen = clock_of(time, types), clock_of(other, types)
    if clock is None or seen is None or clock.base is not seen.base:
        return False
    if not clock.slack:
        return True
    if seen.slack != seen.grid or not _holds(seen, clock):
        return False
    return (seen.lead - clock.lead) % clock.grid == 0  # both begin at the same moments


def _holds(coarse: Clock, fine: Clock) -> bool:
    """Return whether each time of one clock is a time of another one.

    Months that are cut to hours have a grid of hours, few of which are times: their slack is more.
    """
    return bool(
        fine.grid
        and fine.slack == fine.grid
        and coarse.grid
        and coarse.grid % fine.grid == 0 == (coarse.phase - fine.phase) % fine.grid
    )


def youngest(clock: Clock, offset: int, *, holds_end: bool) -> int:
    """Return the least age of the youngest row that a window sees, as the clock counts.

    Args:
        clock: the time of the window.
        offset: how long before the row's own time the window ends, in nanoseconds or steps.
        holds_end: whether it holds the rows at its very end (closed="right" or "both").
    """
    offset *= clock.step or 1
    apart = offset
    if clock.grid:
        steps = -(-offset // clock.grid) if holds_end else offset // clock.grid + 1
        apart = steps * clock.grid
    return _in_steps(apart - clock.slack, clock)


def _in_steps(length: int, clock: Clock) -> int:
    return length // (clock.step or 1)


def offset_for(clock: Clock, age: int, *, holds_end: bool) -> int:
    """Return the offset of a window whose youngest row is at least so old; see `youngest`."""
    apart = age * (clock.step or 1) + clock.slack
    if clock.grid:
        apart = -(-apart // clock.grid) * clock.grid - (0 if holds_end else clock.grid)
    return max(-(-apart // (clock.step or 1)), 0)
