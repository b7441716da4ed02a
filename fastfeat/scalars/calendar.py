"""The `.dt` functions: parts of dates, times and timestamps, and totals of durations.

A part, such as the hour, is int32. It is taken in local time: in the zone of the column or in
`tz=`. Totals of durations and epochs are int64. Ticks count the unit of a type, such as "us".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from fastfeat.errors import TypeMismatch
from fastfeat.ir.dtypes import BOOL, DATE32, INT32, INT64, NULL, DType
from fastfeat.ir.parameters import FreeText, Parameter, TextChoice
from fastfeat.scalars import op
from fastfeat.scalars.civil_calendar import (
    CivilDate,
    civil_date,
    days_in_month,
    iso_week,
    weekday,
)
from fastfeat.scalars.integral_floats import floor_parts, floor_quotient, to_integer
from fastfeat.scalars.local_time import LocalTime, local_time, zone_of
from fastfeat.scalars.op import Op
from fastfeat.scalars.temporal import (
    SECONDS_PER_DAY,
    convert_ticks,
    divide_floored,
    divide_truncated,
    ticks_per_day,
    ticks_per_second,
)
from fastfeat.scalars.value import (
    COUNT_OUT_OF_RANGE,
    DATE_OUT_OF_RANGE,
    YEAR_OUT_OF_RANGE,
    ScalarFunction,
    Value,
    codes_up_to,
    missing,
    raise_status,
)

PER_DAY = {
    "d": 1,
    "h": 24,
    "m": 1440,
    **{unit: SECONDS_PER_DAY * 10**k for unit, k in (("s", 0), ("ms", 3), ("us", 6), ("ns", 9))},
}
"""Number of each unit in 24 hours."""
ZONE = Parameter(
    "tz",
    FreeText(may_be_empty=False),
    "Time zone of the local time; None uses the column's own zone",
    None,
    is_optional=True,
)
NAIVE = Parameter(
    "naive",
    TextChoice(("UTC",)),
    "Time zone of timestamps without one; with None, `tz` is an error for them",
    None,
    is_optional=True,
)
EPOCH_UNITS = ("s", "ms", "us", "ns", "d")
_DATES = ("date32", "date64", "timestamp")
_DURATIONS = ("duration",)
_CLOCKS = ("time", "timestamp")
_LARGEST_INT32 = (1 << 31) - 1


def _hint(dtype: DType, names: Sequence[str]) -> str:
    match dtype.name:
        case "date32" | "date64" | "timestamp" if names == _DURATIONS:
            return ". Subtract two of them to get a duration"
        case "duration":
            return ". For a duration use .dt.total_hours(), .dt.total_seconds()"
        case "time":
            return ". A time of day has only hour, minute, second and fractions of a second"
        case "date32" | "date64":
            return ". A date has no time of day"
        case "utf8":
            return ". Read the text as a time first: .str.to_datetime('%Y-%m-%d %H:%M:%S').dt"
        case _ if dtype.is_number:
            return ". Give the number a unit first: .cast(pyarrow.timestamp('s')).dt"
        case _:
            return ""


def require_kind(dtype: DType, names: Sequence[str], what: str) -> None:
    """Raise TypeMismatch unless a type has one of these names, or is null (no values at all).

    `what` says in the message which types are needed.
    """
    if dtype.name not in names and dtype != NULL:
        raise TypeMismatch(f"needs {what}, got {dtype}{_hint(dtype, names)}")


def require_zone(dtype: DType, params: Mapping[str, Any]) -> None:
    """Raise TypeMismatch if `tz=` is given for a type without zones, or a zone does not exist."""
    tz = params.get("tz")
    if tz is not None and dtype.name not in ("timestamp", "null"):
        raise TypeMismatch(f"{dtype} has no time zone, so it cannot take tz={tz!r}")
    zone_of(dtype, tz)


def has_two_readings(dtype: DType, params: Mapping[str, Any]) -> bool:
    """Return whether `tz=` is ambiguous: naive timestamps may be UTC or local time of `tz`."""
    has_zone = params.get("tz") is not None and params.get("naive") is None
    return has_zone and dtype.name == "timestamp" and dtype.tz is None


def _local(value: Value, params: Mapping[str, Any]) -> LocalTime:
    return local_time(value.op, value.dtype, zone_of(value.dtype, params.get("tz")))


def _row(
    names: Sequence[str], what: str, result: DType, part: Callable[[LocalTime, DType], Op]
) -> ScalarFunction:
    """Return the registry entry of a part of local time.

    `part` gives a whole number in float64, or a bool.
    """

    def rule(types: Sequence[DType], params: Mapping[str, Any]) -> DType:
        require_kind(types[0], names, what)
        require_zone(types[0], params)
        return result

    def lower(values: Sequence[Value], params: Mapping[str, Any]) -> Value:
        (value,) = values
        if value.dtype == NULL:
            return replace(missing(result), status=value.status)
        taken = part(_local(value, params), value.dtype)
        if result == BOOL:
            return Value(BOOL, taken, value.ok, value.status)
        number = to_integer(taken) if taken.physical == "f64" else taken
        return Value(result, number, value.ok, value.status)

    return ScalarFunction(rule, lower, parameters=(ZONE, NAIVE))


def _of_days(part: Callable[[Op], Op], result: DType = INT32) -> ScalarFunction:
    return _row(_DATES, "a date or timestamp", result, lambda local, dtype: part(local.days))


def _of_date(part: Callable[[CivilDate], Op], result: DType = INT32) -> ScalarFunction:
    return _of_days(lambda days: part(civil_date(days)), result)


def _of_clock(part: Callable[[Op, int], Op]) -> ScalarFunction:
    return _row(
        _CLOCKS,
        "a time or timestamp",
        INT32,
        lambda local, dtype: part(local.ticks, ticks_per_second(dtype)),
    )


def _hour(ticks: Op, per_second: int) -> Op:
    return floor_quotient(ticks, 3600 * per_second)


def _clock(ticks: Op, per_second: int, *, n_seconds: int, n_larger: int) -> Op:
    """Return the number of whole units of `n_seconds` since the last full `n_larger` seconds.

    For minutes within the hour, these are 60 and 3600. `ticks` are ticks since midnight.
    """
    whole = floor_quotient(ticks, n_seconds * per_second)
    larger = floor_quotient(ticks, n_larger * per_second)
    return op.fma(larger, -float(n_larger // n_seconds), whole)


def _fraction(ticks: Op, per_second: int, *, unit: int) -> Op:
    """Return the elapsed part of the current second; `unit` is the number of units in a second."""
    _, rest = floor_parts(ticks, per_second)
    if unit >= per_second:
        return rest * float(unit // per_second)
    return floor_quotient(rest, per_second // unit)


def _quarter(date: CivilDate) -> Op:
    return floor_quotient(date.month + 2.0, 3)


def _is_month_end(date: CivilDate) -> Op:
    return to_integer(date.day).eq(days_in_month(date))


def _is_quarter_end(date: CivilDate) -> Op:
    return _is_month_end(date) & (_quarter(date) * 3.0).eq(date.month)


def _year() -> ScalarFunction:
    """Return the registry entry of `year`. Timestamps in seconds reach years beyond int32."""
    row = _of_date(lambda date: date.year)

    def lower(values: Sequence[Value], params: Mapping[str, Any]) -> Value:
        year = row.lower(values, params)
        return _within_int32(year, values[0].dtype, YEAR_OUT_OF_RANGE)

    return replace(row, lower=lower)


def _within_int32(value: Value, source: DType, status: int) -> Value:
    """Return a number of days or years, with the given error status if int32 cannot hold it."""
    if source.name == "date32" or source.unit in ("us", "ns"):
        return value
    beyond = (value.op > _LARGEST_INT32) | (value.op < -_LARGEST_INT32 - 1)
    return raise_status(value, beyond, status)


def _date() -> ScalarFunction:
    row = _row(_DATES, "a date or timestamp", DATE32, lambda local, dtype: local.days)

    def lower(values: Sequence[Value], params: Mapping[str, Any]) -> Value:
        return _within_int32(row.lower(values, params), values[0].dtype, DATE_OUT_OF_RANGE)

    return replace(row, lower=lower)


def _count_units(value: Value, unit: str, divide: Callable[[Op, int], Op]) -> Value:
    """Return a date, timestamp or duration as a number of units.

    `divide` rounds the division for coarser units: `divide_floored` or `divide_truncated`. A result
    beyond int64 sets an error status.
    """
    if value.dtype == NULL:
        return replace(missing(INT64), status=value.status)
    ticks, beyond = convert_ticks(value.op, ticks_per_day(value.dtype), PER_DAY[unit], divide)
    return raise_status(Value(INT64, ticks, value.ok, value.status), beyond, COUNT_OUT_OF_RANGE)


def _epoch_type(types: Sequence[DType], params: Mapping[str, Any]) -> DType:
    require_kind(types[0], _DATES, "a date or timestamp")
    return INT64


def _epoch(values: Sequence[Value], params: Mapping[str, Any]) -> Value:
    return _count_units(values[0], params["unit"], divide_floored)


def _total_type(types: Sequence[DType], params: Mapping[str, Any]) -> DType:
    require_kind(types[0], _DURATIONS, "a duration")
    return INT64


def _total(unit: str) -> ScalarFunction:
    def lower(values: Sequence[Value], params: Mapping[str, Any]) -> Value:
        return _count_units(values[0], unit, divide_truncated)

    return ScalarFunction(_total_type, lower)


def _repeat_after(seconds: int, row: ScalarFunction) -> ScalarFunction:
    return replace(row, repeats_s=seconds)


def _yearly(row: ScalarFunction) -> ScalarFunction:
    return replace(row, repeats_yearly=True)


def _up_to(largest: int, row: ScalarFunction) -> ScalarFunction:
    """Return the registry entry of a part, completed with the largest value of the part."""
    return replace(row, largest=codes_up_to(largest))


_WEEK_S = 7 * 86_400
_MINUTE = partial(_clock, n_seconds=60, n_larger=3600)
_SECOND = partial(_clock, n_seconds=1, n_larger=60)
FUNCTIONS: dict[str, ScalarFunction] = {
    "dt.year": _year(),
    "dt.quarter": _yearly(_up_to(4, _of_date(_quarter))),
    "dt.month": _yearly(_up_to(12, _of_date(lambda date: date.month))),
    "dt.week": _up_to(53, _of_days(iso_week)),
    "dt.weekday": _repeat_after(_WEEK_S, _up_to(7, _of_days(weekday))),
    "dt.day": _up_to(31, _of_date(lambda date: date.day)),
    "dt.ordinal_day": _up_to(366, _of_date(lambda date: date.ordinal)),
    "dt.hour": _repeat_after(86_400, _up_to(23, _of_clock(_hour))),
    "dt.minute": _repeat_after(3_600, _up_to(59, _of_clock(_MINUTE))),
    "dt.second": _repeat_after(60, _up_to(59, _of_clock(_SECOND))),
    **{
        f"dt.{name}": _repeat_after(1, _up_to(unit - 1, _of_clock(partial(_fraction, unit=unit))))
        for name, unit in (("millisecond", 10**3), ("microsecond", 10**6), ("nanosecond", 10**9))
    },
    "dt.is_leap_year": _of_date(lambda date: date.leap, BOOL),
    "dt.is_weekend": _repeat_after(_WEEK_S, _of_days(lambda days: weekday(days) >= 6.0, BOOL)),
    "dt.is_month_start": _of_date(lambda date: date.day.eq(1.0), BOOL),
    "dt.is_month_end": _of_date(_is_month_end, BOOL),
    "dt.is_quarter_end": _of_date(_is_quarter_end, BOOL),
    "dt.days_in_month": _up_to(31, _of_date(days_in_month)),
    "dt.date": _date(),
    "dt.epoch": ScalarFunction(
        _epoch_type,
        _epoch,
        parameters=(
            Parameter(
                "unit",
                TextChoice(EPOCH_UNITS),
                "Unit of the result; `d` is a day of 24 hours",
                "us",
            ),
        ),
    ),
    "dt.total_days": _total("d"),
    "dt.total_hours": _total("h"),
    "dt.total_minutes": _total("m"),
    "dt.total_seconds": _total("s"),
    "dt.total_milliseconds": _total("ms"),
    "dt.total_microseconds": _total("us"),
    "dt.total_nanoseconds": _total("ns"),
}
