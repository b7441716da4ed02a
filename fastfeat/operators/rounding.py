"""Absolute value, sign, rounding and limits of a number."""

from __future__ import annotations

import builtins
import math
from typing import Any

from fastfeat.errors import InvalidPlan, TypeMismatch
from fastfeat.expr import Expr, as_expr, call
from fastfeat.ir.literals import Scalar, python_value
from fastfeat.operators.operator import Case, Operator, check_parameters, each, parameters_of


def abs(x: Expr) -> Expr:
    """Return the absolute value; integers stay integers.

    Args:
        x: Numbers or durations. Missing stays missing.

    Raises:
        Overflow: For -2**63, because its absolute value does not fit into int64.

    Example:
        >>> col("x").abs()
        col('x').abs()
    """
    return call("abs", x)


def sign(x: Expr) -> Expr:
    """Return -1, 0 or 1; a float zero keeps its sign.

    Args:
        x: Numbers. Missing stays missing.

    Example:
        >>> col("x").sign()
        col('x').sign()
    """
    return call("sign", x)


def floor(x: Expr) -> Expr:
    """Return the largest whole number not above x; integers stay unchanged.

    Args:
        x: Numbers. Missing stays missing.

    Example:
        >>> col("x").floor()
        col('x').floor()
    """
    return call("floor", x)


def ceil(x: Expr) -> Expr:
    """Return the smallest whole number not below x; integers stay unchanged.

    Args:
        x: Numbers. Missing stays missing.

    Example:
        >>> col("x").ceil()
        col('x').ceil()
    """
    return call("ceil", x)


def round(x: Expr, decimals: int = 0) -> Expr:
    """Return x rounded to a number of decimals, half to even like NumPy; integers stay unchanged.

    The value is scaled by 10**decimals, rounded, and scaled back.

    Args:
        x: Numbers. Missing stays missing.
        decimals: Number of digits after the decimal point, 0 to 300.

    Raises:
        InvalidPlan: `decimals` is out of range.

    Example:
        >>> col("x").round(2)
        col('x').round(decimals=2)
    """
    return call("round", x, **check_parameters("round", parameters_of("round"), decimals=decimals))


def clip(x: Expr, lower_bound: Expr | Scalar = None, upper_bound: Expr | Scalar = None) -> Expr:
    """Return x limited to the range from a lower to an upper bound.

    Args:
        x: Numbers, dates or times. Missing stays missing.
        lower_bound: A constant or an expression, such as the learnt `x.quantile(.01)`. A missing
            bound does not limit.
        upper_bound: A constant or an expression. A missing bound does not limit. If the bounds
            contradict each other, the upper one wins.

    Raises:
        InvalidPlan: Both bounds are numbers, and the lower is above the upper.
        TypeMismatch: A bound is a text.

    Example:
        >>> col("x").clip(0, 700)
        col('x').clip(0, 700)
    """
    for bound in (lower_bound, upper_bound):
        if isinstance(bound, str):
            raise TypeMismatch(
                f"clip({bound!r}): a bound cannot be a text. Write col({bound!r}) for a column"
            )
    low, high = python_value(lower_bound), python_value(upper_bound)
    if isinstance(low, int | float) and isinstance(high, int | float) and low > high:
        raise InvalidPlan(
            f"clip({lower_bound!r}, {upper_bound!r}): the lower bound is above the upper bound"
        )
    return call("clip", x, as_expr(lower_bound), as_expr(upper_bound))


def _sign(x: Any) -> Any:
    if x == 0:
        return x
    return type(x)(math.copysign(1, x))


def _integral(function: Any) -> Any:
    def rounded(x: Any) -> Any:
        if isinstance(x, int) or not math.isfinite(x):
            return x
        return float(function(x))

    return rounded


def _round(x: Any, decimals: int) -> Any:
    if isinstance(x, int) or not math.isfinite(x):
        return x
    scaled = x * 10.0**decimals
    if builtins.abs(scaled) >= 2.0**52:
        return x  # no digits are left to round
    return builtins.round(scaled) / 10.0**decimals


def _clip(x: Any, lower_bound: Any = None, upper_bound: Any = None) -> Any:
    if lower_bound is not None and x < lower_bound:
        x = lower_bound
    if upper_bound is not None and x > upper_bound:
        x = upper_bound
    return x


_CLIPS = tuple(
    Case(params={"lower_bound": lower, "upper_bound": upper})
    for lower, upper in [(0, 7), (-1.5, 2.25), (None, 3), (-1, None), (None, None)]
)

OPERATORS: dict[str, Operator] = {
    "abs": Operator(abs, each(builtins.abs)),
    "sign": Operator(sign, each(_sign)),
    "floor": Operator(floor, each(_integral(math.floor))),
    "ceil": Operator(ceil, each(_integral(math.ceil))),
    "round": Operator(
        round, each(_round), tuple(Case(params={"decimals": d}) for d in (0, 1, 2, 17, 300))
    ),
    "clip": Operator(clip, each(_clip), _CLIPS),
}
