"""quantile: the exact value at index (n - 1) * q of the values in order."""

from __future__ import annotations

import math
from collections.abc import Iterable
from fractions import Fraction

from fastfeat.aggregates.definition import Values, ordered, to_53_bits, to_float
from fastfeat.aggregates.function import AggregateFunction, Number, Summary, parameter
from fastfeat.aggregates.interpolate import (
    Interpolation,
    duration_between,
    float_between,
    neighbours,
)
from fastfeat.aggregates.rules import same, to_level
from fastfeat.dtypes import DType
from fastfeat.errors import TypeMismatch
from fastfeat.ir.node import Params

_BETWEEN: frozenset[Interpolation] = frozenset({"linear", "midpoint"})


def _result(dtype: DType, params: Params) -> DType:
    if not dtype.is_temporal:
        return to_level(dtype, params)
    if dtype.name != "duration" and parameter(params, "interpolation") in _BETWEEN:
        raise TypeMismatch(
            f"there is nothing between two values of {dtype}. Take one of them, in impute() too: "
            f"quantile({parameter(params, 'q')}, interpolation='lower'), 'higher' or 'nearest'"
        )
    return same(dtype, params)


def _ranks(count: int, n_rows: int, params: Params) -> Iterable[int]:
    low, high, _ = neighbours(count, parameter(params, "q"), parameter(params, "interpolation"))
    return low, high


def _finalize(summary: Summary, params: Params) -> Number | None:
    count = summary.moments.count
    if count == 0:
        return None
    q, interpolation = parameter(params, "q"), parameter(params, "interpolation")
    low, high, share = neighbours(count, q, interpolation)
    first, second = summary.order[low], summary.order[high]
    if not summary.dtype.is_temporal:
        return float_between(first, second, share)
    return duration_between(int(first), int(second), share)


def _reference(values: Values, params: Params, dtype: DType) -> Number | None:
    known = ordered(values, dtype)
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
    """Return low + (high - low) * share as IEEE 754 has it, were its range wider."""
    if share == 0 or low == high:
        return low
    step = high - low
    if math.isfinite(step) or math.isinf(low) or math.isinf(high):
        return low + step * share
    exact = to_53_bits(Fraction(high) - Fraction(low))
    return to_float(Fraction(low) + to_53_bits(exact * Fraction(share)))


QUANTILE = AggregateFunction(
    "quantile",
    frozenset({"count", "order"}),
    _result,
    _finalize,
    _reference,
    _ranks,
    tells_number=False,
)
