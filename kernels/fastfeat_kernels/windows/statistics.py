"""The statistics of windows: a row for each, and families, each computed by one loop.

This table is the only source: passes, programs, slices, the reference, the CPU loops and the device
text read it. A loop for several statistics gets the number of its statistic in a word of the
output; the order of numbers has no meaning.
"""

from __future__ import annotations

import math
import struct
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from typing import Final

from fastfeat_kernels.column import value_of_key
from fastfeat_kernels.powers import SHAPES, options_of
from fastfeat_kernels.powers.reference import kurtosis_of, skew_of
from fastfeat_kernels.windows import layout
from fastfeat_kernels.windows.decay import half_power, moved_towards
from fastfeat_kernels.windows.requests import WantedStatistic
from fastfeat_kernels.windows.statistic import (
    INTERPOLATIONS,
    RANK_METHODS,
    Family,
    WindowEntry,
    WindowStatistic,
    WindowValue,
    WindowView,
    float_of,
    root_of,
    to_53_bits,
)
from fastfeat_kernels.words import Interpolation

# Families.
COUNTING: Final = 0
SUMMING: Final = 1
COMPARING: Final = 2
PICKING: Final = 3
ORDERING: Final = 4
RANKING: Final = 5
DECAYING: Final = 6
FITTING: Final = 7
RUNNING: Final = 8
SHAPING: Final = 9

# Statistics.
N_ROWS: Final = 0
COUNT: Final = 1
SUM: Final = 2
MEAN: Final = 3
WHOLE_MEAN: Final = 4
VARIANCE: Final = 5
DEVIATION: Final = 6
MIN: Final = 7
MAX: Final = 8
FIRST: Final = 9
LAST: Final = 10
LAG: Final = 11
QUANTILE: Final = 12
WHOLE_QUANTILE: Final = 13
N_UNIQUE: Final = 14
MODE: Final = 15
RANK: Final = 16
PERCENTILE: Final = 17
EWM_MEAN: Final = 18
EWM_MEAN_BY: Final = 19
SLOPE: Final = 20
STREAK: Final = 21
SKEW: Final = 22
KURTOSIS: Final = 23
EWM_SUM: Final = 24
EWM_SUM_BY: Final = 25


def _bits_of(number: float) -> int:
    """Return the bits of a float64 as int64."""
    return int(struct.unpack("<q", struct.pack("<d", number))[0])


def _ddof(wanted: WantedStatistic) -> Mapping[int, int]:
    return {layout.OUTPUT_PARAMETER: wanted.ddof}


def _pick(wanted: WantedStatistic) -> Mapping[int, int]:
    if wanted.since is None:
        return {layout.OUTPUT_PARAMETER: wanted.n}
    factor, parts = wanted.since
    return {
        layout.OUTPUT_PARAMETER: wanted.n,
        layout.OUTPUT_FACTOR: factor,
        layout.OUTPUT_PARTS: parts,
        layout.OUTPUT_SINCE: layout.SINCE_SECONDS if parts else layout.SINCE_TICKS,
    }


def _latest(wanted: WantedStatistic) -> Mapping[int, int]:
    return _pick(wanted._replace(n=1))


def _quantile(wanted: WantedStatistic) -> Mapping[int, int]:
    return {
        layout.OUTPUT_PARAMETER: _bits_of(wanted.q),
        layout.OUTPUT_INTERPOLATION: INTERPOLATIONS.index(wanted.interpolation),
    }


def _method(wanted: WantedStatistic) -> Mapping[int, int]:
    return {layout.OUTPUT_PARAMETER: RANK_METHODS.index(wanted.method)}


def _decay(wanted: WantedStatistic) -> Mapping[int, int]:
    return {layout.OUTPUT_PARAMETER: _bits_of(wanted.decay)}


def _half_life(wanted: WantedStatistic) -> Mapping[int, int]:
    return {layout.OUTPUT_PARAMETER: _bits_of(wanted.half_life)}


def _per(wanted: WantedStatistic) -> Mapping[int, int]:
    factor, divisor = wanted.per
    return {layout.OUTPUT_PARAMETER: factor, layout.OUTPUT_DIVISOR: divisor}


def _shape(wanted: WantedStatistic) -> Mapping[int, int]:
    options = options_of(wanted.bias, wanted.fisher)
    return {layout.OUTPUT_PARAMETER: options, layout.OUTPUT_SHAPE: SHAPES[wanted.statistic]}


