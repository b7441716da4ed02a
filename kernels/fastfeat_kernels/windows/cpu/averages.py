# pyright: basic
"""Weighted averages and sums of all values of an entity before a place.

The weights decay by rows or by time.
"""

from __future__ import annotations

from numba import njit, types

from fastfeat_kernels.blocks import HIGHEST, INFINITE, LOWEST, NAN_BITS
from fastfeat_kernels.grouped.cpu.splits import power_of_two
from fastfeat_kernels.intrinsics import (
    INNER_OPTIONS,
    SEPARATE_OPTIONS,
    bits_of,
    float_of,
    larger,
    pointer_int32,
    pointer_int64,
    select,
)
from fastfeat_kernels.windows import layout
from fastfeat_kernels.windows.cpu.vectors import subtract_wrapping
from fastfeat_kernels.windows.decay import OLDEST, SERIES
from fastfeat_kernels.windows.statistics import EWM_MEAN, EWM_SUM, EWM_SUM_BY

i64 = types.int64
POSITIVE, NEGATIVE = 0x7FF << 52, -1 << 52  # bits of infinities
ENTITY, ADDED = 0, 1  # words of the state
SUM = layout.AVERAGE  # the word of a sum in the memory of an average


@njit(**INNER_OPTIONS)
def number_of_word(kind, word):
    """Return a value as float64."""
    value = types.float64(word)
    if kind == layout.FLOAT:
        value = float_of(word)
    elif kind == layout.UNSIGNED:
        value = types.float64(types.uint64(word ^ LOWEST))
    return value


@njit(**INNER_OPTIONS)
def is_value(column, scratch, at):
    """Return whether the row in a place of the batch has a value."""
    is_there = True
    if pointer_int64(scratch + column[layout.COLUMN_STATE])[layout.STATE_MISSING] != 0:
        counts = pointer_int32(scratch + column[layout.COLUMN_COUNTS])
        is_there = counts[at + 1] != counts[at]
    return is_there


@njit(**SEPARATE_OPTIONS)
def half_power(age):
    """Return 2**-age, like `decay`."""
    if age > OLDEST:
        return 0.0
    n = i64(age + 0.5)
    r = types.float64(n) - age
    total = SERIES[13] * r + SERIES[12]  # a computed index would be checked, and could raise
    total = total * r + SERIES[11]
    total = total * r + SERIES[10]
    total = total * r + SERIES[9]
    total = total * r + SERIES[8]
    total = total * r + SERIES[7]
    total = total * r + SERIES[6]
    total = total * r + SERIES[5]
    total = total * r + SERIES[4]
    total = total * r + SERIES[3]
    total = total * r + SERIES[2]
    total = total * r + SERIES[1]
    total = total * r + SERIES[0]
    return total * power_of_two(-n)


@njit(**INNER_OPTIONS)
def moved_towards(average, x, weight):
    """Return average + (x - average) / weight, like `decay`."""
    if weight == 1.0:
        return x
    step = x - average
    if bits_of(step) & HIGHEST == INFINITE:
        return 2.0 * (average / 2.0 + (x / 2.0 - average / 2.0) / weight)
    return average + step / weight


@njit(**INNER_OPTIONS)
def add_to_average(memory, x):
    """Add a present value, with full weight, to an average; its weights are already decayed."""
    bits = bits_of(x)
    if bits & HIGHEST == INFINITE:
        memory[layout.IS_POSITIVE] |= i64(bits > 0)
        memory[layout.IS_NEGATIVE] |= i64(bits < 0)
    else:
        weight = float_of(memory[layout.WEIGHT]) + 1.0
        average = moved_towards(float_of(memory[layout.AVERAGE]), x, weight)
        memory[layout.AVERAGE], memory[layout.WEIGHT] = bits_of(average), bits_of(weight)
        memory[layout.IS_FINITE] = i64(1)


