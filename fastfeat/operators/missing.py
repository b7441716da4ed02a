"""Tests for missing values and infinities, and ways to fill them."""

from __future__ import annotations

import math
from typing import Any, NoReturn

from fastfeat.errors import TypeMismatch
from fastfeat.expr import Expr, as_expr, call
from fastfeat.ir.literals import Scalar
from fastfeat.ir.node import Call, Literal
from fastfeat.ir.writing import Texts, Writer, method_text
from fastfeat.operators.operator import Case, Operator, each, each_with_missing


def is_null(x: Expr) -> Expr:
    """Return whether the value is missing: an Arrow null, or a float NaN.

    Args:
        x: Values of any type.

    Example:
        >>> col("x").is_null()
        col('x').is_null()
    """
    return call("is_null", x)


def is_not_null(x: Expr) -> Expr:
    """Return whether the value is present: neither an Arrow null nor a float NaN.

    Args:
        x: Values of any type.

    Example:
        >>> col("x").is_not_null()
        col('x').is_not_null()
    """
    return call("is_not_null", x)


def fill_null(x: Expr, value: Expr | Scalar) -> Expr:
    """Return x with missing values replaced.

    Args:
        x: Values of any type.
        value: The replacement. With a constant a float column keeps its type. With an expression
            the result has the common type of both; if the replacement is missing too, so is the
            result. For a learnt value see `impute`.

    Example:
        >>> col("x").fill_null(0)
        col('x').fill_null(0)
    """
    fill = as_expr(value)
    return call("fill_null" if isinstance(fill.node, Literal) else "coalesce", x, fill)


def eq_missing(x: Expr, other: Expr | Scalar) -> Expr:
    """Return whether two values are equal, with missing equal to missing; never missing itself.

    Args:
        x: Values of any type that `==` takes.
        other: An expression or a constant to compare with. None stands for missing.

    Example:
        >>> plan = ff.Plan({"same": col("x").eq_missing(col("y"))})
        >>> rows = {"x": [1, 1, None, None], "y": [1, None, 1, None]}
        >>> plan.fit(rows).transform(rows, backend="reference")["same"].to_pylist()
        [True, False, False, True]
    """
    y = as_expr(other)
    return call("eq", x, y).fill_null(x.is_null() & y.is_null())


def ne_missing(x: Expr, other: Expr | Scalar) -> Expr:
    """Return whether two values differ, with missing equal to missing; never missing itself.

    Args:
        x: Values of any type that `!=` takes.
        other: An expression or a constant to compare with. None stands for missing.

    Example:
        >>> plan = ff.Plan({"moved": col("x").ne_missing(col("y"))})
        >>> rows = {"x": [1, 1, None, None], "y": [1, None, 1, None]}
        >>> plan.fit(rows).transform(rows, backend="reference")["moved"].to_pylist()
        [False, True, True, False]
    """
    y = as_expr(other)
    return call("ne", x, y).fill_null(x.is_null() ^ y.is_null())


_JOINED = {"eq": "and", "ne": "xor"}
"""The function that joins the two tests for missing, by the comparison."""


def _missing_text(node: Call, texts: Texts) -> str | None:
    match node.args:
        case (
            Call("eq" | "ne" as sign, (x, y)),
            Call(both, (Call("is_null", a), Call("is_null", b))),
        ):
            is_own = (a, b) == ((x,), (y,)) and both == _JOINED[sign]
            return method_text(f"{sign}_missing", [x, y], [], texts) if is_own else None
        case _:
            return None


def is_finite(x: Expr) -> Expr:
    """Return whether the value is neither inf nor -inf.

    Args:
        x: Numbers. Missing stays missing.

    Example:
        >>> col("x").is_finite()
        col('x').is_finite()
    """
    return call("is_finite", x)


