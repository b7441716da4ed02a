# pyright: basic
"""Prefix sums of a column in a batch: at each place the exact sum of earlier values, on a grid.

A column is narrow if its values, and squares if wanted, are so few units of a grid that each sum
and each product stays an exact integer in float64, for example counts, flags and whole amounts. Its
sums are such floats. Other columns have integer sums of two limbs, and of four for squares.
"""

from __future__ import annotations

from numba import njit, types

from fastfeat_kernels.blocks import HIGHEST, INFINITE, LOWEST
from fastfeat_kernels.grouped.cpu.splits import power_of_two
from fastfeat_kernels.intrinsics import (
    INNER_OPTIONS,
    SEPARATE_OPTIONS,
    bits_of,
    float_of,
    less_unsigned,
    pointer_float64,
    pointer_int32,
    pointer_int64,
    select,
    shift_logical,
    smaller,
)
from fastfeat_kernels.windows import layout
from fastfeat_kernels.windows.cpu.vectors import add_wrapping, square_limbs

i64 = types.int64
LOW = (1 << layout.LIMB_BITS) - 1
LIMB = 2.0**layout.LIMB_BITS
MAGIC = (1023 + 52) << 52 | 1 << 51  # bits of 1.5 * 2**52: adding it rounds to an integer
PIECE = 256  # values to check before giving up


@njit(**INNER_OPTIONS)
def add_limbs(sums, i, high, low):
    """Write the carried sum of the values up to place i, from the sum before it."""
    total = sums[2 * i + 1] + low
    sums[2 * i + 2] = sums[2 * i] + high + (total >> layout.LIMB_BITS)
    sums[2 * i + 3] = total & LOW


@njit(**INNER_OPTIONS)
def add_square_limbs(squares, i, high, low):
    """Write the carried sum of the squares up to place i, from the sum before it."""
    a, b, c, d = square_limbs(high, low)
    d += squares[4 * i + 3]
    c += squares[4 * i + 2] + (d >> layout.LIMB_BITS)
    b += squares[4 * i + 1] + (c >> layout.LIMB_BITS)
    squares[4 * i + 4] = squares[4 * i] + a + (b >> layout.LIMB_BITS)
    squares[4 * i + 5], squares[4 * i + 6], squares[4 * i + 7] = b & LOW, c & LOW, d & LOW


@njit(**INNER_OPTIONS)
def begin_limbs(sums, squares, has_squares, carry):
    """Write the limbs before the first place, and the sums it carries; return the next place."""
    sums[0], sums[1] = i64(0), i64(0)
    if has_squares:
        for k in range(4):
            squares[k] = i64(0)
    if carry == 0:
        return i64(0)
    known = pointer_int64(carry)
    sums[2], sums[3] = known[layout.CARRY_SUM], known[layout.CARRY_SUM + 1]
    if has_squares:
        for k in range(4):
            squares[4 + k] = known[layout.CARRY_SQUARES + k]
    return i64(1)


@njit(**SEPARATE_OPTIONS)
def add_floats(words, column, n, unit, carry):
    """Write sums, and sums of squares, of floats; return 0 if all are whole units."""
    scratch, left = words[layout.TABLE_SCRATCH], i64(0)
    x = pointer_int64(scratch + column[layout.COLUMN_WORDS])
    sums = pointer_int64(scratch + column[layout.COLUMN_SUMS])
    squares = pointer_int64(scratch + column[layout.COLUMN_SQUARES])
    has_squares = column[layout.COLUMN_SQUARES] != 0
    scale, magic = power_of_two(-unit - layout.LIMB_BITS), float_of(i64(MAGIC))
    for i in range(begin_limbs(sums, squares, has_squares, carry), n):
        bits = select((x[i] & HIGHEST) < INFINITE, x[i], i64(0))
        y = float_of(bits) * scale
        left |= i64((y == 0.0) & ((bits & HIGHEST) != 0))
        total = y + magic
        high, rest = bits_of(total) - i64(MAGIC), (y - (total - magic)) * LIMB
        total = rest + magic
        low = bits_of(total) - i64(MAGIC)
        left |= bits_of(rest - (total - magic)) << 1
        add_limbs(sums, i, high, low)
        if has_squares:
            add_square_limbs(squares, i, high, low)
    return left


