# pyright: basic
"""Keys of a narrow range: a number for each key of it, found by its distance from the first."""

from __future__ import annotations

from numba import njit, types

from fastfeat_kernels.intrinsics import (
    INNER_OPTIONS,
    SEPARATE_OPTIONS,
    larger,
    less_unsigned,
    pointer_int32,
    pointer_int64,
    select,
    smaller,
)
from fastfeat_kernels.vocabulary.layout import (
    STATE_HIGH,
    STATE_IS_FULL,
    STATE_LOW,
    STATE_N_MISSING,
    STATE_N_ROWS,
    TABLE_LOW,
    TABLE_OF_SPAN,
    TABLE_SPAN,
    TABLE_STATE,
)

i64, i32 = types.int64, types.int32


@njit(**SEPARATE_OPTIONS)
def widen_range(words, n, m, keys_at):
    """Note n rows, and the least and the greatest of their m keys; whether they are too far."""
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
    """Write the place of each of m keys, -1 if it has none."""
    keys, places = pointer_int64(keys_at), pointer_int32(places_at)
    low, span = words[TABLE_LOW], words[TABLE_SPAN]
    of_span = pointer_int32(words[TABLE_OF_SPAN])
    for j in range(m):
        distance = keys[j] - low
        is_inside = less_unsigned(distance, span)
        place = of_span[select(is_inside, distance, i64(0))]
        places[j] = select(is_inside, place, i32(-1))
