# pyright: basic
"""Output for a batch of keys with known places: counts, and a number for each row."""

from __future__ import annotations

from numba import njit, types

from fastfeat_kernels.intrinsics import (
    INNER_OPTIONS,
    SEPARATE_OPTIONS,
    pointer_int32,
    pointer_int64,
    pointer_uint8,
    prefetch,
    select,
    shift_logical,
    smaller,
)
from fastfeat_kernels.vocabulary.layout import (
    GATHER_BLOCK_STARTS,
    GATHER_NUMBERS,
    GATHER_SCRATCH,
    GATHER_STRIDE,
    GATHER_TARGET,
    GATHER_VALUES,
    ROWS_IDS,
    ROWS_RUN_STRIDE,
    ROWS_RUNS,
    ROWS_TARGET,
    ROWS_VALUES,
    STATE_N_MISSING,
    STATE_N_ROWS,
    TABLE_CHUNK_START,
    TABLE_COUNTS,
    TABLE_LOG_PARTITIONS,
    TABLE_MISSING,
    TABLE_NONE,
    TABLE_NUMBERS,
    TABLE_OUTPUTS,
    TABLE_ROWS,
    TABLE_RUN_STRIDE,
    TABLE_RUNS,
    TABLE_START,
    TABLE_STATE,
    TABLE_VALUES,
    TABLE_WEIGHTS,
)

N_LINES_AHEAD = 4  # up to where the processor's own prefetch takes over
N_BYTES_AHEAD = 128  # bytes of a partition to prefetch before they are written


@njit(**SEPARATE_OPTIONS)
def clear(address, n_bytes):
    """Set memory to zeros."""
    words = pointer_int64(address)
    for i in range(n_bytes >> 3):
        words[i] = 0


@njit(**SEPARATE_OPTIONS)
def fill_missing(words, row, n):
    """Write the number of a missing value for n rows."""
    out = pointer_int32(words[TABLE_ROWS] + 4 * row)
    missing = types.int32(words[TABLE_MISSING])
    for i in range(n):
        out[i] = missing


@njit(**SEPARATE_OPTIONS)
def count_places(words, row, m, rows_at, places_at):
    """Count m keys, each with the weight of its row."""
    rows, places = pointer_int64(rows_at), pointer_int32(places_at)
    counts = pointer_int64(words[TABLE_COUNTS])
    if words[TABLE_WEIGHTS] == 0:
        for j in range(m):
            counts[places[j]] += 1
    else:
        weights = pointer_int64(words[TABLE_WEIGHTS] + 8 * row)
        for j in range(m):
            counts[places[j]] += weights[rows[j]]


@njit(**SEPARATE_OPTIONS)
def record_learnt(words, row, n, m, rows_at, places_at):
    """Add n rows, m of them with a value, to the counts of rows, and write the place of each row.

    The places may already be at the target address.
    """
    rows, places = pointer_int64(rows_at), pointer_int32(places_at)
    state = pointer_int64(words[TABLE_STATE])
    state[STATE_N_ROWS] += n
    state[STATE_N_MISSING] += n - m
    target = words[TABLE_ROWS] + 4 * row
    if words[TABLE_ROWS] != 0 and places_at != target:
        out = pointer_int32(target)
        if m == n:
            for j in range(m):  # vectorized
                out[j] = places[j]
        else:
            fill_missing(words, row, n)
            for j in range(m):
                out[rows[j]] = places[j]


@njit(**SEPARATE_OPTIONS)
def record_found(words, row, n, m, rows_at, places_at):
    """Write a number for each of n rows, m of which have a value.

    The places may already be at the target address, if all rows have one.
    """
    rows, places = pointer_int64(rows_at), pointer_int32(places_at)
    out, none = pointer_int32(words[TABLE_ROWS] + 4 * row), types.int32(words[TABLE_NONE])
    start = types.int32(words[TABLE_START])
    if m < n:
        fill_missing(words, row, n)
    if words[TABLE_OUTPUTS] == 0 and m == n:
        for j in range(m):  # vectorized
            out[j] = select(places[j] < 0, none, types.int32(places[j] + start))
    elif words[TABLE_OUTPUTS] == 0:
        for j in range(m):
            out[rows[j]] = select(places[j] < 0, none, types.int32(places[j] + start))
    else:
        outputs = pointer_int32(words[TABLE_OUTPUTS])
        for j in range(m):
            out[rows[j]] = none if places[j] < 0 else outputs[places[j]]


