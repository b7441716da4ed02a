# pyright: basic
"""Values of a partition sorted by group and, within each, in order; runs of equal values."""

from __future__ import annotations

from numba import njit, types

from fastfeat_kernels.blocks import HIGHEST, LOWEST
from fastfeat_kernels.column import ELEMENTS
from fastfeat_kernels.grouped.cpu.scatter import is_float
from fastfeat_kernels.grouped.layout import (
    MAX_SORTED,
    TABLE_COUNTS,
    TABLE_ELEMENT,
    TABLE_FIRST_GROUP,
    TABLE_GROUPS,
    TABLE_KEYS,
    TABLE_MODES,
    TABLE_N_GROUPS,
    TABLE_N_UNIQUE,
    TABLE_STARTS,
    TABLE_VALUES,
)
from fastfeat_kernels.intrinsics import (
    INNER_OPTIONS,
    SEPARATE_OPTIONS,
    pointer_int32,
    pointer_int64,
    select,
    smaller,
)

i64 = types.int64
RUN = 16  # keys that are sorted by insertion
INFINITE = 0x7FF << 52
UINT64 = ELEMENTS.index("uint64")


@njit(**INNER_OPTIONS)
def insert_all(keys, first, end):
    """Sort a few keys in place."""
    for i in range(first + 1, end):
        key, at = keys[i], i
        while at > first and keys[at - 1] > key:
            keys[at] = keys[at - 1]
            at -= 1
        keys[at] = key


@njit(**INNER_OPTIONS)
def merge_runs(target, source, first, middle, end):
    """Merge two sorted runs, without branches."""
    a, b = first, middle
    for at in range(first, end):
        x, y = source[smaller(a, middle - 1)], source[smaller(b, end - 1)]
        is_first = (a < middle) & ((b >= end) | (x <= y))
        target[at] = select(is_first, x, y)
        a += i64(is_first)
        b += 1 - i64(is_first)


@njit(**SEPARATE_OPTIONS)
def sort_keys(keys_at, spare_at, n):
    """Sort keys in place: runs by insertion, then merges to the spare memory and back."""
    source, target = pointer_int64(keys_at), pointer_int64(spare_at)
    first = i64(0)
    while first < n:
        insert_all(source, first, smaller(first + RUN, n))
        first += RUN
    width = i64(RUN)
    while width < n:
        first = i64(0)
        while first < n:
            middle = smaller(first + width, n)
            merge_runs(target, source, first, middle, smaller(first + 2 * width, n))
            first += 2 * width
        source, target = target, source
        width *= 2
    if ends_in_spare(n):
        keys, spare = pointer_int64(keys_at), pointer_int64(spare_at)
        for i in range(n):
            keys[i] = spare[i]


@njit(**INNER_OPTIONS)
def ends_in_spare(n):
    """Return whether merging `n` keys leaves them in the spare memory."""
    width, odd = i64(RUN), False
    while width < n:
        width *= 2
        odd = not odd
    return odd


@njit(**INNER_OPTIONS)
def key_of_word(words, word):
    """Return the key of a stored value, and whether it has one: not NaN."""
    if is_float(words):
        return word ^ ((word >> 63) & HIGHEST), (word & HIGHEST) <= INFINITE
    return word ^ select(words[TABLE_ELEMENT] == UINT64, LOWEST, i64(0)), True


@njit(**INNER_OPTIONS)
def place_groups(words, first, n):
    """Count the values of each group, and write the first place of each group."""
    values, groups = pointer_int64(words[TABLE_VALUES]), pointer_int32(words[TABLE_GROUPS])
    starts, counts = pointer_int64(words[TABLE_STARTS]), pointer_int64(words[TABLE_COUNTS])
    own, n_own = words[TABLE_FIRST_GROUP], words[TABLE_N_GROUPS]
    for group in range(own, own + n_own):
        counts[group] = 0
    for row in range(first, first + n):
        _, is_value = key_of_word(words, values[row])
        if is_value and groups[row] >= 0:
            counts[i64(groups[row])] += 1
    start = first
    for group in range(own, own + n_own):
        starts[group] = start
        start += counts[group]


def sort_groups(table, first, n):
    """Write the keys of rows [first, first + n) of a partition by group, sorted within each.

    It overwrites the memory of the values. Groups of more than MAX_SORTED keys are not sorted.
    """
    words = pointer_int64(table)
    values, groups = pointer_int64(words[TABLE_VALUES]), pointer_int32(words[TABLE_GROUPS])
    starts, counts = pointer_int64(words[TABLE_STARTS]), pointer_int64(words[TABLE_COUNTS])
    keys = pointer_int64(words[TABLE_KEYS])
    place_groups(words, first, n)
    for row in range(first, first + n):
        key, is_value = key_of_word(words, values[row])
        if is_value and groups[row] >= 0:
            group = i64(groups[row])
            keys[starts[group]] = key
            starts[group] += 1
    for group in range(words[TABLE_FIRST_GROUP], words[TABLE_FIRST_GROUP] + words[TABLE_N_GROUPS]):
        size = counts[group]
        starts[group] -= size
        if (size > 1) & (size <= MAX_SORTED):
            at = 8 * starts[group]
            sort_keys(words[TABLE_KEYS] + at, words[TABLE_VALUES] + at, size)
    return 0


def find_runs(table, first, n):
    """Count the distinct values of each of n groups, and find the mode; -0.0 equals 0.0."""
    words = pointer_int64(table)
    starts, counts = pointer_int64(words[TABLE_STARTS]), pointer_int64(words[TABLE_COUNTS])
    keys, modes = pointer_int64(words[TABLE_KEYS]), pointer_int64(words[TABLE_MODES])
    n_unique, floats = pointer_int64(words[TABLE_N_UNIQUE]), is_float(words)
    for group in range(first, first + n):
        found, longest, length, mode, last = i64(0), i64(0), i64(0), i64(0), i64(0)
        for at in range(starts[group], starts[group] + counts[group]):
            key = keys[at] + i64(floats & (keys[at] == -1))
            is_new = (length == 0) | (key != last)
            found += i64(is_new)
            length = select(is_new, i64(1), length + 1)
            mode = select(length > longest, key, mode)
            longest = select(length > longest, length, longest)
            last = key
        n_unique[group], modes[group] = found, mode
    return 0
