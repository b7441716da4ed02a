"""`.dt.truncate`: the start of the interval of local time that contains a date or timestamp.

Intervals are counted like in Polars: from 1970-01-01, weeks from Monday, 1970-01-05. The start is a
local time, so it must be converted back to an instant:

- with the offset of the value itself, if the zone has that offset at the result; this decides
  local times that occur twice;
- else the first instant with this local time;
- a local time that the clocks skip gives the first instant after the gap.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from fastfeat_kernels.records import dataclass

from fastfeat.errors import TypeMismatch
from fastfeat.ir.dtypes import NULL, DType, TimeUnit
from fastfeat.ir.parameters import FreeText, Parameter
from fastfeat.scalars import op, zone_files
from fastfeat.scalars.calendar import NAIVE, PER_DAY, ZONE, require_kind, require_zone
from fastfeat.scalars.civil_calendar import civil_date, first_day_of_month
from fastfeat.scalars.integers import INT64_MIN
from fastfeat.scalars.integral_floats import floor_parts, floor_parts_i64, to_integer
from fastfeat.scalars.local_time import (
    LocalTime,
    local_time,
    offset_at,
    offsets_around,
    within_table,
    zone_of,
)
from fastfeat.scalars.op import Op
from fastfeat.scalars.temporal import INT64_MAX, ticks_per_day, unit_of
from fastfeat.scalars.value import TIME_OUT_OF_RANGE, ScalarFunction, Value, raise_status

if TYPE_CHECKING:
    from fastfeat.scalars.zone_files import ZoneTable

_PART = re.compile(r"(\d+)(ns|us|ms|mo|s|m|h|d|w|q|y)")
_UNITS = "ns us ms s m h d w mo q y, as in '15m', '1d' or '1mo'"
_MONTHS = {"mo": 1, "q": 3, "y": 12}
_DAYS = {"d": 1, "w": 7}
_NANOSECONDS = {unit: PER_DAY["ns"] // n for unit, n in PER_DAY.items() if unit != "d"}
_LONGEST_MONTHS = 12 * 100_000
_LONGEST_DAYS = 36_525_000
_LONGEST_NANOSECONDS = 36_525 * PER_DAY["ns"]


@dataclass(frozen=True, slots=True)
class Interval:
    """The length of an interval: months, days or nanoseconds; the other two are 0.

    Args:
        months: Calendar months.
        days: Calendar days.
        first_day: Number of a day on which an interval begins, if the length is in days.
        nanoseconds: A fixed length of time.
    """

    months: int = 0
    days: int = 0
    first_day: int = 0
    nanoseconds: int = 0


@lru_cache(maxsize=1024)
def interval_of(every: str) -> Interval:
    """Return the interval from a text such as "15m", "1d" or "1h30m".

    Raises TypeMismatch if the text cannot be read, has no length, is too long or mixes units.
    """
    parts = [(int(n), unit) for n, unit in _PART.findall(every)]
    if not parts or _PART.sub("", every):
        raise TypeMismatch(f"cannot read every={every!r}. Write a number and a unit: {_UNITS}")
    units = {unit for _, unit in parts}
    for lengths in (_MONTHS, {"w": 7}, {"d": 1}, _NANOSECONDS):
        if units <= lengths.keys():
            return _interval(every, sum(n * lengths[unit] for n, unit in parts), units)
    raise TypeMismatch(
        f"every={every!r} mixes units that have no common length: use months, quarters and years, "
        "or weeks, or days, or hours and shorter"
    )


def _interval(every: str, length: int, units: set[str]) -> Interval:
    if length == 0:
        raise TypeMismatch(f"every={every!r} has no length")
    if units <= _MONTHS.keys():
        interval, longest = Interval(months=length), _LONGEST_MONTHS
    elif units <= _DAYS.keys():
        interval = Interval(days=length, first_day=_A_MONDAY if "w" in units else 0)
        longest = _LONGEST_DAYS
    else:
        interval, longest = Interval(nanoseconds=length), _LONGEST_NANOSECONDS
    if length > longest:
        raise TypeMismatch(f"every={every!r} is too long. Write it in years, at most 100,000")
    return interval


_A_MONDAY = 4
"""1970-01-05."""


def _result_type(types: Sequence[DType], params: Mapping[str, Any]) -> DType:
    dtype = types[0]
    require_kind(dtype, ("date32", "date64", "timestamp"), "a date or timestamp")
    require_zone(dtype, params)
    interval = interval_of(params["every"])
    if dtype != NULL and interval.nanoseconds:
        _ticks_of(interval, dtype, params["every"])
    return dtype


def _ticks_of(interval: Interval, dtype: DType, every: str) -> int:
    """Return an interval in nanoseconds as ticks of a type.

    Raises TypeMismatch if the unit of the type is too coarse.
    """
    ticks, rest = divmod(interval.nanoseconds * ticks_per_day(dtype), PER_DAY["ns"])
    if dtype.unit is None or rest:
        what = "whole days" if dtype.unit is None else f"no fractions of 1 {dtype.unit}"
        raise TypeMismatch(f"{dtype} has {what}, so it cannot be truncated to {every!r}")
    return ticks


def _truncate(values: Sequence[Value], params: Mapping[str, Any]) -> Value:
    (value,) = values
    dtype, interval = value.dtype, interval_of(params["every"])
    if dtype == NULL:
        return value
    zone = zone_of(dtype, params.get("tz"))
    local = local_time(value.op, dtype, zone)
    if interval.nanoseconds:
        length = _ticks_of(interval, dtype, params["every"])
        passed, beyond = _passed_ticks(value.op, local, ticks_per_day(dtype), length), op.FALSE
    else:
        passed, beyond = _passed_since_day(local, ticks_per_day(dtype), interval)
    start = value.op - passed
    if zone.changes and dtype.name == "timestamp":
        start = _instant(zone, unit_of(dtype), value.op, start)
    truncated = replace(value, op=start)
    return raise_status(truncated, beyond | (start > value.op), TIME_OUT_OF_RANGE)


def _passed_ticks(x: Op, local: LocalTime, per_day: int, length: int) -> Op:
    """Return the ticks from the start of the interval to a value, for a fixed interval length.

    `length` and `per_day` (24 hours) are in ticks.
    """
    if per_day % length == 0:
        return to_integer(floor_parts(local.ticks, length)[1])
    _, rest = floor_parts_i64(x, length)
    return floor_parts_i64(rest + to_integer(local.offset), length)[1]


def _passed_since_day(local: LocalTime, per_day: int, interval: Interval) -> tuple[Op, Op]:
    """Return (ticks from the start of the interval to a value, whether the start is out of range).

    The interval is in days or months.
    """
    if interval.months:
        days, longest = local.days - _first_day(local.days, interval.months), 31 * interval.months
    else:
        since = local.days - float(interval.first_day)
        days, longest = floor_parts(since, interval.days)[1], interval.days
    passed = to_integer(days) * per_day + to_integer(local.ticks)
    if (longest + 1) * per_day <= INT64_MAX:
        return passed, op.FALSE
    return passed, local.days - days < float(INT64_MIN // per_day - 1)


def _first_day(days: Op, n_months: int) -> Op:
    """Return the first day of the interval of months that contains a day."""
    date = civil_date(days)
    months = op.fma(date.year - 1970.0, 12.0, date.month - 1.0)
    first = months - floor_parts(months, n_months)[1]
    year, month = floor_parts(first, 12)
    return first_day_of_month(year + 1970.0, month + 1.0)


def _instant(zone: ZoneTable, unit: TimeUnit, x: Op, start: Op) -> Op:
    """Return the instant at which an interval starts, from its local time.

    `x` is the instant that was truncated. `start` is the local time of the start, converted to an
    instant with the offset of `x`.
    """
    offset = offset_at(zone, unit, within_table(zone, unit, x)).ticks
    same = within_table(zone, unit, start)
    # with any offset, the instant lies in this window, and at most one change does
    old, new = offsets_around(zone, unit, same, 2 * zone_files.LARGEST_OFFSET)
    first, second = same + to_integer(offset - old), same + to_integer(offset - new)
    at_first, at_second = offset_at(zone, unit, first), offset_at(zone, unit, second)
    inside = (at_first.change <= first) & (at_first.change > second)
    after_gap = op.select(inside, at_first.change, at_second.change)
    found = op.select(at_second.ticks.eq(new), second, after_gap)
    found = op.select(at_first.ticks.eq(old), first, found)
    found = op.select(offset_at(zone, unit, same).ticks.eq(offset), same, found)
    return start + (found - same)


FUNCTIONS: dict[str, ScalarFunction] = {
    "dt.truncate": ScalarFunction(
        _result_type,
        _truncate,
        parameters=(
            Parameter("every", FreeText(), "Length of the intervals, such as `15m` or `1d`"),
            ZONE,
            NAIVE,
        ),
    )
}
