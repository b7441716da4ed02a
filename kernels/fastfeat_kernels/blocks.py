# pyright: basic
"""Reads a column block by block, of any type and with or without a bitmap, as float64 or int64.

The hand-written kernels share this. A block has at most `BLOCK` rows. Floats come as float64 with
NaN for missing values; integers as int64 (uint64 minus 2**63) with a fill for missing values.
"""

from __future__ import annotations

import numpy as np
from numba import njit, types

from fastfeat_kernels.column import ELEMENTS
from fastfeat_kernels.intrinsics import (
    SEPARATE_OPTIONS,
    expand,
    pointer_float32,
    pointer_float64,
    pointer_int64,
    pointer_uint8,
    pointer_uint16,
    pointer_uint32,
    popcount,
    read_bits,
    select,
    smaller,
)

NAN_BITS = 0x7FF8 << 48
INFINITE = 0x7FF << 52  # bits of +inf; those of a NaN, without its sign, are greater
LOWEST = np.int64(-(2**63))
HIGHEST = 2**63 - 1  # also: all bits of a float except its sign
FLOAT64, FLOAT32, INT8, INT64, UINT8, BOOL = (
    ELEMENTS.index(element) for element in ("float64", "float32", "int8", "int64", "uint8", "bool")
)


@njit(**SEPARATE_OPTIONS)
def mask(target, source, validity, bit, n, fill):
    """Copy n words from one address to another (or the same); `fill` where the bit is 0."""
    n_whole = n & ~63
    for i in range(0, n_whole, 64):
        word = read_bits(validity, bit + i, types.int64(64))
        at = i << 3
        expand(pointer_int64(target + at), pointer_int64(source + at), word, fill)
    word = read_bits(validity, bit + n_whole, n - n_whole)
    x, y = pointer_int64(source), pointer_int64(target)
    for i in range(n_whole, n):
        y[i] = select((word >> (i - n_whole)) & 1 != 0, x[i], fill)


@njit(**SEPARATE_OPTIONS)
def count_bits(address, first, n):
    """Return the number of set bits among n, from bit `first` of a bitmap on."""
    total = types.int64(0)
    n_whole = n & ~63
    if first & 7 == 0:  # whole words, several of which are counted at a time
        words = pointer_int64(address + (first >> 3))
        for i in range(n_whole >> 6):
            total += popcount(words[i])
    else:
        for i in range(0, n_whole, 64):
            total += popcount(read_bits(address, first + i, types.int64(64)))
    return total + popcount(read_bits(address, first + n_whole, n - n_whole))


@njit(**SEPARATE_OPTIONS)
def read_floats(element, values, row, n, scratch):
    """Return the address of n float64, with missing ones: in the column itself, or `scratch`."""
    if element == FLOAT64:
        return values + (row << 3)
    x, y = pointer_float32(values), pointer_float64(scratch)
    for i in range(n):
        y[i] = types.float64(x[row + i])
    return scratch


@njit(**SEPARATE_OPTIONS)
def read_integers(element, values, row, n, scratch):
    """Return the address of n int64: in the column itself, or `scratch`; uint64 minus 2**63.

    Narrow integers are read unsigned, and their sign is then extended: (x ^ sign) - sign.
    """
    if element == INT64:
        return values + (row << 3)
    y, log_bytes = pointer_int64(scratch), (element - INT8) & 3
    sign = select(element < UINT8, types.int64(1) << ((8 << log_bytes) - 1), types.int64(0))
    if log_bytes == 0:
        bytes1 = pointer_uint8(values)
        for i in range(n):
            y[i] = (types.int64(bytes1[row + i]) ^ sign) - sign
    elif log_bytes == 1:
        bytes2 = pointer_uint16(values)
        for i in range(n):
            y[i] = (types.int64(bytes2[row + i]) ^ sign) - sign
    elif log_bytes == 2:
        bytes4 = pointer_uint32(values)
        for i in range(n):
            y[i] = (types.int64(bytes4[row + i]) ^ sign) - sign
    else:
        bytes8 = pointer_int64(values)
        for i in range(n):
            y[i] = bytes8[row + i] ^ LOWEST
    return scratch


@njit(**SEPARATE_OPTIONS)
def read_bools(values, value_bit, row, n, scratch):
    """Return the address of n int64, 0 or 1: `scratch`."""
    y = pointer_int64(scratch)
    for start in range(0, n, 64):
        m = smaller(n - start, 64)
        word = read_bits(values, value_bit + row + start, m)
        for i in range(m):
            y[start + i] = (word >> i) & 1
    return scratch


@njit(**SEPARATE_OPTIONS)
def read_words(element, values, value_bit, row, n, scratch):
    """Return the address of n values as float64, or as int64 (uint64 minus 2**63)."""
    if element == BOOL:
        return read_bools(values, value_bit, row, n, scratch)
    if element <= FLOAT32:
        return read_floats(element, values, row, n, scratch)
    return read_integers(element, values, row, n, scratch)


@njit(**SEPARATE_OPTIONS)
def present_rows(validity, bit, n, rows):
    """Write the numbers of rows with a value, ascending; return their count. No bitmap: all n."""
    r, m = pointer_int64(rows), types.int64(0)
    if validity == 0:
        for i in range(n):
            r[i] = i
        return types.int64(n)
    for start in range(0, n, 64):
        k = smaller(n - start, 64)
        word = read_bits(validity, bit + start, k)
        for i in range(k):
            r[m] = start + i
            m += (word >> i) & 1
    return m