def _n_rows_of(wanted: WantedStatistic, element: str, view: WindowView) -> int:
    """Return the number of rows in the window."""
    return len(view.values)


def _count_of(wanted: WantedStatistic, element: str, view: WindowView) -> int:
    """Return the number of values that are neither missing nor NaN."""
    return len(view.known)


def _least_of(wanted: WantedStatistic, element: str, view: WindowView) -> WindowValue:
    """Return the minimum in total order, -0.0 below 0.0."""
    keys = view.keys(element)
    return value_of_key(element, keys[0]) if keys else None


def _greatest_of(wanted: WantedStatistic, element: str, view: WindowView) -> WindowValue:
    """Return the maximum in total order, -0.0 below 0.0."""
    keys = view.keys(element)
    return value_of_key(element, keys[-1]) if keys else None


def _first_of(wanted: WantedStatistic, element: str, view: WindowView) -> WindowValue:
    """Return the earliest value."""
    return next(iter(view.known), None)


def _last_of(wanted: WantedStatistic, element: str, view: WindowView) -> WindowValue:
    """Return the latest value."""
    return next(reversed(view.known), None)


def _lag_of(wanted: WantedStatistic, element: str, view: WindowView) -> WindowValue:
    """Return the value of the n-th latest row; None if it is missing or there are fewer rows."""
    return view.values[-wanted.n] if wanted.n <= len(view.values) else None


def _sum_of(wanted: WantedStatistic, element: str, view: WindowView) -> WindowValue:
    """Return the sum: for floats exact and rounded once, for integers exact; 0 of no values."""
    infinite = {x for x in view.known if math.isinf(x)}
    if infinite:
        return infinite.pop() if len(infinite) == 1 else None
    total = sum(map(Fraction, view.known), Fraction(0))
    return float_of(total) if element.startswith("float") else int(total)


def _mean_of(wanted: WantedStatistic, element: str, view: WindowView) -> float | None:
    """Return the mean, like `grouped`, from the exact sum."""
    known, infinite = view.known, {x for x in view.known if math.isinf(x)}
    if infinite:
        return infinite.pop() if len(infinite) == 1 else None
    total = sum(map(Fraction, known), Fraction(0))
    return float_of(to_53_bits(total) / len(known)) if known else None


def _whole_mean_of(wanted: WantedStatistic, element: str, view: WindowView) -> int | None:
    """Return the exact mean of integers without its fraction."""
    known = view.known
    return math.trunc(Fraction(sum(map(int, known)), len(known))) if known else None


def _variance_of(wanted: WantedStatistic, element: str, view: WindowView) -> float | None:
    """Return the variance, like `grouped`, from the exact sums."""
    variance = _exact_variance(wanted, view)
    return None if variance is None else float_of(variance)


def _deviation_of(wanted: WantedStatistic, element: str, view: WindowView) -> float | None:
    """Return the square root of the variance."""
    variance = _exact_variance(wanted, view)
    return None if variance is None else root_of(to_53_bits(variance))


def _exact_variance(wanted: WantedStatistic, view: WindowView) -> Fraction | None:
    """Return the variance from a numerator and a denominator that are rounded once each."""
    known = view.known
    n = len(known)
    if n == 0 or n <= wanted.ddof or any(map(math.isinf, known)):
        return None
    total = sum(map(Fraction, known), Fraction(0))
    spread = n * sum(Fraction(x) ** 2 for x in known) - total * total
    return to_53_bits(spread) / Fraction(float(n * (n - wanted.ddof)))


def _quantile_of(wanted: WantedStatistic, element: str, view: WindowView) -> float | None:
    """Return the exact quantile; between two values it interpolates like `grouped.order`."""
    ordered = [float(value_of_key(element, key)) for key in view.keys(element)]
    return _between_values(ordered, wanted.q, wanted.interpolation) if ordered else None


def _whole_quantile_of(wanted: WantedStatistic, element: str, view: WindowView) -> WindowValue:
    """Return one of two neighbouring integers: "lower", "higher" or "nearest"."""
    keys = view.keys(element)
    at = (len(keys) - 1) * wanted.q
    place = {"lower": math.floor, "higher": math.ceil, "nearest": round}[wanted.interpolation]
    return value_of_key(element, keys[place(at)]) if keys else None