@njit(**SEPARATE_OPTIONS)
def add_integers(words, column, n, carry):
    """Write sums, and sums of squares, of integers."""
    scratch, is_unsigned = (
        words[layout.TABLE_SCRATCH],
        column[layout.COLUMN_KIND] == layout.UNSIGNED,
    )
    x = pointer_int64(scratch + column[layout.COLUMN_WORDS])
    sums = pointer_int64(scratch + column[layout.COLUMN_SUMS])
    squares = pointer_int64(scratch + column[layout.COLUMN_SQUARES])
    has_squares, flip = column[layout.COLUMN_SQUARES] != 0, select(is_unsigned, LOWEST, i64(0))
    counts = pointer_int32(scratch + column[layout.COLUMN_COUNTS])
    for i in range(begin_limbs(sums, squares, has_squares, carry), n):
        value = x[i] ^ flip
        if column[layout.COLUMN_PRESENT] != 0:
            value = select(counts[i + 1] != counts[i], value, i64(0))
        high = select(
            is_unsigned, shift_logical(value, i64(layout.LIMB_BITS)), value >> layout.LIMB_BITS
        )
        add_limbs(sums, i, high, value & LOW)
        if has_squares:
            add_square_limbs(squares, i, high, value & LOW)


@njit(**INNER_OPTIONS)
def bits_of_count(n):
    """Return the number of bits of a row count."""
    n_bits = i64(0)
    while n >> n_bits != 0:
        n_bits += 1
    return n_bits


@njit(**SEPARATE_OPTIONS)
def floats_in_units(x, n, scale, magic, units):
    """Write scaled floats, 0 for missing or infinite ones; return 0 if all are whole."""
    left = i64(0)
    for i in range(n):
        bits = select((x[i] & HIGHEST) < INFINITE, x[i], i64(0))
        y = float_of(bits) * scale
        left |= i64((y == 0.0) & ((bits & HIGHEST) != 0))
        left |= bits_of(y - ((y + magic) - magic)) << 1
        units[i] = y
    return left


@njit(**SEPARATE_OPTIONS)
def integers_in_units(x, n, flip, lowest, n_values, units):
    """Write integers as floats; return 0 if all are in [lowest, lowest + n_values)."""
    left = i64(0)
    for i in range(n):
        value = x[i] ^ flip
        left |= i64(not less_unsigned(add_wrapping(value, -lowest), n_values))
        units[i] = types.float64(value)
    return left


@njit(**SEPARATE_OPTIONS)
def present_integers_in_units(x, n, flip, lowest, n_values, counts, units):
    """Write integers as floats, 0 for missing ones; return 0 if all are in the range."""
    left = i64(0)
    for i in range(n):
        value = select(counts[i + 1] != counts[i], x[i] ^ flip, i64(0))
        left |= i64(not less_unsigned(add_wrapping(value, -lowest), n_values))
        units[i] = types.float64(value)
    return left


@njit(**SEPARATE_OPTIONS)
def add_units(units, first, n, carried, sums):
    """Write sums of whole units; up to place `first` they are the carried sum."""
    total = carried
    sums[0] = 0.0
    sums[first] = total
    for i in range(first, n):
        total += units[i]
        sums[i + 1] = total


@njit(**SEPARATE_OPTIONS)
def add_squared_units(units, first, n, carried, squares):
    """Write sums of squares of whole units; up to place `first` they are the carried sum."""
    total = carried
    squares[0] = 0.0
    squares[first] = total
    for i in range(first, n):
        total += units[i] * units[i]
        squares[i + 1] = total


@njit(**INNER_OPTIONS)
def units_of(words, column, n):
    """Return the address of a narrow column's values in whole units, stored behind its sums."""
    return words[layout.TABLE_SCRATCH] + column[layout.COLUMN_SUMS] + 8 * (n + 1)


@njit(**SEPARATE_OPTIONS)
def are_in_units(words, column, n, unit, n_bits):
    """Write values as whole units; return whether all are whole and have at most `n_bits` bits."""
    scratch, is_float = words[layout.TABLE_SCRATCH], column[layout.COLUMN_KIND] == layout.FLOAT
    is_missing = pointer_int64(scratch + column[layout.COLUMN_STATE])[layout.STATE_MISSING] != 0
    x_at, units_at = scratch + column[layout.COLUMN_WORDS], units_of(words, column, n)
    left, start, lowest, flip = i64(0), i64(0), -(i64(1) << n_bits), i64(0)
    if column[layout.COLUMN_KIND] == layout.UNSIGNED:
        lowest, flip = i64(0), LOWEST
    n_values = (i64(1) << n_bits) - lowest
    scale, magic = power_of_two(-unit), float_of(i64(MAGIC))
    while start < n and left == 0:
        m = smaller(n - start, i64(PIECE))
        x, units = pointer_int64(x_at + 8 * start), pointer_float64(units_at + 8 * start)
        if is_float:
            left = floats_in_units(x, m, scale, magic, units)
        elif is_missing:
            counts = pointer_int32(scratch + column[layout.COLUMN_COUNTS] + 4 * start)
            left = present_integers_in_units(x, m, flip, lowest, n_values, counts, units)
        else:
            left = integers_in_units(x, m, flip, lowest, n_values, units)
        start += m
    return left == 0


