"""The cube root (the square root is a primitive).

x = 2**(3 n + j) f with f in [1, 2) and j in {0, 1, 2}: the root is 2**n times that of m = 2**j f.
"""

from __future__ import annotations

from fastfeat.scalars.elementary.floats import (
    is_finite,
    nearest_integer,
    polynomial,
    power_of_two,
    product_exact,
    split_unit,
    with_sign_of,
)
from fastfeat.scalars.op import Op, fma, magnitude, select

# Minimax of f**(-1/3) on [1, 2]: error 2**-14.7.
_INVERSE_ROOT = (
    1.6700071503918756,
    -1.1728813432901846,
    0.6954837787732517,
    -0.2212383609117418,
    0.02859110816199171,
)


def cbrt(x: Op) -> Op:
    """Return the cube root, of negative numbers too."""
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
