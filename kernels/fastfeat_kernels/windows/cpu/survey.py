# pyright: basic
"""Summary of a column in some rows of an entity, for windows that hold all rows before.

`survey` finds everything that needs no grid, and the range of the values. `add` finds their sums as
limbs, on the grid that the caller chooses for the entity.
"""

from __future__ import annotations

from numba import njit, types

from fastfeat_kernels.blocks import HIGHEST, INFINITE, LOWEST
from fastfeat_kernels.grouped.cpu.splits import power_of_two
from fastfeat_kernels.intrinsics import (
    INNER_OPTIONS,
    SEPARATE_OPTIONS,
    bits_of,
    enter_ieee,
    float_of,
    larger,
    leave_ieee,
    opaque,
    pointer_int32,
    pointer_int64,
    pointer_uint8,
    popcount,
    select,
    shift_logical,
    smaller,
)
from fastfeat_kernels.windows import layout
from fastfeat_kernels.windows.cpu.columns import nothing_of
from fastfeat_kernels.windows.cpu.outputs import column_of
from fastfeat_kernels.windows.cpu.prefixes import LIMB, LOW, MAGIC
from fastfeat_kernels.windows.cpu.vectors import square_limbs

i64 = types.int64
FRACTION = (1 << 52) - 1
LOWEST_PLACE = -1075  # of a bit of a float with biased exponent 0
NO_PLACE = 1 << 20  # above all places


@njit(**INNER_OPTIONS)
def value_at(words, column, place):
    """Return the word of a row, and whether it has a value."""
    row = i64(pointer_int32(words[layout.TABLE_ARRIVALS])[place])
    if column[layout.COLUMN_VALUES] == 0:
        return pointer_int64(words[layout.TABLE_TIMES])[place], i64(1)
    x = pointer_int64(column[layout.COLUMN_VALUES])[row]
    if column[layout.COLUMN_KIND] == layout.FLOAT:
        return x, i64((x & HIGHEST) <= INFINITE)
    if column[layout.COLUMN_PRESENT] != 0:
        return x, i64(pointer_uint8(column[layout.COLUMN_PRESENT])[row])
    return x, i64(1)


@njit(**INNER_OPTIONS)
def lowest_place(size):
    """Return the exponent of the lowest bit of a finite, nonzero float, from its magnitude."""
    exponent = size >> 52
    mantissa = (size & FRACTION) | select(exponent != 0, i64(FRACTION + 1), i64(0))
    return LOWEST_PLACE + larger(exponent, i64(1)) + popcount((mantissa & -mantissa) - 1)


@njit(**SEPARATE_OPTIONS)
def survey_reach(words, column, first, end, known):
    """Write the range of finite floats, and the number of infinite ones."""
    greatest, lowest, positive, negative = i64(0), i64(NO_PLACE), i64(0), i64(0)
    for place in range(first, end):
        x, _ = value_at(words, column, place)
        size = x & HIGHEST
        positive += i64(x == INFINITE)
        negative += i64((size == INFINITE) & (x < 0))
        size = select(size < INFINITE, size, i64(0))
        greatest = larger(greatest, size)
        at = lowest_place(size)
        lowest = select(size != 0, smaller(lowest, at), lowest)
    known[layout.CARRY_GREATEST], known[layout.CARRY_LOWEST] = greatest, lowest
    known[layout.CARRY_POSITIVE], known[layout.CARRY_NEGATIVE] = positive, negative


@njit(**SEPARATE_OPTIONS)
def survey_column(words, column, first, end, known):
    """Write the part of a column's summary that needs no grid."""
    magnitude = select(column[layout.COLUMN_KIND] == layout.FLOAT, i64(HIGHEST), i64(0))
    most, least, count = i64(LOWEST), i64(LOWEST), i64(0)
    for place in range(first, end):
        x, is_there = value_at(words, column, place)
        key = x ^ ((x >> 63) & magnitude)
        most = select(is_there != 0, larger(most, key), most)
        least = select(is_there != 0, larger(least, ~key), least)
        count += is_there
    known[layout.CARRY_COUNT], known[layout.CARRY_MAX_KEY], known[layout.CARRY_MIN_KEY] = (
        count,
        most,
        least,
    )


