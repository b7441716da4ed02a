# pyright: basic
"""Columns of words from a block of values: a one per row, and limbs of the value and its square.

Column k of a block begins `k * COLUMN_BYTES` after the first. A float is scaled so that the window
ends at 1, then split by adding and subtracting magic numbers. A nonzero remainder after the last
limb means that the window does not hold the value.
"""

from __future__ import annotations

from numba import njit, types

from fastfeat_kernels.blocks import HIGHEST, LOWEST
from fastfeat_kernels.grouped.layout import LIMB_BITS
from fastfeat_kernels.intrinsics import (
    INNER_OPTIONS,
    bits_of,
    float_of,
    fma,
    pointer_float64,
    pointer_int64,
    select,
    shift_logical,
)

i64 = types.int64
ROWS = 256  # of a block: its columns and lines take 32 kB
COLUMN_BYTES = 8 * ROWS
LOW = (1 << LIMB_BITS) - 1
ONE = 1023 << 52
# Bits of 1.5 * 2**(52 - 40 k): adding it rounds to a multiple of 2**(-40 k).
MAGIC0, MAGIC1, MAGIC2, MAGIC3 = (
    ((1023 + 52 - LIMB_BITS * k) << 52) | (1 << 51) for k in range(1, 5)
)


@njit(**INNER_OPTIONS)
def power_of_two(exponent):
    """Return 2**exponent, which must be a normal float."""
    return float_of((exponent + 1023) << 52)


@njit(**INNER_OPTIONS)
def scales(exponent):
    """Return two factors with product 2**-exponent, which need not be a float itself."""
    half = -exponent >> 1
    return power_of_two(half), power_of_two(-exponent - half)


@njit(**INNER_OPTIONS)
def out_of_window(x, y, headroom):
    """Return nonzero bits if x is too large, or if its scaled value y is 0 although x is not."""
    size = bits_of(y) & HIGHEST
    nothing = (size == 0) & ((bits_of(x) & HIGHEST) != 0)
    return i64(nothing) | i64(size >= ONE - (headroom << 52))


@njit(**INNER_OPTIONS)
def split(value, magic_bits):
    """Return the number of units of a magic number in a value, and the remainder."""
    magic = float_of(magic_bits)
    total = value + magic
    return bits_of(total) - magic_bits, value - (total - magic)


@njit(**INNER_OPTIONS)
def split_value(y):
    """Return three limbs of |y| < 1, and the bits of the remainder."""
    a, rest = split(y, i64(MAGIC0))
    b, rest = split(rest, i64(MAGIC1))
    c, rest = split(rest, i64(MAGIC2))
    return a, b, c, bits_of(rest) << 1


@njit(**INNER_OPTIONS)
def split_square(y):
    """Return four limbs of y * y, |y| < 1, and the bits of the remainder."""
    p = y * y
    q = fma(y, y, -p)
    a, p = split(p, i64(MAGIC0))
    b, p = split(p, i64(MAGIC1))
    c, p = split(p, i64(MAGIC2))
    d, p = split(p, i64(MAGIC3))
    b1, q = split(q, i64(MAGIC1))
    c1, q = split(q, i64(MAGIC2))
    d1, q = split(q, i64(MAGIC3))
    return a, b + b1, c + c1, d + d1, (bits_of(p) << 1) | (bits_of(q) << 1)


@njit(**INNER_OPTIONS)
def split_floats(source, n, exponent, headroom, columns):
    """Write the columns of a line of 4 words; return 0 if the window holds all values."""
    x, left = pointer_float64(source), i64(0)
    scale0, scale1 = scales(exponent)
    counts, s0 = pointer_int64(columns), pointer_int64(columns + COLUMN_BYTES)
    s1 = pointer_int64(columns + 2 * COLUMN_BYTES)
    s2 = pointer_int64(columns + 3 * COLUMN_BYTES)
    for i in range(n):
        y = x[i] * scale0 * scale1
        a, b, c, rest = split_value(y)
        counts[i], s0[i], s1[i], s2[i] = i64(1), a, b, c
        left |= rest | out_of_window(x[i], y, headroom)
    return left


