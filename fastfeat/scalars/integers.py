"""Integer arithmetic modulo 2**64: tests for overflow (wrapping), and division rounded down."""

from __future__ import annotations

from fastfeat.scalars import op
from fastfeat.scalars.op import Op

INT64_MIN = -(1 << 63)
TWO_63 = 2.0**63


def add_overflows(x: Op, y: Op, total: Op) -> Op:
    """Return whether x + y overflows; `total` is the wrapped sum."""
    return ((x ^ total) & (y ^ total)) < 0


def sub_overflows(x: Op, y: Op, difference: Op) -> Op:
    """Return whether x - y overflows; `difference` is the wrapped difference."""
    return ((x ^ y) & (x ^ difference)) < 0


def mul_overflows(x: Op, y: Op, product: Op) -> Op:
    """Return whether x * y overflows; `product` is the wrapped product.

    A wrapped product is off by a multiple of 2**64; the product of floats is off by far less than
    2**63.
    """
    error = op.to_f64(x) * op.to_f64(y) - op.to_f64(product)
    return op.magnitude(error) > TWO_63


def floor_parts(x: Op, y: Op) -> tuple[Op, Op, Op]:
    """Return (quotient rounded down, remainder with the sign of y, whether y is 0).

    -2**63 // -1 wraps.
    """
    zero = y.eq(0)
    unsafe = zero | y.eq(-1)
    divisor = op.select(unsafe, 1, y)
    q, r = op.quotient(x, divisor), op.remainder(x, divisor)
    down = r.ne(0) & ((r ^ divisor) < 0)
    q = op.select(down, q - 1, q)
    r = op.select(down, r + divisor, r)
    minus_one = y.eq(-1)
    return op.select(minus_one, -x, q), op.select(minus_one, 0, r), zero
