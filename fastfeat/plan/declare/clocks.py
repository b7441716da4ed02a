"""Clocks: how a window's time relates to the moment of its row, to exclude values not known yet.

A clock is the known properties of a window's time expression. Its slack is how far the time may lie
before the moment of its row (a day's start before the row's hour), its lead how far after. A window
over late columns is safe only if its time never runs ahead of the row and never goes backwards. A
column is trusted, and so are functions that round a column down or shift it by a constant. The age
of the youngest row that a window sees follows from its offset and from the coarseness of its time.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from itertools import pairwise
from typing import Any, Final

from fastfeat_kernels.records import dataclass

from fastfeat.errors import FastfeatError
from fastfeat.io.columns.types import tick_ns
from fastfeat.ir.dtypes import PER_SECOND, DType
from fastfeat.ir.node import Call, Column, Literal, Node
from fastfeat.scalars.truncation import Interval, interval_of
from fastfeat.scalars.zone_files import ZoneTable
from fastfeat.scalars.zones import table_for

_DAY: Final = 86_400 * 10**9
_EPOCH: Final = {"d": _DAY, **{unit: 10**9 // n for unit, n in PER_SECOND.items()}}
_LONGEST_MONTH, _LONGEST_QUARTER, _LONGEST_YEAR = 31, 92, 366
_MONTH, _QUARTER, _YEAR = 1, 3, 12
_DATE: Final = Interval(days=1)
_EPOCH_DAY: Final = datetime.date(1970, 1, 1)
_UTC: Final = ZoneTable((), (0,))
_FIRST_CHANGE: Final = 86_400
"""Seconds since 1970 before which changes of a zone's offset are ignored in `turns_back`."""

WindowUnit = str | None
"""Unit of a window's lengths: "time", "steps" (whole numbers), or None if unknown."""


@dataclass(frozen=True, slots=True)
class Clock:
    """The known properties of a window's time expression.

    Lengths are in nanoseconds; if the time is a column of whole numbers, in its steps.

    Args:
        column: Name of the column that the time is computed from.
        base: That column, or `str.to_datetime` of it if it holds text.
        unit: Unit of the window's lengths.
        step: Nanoseconds per step if instants were converted to whole numbers; else None.
        slack: A time lies less than this before the moment of its row; 0 means exactly at it.
        grid: Every time is `phase` plus a multiple of this; 0 if there is no such grid.
        phase: Start of the grid.
        turns: Whether a later row may have an earlier time (by less than `slack`), because clocks
            are set back across the start of an interval.
        lead: A time lies at most this much after the moment of its row.
    """

    column: str
    base: Node
    unit: WindowUnit = None
    step: int | None = None
    slack: int = 0
    grid: int = 0
    phase: int = 0
    turns: bool = False
    lead: int = 0


def clock_of(
    time: Node, types: Mapping[Node, DType] | None = None, since: Node | None = None
) -> Clock | None:
    """Return the clock of a window's time, or None if the time cannot be trusted.

    Pass `types` once the expressions are bound; the zones of columns then count too. With `since`,
    that node is the moment of a row in place of a column, and only a time computed from it has a
    clock.
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
    """Return the column (or `since`) that a time is computed from, and the functions applied to it.

    The function applied first comes first. None if the time is not computed from a single column.
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


def _unit_of(dtype: DType) -> WindowUnit:
    return "time" if dtype.is_temporal else "steps"


def _after(clock: Clock, call: Call, types: Mapping[Node, DType] | None) -> Clock | None:
    """Return the clock after a further function; None if that function does not keep the order."""
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
    """Return whether a time is a date, by its type or by the function that computes it."""
    if dtype is not None:
        return dtype.name in ("date32", "date64")
    return isinstance(node, Call) and node.function == "dt.date"


