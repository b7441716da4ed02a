"""Where a quantile lies among the values in order, and what stands between two of them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from fractions import Fraction

from fastfeat_kernels.words import Interpolation

from fastfeat.aggregates.function import Number


def neighbours(count: int, q: float, interpolation: Interpolation) -> tuple[int, int, float]:
    """Return the ranks of the two values that a quantile lies between, and how far, in [0, 1).

    The ranks are equal where one value alone counts. The index (count - 1) * q is a float.
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


def float_between(low: Number, high: Number, share: float) -> float:
    """Return low + (high - low) * share in float64; halved on the way where that would overflow."""
    x, y = float(low), float(high)
    if share == 0 or x == y:
        return x
    if math.isinf(y - x) and math.isfinite(x) and math.isfinite(y):
        return 2 * (x / 2 + (y / 2 - x / 2) * share)
    return x + (y - x) * share


def duration_between(low: int, high: int, share: float) -> int:
    """Return what lies between two durations, exactly, without its fraction."""
    return math.trunc(low + (high - low) * Fraction(share))


def float_quantile(order: Mapping[int, Number], count: int, q: float) -> float:
    """Return a quantile, interpolated linearly, as float64 from the values by rank."""
    low, high, share = neighbours(count, q, "linear")
    return float_between(order[low], order[high], share)
