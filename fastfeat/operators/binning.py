"""Bins: `cut` at given edges, `qcut` at learnt quantiles, `k_bins_discretize` within the range."""

from __future__ import annotations

import bisect
import math
from collections.abc import Iterable, Sequence
from typing import Any, Literal, cast, get_args

from fastfeat.errors import InvalidPlan
from fastfeat.expr import Expr, aggregate, call, literal_table
from fastfeat.ir import node as ir
from fastfeat.ir.literals import python_value
from fastfeat.ir.parameters import Parameter, Real, Several, TextChoice, Whole
from fastfeat.ir.writing import Texts, Writer, numbers_text
from fastfeat.operators.operator import (
    Case,
    Operator,
    ReferenceColumn,
    check_parameters,
    compute_by_definition,
    compute_quantile,
)
from fastfeat.scalars.binning import CLOSED, EDGE, BinClosed, is_right

Strategy = Literal["uniform", "quantile"]
EDGES = Parameter("edges", Several(EDGE, 1, rising=True), "Edges of the bins, in rising order")
N_BINS = Parameter("n_bins", Whole(2, 100_000), "Number of bins", 5)
N_QUANTILE_BINS = Parameter(
    "q", N_BINS.type, "Number of bins with about equally many training rows"
)
PROBABILITIES = Parameter(
    "q", Several(Real(), 1, rising=True), "Probabilities between the bins, in rising order"
)
STRATEGY = Parameter(
    "strategy",
    TextChoice(get_args(Strategy)),
    "Bins of equal width (`uniform`) or with about equally many training rows (`quantile`)",
    "quantile",
)


def cut(x: Expr, edges: Sequence[float], *, closed: BinClosed = "left") -> Expr:
    """Return the bin of each value as an int32 code: code i stands for [edges[i - 1], edges[i]).

    `cut` of pandas and of Polars makes bins (edges[i - 1], edges[i]] by default: write
    `closed="right"` for those. numpy.digitize and Polars' `bin_intervals` make bins like the
    default here. The two kinds differ for values equal to an edge, which are common among whole
    numbers and round prices.

    No value falls outside: codes go from 0 (below the first edge) to len(edges) (above the last).
    pandas makes values outside its edges missing.

    Numbers of different types compare exactly: 2**53 + 1 is not 2.0**53.

    Args:
        x: Numbers. Missing stays missing.
        edges: One or more numbers in rising order.
        closed: "left" for [a, b): a value equal to an edge belongs to the bin above it, like in
            numpy.digitize. "right" for (a, b]: it belongs to the bin below.

    Raises:
        InvalidPlan: `edges` is empty or not numbers in rising order, or `closed` is unknown.

    Example:
        >>> plan = ff.Plan({"age": col("age").cut([18, 65])})
        >>> fitted = plan.fit({"age": [3.0]})
        >>> ages = {"age": [17.0, 18.0, 99.0, None]}
        >>> fitted.transform(ages, backend="reference")["age"].to_pylist()
        [0, 1, 2, None]
        >>> ff.Plan({"age": col("age").cut([18, 65], closed="right")}).fit(ages).transform(
        ...     ages, backend="reference")["age"].to_pylist()
        [0, 0, 2, None]
    """
    n = python_value(edges)
    if type(n) is int or (type(n) is float and not math.isnan(n)):
        bins = (
            f". For {n} bins of about equally many rows write qcut({n})"
            if n in range(2, 1000)
            else ""
        )
        raise InvalidPlan(
            f"cut(edges={n!r}): takes a list of one or more numbers. For one edge write "
            f"cut([{n}]){bins}"
        )
    given = check_parameters("cut", (EDGES, CLOSED), edges=edges, closed=closed)
    return call("bin", x, literal_table(given.pop("edges")), **given)


def qcut(x: Expr, q: int | Sequence[float], *, closed: BinClosed = "left") -> Expr:
    """Return the bin of each value as an int32 code 0..q-1, cut at quantiles of the training rows.

    Code i stands for [edge i - 1, edge i): a value equal to an edge belongs to the bin above it.
    `qcut` of pandas and of Polars puts it into the bin below, (a, b]: write `closed="right"`.

    Equal quantiles merge, which gives fewer codes; `fit` warns and says how many. For a column that
    is zero in 60% of the rows and above zero elsewhere, `qcut(4)` learns the edges 0, 0 and one
    more. The codes are then 0 for values below 0, which the training rows lack, 1 for zeros and
    small values, and 2. For a bin of zeros alone, write `ff.when(x == 0).then(...)` around it.

    Args:
        x: Numbers. Missing stays missing and is not learnt from. If all training values are
            missing, so are all results.
        q: Number of bins with about equally many training rows, or the inner probabilities in
            rising order: [0.25, 0.5, 0.75] is the same as 4.
        closed: "left" for bins [a, b), "right" for (a, b].

    Raises:
        InvalidPlan: Fewer than 2 bins, probabilities that do not rise strictly between 0 and 1, or
            an unknown `closed`.

    Example:
        >>> plan = ff.Plan({"x": col("x").qcut(2)})
        >>> fitted = plan.fit({"x": [1.0, 2.0, 3.0]})
        >>> fitted.transform({"x": [-9.0, 2.0, 9.0]}, backend="reference")["x"].to_pylist()
        [0, 1, 1]
    """
    edges = aggregate("quantiles", x, probabilities=inner_probabilities(q))
    return call("bin", x, edges, **check_parameters("qcut", (CLOSED,), closed=closed))


