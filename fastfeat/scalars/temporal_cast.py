"""Casts to and from dates, times, timestamps and durations.

A timestamp keeps its instant, also between zones and naive timestamps, which are UTC. Its date and
time of day are taken in its zone. Conversions to coarser units round down, durations towards zero,
like in Polars. Integers are ticks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from fastfeat.errors import TypeMismatch
from fastfeat.ir.dtypes import INTEGER_RANGE, DType
from fastfeat.scalars import op
from fastfeat.scalars.integral_floats import floor_quotient, to_integer
from fastfeat.scalars.local_time import local_time, zone_of
from fastfeat.scalars.op import Op
from fastfeat.scalars.temporal import (
    convert_ticks,
    divide_floored,
    divide_truncated,
    multiply_ticks,
    ticks_per_day,
    ticks_per_second,
)
from fastfeat.scalars.value import CAST_OUT_OF_RANGE, Value, as_f64, raise_status

CheckedTicks = tuple[Op, Op]
"""A value in the ticks of the target, and whether it is out of the target's range."""


def require_castable(source: DType, target: DType) -> None:
    """Raise TypeMismatch unless `cast` is defined between two types, at least one temporal."""
    if _rule(source, target) is None:
        raise TypeMismatch(f"cannot cast {source} to {target}{_hint(source, target)}")
    for dtype in (source, target):
        zone_of(dtype, None)


def _hint(source: DType, target: DType) -> str:
    if source.name == "utf8" and target.name in ("timestamp", "date32", "date64"):
        return ". Read the text as a time: .str.to_datetime('%Y-%m-%d %H:%M:%S')"
    if source.is_float:
        return ". Make it a whole number first: .cast('int64')"
    if source.is_temporal and target.name == "timestamp" and target.tz is not None:
        return f". A date is not a moment in {target.tz}: cast to a timestamp without a zone"
    if target.name == "bool":
        return ". Compare it instead"
    return ""


def _rule(source: DType, target: DType) -> Callable[[Value, DType], CheckedTicks] | None:
    """Return the function that casts values of one type to ticks of the other.

    None if that cast is not defined.
    """
    match source.name, target.name:
        case "timestamp", "timestamp":
            return _same_instant
        case (("date32" | "date64"), ("date32" | "date64")):
            return _same_instant
        case (("date32" | "date64"), "timestamp") if target.tz is None:
            return _same_instant
        case "time", "time":
            return _same_instant
        case "duration", "duration":
            return _same_length
        case "timestamp", ("date32" | "date64"):
            return _local_date
        case "timestamp", "time":
            return _local_clock
        case _ if source.is_temporal and (target.is_integer or target.is_float):
            return _number
        case _ if source.is_integer and target.is_temporal:
            return _from_integer
        case _:
            return None


def cast(value: Value, target: DType, *, strict: bool = True) -> Value:
    """Return a value cast to or from a temporal type; `require_castable` has accepted the types.

    With `strict` a value out of range sets an error status; otherwise it becomes missing.
    """
    rule = _rule(value.dtype, target)
    if rule is None:
        raise AssertionError(f"{value.dtype} to {target}")
    if target.is_float:
        number = as_f64(value)
        rounded = op.round_float32(number) if target.name == "float32" else number
        return Value(target, rounded, status=value.status)
    ticks, beyond = rule(value, target)
    converted = Value(target, ticks, value.ok, value.status)
    if strict:
        return raise_status(converted, beyond, CAST_OUT_OF_RANGE)
    return replace(converted, ok=value.ok & ~beyond)


def _number(value: Value, target: DType) -> CheckedTicks:
    low, high = INTEGER_RANGE[target.name]
    x = value.op
    return x, x < 0 if target.name == "uint64" else (x < low) | (x > high)


def _from_integer(value: Value, target: DType) -> CheckedTicks:
    x = value.op
    low, high = _range_of(target)
    outside = (x < low) | (x > high)
    return x, outside | (x < 0) if value.dtype.name == "uint64" else outside


def _range_of(dtype: DType) -> tuple[int, int]:
    """Return the first and last tick that a temporal type can hold."""
    match dtype.name:
        case "date32":
            return INTEGER_RANGE["int32"]
        case "time":
            return 0, ticks_per_day(dtype) - 1
        case _:
            return INTEGER_RANGE["int64"]


def _within(ticks: Op, target: DType) -> CheckedTicks:
    low, high = _range_of(target)
    return ticks, (ticks < low) | (ticks > high)


def _same_instant(value: Value, target: DType) -> CheckedTicks:
    given, wanted = ticks_per_day(value.dtype), ticks_per_day(target)
    ticks, beyond = convert_ticks(value.op, given, wanted, divide_floored)
    _, outside = _within(ticks, target)
    return ticks, beyond | outside


def _same_length(value: Value, target: DType) -> CheckedTicks:
    return convert_ticks(
        value.op, ticks_per_day(value.dtype), ticks_per_day(target), divide_truncated
    )


def _local_date(value: Value, target: DType) -> CheckedTicks:
    days = to_integer(local_time(value.op, value.dtype, zone_of(value.dtype, None)).days)
    ticks, beyond = multiply_ticks(days, ticks_per_day(target))
    return ticks, beyond | _within(ticks, target)[1]


def _local_clock(value: Value, target: DType) -> CheckedTicks:
    clock = local_time(value.op, value.dtype, zone_of(value.dtype, None)).ticks
    given, wanted = ticks_per_second(value.dtype), ticks_per_second(target)
    if given > wanted:
        return to_integer(floor_quotient(clock, given // wanted)), op.FALSE
    return to_integer(clock) * (wanted // given), op.FALSE
