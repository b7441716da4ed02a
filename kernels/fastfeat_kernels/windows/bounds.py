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
    PLACES,
    TABLE_SCRATCH,
    TABLE_TIMES,
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


@njit(**SEPARATE_OPTIONS)
def find_begins(words, window, base, n):
    """Write where the windows of rows that ask begin, by their low bound."""
    scratch = words[TABLE_SCRATCH]
    places, starts = pointer_int32(scratch + PLACES), pointer_int32(scratch + ENTITY_STARTS)
    stops = pointer_int32(scratch + ENTITY_ENDS)
    begins, state = (
        pointer_int32(scratch + window[WINDOW_BEGINS]),
        pointer_int64(scratch + window[WINDOW_STATE]),
    )
    times_at, low = words[TABLE_TIMES] + 8 * base, window[WINDOW_LOW]
    times, at = pointer_int64(times_at), state[0]
    for j in range(n):
        at = larger(at, i64(starts[j]))
        time = times[i64(places[j])]
        limit = add_wrapping(time, low)
        if low > 0 and limit < time:
            at = i64(stops[j])
        elif low > 0 or limit < time:
            at = advance_below(times_at, at, i64(stops[j]), limit)
        elif low == 0:
            at = advance_below(times_at, at, i64(stops[j]), time)
        begins[j] = types.int32(at)
    state[0] = at


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
    times, at = pointer_int64(times_at), state[1]
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
    """Write where the windows of rows that ask begin and end."""
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
    else:
        find_begins(words, window, base, n)
    if window[WINDOW_ROWS] != 0:
        rows = window[WINDOW_ROWS]
        for j in range(n):
            begins[j] = types.int32(larger(i64(begins[j]), i64(ends[j]) - rows))
    for j in range(n):
        begins[j] = types.int32(smaller(i64(begins[j]), i64(ends[j])))
