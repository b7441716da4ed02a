# pyright: basic
"""Combinations of numbered parts: one number for each, and a mark for those with a missing part."""

from __future__ import annotations

from numba import types

from fastfeat_kernels.intrinsics import opaque, pointer_int32, pointer_int64
from fastfeat_kernels.vocabulary.layout import COMBINE_KEYS, COMBINE_N_PARTS, COMBINE_PARTS

i64, i32 = types.int64, types.int32


def combine(table, first, n):
    """Write the number of the combination of each row; -1 where a part is below 0."""
    words = pointer_int64(opaque(table))
    keys = pointer_int64(words[COMBINE_KEYS])
    for row in range(first, first + n):
        key, is_known = i64(0), True
        for k in range(words[COMBINE_N_PARTS]):
            part = i64(pointer_int32(words[COMBINE_PARTS + 2 * k])[row])
            key = key * words[COMBINE_PARTS + 2 * k + 1] + part
            is_known &= part >= 0
        keys[row] = key if is_known else i64(-1)
    return 0


def lacking(table, first, n):
    """Write 0 as the code of each row with a part that is 0."""
    words = pointer_int64(opaque(table))
    codes = pointer_int32(words[COMBINE_KEYS])
    for k in range(words[COMBINE_N_PARTS]):
        part = pointer_int32(words[COMBINE_PARTS + 2 * k])
        for row in range(first, first + n):
            if part[row] == 0:
                codes[row] = i32(0)
    return 0
