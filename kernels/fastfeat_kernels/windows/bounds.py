# pyright: basic
"""Where windows begin and end: both only move forward along an entity."""

from __future__ import annotations

from numba import njit, types

from fastfeat_kernels.blocks import HIGHEST, LOWEST
from fastfeat_kernels.intrinsics import (
    INNER_OPTIONS,
    SEPARATE_OPTIONS,
    larger,
    pointer_int32,
    pointer_int64,
    smaller,
)
from fastfeat_kernels.windows.layout import (
    ENTITY_ENDS,
    ENTITY_STARTS,
    N_WINDOW_WORDS,
    PLACES,
    TABLE_N_WINDOWS,
    TABLE_SCRATCH,
    TABLE_TIMES,
    TABLE_WINDOWS,
    TIMES,
    WINDOW_BEGINS,
    WINDOW_ENDS,
    WINDOW_HIGH,
    WINDOW_LOW,
    WINDOW_OWN,
    WINDOW_ROWS,
    WINDOW_STATE,
)
from fastfeat_kernels.windows.vectors import STEP, add_wrapping, leading_below, leading_up_to

i64 = types.int64


@njit(**INNER_OPTIONS)
def window_of(words, number):
    """Return the words of a window."""
    return pointer_int64(words[TABLE_WINDOWS] + 8 * N_WINDOW_WORDS * number)


@njit(**INNER_OPTIONS)
def advance_below(times, at, end, limit):
    """Return the first place from `at` on, before `end`, whose time is not below the limit."""
    if at >= end:
        return at
    k = leading_below(times + 8 * at, limit)
    at += k
    while k == STEP and at < end:
        k = leading_below(times + 8 * at, limit)
        at += k
    return smaller(at, end)


@njit(**INNER_OPTIONS)
def advance_up_to(times, at, end, limit):
    """Return the first place from `at` on, before `end`, whose time is above the limit."""
    if at >= end:
        return at
    k = leading_up_to(times + 8 * at, limit)
    at += k
    while k == STEP and at < end:
        k = leading_up_to(times + 8 * at, limit)
        at += k
    return smaller(at, end)


@njit(**INNER_OPTIONS)
def advance_begin(times, at, start, stop, time, low):
    """Return where the window of a row begins, from where that of the row before does."""
    at = larger(at, start)
    limit = add_wrapping(time, low)
    is_over = (low > 0) & (limit < time)
    if (low < 0) & (limit > time):  # nothing is so low
        return at
    if is_over:
        return stop
    return advance_below(times, at, stop, limit)


@njit(**SEPARATE_OPTIONS)
def find_begins(words, window, base, n):
    """Write where the windows of rows that ask begin, by their low bound."""
    scratch, low = words[TABLE_SCRATCH], window[WINDOW_LOW]
    places, starts = pointer_int32(scratch + PLACES), pointer_int32(scratch + ENTITY_STARTS)
    stops, begins = (
        pointer_int32(scratch + ENTITY_ENDS),
        pointer_int32(scratch + window[WINDOW_BEGINS]),
    )
    state, times_at = pointer_int64(scratch + window[WINDOW_STATE]), words[TABLE_TIMES] + 8 * base
    times, at = pointer_int64(pointer_int64(scratch)[TIMES]), state[0]
    for j in range(n):
        time, start, stop = times[i64(places[j])], i64(starts[j]), i64(stops[j])
        at = advance_begin(times_at, at, start, stop, time, low)
        begins[j] = types.int32(at)
    state[0] = at


