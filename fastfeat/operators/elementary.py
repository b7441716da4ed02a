"""Roots, exponentials and logarithms: float64 in, float64 out.

Results are within 1 unit in the last place, logarithms in bases other than e, 2 and 10 within 4.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

from fastfeat.calls import checks
from fastfeat.errors import InvalidPlan
from fastfeat.expr import Expr, call
from fastfeat.ir.parameters import is_of_type
from fastfeat.operators.operator import Case, Operator, each
from fastfeat.scalars.elementary_functions import BASE


def sqrt(x: Expr) -> Expr:
    """Return the square root, correctly rounded; missing for negative numbers.

    Args:
        x: Numbers. Missing stays missing.

    Example:
        >>> col("x").sqrt()
        col('x').sqrt()
    """
    return call("sqrt", x)


def cbrt(x: Expr) -> Expr:
    """Return the cube root, negative for negative numbers.

    Args:
        x: Numbers. Missing stays missing.

    Example:
        >>> col("x").cbrt()
        col('x').cbrt()
    """
    return call("cbrt", x)


def exp(x: Expr) -> Expr:
    """Return e to the power of x; inf for x above 709.78.

    Args:
        x: Numbers. Missing stays missing.

    Example:
        >>> col("x").exp()
        col('x').exp()
    """
    return call("exp", x)


def expm1(x: Expr) -> Expr:
    """Return exp(x) - 1, precise to the last place even near zero.

    Args:
        x: Numbers. Missing stays missing.

    Example:
        >>> col("x").expm1()
        col('x').expm1()
    """
    return call("expm1", x)


def log(x: Expr, base: float | None = None) -> Expr:
    """Return the logarithm, natural by default; -inf at zero, missing for negative numbers.

    Args:
        x: Numbers. Missing stays missing.
        base: A positive number other than 1. The result is log(x) / log(base), and exactly `log2`
            or `log10` in bases 2 and 10. None for the natural logarithm.

    Raises:
        InvalidPlan: `base` is not a positive finite number other than 1.

    Example:
        >>> col("x").log()
        col('x').log(base=None)
    """
    if base is None:
        return call("log", x, base=None)
    positive = checks.number("log", "base", base)
    if not is_of_type(BASE.type, positive):
        raise InvalidPlan(f"log(base={base!r}): takes a positive finite number other than 1")
    return call("log", x, base=positive)


def log1p(x: Expr) -> Expr:
    """Return log(1 + x), precise to the last place even near zero; -inf at -1, missing below.

    Args:
        x: Numbers. Missing stays missing.

    Example:
        >>> col("x").log1p()
        col('x').log1p()
    """
    return call("log1p", x)


def log2(x: Expr) -> Expr:
    """Return the logarithm in base 2; -inf at zero, missing for negative numbers.

    Args:
        x: Numbers. Missing stays missing.

    Example:
        >>> col("x").log2()
        col('x').log2()
    """
    return call("log2", x)


def log10(x: Expr) -> Expr:
    """Return the logarithm in base 10; -inf at zero, missing for negative numbers.

    Args:
        x: Numbers. Missing stays missing.

    Example:
        >>> col("x").log10()
        col('x').log10()
    """
    return call("log10", x)


def sigmoid(x: Expr) -> Expr:
    """Return 1 / (1 + exp(-x)), between 0 and 1.

    Args:
        x: Numbers. Missing stays missing.

    Example:
        >>> col("x").sigmoid()
        col('x').sigmoid()
    """
    return call("sigmoid", x)


def with_ieee_results(function: Callable[[float], float]) -> Callable[[Any], float]:
    """Return a function of `math` that returns NaN or inf where Python would raise."""

    def total(x: Any) -> float:
        try:
            return function(float(x))
        except ValueError:
            return math.nan
        except OverflowError:
            return math.copysign(math.inf, x) if function is math.sinh else math.inf

    return total


def _cube_root(x: Any) -> float:
    """Return the cube root, correctly rounded; C libraries are off by up to 4 units."""
    given = float(x)
    near = math.cbrt(given)
    if not math.isfinite(near) or near == 0:
        return near
    around = [near]
    for end in (-math.inf, math.inf):
        one = near
        for _ in range(4):
            one = math.nextafter(one, end)
            around.append(one)
    return min(around, key=lambda one: abs(Fraction(one) ** 3 - Fraction(given)))


def _logarithm(function: Callable[[float], float], pole: float) -> Callable[[Any], float]:
    def total(x: Any) -> float:
        return -math.inf if x == pole else with_ieee_results(function)(x)

    return total


def _log(x: Any, base: float | None = None) -> float:
    natural = _logarithm(math.log, 0)(x)
    return natural if base is None else natural / math.log(base)


def _sigmoid(x: Any) -> float:
    if x >= 0:
        return 1 / (1 + math.exp(-float(x)))
    grown = math.exp(float(x))
    return grown / (1 + grown)


OPERATORS: dict[str, Operator] = {
    "sqrt": Operator(sqrt, each(with_ieee_results(math.sqrt))),
    "cbrt": Operator(cbrt, each(_cube_root), ulp=1),
    "exp": Operator(exp, each(with_ieee_results(math.exp)), ulp=2),
    "expm1": Operator(expm1, each(with_ieee_results(math.expm1)), ulp=2),
    "log": Operator(
        log, each(_log), tuple(Case(params={"base": base}) for base in (None, 2, 10, 0.5, 7)), ulp=4
    ),
    "log1p": Operator(log1p, each(_logarithm(math.log1p, -1)), ulp=2),
    "log2": Operator(log2, each(_logarithm(math.log2, 0)), ulp=2),
    "log10": Operator(log10, each(_logarithm(math.log10, 0)), ulp=2),
    "sigmoid": Operator(sigmoid, each(_sigmoid), ulp=4),
}