def _moved(clock: Clock, constant: Any, sign: int, *, is_date: bool) -> Clock | None:
    """Return a clock shifted by a constant; a date moves by whole days, rounded down."""
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
    """Return a clock truncated to intervals of a zone's local time; no zone means UTC.

    With `is_date`, the start of an interval stays a local date instead of an instant.
    """
    table = _table_of(zone)
    least, most = min(table.offsets) * 10**9, max(table.offsets) * 10**9
    if turns_back(table, interval, is_date=is_date):
        clock = replace(clock, turns=True)
    if is_date and least == most:  # local time is the instant, moved
        clock = replace(clock, phase=clock.phase + most, lead=clock.lead + most)
        least = most = 0
    # the date stands for its midnight in UTC, which is later than local midnight east of it
    elif is_date:
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
    """Return the offsets of a zone; those for UTC if there is no zone or it is unknown."""
    if zone is None:
        return _UTC
    try:
        return table_for(zone)
    except FastfeatError:  # binding the expression raises this error, with a hint
        return _UTC


@lru_cache(maxsize=256)
def turns_back(table: ZoneTable, interval: Interval, *, is_date: bool) -> bool:
    """Return whether a later instant since 1970 may fall into an interval with an earlier start.

    Clocks that are set back may re-enter an interval that had ended: St. John's went from 00:01
    back to 23:01. If an interval begins at the very time to which clocks are set back, it begins
    with the later hour. That is correct unless only its date is kept (`is_date`).
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
    """Return the start of the interval around a local time, in nanoseconds since 1970."""
    if not interval.months:
        length = interval.nanoseconds or interval.days * _DAY
        return local - (local - interval.first_day * _DAY) % length
    day = _EPOCH_DAY + datetime.timedelta(days=local // _DAY)
    since = (day.year - _EPOCH_DAY.year) * _YEAR + day.month - 1
    years, months = divmod(since - since % interval.months, _YEAR)
    begins = datetime.date(_EPOCH_DAY.year + years, months + 1, 1)
    return (begins - _EPOCH_DAY).days * _DAY


def _cast(clock: Clock, wanted: DType, given: DType | None) -> Clock | None:
    if wanted.is_temporal and clock.step not in (None, tick_ns(wanted)):
        return None  # the length of a step, and so of a delay in steps, would change
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
    """Return a clock rounded down to multiples of a length.

    If one grid contains the other, only the coarser one counts.
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
    """Return a clock rounded down to intervals of unequal length."""
    return replace(clock, slack=clock.slack + longest, grid=0, phase=0)


def lead_over(time: Node, other: Node, types: Mapping[Node, DType] | None) -> int | None:
    """Return the most by which `time` may be after `other` in one row; negative if it is before.

    The result is in nanoseconds, or in steps of whole numbers. None if nothing is known about it.
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
    """Return whether a row with a later `time` never has an earlier `other` time."""
    if clock_of(time, types, other) is not None:
        return True
    clock, seen = clock_of(time, types), clock_of(other, types)
    return clock is not None and seen is not None and clock.base is seen.base


def determines_time(time: Node, other: Node, types: Mapping[Node, DType] | None) -> bool:
    """Return whether rows with equal `time` are sure to have equal `other` times."""
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
    """Return whether each time that `coarse` can take is also one that `fine` can take.

    Months truncated to hours have a grid of hours but few of its times: their slack exceeds the
    grid.
    """
    return bool(
        fine.grid
        and fine.slack == fine.grid
        and coarse.grid
        and coarse.grid % fine.grid == 0 == (coarse.phase - fine.phase) % fine.grid
    )


def youngest(clock: Clock, offset: int, *, holds_end: bool) -> int:
    """Return the least possible age of the youngest row that a window sees, in the clock's unit.

    `offset` is how long before the row's own time the window ends, in nanoseconds or steps.
    `holds_end` says that it includes rows exactly at its end (closed="right" or "both").
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
    """Return the least offset that makes the youngest row at least `age` old; see `youngest`."""
    apart = age * (clock.step or 1) + clock.slack
    if clock.grid:
        apart = -(-apart // clock.grid) * clock.grid - (0 if holds_end else clock.grid)
    return max(-(-apart // (clock.step or 1)), 0)
