"""Reduction of a huge angle by pi/2, with as many bits of 2/pi as needed (Payne and Hanek, 1983).

The result is the quadrant (the nearest multiple of pi/2) and the rest of the angle. x = m 2**e with
a 53-bit integer m. Only 192 bits of 2/pi matter: the bits above give multiples of 4 quadrants, the
bits below less than 2**-137 quadrants. No float64 is closer than about 2**-62 quadrants to a
multiple of pi/2. A word here is a 64-bit integer.
"""

from __future__ import annotations

from functools import cache

from fastfeat.scalars.elementary.floats import (
    INFINITY,
    product_exact,
    sum_ordered,
)
from fastfeat.scalars.op import (
    LARGE,
    NAN,
    Op,
    bits_of,
    fma,
    high_product,
    literal,
    magnitude,
    select,
    shift_logical,
    to_f64,
)

_PI_2, _PI_2_LOW = 1.5707963267948966, 6.123233995736766e-17
_N_WORDS = 19  # for the largest float: 969 bits above those that matter, 192 that do, 55 more


def _arctan_of_inverse(n: int, n_bits: int) -> int:
    """Return arctan(1/n) 2**n_bits from its series; the error is less than n_bits."""
    term = (1 << n_bits) // n
    total, k = 0, 0
    while term:
        total += (-1) ** k * (term // (2 * k + 1))
        term //= n * n
        k += 1
    return total


@cache
def two_over_pi_words() -> tuple[int, ...]:
    """Return the bits of 2/pi after the point as 64-bit words, by Machin's formula for pi."""
    n_bits = 64 * _N_WORDS
    guarded = 2 * n_bits + 64
    pi = 4 * (4 * _arctan_of_inverse(5, guarded) - _arctan_of_inverse(239, guarded))
    fraction = (2 << (guarded + n_bits)) // pi
    return tuple((fraction >> (n_bits - 64 * (k + 1))) % (1 << 64) for k in range(_N_WORDS))


def _four_words(first: Op) -> list[Op]:
    """Return the 64-bit words first .. first + 3 of 2/pi, for first in [0, 16].

    Word 0 is before the binary point. If bit k of `first` is set, 2**k words are skipped, the
    highest bit first.
    """
    words = [literal(word, "i64") for word in (0, *two_over_pi_words())]
    for bit in (4, 3, 2, 1, 0):
        taken = (first & (1 << bit)).ne(0)
        n_kept = 3 + (1 << bit)
        zero = literal(0, "i64")
        padded = words + [zero] * (n_kept + (1 << bit) - len(words))
        words = [select(taken, padded[k + (1 << bit)], padded[k]) for k in range(n_kept)]
    return words


def _bits_from(start: Op) -> list[Op]:
    """Return 192 bits of 2/pi starting at bit `start`; bit 64 is the first after the point."""
    words, shift = _four_words(shift_logical(start, 6)), start & 63
    # a shift by 64 is not defined: two shifts, one of them by 1
    return [
        (words[k] << shift) | shift_logical(shift_logical(words[k + 1], 1), 63 - shift)
        for k in range(3)
    ]


def _carry(sum_: Op, part: Op) -> Op:
    """Return 1 if an unsigned 64-bit sum wrapped, that is, if it is below one of its parts."""
    flip = literal(-(1 << 63), "i64")
    return select((sum_ ^ flip) < (part ^ flip), literal(1, "i64"), literal(0, "i64"))


def _quadrants(mantissa: Op, words: list[Op]) -> tuple[Op, Op, Op]:
    """Return mantissa times 192 bits of 2/pi modulo 4: (nearest quadrant, fraction high, low).

    The fraction is a signed 128-bit number in units of 2**-128 quadrants.
    """
    low = mantissa * words[2]
    part = mantissa * words[1]
    middle = part + high_product(mantissa, words[2])
    top = mantissa * words[0] + high_product(mantissa, words[1]) + _carry(middle, part)
    quadrant = shift_logical(top + (1 << 61), 62)
    return (
        quadrant,
        (top << 2) | shift_logical(middle, 62),
        (middle << 2) | shift_logical(low, 62),
    )


def _as_floats(high: Op, low: Op) -> tuple[Op, Op]:
    """Return a signed 128-bit number, in units of 2**-128, as a pair (high, low) of floats."""
    mask = (1 << 32) - 1
    negative = high < 0
    # -(high, low) = (~high + 1 if low is 0, -low)
    carried = select(low.eq(0), literal(1, "i64"), literal(0, "i64"))
    high, low = select(negative, ~high + carried, high), select(negative, -low, low)
    digits = [shift_logical(high, 32), high & mask, shift_logical(low, 32), low & mask]
    parts = [to_f64(digit) * 2.0 ** (-32 * (k + 1)) for k, digit in enumerate(digits)]
    total, lost = sum_ordered(parts[0], parts[1])
    total, more = sum_ordered(total, parts[2])
    total, rest = sum_ordered(total, (lost + more) + parts[3])
    sign = select(negative, -1.0, 1.0)
    return total * sign, rest * sign


def reduce_large(x: Op) -> tuple[Op, Op, Op]:
    """Return (high, low, quadrant) with x = quadrant pi/2 + high + low, for |x| > 2**45.

    NaN for infinities and NaN.
    """
    size = magnitude(x)
    bits = bits_of(select((size > LARGE) & (size < INFINITY), size, 2.0**60))
    mantissa = (bits & ((1 << 52) - 1)) | (1 << 52)
    # x = mantissa 2**(exponent - 1075); times x, the first bit that matters is worth 2 quadrants
    start = shift_logical(bits, 52) - (1075 + 2 - 64)
    quadrant, fraction_high, fraction_low = _quadrants(mantissa, _bits_from(start))
    turn, turn_low = _as_floats(fraction_high, fraction_low)
    high, lost = product_exact(turn, _PI_2)
    low = fma(turn, _PI_2_LOW, fma(turn_low, _PI_2, lost))
    high, low = sum_ordered(high, low)
    sign = select(x < 0.0, -1.0, 1.0)
    quadrant = select(x < 0.0, -quadrant, quadrant)
    return select(size < INFINITY, high * sign, NAN), low * sign, quadrant
