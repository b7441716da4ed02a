"""log, log1p, log2, log10.

x = 2**n m with m in [3/4, 3/2). With f = m - 1 and s = f / (2 + f), log(m) is 2 s + s R(s**2), or
f - (f**2/2 - s (f**2/2 + R)). The bracket is small compared with f, and so are its rounding errors.
"""

from __future__ import annotations

from fastfeat.scalars.elementary.exponentials import LN2_HIGH, LN2_LOW, LOG2_E
from fastfeat.scalars.elementary.floats import (
    INFINITY,
    exponent_of_normal,
    polynomial,
    product_exact,
    split_exponent,
    sum_ordered,
)
from fastfeat.scalars.op import NAN, Op, fma, magnitude, select

_LOWEST = 0.75
# Minimax of (2 atanh(s) / s - 2) / s**2 for z = s**2, |s| <= 1/5: error 2**-62.6 of log(m).
_LOG = (
    0.666666666666666,
    0.4000000000005664,
    0.28571428555841516,
    0.22222224294674678,
    0.18181665994794444,
    0.15391107802538814,
    0.13173671961057476,
    0.1384253325481222,
)
# 1 / ln 2, 1 / ln 10 and log10 2 in two pieces; n times the first piece of the last is exact
_LOG2_E_LOW = 2.0355273740931033e-17
_LOG10_E, _LOG10_E_LOW = 0.4342944819032518, 1.098319650216765e-17
_IS_ITS_LOG1P = 2.0**-54
_LOG10_2_HIGH, _LOG10_2_LOW = 0.30102999566395283, 2.8363394551044964e-14


def _log_pair(f: Op) -> tuple[Op, Op]:
    """Return log(1 + f) as (high, low), for f in [-1/4, 1/2)."""
    s, z, half = _parts(f)
    square, square_low = product_exact(half, f)
    high, lost = sum_ordered(f, -square)
    tail = fma(s, fma(z, polynomial(z, _LOG), square), -square_low)
    return high, lost + tail


def _parts(f: Op) -> tuple[Op, Op, Op]:
    """Return (s, s**2, f / 2) for the formula in the module's docstring."""
    s = f / (f + 2.0)
    return s, s * s, 0.5 * f


def _natural(n: Op, f: Op) -> Op:
    """Return n ln 2 + log(1 + f), for f in [-1/4, 1/2)."""
    s, z, half = _parts(f)
    bracket = fma(half, f, -(s * fma(z, polynomial(z, _LOG), half * f)))
    return fma(n, LN2_HIGH, f - fma(n, -LN2_LOW, bracket))


def _limits(x: Op, result: Op) -> Op:
    """Return the result of a logarithm with its special cases put in.

    The result is -inf at 0 and NaN below 0; for +inf and NaN it is x.
    """
    inside = select(x < INFINITY, result, x)
    return select(x > 0.0, inside, select(x.eq(0.0), -INFINITY, NAN))


def log(x: Op) -> Op:
    """Return the natural logarithm."""
    n, m = split_exponent(x, _LOWEST)
    return _limits(x, _natural(n, m - 1.0))


def log1p(x: Op) -> Op:
    """Return log(1 + x); the rounded sum only gives the exponent, and f is exact."""
    n, factor = exponent_of_normal(x + 1.0, _LOWEST)
    # x 2**-n + (2**-n - 1): x >= 1/2 if n > 0, so no bit of x is below the last bit of f
    f = fma(x * 0.25, factor, fma(factor, 0.25, -1.0))
    inside = select(x < INFINITY, select(magnitude(x) < _IS_ITS_LOG1P, x, _natural(n, f)), x)
    return select(x > -1.0, inside, select(x.eq(-1.0), -INFINITY, NAN))


def log2(x: Op) -> Op:
    """Return the logarithm to base 2, exact at powers of 2."""
    n, m = split_exponent(x, _LOWEST)
    high, low = _log_pair(m - 1.0)
    product, rest = product_exact(high, LOG2_E)
    rest = fma(low, LOG2_E, fma(high, _LOG2_E_LOW, rest))
    total, lost = sum_ordered(n, product)
    return _limits(x, total + (lost + rest))


def log10(x: Op) -> Op:
    """Return the logarithm to base 10."""
    n, m = split_exponent(x, _LOWEST)
    high, low = _log_pair(m - 1.0)
    product, rest = product_exact(high, _LOG10_E)
    rest = fma(low, _LOG10_E, fma(high, _LOG10_E_LOW, rest))
    total, lost = sum_ordered(n * _LOG10_2_HIGH, product)
    return _limits(x, total + (lost + fma(n, _LOG10_2_LOW, rest)))
