# pyright: basic
"""Streaks: how many of the latest rows of a window are true, one after the other up to its end."""

from __future__ import annotations

from numba import njit, types

from fastfeat_kernels.intrinsics import (
    SEPARATE_OPTIONS,
    larger,
    pointer_int32,
    pointer_int64,
)
from fastfeat_kernels.windows.cpu.averages import is_value, number_of_word
from fastfeat_kernels.windows.layout import (
    COLUMN_KIND,
    COLUMN_WORDS,
    ENTITY_STARTS,
    OUTPUT_STATE,
    TABLE_SCRATCH,
)

i64 = types.int64
ENTITY, ADDED, BROKEN = 0, 1, 2  # of the state: BROKEN is the place behind the last that is not


@njit(**SEPARATE_OPTIONS)
def read_streaks(words, column, output, begins_at, ends_at, n, target):
    """Write the lengths of streaks."""
    scratch = words[TABLE_SCRATCH]
    x = pointer_int64(scratch + column[COLUMN_WORDS])
    state = pointer_int64(scratch + output[OUTPUT_STATE])
    begins, ends, results = pointer_int32(begins_at), pointer_int32(ends_at), pointer_int64(target)
    starts = pointer_int32(scratch + ENTITY_STARTS)
    entity, added, broken = state[ENTITY], state[ADDED], state[BROKEN]
    for j in range(n):
        if entity != starts[j]:
            entity = i64(starts[j])
            added, broken = entity, entity
        while added < ends[j]:
            value = number_of_word(column[COLUMN_KIND], x[added])
            if value == 0.0 or not is_value(column, scratch, added):
                broken = added + 1
            added += 1
        results[j] = i64(ends[j]) - larger(i64(begins[j]), broken)
    state[ENTITY], state[ADDED], state[BROKEN] = entity, added, broken
