# pyright: basic
"""A partition of entities: batches of whole entities, in blocks of rows that ask for results."""

from __future__ import annotations

from numba import njit, types

from fastfeat_kernels.blocks import LOWEST, NAN_BITS
from fastfeat_kernels.intrinsics import (
    INNER_OPTIONS,
    SEPARATE_OPTIONS,
    enter_ieee,
    leave_ieee,
    opaque,
    pointer_int32,
    pointer_int64,
    select,
    smaller,
)
from fastfeat_kernels.windows.bounds import find_all_bounds, window_of
from fastfeat_kernels.windows.columns import find_lowest, load_column, nothing_of
from fastfeat_kernels.windows.extremes import PIVOT, read_extremes
from fastfeat_kernels.windows.layout import (
    ARRIVALS,
    ASKS,
    BATCH,
    COLUMN_COUNTS,
    COLUMN_KIND,
    COLUMN_STATE,
    COUNT,
    COUNTS,
    DEVIATION,
    ENTITY_ENDS,
    ENTITY_STARTS,
    FLOAT,
    LAG,
    MAX,
    MEAN,
    MIN,
    N_COLUMN_WORDS,
    N_OUTPUT_WORDS,
    N_ROWS,
    N_UNIQUE,
    OUTPUT_COLUMN,
    OUTPUT_COUNTED,
    OUTPUT_FLAGGED,
    OUTPUT_MIN_SAMPLES,
    OUTPUT_SLOT,
    OUTPUT_STATE,
    OUTPUT_STATISTIC,
    OUTPUT_WINDOW,
    PLACES,
    QUANTILE,
    RESULTS,
    STATE_INFINITE,
    STATE_MISSING,
    STATE_WIDE,
    SUM,
    TABLE_ARRIVALS,
    TABLE_ASK_FROM,
    TABLE_COLUMNS,
    TABLE_FLAGS,
    TABLE_N_COLUMNS,
    TABLE_N_OUTPUTS,
    TABLE_N_WINDOWS,
    TABLE_OUTPUTS,
    TABLE_OVERFLOWS,
    TABLE_ROW_WORDS,
    TABLE_SCRATCH,
    TABLE_STAGE,
    TABLE_STARTS,
    VARIANCE,
    WINDOW_BEGINS,
    WINDOW_ENDS,
    WINDOW_STATE,
)
from fastfeat_kernels.windows.picks import read_picks
from fastfeat_kernels.windows.ranks import ENTITY, rank_column, read_ordered
from fastfeat_kernels.windows.sums import (
    mark_infinite,
    read_high_levels,
    read_integer_sums,
    read_levels,
    read_spreads,
)
from fastfeat_kernels.windows.vectors import store_turned4, store_turned8
from fastfeat_kernels.windows.wide import clear_wide, read_wide

i64 = types.int64
NEXT_ENTITY, NEXT_ROW = 0, 1  # words of scratch memory: where to look for rows that ask


@njit(**INNER_OPTIONS)
def column_of(words, number):
    """Return the words of a column."""
    return pointer_int64(words[TABLE_COLUMNS] + 8 * N_COLUMN_WORDS * number)


@njit(**INNER_OPTIONS)
def output_of(words, number):
    """Return the words of an output."""
    return pointer_int64(words[TABLE_OUTPUTS] + 8 * N_OUTPUT_WORDS * number)


@njit(**SEPARATE_OPTIONS)
def find_asking(words, end, base):
    """Write the next rows that ask, of entities before `end`; return how many."""
    scratch, arrivals = words[TABLE_SCRATCH], pointer_int32(words[TABLE_ARRIVALS])
    state, starts = pointer_int64(scratch), pointer_int64(words[TABLE_STARTS])
    places, begins = pointer_int32(scratch + PLACES), pointer_int32(scratch + ENTITY_STARTS)
    stops, found = pointer_int32(scratch + ENTITY_ENDS), pointer_int32(scratch + ARRIVALS)
    entity, row, ask_from, n = state[NEXT_ENTITY], state[NEXT_ROW], words[TABLE_ASK_FROM], i64(0)
    while entity < end and n < ASKS:
        start, stop = starts[entity], starts[entity + 1]
        last = smaller(stop, row + ASKS - n)
        for at in range(row, last):
            places[n], begins[n] = types.int32(at - base), types.int32(start - base)
            stops[n], found[n] = types.int32(stop - base), arrivals[at]
            n += i64(arrivals[at] >= ask_from)
        row = last
        if row == stop:
            entity += 1
    state[NEXT_ENTITY], state[NEXT_ROW] = entity, row
    return n


@njit(**SEPARATE_OPTIONS)
def is_asking(words, begin, end):
    """Return whether any of the rows in places [begin, end) asks."""
    arrivals, ask_from = pointer_int32(words[TABLE_ARRIVALS]), words[TABLE_ASK_FROM]
    found = i64(0)
    for at in range(begin, end):
        found |= i64(arrivals[at] >= ask_from)
    return found != 0


