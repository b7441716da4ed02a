"""exp, expm1 and the logistic sigmoid; sinh, cosh and tanh from these as pairs of floats.

x = n ln 2 + r with |r| <= ln 2 / 2, so exp(x) = 2**n (1 + r + r**2 P(r)). Sums are kept as pairs
(high, low) of floats.
"""

from __future__ import annotations

from fastfeat_kernels.records import dataclass

from fastfeat.scalars.elementary.floats import (
    INFINITY,
    at_most,
    clamp,
    nearest_integer,
    polynomial,
    power_of_two,
    product_exact,
    quotient_of_pairs,
    scale_factors,
    sum_exact,
    sum_ordered,
    with_sign_of,
)
from fastfeat.scalars.op import Op, fma, lift, magnitude, select

LOG2_E = 1.4426950408889634
# ln 2 in two pieces; the first has 42 bits, so that its product with an exponent is exact.
LN2_HIGH, LN2_LOW = 0.6931471805598903, 5.497923018708371e-14

# Minimax of (exp(r) - 1 - r) / r**2 on |r| <= ln 2 / 2, relative to exp(r): error 2**-57.9.
_EXP = (
    0.5,
    0.1666666666666666,
    0.04166666666666606,
    0.008333333333338714,
    0.0013888888889461242,
    0.00019841269829500632,
    2.4801585495098454e-05,
    2.755731437499006e-06,
    2.755950706856111e-07,
    2.5080752937605964e-08,
    2.0019522494714026e-09,
)


@dataclass(frozen=True, slots=True)
class ExponentReduction:
    """A number written as n ln 2 + r + lost, with |r| <= ln 2 / 2.

    Args:
        n: The exponent of 2, as a float.
        n_bits: The exponent of 2, in the lowest bits of an i64.
        r: The remainder.
        lost: The rounding error of r.
    """

    n: Op
    n_bits: Op
    r: Op
    lost: Op


def reduction_of(x: Op, low: Op | float = 0.0) -> ExponentReduction:
    """Return the reduction of x + low, for |x| < 2**20 and low below the last place of x."""
    n, n_bits = nearest_integer(x, LOG2_E)
    exact = fma(n, -LN2_HIGH, x)
    correction = fma(n, -LN2_LOW, low)
    return ExponentReduction(n, n_bits, *sum_ordered(exact, correction))


def exp_parts(x: Op, low: Op | float = 0.0) -> tuple[Op, Op, Op, Op]:
    """Return (a, b, f, g) with exp(x + low) = (a + b) f g, where f g is a power of two."""
    parts = reduction_of(x, low)
    high, lost = sum_ordered(1.0, parts.r)
    rest = fma(parts.r * parts.r, polynomial(parts.r, _EXP), parts.lost)
    return (*sum_ordered(high, lost + rest), *scale_factors(parts.n, parts.n_bits))


def exp(x: Op) -> Op:
    """Return e**x; inputs are clamped where the result is already infinite or 0."""
    high, _, first, second = exp_parts(clamp(x, -746.0, 710.0))
    return high * first * second


def expm1_parts(x: Op) -> tuple[Op, Op, ExponentReduction]:
    """Return (high, low, reduction) with expm1(x) = (high + low) 2**n, for x > -40."""
    parts = reduction_of(x)
    # 2**n (1 + r + ...) - 1 = 2**n (1 - 2**-n + r + r**2/2 + r**3 P(r)), all but the last exact
    one = select(parts.n > 60.0, 0.0, power_of_two(-parts.n_bits))
    offset, offset_low = sum_ordered(1.0, -one)
    high, lost = sum_ordered(offset, parts.r)
    square, square_low = product_exact(parts.r, 0.5 * parts.r)
    high, more = sum_ordered(high, square)
    cube = parts.r * (square + square)
    rest = fma(cube, polynomial(parts.r, _EXP[1:]), parts.lost + square_low)
    return (*sum_ordered(high, (lost + more) + (rest + offset_low)), parts)


def expm1(x: Op) -> Op:
    """Return e**x - 1, accurate near 0."""
    high, _, parts = expm1_parts(clamp(x, -40.0, 710.0))
    first, second = scale_factors(parts.n, parts.n_bits)
    return select(x.eq(0.0), x, high * first * second)


def sigmoid(x: Op) -> Op:
    """Return 1 / (1 + exp(-x)), as a quotient of pairs.

    It is e / (1 + e) with e = exp(x) below 0, and 1 / (1 + e) with e = exp(-x) above.
    """
    high, low, first, second = exp_parts(-at_most(magnitude(x), 746.0))
    power, power_low = high * first * second, low * first * second
    total, lost = sum_ordered(1.0, power)
    negative = x < 0.0
    above = select(negative, power, 1.0), select(negative, power_low, 0.0)
    quotient, rest = quotient_of_pairs(above, (total, lost + power_low))
    return quotient + rest


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
    """Return the hyperbolic tangent, e / (e + 2) with e = expm1(2 a); 1 for a above 20."""
    size = at_most(magnitude(x), 20.0)
    high, low, parts = expm1_parts(size + size)
    scale = power_of_two(parts.n_bits)
    high, low = high * scale, low * scale
    total, lost = sum_exact(high, 2.0)
    result, rest = quotient_of_pairs((high, low), (total, lost + low))
    return with_sign_of(result + rest, x)
