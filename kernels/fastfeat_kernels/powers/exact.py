"""Shapes from exact sums of powers, rounded as the spec has it, whatever the range."""

from __future__ import annotations

import math

from fastfeat_kernels.moments.exact import nearest_float, rounded
from fastfeat_kernels.powers.state import PowerSums


def skew_of(powers: PowerSums, bias: bool) -> float | None:
    """Return the skewness; None where the spec has it missing, NaN where infinities leave none.

    Args:
        powers: the sums.
        bias: whether it is that of the values, not of what they are a sample of.
    """
    n = powers.count
    spread, third, _ = _central(powers)
    if powers.n_infinite:
        return math.nan
    if spread == 0 or (n < 3 and not bias):
        return None
    bottom, place = rounded(spread)
    top, top_place = rounded(third)
    square = float(bottom << (place & 1))
    divisor, x = square * math.sqrt(square), float(top)
    if not bias:
        x *= math.sqrt(float(n * (n - 1)))
        divisor *= float(n - 2)
    return _quotient(x, divisor, top_place - 3 * (place >> 1))


def kurtosis_of(powers: PowerSums, bias: bool, fisher: bool) -> float | None:
    """Return the kurtosis; None where the spec has it missing, NaN where infinities leave none.

    Args:
        powers: the sums.
        bias: whether it is that of the values, not of what they are a sample of.
        fisher: whether that of the normal distribution is 0, not 3.
    """
    n = powers.count
    spread, _, fourth = _central(powers)
    if powers.n_infinite:
        return math.nan
    if spread == 0 or (n < 4 and not bias):
        return None
    square = spread * spread
    bottom, place = rounded(square)
    divisor = float(bottom)
    if bias:
        exact = fourth - 3 * square * fisher
    else:
        divisor *= float((n - 2) * (n - 3))
        exact = (n * n - 1) * fourth - 3 * ((n - 1) ** 2 if fisher else 3 * n - 5) * square
    top, top_place = rounded(exact)
    return _quotient(float(top), divisor, top_place - place)


def _central(powers: PowerSums) -> tuple[int, int, int]:
    """Return second, third and fourth central moment, times n to the second, third and fourth."""
    n, (first, second, third, fourth) = powers.count, powers.sums
    return (
        n * second - first**2,
        n**2 * third - 3 * n * first * second + 2 * first**3,
        n**3 * fourth - 4 * n**2 * first * third + 6 * n * first**2 * second - 3 * first**4,
    )


def _quotient(x: float, divisor: float, exponent: int) -> float:
    """Return x * 2**exponent / divisor, rounded once."""
    top, top_unit = x.as_integer_ratio()
    bottom, bottom_unit = divisor.as_integer_ratio()
    up, down = max(exponent, 0), max(-exponent, 0)
    return nearest_float((top * bottom_unit) << up, (bottom * top_unit) << down)
