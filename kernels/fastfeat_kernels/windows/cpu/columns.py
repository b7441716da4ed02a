# pyright: basic
"""A column in a batch of entities: its values in order, and counts of those before each place."""

from __future__ import annotations

from numba import njit, types

from fastfeat_kernels.blocks import HIGHEST, INFINITE, LOWEST, NAN_BITS
from fastfeat_kernels.intrinsics import (
    INNER_OPTIONS,
    SEPARATE_OPTIONS,
    larger,
    pointer_int32,
    pointer_int64,
    pointer_uint8,
    select,
    smaller,
)
from fastfeat_kernels.windows import layout
from fastfeat_kernels.windows.cpu.prefixes import add_up

i64 = types.int64


@njit(**INNER_OPTIONS)
def nothing_of(column):
    """Return the word for a missing value: NaN, or the word of 0."""
    nothing = select(column[layout.COLUMN_KIND] == layout.UNSIGNED, LOWEST, i64(0))
    return select(column[layout.COLUMN_KIND] == layout.FLOAT, i64(NAN_BITS), nothing)


@njit(**SEPARATE_OPTIONS)
def load_words(words, column, base, n):
    """Write the values of n rows in order, missing ones as NaN or 0."""
    arrivals = pointer_int32(words[layout.TABLE_ARRIVALS] + 4 * base)
    dealt, times = (
        pointer_int64(column[layout.COLUMN_VALUES]),
        pointer_int64(words[layout.TABLE_TIMES] + 8 * base),
    )
    x = pointer_int64(words[layout.TABLE_SCRATCH] + column[layout.COLUMN_WORDS])
    if column[layout.COLUMN_VALUES] == 0:
        for i in range(n):
            x[i] = times[i]
    else:
        for i in range(n):
            x[i] = dealt[i64(arrivals[i])]


@njit(**SEPARATE_OPTIONS)
def find_missing_floats(words, column, n, state):
    """Make all NaN alike; note missing and infinite values; return the greatest magnitude."""
    x = pointer_int64(words[layout.TABLE_SCRATCH] + column[layout.COLUMN_WORDS])
    greatest = i64(0)
    for i in range(n):
        greatest = larger(greatest, x[i] & HIGHEST)
    if greatest >= INFINITE:
        greatest, is_missing, is_infinite = i64(0), i64(0), i64(0)
        for i in range(n):
            size = x[i] & HIGHEST
            is_missing |= i64(size > INFINITE)
            is_infinite |= i64(size == INFINITE)
            greatest = larger(greatest, select(size < INFINITE, size, i64(0)))
            x[i] = select(size > INFINITE, i64(NAN_BITS), x[i])
        state[layout.STATE_MISSING] |= is_missing
        state[layout.STATE_INFINITE] |= is_infinite
    state[layout.STATE_HIGHEST] = larger(greatest >> 52, i64(1)) - 1
    return greatest


@njit(**SEPARATE_OPTIONS)
def count_values(words, column, base, n, state):
    """Write the number of values before each place."""
    counts = pointer_int32(words[layout.TABLE_SCRATCH] + column[layout.COLUMN_COUNTS])
    x = pointer_int64(words[layout.TABLE_SCRATCH] + column[layout.COLUMN_WORDS])
    arrivals, first = pointer_int32(words[layout.TABLE_ARRIVALS] + 4 * base), i64(0)
    total = types.int32(0)
    counts[0] = total
    if state[layout.STATE_CARRY] != 0:
        total, first = (
            types.int32(pointer_int64(state[layout.STATE_CARRY])[layout.CARRY_COUNT]),
            i64(1),
        )
        counts[1] = total
    if column[layout.COLUMN_KIND] == layout.FLOAT:
        for i in range(first, n):
            total += types.int32((x[i] & HIGHEST) <= INFINITE)
            counts[i + 1] = total
    elif column[layout.COLUMN_PRESENT] != 0:
        present = pointer_uint8(column[layout.COLUMN_PRESENT])
        for i in range(first, n):
            total += types.int32(present[i64(arrivals[i])])
            counts[i + 1] = total
        state[layout.STATE_MISSING] |= i64(total != n)
    else:
        for i in range(first, n):
            total += types.int32(1)
            counts[i + 1] = total


@njit(**SEPARATE_OPTIONS)
def count_infinite(words, column, n, carry):
    """Write the numbers of infinities of each sign before each place."""
    x = pointer_int64(words[layout.TABLE_SCRATCH] + column[layout.COLUMN_WORDS])
    counts = pointer_int32(words[layout.TABLE_SCRATCH] + column[layout.COLUMN_INFINITE])
    positive, negative, first = types.int32(0), types.int32(0), i64(0)
    counts[0], counts[1] = positive, negative
    if carry != 0:
        known, first = pointer_int64(carry), i64(1)
        positive, negative = (
            types.int32(known[layout.CARRY_POSITIVE]),
            types.int32(known[layout.CARRY_NEGATIVE]),
        )
        counts[2], counts[3] = positive, negative
    for i in range(first, n):
        is_infinite = (x[i] & HIGHEST) == INFINITE
        positive += types.int32(is_infinite & (x[i] > 0))
        negative += types.int32(is_infinite & (x[i] < 0))
        counts[2 * i + 2], counts[2 * i + 3] = positive, negative