@njit(**SEPARATE_OPTIONS)
def count_in_windows(words, column, begins_at, ends_at, n, is_of_rows):
    """Write how many values, or rows, each window has."""
    scratch = words[TABLE_SCRATCH]
    begins, ends = pointer_int32(begins_at), pointer_int32(ends_at)
    counts, before = (
        pointer_int32(scratch + COUNTS),
        pointer_int32(scratch + column[COLUMN_COUNTS]),
    )
    is_missing = pointer_int64(scratch + column[COLUMN_STATE])[STATE_MISSING] != 0
    if is_missing and not is_of_rows:
        for j in range(n):
            counts[j] = before[i64(ends[j])] - before[i64(begins[j])]
    else:
        for j in range(n):
            counts[j] = ends[j] - begins[j]


@njit(**SEPARATE_OPTIONS)
def copy_counts(words, n, target):
    """Write the counts as results."""
    counts, results = pointer_int32(words[TABLE_SCRATCH] + COUNTS), pointer_int64(target)
    for j in range(n):
        results[j] = i64(counts[j])


@njit(**INNER_OPTIONS)
def is_always_float(statistic):
    """Return whether a statistic of integers is a float."""
    return ((statistic >= MEAN) & (statistic <= DEVIATION)) | (statistic == QUANTILE)


@njit(**SEPARATE_OPTIONS)
def mark_few(words, column, output, n, target):
    """Write nothing where a window has fewer values than it must."""
    counts, results = pointer_int32(words[TABLE_SCRATCH] + COUNTS), pointer_int64(target)
    least, nothing = output[OUTPUT_MIN_SAMPLES], nothing_of(column)
    statistic = output[OUTPUT_STATISTIC]
    if is_always_float(statistic):
        nothing = i64(NAN_BITS)
    elif (statistic == N_UNIQUE) | ((statistic == SUM) & (column[COLUMN_KIND] != FLOAT)):
        nothing = i64(0)
    for j in range(n):
        results[j] = select(counts[j] < least, nothing, results[j])


@njit(**SEPARATE_OPTIONS)
def flag(words, output, n):
    """Say by a bit for each window whether its result is there."""
    scratch, slot = words[TABLE_SCRATCH], output[OUTPUT_SLOT]
    counts = pointer_int32(scratch + COUNTS)
    flags = pointer_int64(scratch + RESULTS + 8 * ASKS * words[TABLE_FLAGS])
    least, statistic = output[OUTPUT_MIN_SAMPLES], output[OUTPUT_STATISTIC]
    if (least == 0) & (statistic != SUM) & (statistic != N_UNIQUE):
        least = i64(1)
    for j in range(n):
        flags[j] |= i64(counts[j] >= least) << slot


@njit(**SEPARATE_OPTIONS)
def read_sums(words, column, output, begins, ends, n, target, number):
    """Write results that come from sums."""
    state = pointer_int64(words[TABLE_SCRATCH] + column[COLUMN_STATE])
    statistic = output[OUTPUT_STATISTIC]
    if statistic == SUM and column[COLUMN_KIND] != FLOAT:
        overflow = words[TABLE_OVERFLOWS] + 8 * number
        read_integer_sums(words, column, output, begins, ends, n, target, overflow)
    elif is_wide(words, column):
        read_wide(words, column, output, begins, ends, n, target)
    elif statistic >= VARIANCE:
        read_spreads(words, column, output, begins, ends, n, target)
    elif read_levels(words, column, output, begins, ends, n, target) != 0:
        read_high_levels(words, column, output, begins, ends, n, target)
    if state[STATE_INFINITE] != 0:
        mark_infinite(words, column, output, begins, ends, n, target)


@njit(**SEPARATE_OPTIONS)
def read_output(words, number, n):
    """Write the results of one output for the rows of a block."""
    scratch, output = words[TABLE_SCRATCH], output_of(words, number)
    window = window_of(words, output[OUTPUT_WINDOW])
    column = column_of(words, output[OUTPUT_COLUMN])
    begins, ends = scratch + window[WINDOW_BEGINS], scratch + window[WINDOW_ENDS]
    target, statistic = scratch + RESULTS + 8 * ASKS * output[OUTPUT_SLOT], output[OUTPUT_STATISTIC]
    if output[OUTPUT_COUNTED] == 0:
        count_in_windows(words, column, begins, ends, n, statistic == N_ROWS)
    if statistic <= COUNT:
        copy_counts(words, n, target)
        return
    if statistic <= DEVIATION:
        read_sums(words, column, output, begins, ends, n, target, number)
    elif statistic <= MAX:
        read_extremes(words, column, output, begins, ends, n, target)
    elif statistic <= LAG:
        read_picks(words, column, output, begins, ends, n, target)
    else:
        read_ordered(words, column, output, begins, ends, n, target)
    if output[OUTPUT_MIN_SAMPLES] > 0:
        mark_few(words, column, output, n, target)
    if output[OUTPUT_FLAGGED] != 0 and statistic != LAG:
        flag(words, output, n)