def k_bins_discretize(x: Expr, *, n_bins: int = 5, strategy: Strategy = "quantile") -> Expr:
    """Return the bin of each value as an int32 code 0..n_bins-1, within the training range.

    The bins lie between the smallest and the largest training value. A value equal to an edge
    belongs to the bin above it, and the largest one to the last bin. Values beyond the ends belong
    to the first and the last bin.

    Bins without width merge with the next bin, which gives fewer codes; `fit` warns and says how
    many. Unlike in `qcut`, no code stands for values outside the training range.

    Args:
        x: Numbers. Missing stays missing and is not learnt from. If all training values are
            missing, so are all results.
        n_bins: Number of bins, from 2 to 100,000.
        strategy: "uniform" for bins of equal width, "quantile" for bins with about equally many
            training rows.

    Raises:
        InvalidPlan: `n_bins` is out of range, or `strategy` is unknown.

    Source:
        scikit-learn's KBinsDiscretizer with encode="ordinal", quantile_method="linear" and
        subsample=None. Uniform edges equal numpy.linspace bit for bit; quantiles equal NumPy's to
        1e-14. scikit-learn also merges quantiles less than 1e-8 apart.

    Example:
        >>> plan = ff.Plan({"x": col("x").k_bins_discretize(n_bins=2, strategy="uniform")})
        >>> fitted = plan.fit({"x": [1.0, 2.0, 5.0]})
        >>> fitted.transform({"x": [-9.0, 2.9, 3.0, 9.0]}, backend="reference")["x"].to_pylist()
        [0, 0, 1, 1]
    """
    n = check_parameters("k_bins_discretize", (N_BINS,), n_bins=n_bins)["n_bins"]
    points = learnt_points("k_bins_discretize", STRATEGY, x, strategy, n + 1)
    return call("bin_inside", x, points)


def learnt_points(operator: str, named: Parameter, x: Expr, strategy: object, n: int) -> Expr:
    """Return an expression for n points that `fit` learns, from the smallest to the largest x.

    `strategy` "uniform" spaces them evenly; "quantile" puts about equally many rows between them.
    `named` is the record of the parameter `strategy`, for errors.
    """
    if check_parameters(operator, (named,), **{named.name: strategy})[named.name] == "uniform":
        return aggregate("evenly_spaced", x, n_points=n)
    return aggregate("quantiles", x, probabilities=tuple(k / (n - 1) for k in range(n)))


def inner_probabilities(q: int | Sequence[float]) -> tuple[float, ...]:
    """Return the probabilities of the quantiles that separate bins, strictly between 0 and 1."""
    given = python_value(q)
    if not isinstance(given, Iterable):
        n_bins = check_parameters("qcut", (N_QUANTILE_BINS,), q=q)["q"]
        return tuple(k / n_bins for k in range(1, n_bins))
    inner: tuple[float, ...] = check_parameters("qcut", (PROBABILITIES,), q=q)["q"]
    if not 0 < inner[0] <= inner[-1] < 1:
        raise InvalidPlan(
            f"qcut(q={q!r}): takes probabilities strictly between 0 and 1. "
            "Leave out 0 and 1: the first and the last bin have no outer edge"
        )
    return inner


def _cut(
    train: Sequence[ReferenceColumn],
    rows: Sequence[ReferenceColumn],
    edges: Sequence[float],
    closed: str = "left",
) -> list[Any]:
    count = bisect.bisect_right if closed == "left" else bisect.bisect_left
    return [None if x is None else count(edges, x) for x in rows[0]]


def _qcut(
    train: Sequence[ReferenceColumn], rows: Sequence[ReferenceColumn], q: Any, closed: str = "left"
) -> list[Any]:
    probabilities = [k / q for k in range(1, q)] if isinstance(q, int) else q
    learnt = {compute_quantile(train[0], p) for p in probabilities}
    if None in learnt:
        return [None] * len(rows[0])
    return _cut(train, _floats(rows), sorted(edge for edge in learnt if edge is not None), closed)


