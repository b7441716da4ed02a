"""x**y for any exponent, and the cube root (the square root is a primitive).

log x is computed as (high, low) to about 2**-66, because exp(y log x) multiplies its error by up to
745.

For the cube root x = 2**(3 n + j) f with f in [1, 2) and j in {0, 1, 2}. The root is 2**n times the
cube root of m = 2**j f.
"""

from __future__ import annotations

from fastfeat.scalars.elementary.exponentials import LN2_HIGH, LN2_LOW, exp_parts
from fastfeat.scalars.elementary.floats import (
    INFINITY,
    clamp,
    is_finite,
    nearest_integer,
    polynomial,
    power_of_two,
    product_exact,
    quotient_of_pairs,
    split_exponent,
    split_unit,
    sum_exact,
    sum_ordered,
    with_sign_of,
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
    """Return the product of two numbers given as pairs (high, low), to about 2**-102."""
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
    exponent = clamp(y, -(2.0**64), 2.0**64)  # beyond, powers are 0 or infinite, except of 1
    high, low = product_exact(exponent, log)
    low = fma(exponent, log_low, low)
    low = select(magnitude(high) < 800.0, low, 0.0)
    scaled, _, first, second = exp_parts(clamp(high, -746.0, 710.0), low)
    result = scaled * first * second
    return _special(x, y, size, result)


def _special(x: Op, y: Op, size: Op, result: Op) -> Op:
    """Return the result of x**y with special cases put in: 0, 1, infinities, NaN, negative x."""
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


# Minimax of f**(-1/3) on [1, 2]: error 2**-14.7.
_INVERSE_ROOT = (
    1.6700071503918756,
    -1.1728813432901846,
    0.6954837787732517,
    -0.2212383609117418,
    0.02859110816199171,
)


def cbrt(x: Op) -> Op:
    """Return the cube root, negative for negative numbers."""
    size = magnitude(x)
    exponent, fraction = split_unit(size)
    third, third_bits = nearest_integer((exponent - 1.0) * (1 / 3))
    j = fma(third, -3.0, exponent)
    result = _cube_root(fraction, j) * power_of_two(third_bits)
    return with_sign_of(select(is_finite(x) & (size > 0.0), result, size), x)


def _cube_root(fraction: Op, j: Op) -> Op:
    """Return the cube root of m = 2**j fraction, in [1, 2)."""
    m = fraction * select(j.eq(0.0), 1.0, select(j.eq(1.0), 2.0, 4.0))
    shrink = select(j.eq(0.0), 1.0, select(j.eq(1.0), 0.7937005259840998, 0.6299605249474366))
    inverse = polynomial(fraction, _INVERSE_ROOT) * shrink
    # y (1 + d/3 + 2 d**2/9 + 14 d**3/81) with d = 1 - m y**3 is m**(-1/3) to d**4
    distance = fma(-(m * inverse), inverse * inverse, 1.0)
    series = polynomial(distance, (1 / 3, 2 / 9, 14 / 81))
    inverse = fma(inverse * distance, series, inverse)
    square = inverse * inverse
    root = m * square
    # one step of Newton with the exact cube
    high, low = product_exact(root, root)
    rest = fma(-root, low, fma(-root, high, m))
    return fma(rest, square * (1 / 3), root)
