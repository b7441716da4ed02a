# pyright: basic
"""The results of one statistic over one window, for a block of asking rows."""

from __future__ import annotations

from numba import njit, types

from fastfeat_kernels.intrinsics import (
    INNER_OPTIONS,
    SEPARATE_OPTIONS,
    pointer_int32,
    pointer_int64,
    select,
)
from fastfeat_kernels.windows import layout
from fastfeat_kernels.windows.cpu.averages import read_averages
from fastfeat_kernels.windows.cpu.bounds import is_open, window_of
from fastfeat_kernels.windows.cpu.extremes import read_extremes
from fastfeat_kernels.windows.cpu.picks import read_picks, read_since, read_streaks
from fastfeat_kernels.windows.cpu.ranks import read_ordered
from fastfeat_kernels.windows.cpu.shapes import read_shapes
from fastfeat_kernels.windows.cpu.slopes import read_slopes
from fastfeat_kernels.windows.cpu.standings import read_ranks
from fastfeat_kernels.windows.cpu.sums import (
    is_narrow,
    mark_infinite,
    read_integer_sums,
    read_levels,
    read_narrow_spreads,
    read_spreads,
    read_whole_means,
    sum_over,
)
from fastfeat_kernels.windows.cpu.wide import read_wide
from fastfeat_kernels.windows.layout import OUTPUT_FAMILY
from fastfeat_kernels.windows.statistics import (
    COMPARING,
    COUNTING,
    DECAYING,
    FITTING,
    MEAN,
    N_ROWS,
    ORDERING,
    PICKING,
    RANKING,
    RUNNING,
    SHAPING,
    SUM,
    SUMMING,
    WHOLE_MEAN,
)

i64 = types.int64


@njit(**INNER_OPTIONS)
def column_of(words, number):
    """Return the words of a column."""
    return pointer_int64(words[layout.TABLE_COLUMNS] + 8 * layout.N_COLUMN_WORDS * number)


@njit(**INNER_OPTIONS)
def output_of(words, number):
    """Return the words of an output."""
    return pointer_int64(words[layout.TABLE_OUTPUTS] + 8 * layout.N_OUTPUT_WORDS * number)


@njit(**INNER_OPTIONS)
def is_wide(words, column):
    """Return whether the values of a column are too wide for its limbs."""
    return (
        pointer_int64(words[layout.TABLE_SCRATCH] + column[layout.COLUMN_STATE])[layout.STATE_WIDE]
        != 0
    )


@njit(**SEPARATE_OPTIONS)
def count_in_windows(words, column, window, n, is_of_rows):
    """Write the number of values, or rows, in each window."""
    scratch, more = words[layout.TABLE_SCRATCH], types.int32(0)
    begins, ends = (
        pointer_int32(scratch + window[layout.WINDOW_BEGINS]),
        pointer_int32(scratch + window[layout.WINDOW_ENDS]),
    )
    counts, before = (
        pointer_int32(scratch + layout.COUNTS),
        pointer_int32(scratch + column[layout.COLUMN_COUNTS]),
    )
    is_missing = pointer_int64(scratch + column[layout.COLUMN_STATE])[layout.STATE_MISSING] != 0
    if is_missing and not is_of_rows:
        for j in range(n):
            counts[j] = before[i64(ends[j])] - before[i64(begins[j])]
    else:
        if words[layout.TABLE_CARRIED] != 0 and is_open(window):
            more = types.int32(words[layout.TABLE_CARRIED] - 1)
        for j in range(n):
            counts[j] = ends[j] - begins[j] + more


@njit(**SEPARATE_OPTIONS)
def copy_counts(words, n, target):
    """Write the counts as results."""
    counts, results = (
        pointer_int32(words[layout.TABLE_SCRATCH] + layout.COUNTS),
        pointer_int64(target),
    )
    for j in range(n):
        results[j] = i64(counts[j])


@njit(**SEPARATE_OPTIONS)
def mark_few(words, output, n, target):
    """Overwrite the results of windows with too few values by the word for missing."""
    counts, results = (
        pointer_int32(words[layout.TABLE_SCRATCH] + layout.COUNTS),
        pointer_int64(target),
    )
    least, nothing = output[layout.OUTPUT_LEAST], output[layout.OUTPUT_NOTHING]
    for j in range(n):
        results[j] = select(counts[j] < least, nothing, results[j])


