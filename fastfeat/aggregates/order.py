"""quantile, quantiles, even_quantiles, evenly_spaced: aggregates that read sorted values by rank.

A quantile is a value, or is interpolated between two values of neighbouring ranks.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import get_args

from fastfeat_kernels.words import Interpolation

from fastfeat.aggregates.definition import AggregateColumn, sort_values, to_53_bits, to_float
from fastfeat.aggregates.function import (
    AggregateFunction,
    AggregateNumber,
    ColumnSummary,
    parameter,
    same,
    to_level,
    to_table,
    value_of,
)
from fastfeat.errors import TypeMismatch
from fastfeat.ir.dtypes import DType
from fastfeat.ir.node import Params
from fastfeat.ir.parameters import (
    Parameter,
    Real,
    Several,
    TextChoice,
    Whole,
)
from fastfeat.ir.writing import PLAIN


def neighbours(count: int, q: float, interpolation: Interpolation) -> tuple[int, int, float]:
    """Return (lower rank, upper rank, fraction) of a quantile among `count` sorted values.

    The quantile is at this fraction, in [0, 1), of the way between the values of the two ranks. The
    ranks are equal if only one value is used. The index (count - 1) * q is computed as a float.
    """
    index = (count - 1) * q
    low, high = math.floor(index), math.ceil(index)
    match interpolation:
        case "lower":
            return low, low, 0.0
        case "higher":
            return high, high, 0.0
        case "nearest":
            nearest = round(index)  # ties to even
            return nearest, nearest, 0.0
        case "midpoint":
            return low, high, 0.5 if low < high else 0.0
        case "linear":
            return low, high, index - low


def float_between(low: AggregateNumber, high: AggregateNumber, share: float) -> float:
    """Return low + (high - low) * share in float64, without overflow if high - low is too large."""
    x, y = float(low), float(high)
    if share == 0 or x == y:
        return x
    if math.isinf(y - x) and math.isfinite(x) and math.isfinite(y):
        return 2 * (x / 2 + (y / 2 - x / 2) * share)
    return x + (y - x) * share


def duration_between(low: int, high: int, share: float) -> int:
    """Return low + (high - low) * share for durations in ticks: exact, then truncated."""
    return math.trunc(low + (high - low) * Fraction(share))


def float_quantile(order: Mapping[int, AggregateNumber], count: int, q: float) -> float:
    """Return a linearly interpolated quantile as float64; `order` maps ranks to values."""
    low, high, share = neighbours(count, q, "linear")
    return float_between(order[low], order[high], share)


_BETWEEN: frozenset[Interpolation] = frozenset({"linear", "midpoint"})


def _result(dtype: DType, params: Params) -> DType:
    if not dtype.is_temporal:
        return to_level(dtype, params)
    if dtype.name != "duration" and parameter(params, "interpolation") in _BETWEEN:
        raise TypeMismatch(
            f"cannot interpolate between two values of {dtype}. Take one of the two: "
            f"quantile({parameter(params, 'q')}, interpolation='lower'), or 'higher' or 'nearest'. "
            "For impute(), pass this expression"
        )
    return same(dtype, params)


def _quantile_ranks(count: int, n_rows: int, params: Params) -> Iterable[int]:
    low, high, _ = neighbours(count, parameter(params, "q"), parameter(params, "interpolation"))
    return low, high


def _quantile_finalize(summary: ColumnSummary, params: Params) -> AggregateNumber | None:
    count = summary.moments.count
    if count == 0:
        return None
    q, interpolation = parameter(params, "q"), parameter(params, "interpolation")
    low, high, share = neighbours(count, q, interpolation)
    first, second = summary.order[low], summary.order[high]
    if not summary.dtype.is_temporal:
        return float_between(first, second, share)
    return duration_between(int(first), int(second), share)


def _quantile_reference(
    values: AggregateColumn, params: Params, dtype: DType
) -> AggregateNumber | None:
    known = sort_values(values, dtype)
    if not known:
        return None
    index = (len(known) - 1) * parameter(params, "q")
    low, high = known[math.floor(index)], known[math.ceil(index)]
    match parameter(params, "interpolation"):
        case "lower":
            share, high = 0.0, low
        case "higher":
            share, low = 0.0, high
        case "nearest":
            share, low = 0.0, known[round(index)]
        case "midpoint":
            share = 0.5 * (math.floor(index) < index)
        case _:
            share = index - math.floor(index)
    if dtype.is_temporal:
        exact = low + (high - low) * Fraction(share)
        return math.floor(exact) if exact >= 0 else -math.floor(-exact)
    return _between(float(low), float(high), share)


def _between(low: float, high: float, share: float) -> float:
    """Return low + (high - low) * share, rounded to 53 bits as if the exponent had no limit."""
    if share == 0 or low == high:
        return low
    step = high - low
    if math.isfinite(step) or math.isinf(low) or math.isinf(high):
        return low + step * share
    exact = to_53_bits(Fraction(high) - Fraction(low))
    return to_float(Fraction(low) + to_53_bits(exact * Fraction(share)))


SHARE = Real(0.0, 1.0, or_whole=True)
Q = Parameter("q", SHARE, "Quantile: 0 is the minimum, 1 the maximum")
INTERPOLATION = Parameter(
    "interpolation",
    TextChoice(get_args(Interpolation)),
    "Result for a quantile between two values",
    "linear",
)


def _quantiles_ranks(count: int, n_rows: int, params: Params) -> Iterable[int]:
    for q in parameter(params, "probabilities"):
        yield from neighbours(count, q, "linear")[:2]


def _quantiles_finalize(summary: ColumnSummary, params: Params) -> tuple[float, ...] | None:
    count = summary.moments.count
    if count == 0:
        return None
    return tuple(
        float_quantile(summary.order, count, q) for q in parameter(params, "probabilities")
    )


def _quantiles_reference(
    values: AggregateColumn, params: Params, dtype: DType
) -> tuple[float, ...] | None:
    return table_by_definition(values, parameter(params, "probabilities"), dtype)


def table_by_definition(
    values: AggregateColumn, probabilities: Iterable[float], dtype: DType
) -> tuple[float, ...] | None:
    """Return the quantile of each probability, computed one by one; None if there are no values."""
    table = [
        _quantile_reference(values, (("interpolation", "linear"), ("q", q)), dtype)
        for q in probabilities
    ]
    return None if None in table else tuple(float(q) for q in table if isinstance(q, float))


def _probabilities(n_rows: int, params: Params) -> list[float]:
    n = min(parameter(params, "n_quantiles"), n_rows)
    return [k / (n - 1) for k in range(n)] if n > 1 else [0.0]


def _even_quantiles_ranks(count: int, n_rows: int, params: Params) -> Iterable[int]:
    for q in _probabilities(n_rows, params):
        yield from neighbours(count, q, "linear")[:2]


def _even_quantiles_finalize(summary: ColumnSummary, params: Params) -> tuple[float, ...] | None:
    count = summary.moments.count
    if count == 0:
        return None
    probabilities = _probabilities(summary.moments.n_rows, params)
    return tuple(float_quantile(summary.order, count, q) for q in probabilities)


def _even_quantiles_reference(
    values: AggregateColumn, params: Params, dtype: DType
) -> tuple[float, ...] | None:
    last = min(parameter(params, "n_quantiles"), len(values)) - 1
    even = [k / last for k in range(last + 1)] if last > 0 else [0.0]
    return table_by_definition(values, even, dtype)


def _evenly_spaced_finalize(summary: ColumnSummary, params: Params) -> tuple[float, ...] | None:
    low = value_of(summary, summary.moments.min_key)
    high = value_of(summary, summary.moments.max_key)
    if low is None or high is None:
        return None
    return space_evenly(float(low), float(high), parameter(params, "n_points"))


def space_evenly(low: float, high: float, n: int) -> tuple[float, ...]:
    """Return n points from low to high like NumPy: low + k * step, and the last point is high.

    If high - low would overflow, the points are computed at half their size, then doubled.

    >>> space_evenly(1.0, 2.0, 5)
    (1.0, 1.25, 1.5, 1.75, 2.0)
    """
    if math.isinf(high - low) and math.isfinite(low) and math.isfinite(high):
        return tuple(2 * point for point in space_evenly(low / 2, high / 2, n))
    step = (high - low) / (n - 1)
    if step == 0:  # low and high are so close that the step underflows
        return (*(k / (n - 1) * (high - low) + low for k in range(n - 1)), high)
    return (*(k * step + low for k in range(n - 1)), high)


def _evenly_spaced_reference(
    values: AggregateColumn, params: Params, dtype: DType
) -> tuple[float, ...] | None:
    known = sort_values(values, dtype)
    if not known:
        return None
    low, high, last = float(known[0]), float(known[-1]), parameter(params, "n_points") - 1
    scale = 2.0 if math.isinf(high - low) and math.isfinite(low) and math.isfinite(high) else 1.0
    start, distance = low / scale, high / scale - low / scale
    step = distance / last
    points = [start + (k * step if step else k / last * distance) for k in range(last)]
    return tuple(scale * point for point in [*points, high / scale])


_N_ROUNDS = 3
"""Passes over rows in chunks: take a sample, count values by range, collect needed ranges."""

FUNCTIONS = (
    AggregateFunction(
        "quantile",
        frozenset({"count", "order"}),
        _result,
        _quantile_finalize,
        _quantile_reference,
        _quantile_ranks,
        tells_number=False,
        parameters=(Q, INTERPOLATION),
        n_rounds=_N_ROUNDS,
    ),
    AggregateFunction(
        "quantiles",
        frozenset({"count", "order"}),
        to_table,
        _quantiles_finalize,
        _quantiles_reference,
        _quantiles_ranks,
        written=PLAIN,
        parameters=(
            Parameter(
                "probabilities",
                Several(SHARE),
                "Quantiles to learn: 0 is the minimum, 1 the maximum",
            ),
        ),
        n_rounds=_N_ROUNDS,
    ),
    AggregateFunction(
        "even_quantiles",
        frozenset({"count", "order"}),
        to_table,
        _even_quantiles_finalize,
        _even_quantiles_reference,
        _even_quantiles_ranks,
        written=PLAIN,
        called="quantiles",
        parameters=(
            Parameter(
                "n_quantiles", Whole(1, 100_000), "Number of evenly spaced quantiles to learn", 1000
            ),
        ),
        n_rounds=_N_ROUNDS,
    ),
    AggregateFunction(
        "evenly_spaced",
        frozenset({"count", "min", "max"}),
        to_table,
        _evenly_spaced_finalize,
        _evenly_spaced_reference,
        written=PLAIN,
        called="min, max",
        parameters=(
            Parameter(
                "n_points", Whole(2, 100_001), "Number of points from the minimum to the maximum", 5
            ),
        ),
    ),
)
