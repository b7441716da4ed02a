"""Building blocks for the reference functions that define aggregates and test their kernels.

They take plain lists, with None for missing, and compute with exact fractions. They share no code
with the kernels.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import Any

from fastfeat.ir.dtypes import DType

AggregateColumn = Sequence[Any]


def drop_missing(values: AggregateColumn, dtype: DType) -> list[Any]:
    """Return the values that are neither None nor NaN; uint64 may be stored as signed integers."""
    there = [value for value in values if value is not None and value == value]
    return [value % (1 << 64) for value in there] if dtype.name == "uint64" else there


def total(values: Iterable[Any]) -> Fraction:
    """Return the exact sum of finite numbers."""
    result = Fraction(0)
    for value in values:
        result += Fraction(value)
    return result


def sum_with_infinities(values: AggregateColumn) -> float | None:
    """Return the sum, ±inf or NaN, if some values are infinite; None if all are finite."""
    infinite = {value for value in values if isinstance(value, float) and math.isinf(value)}
    if not infinite:
        return None
    return infinite.pop() if len(infinite) == 1 else math.nan


def to_float(exact: Fraction) -> float:
    """Return the nearest float; infinite beyond the largest float."""
    try:
        return float(exact)
    except OverflowError:
        return math.inf if exact > 0 else -math.inf


def to_53_bits(exact: Fraction) -> Fraction:
    """Return the nearest number with a 53-bit significand: float64 without exponent limits."""
    if exact == 0:
        return exact
    size = exact.numerator.bit_length() - exact.denominator.bit_length()
    unit = Fraction(2) ** size
    return Fraction(float(exact / unit)) * unit


def root_of(exact: Fraction) -> float:
    """Return the square root, rounded once, of a number with a significand of 53 bits."""
    if exact == 0:
        return 0.0
    size = (exact.numerator.bit_length() - exact.denominator.bit_length()) // 2
    unit = Fraction(4) ** size
    return to_float(Fraction(math.sqrt(exact / unit)) * Fraction(2) ** size)


def sort_values(values: AggregateColumn, dtype: DType) -> list[Any]:
    """Return the present values in total order, -0.0 before 0.0."""
    return sorted(drop_missing(values, dtype), key=lambda value: (value, math.copysign(1, value)))


def spread_of(values: AggregateColumn, dtype: DType, ddof: int) -> Fraction | float | None:
    """Return the exact variance RN(n sum(x^2) - sum(x)^2) / RN(n (n - ddof)); RN rounds to 53 bits.

    None for `ddof` or fewer values; NaN if a value is infinite.
    """
    known = drop_missing(values, dtype)
    n = len(known)
    if n <= ddof:
        return None
    if sum_with_infinities(known) is not None:
        return math.nan
    squares = total(Fraction(value) ** 2 for value in known)
    return to_53_bits(n * squares - total(known) ** 2) / Fraction(float(n * (n - ddof)))
