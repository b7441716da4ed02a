# pyright: basic
"""As-of joins on the CPU: rows of the data find their places among the times of the table."""

from __future__ import annotations

from numba import njit, types

from fastfeat_kernels.asof.arithmetic import divided, is_within, scaled_sum
from fastfeat_kernels.asof.layout import (
    BLOCK,
    HINT_LATEST,
    HINT_PLACE,
    HINT_START,
    LATEST,
    PLACES,
    PRESENT,
    SIZES,
    STARTS,
    TABLE_ADDED,
    TABLE_BIT_OFFSET,
    TABLE_BITMAP,
    TABLE_CODES,
    TABLE_FACTOR,
    TABLE_FIRST_BIT,
    TABLE_FOUND,
    TABLE_RATIO,
    TABLE_REST,
    TABLE_ROWS,
    TABLE_SCRATCH,
    TABLE_STARTS,
    TABLE_TICK,
    TABLE_TICK_OF_TABLE,
    TABLE_TIMES,
    TABLE_TOLERANCE,
    TABLE_VALIDITY,
    TABLE_VALUES,
)
from fastfeat_kernels.blocks import LOWEST
from fastfeat_kernels.intrinsics import (
    INNER_OPTIONS,
    LANES,
    SEPARATE_OPTIONS,
    larger,
    pointer_int32,
    pointer_int64,
    prefetch,
    read_bits,
    select,
    smaller,
)
from fastfeat_kernels.windows.bounds import advance_up_to
from fastfeat_kernels.windows.vectors import STEP, leading_up_to

i64 = types.int64
WALKED = 16  # places that a row may walk on, on average, so that walking pays


@njit(**SEPARATE_OPTIONS)
def read_times(words, row, n):
    """Write the last tick of the table that is known at the time of each row."""
    scratch = pointer_int64(words[TABLE_SCRATCH])
    times, codes = pointer_int64(words[TABLE_VALUES]), words[TABLE_CODES]
    factor, added, rest = words[TABLE_FACTOR], words[TABLE_ADDED], words[TABLE_REST]
    before, bits = scratch[HINT_LATEST], i64(-1)
    for i in range(n):
        if i & 63 == 0 and words[TABLE_VALIDITY] != 0:
            bit = words[TABLE_BIT_OFFSET] + row + i
            bits = read_bits(words[TABLE_VALIDITY], bit, smaller(n - i, i64(LANES)))
        if factor != 0:
            latest, is_below = scaled_sum(times[row + i], factor, added)
        else:
            quotient, over = divided(times[row + i], words[TABLE_RATIO])
            latest = quotient + added - select(over < rest, i64(1), i64(0))
            is_below = i64(0)
        present = ((bits >> (i & 63)) & 1) & (is_below ^ 1)
        if codes != 0:
            code = i64(pointer_int32(codes)[row + i])
            prefetch(words[TABLE_STARTS] + 8 * code)
            present &= select(code >= 0, i64(1), i64(0))
        before = select(present != 0, latest, before)
        scratch[LATEST + i], scratch[PRESENT + i] = before, present


@njit(**SEPARATE_OPTIONS)
def read_runs(words, row, n):
    """Write where the run of the key of each row begins, and how many places it has.

    Returns the size of the largest run, or -1 where all rows have one and their times do not fall.
    """
    scratch, starts = pointer_int64(words[TABLE_SCRATCH]), pointer_int64(words[TABLE_STARTS])
    start, size, largest, changes = i64(0), i64(0), i64(0), i64(0)
    before = scratch[LATEST]
    if words[TABLE_CODES] == 0:
        size = starts[1]
    for i in range(n):
        present = scratch[PRESENT + i] != 0
        if words[TABLE_CODES] != 0:
            code = select(present, i64(pointer_int32(words[TABLE_CODES])[row + i]), i64(0))
            first, end = starts[code], starts[code + 1]
            differs = (first ^ start) | ((end - first) ^ size)
            changes |= select(present & (i > 0), differs, i64(0))
            start, size = select(present, first, start), select(present, end - first, size)
        latest = scratch[LATEST + i]
        changes |= select(latest < before, i64(1), i64(0))
        before = latest
        scratch[STARTS + i], scratch[SIZES + i], scratch[PLACES + i] = start, size, start
        largest = larger(largest, size)
        prefetch(words[TABLE_TIMES] + 8 * (start + (size >> 1)))
    return select(changes == 0, i64(-1), largest)


