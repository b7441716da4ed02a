"""Tests and replacements of values, by ranges, sets and mappings that the user writes down."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping
from functools import reduce
from types import EllipsisType
from typing import Any, get_args

from fastfeat.errors import InvalidPlan, TypeMismatch
from fastfeat.expr import Expr, call, when
from fastfeat.ir.literals import Scalar, in_order, literal_value
from fastfeat.operators.operator import Case, Operator, each, each_with_missing
from fastfeat.scalars.membership import RangeClosed

_TIMES = (datetime.date, datetime.time, datetime.timedelta)


def is_between(
    x: Expr, lower: Expr | Scalar, upper: Expr | Scalar, *, closed: RangeClosed = "both"
) -> Expr:
    """Return whether x is in a range: lower <= x <= upper, or with < as `closed` says.

    If one limit is missing, the result is missing unless the other limit already makes it False.

    Args:
        x: Numbers, dates or times. Missing stays missing.
        lower: A constant or an expression.
        upper: A constant or an expression.
        closed: Limits that belong to the range: "both", "left", "right" or "none".

    Raises:
        InvalidPlan: `closed` is unknown.

    Example:
        >>> col("x").is_between(0, 1, closed="left")
        col('x').is_between(0, 1, closed='left')
    """
    is_text = isinstance(closed, str)  # pyright: ignore[reportUnnecessaryIsInstance]  # user input
    if not is_text or closed not in get_args(RangeClosed):
        raise InvalidPlan(f'is_between(closed={closed!r}): takes "both", "left", "right" or "none"')
    return call("is_between", x, lower, upper, closed=closed)


def is_in(x: Expr, values: Iterable[Scalar]) -> Expr:
    """Return whether x equals one of the values.

    Args:
        x: Numbers, text, dates or times. Missing stays missing.
        values: Constants of the type of x, in any collection. A missing value among them equals
            nothing.

    Raises:
        TypeMismatch: `values` is not a collection of constants.

    Example:
        >>> col("carrier").is_in(["AA", "UA"])
        col('carrier').is_in(values=('AA', 'UA'))
    """
    if isinstance(values, (str, bytes, Expr)) or not isinstance(values, Iterable):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeMismatch(f"is_in({values!r}): takes a collection of constants, such as a list")
    elements = tuple(e for e in map(_plain, in_order(values)) if not _is_missing(e))
    if any(isinstance(e, _TIMES) for e in elements):
        return reduce(lambda found, e: found | (x == e), elements[1:], x == elements[0])
    return call("is_in", x, values=elements)


def _plain(value: Any) -> Any:
    """Return a constant as a plain Python value; pyarrow scalars are converted too."""
    as_py = getattr(value, "as_py", None)
    return literal_value(value if as_py is None else as_py())


def replace_strict(
    x: Expr, mapping: Mapping[Any, Any], *, default: Scalar | EllipsisType = ...
) -> Expr:
    """Return the number or bool that a mapping assigns to each value.

    Args:
        x: Numbers or text. Missing stays missing, unless the mapping has a key None.
        mapping: Values mapped to numbers, bools or None (missing).
        default: Result for values that the mapping lacks; None makes them missing. Without a
            default such a value is an error that names its row.

    Raises:
        InvalidPlan: The mapping is empty and there is no default.
        TypeMismatch: `mapping` is not a mapping, or its keys or results are not constants.

    Example:
        >>> col("size").replace_strict({"S": 1, "L": 3}, default=None)
        col('size').replace_strict(default=None, mapping={'S': 1, 'L': 3})
    """
    if not isinstance(mapping, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeMismatch(f"replace_strict({mapping!r}): takes a mapping, such as {{'S': 1}}")
    if isinstance(default, Expr):
        raise TypeMismatch(
            "replace_strict(default=...): takes a constant, got an expression. Write "
            "replace_strict(mapping, default=None).fill_null(expression)"
        )
    pairs = tuple((_plain(key), _plain(result)) for key, result in mapping.items())
    known = tuple(pair for pair in pairs if not _is_missing(pair[0]))
    params = {} if default is ... else {"default": literal_value(default)}
    if not known and not params:
        raise InvalidPlan("replace_strict({}): the mapping is empty. Pass a mapping, or default=")
    replaced = call("replace_strict", x, mapping=known, **params)
    of_missing = [result for key, result in pairs if _is_missing(key) and result is not None]
    if not of_missing:
        return replaced
    return when(call("is_null", x)).then(of_missing[0]).otherwise(replaced)


def _is_missing(constant: Any) -> bool:
    return constant is None or constant != constant


def _is_between(x: Any, lower: Any, upper: Any, closed: str = "both") -> bool | None:
    if x is None:
        return None
    above = None if lower is None else (x >= lower if closed in ("both", "left") else x > lower)
    below = None if upper is None else (x <= upper if closed in ("both", "right") else x < upper)
    if above is False or below is False:
        return False
    return None if above is None or below is None else True


def _is_in(x: Any, values: Iterable[Any]) -> bool:
    return any(x == value for value in values)


def _replace_strict(x: Any, mapping: Mapping[Any, Any], default: Any) -> Any:
    if x is None:
        return mapping.get(None)
    return next((result for key, result in mapping.items() if key == x), default)


_RANGES = [(0, 3, "both"), (-1.5, 3, "left"), (0, 7.5, "right"), (0, 3, "none"), (None, 3, "both")]

OPERATORS: dict[str, Operator] = {
    "is_between": Operator(
        is_between,
        each_with_missing(_is_between),
        tuple(Case(params={"lower": a, "upper": b, "closed": c}) for a, b, c in _RANGES),
    ),
    "is_in": Operator(
        is_in,
        each(_is_in),
        (
            Case(params={"values": (1, 2, 3, 200)}),
            Case(params={"values": (0.0, 0.5, None, float("nan"), float("inf"), 1e300)}),
            Case(params={"values": ()}),
            Case(("text",), {"values": ("a", "", "é")}),
            Case(("text",), {"values": ()}),
        ),
    ),
    "replace_strict": Operator(
        replace_strict,
        each_with_missing(_replace_strict),
        (
            Case(params={"mapping": {1: 10, 2: 20, 0: None}, "default": -1}),
            Case(params={"mapping": {0.5: 1.5, 1: float("inf"), -1e300: 0}, "default": None}),
            Case(params={"mapping": {0: True, 1: False}, "default": None}),
            Case(params={"mapping": {1: 10, None: 7}, "default": 0}),
            Case(("text",), {"mapping": {"a": 1, "b": None, "": 3}, "default": 0.5}),
            Case(("text",), {"mapping": {"a": True, None: False}, "default": None}),
        ),
    ),
}