@njit(**INNER_OPTIONS)
def add_to_sum(memory, x):
    """Add a present value, with full weight, to a sum; its weights are already decayed.

    After an infinite value, finite ones no longer matter.
    """
    is_infinite = (memory[layout.IS_POSITIVE] | memory[layout.IS_NEGATIVE]) != 0
    total = select(is_infinite, bits_of(x), bits_of(float_of(memory[SUM]) + x))
    if total & HIGHEST == INFINITE:
        memory[layout.IS_POSITIVE] |= i64(total > 0)
        memory[layout.IS_NEGATIVE] |= i64(total < 0)
    else:
        memory[SUM] = total


@njit(**INNER_OPTIONS)
def decay_in_time(memory, place, time, half_life):
    """Return the bits of a stored weight or sum, decayed from the latest value's time to a time."""
    word = memory[place]
    if word != 0:
        since = types.uint64(subtract_wrapping(time, memory[layout.LAST_TIME]))
        word = bits_of(float_of(word) * half_power(types.float64(since) / half_life))
    return word


@njit(**INNER_OPTIONS)
def read_average(memory):
    """Return the bits of an average; NaN without values, and for infinities of both signs."""
    found = select(memory[layout.IS_FINITE] != 0, memory[layout.AVERAGE], i64(NAN_BITS))
    return or_infinity(memory, found)


@njit(**INNER_OPTIONS)
def or_infinity(memory, found):
    """Return the bits of the infinity, if there is one, else those given; NaN for both signs."""
    infinity = select(memory[layout.IS_POSITIVE] != 0, i64(POSITIVE), i64(NEGATIVE))
    found = select((memory[layout.IS_POSITIVE] | memory[layout.IS_NEGATIVE]) != 0, infinity, found)
    return select(
        (memory[layout.IS_POSITIVE] & memory[layout.IS_NEGATIVE]) != 0, i64(NAN_BITS), found
    )


@njit(**SEPARATE_OPTIONS)
def read_averages(words, column, output, begins_at, ends_at, n, target):
    """Write the average, or the sum, of all values of the entity before the end of each window."""
    scratch, kind = words[layout.TABLE_SCRATCH], column[layout.COLUMN_KIND]
    statistic = output[layout.OUTPUT_STATISTIC]
    is_sum = (statistic == EWM_SUM) | (statistic == EWM_SUM_BY)
    is_by_rows = (statistic == EWM_MEAN) | (statistic == EWM_SUM)
    decaying = select(is_sum, i64(SUM), i64(layout.WEIGHT))
    parameter = float_of(output[layout.OUTPUT_PARAMETER])
    state = pointer_int64(scratch + output[layout.OUTPUT_STATE])
    memory = pointer_int64(scratch + output[layout.OUTPUT_MEMORY])
    x = pointer_int64(scratch + column[layout.COLUMN_WORDS])
    times = pointer_int64(pointer_int64(scratch)[layout.TIMES])
    asking_times = pointer_int64(pointer_int64(scratch)[layout.ASKING_TIMES])
    places = pointer_int32(scratch + layout.PLACES)
    ends, results = pointer_int32(ends_at), pointer_int64(target)
    starts = pointer_int32(scratch + layout.ENTITY_STARTS)
    for j in range(n):
        if state[ENTITY] != starts[j]:
            state[ENTITY] = i64(starts[j])
            state[ADDED] = i64(starts[j])
            for k in range(layout.N_AVERAGE_WORDS):
                memory[k] = i64(0)
        at, end = state[ADDED], i64(ends[j])
        while at < end:
            if is_by_rows:
                memory[decaying] = bits_of(float_of(memory[decaying]) * parameter)
            if is_value(column, scratch, at):
                if not is_by_rows:
                    memory[decaying] = decay_in_time(memory, decaying, times[at], parameter)
                    memory[layout.LAST_TIME] = times[at]
                value = number_of_word(kind, x[at])
                if is_sum:
                    add_to_sum(memory, value)
                else:
                    add_to_average(memory, value)
            at += 1
        state[ADDED] = at
        if not is_sum:
            results[j] = read_average(memory)
        elif is_by_rows:
            results[j] = or_infinity(memory, memory[SUM])
        else:
            asked = larger(asking_times[i64(places[j])], memory[layout.LAST_TIME])
            results[j] = or_infinity(memory, decay_in_time(memory, SUM, asked, parameter))
