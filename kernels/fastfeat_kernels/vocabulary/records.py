# pyright: basic
"""What is written once the places of a batch of keys are known: counts, a number for each row."""

from __future__ import annotations

from numba import njit, types

from fastfeat_kernels.intrinsics import (
    SEPARATE_OPTIONS,
    pointer_int32,
    pointer_int64,
    pointer_uint8,
    select,
    shift_logical,
)
from fastfeat_kernels.vocabulary.layout import (
    GATHER_CURSORS,
    GATHER_NUMBERS,
    GATHER_TARGET,
    GATHER_VALUES,
    ROWS_IDS,
    ROWS_TARGET,
    ROWS_VALUES,
    STATE_N_MISSING,
    STATE_N_ROWS,
    TABLE_COUNTS,
    TABLE_CURSORS,
    TABLE_LOG_PARTITIONS,
    TABLE_MISSING,
    TABLE_NONE,
    TABLE_NUMBERS,
    TABLE_OUTPUTS,
    TABLE_ROWS,
    TABLE_STATE,
    TABLE_WEIGHTS,
)


@njit(**SEPARATE_OPTIONS)
def clear(address, n_bytes):
    """Set memory to zeros."""
    words = pointer_int64(address)
    for i in range(n_bytes >> 3):
        words[i] = 0


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
        out = pointer_int32(words[TABLE_ROWS] + 4 * row)
        if m == n:
            for j in range(m):  # in vectors
                out[j] = types.int32(places[j])
        else:
            fill_missing(words, row, n)
            for j in range(m):
                out[rows[j]] = types.int32(places[j])


@njit(**SEPARATE_OPTIONS)
def record_found(words, row, n, m, rows_at, places_at):
    """Write a number for each of n rows, m of which have a value."""
    rows, places = pointer_int64(rows_at), pointer_int64(places_at)
    out, none = pointer_int32(words[TABLE_ROWS] + 4 * row), types.int32(words[TABLE_NONE])
    if m < n:
        fill_missing(words, row, n)
    if words[TABLE_OUTPUTS] == 0 and m == n:
        for j in range(m):  # in vectors
            out[j] = types.int32(select(places[j] < 0, types.int64(none), places[j]))
    elif words[TABLE_OUTPUTS] == 0:
        for j in range(m):
            out[rows[j]] = types.int32(select(places[j] < 0, types.int64(none), places[j]))
    else:
        outputs = pointer_int32(words[TABLE_OUTPUTS])
        for j in range(m):
            out[rows[j]] = none if places[j] < 0 else outputs[places[j]]


def rows(table, first, n):
    """Write for each row the value of its id; the one before the first is for id -1."""
    words = pointer_int64(table)
    ids, target = pointer_int32(words[ROWS_IDS]), pointer_int32(words[ROWS_TARGET])
    values = pointer_int32(words[ROWS_VALUES] + 4)
    for i in range(first, first + n):
        target[i] = values[ids[i]]
    return 0


@njit(**SEPARATE_OPTIONS)
def record_partitions(words, row, n, m, rows_at, hashes_at):
    """Write and count the partition of each of n rows, m of which have a value."""
    rows, hashes = pointer_int64(rows_at), pointer_int64(hashes_at)
    numbers, counts = pointer_uint8(words[TABLE_NUMBERS] + row), pointer_int64(words[TABLE_CURSORS])
    bits = words[TABLE_LOG_PARTITIONS]
    if m < n:
        for i in range(n):
            numbers[i] = types.uint8(types.int64(1) << bits)
        counts[types.int64(1) << bits] += n - m
    for j in range(m):
        number = shift_logical(hashes[j], 64 - bits)
        numbers[rows[j]] = types.uint8(number)
        counts[number] += 1


def gather(table, first, n):
    """Write for each row what stands at the next place of its partition."""
    words = pointer_int64(table)
    numbers, cursors = pointer_uint8(words[GATHER_NUMBERS]), pointer_int64(words[GATHER_CURSORS])
    values, target = pointer_int32(words[GATHER_VALUES]), pointer_int32(words[GATHER_TARGET])
    for i in range(first, first + n):
        number = types.int64(numbers[i])
        at = cursors[number]
        target[i] = values[at]
        cursors[number] = at + 1
    return 0
