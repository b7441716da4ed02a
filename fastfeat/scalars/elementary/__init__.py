"""Elementary functions, such as exp and sin, as graphs of primitive operations.

They are written once, and every backend translates the same graph (the body). They take and return
float64, without branches and without libm, so the bits are the same everywhere. NaN gives NaN.
Signs of zero, infinities and subnormals follow IEEE 754's recommendations. `scalars` uses the
functions; `engine` translates the bodies into kernels.

Many functions return a pair (high, low) of floats: their sum is more precise than one float.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from math import inf

from fastfeat_kernels.records import dataclass

from fastfeat.scalars.elementary.exponentials import cosh, exp, expm1, sigmoid, sinh, tanh
from fastfeat.scalars.elementary.floats import fewer_periods, fewer_periods_exact, fmod
from fastfeat.scalars.elementary.inverse_trigonometric import arccos, arcsin, arctan
from fastfeat.scalars.elementary.logarithms import log, log1p, log2, log10
from fastfeat.scalars.elementary.normal import normal_quantile
from fastfeat.scalars.elementary.power import cbrt, pow
from fastfeat.scalars.elementary.trigonometric import (
    cos,
    cos_exact,
    cos_near,
    sin,
    sin_exact,
    sin_near,
    tan,
    tan_exact,
)
from fastfeat.scalars.op import Op, input_value


@dataclass(frozen=True, slots=True)
class Elementary:
    """An elementary function: its body, and bounds of its error and of its results.

    Args:
        name: Its name in `op.elementary`.
        arity: Number of float arguments.
        body: Builds the result from the arguments.
        max_ulp: Bound of the error in units in the last place: the largest error measured on
            300,000 arguments in each of several ranges, rounded up.
        max_size: Bound of the absolute value of finite results; inf if there is none.
    """

    name: str
    arity: int
    body: Callable[..., Op]
    max_ulp: float
    max_size: float


def _row(
    body: Callable[..., Op], max_ulp: float, max_size: float = inf, arity: int = 1
) -> tuple[str, Elementary]:
    return body.__name__, Elementary(body.__name__, arity, body, max_ulp, max_size)


# sin, cos and tan need |x| <= 2**45. The exact forms take every x, with the same bits in that
# range. The near forms need |x| <= pi/4.
BODIES: dict[str, Elementary] = dict(
    [
        _row(exp, 0.8),
        _row(expm1, 0.85),
        _row(sigmoid, 0.8, 1.0),
        _row(log, 0.85, 745.0),
        _row(log1p, 0.8, 745.0),
        _row(log2, 0.75, 1075.0),
        _row(log10, 0.7, 324.0),
        _row(sin, 0.8, 1.0),
        _row(cos, 0.8, 1.0),
        _row(tan, 0.9),
        _row(sin_near, 0.65, 1.0),
        _row(cos_near, 0.6, 1.0),
        _row(sin_exact, 0.8, 1.0),
        _row(cos_exact, 0.8, 1.0),
        _row(tan_exact, 0.9),
        _row(arcsin, 0.7, 2.0),
        _row(arccos, 0.65, 4.0),
        _row(arctan, 0.7, 2.0),
        _row(sinh, 0.8),
        _row(cosh, 0.7),
        _row(tanh, 0.75, 1.0),
        _row(cbrt, 0.51, 2.0**342),
        _row(pow, 0.75, arity=2),
        _row(fmod, 0.0, arity=2),
        _row(fewer_periods, 0.0, arity=2),
        _row(fewer_periods_exact, 0.0, arity=2),
        _row(normal_quantile, 5.0, 39.0),
    ]
)


@cache
def body_of(name: str) -> tuple[tuple[Op, ...], Op]:
    """Return (inputs, result) of an elementary function's graph, which contains primitives only."""
    function = BODIES[name]
    inputs = tuple(input_value(("argument", k), "f64") for k in range(function.arity))
    return inputs, function.body(*inputs)