def _between_values(ordered: Sequence[float], q: float, interpolation: Interpolation) -> float:
    index = (len(ordered) - 1) * q
    low, high = ordered[math.floor(index)], ordered[math.ceil(index)]
    share = index - math.floor(index)
    match interpolation:
        case "lower":
            return low
        case "higher":
            return high
        case "nearest":
            return ordered[round(index)]
        case "midpoint":
            share = 0.5 if share else 0.0
        case "linear":
            pass
    if share == 0 or low == high:
        return low
    if math.isinf(high - low) and math.isfinite(low) and math.isfinite(high):
        return 2 * (low / 2 + (high / 2 - low / 2) * share)
    return low + (high - low) * share


def _n_unique_of(wanted: WantedStatistic, element: str, view: WindowView) -> int:
    """Return the number of distinct values, with -0.0 equal to 0.0."""
    return len(set(view.known))


def _mode_of(wanted: WantedStatistic, element: str, view: WindowView) -> WindowValue:
    """Return the most frequent value, with -0.0 equal to 0.0; the smallest of several."""
    times = Counter(view.known)
    mode = min(times, key=lambda x: (-times[x], x), default=None)
    return mode + 0.0 if isinstance(mode, float) else mode


def _rank_of(wanted: WantedStatistic, element: str, view: WindowView) -> float | None:
    """Return the rank of the row's own value, in the window or not, among the window's values.

    It is 1 plus the number of smaller values; equal values get their "average", "min" or "max".
    """
    own, others = view.own, view.known
    if own is None or own != own or not others:
        return None
    if view.place is not None:
        others.remove(own)
    n_below, n_peers = sum(x < own for x in others), others.count(own)
    further = {"min": 0.0, "max": float(n_peers), "average": n_peers / 2}[wanted.method]
    return 1 + n_below + further


def _percentile_of(wanted: WantedStatistic, element: str, view: WindowView) -> float | None:
    """Return the rank divided by the number of values; the own value counts once."""
    rank = _rank_of(wanted, element, view)
    n_others = len(view.known) - (view.place is not None)
    return None if rank is None else rank / (n_others + 1)


def _average_by_rows(wanted: WantedStatistic, element: str, view: WindowView) -> float | None:
    """Return the weighted mean of all values of the entity before the end; older values weigh less.

    The weight of a value is decay to the power of the number of later rows, missing ones included.
    Each value takes one step.
    """
    average, weight = 0.0, 0.0
    for x in view.values:
        weight *= wanted.decay
        if x is not None and math.isfinite(x):
            weight += 1.0
            average = moved_towards(average, float(x), weight)
    return _with_infinities(view, average)


def _average_by_time(wanted: WantedStatistic, element: str, view: WindowView) -> float | None:
    """Return the average with the weight 2**-((time since) / half_life)."""
    average, weight, last = 0.0, 0.0, 0
    for x, time in zip(view.values, view.times, strict=True):
        if x is None or x != x:
            continue
        if weight:
            weight *= half_power(float(time - last) / wanted.half_life)
        last = time
        if math.isfinite(x):
            weight += 1.0
            average = moved_towards(average, float(x), weight)
    return _with_infinities(view, average)


def _weighted_sum_by_rows(wanted: WantedStatistic, element: str, view: WindowView) -> float | None:
    """Return the weighted sum of all values of the entity before the end; older values weigh less.

    The weight of a value is decay to the power of the number of later rows in the window, missing
    ones included, so the last row has weight 1. Without values it is 0. A sum beyond float64 counts
    as an infinite value.
    """
    total, infinities = 0.0, set[float]()
    for x in view.values:
        total = _plus(total * wanted.decay, x, infinities)
    return _or_infinity(total, infinities)


def _weighted_sum_by_time(wanted: WantedStatistic, element: str, view: WindowView) -> float | None:
    """Return the sum with the weights 2**-((time from the value to the asking row) / half_life).

    The sum decays to the time of each value, and once more to the time of the asking row, if that
    is later.
    """
    total, last, infinities = 0.0, 0, set[float]()
    for x, time in zip(view.values, view.times, strict=True):
        if x is not None and x == x:
            total *= half_power(float(time - last) / wanted.half_life) if total else 1.0
            total, last = _plus(total, x, infinities), time
    if total:
        total *= half_power(float(max(view.time - last, 0)) / wanted.half_life)
    return _or_infinity(total, infinities)