@njit(**SEPARATE_OPTIONS)
def flag(words, output, n):
    """Set a bit for each window with a result."""
    scratch, slot, least = (
        words[layout.TABLE_SCRATCH],
        output[layout.OUTPUT_SLOT],
        output[layout.OUTPUT_LEAST],
    )
    counts = pointer_int32(scratch + layout.COUNTS)
    flags = pointer_int64(scratch + layout.RESULTS + 8 * layout.ASKS * words[layout.TABLE_FLAGS])
    for j in range(n):
        flags[j] |= i64(counts[j] >= least) << slot


@njit(**SEPARATE_OPTIONS)
def read_sums(words, column, window, output, n, target, number):
    """Write results that come from sums."""
    scratch, statistic = words[layout.TABLE_SCRATCH], output[layout.OUTPUT_STATISTIC]
    state = pointer_int64(scratch + column[layout.COLUMN_STATE])
    begins, ends = scratch + window[layout.WINDOW_BEGINS], scratch + window[layout.WINDOW_ENDS]
    if is_wide(words, column):
        read_wide(words, column, output, begins, ends, n, target)
    else:
        sum_over(words, column, window, n)
        if statistic == SUM and column[layout.COLUMN_KIND] != layout.FLOAT:
            overflow = words[layout.TABLE_OVERFLOWS] + 8 * number
            read_integer_sums(words, column, output, n, target, overflow)
        elif statistic == WHOLE_MEAN:
            read_whole_means(words, column, n, target)
        elif (statistic == SUM) | (statistic == MEAN):
            read_levels(words, column, output, n, target)
        elif is_narrow(words, column):
            read_narrow_spreads(words, column, window, output, n, target)
        else:
            read_spreads(words, column, output, begins, ends, n, target)
    if state[layout.STATE_INFINITE] != 0:
        mark_infinite(words, column, output, begins, ends, n, target)


@njit(**INNER_OPTIONS)
def read_output(words, number, n, read_rest):
    """Write the results of one output for the n rows of a block.

    `read_rest` writes the results of families that have loops of their own.
    """
    scratch, output = words[layout.TABLE_SCRATCH], output_of(words, number)
    window = window_of(words, output[layout.OUTPUT_WINDOW])
    column = column_of(words, output[layout.OUTPUT_COLUMN])
    begins, ends = scratch + window[layout.WINDOW_BEGINS], scratch + window[layout.WINDOW_ENDS]
    target, family = (
        scratch + layout.RESULTS + 8 * layout.ASKS * output[layout.OUTPUT_SLOT],
        output[layout.OUTPUT_FAMILY],
    )
    if output[layout.OUTPUT_COUNTED] == 0:
        count_in_windows(words, column, window, n, output[layout.OUTPUT_STATISTIC] == N_ROWS)
    if family == COUNTING:
        copy_counts(words, n, target)
        return
    if family == SUMMING:
        read_sums(words, column, window, output, n, target, number)
    elif family == COMPARING:
        read_extremes(words, column, output, begins, ends, n, target)
    elif family == PICKING:
        if output[layout.OUTPUT_SINCE] != 0:
            overflow = words[layout.TABLE_OVERFLOWS] + 8 * number
            read_since(words, column, output, begins, ends, n, target, overflow)
            return
        read_picks(words, column, window, output, n, target)
    else:
        read_rest(words, column, output, begins, ends, n, target)
    if output[layout.OUTPUT_MIN_SAMPLES] > 0:
        mark_few(words, output, n, target)
    if output[layout.OUTPUT_FLAGGED] == layout.FLAGGED_BY_COUNT:
        flag(words, output, n)


LOOPS = {
    ORDERING: read_ordered,
    RANKING: read_ranks,
    DECAYING: read_averages,
    FITTING: read_slopes,
    SHAPING: read_shapes,
    RUNNING: read_streaks,
}


@njit(**INNER_OPTIONS)
def nothing_read(words, column, output, begins_at, ends_at, n, target):
    """Write nothing: the entry has no loop for this family."""


def reader_of(families):
    """Return the function that writes results of the given families.

    Each family has its own loop; families that all entries have are left out.
    """
    numbers = [number for number in LOOPS if number in families]
    if not numbers:
        return nothing_read
    first, *others = numbers
    loop, read_others = LOOPS[first], reader_of(others)

    @njit(**INNER_OPTIONS)
    def read(words, column, output, begins_at, ends_at, n, target):
        if output[OUTPUT_FAMILY] == first:
            loop(words, column, output, begins_at, ends_at, n, target)
        else:
            read_others(words, column, output, begins_at, ends_at, n, target)

    return read
