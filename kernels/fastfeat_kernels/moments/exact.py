"""Conversion of exact integers to floats: one rounding wherever the definition has one."""

from __future__ import annotations

import math

from fastfeat_kernels.moments.state import Moments

PRECISION = 53


def nearest_float(numerator: int, denominator: int) -> float:
    """Return the float nearest to a quotient, ties to even; infinite beyond the largest.

    >>> nearest_float(1, 3), nearest_float(-(10**400), 1)
    (0.3333333333333333, -inf)
    """
    try:
        return numerator / denominator  # Python rounds it correctly, subnormal results included
    except OverflowError:
        return math.inf if numerator > 0 else -math.inf


def rounded(numerator: int, denominator: int = 1) -> tuple[int, int]:
    """Return a quotient as m * 2**e with m of 53 bits, ties to even; no exponent is too large.

    >>> rounded(3), rounded(2**60 + 1)
    ((6755399441055744, -51), (4503599627370496, 8))
    """
    if numerator == 0:
        return 0, 0
    shift = abs(numerator).bit_length() - denominator.bit_length() - PRECISION - 1
    up, down = max(-shift, 0), max(shift, 0)
    quotient, rest = divmod(abs(numerator) << up, denominator << down)
    drop = quotient.bit_length() - PRECISION  # 1 or 2
    half = 1 << (drop - 1)
    tail = quotient & ((1 << drop) - 1)
    quotient >>= drop
    if tail > half or (tail == half and (rest or quotient & 1)):
        quotient += 1
    return -quotient if numerator < 0 else quotient, shift + drop


def scaled_quotient(mantissa: int, exponent: int, divisor: int) -> float:
    """Return the float nearest to mantissa * 2**exponent / divisor."""
    up, down = max(exponent, 0), max(-exponent, 0)
    return nearest_float(mantissa << up, divisor << down)


def sum_of(moments: Moments) -> float:
    """Return RN(sum) of floats: infinite for one sign of infinity, NaN for both."""
    infinite = _infinite_sum(moments)
    return infinite if infinite is not None else nearest_float(moments.sum, 1 << moments.scale)


def mean_of(moments: Moments) -> float | None:
    """Return RN(sum) / n, scaled so that a sum beyond the largest float is no problem."""
    if moments.count == 0:
        return None
    infinite = _infinite_sum(moments)
    if infinite is not None:
        return infinite
    mantissa, exponent = rounded(moments.sum)
    return scaled_quotient(mantissa, exponent - moments.scale, moments.count)


def variance_of(moments: Moments, ddof: int) -> float | None:
    """Return RN(n sum(x^2) - sum(x)^2) / (n (n - ddof)); None for ddof values or fewer."""
    if moments.count <= ddof:
        return None
    if _infinite_sum(moments) is not None:
        return math.nan
    return scaled_quotient(*_variance(moments, ddof))


def deviation_of(moments: Moments, ddof: int) -> float | None:
    """Return the square root of the variance, even if the variance is beyond floats."""
    if moments.count <= ddof:
        return None
    if _infinite_sum(moments) is not None:
        return math.nan
    mantissa, exponent, divisor = _variance(moments, ddof)
    mantissa, shift = rounded(mantissa, divisor)
    exponent += shift
    root = math.sqrt(mantissa << (exponent & 1))
    try:
        return math.ldexp(root, exponent >> 1)
    except OverflowError:
        return math.inf


def _variance(moments: Moments, ddof: int) -> tuple[int, int, int]:
    """Return the variance as mantissa * 2**exponent / divisor."""
    n = moments.count
    spread = n * moments.sum_of_squares - moments.sum * moments.sum
    mantissa, exponent = rounded(spread)
    return mantissa, exponent - 2 * moments.scale, int(float(n * (n - ddof)))


def _infinite_sum(moments: Moments) -> float | None:
    """Return the sum if infinities decide it, NaN for both signs; None without infinities."""
    if moments.n_positive_infinite and moments.n_negative_infinite:
        return math.nan
    if moments.n_positive_infinite or moments.n_negative_infinite:
        return math.inf if moments.n_positive_infinite else -math.inf
    return None
