"""Trigonometric and hyperbolic functions of radians: float64 in, float64 out."""

from __future__ import annotations

import math

from fastfeat.expr import Expr, call
from fastfeat.operators.elementary import with_ieee_results
from fastfeat.operators.operator import Operator, each


def sin(x: Expr) -> Expr:
    """Return the sine, precise for angles of any size; missing for ±inf.

    Args:
        x: Angle in radians. Missing stays missing.

    Example:
        >>> col("x").sin()
        col('x').sin()
    """
    return call("sin", x)


def cos(x: Expr) -> Expr:
    """Return the cosine, precise for angles of any size; missing for ±inf.

    Args:
        x: Angle in radians. Missing stays missing.

    Example:
        >>> col("x").cos()
        col('x').cos()
    """
    return call("cos", x)


def tan(x: Expr) -> Expr:
    """Return the tangent, precise for angles of any size; missing for ±inf.

    Args:
        x: Angle in radians. Missing stays missing.

    Example:
        >>> col("x").tan()
        col('x').tan()
    """
    return call("tan", x)


def arcsin(x: Expr) -> Expr:
    """Return the arcsine, an angle in [-pi/2, pi/2]; missing for x outside [-1, 1].

    Args:
        x: Numbers. Missing stays missing.

    Example:
        >>> col("x").arcsin()
        col('x').arcsin()
    """
    return call("arcsin", x)


def arccos(x: Expr) -> Expr:
    """Return the arccosine, an angle in [0, pi]; missing for x outside [-1, 1].

    Args:
        x: Numbers. Missing stays missing.

    Example:
        >>> col("x").arccos()
        col('x').arccos()
    """
    return call("arccos", x)


def arctan(x: Expr) -> Expr:
    """Return the arctangent, an angle in [-pi/2, pi/2].

    Args:
        x: Numbers. Missing stays missing.

    Example:
        >>> col("x").arctan()
        col('x').arctan()
    """
    return call("arctan", x)


def sinh(x: Expr) -> Expr:
    """Return the hyperbolic sine; ±inf for x beyond ±710.47.

    Args:
        x: Numbers. Missing stays missing.

    Example:
        >>> col("x").sinh()
        col('x').sinh()
    """
    return call("sinh", x)


def cosh(x: Expr) -> Expr:
    """Return the hyperbolic cosine; inf for x beyond ±710.47.

    Args:
        x: Numbers. Missing stays missing.

    Example:
        >>> col("x").cosh()
        col('x').cosh()
    """
    return call("cosh", x)


def tanh(x: Expr) -> Expr:
    """Return the hyperbolic tangent, between -1 and 1.

    Args:
        x: Numbers. Missing stays missing.

    Example:
        >>> col("x").tanh()
        col('x').tanh()
    """
    return call("tanh", x)


OPERATORS: dict[str, Operator] = {
    "sin": Operator(sin, each(with_ieee_results(math.sin)), ulp=2),
    "cos": Operator(cos, each(with_ieee_results(math.cos)), ulp=2),
    "tan": Operator(tan, each(with_ieee_results(math.tan)), ulp=3),
    "arcsin": Operator(arcsin, each(with_ieee_results(math.asin)), ulp=2),
    "arccos": Operator(arccos, each(with_ieee_results(math.acos)), ulp=2),
    "arctan": Operator(arctan, each(with_ieee_results(math.atan)), ulp=2),
    "sinh": Operator(sinh, each(with_ieee_results(math.sinh)), ulp=3),
    "cosh": Operator(cosh, each(with_ieee_results(math.cosh)), ulp=3),
    "tanh": Operator(tanh, each(with_ieee_results(math.tanh)), ulp=3),
}
