"""Dates, times, timestamps and durations: literals, comparison, and common types.

Values are integers that count ticks of the type's unit. A timestamp is an instant: naive ones are
UTC, and a zone only decides how parts are taken. For mixed units both sides are converted to the
finer unit. A conversion beyond int64 sets the error status TIME_OUT_OF_RANGE.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from dataclasses import replace

from fastfeat.errors import TypeMismatch
from fastfeat.ir import dtypes
from fastfeat.ir.dtypes import PER_SECOND, UNITS, DType, TimeUnit
from fastfeat.ir.node import Literal
from fastfeat.scalars import op
from fastfeat.scalars.integers import INT64_MIN
from fastfeat.scalars.integral_floats import floor_parts_i64
from fastfeat.scalars.op import Op
from fastfeat.scalars.value import TIME_OUT_OF_RANGE, Value, missing, raise_status

SECONDS_PER_DAY = 86_400
INT64_MAX = (1 << 63) - 1


def ticks_per_day(dtype: DType) -> int:
    """Return the number of ticks of a temporal type in 24 hours."""
    match dtype.name:
        case "date32":
            return 1
        case "date64":
            return 1000 * SECONDS_PER_DAY
        case _:
            return SECONDS_PER_DAY * ticks_per_second(dtype)


def ticks_per_second(dtype: DType) -> int:
    """Return the number of ticks of a time, timestamp or duration in a second."""
    return PER_SECOND[unit_of(dtype)]


def unit_of(dtype: DType) -> TimeUnit:
    """Return the unit of a time, timestamp or duration, such as "us"."""
    if dtype.unit is None:
        raise AssertionError(f"{dtype} has no unit")
    return dtype.unit


def finest(*dtypes: DType) -> TimeUnit:
    """Return the finest unit of some types; dates, which have no unit, are skipped."""
    result: TimeUnit = "s"
    for unit in UNITS:
        if any(dtype.unit == unit for dtype in dtypes):
            result = unit
    return result


def divide_floored(x: Op, divisor: int) -> Op:
    """Return x / divisor rounded down."""
    return floor_parts_i64(x, divisor)[0]


def divide_truncated(x: Op, divisor: int) -> Op:
    """Return x / divisor rounded towards zero."""
    quotient, rest = floor_parts_i64(x, divisor)
    return quotient + op.from_bool((x < 0) & rest.ne(0))


def multiply_ticks(x: Op, factor: int) -> tuple[Op, Op]:
    """Return (x * factor, whether that overflows int64); the factor is positive."""
    if factor == 1:
        return x, op.FALSE
    return x * factor, (x > INT64_MAX // factor) | (x < -(-INT64_MIN // factor))


def convert_ticks(x: Op, given: int, wanted: int, divide: Callable[[Op, int], Op]) -> tuple[Op, Op]:
    """Return (a count of ticks converted to another tick, whether that overflows int64).

    `given` and `wanted` are ticks per 24 hours. `divide` rounds if the wanted ticks are coarser:
    `divide_floored` or `divide_truncated`.
    """
    if given >= wanted:
        return divide(x, given // wanted), op.FALSE
    return multiply_ticks(x, wanted // given)


def to_finer(value: Value, dtype: DType) -> Value:
    """Return a value in a type with an equal or finer unit; overflow sets an error status."""
    ticks, beyond = multiply_ticks(value.op, ticks_per_day(dtype) // ticks_per_day(value.dtype))
    return raise_status(replace(value, dtype=dtype, op=ticks), beyond, TIME_OUT_OF_RANGE)


_EPOCH = datetime.datetime(1970, 1, 1)
_MICROSECOND = datetime.timedelta(microseconds=1)


def literal_to_i64(value: datetime.date | datetime.time | datetime.timedelta) -> int:
    """Return a Python date or time as ticks: days for a date, microseconds for anything else.

    A naive datetime is UTC. Raises TypeMismatch for subclasses with nanoseconds, for NaT, for a
    time of day with a zone, and for ticks beyond 64 bits.

    Example:
        >>> literal_to_i64(datetime.date(1970, 1, 2))
        1
    """
    if value != value:  # pandas.NaT is a datetime too
        raise TypeMismatch(f"{value!r} cannot be part of an expression. Write None")
    if getattr(value, "nanosecond", 0) or getattr(value, "nanoseconds", 0):
        raise TypeMismatch(
            f"{value!r} has nanoseconds, but a constant holds at most microseconds. Round it first"
        )
    ticks = _ticks(value)
    if not -(1 << 63) <= ticks < 1 << 63:
        raise TypeMismatch(f"{value!r} does not fit into 64 bits as microseconds")
    return ticks


def _ticks(value: datetime.date | datetime.time | datetime.timedelta) -> int:
    match value:
        case datetime.datetime():
            naive = value.replace(tzinfo=None) - _EPOCH
            return (naive - (value.utcoffset() or datetime.timedelta())) // _MICROSECOND
        case datetime.date():
            return (value - _EPOCH.date()).days
        case datetime.timedelta():
            return value // _MICROSECOND
        case datetime.time() if value.tzinfo is None:
            since = datetime.datetime.combine(_EPOCH, value) - _EPOCH
            return since // _MICROSECOND
        case _:
            raise TypeMismatch(f"{value!r} has a time zone, but a time of day cannot have one")


def require_comparable(left: DType, right: DType) -> None:
    """Raise TypeMismatch unless two types, at least one of them temporal, can be compared."""
    if dtypes.NULL in (left, right):
        return
    shared_type(left, right, "compare")


def shared_type(left: DType, right: DType, verb: str) -> DType:
    """Return the temporal type that holds the values of both types; TypeMismatch if there is none.

    `verb`, such as "compare", is for the message.
    """
    kinds = {_kind(left), _kind(right)}
    if kinds == {"timestamp"}:
        require_same_clock(left, right, verb)
        return dtypes.timestamp(finest(left, right), left.tz)
    if kinds == {"timestamp", "date"}:
        moment = left if left.name == "timestamp" else right
        if moment.tz is not None:
            raise TypeMismatch(
                f"cannot {verb} {left} and {right}: the timestamp has the time zone {moment.tz}, "
                "but a date has none. Use the date of the timestamp: .dt.date()"
            )
        return dtypes.timestamp(finest(moment))
    if kinds == {"date"}:
        return dtypes.DATE32 if left == right == dtypes.DATE32 else dtypes.DATE64
    if len(kinds) == 1 and kinds <= {"time", "duration"}:
        return DType(left.name, finest(left, right))
    raise TypeMismatch(f"cannot {verb} {left} and {right}{_literal_hint(left, right)}")


def _kind(dtype: DType) -> str:
    return "date" if dtype.name in ("date32", "date64") else dtype.name


def require_same_clock(left: DType, right: DType, verb: str) -> None:
    """Raise TypeMismatch if one of two timestamps has a zone and the other has none."""
    if (left.tz is None) != (right.tz is None):
        raise TypeMismatch(
            f"cannot {verb} {left} and {right}: one has a time zone, the other has none. Give a "
            "literal a tzinfo. For a column of local times write "
            ".dt.replace_time_zone('Europe/Berlin'), for UTC .dt.replace_time_zone('UTC')"
        )


def _literal_hint(left: DType, right: DType) -> str:
    if dtypes.UTF8 in (left, right):
        return (
            ". Write the text as datetime.datetime(...), datetime.date(...) or datetime.time(...)"
        )
    if left.is_number or right.is_number:
        return (
            ". Convert it to a number first: .dt.epoch('s'), .dt.total_seconds(); or write a "
            "timedelta"
        )
    return ""


def align(left: Value, right: Value) -> tuple[Value, Value]:
    """Return both values in the finer of their units, for an exact comparison.

    Where the conversion would overflow, the value becomes the largest or smallest int64. If the
    other side equals that integer, the other side is moved one tick towards zero. So the order is
    kept.
    """
    if dtypes.NULL in (left.dtype, right.dtype):
        dtype = right.dtype if left.dtype == dtypes.NULL else left.dtype
        return convert(left, dtype), convert(right, dtype)
    dtype = shared_type(left.dtype, right.dtype, "compare")
    x, y = _clamped(left, dtype), _clamped(right, dtype)
    if _may_exceed(left, dtype):
        return x, _is_unclamped(y, x)
    return (_is_unclamped(x, y), y) if _may_exceed(right, dtype) else (x, y)


def _factor(source: DType, target: DType) -> int:
    return ticks_per_day(target) // ticks_per_day(source)


def _may_exceed(value: Value, dtype: DType) -> bool:
    """Return whether a value may overflow int64 when converted to a type; exact for literals."""
    factor = _factor(value.dtype, dtype)
    if isinstance(value.node, Literal):
        return not INT64_MIN <= literal_to_i64(value.node.value) * factor <= INT64_MAX
    return factor != 1


def _clamped(value: Value, dtype: DType) -> Value:
    ticks, beyond = multiply_ticks(value.op, _factor(value.dtype, dtype))
    if _may_exceed(value, dtype):
        limit = op.select(value.op < 0, op.literal(INT64_MIN, "i64"), INT64_MAX)
        ticks = op.select(beyond, limit, ticks)
    return replace(value, dtype=dtype, op=ticks)


def _is_unclamped(value: Value, clamped: Value) -> Value:
    """Return a value moved one tick towards zero if it equals `clamped` at a limit of int64."""
    at_limit = value.op.eq(clamped.op)
    high = at_limit & value.op.eq(INT64_MAX)
    low = at_limit & value.op.eq(INT64_MIN)
    return replace(value, op=value.op - op.from_bool(high) + op.from_bool(low))


def common_type(types: Sequence[DType]) -> DType:
    """Return the temporal type that holds the values of all these types exactly."""
    result = types[0]
    for dtype in types[1:]:
        if result.tz != dtype.tz and None not in (result.tz, dtype.tz):
            raise TypeMismatch(
                f"needs values of one time zone, got {result} and {dtype}. "
                f"Cast one of them: .cast(pyarrow.timestamp({result.unit!r}, {result.tz!r}))"
            )
        result = shared_type(result, dtype, "choose between")
    return result


def convert(value: Value, dtype: DType) -> Value:
    """Return a temporal or null value as a type with an equal or finer unit.

    Overflow sets an error status.
    """
    if value.dtype == dtypes.NULL:
        return replace(missing(dtype), status=value.status)
    return to_finer(value, dtype)
