# pyright: basic
"""Beginnings and ends of windows: both only move forward along an entity."""

from __future__ import annotations

from numba import njit, types

from fastfeat_kernels.blocks import HIGHEST, LOWEST
from fastfeat_kernels.intrinsics import (
    INNER_OPTIONS,
    SEPARATE_OPTIONS,
    larger,
    pointer_int32,
    pointer_int64,
    select,
    smaller,
)
from fastfeat_kernels.windows import layout
from fastfeat_kernels.windows.cpu.vectors import STEP, add_wrapping, leading_below, leading_up_to

i64 = types.int64
FAR = 1 << 61  # times and bounds nearer than this have a sum within int64
SOME = 64  # rows with bounds found together: consecutive, or one by one
TRIED = 16  # rows of them to check first


@njit(**INNER_OPTIONS)
def window_of(words, number):
    """Return the words of a window."""
    return pointer_int64(words[layout.TABLE_WINDOWS] + 8 * layout.N_WINDOW_WORDS * number)


@njit(**INNER_OPTIONS)
def is_open(window):
    """Return whether a window holds all rows before its end."""
    return (window[layout.WINDOW_LOW] == LOWEST) & (window[layout.WINDOW_ROWS] == 0)


@njit(**INNER_OPTIONS)
def advance_below(times, at, end, limit):
    """Return the first place in [at, end) with a time not below the limit."""
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
    """Return the first place in [at, end) with a time above the limit."""
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
    """Return the beginning of a row's window, searched from that of the previous row."""
    at = larger(at, start)
    limit = add_wrapping(time, low)
    is_over = (low > 0) & (limit < time)
    if (low < 0) & (limit > time):  # no time is so low
        return at
    if is_over:
        return stop
    return advance_below(times, at, stop, limit)


@njit(**SEPARATE_OPTIONS)
def find_begins(words, window, base, n):
    """Write the beginnings of the windows of asking rows, by their low bound."""
    scratch, low = words[layout.TABLE_SCRATCH], window[layout.WINDOW_LOW]
    starts = pointer_int32(scratch + layout.ENTITY_STARTS)
    stops, begins = (
        pointer_int32(scratch + layout.ENTITY_ENDS),
        pointer_int32(scratch + window[layout.WINDOW_BEGINS]),
    )
    state, times_at = (
        pointer_int64(scratch + window[layout.WINDOW_STATE]),
        words[layout.TABLE_TIMES] + 8 * base,
    )
    times, at = pointer_int64(scratch + layout.TIMES_ASKED), state[0]
    for j in range(n):
        time, start, stop = times[j], i64(starts[j]), i64(stops[j])
        at = advance_begin(times_at, at, start, stop, time, low)
        begins[j] = types.int32(at)
    state[0] = at


@njit(**INNER_OPTIONS)
def shift_of(words, number):
    """Return the shift from a time to a bound's limit, the least time at or behind the bound."""
    window = window_of(words, number >> 1)
    return select(number & 1 != 0, window[layout.WINDOW_HIGH] + 1, window[layout.WINDOW_LOW])


@njit(**INNER_OPTIONS)
def bounds_of(words, number):
    """Return the address of a bound for the rows of a block."""
    window = window_of(words, number >> 1)
    offset = select(number & 1 != 0, window[layout.WINDOW_ENDS], window[layout.WINDOW_BEGINS])
    return words[layout.TABLE_SCRATCH] + offset


@njit(**INNER_OPTIONS)
def state_of(words, number):
    """Return the address of a bound of the last row of a block."""
    return (
        words[layout.TABLE_SCRATCH]
        + window_of(words, number >> 1)[layout.WINDOW_STATE]
        + 8 * (number & 1)
    )


@njit(**SEPARATE_OPTIONS)
def copy_times(times, places, n, found):
    """Write the times of the rows of a block."""
    for j in range(n):
        found[j] = times[i64(places[j])]


@njit(**SEPARATE_OPTIONS)
def are_near(times, n, least, most):
    """Return whether times, and the range between least and most, are near enough to add."""
    for j in range(n):
        least, most = smaller(least, times[j]), larger(most, times[j])
    return (least >= -FAR) & (most <= FAR)


@njit(**SEPARATE_OPTIONS)
def is_run_within(seen, times, n, shift):
    """Return whether n rows of one entity have consecutive bounds."""
    left = i64(0)
    for j in range(1, n):
        limit = times[j] + shift
        left |= i64((seen[j] < limit) | (seen[j - 1] >= limit))
    return left == 0


@njit(**SEPARATE_OPTIONS)
def is_run(seen, times, starts, stops, first, n, shift):
    """Return whether n rows of some entities have consecutive bounds."""
    if starts[0] == starts[n - 1] and first + n <= stops[0]:
        return is_run_within(seen, times, n, shift)
    left = i64(0)
    for j in range(1, n):
        limit, at = times[j] + shift, first + j
        start, stop = i64(starts[j]), i64(stops[j])
        is_low, is_high = (at < stop) & (seen[j] < limit), (at > start) & (seen[j - 1] >= limit)
        left |= i64((at < start) | (at > stop) | is_low | is_high)
    return left == 0


