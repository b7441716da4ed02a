# pyright: basic
"""What is written once the places of a batch of keys are known: counts, a number for each row."""

from __future__ import annotations

from numba import njit, types

from fastfeat_kernels.intrinsics import SEPARATE_OPTIONS, pointer_int32, pointer_int64, select
from fastfeat_kernels.vocabulary.layout import (
    STATE_N_MISSING,
    STATE_N_ROWS,
    TABLE_COUNTS,
    TABLE_MISSING,
    TABLE_NONE,
    TABLE_OUTPUTS,
    TABLE_ROWS,
    TABLE_STATE,
    TABLE_WEIGHTS,
)


@njit(**SEPARATE_OPTIONS)
def fill_missing(words, row, n):
    """Write of n rows that they are missing."""
    out = pointer_int32(words[TABLE_ROWS] + 4 * row)
    missing = types.int32(words[TABLE_MISSING])
    for i in range(n):
        out[i] = missing


@njit(**SEPARATE_OPTIONS)
def record_learnt(words, row, n, m, rows_at, places_at):
    """Count m keys among n rows, and write the place of each row."""
    rows, places = pointer_int64(rows_at), pointer_int64(places_at)
    counts, state = pointer_int64(words[TABLE_COUNTS]), pointer_int64(words[TABLE_STATE])
    state[STATE_N_ROWS] += n
    state[STATE_N_MISSING] += n - m
    if words[TABLE_WEIGHTS] == 0:
        for j in range(m):
            counts[places[j]] += 1
    else:
        weights = pointer_int64(words[TABLE_WEIGHTS] + 8 * row)
        for j in range(m):
            counts[places[j]] += weights[rows[j]]
    if words[TABLE_ROWS] != 0:
        if m < n:
            fill_missing(words, row, n)
        out = pointer_int32(words[TABLE_ROWS] + 4 * row)
        for j in range(m):
            out[rows[j]] = types.int32(places[j])


@njit(**SEPARATE_OPTIONS)
def record_found(words, row, n, m, rows_at, places_at):
    """Write a number for each of n rows, m of which have a value."""
    rows, places = pointer_int64(rows_at), pointer_int64(places_at)
    out, none = pointer_int32(words[TABLE_ROWS] + 4 * row), types.int32(words[TABLE_NONE])
    if m < n:
        fill_missing(words, row, n)
    if words[TABLE_OUTPUTS] == 0:
        for j in range(m):
            out[rows[j]] = types.int32(select(places[j] < 0, types.int64(none), places[j]))
    else:
        outputs = pointer_int32(words[TABLE_OUTPUTS])
        for j in range(m):
            out[rows[j]] = none if places[j] < 0 else outputs[places[j]]


def rows(table, first, n):
    """Write for each row the value of its id; the one before the first is for id -1."""
    words = pointer_int64(table)
    ids, target = pointer_int32(words[0]), pointer_int32(words[2])
    values = pointer_int32(words[1] + 4)
    for i in range(first, first + n):
        target[i] = values[ids[i]]
    return 0