@njit(**SEPARATE_OPTIONS)
def find_neighbours(words, column, n):
    """Write for each place the last earlier place with a value, and the next one from there on."""
    scratch = words[layout.TABLE_SCRATCH]
    counts = pointer_int32(scratch + column[layout.COLUMN_COUNTS])
    if column[layout.COLUMN_LAST] != 0:
        last, found = pointer_int32(scratch + column[layout.COLUMN_LAST]), types.int32(-1)
        for i in range(n):
            last[i] = found
            found = types.int32(select(counts[i + 1] != counts[i], i64(i), i64(found)))
        last[n] = found
    if column[layout.COLUMN_NEXT] != 0:
        following, found = pointer_int32(scratch + column[layout.COLUMN_NEXT]), types.int32(n)
        following[n] = found
        for k in range(n):
            i = n - 1 - k
            found = types.int32(select(counts[i + 1] != counts[i], i64(i), i64(found)))
            following[i] = found


@njit(**SEPARATE_OPTIONS)
def write_keys(words, column, target, n, flip, is_missing):
    """Write the keys of values, xored with `flip`; the lowest key for missing values."""
    scratch = words[layout.TABLE_SCRATCH]
    x, keys = pointer_int64(scratch + column[layout.COLUMN_WORDS]), pointer_int64(scratch + target)
    magnitude = select(column[layout.COLUMN_KIND] == layout.FLOAT, i64(HIGHEST), i64(0))
    for i in range(n):
        keys[i] = x[i] ^ ((x[i] >> 63) & magnitude) ^ flip
    if is_missing:
        counts = pointer_int32(scratch + column[layout.COLUMN_COUNTS])
        for i in range(n):
            keys[i] = select(counts[i + 1] != counts[i], keys[i], LOWEST)


@njit(**SEPARATE_OPTIONS)
def find_lowest(words, column, n, state):
    """Write the place of the lowest bit of any finite value, above 2**-1074."""
    x = pointer_int64(words[layout.TABLE_SCRATCH] + column[layout.COLUMN_WORDS])
    lowest = state[layout.STATE_HIGHEST]
    for i in range(n):
        size = x[i] & HIGHEST
        is_number = (size != 0) & (size < INFINITE)
        lowest = select(is_number, smaller(lowest, larger(size >> 52, i64(1)) - 1), lowest)
    state[layout.STATE_LOWEST] = lowest


@njit(**SEPARATE_OPTIONS)
def begin_with_carry(words, column, state, carry):
    """Give the first place the latest value of the rows that it stands for."""
    known = pointer_int64(carry)
    state[layout.STATE_MISSING] = 1  # so that values are counted
    state[layout.STATE_INFINITE] = i64(
        (known[layout.CARRY_POSITIVE] | known[layout.CARRY_NEGATIVE]) != 0
    )
    pointer_int64(words[layout.TABLE_SCRATCH] + column[layout.COLUMN_WORDS])[0] = known[
        layout.CARRY_LAST
    ]


@njit(**SEPARATE_OPTIONS)
def load_keys(words, column, n, state):
    """Load the keys for minima and maxima."""
    scratch, carry, is_missing = (
        words[layout.TABLE_SCRATCH],
        state[layout.STATE_CARRY],
        state[layout.STATE_MISSING] != 0,
    )
    if column[layout.COLUMN_MAX_KEYS] != 0:
        write_keys(words, column, column[layout.COLUMN_MAX_KEYS], n, i64(0), is_missing)
        if carry != 0:
            greatest = pointer_int64(carry)[layout.CARRY_MAX_KEY]
            pointer_int64(scratch + column[layout.COLUMN_MAX_KEYS])[0] = greatest
        state[layout.STATE_MAX_LEVELS] = 1
    if column[layout.COLUMN_MIN_KEYS] != 0:
        write_keys(words, column, column[layout.COLUMN_MIN_KEYS], n, i64(-1), is_missing)
        if carry != 0:
            greatest = pointer_int64(carry)[layout.CARRY_MIN_KEY]
            pointer_int64(scratch + column[layout.COLUMN_MIN_KEYS])[0] = greatest
        state[layout.STATE_MIN_LEVELS] = 1


@njit(**SEPARATE_OPTIONS)
def load_column(words, column, base, n, carry):
    """Prepare a column for the n rows of a batch; return whether its sums are wide.

    `base` is the first place. `carry` is the address of the summary of the rows that this place
    stands for; 0 if it stands for itself alone.
    """
    state = pointer_int64(words[layout.TABLE_SCRATCH] + column[layout.COLUMN_STATE])
    state[layout.STATE_MISSING], state[layout.STATE_INFINITE], state[layout.STATE_WIDE] = (
        i64(0),
        i64(0),
        i64(0),
    )
    state[layout.STATE_CARRY] = carry
    load_words(words, column, base, n)
    if carry != 0:
        begin_with_carry(words, column, state, carry)
    is_float, greatest = column[layout.COLUMN_KIND] == layout.FLOAT, i64(0)
    if is_float:
        greatest = find_missing_floats(words, column, n, state)
    if state[layout.STATE_MISSING] != 0 or (not is_float and column[layout.COLUMN_PRESENT] != 0):
        count_values(words, column, base, n, state)
    if state[layout.STATE_INFINITE] != 0 and column[layout.COLUMN_INFINITE] != 0:
        count_infinite(words, column, n, carry)
    if state[layout.STATE_MISSING] != 0:
        find_neighbours(words, column, n)
    load_keys(words, column, n, state)
    if column[layout.COLUMN_SUMS] != 0:
        add_up(words, column, n, greatest)
    return state[layout.STATE_WIDE]
