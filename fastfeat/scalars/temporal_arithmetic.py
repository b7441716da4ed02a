"""Arithmetic of dates, times, timestamps and durations; overflow sets an error status.

| operation | result |
|---|---|
| timestamp - timestamp, time - time | duration between the two instants, in the finer unit |
| date - date | duration[us], as in Polars |
| date - timestamp | duration; the date is its midnight, the timestamp naive |
| timestamp ± duration | timestamp in the finer unit, in its zone; a day is 24 hours |
| date ± duration | date: midnight moved, and its date taken, as in Polars |
| duration ± duration, duration % duration | duration in the finer unit |
| duration / duration, duration // duration | float64, int64 |
| duration * integer, duration / integer, duration // integer | duration, rounded down |
| duration * float, duration / float | duration, truncated |

Division by zero gives missing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from fastfeat.errors import TypeMismatch
from fastfeat.ir.dtypes import FLOAT64, INT64, INTEGER_RANGE, DType, duration, timestamp
from fastfeat.scalars import op
from fastfeat.scalars.integers import (
    INT64_MIN,
    TWO_63,
    add_overflows,
    floor_parts,
    mul_overflows,
    sub_overflows,
)
from fastfeat.scalars.op import Op
from fastfeat.scalars.temporal import convert, divide_floored, finest, shared_type, ticks_per_day
from fastfeat.scalars.value import (
    TIME_OUT_OF_RANGE,
    Value,
    as_f64,
    as_i64,
    join_status,
    raise_status,
)

_SIGNS = {
    "add": "+", "sub": "-", "mul": "*", "div": "/", "floordiv": "//", "mod": "%",
}  # fmt: skip
TypeOf = Callable[[DType, DType], DType]
Build = Callable[[Value, Value, DType], Value]
TemporalRule = tuple[TypeOf, Build]


def result_type(name: str, types: Sequence[DType]) -> DType:
    """Return the result type of an operation on temporal values; `name` is, for example, "add"."""
    left, right = types
    rule = _RULES.get((name, _kind(left), _kind(right)))
    if rule is None:
        raise TypeMismatch(
            f"cannot compute {left} {_SIGNS[name]} {right}{_hint(name, left, right)}"
        )
    return rule[0](left, right)


def lower(name: str, left: Value, right: Value) -> Value:
    """Return the result of an operation on temporal values; `name` is, for example, "add"."""
    result, build = _RULES[name, _kind(left.dtype), _kind(right.dtype)]
    return build(left, right, result(left.dtype, right.dtype))


def _kind(dtype: DType) -> str:
    if dtype.name in ("date32", "date64"):
        return "date"
    if dtype.is_float:
        return "float"
    return "integer" if dtype.is_integer else dtype.name


def _hint(name: str, left: DType, right: DType) -> str:
    moments = {"date", "timestamp", "time"}
    kinds = {_kind(left), _kind(right)}
    if kinds <= moments and name == "add":
        return ". Their difference is a duration; a sum has no meaning"
    if kinds & moments and kinds & {"integer", "float"} and name in ("add", "sub"):
        return ". Give the number a unit: datetime.timedelta(days=1), .cast(pyarrow.duration('s'))"
    if "duration" in kinds and "time" in kinds:
        return ". A time of day cannot pass midnight: use a timestamp"
    return ""


def _difference_type(left: DType, right: DType) -> DType:
    shared = shared_type(left, right, "subtract")
    return duration("us" if shared.unit is None else finest(shared))


def _shifted_timestamp_type(left: DType, right: DType) -> DType:
    return timestamp(finest(left, right), left.tz)


def _span_type(left: DType, right: DType) -> DType:
    return duration(finest(left, right))


def _left_type(left: DType, right: DType) -> DType:
    return left


def _sum(left: Value, right: Value, dtype: DType) -> Value:
    """Return left + right, with both converted to the unit of the result type."""
    x, y = convert(left, dtype), convert(right, dtype)
    total = x.op + y.op
    value = Value(dtype, total, x.ok & y.ok, join_status(x, y))
    return raise_status(value, add_overflows(x.op, y.op, total), TIME_OUT_OF_RANGE)


def _difference(left: Value, right: Value, dtype: DType) -> Value:
    """Return left - right, with both converted to the unit of the result type."""
    x, y = convert(left, dtype), convert(right, dtype)
    total = x.op - y.op
    value = Value(dtype, total, x.ok & y.ok, join_status(x, y))
    return raise_status(value, sub_overflows(x.op, y.op, total), TIME_OUT_OF_RANGE)


def _moved_date(combine: Build) -> Build:
    """Return a function that adds or subtracts a duration at a date's midnight, and takes the date.

    `combine` is `_sum` or `_difference`.
    """

    def build(left: Value, right: Value, dtype: DType) -> Value:
        moment = duration(finest(duration("ms"), right.dtype))
        moved = combine(left, right, moment)
        days = divide_floored(moved.op, ticks_per_day(moment))
        dated = replace(moved, dtype=dtype, op=days * ticks_per_day(dtype))
        low, high = INTEGER_RANGE["int32"]
        beyond = (days < low) | (days > high) if dtype.name == "date32" else op.FALSE
        return raise_status(dated, beyond, TIME_OUT_OF_RANGE)

    return build


def _times_integer(left: Value, right: Value, dtype: DType) -> Value:
    factor = as_i64(right)
    product = left.op * factor.op
    value = Value(dtype, product, left.ok & factor.ok, join_status(left, factor))
    return raise_status(value, mul_overflows(left.op, factor.op, product), TIME_OUT_OF_RANGE)


def _times_float(left: Value, right: Value, dtype: DType) -> Value:
    return _from_float(op.to_f64(left.op) * right.op, left, right, op.TRUE, dtype)


def _over_float(left: Value, right: Value, dtype: DType) -> Value:
    return _from_float(op.to_f64(left.op) / right.op, left, right, right.op.ne(0.0), dtype)


def _from_float(ticks: Op, left: Value, right: Value, defined: Op, dtype: DType) -> Value:
    """Return a float number of ticks truncated to a duration; beyond int64 it sets an error status.

    `left` and `right` are the operands. The result is missing if an operand is missing or `defined`
    is false.
    """
    whole = op.truncate(ticks)
    inside = (whole >= -TWO_63) & (whole < TWO_63)
    ok = left.ok & right.present & defined & op.is_number(ticks)
    value = Value(dtype, op.to_i64(op.select(inside, whole, 0.0)), ok, join_status(left, right))
    return raise_status(value, ~inside, TIME_OUT_OF_RANGE)


def _over_integer(left: Value, right: Value, dtype: DType) -> Value:
    return _floor_quotient(left, as_i64(right), dtype)


def _floor_quotient(x: Value, y: Value, dtype: DType) -> Value:
    quotient, _, zero = floor_parts(x.op, y.op)
    value = Value(dtype, quotient, x.ok & y.ok & ~zero, join_status(x, y))
    return raise_status(value, x.op.eq(INT64_MIN) & y.op.eq(-1), TIME_OUT_OF_RANGE)


def _count(left: Value, right: Value, dtype: DType) -> Value:
    shared = _span_type(left.dtype, right.dtype)
    return _floor_quotient(convert(left, shared), convert(right, shared), dtype)


def _rest(left: Value, right: Value, dtype: DType) -> Value:
    x, y = convert(left, dtype), convert(right, dtype)
    _, rest, zero = floor_parts(x.op, y.op)
    return Value(dtype, rest, x.ok & y.ok & ~zero, join_status(x, y))


def _ratio(left: Value, right: Value, dtype: DType) -> Value:
    shared = _span_type(left.dtype, right.dtype)
    x, y = convert(left, shared), convert(right, shared)
    quotient = as_f64(x) / as_f64(y)
    defined = op.select(y.op.eq(0), op.NAN, quotient)
    return Value(dtype, defined, status=join_status(x, y))


def _swap_arguments(build: Build) -> Build:
    return lambda left, right, dtype: build(right, left, dtype)


def _swapped_type(rule: TypeOf) -> TypeOf:
    return lambda left, right: rule(right, left)


_DIFFERENCE: TemporalRule = (_difference_type, _difference)
_RULES: dict[tuple[str, str, str], TemporalRule] = {
    ("sub", "date", "date"): _DIFFERENCE,
    ("sub", "date", "timestamp"): _DIFFERENCE,
    ("sub", "timestamp", "date"): _DIFFERENCE,
    ("sub", "timestamp", "timestamp"): _DIFFERENCE,
    ("sub", "time", "time"): _DIFFERENCE,
    ("add", "timestamp", "duration"): (_shifted_timestamp_type, _sum),
    ("add", "duration", "timestamp"): (
        _swapped_type(_shifted_timestamp_type),
        _swap_arguments(_sum),
    ),
    ("sub", "timestamp", "duration"): (_shifted_timestamp_type, _difference),
    ("add", "date", "duration"): (_left_type, _moved_date(_sum)),
    ("add", "duration", "date"): (_swapped_type(_left_type), _swap_arguments(_moved_date(_sum))),
    ("sub", "date", "duration"): (_left_type, _moved_date(_difference)),
    ("add", "duration", "duration"): (_span_type, _sum),
    ("sub", "duration", "duration"): (_span_type, _difference),
    ("mul", "duration", "integer"): (_left_type, _times_integer),
    ("mul", "integer", "duration"): (_swapped_type(_left_type), _swap_arguments(_times_integer)),
    ("mul", "duration", "float"): (_left_type, _times_float),
    ("mul", "float", "duration"): (_swapped_type(_left_type), _swap_arguments(_times_float)),
    ("div", "duration", "integer"): (_left_type, _over_integer),
    ("div", "duration", "float"): (_left_type, _over_float),
    ("div", "duration", "duration"): (lambda left, right: FLOAT64, _ratio),
    ("floordiv", "duration", "integer"): (_left_type, _over_integer),
    ("floordiv", "duration", "duration"): (lambda left, right: INT64, _count),
    ("mod", "duration", "duration"): (_span_type, _rest),
}
