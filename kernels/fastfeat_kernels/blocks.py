# pyright: basic
"""Reads a column block by block, whatever its type and bitmap, as float64 or int64.

What the hand-written kernels have in common: a block is `BLOCK` rows at most. Floats come as
float64 with NaN for every missing value; integers as int64 (uint64 less 2**63) with a fill for
every missing value.
"""

from __future__ import annotations

import numpy as np
from numba import njit, types

from fastfeat_kernels.intrinsics import (
    INNER_OPTIONS,
    POINTERS,
    expand_float64,
    expand_int64,
    pointer_float64,
    pointer_int64,
    popcount,
    read_bits,
    select,
    smaller,
)

NAN = np.nan
LOWEST = np.int64(-(2**63))
HIGHEST = 2**63 - 1  # also: all bits of a float but its sign


@njit(**INNER_OPTIONS)
def mask_floats(target, source, validity, bit, n):
    """Copy n floats from one address to another (or the same); NaN where the bit is 0."""
    n_whole = n & ~63
    for i in range(0, n_whole, 64):
        word = read_bits(validity, bit + i, types.int64(64))
        at = i << 3
        expand_float64(pointer_float64(target + at), pointer_float64(source + at), word, NAN)
    word = read_bits(validity, bit + n_whole, n - n_whole)
    x, y = pointer_float64(source), pointer_float64(target)
    for i in range(n_whole, n):
        y[i] = select((word >> (i - n_whole)) & 1 != 0, x[i], NAN)


@njit(**INNER_OPTIONS)
def mask_integers(target, source, validity, bit, n, fill):
    """Copy n int64 from one address to another (or the same); `fill` where the bit is 0."""
    n_whole = n & ~63
    for i in range(0, n_whole, 64):
        word = read_bits(validity, bit + i, types.int64(64))
        at = i << 3
        expand_int64(pointer_int64(target + at), pointer_int64(source + at), word, fill)
    word = read_bits(validity, bit + n_whole, n - n_whole)
    x, y = pointer_int64(source), pointer_int64(target)
    for i in range(n_whole, n):
        y[i] = select((word >> (i - n_whole)) & 1 != 0, x[i], fill)


@njit(**INNER_OPTIONS)
def count_bits(address, first, n):
    """Return how many of n bits are set, from bit `first` of a bitmap on."""
    total = types.int64(0)
    n_whole = n & ~63
    for i in range(0, n_whole, 64):
        total += popcount(read_bits(address, first + i, types.int64(64)))
    return total + popcount(read_bits(address, first + n_whole, n - n_whole))


def float_reader(element: str):
    """Return a function (values, row, n, scratch) -> address of n float64, missing ones too.

    The address is that of the column itself where it already has that form, else `scratch`.
    """
    pointer = POINTERS[element]
    in_place = element == "float64"

    @njit(**INNER_OPTIONS)
    def read(values, row, n, scratch):
        if in_place:
            return values + (row << 3)
        x, y = pointer(values), pointer_float64(scratch)
        for i in range(n):
            y[i] = types.float64(x[row + i])
        return scratch

    return read


def integer_reader(element: str):
    """Return a function (values, first bit of bools, row, n, scratch) -> address of n int64.

    uint64 comes less 2**63, a bool as 0 or 1. The address is that of the column itself where it
    already has that form, else `scratch`.
    """
    return _bool_reader() if element == "bool" else _wide_reader(element)


def _wide_reader(element: str):
    pointer = POINTERS[element]
    in_place, unsigned = element == "int64", element == "uint64"

    @njit(**INNER_OPTIONS)
    def read(values, value_bit, row, n, scratch):
        if in_place:
            return values + (row << 3)
        x, y = pointer(values), pointer_int64(scratch)
        for i in range(n):
            y[i] = types.int64(x[row + i]) ^ LOWEST if unsigned else types.int64(x[row + i])
        return scratch

    return read


def _bool_reader():
    @njit(**INNER_OPTIONS)
    def read(values, value_bit, row, n, scratch):
        y = pointer_int64(scratch)
        for start in range(0, n, 64):
            m = smaller(n - start, 64)
            word = read_bits(values, value_bit + row + start, m)
            for i in range(m):
                y[start + i] = (word >> i) & 1
        return scratch

    return read
