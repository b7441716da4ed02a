# pyright: basic
"""Rows sorted into partitions of neighbouring groups, so that the lines of one stay in the cache.

A missing float is NaN. A missing integer keeps its place, and its group g is written as ~g.
"""

from __future__ import annotations

from numba import njit, types

from fastfeat_kernels.blocks import LOWEST, NAN_BITS, mask, read_bools, read_floats, read_integers
from fastfeat_kernels.column import BLOCK, ELEMENTS
from fastfeat_kernels.grouped.cpu.vectors import prefetch
from fastfeat_kernels.grouped.layout import (
    TABLE_BIT_OFFSET,
    TABLE_CURSORS,
    TABLE_ELEMENT,
    TABLE_GROUPS,
    TABLE_LEFT_GROUPS,
    TABLE_LEFT_VALUES,
    TABLE_SCRATCH,
    TABLE_SHIFT,
    TABLE_VALIDITY,
    TABLE_VALUE_BIT_OFFSET,
    TABLE_VALUES,
)
from fastfeat_kernels.intrinsics import (
    INNER_OPTIONS,
    enter_ieee,
    leave_ieee,
    opaque,
    pointer_int32,
    pointer_int64,
    read_bits,
    select,
    smaller,
)

i64 = types.int64
AHEAD = 128  # bytes of a partition to prefetch before they are written

FLOAT32, BOOL = ELEMENTS.index("float32"), ELEMENTS.index("bool")


@njit(**INNER_OPTIONS)
def is_float(words):
    """Return whether NaN marks missing values."""
    return words[TABLE_ELEMENT] <= FLOAT32


@njit(**INNER_OPTIONS)
def read(words, row, n):
    """Return the address of n values as float64, NaN for missing ones, or as int64."""
    element, values, scratch = words[TABLE_ELEMENT], words[TABLE_VALUES], words[TABLE_SCRATCH]
    validity = words[TABLE_VALIDITY]
    if element == BOOL:
        return read_bools(values, words[TABLE_VALUE_BIT_OFFSET], row, n, scratch)
    if not is_float(words):
        return read_integers(element, values, row, n, scratch)
    source = read_floats(element, values, row, n, scratch)
    if validity == 0:
        return source
    mask(scratch, source, validity, words[TABLE_BIT_OFFSET] + row, n, i64(NAN_BITS))
    return scratch


UINT64 = ELEMENTS.index("uint64")


def count(table, first, n):
    """Count the rows of each partition."""
    words = pointer_int64(table)
    groups, counts = pointer_int32(words[TABLE_GROUPS]), pointer_int64(words[TABLE_CURSORS])
    shift = words[TABLE_SHIFT]
    for row in range(first, first + n):
        group = i64(groups[row])
        if group >= 0:
            counts[group >> shift] += 1
    return 0


@njit(**INNER_OPTIONS)
def scatter_present(words, source, row, n, flip):
    """Append the rows in groups to their partitions."""
    x, groups = pointer_int64(source), pointer_int32(words[TABLE_GROUPS] + 4 * row)
    values, numbers = (
        pointer_int64(words[TABLE_LEFT_VALUES]),
        pointer_int32(words[TABLE_LEFT_GROUPS]),
    )
    cursors, shift = pointer_int64(words[TABLE_CURSORS]), words[TABLE_SHIFT]
    for i in range(n):
        group = i64(groups[i])
        if group >= 0:
            at = cursors[group >> shift]
            prefetch(words[TABLE_LEFT_VALUES] + 8 * at + AHEAD)
            prefetch(words[TABLE_LEFT_GROUPS] + 4 * at + AHEAD)
            values[at], numbers[at] = x[i] ^ flip, group
            cursors[group >> shift] = at + 1


@njit(**INNER_OPTIONS)
def scatter_marked(words, source, row, n, flip):
    """Append integers of rows in groups, some of them missing, to their partitions."""
    x, groups = pointer_int64(source), pointer_int32(words[TABLE_GROUPS] + 4 * row)
    values, numbers = (
        pointer_int64(words[TABLE_LEFT_VALUES]),
        pointer_int32(words[TABLE_LEFT_GROUPS]),
    )
    cursors, shift = pointer_int64(words[TABLE_CURSORS]), words[TABLE_SHIFT]
    bit = words[TABLE_BIT_OFFSET] + row
    for i in range(n):
        group = i64(groups[i])
        if group >= 0:
            at = cursors[group >> shift]
            prefetch(words[TABLE_LEFT_VALUES] + 8 * at + AHEAD)
            prefetch(words[TABLE_LEFT_GROUPS] + 4 * at + AHEAD)
            present = read_bits(words[TABLE_VALIDITY], bit + i, i64(1)) != 0
            values[at], numbers[at] = x[i] ^ flip, select(present, group, ~group)
            cursors[group >> shift] = at + 1


def scatter(table, first, n):
    """Append value and group of rows to their partitions; uint64 unchanged."""
    saved = enter_ieee()
    words = pointer_int64(opaque(table))
    flip = select(words[TABLE_ELEMENT] == UINT64, LOWEST, i64(0))
    for start in range(0, n, BLOCK):
        row, m = first + start, smaller(n - start, i64(BLOCK))
        source = read(words, row, m)
        if is_float(words) or words[TABLE_VALIDITY] == 0:
            scatter_present(words, source, row, m, flip)
        else:
            scatter_marked(words, source, row, m, flip)
    leave_ieee(saved)
    return 0
