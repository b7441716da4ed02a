"""Registry entries of the elementary functions of a number; their bodies are in `elementary`."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from fastfeat.ir.dtypes import FLOAT64
from fastfeat.ir.parameters import Parameter, Real
from fastfeat.ir.writing import PLAIN
from fastfeat.scalars import op
from fastfeat.scalars.arithmetic import float_type
from fastfeat.scalars.op import Op
from fastfeat.scalars.value import LARGE_ARGUMENT, ScalarFunction, Value, as_f64, raise_where

ELEMENTARY = (
    "cbrt", "exp", "expm1", "log1p", "log2", "log10", "arcsin", "arccos", "arctan",
    "sinh", "cosh", "tanh", "sigmoid", "normal_quantile",
)  # fmt: skip


def _float_function(build: Callable[[Op], Op]) -> ScalarFunction:
    def lower(values: Sequence[Value], params: Mapping[str, Any]) -> Value:
        return Value(FLOAT64, build(as_f64(values[0])), status=values[0].status)

    return ScalarFunction(float_type, lower)


def _elementary(name: str) -> ScalarFunction:
    return _float_function(lambda x: op.elementary(name, x))


def _trigonometric(name: str) -> ScalarFunction:
    """Return the registry entry of sin, cos or tan.

    Beyond 2**45 the status LARGE_ARGUMENT is set, which asks for a run with the exact reduction.
    """

    def lower(values: Sequence[Value], params: Mapping[str, Any]) -> Value:
        x = as_f64(values[0])
        value = Value(FLOAT64, op.elementary(name, x), status=values[0].status)
        large = (op.magnitude(x) > op.LARGE) & (op.magnitude(x) < float("inf"))
        return raise_where(value, large, LARGE_ARGUMENT)

    return ScalarFunction(float_type, lower)


def _log(values: Sequence[Value], params: Mapping[str, Any]) -> Value:
    x, base = as_f64(values[0]), params["base"]
    match base:
        case None:
            result = op.elementary("log", x)
        case 2:
            result = op.elementary("log2", x)
        case 10:
            result = op.elementary("log10", x)
        case _:
            divisor = op.elementary("log", op.literal(base, "f64"))
            result = op.elementary("log", x) / divisor
    return Value(FLOAT64, result, status=values[0].status)


BASE = Parameter(
    "base",
    Real(0.0, math.inf, above=True, below=True, other_than=1.0),
    "Base of the logarithm; None for the natural logarithm",
    None,
    or_none=True,
)

FUNCTIONS: dict[str, ScalarFunction] = {
    **{name: _elementary(name) for name in ELEMENTARY},
    "normal_quantile": replace(_elementary("normal_quantile"), written=PLAIN),
    **{name: _trigonometric(name) for name in ("sin", "cos", "tan")},
    "sqrt": _float_function(op.sqrt),
    "log": ScalarFunction(
        float_type,
        _log,
        parameters=(BASE,),
    ),
}