@njit(**INNER_OPTIONS)
def size_of_run(words, block):
    """Return the number of rows of a block in the current partition."""
    run = pointer_int64(words[TABLE_RUNS] + 8 * block * words[TABLE_RUN_STRIDE])
    return run[1] - run[0]


@njit(**INNER_OPTIONS)
def rest_of_run(words, block, n_taken):
    """Return the first untaken row of a block in the current partition, and their number."""
    run = pointer_int64(words[TABLE_RUNS] + 8 * block * words[TABLE_RUN_STRIDE])
    start = run[0] + smaller(n_taken, run[1] - run[0])
    return start, run[1] - start


@njit(**INNER_OPTIONS)
def prefetch_run(words, block, end, row_bytes):
    """Prefetch the first rows of a block in the current partition, and the target of their ids."""
    if block < end:
        run = pointer_int64(words[TABLE_RUNS] + 8 * block * words[TABLE_RUN_STRIDE])
        for k in range(N_LINES_AHEAD):
            prefetch(words[TABLE_VALUES] + run[0] * row_bytes + (k << 6))
            if words[TABLE_ROWS] != 0:
                prefetch(words[TABLE_ROWS] + run[0] * 4 + (k << 6))


@njit(**SEPARATE_OPTIONS)
def write_values(words, first, n):
    """Write the value of each of n rows' ids; without ids, the value for id -1."""
    target, values = pointer_int32(words[ROWS_TARGET]), pointer_int32(words[ROWS_VALUES] + 4)
    if words[ROWS_IDS] == 0:
        for i in range(first, first + n):
            target[i] = values[-1]
    else:
        ids = pointer_int32(words[ROWS_IDS])
        for i in range(first, first + n):
            target[i] = values[ids[i]]


def rows(table, first, n):
    """Write the value of each row's id; the value for id -1 precedes the others."""
    words = pointer_int64(table)
    if words[ROWS_RUNS] == 0:
        write_values(words, first, n)
    else:
        for block in range(first, first + n):
            run = pointer_int64(words[ROWS_RUNS] + 8 * block * words[ROWS_RUN_STRIDE])
            write_values(words, run[0], run[1] - run[0])
    return 0


@njit(**INNER_OPTIONS)
def partition_bytes(words):
    """Return the bytes of a block's partition starts, including the end."""
    return ((types.int64(1) << words[TABLE_LOG_PARTITIONS]) + 2) << 3


@njit(**SEPARATE_OPTIONS)
def count_partitions(words, row, n, m, rows_at, hashes_at, counts_at):
    """Write and count the partition of each of n rows, m of which have a value."""
    rows, hashes = pointer_int64(rows_at), pointer_int64(hashes_at)
    numbers = pointer_uint8(words[TABLE_NUMBERS] + words[TABLE_CHUNK_START] + row)
    counts, bits = pointer_int64(counts_at), words[TABLE_LOG_PARTITIONS]
    if m == n:
        for j in range(m):  # vectorized
            numbers[j] = types.uint8(shift_logical(hashes[j], 64 - bits))
    else:
        for i in range(n):
            numbers[i] = types.uint8(types.int64(1) << bits)
        for j in range(m):
            numbers[rows[j]] = types.uint8(shift_logical(hashes[j], 64 - bits))
    for i in range(n):
        counts[types.int64(numbers[i])] += 1


@njit(**SEPARATE_OPTIONS)
def begin_partitions(words, row, starts_at, cursors_at):
    """Replace the partition counts of a block by partition starts, and copy these."""
    starts, cursors = pointer_int64(starts_at), pointer_int64(cursors_at)
    total = words[TABLE_CHUNK_START] + row
    for k in range((partition_bytes(words) >> 3) - 1):
        size = starts[k]
        starts[k], cursors[k] = total, total
        total += size
    starts[(partition_bytes(words) >> 3) - 1] = total


def gather(table, first, n):
    """Write for each row of blocks the next value of its partition."""
    words = pointer_int64(table)
    numbers, cursors = pointer_uint8(words[GATHER_NUMBERS]), pointer_int64(words[GATHER_SCRATCH])
    values, target = pointer_int32(words[GATHER_VALUES]), pointer_int32(words[GATHER_TARGET])
    stride = words[GATHER_STRIDE]
    for block in range(first, first + n):
        starts = pointer_int64(words[GATHER_BLOCK_STARTS] + 8 * block * stride)
        for k in range(stride - 1):
            cursors[k] = starts[k]
        for i in range(starts[0], starts[stride - 1]):
            number = types.int64(numbers[i])
            at = cursors[number]
            target[i] = values[at]
            cursors[number] = at + 1
    return 0
