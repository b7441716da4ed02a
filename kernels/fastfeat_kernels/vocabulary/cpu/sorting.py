# pyright: basic
"""Sorting keys within runs of equal counts: radix sort, or insertion sort for a short run."""

from __future__ import annotations

from numba import njit, types

from fastfeat_kernels.blocks import LOWEST
from fastfeat_kernels.intrinsics import (
    INNER_OPTIONS,
    SEPARATE_OPTIONS,
    pointer_int32,
    pointer_int64,
    shift_logical,
    smaller,
)
from fastfeat_kernels.vocabulary.layout import (
    COUNT_COUNTS,
    DEAL_BINS,
    DEAL_COUNTS,
    DEAL_N_BINS,
    DEAL_NEW_COUNTS,
    DEAL_NEW_IDS,
    DEAL_NEW_WORDS,
    DEAL_ROUND,
    DEAL_WORDS,
    SORT_COUNTS,
    SORT_DIGITS,
    SORT_IDS,
    SORT_KEYS,
    SORT_PLACES,
    SORT_SPARE_IDS,
    SORT_SPARE_KEYS,
)

i64 = types.int64
N_INSERTED = 40  # up to so many keys, moving them one by one is fastest
N_WIDE = 4096  # from so many keys on, digits of 11 bits save more passes than they cost


@njit(**INNER_OPTIONS)
def insertion_sort(keys, ids, n):
    """Sort a few keys with their ids."""
    for i in range(1, n):
        key, of_key = keys[i], ids[i]
        j = i
        while j > 0 and keys[j - 1] > key:
            keys[j], ids[j] = keys[j - 1], ids[j - 1]
            j -= 1
        keys[j], ids[j] = key, of_key


@njit(**SEPARATE_OPTIONS)
def sort_by_digit(source, source_ids, target, target_ids, digits, n, shift, bits):
    """Copy keys with their ids in the stable order of one digit."""
    last = (i64(1) << bits) - 1
    for k in range(last + 1):
        digits[k] = 0
    for i in range(n):
        digits[shift_logical(source[i] ^ LOWEST, shift) & last] += 1
    total = i64(0)
    for k in range(last + 1):
        n_of_digit = digits[k]
        digits[k] = total
        total += n_of_digit
    for i in range(n):
        digit = shift_logical(source[i] ^ LOWEST, shift) & last
        at = digits[digit]
        target[at], target_ids[at] = source[i], source_ids[i]
        digits[digit] = at + 1


@njit(**SEPARATE_OPTIONS)
def radix_sort(keys_at, ids_at, spare_keys_at, spare_ids_at, digits, n):
    """Sort keys with their ids, digit by digit; digits that all keys share are skipped."""
    keys, differs = pointer_int64(keys_at), i64(0)
    for i in range(n):
        differs |= keys[i] ^ keys[0]
    bits = i64(11) if n >= N_WIDE else i64(8)
    shift, is_spare = i64(0), False
    while shift < 64 and shift_logical(differs, shift) != 0:
        if shift_logical(differs, shift) & 1 == 0:
            shift += 1
            continue
        source, target = (spare_keys_at, keys_at) if is_spare else (keys_at, spare_keys_at)
        source_ids, target_ids = (spare_ids_at, ids_at) if is_spare else (ids_at, spare_ids_at)
        sort_by_digit(
            pointer_int64(source),
            pointer_int32(source_ids),
            pointer_int64(target),
            pointer_int32(target_ids),
            digits,
            n,
            shift,
            bits,
        )
        is_spare = not is_spare
        shift += bits
    if is_spare:
        ids, spare, spare_ids = (
            pointer_int32(ids_at),
            pointer_int64(spare_keys_at),
            pointer_int32(spare_ids_at),
        )
        for i in range(n):
            keys[i], ids[i] = spare[i], spare_ids[i]


def descending(table, first, n):
    """Count the counts of keys [first, first + n), or copy them in descending order of counts."""
    table_words = pointer_int64(table)
    words, counts = pointer_int64(table_words[DEAL_WORDS]), pointer_int64(table_words[DEAL_COUNTS])
    bins, last = pointer_int64(table_words[DEAL_BINS]), table_words[DEAL_N_BINS] - 1
    if table_words[DEAL_ROUND] == COUNT_COUNTS:
        for i in range(first, first + n):
            bins[last - smaller(counts[i], last)] += 1
        return 0
    new_words = pointer_int64(table_words[DEAL_NEW_WORDS])
    new_counts = pointer_int64(table_words[DEAL_NEW_COUNTS])
    ids = pointer_int32(table_words[DEAL_NEW_IDS])
    for i in range(first, first + n):
        k = last - smaller(counts[i], last)
        at = bins[k]
        new_words[at], new_counts[at], ids[at] = words[i], counts[i], types.int32(i)
        bins[k] = at + 1
    return 0


@njit(**SEPARATE_OPTIONS)
def are_ascending(keys, n):
    """Return whether keys are in order."""
    i = i64(1)
    while i < n and keys[i - 1] <= keys[i]:
        i += 1
    return i >= n


def sort(table, first, n):
    """Sort the keys [first, first + n) within each run of equal counts, with their ids."""
    words = pointer_int64(table)
    counts, digits = pointer_int64(words[SORT_COUNTS]), pointer_int64(words[SORT_DIGITS])
    start, end = first, first + n
    while start < end:
        stop = start + 1
        while stop < end and counts[stop] == counts[start]:
            stop += 1
        keys, of_keys = words[SORT_KEYS] + 8 * start, words[SORT_IDS] + 4 * start
        if stop - start <= N_INSERTED:
            insertion_sort(pointer_int64(keys), pointer_int32(of_keys), stop - start)
        elif not are_ascending(pointer_int64(keys), stop - start):
            spare_keys = words[SORT_SPARE_KEYS] + 8 * start
            spare_ids = words[SORT_SPARE_IDS] + 4 * start
            radix_sort(keys, of_keys, spare_keys, spare_ids, digits, stop - start)
        start = stop
    if words[SORT_PLACES] != 0:
        ids, places = pointer_int32(words[SORT_IDS]), pointer_int32(words[SORT_PLACES])
        for i in range(first, first + n):
            places[ids[i]] = types.int32(i)
    return 0
