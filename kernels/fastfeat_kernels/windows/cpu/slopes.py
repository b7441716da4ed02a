# pyright: basic
"""Slopes of values against time: exact sums of x, t, t * t and t * x, with additions and removals.

Times count from the first row of the entity. Limbs of 32 bits are stored in 64, lowest first, in
units of 2**-1074 for float values. They are carried when a window is read, and only as far as the
entity's values reach. So the cost of a window does not depend on its length.
"""

from __future__ import annotations

from numba import njit, types

from fastfeat_kernels.blocks import HIGHEST, INFINITE, NAN_BITS
from fastfeat_kernels.digits import LOW, UNIT, carry, divided, parts_of, top_of_digits
from fastfeat_kernels.intrinsics import (
    INNER_OPTIONS,
    SEPARATE_OPTIONS,
    bits_of,
    larger,
    pointer_int32,
    pointer_int64,
    select,
    shift_logical,
    smaller,
)
from fastfeat_kernels.windows import layout
from fastfeat_kernels.windows.cpu.averages import is_value
from fastfeat_kernels.windows.cpu.vectors import multiply_wrapping, subtract_wrapping

i64 = types.int64
ENTITY, ADDED, REMOVED, N_INFINITE = 0, 1, 2, 3  # words of the state


@njit(**INNER_OPTIONS)
def add_digit(limbs, at, shift, digit, sign):
    """Add sign * digit * 2**shift to a limb and the one above it, for a digit of 32 bits."""
    limbs[at] += sign * ((digit << shift) & LOW)
    limbs[at + 1] += sign * (digit >> (32 - shift))


@njit(**INNER_OPTIONS)
def add_product(limbs, at, shift, x, y, sign):
    """Add sign * x * y * 2**shift, for unsigned 64-bit x and y."""
    for i in range(2):
        one = select(i == 0, y & LOW, shift_logical(y, i64(32)))
        if one != 0:  # times are often near each other
            for j in range(2):
                other = select(j == 0, x & LOW, shift_logical(x, i64(32)))
                product = multiply_wrapping(one, other)
                add_digit(limbs, at + i + j, shift, product & LOW, sign)
                high = shift_logical(product, i64(32))
                add_digit(limbs, at + i + j + 1, shift, high, sign)


@njit(**SEPARATE_OPTIONS)
def change_sums(memory_at, kind, word, time, sign):
    """Add a value at a time to the sums, or remove it; return 1 for an infinite one instead."""
    if (kind == layout.FLOAT) & ((word & HIGHEST) == INFINITE):
        return i64(1)
    sums, products = (
        pointer_int64(memory_at + 8 * layout.SUM_OF_X),
        pointer_int64(memory_at + 8 * layout.SUM_OF_TX),
    )
    times, squares = (
        pointer_int64(memory_at + 8 * layout.SUM_OF_T),
        pointer_int64(memory_at + 8 * layout.SUM_OF_TT),
    )
    magnitude, place, own_sign = parts_of(kind, word)
    at, shift = place >> 5, place & 31
    add_digit(sums, at, shift, magnitude & LOW, sign * own_sign)
    add_digit(sums, at + 1, shift, shift_logical(magnitude, i64(32)), sign * own_sign)
    add_product(products, at, shift, magnitude, time, sign * own_sign)
    times[0] += sign * (time & LOW)
    times[1] += sign * shift_logical(time, i64(32))
    add_product(squares, i64(0), i64(0), time, time, sign)
    return i64(0)


@njit(**SEPARATE_OPTIONS)
def begin_entity(memory_at, kind, words_at, start, stop):
    """Reset the sums, and find the lowest and highest bit of the entity's values."""
    memory, x = pointer_int64(memory_at), pointer_int64(words_at)
    for k in range(layout.BOUNDS):
        memory[k] = i64(0)
    lowest, highest = i64(0), i64(0)
    if kind == layout.FLOAT:
        lowest = i64(2046)
        for at in range(start, stop):
            size = x[at] & HIGHEST
            is_number = (size != 0) & (size < INFINITE)
            place = larger(size >> 52, i64(1)) - 1
            lowest = select(is_number, smaller(lowest, place), lowest)
            highest = select(is_number, larger(highest, place), highest)
    memory[layout.BOUNDS], memory[layout.BOUNDS + 1] = smaller(lowest, highest), highest


@njit(**INNER_OPTIONS)
def take_product(total, at, x, y, sign):
    """Subtract sign * x * y, both of 32 bits, from limbs."""
    product = multiply_wrapping(x, y)
    total[at] -= sign * (product & LOW)
    total[at + 1] -= sign * shift_logical(product, i64(32))


@njit(**INNER_OPTIONS)
def multiply_digits(digits, n, factor):
    """Multiply an integer of n digits, the last of them 0, by a factor below 2**31."""
    if factor == 1:
        return
    rest = i64(0)
    for k in range(n):
        total = digits[k] * factor + rest
        digits[k] = total & LOW
        rest = total >> 32


