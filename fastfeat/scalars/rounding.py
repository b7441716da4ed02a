"""Rounding of numbers, limits (`clip`), and tests for infinities."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fastfeat.ir.dtypes import BOOL, FLOAT64, INT64, NULL, DType
from fastfeat.ir.parameters import Parameter, Whole
from fastfeat.scalars import op
from fastfeat.scalars.arithmetic import float_type, number_type, require_numbers
from fastfeat.scalars.choice import common_type, convert
from fastfeat.scalars.op import FALSE, TRUE, Op
from fastfeat.scalars.value import (
    ScalarFunction,
    Value,
    as_f64,
    as_i64,
    join_status,
)

INFINITY = float("inf")
MOST_DECIMALS = 300


def _integral(build: Callable[[Op], Op]) -> ScalarFunction:
    """Return the registry entry of floor or ceil, which leave integers unchanged."""

    def lower(values: Sequence[Value], params: Mapping[str, Any]) -> Value:
        (value,) = values
        if value.op.physical != "f64":
            return as_i64(value)
        return Value(FLOAT64, build(value.op), status=value.status)

    return ScalarFunction(number_type, lower)


def _round(values: Sequence[Value], params: Mapping[str, Any]) -> Value:
    """Return x rounded half to even: scaled by a power of ten, rounded, and scaled back.

    Unchanged if the value has no digits left to round.
    """
    (value,) = values
    if value.op.physical != "f64":
        return as_i64(value)
    x, scale = value.op, 10.0 ** params["decimals"]
    rounded = op.round_even(x) if scale == 1.0 else op.round_even(x * scale) / scale
    kept = op.select(op.magnitude(x * scale) < 4503599627370496.0, rounded, x)
    return Value(FLOAT64, kept, status=value.status)


def _clip_type(types: Sequence[DType], params: Mapping[str, Any]) -> DType:
    if types[0].is_temporal:
        return common_type(types)
    require_numbers(types)
    known = [dtype for dtype in types if dtype != NULL]
    if types[0] != NULL and all(dtype.physical != "f64" for dtype in known):
        return INT64
    return FLOAT64


def _clip(values: Sequence[Value], params: Mapping[str, Any]) -> Value:
    """Return x limited to [lower, upper]; a missing limit has no effect, a missing x stays so."""
    dtype = _clip_type([value.dtype for value in values], params)
    x, lower, upper = (convert(value, dtype) for value in values)
    status = join_status(x, lower, upper)
    if dtype.physical == "f64":  # no comparison with NaN holds
        raised = op.select(x.op < lower.op, lower.op, x.op)
        return Value(dtype, op.select(upper.op < raised, upper.op, raised), status=status)
    raised = op.select(lower.ok & (x.op < lower.op), lower.op, x.op)
    return Value(dtype, op.select(upper.ok & (upper.op < raised), upper.op, raised), x.ok, status)


def _bool_of_number(types: Sequence[DType], params: Mapping[str, Any]) -> DType:
    require_numbers(types)
    return BOOL


def _is_finite(values: Sequence[Value], params: Mapping[str, Any]) -> Value:
    (value,) = values
    if value.op.physical != "f64":
        return Value(BOOL, TRUE, value.ok, value.status)
    return Value(BOOL, op.magnitude(value.op) < INFINITY, value.present, value.status)


def _is_infinite(values: Sequence[Value], params: Mapping[str, Any]) -> Value:
    (value,) = values
    if value.op.physical != "f64":
        return Value(BOOL, FALSE, value.ok, value.status)
    return Value(BOOL, op.magnitude(value.op).eq(INFINITY), value.present, value.status)


def _fill_infinite(values: Sequence[Value], params: Mapping[str, Any]) -> Value:
    """Return x with ±inf replaced by a value, which may be missing."""
    x, fill = as_f64(values[0]), as_f64(values[1])
    result = op.select(op.magnitude(x).eq(INFINITY), fill, x)
    return Value(FLOAT64, result, status=join_status(*values))


FUNCTIONS: dict[str, ScalarFunction] = {
    "floor": _integral(op.floor),
    "ceil": _integral(op.ceil),
    "round": ScalarFunction(
        number_type,
        _round,
        parameters=(
            Parameter(
                "decimals", Whole(0, MOST_DECIMALS), "Number of digits after the decimal point", 0
            ),
        ),
    ),
    "clip": ScalarFunction(_clip_type, _clip, n_args=3),
    "is_finite": ScalarFunction(_bool_of_number, _is_finite),
    "is_infinite": ScalarFunction(_bool_of_number, _is_infinite),
    "fill_infinite": ScalarFunction(float_type, _fill_infinite, n_args=2),
}