@njit(**SEPARATE_OPTIONS)
def write_run(found, first, n):
    """Write consecutive bounds."""
    for j in range(n):
        found[j] = types.int32(first + j)


@njit(**SEPARATE_OPTIONS)
def find_run(words, number, base, n_rows, start, n):
    """Write a bound of n rows of a block, from row `start` on; return whether it is a run."""
    scratch, times_at = words[layout.TABLE_SCRATCH], words[layout.TABLE_TIMES] + 8 * base
    starts, stops = (
        pointer_int32(scratch + layout.ENTITY_STARTS + 4 * start),
        pointer_int32(scratch + layout.ENTITY_ENDS + 4 * start),
    )
    times, state = (
        pointer_int64(scratch + layout.TIMES_ASKED + 8 * start),
        pointer_int64(state_of(words, number)),
    )
    shift, at = shift_of(words, number), larger(state[0], i64(starts[0]))
    at = advance_below(times_at, at, i64(stops[0]), times[0] + shift)
    if at + n > n_rows + 1:
        return False
    seen, few = pointer_int64(times_at + 8 * at), smaller(i64(TRIED), n)
    if not is_run(seen, times, starts, stops, at, few, shift):
        return False  # the usual place of failure, if they are not consecutive
    if not is_run(seen, times, starts, stops, at, n, shift):
        return False
    write_run(pointer_int32(bounds_of(words, number) + 4 * start), at, n)
    state[0] = at + n - 1
    return True


@njit(**SEPARATE_OPTIONS)
def find_four(words, numbers_at, base, start, n):
    """Write four bounds of n rows, from row `start` of a block on, where all limits are near.

    Each step of a search waits for the one before, so four searches run side by side. Bound number
    k belongs to window k >> 1: its beginning if the lowest bit is 0, else its end.
    """
    scratch, times_at = words[layout.TABLE_SCRATCH], words[layout.TABLE_TIMES] + 8 * base
    starts, stops = (
        pointer_int32(scratch + layout.ENTITY_STARTS),
        pointer_int32(scratch + layout.ENTITY_ENDS),
    )
    times, numbers = pointer_int64(scratch + layout.TIMES_ASKED), pointer_int64(numbers_at)
    k1, k2, k3, k4 = numbers[0], numbers[1], numbers[2], numbers[3]
    shift1, shift2 = shift_of(words, k1), shift_of(words, k2)
    shift3, shift4 = shift_of(words, k3), shift_of(words, k4)
    found1, found2 = pointer_int32(bounds_of(words, k1)), pointer_int32(bounds_of(words, k2))
    found3, found4 = pointer_int32(bounds_of(words, k3)), pointer_int32(bounds_of(words, k4))
    state1, state2 = pointer_int64(state_of(words, k1)), pointer_int64(state_of(words, k2))
    state3, state4 = pointer_int64(state_of(words, k3)), pointer_int64(state_of(words, k4))
    at1, at2, at3, at4 = state1[0], state2[0], state3[0], state4[0]
    for j in range(start, start + n):
        time, first, stop = times[j], i64(starts[j]), i64(stops[j])
        at1 = advance_below(times_at, larger(at1, first), stop, time + shift1)
        at2 = advance_below(times_at, larger(at2, first), stop, time + shift2)
        at3 = advance_below(times_at, larger(at3, first), stop, time + shift3)
        at4 = advance_below(times_at, larger(at4, first), stop, time + shift4)
        found1[j], found2[j] = types.int32(at1), types.int32(at2)
        found3[j], found4[j] = types.int32(at3), types.int32(at4)
    state1[0], state2[0], state3[0], state4[0] = at1, at2, at3, at4


@njit(**SEPARATE_OPTIONS)
def find_some(words, base, n_rows, start, n):
    """Write the bounds of n rows from row `start` of a block on, where all limits are near."""
    numbers, four = (
        pointer_int64(words[layout.TABLE_BOUNDS]),
        words[layout.TABLE_SCRATCH] + 8 * layout.FOUR_BOUNDS,
    )
    chosen, n_chosen = pointer_int64(four), i64(0)
    for k in range(words[layout.TABLE_N_BOUNDS]):
        if not find_run(words, numbers[k], base, n_rows, start, n):
            for i in range(n_chosen, 4):  # repeat the last one for missing ones
                chosen[i] = numbers[k]
            n_chosen += 1
            if n_chosen == 4:
                find_four(words, four, base, start, n)
                n_chosen = i64(0)
    if n_chosen != 0:
        find_four(words, four, base, start, n)


@njit(**SEPARATE_OPTIONS)
def find_slowly(words, base, n):
    """Write the bounds of asking rows one by one; limits may leave int64."""
    numbers = pointer_int64(words[layout.TABLE_BOUNDS])
    for k in range(words[layout.TABLE_N_BOUNDS]):
        window = window_of(words, numbers[k] >> 1)
        if numbers[k] & 1 != 0:
            find_ends(words, window, base, n)
        else:
            find_begins(words, window, base, n)


