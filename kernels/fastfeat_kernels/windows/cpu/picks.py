# pyright: basic
"""Window values that come from one row: the first, the last, the n-th latest; and streaks.

A streak is the number of consecutive true rows up to the end of a window.
"""

from __future__ import annotations

from numba import njit, types

from fastfeat_kernels.blocks import NAN_BITS
from fastfeat_kernels.intrinsics import (
    INNER_OPTIONS,
    SEPARATE_OPTIONS,
    bits_of,
    larger,
    pointer_int32,
    pointer_int64,
    select,
    smaller,
)
from fastfeat_kernels.windows import layout
from fastfeat_kernels.windows.cpu.averages import is_value, number_of_word
from fastfeat_kernels.windows.cpu.bounds import is_open, is_steady_end
from fastfeat_kernels.windows.cpu.columns import nothing_of
from fastfeat_kernels.windows.cpu.vectors import multiply_wrapping, subtract_wrapping
from fastfeat_kernels.windows.layout import (
    COLUMN_KIND,
    COLUMN_WORDS,
    ENTITY_STARTS,
    OUTPUT_STATE,
    TABLE_SCRATCH,
)
from fastfeat_kernels.windows.statistics import FIRST, LAG, LAST

i64 = types.int64


@njit(**SEPARATE_OPTIONS)
def find_picks(words, column, output, begins_at, ends_at, n, found):
    """Write the place of the value, the last or the n-th latest; -1 if there is none."""
    scratch, is_lag = words[layout.TABLE_SCRATCH], output[layout.OUTPUT_STATISTIC] == LAG
    begins, ends, counts = (
        pointer_int32(begins_at),
        pointer_int32(ends_at),
        pointer_int32(scratch + layout.COUNTS),
    )
    before = pointer_int32(scratch + column[layout.COLUMN_COUNTS])
    last = pointer_int32(scratch + column[layout.COLUMN_LAST])
    is_missing = pointer_int64(scratch + column[layout.COLUMN_STATE])[layout.STATE_MISSING] != 0
    back, least = output[layout.OUTPUT_PARAMETER], output[layout.OUTPUT_MIN_SAMPLES]
    for j in range(n):
        at = i64(ends[j]) - back
        if is_missing and not is_lag:
            at = i64(last[i64(ends[j])])
        is_there = (at >= begins[j]) & (counts[j] >= least)
        at = select(is_there, at, i64(0))
        if is_missing:
            is_there &= before[at + 1] != before[at]
        found[j] = select(is_there, at, i64(-1))


@njit(**SEPARATE_OPTIONS)
def read_since(words, column, output, begins_at, ends_at, n, target, overflow_at):
    """Write the time since the last or the n-th latest value, a time; 0 or NaN without one."""
    scratch, found, times = (
        words[layout.TABLE_SCRATCH],
        pointer_int64(words[layout.TABLE_SCRATCH] + layout.DOUBTS),
        pointer_int64(pointer_int64(words[layout.TABLE_SCRATCH])[layout.ASKING_TIMES]),
    )
    find_picks(words, column, output, begins_at, ends_at, n, found)
    x, results = pointer_int64(scratch + column[layout.COLUMN_WORDS]), pointer_int64(target)
    places, arrivals = (
        pointer_int32(scratch + layout.PLACES),
        pointer_int32(scratch + layout.ARRIVALS),
    )
    factor, parts = output[layout.OUTPUT_FACTOR], types.float64(output[layout.OUTPUT_PARTS])
    if output[layout.OUTPUT_SINCE] == layout.SINCE_SECONDS:
        for j in range(n):
            at = larger(found[j], i64(0))
            ticks = multiply_wrapping(subtract_wrapping(times[i64(places[j])], x[at]), factor)
            seconds = bits_of(types.float64(types.uint64(ticks)) / parts)
            results[j] = select(found[j] >= 0, seconds, i64(NAN_BITS))
        return
    flags = pointer_int64(scratch + layout.RESULTS + 8 * layout.ASKS * words[layout.TABLE_FLAGS])
    overflow = pointer_int64(overflow_at)
    for j in range(n):
        at = larger(found[j], i64(0))
        ticks = subtract_wrapping(times[i64(places[j])], x[at])
        results[j] = select(found[j] >= 0, ticks, i64(0))
        if ticks < 0 and found[j] >= 0:
            overflow[0] = smaller(overflow[0], i64(arrivals[j]))
        flags[j] |= i64(found[j] >= 0) << output[layout.OUTPUT_SLOT]


@njit(**SEPARATE_OPTIONS)
def are_reached(begins, first, n):
    """Return whether consecutive places from `first` on, one per window, lie in their windows."""
    left = types.int32(0)
    for j in range(n):
        left |= types.int32(begins[j] > first + j)
    return left == 0


@njit(**SEPARATE_OPTIONS)
def copy_run(x, n, results):
    """Copy consecutive values."""
    for j in range(n):
        results[j] = x[j]


@njit(**SEPARATE_OPTIONS)
def copy_lags(x, begins, ends, n, back, nothing, results):
    """Write the value `back` rows before the end of each window, if the window holds it."""
    for j in range(n):
        at = i64(ends[j]) - back
        is_there = at >= begins[j]
        results[j] = select(is_there, x[select(is_there, at, i64(0))], nothing)


