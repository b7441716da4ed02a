"""log, log1p, log2, log10.

x = 2**n m with m in [sqrt(1/2), sqrt(2)). With f = m - 1 and s = f / (2 + f), log(m) is
2 s + s R(s**2), or f - f**2/2 + s (f**2/2 + R); the first two terms are kept as a pair (high, low).
"""

from __future__ import annotations

from fastfeat.scalars.elementary.exponentials import LN2_HIGH, LN2_LOW, LOG2_E
from fastfeat.scalars.elementary.floats import (
    INFINITY,
    nearest_integer,
    polynomial,
    power_of_two,
    product_exact,
    split_exponent,
    sum_exact,
    sum_ordered,
)
from fastfeat.scalars.op import NAN, Op, fma, select

# Minimax of (2 atanh(s) / s - 2) / s**2 for z = s**2, |s| <= 3 - 2 sqrt(2): error 2**-57.8.
_LOG = (
    0.6666666666666734,
    0.39999999999413965,
    0.2857142874256265,
    0.22222198553700725,
    0.18183565412193425,
    0.15314020986709995,
    0.14796262532359056,
)
# 1 / ln 2, 1 / ln 10 and log10 2 in two pieces; of the last, n times the first piece is exact
_LOG2_E_LOW = 2.0355273740931033e-17
_LOG10_E, _LOG10_E_LOW = 0.4342944819032518, 1.098319650216765e-17
_LOG10_2_HIGH, _LOG10_2_LOW = 0.30102999566395283, 2.8363394551044964e-14


def _log_fraction(f: Op) -> tuple[Op, Op, Op]:
    """Return (high, low, s) with log(1 + f) = high + low, for f in [sqrt(1/2) - 1, sqrt(2) - 1)."""
    s = f / (f + 2.0)
    z = s * s
    half = 0.5 * f
    square, square_low = product_exact(half, f)
    high, lost = sum_ordered(f, -square)
    tail = fma(s, fma(z, polynomial(z, _LOG), square), -square_low)
    return high, lost + tail, s


def _limits(x: Op, result: Op) -> Op:
    """Return the result with its values at 0 (-inf), below 0 (NaN), at +inf and at NaN put in."""
    inside = select(x < INFINITY, result, x)
    return select(x > 0.0, inside, select(x.eq(0.0), -INFINITY, NAN))


def _natural(n: Op, high: Op, low: Op) -> Op:
    """Return n ln 2 + high + low."""
    total, lost = sum_ordered(n * LN2_HIGH, high)
    return total + (lost + fma(n, LN2_LOW, low))


def log(x: Op) -> Op:
    """Return the natural logarithm."""
    n, m = split_exponent(x)
    high, low, _ = _log_fraction(m - 1.0)
    return _limits(x, _natural(n, high, low))


def log1p(x: Op) -> Op:
    """Return log(1 + x); f is x where 1 + x needs no exponent, else what the sum loses is added."""
    u, lost = sum_exact(x, 1.0)
    n, m = split_exponent(u)
    is_near = n.eq(0.0)
    high, low, s = _log_fraction(select(is_near, x, m - 1.0))
    # lost / u; of 1 / m = (1 - s) / (1 + s) = 1 - 2 s + 2 s**2 ... a few bits are enough
    negligible = is_near | (n > 1022.0)  # 2**-1023 is no normal number
    scaled = select(negligible, 0.0, lost * power_of_two(-nearest_integer(n)[1]))
    low = fma(scaled, fma(s + s, s - 1.0, 1.0), low)
    inside = select(x.eq(0.0), x, select(x < INFINITY, _natural(n, high, low), x))
    return select(x > -1.0, inside, select(x.eq(-1.0), -INFINITY, NAN))


def log2(x: Op) -> Op:
    """Return the logarithm to base 2, exact at powers of 2."""
    n, m = split_exponent(x)
    high, low, _ = _log_fraction(m - 1.0)
    product, rest = product_exact(high, LOG2_E)
    rest = fma(low, LOG2_E, fma(high, _LOG2_E_LOW, rest))
    total, lost = sum_ordered(n, product)
    return _limits(x, total + (lost + rest))


def log10(x: Op) -> Op:
    """Return the logarithm to base 10."""
    n, m = split_exponent(x)
    high, low, _ = _log_fraction(m - 1.0)
    product, rest = product_exact(high, _LOG10_E)
    rest = fma(low, _LOG10_E, fma(high, _LOG10_E_LOW, rest))
    total, lost = sum_ordered(n * _LOG10_2_HIGH, product)
    return _limits(x, total + (lost + fma(n, _LOG10_2_LOW, rest)))
