# pyright: basic
"""Results of rows that stand as they came in: written to columns at once, they need not wait."""

from __future__ import annotations

from numba import njit, types

from fastfeat_kernels.blocks import HIGHEST, INFINITE
from fastfeat_kernels.intrinsics import (
    SEPARATE_OPTIONS,
    pointer_int32,
    pointer_int64,
    pointer_uint8,
    smaller,
)
from fastfeat_kernels.windows import layout
from fastfeat_kernels.windows.cpu.vectors import add_bits, store_words

i64 = types.int64


@njit(**SEPARATE_OPTIONS)
def store_few(target, bitmap, source, row, n):
    """Copy the results of rows that share a byte of a bitmap, perhaps with another thread."""
    x, results, found = pointer_int64(source), pointer_int64(target), i64(0)
    for i in range(n):
        results[row + i] = x[i]
        found |= i64((x[i] & HIGHEST) <= INFINITE) << ((row + i) & 7)
    if bitmap != 0 and n > 0:
        add_bits(bitmap + (row >> 3), found)


@njit(**SEPARATE_OPTIONS)
def store_column(target, bitmap, source, row, n):
    """Copy the results of one output, of rows one after the other, to its column."""
    n_few = smaller(-row & 7, n)
    store_few(target, bitmap, source, row, n_few)
    whole = n_few + ((n - n_few) & -8)
    for i in range(n_few, whole, 8):
        bits = store_words(target + 8 * (row + i), source + 8 * i)
        if bitmap != 0:
            pointer_uint8(bitmap)[(row + i) >> 3] = types.uint8(bits)
    store_few(target, bitmap, source + 8 * whole, row + whole, n - whole)


@njit(**SEPARATE_OPTIONS)
def store_flags(words, bitmap, slot, row, n):
    """Write a bitmap of which results of an output are there by their flags."""
    flags = pointer_int64(
        words[layout.TABLE_SCRATCH] + layout.RESULTS + 8 * layout.ASKS * words[layout.TABLE_FLAGS]
    )
    start = i64(0)
    while start < n:
        end, byte = smaller(start + 8 - ((row + start) & 7), n), i64(0)
        for i in range(start, end):
            byte |= ((flags[i] >> slot) & 1) << ((row + i) & 7)
        add_bits(bitmap + ((row + start) >> 3), byte)
        start = end


@njit(**SEPARATE_OPTIONS)
def store_columns(words, n):
    """Copy the results of a block, of rows one after the other, to columns."""
    scratch, targets = words[layout.TABLE_SCRATCH], pointer_int64(words[layout.TABLE_TARGETS])
    row = i64(pointer_int32(scratch + layout.ARRIVALS)[0]) - words[layout.TABLE_FIRST_ASKING]
    number_bits, flag_bits = (
        pointer_int64(words[layout.TABLE_NUMBER_BITS]),
        pointer_int64(words[layout.TABLE_FLAG_BITS]),
    )
    for slot in range(words[layout.TABLE_ROW_WORDS]):
        if targets[slot] != 0:
            source = scratch + layout.RESULTS + 8 * layout.ASKS * slot
            store_column(targets[slot], number_bits[slot], source, row, n)
        if flag_bits[slot] != 0:
            store_flags(words, flag_bits[slot], slot, row, n)
