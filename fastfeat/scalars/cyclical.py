"""Sine and cosine of a periodic value, reduced by the period before any rounding.

With k the nearest number of quarters of the period, x = k period / 4 + r. The angle 2 pi r / period
is small; k selects its sine or cosine and the sign. Multiples of a quarter give exact results.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from fastfeat.ir.dtypes import FLOAT64
from fastfeat.ir.parameters import Parameter, Real
from fastfeat.ir.writing import PLAIN
from fastfeat.scalars import integral_floats, op
from fastfeat.scalars.arithmetic import float_type
from fastfeat.scalars.elementary.floats import MOST_PERIODS
from fastfeat.scalars.op import Op
from fastfeat.scalars.value import (
    LARGE_ARGUMENT,
    ScalarFunction,
    Value,
    as_f64,
    as_i64,
    raise_where,
)


def _angle_of_one(period: float) -> float:
    """Return 2 pi / period, the angle of the value 1: from 106 bits of 2 pi, rounded once."""
    from fractions import Fraction  # building a plan does not need it

    two_pi = Fraction(884279719003555, 140737488355328) + Fraction(4967757600021511, 2**104)
    return float(two_pi / Fraction(period))


def _reduce_to_period(value: Value, period: float) -> Value:
    """Return a number as float64, with whole periods taken off an integer.

    A float beyond 2**44 periods sets the status LARGE_ARGUMENT, which asks for a run in which whole
    periods are taken off exactly.
    """
    if value.dtype.name in ("int64", "uint64") and period.is_integer() and period < 2.0**49:
        x = as_i64(value)
        _, rest = integral_floats.floor_parts_i64(x.op, int(period))
        return Value(
            FLOAT64, op.select(x.ok, integral_floats.from_small(rest), op.NAN), status=x.status
        )
    x = as_f64(value)
    size = op.magnitude(x)
    large = (size > period * MOST_PERIODS) & (size < float("inf"))
    checked = raise_where(Value(FLOAT64, x, status=value.status), large, LARGE_ARGUMENT)
    return replace(checked, op=op.elementary("fewer_periods", x, period))


def _point(values: Sequence[Value], period: float) -> tuple[Op, Op, Op, Value]:
    """Return (sine, cosine, k, value), with r and k as the module defines them.

    Sine and cosine are of the angle 2 pi r / period; `value` is the result of `_reduce_to_period`.
    """
    value = _reduce_to_period(values[0], period)
    quarters = op.round_even(value.op * (4.0 / period))
    rest = op.fma(-quarters, period / 4, value.op)
    angle = rest * _angle_of_one(period)
    return (
        op.elementary("sin_near", angle),
        op.elementary("cos_near", angle),
        integral_floats.to_integer(quarters),
        value,
    )


def _turn_quarters(sin: Op, cos: Op, quarters: Op) -> Op:
    """Return sin(angle + quarters pi/2) from the sine and cosine of the angle; zero is +0.0."""
    size = op.select((quarters & 1).ne(0), cos, sin)
    return op.select((quarters & 2).ne(0), -size, size) + 0.0


def _cyclical_sin(values: Sequence[Value], params: Mapping[str, Any]) -> Value:
    sin, cos, quarters, value = _point(values, params["period"])
    return Value(FLOAT64, _turn_quarters(sin, cos, quarters), status=value.status)


def _cyclical_cos(values: Sequence[Value], params: Mapping[str, Any]) -> Value:
    sin, cos, quarters, value = _point(values, params["period"])
    return Value(FLOAT64, _turn_quarters(sin, cos, quarters + 1), status=value.status)


SHORTEST, LONGEST = 1e-150, 1e150
"""The range of periods that `cyclical` accepts."""
PERIOD = (Parameter("period", Real(SHORTEST, LONGEST), "Length of the period: 24 for hours"),)

FUNCTIONS: dict[str, ScalarFunction] = {
    "cyclical_sin": ScalarFunction(float_type, _cyclical_sin, parameters=PERIOD, written=PLAIN),
    "cyclical_cos": ScalarFunction(float_type, _cyclical_cos, parameters=PERIOD, written=PLAIN),
}