@njit(**SEPARATE_OPTIONS)
def add_all_units(words, column, n, carry):
    """Write sums, and sums of squares, of values in whole units."""
    scratch, units = words[layout.TABLE_SCRATCH], pointer_float64(units_of(words, column, n))
    first, total, total_square = i64(0), 0.0, 0.0
    if carry != 0:
        known, first = pointer_int64(carry), i64(1)
        total, total_square = (
            float_of(known[layout.CARRY_SUM]),
            float_of(known[layout.CARRY_SQUARES]),
        )
    add_units(units, first, n, total, pointer_float64(scratch + column[layout.COLUMN_SUMS]))
    if column[layout.COLUMN_SQUARES] != 0:
        squares = pointer_float64(scratch + column[layout.COLUMN_SQUARES])
        add_squared_units(units, first, n, total_square, squares)


@njit(**SEPARATE_OPTIONS)
def add_narrow(words, column, n, greatest):
    """Write sums as float64 if that is exact; return whether it is."""
    state = pointer_int64(words[layout.TABLE_SCRATCH] + column[layout.COLUMN_STATE])
    n_bits = layout.FLOAT_BITS - bits_of_count(n)
    if column[layout.COLUMN_SQUARES] != 0:
        n_bits = (layout.FLOAT_BITS - 2 * bits_of_count(n)) >> 1
    n_bits, unit = smaller(n_bits, i64(layout.MAX_NARROW_BITS)), i64(0)
    if n_bits <= 0:
        return False
    if column[layout.COLUMN_KIND] == layout.FLOAT and greatest != 0:
        unit = (greatest >> 52) - layout.BIAS - n_bits
    if not are_in_units(words, column, n, unit, n_bits):
        return False
    state[layout.STATE_NARROW], state[layout.STATE_UNIT] = i64(1), unit
    add_all_units(words, column, n, i64(0))
    return True


@njit(**SEPARATE_OPTIONS)
def add_limbs_of(words, column, n, unit, carry):
    """Write sums as limbs; return 0 if the values fit into them."""
    if column[layout.COLUMN_KIND] == layout.FLOAT:
        return add_floats(words, column, n, unit, carry)
    add_integers(words, column, n, carry)
    return i64(0)


@njit(**SEPARATE_OPTIONS)
def add_to_carry(words, column, n, carry):
    """Write the carried sum plus those of later values, on the grid of the entity."""
    state, known = (
        pointer_int64(words[layout.TABLE_SCRATCH] + column[layout.COLUMN_STATE]),
        pointer_int64(carry),
    )
    state[layout.STATE_UNIT] = known[layout.CARRY_UNIT]
    if known[layout.CARRY_GRID] == layout.NARROW_GRID:
        state[layout.STATE_NARROW] = 1
        are_in_units(words, column, n, known[layout.CARRY_UNIT], i64(layout.MAX_NARROW_BITS))
        add_all_units(words, column, n, carry)
    else:
        add_limbs_of(words, column, n, known[layout.CARRY_UNIT], carry)


@njit(**SEPARATE_OPTIONS)
def add_up(words, column, n, greatest):
    """Write sums of the values before each place; mark the column as wide if no grid fits.

    `greatest` has the bits of the greatest magnitude of floats.
    """
    state = pointer_int64(words[layout.TABLE_SCRATCH] + column[layout.COLUMN_STATE])
    exponent, carry, unit = greatest >> 52, state[layout.STATE_CARRY], i64(0)
    state[layout.STATE_NARROW], state[layout.STATE_UNIT] = i64(0), i64(0)
    if carry != 0 and pointer_int64(carry)[layout.CARRY_GRID] != layout.NO_GRID:
        add_to_carry(words, column, n, carry)
    elif greatest != 0 and (exponent < layout.MIN_EXPONENT or exponent > layout.MAX_EXPONENT):
        state[layout.STATE_WIDE] = 1
    elif not add_narrow(words, column, n, greatest):
        if greatest != 0:
            high_bits = smaller(i64(layout.LIMB_BITS), 62 - bits_of_count(n))
            unit = exponent - layout.BIAS - layout.LIMB_BITS - high_bits
        state[layout.STATE_UNIT] = unit
        state[layout.STATE_WIDE] = i64(add_limbs_of(words, column, n, unit, i64(0)) != 0)
