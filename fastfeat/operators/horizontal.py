"""Functions across columns of the same row: the first present value, extremes, sum, mean."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable
from functools import reduce
from typing import Any

from fastfeat.calls.arguments import with_argument_errors
from fastfeat.errors import InvalidPlan, TypeMismatch
from fastfeat.expr import Expr, as_expr, call, col
from fastfeat.ir.literals import Scalar, in_order
from fastfeat.operators.operator import Case, Operator, drop_missing, each_with_missing

Operand = Expr | Scalar
"""An expression, the name of a column, or a constant other than text."""


@with_argument_errors
def coalesce(*exprs: Operand | Iterable[Operand]) -> Expr:
    """Return the first present value of the row; missing if all are missing.

    Args:
        exprs: Expressions, names of columns, or constants, of types with a common type; or lists of
            these.

    Raises:
        InvalidPlan: Nothing is given.

    Example:
        >>> coalesce("arr_time", "sched_arr_time", 0)
        ff.coalesce(col('arr_time'), col('sched_arr_time'), 0)
    """
    return call("coalesce", *operands("coalesce", exprs))


@with_argument_errors
def min_horizontal(*exprs: Operand | Iterable[Operand]) -> Expr:
    """Return the smallest present value of the row, -0.0 below 0.0; missing if all are missing.

    Args:
        exprs: Expressions, names of columns, or constants, of types with a common type; or lists of
            these.

    Raises:
        InvalidPlan: Nothing is given.

    Example:
        >>> min_horizontal("a", "b")
        ff.min_horizontal(col('a'), col('b'))
    """
    return call("min_horizontal", *operands("min_horizontal", exprs))


@with_argument_errors
def max_horizontal(*exprs: Operand | Iterable[Operand]) -> Expr:
    """Return the largest present value of the row, 0.0 above -0.0; missing if all are missing.

    Args:
        exprs: Expressions, names of columns, or constants, of types with a common type; or lists of
            these.

    Raises:
        InvalidPlan: Nothing is given.

    Example:
        >>> max_horizontal("a", "b")
        ff.max_horizontal(col('a'), col('b'))
    """
    return call("max_horizontal", *operands("max_horizontal", exprs))


@with_argument_errors
def sum_horizontal(*exprs: Operand | Iterable[Operand]) -> Expr:
    """Return the sum of the present values of the row; 0 if all are missing.

    Floats are added from left to right.

    Args:
        exprs: Numbers or durations: expressions, names of columns, or constants; or lists of these.

    Raises:
        InvalidPlan: nothing is given.
        Overflow: At transform, if a sum of integers does not fit into int64.

    Example:
        >>> sum_horizontal("a", "b")
        ff.sum_horizontal(col('a'), col('b'))
    """
    return call("sum_horizontal", *operands("sum_horizontal", exprs))


@with_argument_errors
def mean_horizontal(*exprs: Operand | Iterable[Operand]) -> Expr:
    """Return the mean of the present values of the row as float64; missing if all are missing.

    Args:
        exprs: Numbers: expressions, names of columns, or constants; or lists of these.

    Raises:
        InvalidPlan: Nothing is given.

    Example:
        >>> mean_horizontal("a", "b")
        ff.mean_horizontal(col('a'), col('b'))
    """
    return call("mean_horizontal", *operands("mean_horizontal", exprs))


def operands(function: str, exprs: tuple[Operand | Iterable[Operand], ...]) -> list[Expr]:
    """Return the arguments of a function as a flat list of expressions; InvalidPlan if it is empty.

    A text is the name of a column.
    """
    flat: list[Any] = []
    for given in exprs:
        if isinstance(given, Iterable) and not isinstance(given, (str, bytes, Expr)):
            flat.extend(in_order(given))
        else:
            flat.append(given)
    if not flat:
        raise InvalidPlan(f"{function}(): takes at least one expression or column name")
    return [col(given) if isinstance(given, str) else as_expr(given) for given in flat]


def as_column_expression(given: Operand) -> Expr:
    """Return an argument of a function as an expression; a text is the name of a column."""
    if given is None:
        raise TypeMismatch("None is not a column. Pass an expression or the name of a column")
    return col(given) if isinstance(given, str) else as_expr(given)


def _coalesce(*row: Any) -> Any:
    return next((value for value in row if value is not None), None)


def _order(value: Any) -> tuple[Any, float]:
    return value, math.copysign(1, value)


def _min(*row: Any) -> Any:
    return min(drop_missing(row), key=_order, default=None)


def _max(*row: Any) -> Any:
    return max(drop_missing(row), key=_order, default=None)


def _sum(*row: Any) -> Any:
    return reduce(operator.add, drop_missing(row), 0)  # sum() compensates since Python 3.12


def _mean(*row: Any) -> Any:
    known = [float(value) for value in drop_missing(row)]
    return reduce(operator.add, known, 0.0) / len(known) if known else None


_ROWS = (Case(("number", "number", "number")), Case(("number",)))
_SUMS = (Case(("float", "float", "float")), Case(("integer", "bool")), Case(("float", "integer")))

OPERATORS: dict[str, Operator] = {
    "coalesce": Operator(coalesce, each_with_missing(_coalesce), _ROWS, method=False),
    "min_horizontal": Operator(min_horizontal, each_with_missing(_min), _ROWS, method=False),
    "max_horizontal": Operator(max_horizontal, each_with_missing(_max), _ROWS, method=False),
    "sum_horizontal": Operator(sum_horizontal, each_with_missing(_sum), _SUMS, method=False),
    "mean_horizontal": Operator(mean_horizontal, each_with_missing(_mean), _SUMS, method=False),
}
