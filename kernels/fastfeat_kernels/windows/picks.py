# pyright: basic
"""Values of windows that are those of one row: the first, the last, the n-th latest."""

from __future__ import annotations

from numba import njit, types

from fastfeat_kernels.intrinsics import SEPARATE_OPTIONS, pointer_int32, pointer_int64, select
from fastfeat_kernels.windows.columns import nothing_of
from fastfeat_kernels.windows.layout import (
    ASKS,
    COLUMN_COUNTS,
    COLUMN_LAST,
    COLUMN_NEXT,
    COLUMN_STATE,
    COLUMN_WORDS,
    COUNTS,
    FIRST,
    LAG,
    LAST,
    OUTPUT_FLAGGED,
    OUTPUT_MIN_SAMPLES,
    OUTPUT_PARAMETER,
    OUTPUT_SLOT,
    OUTPUT_STATISTIC,
    RESULTS,
    STATE_MISSING,
    TABLE_FLAGS,
    TABLE_SCRATCH,
)

i64 = types.int64


@njit(**SEPARATE_OPTIONS)
def read_picks(words, column, output, begins_at, ends_at, n, target):
    """Write the value of one row of each window."""
    scratch, statistic = words[TABLE_SCRATCH], output[OUTPUT_STATISTIC]
    x = pointer_int64(scratch + column[COLUMN_WORDS])
    begins, ends, results = pointer_int32(begins_at), pointer_int32(ends_at), pointer_int64(target)
    before = pointer_int32(scratch + column[COLUMN_COUNTS])
    following = pointer_int32(scratch + column[COLUMN_NEXT])
    last = pointer_int32(scratch + column[COLUMN_LAST])
    is_missing = pointer_int64(scratch + column[COLUMN_STATE])[STATE_MISSING] != 0
    nothing = nothing_of(column)
    back = select(statistic == LAG, output[OUTPUT_PARAMETER], i64(1))
    for j in range(n):
        begin, end = i64(begins[j]), i64(ends[j])
        at = end - back
        if statistic == FIRST:
            at = begin
            if is_missing:
                at = i64(following[begin])
        elif is_missing and statistic == LAST:
            at = i64(last[end])
        is_there = (at >= begin) & (at < end)
        at = select(is_there, at, i64(0))
        results[j] = select(is_there, x[at], nothing)
    if output[OUTPUT_FLAGGED] != 0 and statistic == LAG:
        counts, least = pointer_int32(scratch + COUNTS), output[OUTPUT_MIN_SAMPLES]
        flags = pointer_int64(scratch + RESULTS + 8 * ASKS * words[TABLE_FLAGS])
        for j in range(n):
            at = i64(ends[j]) - back
            is_there = at >= begins[j]
            at = select(is_there, at, i64(0))
            if is_missing:
                is_there &= before[at + 1] != before[at]
            flags[j] |= i64(is_there & (counts[j] >= least)) << output[OUTPUT_SLOT]
