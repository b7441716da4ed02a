"""sin, cos and tan.

x = q pi/2 + y with |y| <= pi/4 and y as a pair (high, low) whose sum is y. This is the reduction;
an `Angle` is (high, low, quadrant q). sin and cos of y are polynomials; q mod 4 selects one of
them and the sign.
"""

from __future__ import annotations

from collections.abc import Callable

from fastfeat.scalars.elementary.exact_reduction import reduce_large
from fastfeat.scalars.elementary.floats import (
    SIGN_BIT,
    nearest_integer,
    polynomial,
    product_exact,
    quotient_of_pairs,
    sum_exact,
    sum_ordered,
)
from fastfeat.scalars.op import LARGE, Op, bits_of, fma, from_bits, magnitude, select

Angle = tuple[Op, Op, Op]  # high, low, quadrant
AngleReduction = Callable[[Op], Angle]

_TWO_OVER_PI = 0.6366197723675814
# pi/2 in three pieces
_HIGH, _MIDDLE, _LOW = 1.5707963267948966, 6.123233995736766e-17, -1.4973849048591698e-33

# Minimax of (sin(y)/y - 1)/z and (cos(y) - 1 + z/2)/z**2 for z = y**2, |y| <= pi/4: errors 2**-57.4
# and 2**-60.
_SIN = (
    -0.16666666666666632,
    0.008333333333322436,
    -0.0001984126982982324,
    2.7557313696573784e-06,
    -2.5050758751774705e-08,
    1.589682816370069e-10,
)
_COS = (
    0.0416666666666666,
    -0.0013888888888874136,
    2.480158728948896e-05,
    -2.7557314354263783e-07,
    2.0875723534093936e-09,
    -1.1359661300520242e-11,
)


def reduce_moderate(x: Op) -> Angle:
    """Return the reduced angle of x, for |x| <= 2**45.

    For larger x it is wrong, but the same on every backend.
    """
    q, quadrant = nearest_integer(x, _TWO_OVER_PI)
    near = fma(q, -_HIGH, x)
    product, product_low = product_exact(q, _MIDDLE)
    high, low = sum_exact(near, -product)
    low = fma(q, -_LOW, low - product_low)
    return (*sum_ordered(high, low), quadrant)


def reduce_any(x: Op) -> Angle:
    """Return the reduced angle of any x; up to 2**45 it has the same bits as `reduce_moderate`."""
    moderate, large = reduce_moderate(x), reduce_large(x)
    is_large = magnitude(x) > LARGE
    high, low, quadrant = (
        select(is_large, one, other) for one, other in zip(large, moderate, strict=True)
    )
    return high, low, quadrant


def _sin_parts(high: Op, low: Op) -> tuple[Op, Op]:
    """Return sin(high + low) as a pair (high, rest); the rest may exceed the last place of high."""
    square = high * high
    rest = fma(square, -0.5 * low, low)
    return high, fma(high * square, polynomial(square, _SIN), rest)


def _cos_parts(high: Op, low: Op) -> tuple[Op, Op]:
    """Return cos(high + low) as a pair (high, rest)."""
    half, half_low = product_exact(high, 0.5 * high)
    square = half + half
    near, lost = sum_ordered(1.0, -half)
    rest = fma(square * square, polynomial(square, _COS), -fma(high, low, half_low))
    return near, lost + rest


def _odd(quadrant: Op) -> Op:
    return (quadrant & 1).ne(0)


def _negated_if(quadrant: Op, bit: int, x: Op) -> Op:
    """Return x with the sign flipped if the given bit (0 or 1) of the quadrant is set."""
    return from_bits(bits_of(x) ^ ((quadrant << (63 - bit)) & SIGN_BIT))


def _sin(x: Op, reduction: AngleReduction, turns: int) -> Op:
    """Return sin(x + turns pi/2), with the angle reduced by `reduction`."""
    high, low, quadrant = reduction(x)
    quadrant = quadrant + turns
    sin_high, sin_rest = _sin_parts(high, low)
    cos_high, cos_rest = _cos_parts(high, low)
    size = select(_odd(quadrant), cos_high, sin_high) + select(_odd(quadrant), cos_rest, sin_rest)
    return _negated_if(quadrant, 1, size)


def _tan(x: Op, reduction: AngleReduction) -> Op:
    """Return tan(x) as a quotient of pairs: sin/cos in even quadrants, -cos/sin in odd ones."""
    high, low, quadrant = reduction(x)
    sin, cos = sum_ordered(*_sin_parts(high, low)), sum_ordered(*_cos_parts(high, low))
    odd = _odd(quadrant)
    above = select(odd, cos[0], sin[0]), select(odd, cos[1], sin[1])
    below = select(odd, sin[0], cos[0]), select(odd, sin[1], cos[1])
    result, rest = quotient_of_pairs(above, below)
    return select(x.eq(0.0), x, _negated_if(quadrant, 0, result + rest))


def sin_near(x: Op) -> Op:
    """Return the sine of |x| <= pi/4."""
    square = x * x
    return select(x.eq(0.0), x, fma(x * square, polynomial(square, _SIN), x))


def cos_near(x: Op) -> Op:
    """Return the cosine of |x| <= pi/4."""
    square, half = x * x, 0.5 * x
    near = fma(-half, x, 1.0)
    lost = fma(-half, x, 1.0 - near)
    return near + fma(square * square, polynomial(square, _COS), lost)


def sin(x: Op) -> Op:
    """Return the sine of |x| <= 2**45."""
    return select(x.eq(0.0), x, _sin(x, reduce_moderate, 0))


def cos(x: Op) -> Op:
    """Return the cosine of |x| <= 2**45."""
    return _sin(x, reduce_moderate, 1)


def tan(x: Op) -> Op:
    """Return the tangent of |x| <= 2**45."""
    return _tan(x, reduce_moderate)


def sin_exact(x: Op) -> Op:
    """Return the sine of any x."""
    return select(x.eq(0.0), x, _sin(x, reduce_any, 0))


def cos_exact(x: Op) -> Op:
    """Return the cosine of any x."""
    return _sin(x, reduce_any, 1)


def tan_exact(x: Op) -> Op:
    """Return the tangent of any x."""
    return _tan(x, reduce_any)
