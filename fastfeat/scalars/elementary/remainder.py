"""The exact remainder of a division, C's fmod.

x = a 2**i and y = b 2**j with a, b in [1, 2): it is (a 2**(i - j) mod b) 2**j, and no step rounds.
"""

from __future__ import annotations

from fastfeat.scalars.elementary.floats import (
    INFINITY,
    nearest_integer,
    scale_factors,
    split_unit,
    with_sign_of,
)
from fastfeat.scalars.op import NAN, Op, apply, magnitude, select

MOST_PERIODS = 2.0**44
"""Up to here x * (4 / period), of two roundings, is within 1/64 of the quarters that x has.

Then what is left of x is hardly more than half a quarter, as the sine and cosine near 0 need it.
"""


def fmod(x: Op, y: Op) -> Op:
    """Return x - y trunc(x / y), exact, with the sign of x; NaN where x is infinite or y is 0."""
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
    """Return x; NaN beyond 2**44 periods."""
    return select(magnitude(x) > period * MOST_PERIODS, NAN, x)


def fewer_periods_exact(x: Op, period: Op) -> Op:
    """Return x, less whole periods where it is beyond 2**44 of them."""
    return select(magnitude(x) > period * MOST_PERIODS, fmod(x, period), x)
