"""Bins: `cut` at given edges, `qcut` at learnt quantiles."""

from __future__ import annotations

import bisect
import math
from collections.abc import Iterable, Sequence
from typing import Any

from fastfeat.errors import InvalidPlan
from fastfeat.expr import Expr, aggregate, call, table_of
from fastfeat.literals import python_value
from fastfeat.operators.aggregates import quantile_of
from fastfeat.operators.operator import Case, Operator, Values
from fastfeat.operators.parameters import rising, whole_number


def cut(x: Expr, edges: Sequence[float]) -> Expr:
    """Return the bin of each value as an int32 code: code i stands for [edges[i - 1], edges[i]).

    No value falls outside: codes go from 0 (below the first edge) to len(edges) (from the last edge
    on).

    Args:
        x: numbers; missing stays missing.
        edges: one or more numbers in rising order.

    Raises:
        InvalidPlan: the edges are no numbers in rising order, or there are none.

    Example:
        >>> plan = ff.Plan({"age": col("age").cut([18, 65])})
        >>> fitted = plan.fit({"age": [3.0]})
        >>> ages = {"age": [17.0, 18.0, 99.0, None]}
        >>> fitted.transform(ages, backend="reference")["age"].to_pylist()
        [0, 1, 2, None]
    """
    return call("bin", x, table_of(rising("cut", "edges", edges)))


def qcut(x: Expr, q: int | Sequence[float]) -> Expr:
    """Return the bin of each value as an int32 code 0..q-1, cut at quantiles of the training rows.

    Code i stands for [edge i - 1, edge i): a value that equals an edge belongs to the bin above it.
    (pandas and Polars take it to the one below, (a, b].)

    Equal quantiles merge, so that there are fewer codes, and `fit` warns how many. Of a column that
    is zero in 60% of the rows and above it elsewhere, `qcut(4)` learns the edges 0, 0 and one more:
    the codes are 0 for values below 0, of which training has none, 1 for zeros and small values,
    and 2. For a bin of zeros alone, write `ff.when(x == 0).then(...)` around it.

    Args:
        x: numbers; missing stays missing and is not learnt from. All are missing when all training
            values are.
        q: the number of bins of about equally many training rows, or the inner probabilities in
            rising order: [0.25, 0.5, 0.75] is 4.

    Raises:
        InvalidPlan: fewer than 2 bins, or probabilities that are not strictly between 0 and 1 and
            rising.

    Example:
        >>> plan = ff.Plan({"x": col("x").qcut(2)})
        >>> fitted = plan.fit({"x": [1.0, 2.0, 3.0]})
        >>> fitted.transform({"x": [-9.0, 2.0, 9.0]}, backend="reference")["x"].to_pylist()
        [0, 1, 1]
    """
    return call("bin", x, aggregate("quantiles", x, probabilities=inner_probabilities(q)))


def inner_probabilities(q: int | Sequence[float]) -> tuple[float, ...]:
    """Return the probabilities of the quantiles between bins.

    Raises:
        InvalidPlan: fewer than 2 bins, or probabilities that are not strictly between 0 and 1 and
            rising.
    """
    given = python_value(q)
    if not isinstance(given, Iterable):
        n_bins = whole_number("qcut", "q", q, 2, 100_000)
        return tuple(k / n_bins for k in range(1, n_bins))
    inner = rising("qcut", "q", q)
    if not 0 < inner[0] <= inner[-1] < 1:
        raise InvalidPlan(f"qcut(q={q!r}): takes probabilities strictly between 0 and 1")
    return inner


def _cut(train: Sequence[Values], rows: Sequence[Values], edges: Sequence[float]) -> list[Any]:
    return [None if x is None else bisect.bisect_right(edges, float(x)) for x in rows[0]]


def _qcut(train: Sequence[Values], rows: Sequence[Values], q: Any) -> list[Any]:
    probabilities = [k / q for k in range(1, q)] if isinstance(q, int) else q
    learnt = {quantile_of(train[0], p) for p in probabilities}
    if None in learnt:
        return [None] * len(rows[0])
    return _cut(train, rows, sorted(edge for edge in learnt if edge is not None))


OPERATORS: dict[str, Operator] = {
    "cut": Operator(
        cut,
        _cut,
        tuple(
            Case(params={"edges": edges})
            for edges in ((0,), (-1e300, 0.0, 1.5, math.inf), tuple(range(-20, 20)))
        ),
    ),
    "qcut": Operator(
        qcut, _qcut, tuple(Case(params={"q": q}) for q in (2, 4, 20, (0.01, 0.5, 0.99)))
    ),
}
