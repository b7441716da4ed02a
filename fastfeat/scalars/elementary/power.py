"""x**y for any exponent.

log x is found as (high, low) to about 2**-66, as exp(y log x) multiplies its error by up to 745.
"""

from __future__ import annotations

from fastfeat.scalars.elementary.exponentials import LN2_HIGH, LN2_LOW, exp_parts
from fastfeat.scalars.elementary.floats import (
    INFINITY,
    clamped,
    polynomial,
    product_exact,
    quotient_of_pairs,
    split_exponent,
    sum_exact,
    sum_ordered,
)
from fastfeat.scalars.op import NAN, Op, bits_of, floor, fma, lift, magnitude, select

_HALF_ROOT = 0.7071067811865476
_THIRD, _THIRD_LOW = 0.3333333333333333, 1.850371707708594e-17
# Minimax of (atanh(s)/s - 1 - z/3)/z**2 for z = s**2, |s| <= 3 - 2 sqrt(2): error 2**-66.3 of
# atanh(s)/s.
_ATANH = (
    0.1999999999999999,
    0.14285714285722562,
    0.11111111108766769,
    0.09090909435337927,
    0.07692278423134741,
    0.06668159186430565,
    0.05837399551854451,
    0.0599458753348025,
)


def _multiply(x: tuple[Op, Op], y: tuple[Op, Op]) -> tuple[Op, Op]:
    """Return the product of two pairs, to about 2**-102."""
    high, low = product_exact(x[0], y[0])
    return high, low + fma(x[0], y[1], x[1] * y[0])


def _log(x: Op) -> tuple[Op, Op]:
    """Return log(x) as (high, low), for positive finite x: n ln 2 + 2 atanh((m - 1)/(m + 1))."""
    n, m = split_exponent(x, _HALF_ROOT)
    zero = lift(0.0, "f64")
    s = quotient_of_pairs((m - 1.0, zero), sum_exact(m, 1.0))
    z = _multiply(s, s)
    tail = z[0] * polynomial(z[0], _ATANH)
    factor, lost = sum_ordered(_THIRD, tail)
    cube = _multiply(_multiply(s, z), (factor, lost + _THIRD_LOW))
    atanh, lost = sum_ordered(s[0], cube[0])
    atanh_low = lost + (s[1] + cube[1])
    total, lost = sum_ordered(n * LN2_HIGH, 2.0 * atanh)
    return sum_ordered(total, lost + fma(atanh_low, 2.0, n * LN2_LOW))


def pow(x: Op, y: Op) -> Op:
    """Return x**y, with the special cases of IEEE 754 (and C, and Polars)."""
    size = magnitude(x)
    log, log_low = _log(size)
    exponent = clamped(y, -(2.0**64), 2.0**64)  # beyond, every power but that of 1 is 0 or infinite
    high, low = product_exact(exponent, log)
    low = fma(exponent, log_low, low)
    low = select(magnitude(high) < 800.0, low, 0.0)
    scaled, _, first, second = exp_parts(clamped(high, -746.0, 710.0), low)
    result = scaled * first * second
    return _special(x, y, size, result)


def _special(x: Op, y: Op, size: Op, result: Op) -> Op:
    """Return the result, with what holds at 0, 1, infinities, NaN and for negative x put in."""
    at_limit = size.eq(0.0) | size.eq(INFINITY)
    grows = size.eq(0.0) ^ (y > 0.0)
    result = select(at_limit, select(grows, INFINITY, 0.0), result)
    integral, half = floor(y).eq(y), 0.5 * y
    odd = integral & floor(half).ne(half)
    negative = bits_of(x) < 0
    result = select(negative & odd, -result, result)
    undefined = (x < 0.0) & (size < INFINITY) & ~integral
    result = select(undefined | x.ne(x) | y.ne(y), NAN, result)
    return select(x.eq(1.0) | y.eq(0.0), 1.0, result)
