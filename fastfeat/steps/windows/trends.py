"""rank, ewm_mean, slope, streak: where the rows of a window stand, and where they tend.

By the definitions: exact fractions, and float64 in the stated order of operations.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from fractions import Fraction
from typing import Any, get_args

from fastfeat_kernels.words import RankMethod

from fastfeat.aggregates.definition import to_53_bits, to_float, total
from fastfeat.aggregates.rules import to_float64
from fastfeat.dtypes import BOOL, FLOAT64, INT64, NEVER_COLUMNS, DType
from fastfeat.errors import TypeMismatch
from fastfeat.ir.parameters import (
    LONGEST,
    Flag,
    Parameter,
    Real,
    Whole,
    Words,
)
from fastfeat.steps.windows.function import (
    Seen,
    WindowFunction,
    seconds_per_tick,
    ticks_of_duration,
)
from fastfeat.steps.windows.texts import by_time_text

_LN_2 = sum(Fraction(1, k << k) for k in range(1, 81))  # to 2**-80
_N_TERMS = 14
HALF_POWER_SERIES = tuple(float(_LN_2**k / math.factorial(k)) for k in range(_N_TERMS))
"""The series of 2**r, each coefficient rounded once."""
_NOTHING_LEFT = 1000.0
"""After so many half-lives the weight is 0."""


def _to_rank(dtype: DType, params: Mapping[str, Any]) -> DType:
    if dtype.is_list or dtype in NEVER_COLUMNS:
        raise TypeMismatch(f"needs text, numbers, bools, dates or times, got {dtype}")
    return FLOAT64


def _to_float64(dtype: DType, params: Mapping[str, Any]) -> DType:
    return to_float64(dtype, ())


def _to_streak(dtype: DType, params: Mapping[str, Any]) -> DType:
    if dtype != BOOL:
        raise TypeMismatch(f"needs bools, got {dtype}. Compare first: (x > 0).streak(over=...)")
    return INT64


def _rank(seen: Seen, params: Mapping[str, Any], dtype: DType) -> float | None:
    others = [x for k, x in enumerate(seen.values) if x is not None and k != seen.place]
    if seen.own is None or (not others and seen.place is None):
        return None
    n_below, n_peers = sum(x < seen.own for x in others), others.count(seen.own)
    further = {"min": 0.0, "max": float(n_peers), "average": n_peers / 2}[params["method"]]
    rank = 1 + n_below + further
    return rank / (len(others) + 1) if params["pct"] else rank


def _ewm_mean(seen: Seen, params: Mapping[str, Any], dtype: DType) -> float | None:
    """Return the average by rows: one row later a weight is 1 - alpha of what it was."""
    decay = 1.0 - params["alpha"]
    average, weight, known = 0.0, 0.0, False
    for x in seen.values:
        weight *= decay
        if x is not None and math.isfinite(x):
            weight, known = weight + 1.0, True
            average = moved_towards(average, float(x), weight)
    return _with_infinities(seen, average if known else None)


def _ewm_mean_by(seen: Seen, params: Mapping[str, Any], dtype: DType) -> float | None:
    """Return the average by time: one half-life later a weight is half of what it was."""
    half_life = ticks_of_duration(params["half_life"], seen.ticks)
    average, weight, last, known = 0.0, 0.0, 0, False
    for x, time in zip(seen.values, seen.times, strict=True):
        if x is None:
            continue
        if weight:
            weight *= half_power(float(time - last) / half_life)
        last = time
        if math.isfinite(x):
            weight, known = weight + 1.0, True
            average = moved_towards(average, float(x), weight)
    return _with_infinities(seen, average if known else None)


def _with_infinities(seen: Seen, average: float | None) -> float | None:
    """Return an infinity instead of an average where there is one; nothing of both signs."""
    infinite = {x for x in seen.values if x is not None and math.isinf(x)}
    if infinite:
        return infinite.pop() if len(infinite) == 1 else None
    return average


def half_power(age: float) -> float:
    """Return 2**-age of an age from 0, in the stated order of operations.

    With n the integer nearest to the age: the series of 2**r at r = n - age by Horner's rule, each
    product and each sum rounded, times 2**-n.
    """
    if age > _NOTHING_LEFT:
        return 0.0
    n = math.floor(age + 0.5)
    *others, power = HALF_POWER_SERIES
    while others:
        power = power * (n - age) + others.pop()
    return math.ldexp(power, -n)


def moved_towards(average: float, x: float, weight: float) -> float:
    """Return average + (x - average) / weight, halved on the way where that overflows."""
    if weight == 1:
        return x
    if math.isfinite(x - average):
        return average + (x - average) / weight
    return 2 * (average / 2 + (x / 2 - average / 2) / weight)


def _slope(seen: Seen, params: Mapping[str, Any], dtype: DType) -> float | None:
    known = [(t, x) for t, x in zip(seen.times, seen.values, strict=True) if x is not None]
    if any(math.isinf(x) for _, x in known):
        return None
    n, total_time = len(known), sum(t for t, _ in known)
    spread = n * sum(t * t for t, _ in known) - total_time**2
    if spread == 0:
        return None
    rise = n * total(t * Fraction(x) for t, x in known) - total_time * total(x for _, x in known)
    times, parts = seconds_per_tick(seen.ticks)
    return to_float(to_53_bits(parts * rise) / to_53_bits(Fraction(times * spread)))


def _streak(seen: Seen, params: Mapping[str, Any], dtype: DType) -> int:
    latest_first = [*reversed(seen.values), False]
    return next(k for k, is_true in enumerate(latest_first) if not is_true)


TRENDS: dict[str, WindowFunction] = {
    "ewm_mean": WindowFunction(
        _to_float64,
        _ewm_mean,
        of_all_past=True,
        looks_back=True,
        parameters=(Parameter("alpha", Real(0.0, 1.0, above=True), "what the latest row weighs"),),
    ),
    "ewm_mean_by": WindowFunction(
        _to_float64,
        _ewm_mean_by,
        of_all_past=True,
        looks_back=True,
        parameters=(
            Parameter(
                "half_life", Whole(1, LONGEST), "after how long a weight is half of what it was"
            ),
        ),
        written=by_time_text,
    ),
    "rank": WindowFunction(
        _to_rank,
        _rank,
        reads_own=True,
        looks_back=True,
        parameters=(
            Parameter("method", Words(get_args(RankMethod)), "the rank of equal values", "average"),
            Parameter("pct", Flag(), "whether to divide by the number of values", False),
        ),
    ),
    "slope": WindowFunction(_to_float64, _slope, looks_back=True),
    "streak": WindowFunction(_to_streak, _streak, looks_back=True),
}
