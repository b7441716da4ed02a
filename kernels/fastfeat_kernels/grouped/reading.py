# pyright: basic
"""Reads a block of a column: float64 with NaN for what is missing, or int64."""

from __future__ import annotations

from numba import njit, types

from fastfeat_kernels.blocks import NAN_BITS, mask, read_bools, read_floats, read_integers
from fastfeat_kernels.column import ELEMENTS
from fastfeat_kernels.grouped.layout import (
    TABLE_BIT_OFFSET,
    TABLE_ELEMENT,
    TABLE_SCRATCH,
    TABLE_VALIDITY,
    TABLE_VALUE_BIT_OFFSET,
    TABLE_VALUES,
)
from fastfeat_kernels.intrinsics import INNER_OPTIONS

i64 = types.int64
FLOAT32, BOOL = ELEMENTS.index("float32"), ELEMENTS.index("bool")


@njit(**INNER_OPTIONS)
def is_float(words):
    """Return whether NaN says that a value is missing."""
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
