# pyright: basic
"""Integers of many 32-bit digits, lowest first: added, multiplied, rounded, divided.

Sums are limbs: int64 words with room before they are carried into digits of a magnitude and a sign.
"""

from __future__ import annotations

from numba import njit, types

from fastfeat_kernels.blocks import HIGHEST, INFINITE, LOWEST
from fastfeat_kernels.column import FLOAT, UNSIGNED
from fastfeat_kernels.intrinsics import (
    INNER_OPTIONS,
    SEPARATE_OPTIONS,
    bits_of,
    float_of,
    fma,
    larger,
    popcount,
    select,
    shift_logical,
)

i64, u64 = types.int64, types.uint64
FRACTION = (1 << 52) - 1
LOW = 0xFFFFFFFF
TOP_BITS = 62
UNIT = -1074  # exponent of the lowest bit of a float


@njit(**INNER_OPTIONS)
def parts_of(kind, word):
    """Return (magnitude, place, sign) of a finite value: magnitude * 2**place units, of 64 bits."""
    if kind == FLOAT:
        size = word & HIGHEST
        exponent = size >> 52
        magnitude = (size & FRACTION) | select(exponent != 0, i64(FRACTION + 1), i64(0))
        return magnitude, larger(exponent, i64(1)) - 1, select(word < 0, i64(-1), i64(1))
    if kind == UNSIGNED:
        return word ^ LOWEST, i64(0), i64(1)
    is_negative = word < 0
    magnitude = select(is_negative, i64(u64(0) - u64(word)), word)
    return magnitude, i64(0), select(is_negative, i64(-1), i64(1))


@njit(**INNER_OPTIONS)
def carry(limbs, first, n, digits):
    """Write n limbs from the first on as 32-bit digits of the magnitude; return the sign."""
    rest = i64(0)
    for k in range(n):
        total = limbs[first + k] + rest
        digits[k] = total & LOW
        rest = total >> 32
    if rest >= 0:
        return i64(1)
    rest = i64(1)
    for k in range(n):
        total = (digits[k] ^ LOW) + rest
        digits[k] = total & LOW
        rest = total >> 32
    return i64(-1)


@njit(**INNER_OPTIONS)
def n_bits_of(digit):
    """Return the number of bits of a 32-bit digit."""
    for k in range(5):
        digit |= digit >> (1 << k)
    return popcount(digit)


@njit(**SEPARATE_OPTIONS)
def top_of_digits(digits, n):
    """Return (top, place) of an integer of n digits: its highest 62 bits, the last one sticky.

    Converting top to a float rounds the integer.
    """
    at = n - 1
    while at > 0 and digits[at] == 0:
        at -= 1
    n_bits = n_bits_of(digits[at])
    room = TOP_BITS - n_bits  # 30 or more
    second, third = i64(0), i64(0)
    if at > 0:
        second = digits[at - 1]
    if at > 1:
        third = digits[at - 2]
    top, lost = digits[at] << room, i64(0)
    if room >= 32:
        top |= (second << (room - 32)) | (third >> (64 - room))
        lost = third & ((i64(1) << (64 - room)) - 1)
    else:
        top |= second >> (32 - room)
        lost = (second & ((i64(1) << (32 - room)) - 1)) | third
    for k in range(at - 2):
        lost |= digits[k]
    return top | i64(lost != 0), 32 * at - room


@njit(**INNER_OPTIONS)
def finish(x, rest, exponent):
    """Return x * 2**exponent rounded once, for a value that x was rounded from.

    `x` is a normal float, or 0. `rest` is positive if the value's magnitude is above that of x,
    negative if below.
    """
    bits = bits_of(x)
    sign, size = bits & (i64(-1) << 63), bits & HIGHEST
    biased = (size >> 52) + exponent
    if size == 0:
        return x
    if biased >= 0x7FF:
        return float_of(sign | INFINITE)
    if biased > 0:
        return float_of(sign | (size & FRACTION) | (biased << 52))
    drop, mantissa = 1 - biased, (size & FRACTION) | (FRACTION + 1)
    if drop > 54:
        return float_of(sign)
    half, kept = i64(1) << (drop - 1), mantissa >> drop
    tail = mantissa & ((i64(1) << drop) - 1)
    is_up = (tail > half) | ((tail == half) & ((rest > 0.0) | ((rest == 0.0) & (kept & 1 != 0))))
    return float_of(sign | (kept + i64(is_up)))


@njit(**INNER_OPTIONS)
def divided(x, divisor, exponent):
    """Return x * 2**exponent / divisor, rounded once; |x| >= 1, or x is 0."""
    quotient = x / divisor
    rest = fma(-quotient, divisor, x)
    return finish(quotient, select(x < 0.0, -rest, rest), exponent)


@njit(**SEPARATE_OPTIONS)
def carried_limbs(limbs, n):
    """Carry limbs in place; the last keeps the sign."""
    rest = i64(0)
    for k in range(n - 1):
        rest += limbs[k]
        limbs[k] = rest & LOW
        rest >>= 32
    limbs[n - 1] += rest


@njit(**INNER_OPTIONS)
def n_digits_of(digits, n):
    """Return the number of digits without leading zeros, at least 1."""
    while n > 1 and digits[n - 1] == 0:
        n -= 1
    return n


@njit(**INNER_OPTIONS)
def clear(limbs, n):
    """Write n zeros."""
    for k in range(n):
        limbs[k] = i64(0)


@njit(**SEPARATE_OPTIONS)
def add_product(limbs, x, n_x, y, n_y, sign):
    """Add sign * x * y, integers of n_x and n_y digits, to limbs."""
    for i in range(n_x):
        digit = x[i]
        if digit != 0:
            for j in range(n_y):
                product = i64(u64(digit) * u64(y[j]))
                limbs[i + j] += sign * (product & LOW)
                limbs[i + j + 1] += sign * shift_logical(product, i64(32))


@njit(**SEPARATE_OPTIONS)
def add_multiple(limbs, x, n, factor, sign):
    """Add sign * factor * x to limbs, for x of n digits and a factor of 32 bits."""
    for k in range(n):
        product = i64(u64(x[k]) * u64(factor))
        limbs[k] += sign * (product & LOW)
        limbs[k + 1] += sign * shift_logical(product, i64(32))


@njit(**SEPARATE_OPTIONS)
def multiply(digits, n, factor):
    """Multiply an integer of n digits by one of 32 bits; return its new number of digits."""
    rest = i64(0)
    for k in range(n):
        total = i64(u64(digits[k]) * u64(factor) + u64(rest))
        digits[k] = total & LOW
        rest = shift_logical(total, i64(32))
    digits[n] = rest
    return n + i64(rest != 0)