@njit(**SEPARATE_OPTIONS)
def store_rows(words, n):
    """Copy the results of a block to where those of each row stand."""
    scratch, n_words, stage = words[TABLE_SCRATCH], words[TABLE_ROW_WORDS], words[TABLE_STAGE]
    arrivals, results, stride = scratch + ARRIVALS, scratch + RESULTS, i64(8 * ASKS)
    whole = n & -n_words
    if n_words == 8:
        for j in range(0, whole, 8):
            store_turned8(stage, arrivals + 4 * j, results + 8 * j, stride)
    else:
        for j in range(0, whole, 4):
            store_turned4(stage, arrivals + 4 * j, results + 8 * j, stride)
    for j in range(whole, n):
        row = pointer_int64(stage + 8 * n_words * i64(pointer_int32(arrivals)[j]))
        for slot in range(n_words):
            row[slot] = pointer_int64(results + stride * slot)[j]


@njit(**INNER_OPTIONS)
def is_wide(words, column):
    """Return whether the limbs of a column do not hold its values."""
    return pointer_int64(words[TABLE_SCRATCH] + column[COLUMN_STATE])[STATE_WIDE] != 0


@njit(**SEPARATE_OPTIONS)
def begin_batch(words):
    """Set windows and outputs to the beginning of a batch."""
    scratch = words[TABLE_SCRATCH]
    for k in range(words[TABLE_N_WINDOWS]):
        state = pointer_int64(scratch + window_of(words, k)[WINDOW_STATE])
        state[0], state[1] = i64(0), i64(0)
    for k in range(words[TABLE_N_OUTPUTS]):
        output = output_of(words, k)
        state, statistic = (
            pointer_int64(scratch + output[OUTPUT_STATE]),
            output[OUTPUT_STATISTIC],
        )
        column = column_of(words, output[OUTPUT_COLUMN])
        if statistic >= QUANTILE:
            state[ENTITY] = i64(-1)
        elif (statistic >= MIN) & (statistic <= MAX):
            state[PIVOT], state[1], state[2] = i64(0), i64(0), LOWEST
        elif (statistic <= DEVIATION) & (statistic >= SUM) and is_wide(words, column):
            clear_wide(words, output)


@njit(**SEPARATE_OPTIONS)
def clear_flags(words, n):
    """Begin a block with no bits."""
    flags = pointer_int64(words[TABLE_SCRATCH] + RESULTS + 8 * ASKS * words[TABLE_FLAGS])
    for j in range(n):
        flags[j] = i64(0)


@njit(**SEPARATE_OPTIONS)
def load_columns(words, first, end):
    """Prepare the columns for entities [first, end); return whether sums of one are wide."""
    starts = pointer_int64(words[TABLE_STARTS])
    base, is_wide = starts[first], i64(0)
    n = starts[end] - base
    for k in range(words[TABLE_N_COLUMNS]):
        is_wide |= load_column(words, column_of(words, k), base, n)
    return is_wide


@njit(**SEPARATE_OPTIONS)
def run_batch(words, first, end):
    """Write the results of entities [first, end), whose columns are prepared."""
    scratch = words[TABLE_SCRATCH]
    starts, state = pointer_int64(words[TABLE_STARTS]), pointer_int64(scratch)
    base = starts[first]
    for k in range(words[TABLE_N_COLUMNS]):
        column = column_of(words, k)
        rank_column(words, column, first, end)
        known = pointer_int64(scratch + column[COLUMN_STATE])
        if known[STATE_WIDE] != 0:
            find_lowest(words, column, starts[end] - base, known)
    begin_batch(words)
    state[NEXT_ENTITY], state[NEXT_ROW] = first, base
    n = find_asking(words, end, base)
    while n > 0:
        if words[TABLE_FLAGS] >= 0:
            clear_flags(words, n)
        find_all_bounds(words, base, n)
        for k in range(words[TABLE_N_OUTPUTS]):
            read_output(words, k, n)
        store_rows(words, n)
        n = find_asking(words, end, base)


@njit(**SEPARATE_OPTIONS)
def run_entities(words, first, end):
    """Write the results of entities [first, end), one by one where the sums of some are wide."""
    starts = pointer_int64(words[TABLE_STARTS])
    if load_columns(words, first, end) == 0 or end - first == 1:
        run_batch(words, first, end)
    else:
        for entity in range(first, end):
            if is_asking(words, starts[entity], starts[entity + 1]):
                load_columns(words, entity, entity + 1)
                run_batch(words, entity, entity + 1)


def compute(table, first, n):
    """Write the results of the rows that ask, of n entities from the first on."""
    saved = enter_ieee()
    words = pointer_int64(opaque(table))
    starts = pointer_int64(words[TABLE_STARTS])
    entity, end = first, first + n
    while entity < end:
        stop = entity + 1
        while stop < end and starts[stop] - starts[entity] < BATCH:
            stop += 1
        if is_asking(words, starts[entity], starts[stop]):
            run_entities(words, entity, stop)
        entity = stop
    leave_ieee(saved)
    return 0