@njit(**INNER_OPTIONS)
def value_from(words, column, place, end, step):
    """Return the first value from a place on, in steps of 1 or -1 up to an end."""
    while place != end:
        x, is_there = value_at(words, column, place)
        if is_there != 0:
            return x
        place += step
    return nothing_of(column)


@njit(**INNER_OPTIONS)
def limbs_of(x, is_there, is_float, is_unsigned, scale, magic):
    """Return a value on its grid as limbs, 0 if it is missing or infinite."""
    if is_float:
        bits = select((x & HIGHEST) < INFINITE, x, i64(0))
        y = float_of(bits) * scale
        total = y + magic
        rest = (y - (total - magic)) * LIMB
        return bits_of(total) - i64(MAGIC), bits_of(rest + magic) - i64(MAGIC)
    value = select(is_there != 0, x ^ select(is_unsigned, LOWEST, i64(0)), i64(0))
    high = select(
        is_unsigned, shift_logical(value, i64(layout.LIMB_BITS)), value >> layout.LIMB_BITS
    )
    return high, value & LOW


@njit(**SEPARATE_OPTIONS)
def add_column(words, column, first, end, known):
    """Write the sum of values, and of their squares if wanted, as limbs."""
    is_float, is_unsigned = (
        column[layout.COLUMN_KIND] == layout.FLOAT,
        column[layout.COLUMN_KIND] == layout.UNSIGNED,
    )
    scale, magic = power_of_two(-known[layout.CARRY_UNIT] - layout.LIMB_BITS), float_of(i64(MAGIC))
    has_squares, high, low = column[layout.COLUMN_SQUARES] != 0, i64(0), i64(0)
    a, b, c, d = i64(0), i64(0), i64(0), i64(0)
    for place in range(first, end):
        x, is_there = value_at(words, column, place)
        one_high, one_low = limbs_of(x, is_there, is_float, is_unsigned, scale, magic)
        low += one_low
        high += one_high + (low >> layout.LIMB_BITS)
        low &= LOW
        if has_squares:
            one_a, one_b, one_c, one_d = square_limbs(one_high, one_low)
            d += one_d
            c += one_c + (d >> layout.LIMB_BITS)
            b += one_b + (c >> layout.LIMB_BITS)
            a += one_a + (b >> layout.LIMB_BITS)
            b, c, d = b & LOW, c & LOW, d & LOW
    known[layout.CARRY_SUM], known[layout.CARRY_SUM + 1] = high, low
    known[layout.CARRY_SQUARES], known[layout.CARRY_SQUARES + 1] = a, b
    known[layout.CARRY_SQUARES + 2], known[layout.CARRY_SQUARES + 3] = c, d


def survey(table, first, n):
    """Write the summary, without sums, of each column in n rows from a place on."""
    saved = enter_ieee()
    words = pointer_int64(opaque(table))
    for k in range(words[layout.TABLE_N_COLUMNS]):
        column = column_of(words, k)
        known = pointer_int64(words[layout.TABLE_CARRY] + 8 * layout.N_CARRY_WORDS * k)
        survey_column(words, column, first, first + n, known)
        known[layout.CARRY_FIRST] = value_from(words, column, first, first + n, i64(1))
        known[layout.CARRY_LAST] = value_from(words, column, first + n - 1, first - 1, i64(-1))
        if column[layout.COLUMN_KIND] == layout.FLOAT and column[layout.COLUMN_SUMS] != 0:
            survey_reach(words, column, first, first + n, known)
    leave_ieee(saved)
    return 0


def add(table, first, n):
    """Write sums of each column that has a grid, in n rows from a place on."""
    saved = enter_ieee()
    words = pointer_int64(opaque(table))
    for k in range(words[layout.TABLE_N_COLUMNS]):
        known = pointer_int64(words[layout.TABLE_CARRY] + 8 * layout.N_CARRY_WORDS * k)
        if known[layout.CARRY_GRID] != layout.NO_GRID:
            add_column(words, column_of(words, k), first, first + n, known)
    leave_ieee(saved)
    return 0
