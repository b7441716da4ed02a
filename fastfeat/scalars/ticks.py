"""Ticks: what the integer of a temporal type counts, and how one count becomes another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from fastfeat.dtypes import PER_SECOND, UNITS, DType, Unit
from fastfeat.scalars import op
from fastfeat.scalars.integers import INT64_MIN
from fastfeat.scalars.op import Op
from fastfeat.scalars.value import TIME_OUT_OF_RANGE, Value, raise_status
from fastfeat.scalars.whole import floor_parts_i64

SECONDS_PER_DAY = 86_400
INT64_MAX = (1 << 63) - 1


def ticks_per_day(dtype: DType) -> int:
    """Return how many ticks of a temporal type make 24 hours."""
    match dtype.name:
        case "date32":
            return 1
        case "date64":
            return 1000 * SECONDS_PER_DAY
        case _:
            return SECONDS_PER_DAY * ticks_per_second(dtype)


def ticks_per_second(dtype: DType) -> int:
    """Return how many ticks of a time, timestamp or duration make a second."""
    return PER_SECOND[unit_of(dtype)]


def unit_of(dtype: DType) -> Unit:
    """Return the unit of a time, timestamp or duration."""
    if dtype.unit is None:
        raise AssertionError(f"{dtype} has no unit")
    return dtype.unit


def finest(*dtypes: DType) -> Unit:
    """Return the finest unit of some types; those without one, dates, do not count."""
    result: Unit = "s"
    for unit in UNITS:
        if any(dtype.unit == unit for dtype in dtypes):
            result = unit
    return result


def floored(x: Op, divisor: int) -> Op:
    """Return x / divisor rounded down."""
    return floor_parts_i64(x, divisor)[0]


def truncated(x: Op, divisor: int) -> Op:
    """Return x / divisor rounded towards zero."""
    quotient, rest = floor_parts_i64(x, divisor)
    return quotient + op.from_bool((x < 0) & rest.ne(0))


def multiplied(x: Op, factor: int) -> tuple[Op, Op]:
    """Return x * factor, and whether that is beyond int64; the factor is positive."""
    if factor == 1:
        return x, op.FALSE
    return x * factor, (x > INT64_MAX // factor) | (x < -(-INT64_MIN // factor))


def recounted(x: Op, given: int, wanted: int, divide: Callable[[Op, int], Op]) -> tuple[Op, Op]:
    """Return a count of ticks as a count of others, and whether that is beyond int64.

    Args:
        x: the count.
        given: how many of its ticks make 24 hours.
        wanted: how many of those wanted do.
        divide: `floored` or `truncated`, for coarser ticks.
    """
    if given >= wanted:
        return divide(x, given // wanted), op.FALSE
    return multiplied(x, wanted // given)


def to_finer(value: Value, dtype: DType) -> Value:
    """Return a value in the ticks of a type that counts as finely or finer; with a status."""
    ticks, beyond = multiplied(value.op, ticks_per_day(dtype) // ticks_per_day(value.dtype))
    return raise_status(replace(value, dtype=dtype, op=ticks), beyond, TIME_OUT_OF_RANGE)
