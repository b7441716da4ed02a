# pyright: basic
"""Shapes from sums of powers: integers of many digits, each rounded once where the spec says so."""

from __future__ import annotations

from numba import njit, types

from fastfeat_kernels.blocks import NAN_BITS
from fastfeat_kernels.digits import (
    add_multiple,
    add_product,
    carry,
    clear,
    divided,
    multiply,
    n_digits_of,
    top_of_digits,
)
from fastfeat_kernels.grouped.cpu.exact_integers import square_root
from fastfeat_kernels.intrinsics import SEPARATE_OPTIONS, bits_of, pointer_int64, smaller
from fastfeat_kernels.powers import (
    DIGITS,
    FIRST_DIGITS,
    IS_BIASED,
    IS_EXCESS,
    N_DIGITS,
    OTHER_DIGITS,
    SKEW,
    SPREAD_DIGITS,
    SQUARE_DIGITS,
    THIRD_DIGITS,
    TOTAL,
)
from fastfeat_kernels.powers.cpu.adding import FIRST, FOURTH, SECOND, THIRD, limbs_reached

i64 = types.int64


@njit(**SEPARATE_OPTIONS)
def carried(memory_at, n, digits_at):
    """Write the total as digits, and clear it; return the number of digits, and the sign."""
    total, digits = pointer_int64(memory_at + 8 * TOTAL), pointer_int64(memory_at + 8 * digits_at)
    sign = carry(total, i64(0), n, digits)
    clear(total, n)
    return n_digits_of(digits, n), sign


@njit(**SEPARATE_OPTIONS)
def read_spread(sums_at, memory_at, count, first, n):
    """Write S1 and A; return their numbers of digits, and the sign of S1."""
    total, first_digits = (
        pointer_int64(memory_at + 8 * TOTAL),
        pointer_int64(memory_at + 8 * FIRST_DIGITS),
    )
    digits = pointer_int64(memory_at + 8 * DIGITS)
    first_sign = carry(pointer_int64(sums_at + FIRST), first, n, first_digits)
    n_first = n_digits_of(first_digits, n)
    carry(pointer_int64(sums_at + SECOND), 2 * first, 2 * n, digits)
    add_multiple(total, digits, n_digits_of(digits, 2 * n), count, i64(1))
    add_product(total, first_digits, n_first, first_digits, n_first, i64(-1))
    n_spread, _ = carried(memory_at, 2 * n, i64(SPREAD_DIGITS))
    return n_first, first_sign, n_spread


@njit(**SEPARATE_OPTIONS)
def read_third(sums_at, memory_at, count, first, n, n_first, first_sign, n_spread):
    """Write B = n (n S3 - S1 S2) - 2 S1 A; return its number of digits, and its sign.

    The digits of S2 are in memory.
    """
    total, digits = pointer_int64(memory_at + 8 * TOTAL), pointer_int64(memory_at + 8 * DIGITS)
    other, first_digits = (
        pointer_int64(memory_at + 8 * OTHER_DIGITS),
        pointer_int64(memory_at + 8 * FIRST_DIGITS),
    )
    spread = pointer_int64(memory_at + 8 * SPREAD_DIGITS)
    n_second = n_digits_of(digits, 2 * n)
    add_product(total, first_digits, n_first, digits, n_second, -first_sign)
    sign = carry(pointer_int64(sums_at + THIRD), 3 * first, 3 * n, other)
    add_multiple(total, other, n_digits_of(other, 3 * n), count, sign)
    n_other, sign = carried(memory_at, 3 * n, i64(OTHER_DIGITS))
    add_multiple(total, other, n_other, count, sign)
    add_product(total, first_digits, n_first, spread, n_spread, -first_sign)
    add_product(total, first_digits, n_first, spread, n_spread, -first_sign)
    return carried(memory_at, 3 * n + 1, i64(THIRD_DIGITS))