@njit(**SEPARATE_OPTIONS)
def read_slope(memory_at, kind, count, factor, divisor):
    """Return the bits of the slope, factor / divisor times a quotient of exact sums.

    The quotient is (n * sum(t x) - sum(t) * sum(x)) / (n * sum(t t) - sum(t)**2). Numerator and
    denominator, with factor and divisor, are rounded once each, and their quotient once.
    """
    times, squares = (
        pointer_int64(memory_at + 8 * layout.SUM_OF_T),
        pointer_int64(memory_at + 8 * layout.SUM_OF_TT),
    )
    t_digits, x_digits = (
        pointer_int64(memory_at + 8 * layout.DIGITS_OF_TIME),
        pointer_int64(memory_at + 8 * layout.DIGITS_OF_X),
    )
    other_digits, total = (
        pointer_int64(memory_at + 8 * layout.DIGITS_OF_TX),
        pointer_int64(memory_at + 8 * layout.TOTAL),
    )
    carry(times, i64(0), i64(layout.N_TIME_LIMBS), t_digits)
    carry(squares, i64(0), i64(layout.N_TIME_SQUARE_LIMBS), other_digits)
    n_times = i64(layout.N_TIME_LIMBS)
    while n_times > 1 and t_digits[n_times - 1] == 0:
        n_times -= 1
    n_wide = i64(2 * layout.N_TIME_LIMBS + 2)
    for k in range(n_wide):
        total[k] = i64(0)
    for k in range(layout.N_TIME_SQUARE_LIMBS):
        take_product(total, k, other_digits[k], count, i64(-1))
    for k in range(n_times):
        for i in range(n_times):
            take_product(total, i + k, t_digits[i], t_digits[k], i64(1))
    carry(total, i64(0), n_wide, other_digits)
    multiply_digits(other_digits, n_wide, divisor)
    bottom, bottom_place = top_of_digits(other_digits, n_wide)
    if bottom == 0:
        return i64(NAN_BITS)
    bounds = pointer_int64(memory_at + 8 * layout.BOUNDS)
    first = bounds[0] >> 5
    n = (bounds[1] >> 5) + 8 - first
    x_sign = carry(pointer_int64(memory_at + 8 * layout.SUM_OF_X), first, n, x_digits)
    sign = carry(pointer_int64(memory_at + 8 * layout.SUM_OF_TX), first, n, other_digits)
    n_wide = n + layout.N_TIME_LIMBS + 2
    for k in range(n_wide):
        total[k] = i64(0)
    for k in range(n):
        take_product(total, k, other_digits[k], count, -sign)
    for k in range(n):
        for i in range(n_times):
            take_product(total, i + k, t_digits[i], x_digits[k], x_sign)
    digits = pointer_int64(memory_at + 8 * layout.DIGITS_OF_TIME)
    sign = carry(total, i64(0), n_wide, digits)
    multiply_digits(digits, n_wide, factor)
    top, place = top_of_digits(digits, n_wide)
    exponent = place + 32 * first + select(kind == layout.FLOAT, i64(UNIT), i64(0)) - bottom_place
    return bits_of(divided(types.float64(sign * top), types.float64(bottom), exponent))


@njit(**SEPARATE_OPTIONS)
def read_slopes(words, column, output, begins_at, ends_at, n, target):
    """Write the slope of the values of each window against time."""
    scratch, kind = words[layout.TABLE_SCRATCH], column[layout.COLUMN_KIND]
    memory_at, words_at = (
        scratch + output[layout.OUTPUT_MEMORY],
        scratch + column[layout.COLUMN_WORDS],
    )
    factor, divisor = output[layout.OUTPUT_PARAMETER], output[layout.OUTPUT_DIVISOR]
    x, counts = pointer_int64(words_at), pointer_int32(scratch + layout.COUNTS)
    times = pointer_int64(pointer_int64(scratch)[layout.TIMES])
    begins, ends, results = pointer_int32(begins_at), pointer_int32(ends_at), pointer_int64(target)
    starts, stops = (
        pointer_int32(scratch + layout.ENTITY_STARTS),
        pointer_int32(scratch + layout.ENTITY_ENDS),
    )
    state = pointer_int64(scratch + output[layout.OUTPUT_STATE])
    entity, added, removed, n_infinite = (
        state[ENTITY],
        state[ADDED],
        state[REMOVED],
        state[N_INFINITE],
    )
    for j in range(n):
        if entity != starts[j]:
            entity = i64(starts[j])
            added, removed, n_infinite = entity, entity, i64(0)
            begin_entity(memory_at, kind, words_at, entity, i64(stops[j]))
        while added < ends[j]:
            if is_value(column, scratch, added):
                time = subtract_wrapping(times[added], times[entity])
                n_infinite += change_sums(memory_at, kind, x[added], time, i64(1))
            added += 1
        while removed < begins[j]:
            if is_value(column, scratch, removed):
                time = subtract_wrapping(times[removed], times[entity])
                n_infinite -= change_sums(memory_at, kind, x[removed], time, i64(-1))
            removed += 1
        found = i64(NAN_BITS)
        if counts[j] > 1 and n_infinite == 0:
            found = read_slope(memory_at, kind, i64(counts[j]), factor, divisor)
        results[j] = found
        if stops[j] == starts[j]:  # the next entity begins at the end of this one
            entity = i64(-1)
    state[ENTITY], state[ADDED], state[REMOVED], state[N_INFINITE] = (
        entity,
        added,
        removed,
        n_infinite,
    )