@njit(**INNER_OPTIONS)
def split_floats_and_squares(source, n, exponent, headroom, columns):
    """Write the columns of a line of 8 words; return 0 if the window holds values and squares."""
    x, left = pointer_float64(source), i64(0)
    scale0, scale1 = scales(exponent)
    counts, s0 = pointer_int64(columns), pointer_int64(columns + COLUMN_BYTES)
    s1 = pointer_int64(columns + 2 * COLUMN_BYTES)
    s2 = pointer_int64(columns + 3 * COLUMN_BYTES)
    q0 = pointer_int64(columns + 4 * COLUMN_BYTES)
    q1 = pointer_int64(columns + 5 * COLUMN_BYTES)
    q2 = pointer_int64(columns + 6 * COLUMN_BYTES)
    q3 = pointer_int64(columns + 7 * COLUMN_BYTES)
    for i in range(n):
        y = x[i] * scale0 * scale1
        a, b, c, rest = split_value(y)
        counts[i], s0[i], s1[i], s2[i] = i64(1), a, b, c
        left |= rest | out_of_window(x[i], y, headroom)
        a, b, c, d, rest = split_square(y)
        q0[i], q1[i], q2[i], q3[i] = a, b, c, d
        left |= rest
    return left


@njit(**INNER_OPTIONS)
def fits(x, exponent, headroom, squares):
    """Return whether the window holds a value, and its square."""
    scale0, scale1 = scales(exponent)
    y = x * scale0 * scale1
    _, _, _, rest = split_value(y)
    left = rest | out_of_window(x, y, headroom)
    if squares:
        _, _, _, _, rest = split_square(y)
        left |= rest
    return left == 0


@njit(**INNER_OPTIONS)
def split_integers(source, n, is_unsigned, columns):
    """Write the columns of a line of 4 words; unsigned integers are reduced by 2**63."""
    x = pointer_int64(source)
    counts, s0 = pointer_int64(columns), pointer_int64(columns + COLUMN_BYTES)
    s1 = pointer_int64(columns + 2 * COLUMN_BYTES)
    s2 = pointer_int64(columns + 3 * COLUMN_BYTES)
    flip = select(is_unsigned, LOWEST, i64(0))
    for i in range(n):
        value = x[i] ^ flip
        high = select(is_unsigned, shift_logical(value, i64(LIMB_BITS)), value >> LIMB_BITS)
        counts[i], s0[i], s1[i], s2[i] = i64(1), i64(0), high, value & LOW


@njit(**INNER_OPTIONS)
def split_integer_squares(source, n, is_unsigned, columns):
    """Write the columns of the limbs of 128-bit squares, from three 64-bit products."""
    x = pointer_int64(source)
    q0 = pointer_int64(columns + 4 * COLUMN_BYTES)
    q1 = pointer_int64(columns + 5 * COLUMN_BYTES)
    q2 = pointer_int64(columns + 6 * COLUMN_BYTES)
    q3 = pointer_int64(columns + 7 * COLUMN_BYTES)
    flip = select(is_unsigned, LOWEST, i64(0))
    for i in range(n):
        value = x[i] ^ flip
        negative = select(is_unsigned, i64(0), value >> 63)
        size = (value ^ negative) - negative
        low, high = size & 0xFFFFFFFF, shift_logical(size, i64(32))
        a, b, c = low * low, low * high, high * high  # at bits 0, 33 and 64
        q3[i] = (a & LOW) + ((b & 0x7F) << 33)
        rest = shift_logical(b, i64(7))
        q2[i] = shift_logical(a, i64(LIMB_BITS)) + (rest & LOW) + ((c & 0xFFFF) << 24)
        rest = shift_logical(rest, i64(LIMB_BITS))
        c = shift_logical(c, i64(16))
        q1[i] = rest + (c & LOW)
        q0[i] = shift_logical(c, i64(LIMB_BITS))