@njit(**SEPARATE_OPTIONS)
def copy_places(x, places, begins, ends, n, nothing, results):
    """Write the value at a place for each window, if the window holds it."""
    for j in range(n):
        at = i64(places[j])
        is_there = (at >= begins[j]) & (at < ends[j])
        results[j] = select(is_there, x[select(is_there, at, i64(0))], nothing)


@njit(**SEPARATE_OPTIONS)
def look_up(neighbours, places, n, found):
    """Look up the neighbour of each place."""
    for j in range(n):
        found[j] = neighbours[i64(places[j])]


@njit(**SEPARATE_OPTIONS)
def read_lags(words, column, window, back, n, target):
    """Write the value `back` rows before the end of each window."""
    scratch, x_at = (
        words[layout.TABLE_SCRATCH],
        words[layout.TABLE_SCRATCH] + column[layout.COLUMN_WORDS],
    )
    begins, ends = (
        pointer_int32(scratch + window[layout.WINDOW_BEGINS]),
        pointer_int32(scratch + window[layout.WINDOW_ENDS]),
    )
    first, results = i64(ends[0]) - back, pointer_int64(target)
    if is_steady_end(words, window) and are_reached(begins, first, n):
        copy_run(pointer_int64(x_at + 8 * first), n, results)
    else:
        copy_lags(pointer_int64(x_at), begins, ends, n, back, nothing_of(column), results)


@njit(**SEPARATE_OPTIONS)
def flag_lags(words, column, window, output, n):
    """Set a bit for each window with a value `back` rows before its end."""
    scratch, back = words[layout.TABLE_SCRATCH], output[layout.OUTPUT_PARAMETER]
    begins, ends = (
        pointer_int32(scratch + window[layout.WINDOW_BEGINS]),
        pointer_int32(scratch + window[layout.WINDOW_ENDS]),
    )
    before = pointer_int32(scratch + column[layout.COLUMN_COUNTS])
    is_missing = pointer_int64(scratch + column[layout.COLUMN_STATE])[layout.STATE_MISSING] != 0
    counts, least = pointer_int32(scratch + layout.COUNTS), output[layout.OUTPUT_MIN_SAMPLES]
    flags = pointer_int64(scratch + layout.RESULTS + 8 * layout.ASKS * words[layout.TABLE_FLAGS])
    for j in range(n):
        at = i64(ends[j]) - back
        is_there = at >= begins[j]
        at = select(is_there, at, i64(0))
        if is_missing:
            is_there &= before[at + 1] != before[at]
        flags[j] |= i64(is_there & (counts[j] >= least)) << output[layout.OUTPUT_SLOT]


@njit(**INNER_OPTIONS)
def carries_first(words, column, window):
    """Return whether the window's first value is among the carried rows."""
    carry = pointer_int64(words[layout.TABLE_SCRATCH] + column[layout.COLUMN_STATE])[
        layout.STATE_CARRY
    ]
    return carry != 0 and is_open(window) and pointer_int64(carry)[layout.CARRY_COUNT] != 0


@njit(**SEPARATE_OPTIONS)
def copy_carried_first(words, column, n, target):
    """Write the first value of the rows that the first place stands for."""
    carry = pointer_int64(words[layout.TABLE_SCRATCH] + column[layout.COLUMN_STATE])[
        layout.STATE_CARRY
    ]
    first, results = pointer_int64(carry)[layout.CARRY_FIRST], pointer_int64(target)
    for j in range(n):
        results[j] = first


@njit(**SEPARATE_OPTIONS)
def read_picks(words, column, window, output, n, target):
    """Write a value of one row for each window."""
    scratch, statistic = words[layout.TABLE_SCRATCH], output[layout.OUTPUT_STATISTIC]
    is_missing = pointer_int64(scratch + column[layout.COLUMN_STATE])[layout.STATE_MISSING] != 0
    if statistic == LAG:
        read_lags(words, column, window, output[layout.OUTPUT_PARAMETER], n, target)
        if output[layout.OUTPUT_FLAGGED] != 0:
            flag_lags(words, column, window, output, n)
        return
    if statistic == LAST and not is_missing:
        read_lags(words, column, window, i64(1), n, target)
        return
    if statistic == FIRST and carries_first(words, column, window):
        copy_carried_first(words, column, n, target)
        return
    begins, ends = (
        pointer_int32(scratch + window[layout.WINDOW_BEGINS]),
        pointer_int32(scratch + window[layout.WINDOW_ENDS]),
    )
    places, found = begins, pointer_int32(scratch + layout.DOUBTS)
    if statistic == LAST:
        look_up(pointer_int32(scratch + column[layout.COLUMN_LAST]), ends, n, found)
        places = found
    elif is_missing:
        look_up(pointer_int32(scratch + column[layout.COLUMN_NEXT]), begins, n, found)
        places = found
    x, results = pointer_int64(scratch + column[layout.COLUMN_WORDS]), pointer_int64(target)
    copy_places(x, places, begins, ends, n, nothing_of(column), results)


ENTITY, ADDED, BROKEN = 0, 1, 2  # BROKEN: the place behind the last row that is not true


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
