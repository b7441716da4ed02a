"""evenly_spaced: a table of points at equal distances from the least value to the largest."""

from __future__ import annotations

import math

from fastfeat.aggregates.definition import Values, ordered
from fastfeat.aggregates.function import AggregateFunction, Summary, parameter, value_of
from fastfeat.aggregates.rules import to_table
from fastfeat.dtypes import DType
from fastfeat.ir.node import Params
from fastfeat.ir.writing import PLAIN


def _finalize(summary: Summary, params: Params) -> tuple[float, ...] | None:
    low = value_of(summary, summary.moments.min_key)
    high = value_of(summary, summary.moments.max_key)
    if low is None or high is None:
        return None
    return spaced(float(low), float(high), parameter(params, "n_points"))


def spaced(low: float, high: float, n: int) -> tuple[float, ...]:
    """Return n points from low to high: low + k * step, and the last is high, as NumPy has it.

    Where the distance would overflow, the halves of the points are computed.

    >>> spaced(1.0, 2.0, 5)
    (1.0, 1.25, 1.5, 1.75, 2.0)
    """
    if math.isinf(high - low) and math.isfinite(low) and math.isfinite(high):
        return tuple(2 * point for point in spaced(low / 2, high / 2, n))
    step = (high - low) / (n - 1)
    if step == 0:  # a distance of so few units in the last place that none is left for a step
        return (*(k / (n - 1) * (high - low) + low for k in range(n - 1)), high)
    return (*(k * step + low for k in range(n - 1)), high)


def _reference(values: Values, params: Params, dtype: DType) -> tuple[float, ...] | None:
    known = ordered(values, dtype)
    if not known:
        return None
    low, high, last = float(known[0]), float(known[-1]), parameter(params, "n_points") - 1
    scale = 2.0 if math.isinf(high - low) and math.isfinite(low) and math.isfinite(high) else 1.0
    start, distance = low / scale, high / scale - low / scale
    step = distance / last
    points = [start + (k * step if step else k / last * distance) for k in range(last)]
    return tuple(scale * point for point in [*points, high / scale])


EVENLY_SPACED = AggregateFunction(
    "evenly_spaced",
    frozenset({"count", "min", "max"}),
    to_table,
    _finalize,
    _reference,
    written=PLAIN,
    called="min, max",
)