def is_infinite(x: Expr) -> Expr:
    """Return whether the value is inf or -inf.

    Args:
        x: Numbers. Missing stays missing.

    Example:
        >>> col("x").is_infinite()
        col('x').is_infinite()
    """
    return call("is_infinite", x)


def fill_infinite(x: Expr, value: Expr | Scalar = None) -> Expr:
    """Return x as float64, with inf and -inf replaced.

    Args:
        x: Numbers. Missing stays missing.
        value: The replacement: a number or an expression. None makes infinities missing.

    Example:
        >>> col("x").fill_infinite(0)
        col('x').fill_infinite(0)
    """
    return call("fill_infinite", x, value)


def is_nan(x: Expr) -> NoReturn:
    """Raise an error: NaN counts as missing, like null. Use `is_null()`.

    Raises:
        TypeMismatch: Always.
    """
    raise TypeMismatch(f"{x!r}.is_nan(): a NaN is a missing value here, like a null. Use is_null()")


def is_not_nan(x: Expr) -> NoReturn:
    """Raise an error: NaN counts as missing, like null. Use `is_not_null()`.

    Raises:
        TypeMismatch: Always.
    """
    raise TypeMismatch(
        f"{x!r}.is_not_nan(): a NaN is a missing value here, like a null. Use is_not_null()"
    )


def fill_nan(x: Expr, value: Expr | Scalar) -> NoReturn:
    """Raise an error: NaN counts as missing, like null. Use `fill_null()`.

    Raises:
        TypeMismatch: Always.
    """
    raise TypeMismatch(
        f"{x!r}.fill_nan({value!r}): a NaN is a missing value here, like a null. Use fill_null()"
    )


def _is_null(x: Any) -> bool:
    return x is None


def _is_not_null(x: Any) -> bool:
    return x is not None


def _eq_missing(x: Any, other: Any) -> bool:
    if {type(x), type(other)} == {int, float}:  # like `==`: the integer is rounded once
        return float(x) == float(other)
    return x == other


def _ne_missing(x: Any, other: Any) -> bool:
    return not _eq_missing(x, other)


def _is_finite(x: Any) -> bool:
    return not math.isinf(x)


def _fill_null(x: Any, value: Any) -> Any:
    return value if x is None else x


def _fill_infinite(x: Any, value: Any = None) -> Any:
    return value if math.isinf(x) else float(x)


_PAIRS = (
    Case(("number", "number")),
    Case(("bool", "number")),
    Case(("text", "text")),
    Case(("number",), {"other": 1}),
    Case(("text",), {"other": "zz"}),
    Case(("number",), {"other": None}),
)

OPERATORS: dict[str, Operator] = {
    "is_null": Operator(is_null, each_with_missing(_is_null), (Case(("number",)), Case(("text",)))),
    "is_not_null": Operator(
        is_not_null, each_with_missing(_is_not_null), (Case(("number",)), Case(("text",)))
    ),
    "fill_null": Operator(
        fill_null,
        each_with_missing(_fill_null),
        tuple(Case(params={"value": value}) for value in (0, True, -1.5, None)),
    ),
    "eq_missing": Operator(eq_missing, each_with_missing(_eq_missing), _PAIRS),
    "ne_missing": Operator(ne_missing, each_with_missing(_ne_missing), _PAIRS),
    "is_finite": Operator(is_finite, each(_is_finite)),
    "is_infinite": Operator(is_infinite, each(math.isinf)),
    "fill_infinite": Operator(
        fill_infinite,
        each(_fill_infinite),
        tuple(Case(params={"value": value}) for value in (None, 0, 2.5)),
    ),
}

REFUSED = {"is_nan": is_nan, "is_not_nan": is_not_nan, "fill_nan": fill_nan}
"""Names from pandas and Polars that raise an error with the method to use instead."""

WRITTEN: dict[str, Writer] = {"coalesce": _missing_text}
"""Writers (see `ir.writing`) of `eq_missing` and `ne_missing`, by the function of the last node."""