def _plus(total: float, x: WindowValue, infinities: set[float]) -> float:
    """Return the sum with one more value, which may be missing.

    An infinite value goes to `infinities`; finite ones no longer matter then.
    """
    if x is None or x != x:
        return total
    more = float(x) if infinities else total + float(x)
    if math.isfinite(more):
        return more
    infinities.add(more)
    return total


def _or_infinity(number: float, infinities: set[float]) -> float | None:
    """Return a number, or the infinity if there is one; None for both signs."""
    if infinities:
        return infinities.pop() if len(infinities) == 1 else None
    return number


def _with_infinities(view: WindowView, average: float) -> float | None:
    """Return an average, or the infinity if there is one; None for both signs and for no values."""
    infinities = {float(x) for x in view.known if math.isinf(x)}
    return _or_infinity(average, infinities) if view.known else None


def _slope_of(wanted: WantedStatistic, element: str, view: WindowView) -> float | None:
    """Return the least-squares slope of values against times; None if all times are equal.

    It is factor * (n sum(t x) - sum(t) sum(x)) divided by divisor * (n sum(t t) - sum(t)**2). Both
    are exact, rounded once each and divided. None if a value is infinite.
    """
    points = zip(view.times, view.values, strict=True)
    known = [(t, x) for t, x in points if x is not None and x == x]
    if any(isinstance(x, float) and math.isinf(x) for _, x in known):
        return None
    n, total_time = len(known), sum(t for t, _ in known)
    total = sum((Fraction(x) for _, x in known), Fraction(0))
    products = sum((t * Fraction(x) for t, x in known), Fraction(0))
    spread = n * sum(t * t for t, _ in known) - total_time**2
    if spread == 0:
        return None
    factor, divisor = wanted.per
    top = to_53_bits(factor * (n * products - total_time * total))
    return float_of(top / to_53_bits(Fraction(divisor * spread)))


def _streak_of(wanted: WantedStatistic, element: str, view: WindowView) -> int:
    """Return the number of latest rows that are true without a gap; a missing value is not true."""
    latest_first = [bool(x) and x == x for x in reversed(view.values)]
    return [*latest_first, False].index(False)


def _skew_of(wanted: WantedStatistic, element: str, view: WindowView) -> float | None:
    """Return the skewness, like `powers`, from the exact sums."""
    return skew_of(view.known, wanted.bias)


def _kurtosis_of(wanted: WantedStatistic, element: str, view: WindowView) -> float | None:
    """Return the kurtosis, like `powers`, from the exact sums."""
    return kurtosis_of(view.known, wanted.bias, wanted.fisher)


def _of_words(n_words: int) -> Callable[[int], int]:
    return lambda n_rows: 8 * n_words


def _of_keys(n_rows: int) -> int:
    return 8 * n_rows


def _of_tree(n_rows: int) -> int:
    """Return the bytes of a tree over the ranks of `n_rows` rows."""
    return 8 << max(n_rows - 1, 1).bit_length()


def _in_all(number: int, memory: Callable[[int], int] | None = None) -> Family:
    """Return a family with a loop that all entries have."""
    return Family(number, "compute", memory, is_carried=True, on_device=True)


_COUNTS = _in_all(COUNTING)
_SUMS = _in_all(SUMMING, _of_words(layout.N_WIDE_WORDS))
_EXTREMES = _in_all(COMPARING, _of_keys)
_PICKS = _in_all(PICKING)
_ORDERED = Family(ORDERING, "compute_ordered", _of_tree)
_RANKS = Family(RANKING, "compute_any", _of_tree)
_AVERAGES = Family(DECAYING, "compute_any", _of_words(layout.N_AVERAGE_WORDS))
_SLOPES = Family(FITTING, "compute_any", _of_words(layout.N_SLOPE_WORDS))
_STREAKS = Family(RUNNING, "compute_any")
_SHAPES = Family(SHAPING, "compute_any", _of_words(layout.N_SHAPE_WORDS))

_SUM = (layout.COLUMN_SUMS,)
_SQUARES = (layout.COLUMN_SUMS, layout.COLUMN_SQUARES)
_LEAST, _GREATEST = (layout.COLUMN_MIN_KEYS,), (layout.COLUMN_MAX_KEYS,)
_NEXT, _LAST = (layout.COLUMN_NEXT,), (layout.COLUMN_LAST,)
_RANKED = (layout.COLUMN_RANKS, layout.COLUMN_RANK_KEYS)
_MERGED = (layout.COLUMN_MERGED_RANKS, layout.COLUMN_MERGED_KEYS)

