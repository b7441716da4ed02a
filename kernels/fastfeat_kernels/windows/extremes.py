# pyright: basic
"""Least and greatest values of windows: from suffixes up to a pivot and a prefix from there on.

Where a window begins behind the pivot, the pivot moves to its end; so every value is taken into a
suffix once and into a prefix once.
"""

from __future__ import annotations

from numba import njit, types

from fastfeat_kernels.blocks import HIGHEST, LOWEST
from fastfeat_kernels.intrinsics import (
    INNER_OPTIONS,
    SEPARATE_OPTIONS,
    larger,
    pointer_int32,
    pointer_int64,
    select,
)
from fastfeat_kernels.windows.columns import nothing_of
from fastfeat_kernels.windows.layout import (
    COLUMN_KIND,
    COLUMN_MAX_KEYS,
    COLUMN_MIN_KEYS,
    COUNTS,
    FLOAT,
    MIN,
    OUTPUT_MEMORY,
    OUTPUT_STATE,
    OUTPUT_STATISTIC,
    TABLE_SCRATCH,
)

i64 = types.int64
PIVOT, DONE, PREFIX = 0, 1, 2


@njit(**INNER_OPTIONS)
def suffix_from(keys, suffixes, begin, end):
    """Write the greatest key from each place in [begin, end) on."""
    best = LOWEST
    for k in range(end - begin):
        at = end - 1 - k
        best = larger(best, keys[at])
        suffixes[at] = best


@njit(**SEPARATE_OPTIONS)
def read_extremes(words, column, output, begins_at, ends_at, n, target):
    """Write the least or greatest values."""
    scratch, is_min = words[TABLE_SCRATCH], output[OUTPUT_STATISTIC] == MIN
    keys_at = select(is_min, column[COLUMN_MIN_KEYS], column[COLUMN_MAX_KEYS])
    keys, suffixes = (
        pointer_int64(scratch + keys_at),
        pointer_int64(scratch + output[OUTPUT_MEMORY]),
    )
    begins, ends, results = pointer_int32(begins_at), pointer_int32(ends_at), pointer_int64(target)
    counts, state = pointer_int32(scratch + COUNTS), pointer_int64(scratch + output[OUTPUT_STATE])
    pivot, done, prefix = state[PIVOT], state[DONE], state[PREFIX]
    flip = select(is_min, i64(-1), i64(0))
    magnitude = select(column[COLUMN_KIND] == FLOAT, i64(HIGHEST), i64(0))
    nothing = nothing_of(column)
    for j in range(n):
        begin, end = i64(begins[j]), i64(ends[j])
        if begin >= pivot:
            suffix_from(keys, suffixes, begin, end)
            pivot, done, prefix = end, end, LOWEST
        while done < end:
            prefix = larger(prefix, keys[done])
            done += 1
        best = prefix
        if begin < end:
            best = larger(prefix, suffixes[begin])
        key = best ^ flip
        value = key ^ ((key >> 63) & magnitude)
        results[j] = select(counts[j] != 0, value, nothing)
    state[PIVOT], state[DONE], state[PREFIX] = pivot, done, prefix