@njit(**SEPARATE_OPTIONS)
def find_begins_of_two(words, window1, window2, base, n):
    """The same of two windows: each step waits for the one before, and two wait at once."""
    scratch, low1, low2 = words[TABLE_SCRATCH], window1[WINDOW_LOW], window2[WINDOW_LOW]
    places, starts = pointer_int32(scratch + PLACES), pointer_int32(scratch + ENTITY_STARTS)
    stops, times_at = pointer_int32(scratch + ENTITY_ENDS), words[TABLE_TIMES] + 8 * base
    begins1 = pointer_int32(scratch + window1[WINDOW_BEGINS])
    begins2 = pointer_int32(scratch + window2[WINDOW_BEGINS])
    state1 = pointer_int64(scratch + window1[WINDOW_STATE])
    state2 = pointer_int64(scratch + window2[WINDOW_STATE])
    times = pointer_int64(pointer_int64(scratch)[TIMES])
    at1, at2 = state1[0], state2[0]
    for j in range(n):
        time, start, stop = times[i64(places[j])], i64(starts[j]), i64(stops[j])
        at1 = advance_begin(times_at, at1, start, stop, time, low1)
        at2 = advance_begin(times_at, at2, start, stop, time, low2)
        begins1[j], begins2[j] = types.int32(at1), types.int32(at2)
    state1[0], state2[0] = at1, at2


@njit(**SEPARATE_OPTIONS)
def find_ends(words, window, base, n):
    """Write where the windows of rows that ask end, by their high bound."""
    scratch = words[TABLE_SCRATCH]
    places, starts = pointer_int32(scratch + PLACES), pointer_int32(scratch + ENTITY_STARTS)
    stops = pointer_int32(scratch + ENTITY_ENDS)
    ends, state = (
        pointer_int32(scratch + window[WINDOW_ENDS]),
        pointer_int64(scratch + window[WINDOW_STATE]),
    )
    times_at, high = words[TABLE_TIMES] + 8 * base, window[WINDOW_HIGH]
    times, at = pointer_int64(pointer_int64(scratch)[TIMES]), state[1]
    for j in range(n):
        at = larger(at, i64(starts[j]))
        time = times[i64(places[j])]
        limit = add_wrapping(time, high)
        if high > 0 and limit < time:
            limit = i64(HIGHEST)
        if high >= 0 or limit < time:
            at = advance_up_to(times_at, at, i64(stops[j]), limit)
        ends[j] = types.int32(at)
    state[1] = at


@njit(**SEPARATE_OPTIONS)
def find_bounds(words, window, base, n):
    """Write where the windows of rows that ask end; and begin, where no bound of time says it."""
    scratch = words[TABLE_SCRATCH]
    places, starts = pointer_int32(scratch + PLACES), pointer_int32(scratch + ENTITY_STARTS)
    stops = pointer_int32(scratch + ENTITY_ENDS)
    begins = pointer_int32(scratch + window[WINDOW_BEGINS])
    ends = pointer_int32(scratch + window[WINDOW_ENDS])
    if window[WINDOW_OWN] != 0:
        for j in range(n):
            ends[j] = places[j] + types.int32(1)
    elif window[WINDOW_HIGH] == LOWEST:
        for j in range(n):
            ends[j] = stops[j]
    else:
        find_ends(words, window, base, n)
    if window[WINDOW_LOW] == LOWEST:
        for j in range(n):
            begins[j] = starts[j]
    if window[WINDOW_ROWS] != 0:
        rows = window[WINDOW_ROWS]
        for j in range(n):
            begins[j] = types.int32(larger(i64(begins[j]), i64(ends[j]) - rows))
    for j in range(n):
        begins[j] = types.int32(smaller(i64(begins[j]), i64(ends[j])))


@njit(**SEPARATE_OPTIONS)
def find_all_bounds(words, base, n):
    """Write where all windows of rows that ask begin and end."""
    before = i64(-1)
    for k in range(words[TABLE_N_WINDOWS]):
        if window_of(words, k)[WINDOW_LOW] != LOWEST:
            if before >= 0:
                find_begins_of_two(words, window_of(words, before), window_of(words, k), base, n)
                before = i64(-1)
            else:
                before = i64(k)
    if before >= 0:
        find_begins(words, window_of(words, before), base, n)
    for k in range(words[TABLE_N_WINDOWS]):
        find_bounds(words, window_of(words, k), base, n)