_ROWS = (
    WindowStatistic("n_rows", N_ROWS, _COUNTS, "count", _n_rows_of, reads_values=False),
    WindowStatistic("count", COUNT, _COUNTS, "count", _count_of),
    WindowStatistic("sum", SUM, _SUMS, "sum", _sum_of, _SUM, is_zero_of_none=True),
    WindowStatistic("mean", MEAN, _SUMS, "number", _mean_of, _SUM),
    WindowStatistic(
        "whole_mean", WHOLE_MEAN, _SUMS, "whole", _whole_mean_of, _SUM, of_integers=True
    ),
    WindowStatistic("var", VARIANCE, _SUMS, "number", _variance_of, _SQUARES, words=_ddof),
    WindowStatistic("std", DEVIATION, _SUMS, "number", _deviation_of, _SQUARES, words=_ddof),
    WindowStatistic("min", MIN, _EXTREMES, "same", _least_of, _LEAST),
    WindowStatistic("max", MAX, _EXTREMES, "same", _greatest_of, _GREATEST),
    WindowStatistic("first", FIRST, _PICKS, "same", _first_of, _NEXT),
    WindowStatistic("last", LAST, _PICKS, "same", _last_of, _LAST, words=_latest, picks="latest"),
    WindowStatistic("lag", LAG, _PICKS, "same", _lag_of, words=_pick, picks="n-th"),
    WindowStatistic(
        "quantile", QUANTILE, _ORDERED, "number", _quantile_of, _RANKED, words=_quantile
    ),
    WindowStatistic(
        *("whole_quantile", WHOLE_QUANTILE, _ORDERED, "whole", _whole_quantile_of, _RANKED),
        words=_quantile,
        of_integers=True,
        interpolations=("lower", "higher", "nearest"),
    ),
    WindowStatistic(
        "n_unique", N_UNIQUE, _ORDERED, "whole", _n_unique_of, _MERGED, is_zero_of_none=True
    ),
    WindowStatistic("mode", MODE, _ORDERED, "same", _mode_of, _MERGED),
    WindowStatistic(
        "rank", RANK, _RANKS, "number", _rank_of, _MERGED, words=_method, reads_own=True
    ),
    WindowStatistic(
        *("percentile", PERCENTILE, _RANKS, "number", _percentile_of, _MERGED),
        words=_method,
        reads_own=True,
    ),
    WindowStatistic(
        *("ewm_mean", EWM_MEAN, _AVERAGES, "number", _average_by_rows),
        words=_decay,
        of_all_past=True,
    ),
    WindowStatistic(
        *("ewm_mean_by", EWM_MEAN_BY, _AVERAGES, "number", _average_by_time),
        words=_half_life,
        of_all_past=True,
    ),
    WindowStatistic("slope", SLOPE, _SLOPES, "number", _slope_of, words=_per),
    WindowStatistic("streak", STREAK, _STREAKS, "whole", _streak_of, is_zero_of_none=True),
    WindowStatistic("skew", SKEW, _SHAPES, "number", _skew_of, words=_shape),
    WindowStatistic("kurtosis", KURTOSIS, _SHAPES, "number", _kurtosis_of, words=_shape),
    WindowStatistic(
        *("ewm_sum", EWM_SUM, _AVERAGES, "number", _weighted_sum_by_rows),
        is_zero_of_none=True,
        words=_decay,
        of_all_past=True,
    ),
    WindowStatistic(
        *("ewm_sum_by", EWM_SUM_BY, _AVERAGES, "number", _weighted_sum_by_time),
        is_zero_of_none=True,
        words=_half_life,
        of_all_past=True,
    ),
)
STATISTICS: Final[Mapping[str, WindowStatistic]] = {row.name: row for row in _ROWS}
"""The statistics by name."""


def _entry(*entries: WindowEntry) -> frozenset[Family]:
    return frozenset(row.family for row in _ROWS if row.family.entry in entries)


FAMILIES: Final[Mapping[WindowEntry, frozenset[Family]]] = {
    "compute": _entry("compute"),
    "compute_ordered": _entry("compute", "compute_ordered"),
    "compute_any": _entry("compute", "compute_ordered", "compute_any"),
}
"""The families that each entry computes; entries with fewer families first."""
