"""sinh, cosh and tanh, from exp and expm1 as pairs of floats."""

from __future__ import annotations

from fastfeat.scalars.elementary.exponentials import exp_parts, expm1_parts
from fastfeat.scalars.elementary.floats import (
    INFINITY,
    at_most,
    polynomial,
    power_of_two,
    quotient_of_pairs,
    sum_exact,
    sum_ordered,
    with_sign_of,
)
from fastfeat.scalars.op import Op, fma, lift, magnitude, select

_LOG_OF_TWICE_MAX = 710.4758600739439  # cosh and sinh are infinite above

# Minimax of (sinh(x)/x - 1)/z for z = x**2, |x| <= 1: error 2**-56.5 of sinh(x)/x.
_SINH = (
    0.16666666666666666,
    0.008333333333333333,
    0.0001984126984126959,
    2.755731922412031e-06,
    2.5052108345625874e-08,
    1.6059050707905086e-10,
    7.646476224385244e-13,
    2.8484019884797013e-15,
)


def _half_exps(size: Op) -> tuple[Op, Op, Op, Op]:
    """Return exp(size) / 2 and exp(-size) / 2, each as (high, low), for size in [0, 711]."""
    high, low, first, second = exp_parts(size)
    half = (0.5 * high) * first * second, (0.5 * low) * first * second
    return (*half, *quotient_of_pairs((lift(0.25, "f64"), lift(0.0, "f64")), half))


def sinh(x: Op) -> Op:
    """Return the hyperbolic sine: a polynomial up to 1, then (exp(a) - exp(-a)) / 2."""
    size = at_most(magnitude(x), 711.0)
    square = size * size
    near = fma(size * square, polynomial(square, _SINH), size)
    rising, rising_low, falling, falling_low = _half_exps(size)
    total, lost = sum_ordered(rising, -falling)
    far = total + (lost + (rising_low - falling_low))
    far = select(size > _LOG_OF_TWICE_MAX, INFINITY, far)
    return with_sign_of(select(size < 1.0, near, far), x)


def cosh(x: Op) -> Op:
    """Return the hyperbolic cosine, (exp(a) + exp(-a)) / 2."""
    size = at_most(magnitude(x), 711.0)
    rising, rising_low, falling, falling_low = _half_exps(size)
    total, lost = sum_ordered(rising, falling)
    result = total + (lost + (rising_low + falling_low))
    return select(size > _LOG_OF_TWICE_MAX, INFINITY, result)


def tanh(x: Op) -> Op:
    """Return the hyperbolic tangent, e / (e + 2) with e = expm1(2 a); from 20 on it is 1."""
    size = at_most(magnitude(x), 20.0)
    high, low, parts = expm1_parts(size + size)
    scale = power_of_two(parts.n_bits)
    high, low = high * scale, low * scale
    total, lost = sum_exact(high, 2.0)
    result, rest = quotient_of_pairs((high, low), (total, lost + low))
    return with_sign_of(result + rest, x)
