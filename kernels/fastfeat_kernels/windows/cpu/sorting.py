# pyright: basic
"""Window order of a partition's dealt rows: by entity, then time and tie."""

from __future__ import annotations

from numba import njit, types

from fastfeat_kernels.intrinsics import (
    SEPARATE_OPTIONS,
    pointer_int32,
    pointer_int64,
    smaller,
)
from fastfeat_kernels.vocabulary.cpu.sorting import N_INSERTED, insertion_sort, radix_sort
from fastfeat_kernels.windows import layout

i64 = types.int64


@njit(**SEPARATE_OPTIONS)
def place_rows(words, first, n, start):
    """Write the rows of n entities by entity, in input order, from a place on."""
    codes, starts = (
        pointer_int32(words[layout.TABLE_DEALT_CODES]),
        pointer_int64(words[layout.TABLE_STARTS]),
    )
    times, arrivals = (
        pointer_int64(words[layout.TABLE_TIMES]),
        pointer_int32(words[layout.TABLE_ARRIVALS]),
    )
    dealt = pointer_int64(words[layout.TABLE_DEALT])
    cells, stride = pointer_int64(words[layout.TABLE_CELLS]), words[layout.TABLE_CELL_STRIDE]
    for entity in range(first, first + n):
        starts[entity] = 0
    for k in range(words[layout.TABLE_N_STRIPES]):
        for row in range(cells[k * stride], cells[k * stride + 1]):
            starts[i64(codes[row])] += 1
    total = start
    for entity in range(first, first + n):
        size = starts[entity]
        starts[entity] = total
        total += size
    for k in range(words[layout.TABLE_N_STRIPES]):
        for row in range(cells[k * stride], cells[k * stride + 1]):
            code = i64(codes[row])
            at = starts[code]
            arrivals[at], times[at] = types.int32(row), dealt[row]
            starts[code] = at + 1
    begin = start
    for entity in range(first, first + n):
        stop = starts[entity]
        starts[entity] = begin
        begin = stop


@njit(**SEPARATE_OPTIONS)
def is_in_order(words, start, end):
    """Return whether the rows [start, end) of an entity are in order of time and tie."""
    times, arrivals = (
        pointer_int64(words[layout.TABLE_TIMES]),
        pointer_int32(words[layout.TABLE_ARRIVALS]),
    )
    falls = i64(0)
    for at in range(start + 1, end):
        falls |= i64(times[at] < times[at - 1])
    if words[layout.TABLE_DEALT_TIES] != 0:
        ties = pointer_int64(words[layout.TABLE_DEALT_TIES])
        for at in range(start + 1, end):
            falls_tied = ties[i64(arrivals[at])] < ties[i64(arrivals[at - 1])]
            falls |= i64((times[at] == times[at - 1]) & falls_tied)
    return falls == 0


@njit(**SEPARATE_OPTIONS)
def sort_with_ids(keys_at, ids_at, spare, n):
    """Sort keys with int32 ids, in place and stably; `spare` has 12 bytes a key, and digits."""
    if n <= N_INSERTED:
        insertion_sort(pointer_int64(keys_at), pointer_int32(ids_at), n)
    else:
        digits, spare_keys = pointer_int64(spare), spare + 8 * layout.N_DIGITS
        radix_sort(keys_at, ids_at, spare_keys, spare_keys + 8 * n, digits, n)


@njit(**SEPARATE_OPTIONS)
def sort_rows(words, start, end):
    """Sort the rows [start, end) of an entity by time and tie."""
    times_at, arrivals_at = (
        words[layout.TABLE_TIMES] + 8 * start,
        words[layout.TABLE_ARRIVALS] + 4 * start,
    )
    spare, n = words[layout.TABLE_SPARE], end - start
    if words[layout.TABLE_DEALT_TIES] != 0:
        times, arrivals = pointer_int64(times_at), pointer_int32(arrivals_at)
        ties, dealt = (
            pointer_int64(words[layout.TABLE_DEALT_TIES]),
            pointer_int64(words[layout.TABLE_DEALT]),
        )
        for i in range(n):
            times[i] = ties[i64(arrivals[i])]
        sort_with_ids(times_at, arrivals_at, spare, n)
        for i in range(n):
            times[i] = dealt[i64(arrivals[i])]
    sort_with_ids(times_at, arrivals_at, spare, n)


def order(table, first, n):
    """Sort the rows of n entities, a whole partition, from the first entity on."""
    words = pointer_int64(table)
    starts, end = pointer_int64(words[layout.TABLE_STARTS]), words[layout.TABLE_END_PLACE]
    place_rows(words, first, n, words[layout.TABLE_FIRST_PLACE])
    for entity in range(first, first + n):
        begin = starts[entity]
        stop = end
        if entity + 1 < first + n:
            stop = starts[entity + 1]
        if stop - begin > 1 and not is_in_order(words, begin, stop):
            sort_rows(words, begin, stop)
    is_moved, arrivals = i64(0), pointer_int32(words[layout.TABLE_ARRIVALS])
    for at in range(words[layout.TABLE_FIRST_PLACE], end):
        is_moved |= i64(arrivals[at]) ^ i64(at)
    pointer_int64(words[layout.TABLE_IS_MOVED])[0] = is_moved
    return 0


def check(table, first, n):
    """Find the first dealt history row of n entities that is later than an asking row."""
    words = pointer_int64(table)
    starts, arrivals = (
        pointer_int64(words[layout.TABLE_STARTS]),
        pointer_int32(words[layout.TABLE_ARRIVALS]),
    )
    times, ask_from = pointer_int64(words[layout.TABLE_TIMES]), i64(words[layout.TABLE_ASK_FROM])
    late = pointer_int64(words[layout.TABLE_OVERFLOWS])
    for entity in range(first, first + n):
        at, stop = starts[entity], starts[entity + 1]
        while at < stop and arrivals[at] < ask_from:
            at += 1
        if at < stop:
            time = times[at]
            for later in range(at + 1, stop):
                row = i64(arrivals[later])
                if row < ask_from and times[later] > time:
                    late[0] = smaller(late[0], row)
    return 0
