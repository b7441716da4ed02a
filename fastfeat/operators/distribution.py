"""`quantile_transform`: a value's rank among the training rows, as a uniform or normal number."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal, get_args

from fastfeat.expr import Expr, aggregate, call, lit
from fastfeat.ir.node import Aggregate, Call, Node
from fastfeat.ir.parameters import Parameter, TextChoice
from fastfeat.ir.writing import Texts, Writer
from fastfeat.operators import aggregates as learnt
from fastfeat.operators.horizontal import min_horizontal
from fastfeat.operators.operator import (
    Case,
    Operator,
    ReferenceColumn,
    check_parameters,
    compute_quantile,
    parameters_of,
)

OutputDistribution = Literal["uniform", "normal"]
DISTRIBUTION = Parameter(
    "output_distribution",
    TextChoice(get_args(OutputDistribution)),
    "Distribution of the result",
    "uniform",
)
MARGIN = 1e-7
"""Least distance of ranks from 0 and 1 as normal deviates, which would be infinite there."""


def quantile_transform(
    x: Expr,
    *,
    n_quantiles: int = 1000,
    output_distribution: OutputDistribution = "uniform",
) -> Expr:
    """Return the share of training rows below each value, or the normal quantile of that share.

    The share is interpolated between evenly spaced quantiles of all training rows, without
    subsampling. A value equal to several quantiles gets the middle of their ranks. Values beyond
    the training rows get 0 or 1; as normal quantiles these are about -5.2 and 5.2.

    Args:
        x: Numbers. Missing stays missing and is not learnt from.
        n_quantiles: Number of learnt quantiles, at most the number of training rows.
        output_distribution: "uniform" or "normal".

    Raises:
        InvalidPlan: `n_quantiles` is not from 1 to 100,000, or `output_distribution` is unknown.

    Source:
        scikit-learn's QuantileTransformer with subsample=None. Results agree within 4 units in the
        last place of 1 if the learnt quantiles are the same numbers.

    Example:
        >>> plan = ff.Plan({"x": col("x").quantile_transform()})
        >>> fitted = plan.fit({"x": [1.0, 2.0, 4.0]})
        >>> fitted.transform({"x": [0.0, 2.0, 3.0, 9.0]}, backend="reference")["x"].to_pylist()
        [0.0, 0.5, 0.75, 1.0]
    """
    given = check_parameters(
        "quantile_transform", parameters_of("even_quantiles"), n_quantiles=n_quantiles
    )
    chosen = check_parameters(
        "quantile_transform", (DISTRIBUTION,), output_distribution=output_distribution
    )
    normal = chosen["output_distribution"] == "normal"
    table = aggregate("even_quantiles", x, **given)
    n_learnt = min_horizontal(given["n_quantiles"], learnt.count(x) + learnt.null_count(x))
    rank = call("interpolate_rank", x, table, n_learnt, margin=MARGIN if normal else 0.0)
    if not normal:
        return rank
    lowest, highest = (call("normal_quantile", lit(p)) for p in _NORMAL_LIMITS)
    return call("clip", call("normal_quantile", rank), lowest, highest)


_NORMAL_LIMITS = (MARGIN - 2.0**-52, 1 - (MARGIN - 2.0**-52))


def _interpolate(x: float, knots: Sequence[float], ranks: Sequence[float]) -> float:
    """Return the rank at x, interpolated linearly between knots, like numpy.interp.

    Of equal knots the last one counts.
    """
    if x < knots[0]:
        return ranks[0]
    if x >= knots[-1]:
        return ranks[-1]
    k = max(k for k, knot in enumerate(knots) if knot <= x)
    if knots[k] == x:
        return ranks[k]
    # the share first: a slope between neighbouring subnormal knots would be infinite
    share = (x - knots[k]) / (knots[k + 1] - knots[k])
    return share * (ranks[k + 1] - ranks[k]) + ranks[k]


def _rank(x: float, knots: Sequence[float], ranks: Sequence[float], margin: float) -> float:
    """Return the rank of x from 0 to 1, by the definition of `quantile_transform`.

    The rank is the mean of two interpolations, from below and from above, which differ at equal
    knots. If x is closer to an end than `margin`, the rank is 0 or 1.
    """
    if (x - margin < knots[0]) if margin else (x == knots[0]):
        return 0.0
    if (x + margin > knots[-1]) if margin else (x == knots[-1]):
        return 1.0
    negated = [-knot for knot in reversed(knots)], [-rank for rank in reversed(ranks)]
    return 0.5 * (_interpolate(x, knots, ranks) - _interpolate(-x, *negated))


def _quantile_transform(
    train: Sequence[ReferenceColumn],
    rows: Sequence[ReferenceColumn],
    n_quantiles: int = 1000,
    output_distribution: str = "uniform",
) -> list[Any]:
    n = min(n_quantiles, len(train[0]))
    ranks = [k / (n - 1) for k in range(n)] if n > 1 else [0.0]
    knots = [compute_quantile(train[0], rank) for rank in ranks]
    known = [knot for knot in knots if knot is not None]
    if not known:
        return [None] * len(rows[0])
    normal = output_distribution == "normal"
    margin = MARGIN if normal else 0.0
    shares = [None if x is None else _rank(float(x), known, ranks, margin) for x in rows[0]]
    return [None if p is None else _normal(p) for p in shares] if normal else shares


def _normal(p: float) -> float:
    from statistics import NormalDist

    low, high = _NORMAL_LIMITS
    return NormalDist().inv_cdf(min(max(p, low), high)) if not math.isnan(p) else p


def _uniform_text(node: Call, texts: Texts) -> str | None:
    return _text(node, [], texts)


def _normal_text(node: Call, texts: Texts) -> str | None:
    match node.args:
        case (Call("normal_quantile", (rank,)), _, _):
            return _text(rank, ["output_distribution='normal'"], texts)
        case _:
            return None


def _text(rank: Node, given: Sequence[str], texts: Texts) -> str | None:
    match rank:
        case Call("interpolate_rank", (x, Aggregate("even_quantiles", (y,), params), _)) if x is y:
            n_quantiles = f"n_quantiles={dict(params)['n_quantiles']}"
            return f"{texts[x]}.quantile_transform({', '.join([n_quantiles, *given])})"
        case _:
            return None


WRITTEN: dict[str, Writer] = {"clip": _normal_text, "interpolate_rank": _uniform_text}
"""Writers (see `ir.writing`) of `quantile_transform`, by the function of the last node."""


OPERATORS: dict[str, Operator] = {
    "quantile_transform": Operator(
        quantile_transform,
        _quantile_transform,
        (
            Case(),
            Case(params={"n_quantiles": 5}),
            Case(params={"n_quantiles": 2}),
            # the deviate of a rank near 1 moves 2**22 times as far as the rank
            Case(params={"n_quantiles": 7, "output_distribution": "normal"}, ulp=2**25),
        ),
        ulp=8,
        size=1.0,
        parameters=(DISTRIBUTION,),
    ),
}
