# pyright: basic
"""Keys found without a hash: keys of a narrow range, and keys with presumed numbers to check."""

from __future__ import annotations

from numba import njit, types

from fastfeat_kernels.intrinsics import (
    INNER_OPTIONS,
    SEPARATE_OPTIONS,
    larger,
    less_unsigned,
    pointer_int32,
    pointer_int64,
    prefetch,
    select,
    smaller,
)
from fastfeat_kernels.vocabulary.layout import (
    STATE_HIGH,
    STATE_IS_FULL,
    STATE_LOW,
    STATE_N_MISSING,
    STATE_N_ROWS,
    TABLE_KEYS,
    TABLE_LOW,
    TABLE_OF_SPAN,
    TABLE_ROWS,
    TABLE_SPAN,
    TABLE_START,
    TABLE_STATE,
)

i64, i32 = types.int64, types.int32
N_CHECKED_AHEAD = 32  # rows with keys that are prefetched before they are compared


@njit(**SEPARATE_OPTIONS)
def widen_range(words, n, m, keys_at):
    """Update row counts and the range of n rows with m keys; report a range that is too wide."""
    keys, state = pointer_int64(keys_at), pointer_int64(words[TABLE_STATE])
    low, high = state[STATE_LOW], state[STATE_HIGH]
    for j in range(m):
        low, high = smaller(low, keys[j]), larger(high, keys[j])
    state[STATE_LOW], state[STATE_HIGH] = low, high
    state[STATE_N_ROWS] += n
    state[STATE_N_MISSING] += n - m
    if low <= high and not less_unsigned(high - low, words[TABLE_SPAN]):
        state[STATE_IS_FULL] = 1


@njit(**SEPARATE_OPTIONS)
def tally_keys(words, m, keys_at):
    """Count m keys of the range."""
    keys, counts = pointer_int64(keys_at), pointer_int32(words[TABLE_OF_SPAN])
    low = words[TABLE_LOW]
    for j in range(m):
        counts[keys[j] - low] += i32(1)


@njit(**INNER_OPTIONS)
def find_directly(words, m, keys_at, places_at):
    """Write the place of each of m keys; -1 for unknown keys."""
    keys, places = pointer_int64(keys_at), pointer_int32(places_at)
    low, span = words[TABLE_LOW], words[TABLE_SPAN]
    of_span = pointer_int32(words[TABLE_OF_SPAN])
    for j in range(m):
        distance = keys[j] - low
        is_inside = less_unsigned(distance, span)
        place = of_span[select(is_inside, distance, i64(0))]
        places[j] = select(is_inside, place, i32(-1))


@njit(**SEPARATE_OPTIONS)
def are_numbers(words, row, n, m, rows_at, keys_at):
    """Return whether n rows, m of which have a value, have the numbers of their keys.

    A number below the first key's number stands for a missing value.
    """
    keys, rows = pointer_int64(keys_at), pointer_int64(rows_at)
    numbers, start = pointer_int32(words[TABLE_ROWS] + 4 * row), words[TABLE_START]
    known_at = words[TABLE_KEYS] - 8 * start
    known, differs, n_found, n_below = pointer_int64(known_at), i64(0), i64(0), i64(0)
    for i in range(n):
        n_found += i64(i64(numbers[i]) >= start)
    if n_found != m:
        return False
    for j in range(m):
        ahead = rows[smaller(j + N_CHECKED_AHEAD, m - 1)]
        prefetch(known_at + 8 * larger(i64(numbers[ahead]), start))
        number = i64(numbers[rows[j]])
        n_below += i64(number < start)
        differs |= known[larger(number, start)] ^ keys[j]
    return (differs == 0) & (n_below == 0)
