"""`cast`: a value converted to another type.

A value that the type cannot hold is an error; with strict=False it becomes missing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from fastfeat.errors import TypeMismatch
from fastfeat.ir.dtypes import BOOL, INTEGER_RANGE, DType
from fastfeat.ir.parameters import BoolChoice, Parameter, TypeName
from fastfeat.scalars import op, temporal_cast
from fastfeat.scalars.integers import TWO_63
from fastfeat.scalars.op import Op
from fastfeat.scalars.value import (
    CAST_OUT_OF_RANGE,
    ScalarFunction,
    Value,
    as_f64,
    is_out_of_range,
    missing,
    raise_status,
    raise_where,
)


def _cast_type(types: Sequence[DType], params: Mapping[str, Any]) -> DType:
    source, target = types[0], params["dtype"]
    if target.name in ("float16", "decimal", "utf8"):
        raise TypeMismatch(f"cannot cast {source} to {target}: a feature cannot have that type")
    if source == target or source.name == "null":
        return target
    if source.is_temporal or target.is_temporal:
        temporal_cast.require_castable(source, target)
        return target
    if not source.is_number:
        raise TypeMismatch(
            f"cannot cast {source} to {target}. Map text to numbers with replace_strict({{...}})"
        )
    if not target.is_number:
        raise TypeMismatch(f"cannot cast {source} to {target}")
    return target


def _cast(values: Sequence[Value], params: Mapping[str, Any]) -> Value:
    (value,) = values
    target: DType = params["dtype"]
    if value.dtype == target and (target.name != "float32" or value.op.name == "input"):
        return value  # a computed float32 is a float64 that has yet to be rounded
    if value.dtype.name == "null":
        return replace(missing(target), status=value.status)
    if value.dtype.is_temporal or target.is_temporal:
        return temporal_cast.cast(value, target, strict=params["strict"])
    if target.is_float:
        return _to_float(value, target, strict=params["strict"])
    if target.name == "bool":
        return _to_bool(value)
    return _to_integer(value, target, strict=params["strict"])


def _to_float(value: Value, target: DType, *, strict: bool) -> Value:
    if target.name != "float32":
        return Value(target, as_f64(value), status=value.status)
    exact = replace(value, op=_round_to_odd(value)) if value.op.physical == "i64" else value
    x = as_f64(exact)
    rounded, is_beyond = op.round_float32(x), is_out_of_range(x, target)
    if strict:
        return raise_where(
            Value(target, rounded, status=value.status), is_beyond, CAST_OUT_OF_RANGE
        )
    return Value(target, op.select(is_beyond, op.NAN, rounded), status=value.status)


def _round_to_odd(value: Value) -> Op:
    """Return an integer that is exact in float64 and rounds to the same float32 as the value.

    Rounding to float64 first could create a tie, and so round twice.
    """
    x = value.op
    lower = -1 if value.dtype.name == "uint64" else -(1 << 53)
    small = (x < 1 << 53) & (x > lower)
    lowest = 1 << 11  # 53 of 64 bits are kept; any lost bit sets the last one
    lost = (x & (lowest - 1)).ne(0)
    return op.select(small, x, (x & -lowest) | op.select(lost, op.literal(lowest, "i64"), 0))


def _to_bool(value: Value) -> Value:
    nonzero = value.op.ne(0) if value.op.physical == "i64" else value.op.ne(0.0)
    return Value(BOOL, nonzero, value.present, value.status)


def _to_integer(value: Value, target: DType, *, strict: bool) -> Value:
    low, high = INTEGER_RANGE[target.name]
    match value.op.physical:
        case "b1":
            return Value(target, op.from_bool(value.op), value.ok, value.status)
        case "f64":
            result, inside = truncate_to(value.op, target.name, low, high)
        case _:
            result, inside = value.op, is_within(value, target.name, low, high)
    converted = Value(target, result, value.present, value.status)
    if strict:
        return raise_status(converted, ~inside, CAST_OUT_OF_RANGE)
    return replace(converted, ok=converted.ok & inside)


def truncate_to(x: Op, name: str, low: int, high: int) -> tuple[Op, Op]:
    """Return (a float truncated to an integer, whether that is in the integer type's range)."""
    whole = op.truncate(x)
    if name == "uint64":
        inside = (whole >= 0.0) & (whole < 2 * TWO_63)
        upper = inside & (whole >= TWO_63)
        shifted = op.to_i64(op.select(upper, whole - TWO_63, op.select(inside, whole, 0.0)))
        return op.select(upper, shifted ^ -(1 << 63), shifted), inside
    # high + 1 is a power of two, so the comparison is exact
    inside = (whole >= float(low)) & (whole < float(high + 1))
    return op.to_i64(op.select(inside, whole, 0.0)), inside


def is_within(value: Value, name: str, low: int, high: int) -> Op:
    """Return whether an integer is in the range [low, high] of another integer type."""
    if name == "uint64":
        return op.TRUE if value.dtype.name == "uint64" else value.op >= 0
    if value.dtype.name == "uint64":
        return (value.op >= 0) & (value.op <= high)
    return (value.op >= low) & (value.op <= high)


FUNCTIONS: dict[str, ScalarFunction] = {
    "cast": ScalarFunction(
        _cast_type,
        _cast,
        parameters=(
            Parameter("dtype", TypeName(), "Type of the result"),
            Parameter(
                "strict",
                BoolChoice(),
                "Whether a value that the type cannot hold is an error; False makes it missing",
                True,
            ),
        ),
    )
}
