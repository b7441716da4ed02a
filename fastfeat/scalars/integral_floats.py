"""Exact arithmetic on whole numbers that are stored as float64, as calendars use it.

No processor divides 64-bit integers in vector lanes, and few convert them, but they divide,
multiply and round floats. A whole number below 2**50 is exact in float64, and so are the results
here.

The quotient n / d is computed as (n + 1/2) * (1/d). This product is at least 1/(2 d) away from
every whole number. Three roundings move it by less than n / d * 2**-51, which is less than 1/(2 d)
for every n below 2**50.
"""

from __future__ import annotations

from fastfeat.scalars import op
from fastfeat.scalars.op import Op

_MAGIC = 1.5 * 2.0**52
"""Adding it to a whole number n with |n| < 2**51 leaves n in the low bits of the pattern."""
_MAGIC_BITS = 0x4338000000000000


def from_small(n: Op) -> Op:
    """Return an integer with |n| < 2**51 as a float, by one addition and one subtraction."""
    return op.from_bits(n + _MAGIC_BITS) - _MAGIC


def to_integer(n: Op) -> Op:
    """Return the integer nearest to a float with |n| < 2**51."""
    return op.bits_of(n + _MAGIC) - _MAGIC_BITS


def floor_quotient(n: Op, divisor: int) -> Op:
    """Return floor(n / divisor) of whole numbers in float64, |n| < 2**50."""
    return op.floor(op.fma(n, 1.0 / divisor, op.literal(0.5 / divisor, "f64")))


def floor_parts(n: Op, divisor: int) -> tuple[Op, Op]:
    """Return (floor(n / divisor), remainder in [0, divisor)) of whole numbers in float64."""
    quotient = floor_quotient(n, divisor)
    return quotient, op.fma(quotient, -float(divisor), n)


def nearest_parts(x: Op, divisor: int) -> tuple[Op, Op]:
    """Return (q, x - q * divisor) with q near x / divisor; the rest is at most 0.6 of the divisor.

    `x` is any int64. |x / divisor| must be at most 2**48, so that three roundings move the quotient
    by less than 0.1.
    """
    quotient = to_integer(op.to_f64(x) * (1.0 / divisor))
    return quotient, x - quotient * divisor


def floor_parts_i64(x: Op, divisor: int) -> tuple[Op, Op]:
    """Return (floor(x / divisor), remainder in [0, divisor)) for any int64.

    A divisor below 2**15 is first scaled up by a power of two, so that the first quotient is small.
    """
    if divisor == 1:
        return x, op.literal(0, "i64")
    scale = max(0, 16 - divisor.bit_length())
    high, low = nearest_parts(x, divisor << scale)
    if scale == 0:
        below = low < 0
        return high - op.from_bool(below), low + op.select(below, op.literal(divisor, "i64"), 0)
    quotient, rest = floor_parts(from_small(low), divisor)
    return (high << scale) + to_integer(quotient), to_integer(rest)
