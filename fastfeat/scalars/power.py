"""The power transformations of Yeo and Johnson, and of Box and Cox, with a learnt power.

To raise a value to many powers, its logarithm is computed once: log(x) or log(1 + |x|), called its
size.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fastfeat.ir.dtypes import FLOAT64
from fastfeat.ir.writing import PLAIN
from fastfeat.scalars import op
from fastfeat.scalars.arithmetic import float_type
from fastfeat.scalars.op import Op
from fastfeat.scalars.value import (
    NOT_POSITIVE,
    ScalarFunction,
    Value,
    as_f64,
    join_status,
    raise_where,
)


def _yeo_johnson(values: Sequence[Value], params: Mapping[str, Any]) -> Value:
    """Return ((x + 1)**power - 1) / power; below 0, -((1 - x)**(2 - power) - 1) / (2 - power)."""
    x, power = (as_f64(value) for value in values)
    negative = x < 0.0
    exponent = op.select(negative, 2.0 - power, power)
    result = _raise_to_power(op.elementary("log1p", op.magnitude(x)), exponent)
    return Value(FLOAT64, op.select(negative, -result, result), status=join_status(*values))


def _box_cox(values: Sequence[Value], params: Mapping[str, Any]) -> Value:
    """Return (x**power - 1) / power; a value that is not above 0 is an error."""
    x, power = (as_f64(value) for value in values)
    result = _raise_to_power(op.elementary("log", x), power)
    value = Value(FLOAT64, result, status=join_status(*values))
    return raise_where(value, x <= 0.0, NOT_POSITIVE)


def size_to_raise(x: Op, *, is_positive: bool, is_signed: bool = False) -> Op:
    """Return the logarithm from which a value is raised: log(x) if positive, else log(1 + |x|).

    With `is_signed` it gets the sign of x.
    """
    if is_positive:
        return op.elementary("log", x)
    size = op.elementary("log1p", op.magnitude(x))
    return op.select(x < 0.0, -size, size) if is_signed else size


def raise_signed(size: Op, power: Op) -> Op:
    """Return a value raised to a power by Yeo and Johnson, from its logarithm with its sign."""
    negative = size < 0.0
    result = _raise_to_power(op.magnitude(size), op.select(negative, 2.0 - power, power))
    return op.select(negative, -result, result)


def raise_relative_to_end(size: Op, exponent: Op, end: Op) -> Op:
    """Return a value raised to an exponent, relative to the raised value of an end of the range.

    The result lacks a term and a factor that are the same for all values. `size` and `end` are the
    logarithms of the value and of the end.
    """
    return _raise_to_power(size - end, exponent)


def _raise_to_power(logarithm: Op, power: Op) -> Op:
    """Return (exp(logarithm)**power - 1) / power; for power 0 the logarithm."""
    quotient = op.elementary("expm1", power * logarithm) / power
    return op.select(power.eq(0.0), logarithm, quotient)


FUNCTIONS: dict[str, ScalarFunction] = {
    "yeo_johnson": ScalarFunction(float_type, _yeo_johnson, n_args=2, written=PLAIN),
    "box_cox": ScalarFunction(float_type, _box_cox, n_args=2, written=PLAIN),
}
