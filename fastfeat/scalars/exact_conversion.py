"""A value converted to another type if that is exact; the same rules as `io.columns.conform`.

Columns in device memory are converted like this, in a kernel, before a plan reads them.
"""

from __future__ import annotations

from dataclasses import replace

from fastfeat.io.columns import conversions
from fastfeat.io.columns.types import DAY_MS, tick_ns
from fastfeat.ir.dtypes import FLOAT_FORMATS, INTEGER_RANGE, DType
from fastfeat.scalars import op
from fastfeat.scalars.cast import is_within, truncate_to
from fastfeat.scalars.op import Op
from fastfeat.scalars.value import CAST_OUT_OF_RANGE, Value, as_f64, raise_status

_LEAST_NORMAL_HALF = 2.0**-14
_SUBNORMAL_HALVES = 2.0**24
_LOST_OF_HALF = (1 << 42) - 1
"""Bits of a float64 that float16 does not keep."""


def convert_exactly(value: Value, wanted: DType) -> Value:
    """Return a value as another type; if that is not exact, the status CAST_OUT_OF_RANGE is set.

    The types must be a pair that `io.columns.conversions.conversion` can convert.
    """
    if value.dtype.is_temporal:
        result, exact = _rescale(value, wanted)
    elif wanted.is_float:
        result, exact = as_f64(value), _is_float(value, wanted)
    else:
        result, exact = _whole(value, wanted)
        if wanted.name == "bool":
            result = result.ne(0)
    ok = op.TRUE if wanted.is_float else value.present
    return raise_status(Value(wanted, result, ok, value.status), ~exact, CAST_OUT_OF_RANGE)


def _is_float(value: Value, wanted: DType) -> Op:
    """Return whether a number is exact in a float type; always true for decimals."""
    x = as_f64(value)
    if wanted.name == "decimal":
        return op.TRUE
    if value.op.physical != "f64":
        bits = FLOAT_FORMATS[wanted.name].n_bits
        exact = _fits(value, bits)
        return (
            exact & (op.magnitude(x) <= conversions.LARGEST_HALF)
            if wanted.name == "float16"
            else exact
        )
    if wanted.name == "float32":
        return op.round_float32(x).eq(x)
    return _is_half(x) if wanted.name == "float16" else op.TRUE


def _fits(value: Value, bits: int) -> Op:
    """Return whether an integer, without its trailing zero bits, has at most `bits` bits."""
    if value.op.physical == "b1":
        return op.TRUE
    x = value.op
    size = x if value.dtype.name == "uint64" else op.select(x < 0, -x, x)
    lowest = size & -size
    return size.eq(0) | (lowest < 0) | (op.shift_logical(size, bits) < lowest)


def _is_half(x: Op) -> Op:
    """Return whether a float64 is exact as a float16."""
    size = op.magnitude(x)
    units = size * _SUBNORMAL_HALVES
    is_normal = (op.bits_of(x) & _LOST_OF_HALF).eq(0) & (size <= float(conversions.LARGEST_HALF))
    return size.eq(float("inf")) | op.select(
        size < _LEAST_NORMAL_HALF, op.truncate(units).eq(units), is_normal
    )


def _whole(value: Value, wanted: DType) -> tuple[Op, Op]:
    """Return (a number as an integer type, whether that is exact); a bool gives 0 or 1."""
    low, high = (0, 1) if wanted.name == "bool" else INTEGER_RANGE[wanted.name]
    match value.op.physical:
        case "b1":
            return op.from_bool(value.op), op.TRUE
        case "f64":
            result, inside = truncate_to(value.op, wanted.name, low, high)
            return result, inside & op.truncate(value.op).eq(value.op)
        case _:
            return value.op, is_within(value, wanted.name, low, high)


def _rescale(value: Value, wanted: DType) -> tuple[Op, Op]:
    """Return (ticks converted to another time unit, whether that is exact)."""
    ticks, given_ns, wanted_ns = value.op, tick_ns(value.dtype), tick_ns(wanted)
    if given_ns >= wanted_ns:
        factor = given_ns // wanted_ns
        exact = (ticks >= -(2**63 // factor)) & (ticks <= (2**63 - 1) // factor)
        result = ticks * factor
    else:
        factor = wanted_ns // given_ns
        result = op.quotient(ticks, factor)
        exact = (result * factor).eq(ticks)
    if wanted.name == "date64":
        exact = exact & op.remainder(result, DAY_MS).eq(0)
    if conversions.is_32_bits(wanted):
        exact = exact & is_within(replace(value, op=result), "int32", *INTEGER_RANGE["int32"])
    return result, exact