def _floats(rows: Sequence[ReferenceColumn]) -> list[ReferenceColumn]:
    """Return columns with their numbers as floats, because learnt edges are floats."""
    return [[None if x is None else float(x) for x in values] for values in rows]


def _k_bins_discretize(
    train: Sequence[ReferenceColumn],
    rows: Sequence[ReferenceColumn],
    n_bins: int = 5,
    strategy: str = "quantile",
) -> list[Any]:
    points = points_by_definition(train[0], strategy, n_bins + 1)
    if points is None:
        return [None] * len(rows[0])
    return _cut(train, _floats(rows), sorted(set(points))[1:-1])


def points_by_definition(
    values: ReferenceColumn, strategy: str, n: int
) -> tuple[float, ...] | None:
    """Return n points from the smallest to the largest value, for reference functions.

    None if there are no values. `strategy` is "uniform" or "quantile".
    """
    if strategy == "uniform":
        return compute_by_definition("evenly_spaced", values, n_points=n)
    points = [compute_quantile(values, k / (n - 1)) for k in range(n)]
    known = [point for point in points if point is not None]
    return tuple(known) if known else None


def _bin_text(node: ir.Call, texts: Texts) -> str | None:
    closed = ", closed='right'" if is_right(dict(node.params)) else ""
    match node.args:
        case (x, ir.Literal(edges)) if isinstance(edges, tuple):
            return f"{texts[x]}.cut({numbers_text(cast('tuple[float, ...]', edges))}{closed})"
        case (x, ir.Aggregate("quantiles", (y,), (("probabilities", inner),))) if x is y:
            n_bins = len(inner) + 1
            is_even = tuple(inner) == tuple(k / n_bins for k in range(1, n_bins))
            return f"{texts[x]}.qcut({n_bins if is_even else numbers_text(inner)}{closed})"
        case _:
            return None


def _bin_inside_text(node: ir.Call, texts: Texts) -> str | None:
    match node.args:
        case (x, table) if (points := read_points(x, table)) is not None:
            n_points, strategy = points
            named = "" if strategy == "quantile" else f", strategy={strategy!r}"
            return f"{texts[x]}.k_bins_discretize(n_bins={n_points - 1}{named})"
        case _:
            return None


def read_points(x: ir.Node, table: ir.Node) -> tuple[int, str] | None:
    """Return (number of points, strategy) if `learnt_points` of x made the table; else None."""
    match table:
        case ir.Aggregate("evenly_spaced", (y,), (("n_points", n_points),)) if x is y:
            return n_points, "uniform"
        case ir.Aggregate("quantiles", (y,), (("probabilities", shares),)) if x is y:
            n_points = len(shares)
            is_even = shares == tuple(k / max(1, n_points - 1) for k in range(n_points))
            return (n_points, "quantile") if is_even else None
        case _:
            return None


WRITTEN: dict[str, Writer] = {"bin": _bin_text, "bin_inside": _bin_inside_text}
"""Writers (see `ir.writing`) of bins, by the function of the last node."""

_FOREIGN = {
    "right": "Write closed='right' for right=True, closed='left' for right=False",
    "right_closed": "Write closed='right' for right_closed=True, closed='left' for False",
    "left_closed": "Write closed='left' for left_closed=True, closed='right' for False",
    "labels": "Bins are numbered from 0. Name them afterwards: .replace_strict({0: 'low', ...})",
}
"""Advice for parameter names of pandas and Polars."""


OPERATORS: dict[str, Operator] = {
    "cut": Operator(
        cut,
        _cut,
        tuple(
            Case(params={"edges": edges, **closed})
            for edges in ((0,), (-1e300, 0.0, 1.5, math.inf), tuple(range(-20, 20)))
            for closed in ({}, {"closed": "right"})
        ),
        parameters=(EDGES, CLOSED),
        foreign={**_FOREIGN, **dict.fromkeys(("bins", "breaks", "intervals"), "Write edges=")},
    ),
    "qcut": Operator(
        qcut,
        _qcut,
        (
            *(Case(params={"q": q}) for q in (2, 4, 20, (0.01, 0.5, 0.99))),
            *(Case(params={"q": q, "closed": "right"}) for q in (4, 20)),
        ),
        parameters=(N_QUANTILE_BINS, CLOSED),
        foreign={**_FOREIGN, "quantiles": "Write q="},
    ),
    "k_bins_discretize": Operator(
        k_bins_discretize,
        _k_bins_discretize,
        (
            Case(),
            *(
                Case(params={"n_bins": n_bins, "strategy": strategy})
                for n_bins, strategy in ((5, "uniform"), (40, "uniform"), (2, "quantile"))
            ),
        ),
        parameters=(N_BINS, STRATEGY),
    ),
}
