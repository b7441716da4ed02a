# pyright: basic
"""Which rows of the output are missing: those of the input."""

from __future__ import annotations

from numba import types

from fastfeat_kernels.intrinsics import opaque, pointer_int64, popcount, smaller
from fastfeat_kernels.text.layout import TABLE_FOUND, TABLE_OUT, TABLE_OUT_ROW
from fastfeat_kernels.text.rows import present_bits, write_bits


def validity(table, first, n):
    """Copy the bitmap of the rows; report how many are present."""
    words, n_present = pointer_int64(opaque(table)), types.int64(0)
    for start in range(0, n, 64):
        row, m = first + start, smaller(n - start, 64)
        bits = present_bits(words, row, m)
        write_bits(words[TABLE_OUT], words[TABLE_OUT_ROW] + row, bits, m)
        n_present += popcount(bits)
    words[TABLE_FOUND] = n_present
    return 0


VALIDITY = (validity,)
"""The entries of this file."""