@njit(**SEPARATE_OPTIONS)
def search_together(words, n, largest):
    """Write the place behind the last time that is known of each row, one step of all at a time."""
    scratch, times = pointer_int64(words[TABLE_SCRATCH]), pointer_int64(words[TABLE_TIMES])
    times_at = words[TABLE_TIMES]
    while largest > STEP:
        for i in range(n):
            size, place = scratch[SIZES + i], scratch[PLACES + i]
            half = select(size > STEP, size >> 1, i64(0))
            time = times[place + larger(half, i64(1)) - 1]
            place += select(time <= scratch[LATEST + i], half, i64(0))
            size -= half
            prefetch(times_at + 8 * (place + (size >> 1)))
            scratch[SIZES + i], scratch[PLACES + i] = size, place
        largest -= largest >> 1
    for i in range(n):
        place = scratch[PLACES + i]
        k = leading_up_to(times_at + 8 * place, scratch[LATEST + i])
        scratch[PLACES + i] = place + smaller(k, scratch[SIZES + i])


@njit(**INNER_OPTIONS)
def search_from(times_at, place, end, latest):
    """Return the place behind the last time that is known, from one on that is not behind it."""
    times, step = pointer_int64(times_at), i64(STEP)
    while (place + step <= end) and times[place + step - 1] <= latest:
        place += step
        step <<= 1
    size = smaller(step, end - place)
    while size > STEP:
        half = size >> 1
        place += select(times[place + half - 1] <= latest, half, i64(0))
        size -= half
    return place + smaller(leading_up_to(times_at + 8 * place, latest), size)


@njit(**SEPARATE_OPTIONS)
def walk(words, n):
    """Do the same for rows of one run whose times do not fall; return whether it is done."""
    scratch, times_at = pointer_int64(words[TABLE_SCRATCH]), words[TABLE_TIMES]
    start, size, first = scratch[STARTS], scratch[SIZES], scratch[LATEST]
    place, end = start, start + size
    if (scratch[HINT_START] == start) & (scratch[HINT_LATEST] <= first):
        place = smaller(larger(scratch[HINT_PLACE], start), end)
    place = search_from(times_at, place, end, first)
    last = search_from(times_at, place, end, scratch[LATEST + n - 1])
    if last - place > WALKED * n:
        return False
    for i in range(n):
        place = advance_up_to(times_at, place, end, scratch[LATEST + i])
        scratch[PLACES + i] = place
    return True


@njit(**SEPARATE_OPTIONS)
def check_places(words, row, n):
    """Write the place of what each row has found, or 0, and whether it has."""
    scratch, times = pointer_int64(words[TABLE_SCRATCH]), pointer_int64(words[TABLE_TIMES])
    tolerance, moments = words[TABLE_TOLERANCE], pointer_int64(words[TABLE_VALUES])
    for i in range(n):
        place = scratch[PLACES + i] - 1
        found = scratch[PRESENT + i] != 0
        found &= place >= scratch[STARTS + i]
        place = select(found, place, i64(0))
        if tolerance >= 0:
            found &= is_within(
                times[place],
                words[TABLE_TICK_OF_TABLE],
                moments[row + i],
                words[TABLE_TICK],
                tolerance,
            )
        prefetch(words[TABLE_ROWS] + 4 * place)
        scratch[PLACES + i], scratch[PRESENT + i] = place, select(found, i64(1), i64(0))


@njit(**SEPARATE_OPTIONS)
def write_rows(words, row, n):
    """Write the rows of the table that were found, and bits that say which rows have one."""
    scratch, rows = pointer_int64(words[TABLE_SCRATCH]), pointer_int32(words[TABLE_ROWS])
    found, bitmap = pointer_int64(words[TABLE_FOUND]), pointer_int64(words[TABLE_BITMAP])
    for start in range(0, n, LANES):
        bits, m = i64(0), smaller(n - start, i64(LANES))
        for i in range(m):
            present = scratch[PRESENT + start + i]
            place = scratch[PLACES + start + i]
            found[row + start + i] = select(present != 0, i64(rows[place]), i64(0))
            bits |= present << i
        bit = words[TABLE_FIRST_BIT] + row + start
        shift = bit & 63
        bitmap[bit >> 6] |= bits << shift
        if shift + m > LANES:
            bitmap[(bit >> 6) + 1] |= bits >> (LANES - shift) & ((i64(1) << shift) - 1)


def find(table, first, n):
    """Write the row of the table that each row of the data finds."""
    words = pointer_int64(table)
    scratch = pointer_int64(words[TABLE_SCRATCH])
    scratch[HINT_START], scratch[HINT_LATEST], scratch[HINT_PLACE] = i64(-1), i64(LOWEST), i64(0)
    for row in range(first, first + n, BLOCK):
        m = smaller(first + n - row, i64(BLOCK))
        read_times(words, row, m)
        largest = read_runs(words, row, m)
        if largest >= 0 or not walk(words, m):
            if largest < 0:
                largest = scratch[SIZES]
            search_together(words, m, largest)
        scratch[HINT_START], scratch[HINT_LATEST] = scratch[STARTS + m - 1], scratch[LATEST + m - 1]
        scratch[HINT_PLACE] = scratch[PLACES + m - 1]
        check_places(words, row, m)
        write_rows(words, row, m)
    return 0


ENTRIES = {"find": find}
