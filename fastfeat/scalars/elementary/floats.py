"""Operations on the parts of a float: error-free sums, exponents, signs, remainders.

All elementary functions are built from these. A pair (high, low) of floats stands for their sum;
it is called exact if the sum is the true value.

The remainder of a division, C's fmod: with x = a 2**i and y = b 2**j, a and b in [1, 2), it is
(a 2**(i - j) mod b) 2**j, and no step rounds.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from fastfeat.scalars.op import (
    FALSE,
    NAN,
    Op,
    apply,
    bits_of,
    fma,
    from_bits,
    lift,
    literal,
    magnitude,
    select,
    shift_logical,
)

INFINITY = literal(float("inf"), "f64")
SIGN_BIT = literal(-(1 << 63), "i64")

# Adding 1.5 * 2**52 rounds a float below 2**51 to an integer, which is then in the lowest bits of
# the sum. Unlike a conversion to int64, this is one vector instruction on every CPU.
_ROUNDER = 6755399441055744.0
_ONE_BITS = 0x3FF0000000000000
_SMALLEST_NORMAL = 2.0**-1022


def float_bits(value: float) -> int:
    """Return the bit pattern of a Python float."""
    return struct.unpack("<q", struct.pack("<d", value))[0]


def polynomial(x: Op, coefficients: Sequence[Op | float]) -> Op:
    """Return c[0] + c[1] * x + c[2] * x**2 ..., by Horner's rule with one rounding per step."""
    total: Op = lift(coefficients[-1], "f64")
    for coefficient in reversed(coefficients[:-1]):
        total = fma(total, x, coefficient)
    return total


def sum_ordered(large: Op | float, small: Op) -> tuple[Op, Op]:
    """Return (high, low) of large + small, exact if |large| >= |small| or large is 0 (Dekker)."""
    large = lift(large, "f64")
    high = large + small
    return high, (large - high) + small


def sum_exact(x: Op, y: Op | float) -> tuple[Op, Op]:
    """Return (high, low) of x + y, exact in any order (Knuth)."""
    y = lift(y, "f64")
    high = x + y
    part = high - x
    return high, (x - (high - part)) + (y - part)


def product_exact(x: Op, y: Op | float) -> tuple[Op, Op]:
    """Return (high, low) of x * y, exact unless it underflows."""
    high = x * y
    return high, fma(x, y, -high)


def quotient_of_pairs(x: tuple[Op, Op], y: tuple[Op, Op]) -> tuple[Op, Op]:
    """Return (high, low) of x / y to about 100 bits, for x and y given as pairs; one division."""
    reciprocal = 1.0 / y[0]
    high = x[0] * reciprocal
    rest = fma(-high, y[0], x[0]) + fma(-high, y[1], x[1])
    return high, rest * reciprocal


def nearest_integer(x: Op, factor: float = 1.0) -> tuple[Op, Op]:
    """Return x * factor rounded to an integer: as a float, and in the lowest bits of an i64.

    |x * factor| must be below 2**51.
    """
    shifted = fma(x, factor, _ROUNDER)
    return shifted - _ROUNDER, bits_of(shifted)


def power_of_two(exponent: Op) -> Op:
    """Return 2**exponent; the exponent, in [-1022, 1023], is in the lowest 12 bits of an i64."""
    return from_bits((exponent + 1023) << 52)


def scale_factors(exponent: Op, low_bits: Op) -> tuple[Op, Op]:
    """Return two factors with the product 2**exponent, for |exponent| <= 2044.

    `exponent` is the integer as a float; `low_bits` has it in its lowest bits, as returned by
    `nearest_integer`.
    """
    _, half = nearest_integer(exponent, 0.5)
    return power_of_two(half), power_of_two(low_bits - half)


def split_unit(x: Op) -> tuple[Op, Op]:
    """Return (n, m) with x = m * 2**n, for positive finite x; m is in [1, 2) for any x."""
    tiny = x < _SMALLEST_NORMAL
    bits = bits_of(select(tiny, x * 2.0**54, x))
    fraction = from_bits((bits & ((1 << 52) - 1)) | _ONE_BITS)
    return _exponent_float(bits, tiny), fraction


def split_exponent(x: Op, lowest: float) -> tuple[Op, Op]:
    """Return (n, m) with x = m * 2**n and m in [lowest, 2 lowest), for positive finite x.

    `lowest` is in [1/2, 1).
    """
    tiny = x < _SMALLEST_NORMAL
    moved = bits_of(select(tiny, x * 2.0**54, x)) + (_ONE_BITS - float_bits(lowest))
    fraction = from_bits((moved & ((1 << 52) - 1)) + float_bits(lowest))
    return _exponent_float(moved, tiny), fraction


def exponent_of_normal(x: Op, lowest: float) -> tuple[Op, Op]:
    """Return (n, 2**(2 - n)), with n as `split_exponent` returns it, for x >= 2**-1000."""
    moved = bits_of(x) + (_ONE_BITS - float_bits(lowest))
    factor = from_bits(float_bits(4.0) + _ONE_BITS - (moved & (0x7FF << 52)))
    return _exponent_float(moved, FALSE), factor


def _exponent_float(bits: Op, is_moved: Op) -> Op:
    """Return a float's exponent, from its bits, as a float; less 54 if `is_moved`.

    `is_moved` says that the float was scaled up by 2**54 because it is subnormal.
    """
    # with the high bits of 2**52 added, an integer is a float without a conversion
    biased = from_bits(shift_logical(bits, 52) | float_bits(2.0**52))
    return biased - select(is_moved, 2.0**52 + 1077, 2.0**52 + 1023)


def with_sign_of(size: Op, x: Op) -> Op:
    """Return `size`, a float that is not negative, with the sign of x."""
    return from_bits(bits_of(size) | (bits_of(x) & SIGN_BIT))


def clamp(x: Op, low: float, high: float) -> Op:
    """Return x limited to [low, high]; NaN stays NaN."""
    return select(x > high, high, select(x < low, low, x))


def at_most(x: Op, high: float) -> Op:
    """Return min(x, high); NaN stays NaN."""
    return select(x > high, high, x)


def is_finite(x: Op) -> Op:
    """Return whether x is neither infinite nor NaN."""
    return magnitude(x) < INFINITY


MOST_PERIODS = 2.0**44
"""Up to this many periods, x * (4 / period), rounded twice, is within 1/64 of the quarters in x.

The remainder of x is then hardly more than half a quarter, as the sine and cosine near 0 need.
"""


def fmod(x: Op, y: Op) -> Op:
    """Return x - y trunc(x / y), exact, with the sign of x; NaN if x is infinite or y is 0."""
    size, divisor = magnitude(x), magnitude(y)
    size_exponent, size_fraction = split_unit(size)
    exponent, fraction = split_unit(divisor)
    gap = size_exponent - exponent
    gap = select(gap > 0.0, gap, 0.0)
    rest = apply("remainder_scaled", size_fraction, fraction, gap)
    first, second = scale_factors(exponent, nearest_integer(exponent)[1])
    result = select(size < divisor, size, rest * first * second)
    defined = (size < INFINITY) & (divisor > 0.0)
    return select(defined, with_sign_of(result, x), NAN)


def fewer_periods(x: Op, period: Op) -> Op:
    """Return x unchanged, but NaN if |x| is more than 2**44 periods."""
    return select(magnitude(x) > period * MOST_PERIODS, NAN, x)


def fewer_periods_exact(x: Op, period: Op) -> Op:
    """Return x unchanged, or reduced exactly by whole periods if |x| is more than 2**44 periods."""
    return select(magnitude(x) > period * MOST_PERIODS, fmod(x, period), x)