@njit(**SEPARATE_OPTIONS)
def find_ends(words, window, base, n):
    """Write the ends of the windows of asking rows, by their high bound."""
    scratch = words[layout.TABLE_SCRATCH]
    starts, stops = (
        pointer_int32(scratch + layout.ENTITY_STARTS),
        pointer_int32(scratch + layout.ENTITY_ENDS),
    )
    ends, state = (
        pointer_int32(scratch + window[layout.WINDOW_ENDS]),
        pointer_int64(scratch + window[layout.WINDOW_STATE]),
    )
    times_at, high = words[layout.TABLE_TIMES] + 8 * base, window[layout.WINDOW_HIGH]
    times, at = pointer_int64(scratch + layout.TIMES_ASKED), state[1]
    for j in range(n):
        at = larger(at, i64(starts[j]))
        time = times[j]
        limit = add_wrapping(time, high)
        if high > 0 and limit < time:
            limit = i64(HIGHEST)
        if high >= 0 or limit < time:
            at = advance_up_to(times_at, at, i64(stops[j]), limit)
        ends[j] = types.int32(at)
    state[1] = at


@njit(**SEPARATE_OPTIONS)
def find_bounds(words, window, n):
    """Write beginnings and ends of windows of asking rows that no bound of time gives."""
    scratch = words[layout.TABLE_SCRATCH]
    places, starts = (
        pointer_int32(scratch + layout.PLACES),
        pointer_int32(scratch + layout.ENTITY_STARTS),
    )
    stops = pointer_int32(scratch + layout.ENTITY_ENDS)
    begins = pointer_int32(scratch + window[layout.WINDOW_BEGINS])
    ends = pointer_int32(scratch + window[layout.WINDOW_ENDS])
    if window[layout.WINDOW_OWN] != 0:
        for j in range(n):
            ends[j] = places[j] + types.int32(1)
    elif window[layout.WINDOW_HIGH] == LOWEST:
        for j in range(n):
            ends[j] = stops[j]
    if window[layout.WINDOW_LOW] == LOWEST:
        for j in range(n):
            begins[j] = starts[j]
    if window[layout.WINDOW_ROWS] != 0:
        rows = window[layout.WINDOW_ROWS]
        for j in range(n):
            begins[j] = types.int32(larger(i64(begins[j]), i64(ends[j]) - rows))
    for j in range(n):
        begins[j] = types.int32(smaller(i64(begins[j]), i64(ends[j])))


@njit(**SEPARATE_OPTIONS)
def is_steady(bounds, n):
    """Return whether a bound moves by one place a row."""
    found = types.int32(0)
    for j in range(n):
        found |= bounds[j] - bounds[0] - types.int32(j)
    return found == 0


@njit(**INNER_OPTIONS)
def is_steady_begin(words, window):
    """Return whether the windows of a block begin one row after the other."""
    return (
        pointer_int64(words[layout.TABLE_SCRATCH] + window[layout.WINDOW_STATE])[
            layout.BEGIN_STEADY
        ]
        != 0
    )


@njit(**INNER_OPTIONS)
def is_steady_end(words, window):
    """Return whether the windows of a block end one row after the other."""
    return (
        pointer_int64(words[layout.TABLE_SCRATCH] + window[layout.WINDOW_STATE])[layout.END_STEADY]
        != 0
    )


@njit(**INNER_OPTIONS)
def least_and_most_shift(words):
    """Return the range of shifts from asking rows to bounds of windows."""
    numbers, least, most = pointer_int64(words[layout.TABLE_BOUNDS]), i64(0), i64(0)
    for k in range(words[layout.TABLE_N_BOUNDS]):
        shift = shift_of(words, numbers[k])
        least, most = smaller(least, shift), larger(most, shift)
    return least, most


@njit(**SEPARATE_OPTIONS)
def find_all_bounds(words, base, n_rows, n):
    """Write beginnings and ends of all windows of asking rows, in a batch of n_rows rows."""
    scratch = words[layout.TABLE_SCRATCH]
    times, asked = (
        pointer_int64(pointer_int64(scratch)[layout.ASKING_TIMES]),
        pointer_int64(scratch + layout.TIMES_ASKED),
    )
    copy_times(times, pointer_int32(scratch + layout.PLACES), n, asked)
    least, most = least_and_most_shift(words)
    if are_near(asked, n, least, most):
        for start in range(0, n, SOME):
            find_some(words, base, n_rows, start, smaller(n - start, i64(SOME)))
    else:
        find_slowly(words, base, n)
    for k in range(words[layout.TABLE_N_WINDOWS]):
        window = window_of(words, k)
        find_bounds(words, window, n)
        state = pointer_int64(scratch + window[layout.WINDOW_STATE])
        state[layout.BEGIN_STEADY] = i64(
            is_steady(pointer_int32(scratch + window[layout.WINDOW_BEGINS]), n)
        )
        state[layout.END_STEADY] = i64(
            is_steady(pointer_int32(scratch + window[layout.WINDOW_ENDS]), n)
        )
