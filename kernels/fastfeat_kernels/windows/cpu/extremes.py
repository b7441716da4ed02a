# pyright: basic
"""Minima and maxima of windows.

Small batches use levels: the maxima of 1, 2, 4, ... rows from each place on; two of them cover a
window. Levels of larger batches would not stay in the cache, so these use suffixes up to a pivot
and a prefix from there on. If a window begins at the pivot or behind it, the pivot moves to the
window's end, so each value enters one suffix and one prefix.
"""

from __future__ import annotations

from numba import njit, types

from fastfeat_kernels.blocks import HIGHEST, LOWEST
from fastfeat_kernels.intrinsics import (
    INNER_OPTIONS,
    SEPARATE_OPTIONS,
    bits_of,
    larger,
    pointer_int32,
    pointer_int64,
    select,
)
from fastfeat_kernels.windows import layout
from fastfeat_kernels.windows.cpu.columns import nothing_of
from fastfeat_kernels.windows.statistics import MIN

i64 = types.int64
PIVOT, DONE, PREFIX = 0, 1, 2


@njit(**INNER_OPTIONS)
def suffix_from(keys, suffixes, begin, end):
    """Write the greatest key from each place in [begin, end) to the end."""
    best = LOWEST
    for k in range(end - begin):
        at = end - 1 - k
        best = larger(best, keys[at])
        suffixes[at] = best


@njit(**SEPARATE_OPTIONS)
def read_suffixes(
    keys, suffixes, state, begins, ends, counts, n, flip, magnitude, nothing, results
):
    """Write the greatest key of each window, from a suffix and a prefix."""
    pivot, done, prefix = state[PIVOT], state[DONE], state[PREFIX]
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


@njit(**SEPARATE_OPTIONS)
def write_level(below, middle, n, level):
    """Write for each place the greater of its key and the key a fixed distance behind it."""
    for i in range(n):
        level[i] = larger(below[i], middle[i])


@njit(**SEPARATE_OPTIONS)
def longest(begins, ends, n):
    """Return the number of rows of the longest window."""
    found = i64(0)
    for j in range(n):
        found = larger(found, i64(ends[j] - begins[j]))
    return found


@njit(**SEPARATE_OPTIONS)
def write_levels(keys_at, n_levels, n_rows, length):
    """Write the levels of keys for windows of up to `length` rows; return the number of levels."""
    while (i64(1) << n_levels) <= length:
        half = i64(1) << (n_levels - 1)
        below = keys_at + 8 * layout.LEVEL_ROWS * (n_levels - 1)
        level = pointer_int64(below + 8 * layout.LEVEL_ROWS)
        middle = pointer_int64(below + 8 * half)
        write_level(pointer_int64(below), middle, n_rows - 2 * half + 1, level)
        n_levels += 1
    return n_levels


@njit(**SEPARATE_OPTIONS)
def read_levels_of_keys(keys, begins, ends, counts, n, flip, magnitude, nothing, results):
    """Write the greatest key of each window, from a level at its beginning and one at its end."""
    for j in range(n):
        begin, end = i64(begins[j]), i64(ends[j])
        level = (bits_of(types.float64(larger(end - begin, i64(1)))) >> 52) - 1023
        row = level * layout.LEVEL_ROWS
        last = larger(end - (i64(1) << level), begin)
        key = larger(keys[row + begin], keys[row + last]) ^ flip
        value = key ^ ((key >> 63) & magnitude)
        results[j] = select(counts[j] != 0, value, nothing)


@njit(**SEPARATE_OPTIONS)
def read_extremes(words, column, output, begins_at, ends_at, n, target):
    """Write minima or maxima."""
    scratch, is_min = words[layout.TABLE_SCRATCH], output[layout.OUTPUT_STATISTIC] == MIN
    begins, ends = pointer_int32(begins_at), pointer_int32(ends_at)
    counts, results = pointer_int32(scratch + layout.COUNTS), pointer_int64(target)
    flip = select(is_min, i64(-1), i64(0))
    magnitude = select(column[layout.COLUMN_KIND] == layout.FLOAT, i64(HIGHEST), i64(0))
    keys_at = scratch + select(
        is_min, column[layout.COLUMN_MIN_KEYS], column[layout.COLUMN_MAX_KEYS]
    )
    nothing, n_rows = nothing_of(column), pointer_int64(scratch)[layout.BATCH_ROWS]
    if n_rows < layout.LEVEL_ROWS:
        state = pointer_int64(scratch + column[layout.COLUMN_STATE])
        word = select(is_min, i64(layout.STATE_MIN_LEVELS), i64(layout.STATE_MAX_LEVELS))
        state[word] = write_levels(keys_at, state[word], n_rows, longest(begins, ends, n))
        keys = pointer_int64(keys_at)
        read_levels_of_keys(keys, begins, ends, counts, n, flip, magnitude, nothing, results)
    else:
        suffixes = pointer_int64(scratch + output[layout.OUTPUT_MEMORY])
        state = pointer_int64(scratch + output[layout.OUTPUT_STATE])
        keys = pointer_int64(keys_at)
        read_suffixes(
            keys, suffixes, state, begins, ends, counts, n, flip, magnitude, nothing, results
        )
