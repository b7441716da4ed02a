"""arcsin, arccos and arctan.

An identity brings each argument near 0; the rounding error of that step is kept in a second float.
"""

from __future__ import annotations

from fastfeat.scalars.elementary.floats import (
    at_most,
    polynomial,
    quotient_of_pairs,
    sum_exact,
    sum_ordered,
    with_sign_of,
)
from fastfeat.scalars.op import Op, fma, magnitude, select, sqrt

_PI_2, _PI_2_LOW = 1.5707963267948966, 6.123233995736766e-17
_PI_4, _PI_4_LOW = 0.7853981633974483, 3.061616997868383e-17
_TAN_PI_8 = 0.41421356237309503

# Minimax of (arctan(t)/t - 1)/z for z = t**2, |t| <= tan(pi/8): error 2**-58.4.
_ARCTAN = (
    -0.333333333333332,
    0.1999999999995404,
    -0.14285714280243944,
    0.11111110785897543,
    -0.09090897829256141,
    0.07692061504807995,
    -0.0666311883569654,
    0.058479973587221054,
    -0.050397922234309785,
    0.0380769385046159,
    -0.017920736107416933,
)
# Minimax of (arcsin(t)/t - 1)/z for z = t**2, |t| <= 1/2: error 2**-59.1.
_ARCSIN = (
    0.16666666666666763,
    0.07499999999970093,
    0.04464285717528967,
    0.03038194267514091,
    0.022372215909113105,
    0.017351595452121577,
    0.01398101901814211,
    0.011397289710047404,
    0.01078933710888735,
    0.0036721332221251518,
    0.021790756552466213,
    -0.02111685430104819,
    0.03270223588268405,
)


def arctan(x: Op) -> Op:
    """Return the arctangent.

    With a = |x|: arctan((a - 1)/(a + 1)) + pi/4 for a near 1, arctan(-1/a) + pi/2 for larger a.
    """
    size = at_most(magnitude(x), 2.0**60)
    small, large = size <= _TAN_PI_8, size > 1.0 / _TAN_PI_8
    middle_above, middle_below = sum_exact(size, -1.0), sum_exact(size, 1.0)
    above = (
        select(small, size, select(large, -1.0, middle_above[0])),
        select(small | large, 0.0, middle_above[1]),
    )
    below = (
        select(small, 1.0, select(large, size, middle_below[0])),
        select(small | large, 0.0, middle_below[1]),
    )
    t, t_low = quotient_of_pairs(above, below)
    square = t * t
    # the derivative of arctan at t, to as many bits as t_low needs
    rest = fma(t * square, polynomial(square, _ARCTAN), fma(-square, t_low, t_low))
    offset = select(small, 0.0, select(large, _PI_2, _PI_4))
    offset_low = select(small, 0.0, select(large, _PI_2_LOW, _PI_4_LOW))
    total, lost = sum_ordered(offset, t)
    return with_sign_of(magnitude(total + (lost + (rest + offset_low))), x)


def _arcsin_parts(size: Op) -> tuple[Op, Op, Op]:
    """Return (t, rest, is_halved) with arcsin(t) = t + rest, for t = size or sqrt((1 - size)/2).

    The second form, for size > 1/2, gives half of arccos(size).
    """
    halved = size > 0.5
    square = select(halved, fma(size, -0.5, 0.5), size * size)
    root = sqrt(square)
    divisor = select(square > 0.0, root + root, 1.0)
    root_low = fma(-root, root, square) / divisor
    t, t_low = select(halved, root, size), select(halved, root_low, 0.0)
    return t, fma(t * square, polynomial(square, _ARCSIN), t_low), halved


def arcsin(x: Op) -> Op:
    """Return the arcsine; above 1/2 it is pi/2 - 2 arcsin(sqrt((1 - x)/2))."""
    t, rest, halved = _arcsin_parts(magnitude(x))
    high, lost = sum_ordered(_PI_2, -(t + t))
    from_half = high + (lost + fma(rest, -2.0, _PI_2_LOW))
    return with_sign_of(select(halved, from_half, t + rest), x)


def arccos(x: Op) -> Op:
    """Return the arccosine, pi/2 - arcsin(x) for |x| <= 1/2; beyond, from half the angle.

    Above 1/2 it is twice the half angle of `_arcsin_parts`; below -1/2 it is pi minus that.
    """
    t, rest, halved = _arcsin_parts(magnitude(x))
    negative = x < 0.0
    # offset + scale (t + rest)
    scale = select(halved, select(negative, -2.0, 2.0), select(negative, 1.0, -1.0))
    offset = select(halved, select(negative, 2 * _PI_2, 0.0), _PI_2)
    offset_low = select(halved, select(negative, 2 * _PI_2_LOW, 0.0), _PI_2_LOW)
    total, lost = sum_ordered(offset, scale * t)
    return total + (lost + fma(rest, scale, offset_low))