@njit(**SEPARATE_OPTIONS)
def read_fourth(
    sums_at, memory_at, count, first, n, n_first, first_sign, n_spread, n_third, third_sign
):
    """Write C = n**2 (n S4 - S1 S3) - 3 S1 (B + S1 A); return its number of digits."""
    total, digits = pointer_int64(memory_at + 8 * TOTAL), pointer_int64(memory_at + 8 * DIGITS)
    other, first_digits = (
        pointer_int64(memory_at + 8 * OTHER_DIGITS),
        pointer_int64(memory_at + 8 * FIRST_DIGITS),
    )
    spread, third = (
        pointer_int64(memory_at + 8 * SPREAD_DIGITS),
        pointer_int64(memory_at + 8 * THIRD_DIGITS),
    )
    sign = carry(pointer_int64(sums_at + THIRD), 3 * first, 3 * n, other)
    n_other = n_digits_of(other, 3 * n)
    add_product(total, first_digits, n_first, other, n_other, -first_sign * sign)
    carry(pointer_int64(sums_at + FOURTH), 4 * first, 4 * n, digits)
    add_multiple(total, digits, n_digits_of(digits, 4 * n), count, i64(1))
    n_digits, sign = carried(memory_at, 4 * n, i64(DIGITS))
    n_digits = multiply(digits, n_digits, count)
    add_product(total, first_digits, n_first, spread, n_spread, first_sign)
    add_multiple(total, third, n_third, i64(1), third_sign)
    n_other, other_sign = carried(memory_at, 3 * n + 2, i64(OTHER_DIGITS))
    n_other = multiply(other, n_other, i64(3))
    add_multiple(total, digits, n_digits, count, sign)
    add_product(total, first_digits, n_first, other, n_other, -first_sign * other_sign)
    n_digits, _ = carried(memory_at, 4 * n + 4, i64(DIGITS))
    return n_digits


@njit(**SEPARATE_OPTIONS)
def skew_of(memory_at, count, options, n_spread, n_third, third_sign):
    """Return the skewness from A and B."""
    spread, third = (
        pointer_int64(memory_at + 8 * SPREAD_DIGITS),
        pointer_int64(memory_at + 8 * THIRD_DIGITS),
    )
    bottom, place = top_of_digits(spread, n_spread)
    top, top_place = top_of_digits(third, n_third)
    odd = place & 1
    square = types.float64(bottom) * types.float64(1 + odd)
    divisor, x = square * square_root(square), types.float64(third_sign * top)
    if options & IS_BIASED == 0:
        x *= square_root(types.float64(count * (count - 1)))
        divisor *= types.float64(count - 2)
    return divided(x, divisor, top_place - 3 * ((place - odd) >> 1))


@njit(**SEPARATE_OPTIONS)
def kurtosis_of(memory_at, count, options, n_spread, n_fourth):
    """Return the kurtosis from A and C; it overwrites the digits of C."""
    spread, fourth = (
        pointer_int64(memory_at + 8 * SPREAD_DIGITS),
        pointer_int64(memory_at + 8 * DIGITS),
    )
    square, total = (
        pointer_int64(memory_at + 8 * SQUARE_DIGITS),
        pointer_int64(memory_at + 8 * TOTAL),
    )
    add_product(total, spread, n_spread, spread, n_spread, i64(1))
    n_square, _ = carried(memory_at, 2 * n_spread + 1, i64(SQUARE_DIGITS))
    bottom, place = top_of_digits(square, n_square)
    divisor = types.float64(bottom)
    if options & IS_BIASED == 0:
        divisor *= types.float64((count - 2) * (count - 3))
        n_fourth = multiply(fourth, multiply(fourth, n_fourth, count - 1), count + 1)
        if options & IS_EXCESS != 0:
            n_square = multiply(square, multiply(square, n_square, count - 1), count - 1)
        else:
            n_square = multiply(square, n_square, 3 * count - 5)
    add_multiple(total, fourth, n_fourth, i64(1), i64(1))
    if (options & IS_BIASED == 0) | (options & IS_EXCESS != 0):
        add_multiple(total, square, n_square, i64(3), i64(-1))
    n = n_fourth + 2
    if n_square + 2 > n:
        n = n_square + 2
    n_top, sign = carried(memory_at, n, i64(DIGITS))
    top, top_place = top_of_digits(fourth, n_top)
    return divided(types.float64(sign * top), divisor, top_place - place)


@njit(**SEPARATE_OPTIONS)
def read_shape(sums_at, memory_at, shape, options, count, lowest, top):
    """Return the bits of a shape, NaN if it is missing."""
    least = i64(2)
    if options & IS_BIASED == 0:
        least = i64(3) if shape == SKEW else i64(4)
    if count < least:
        return i64(NAN_BITS)
    first, n = limbs_reached(lowest, top)
    clear(pointer_int64(memory_at + 8 * TOTAL), smaller(4 * n + 8, i64(N_DIGITS)))
    n_first, first_sign, n_spread = read_spread(sums_at, memory_at, count, first, n)
    if n_spread == 1 and pointer_int64(memory_at + 8 * SPREAD_DIGITS)[0] == 0:
        return i64(NAN_BITS)
    n_third, third_sign = read_third(
        sums_at, memory_at, count, first, n, n_first, first_sign, n_spread
    )
    if shape == SKEW:
        return bits_of(skew_of(memory_at, count, options, n_spread, n_third, third_sign))
    n_fourth = read_fourth(
        sums_at,
        memory_at,
        count,
        first,
        n,
        n_first,
        first_sign,
        n_spread,
        n_third,
        third_sign,
    )
    return bits_of(kurtosis_of(memory_at, count, options, n_spread, n_fourth))
