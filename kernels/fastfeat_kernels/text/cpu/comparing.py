# pyright: basic
"""Columns of text as bits of rows: present ones, and those equal to another column's."""

from __future__ import annotations

from numba import njit, types

from fastfeat_kernels.intrinsics import (
    INNER_OPTIONS,
    opaque,
    pointer_int32,
    pointer_int64,
    read_bits,
    shift_logical,
    smaller,
)
from fastfeat_kernels.text import (
    SAME_OUT,
    SAME_VALIDITY_OUT,
    SIDE_BIT,
    SIDE_DATA,
    SIDE_OFFSET_BYTES,
    SIDE_OFFSETS,
    SIDE_VALIDITY,
    SIDE_WORDS,
    SIDES,
)
from fastfeat_kernels.text.cpu.search import are_equal

i64 = types.int64


@njit(**INNER_OPTIONS)
def bits_there(side, row, n):
    """Return the bits of n <= 64 rows of a column, 1 for a present text."""
    words = pointer_int64(side)
    if words[SIDE_VALIDITY] == 0:
        return shift_logical(i64(-1), 64 - n)
    return read_bits(words[SIDE_VALIDITY], words[SIDE_BIT] + row, n)


@njit(**INNER_OPTIONS)
def span_at(side, row):
    """Return address and length of a row of text."""
    words = pointer_int64(side)
    if words[SIDE_OFFSET_BYTES] == 4:
        narrow = pointer_int32(words[SIDE_OFFSETS])
        start, end = i64(narrow[row]), i64(narrow[row + 1])
    else:
        wide = pointer_int64(words[SIDE_OFFSETS])
        start, end = wide[row], wide[row + 1]
    return words[SIDE_DATA] + start, end - start


def present(table, first, n):
    """Write a bit for each row with a text."""
    words, side = pointer_int64(opaque(table)), table + 8 * SIDES
    out = pointer_int64(words[SAME_OUT])
    for start in range(0, n, 64):
        out[start >> 6] = bits_there(side, start, smaller(n - start, 64))
    return 0


def same(table, first, n):
    """Write a bit for each row with two equal texts, and a bit for each row with two texts."""
    words, left = pointer_int64(opaque(table)), table + 8 * SIDES
    right = left + 8 * SIDE_WORDS
    out, valid = pointer_int64(words[SAME_OUT]), pointer_int64(words[SAME_VALIDITY_OUT])
    for start in range(0, n, 64):
        m, bits = smaller(n - start, 64), i64(0)
        there = bits_there(left, start, m) & bits_there(right, start, m)
        for i in range(m):
            if (there >> i) & 1 != 0:
                one, n_one = span_at(left, start + i)
                other, n_other = span_at(right, start + i)
                if n_one == n_other and are_equal(one, other, n_one):
                    bits |= i64(1) << i
        out[start >> 6], valid[start >> 6] = bits, there
    return 0


COMPARING = (present, same)
"""The entries of this file."""
