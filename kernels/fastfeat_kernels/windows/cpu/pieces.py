# pyright: basic
"""A partition of entities: batches of whole entities, in blocks of asking rows."""

from __future__ import annotations

from numba import njit, types

from fastfeat_kernels.blocks import LOWEST
from fastfeat_kernels.intrinsics import (
    SEPARATE_OPTIONS,
    enter_ieee,
    larger,
    leave_ieee,
    opaque,
    pointer_int32,
    pointer_int64,
    smaller,
)
from fastfeat_kernels.windows import layout
from fastfeat_kernels.windows.cpu.bounds import find_all_bounds, window_of
from fastfeat_kernels.windows.cpu.columns import find_lowest, load_column
from fastfeat_kernels.windows.cpu.dealing import store_columns
from fastfeat_kernels.windows.cpu.extremes import PIVOT
from fastfeat_kernels.windows.cpu.outputs import column_of, is_wide, output_of, read_output
from fastfeat_kernels.windows.cpu.ranks import ENTITY
from fastfeat_kernels.windows.cpu.vectors import fence, store_turned4, store_turned8
from fastfeat_kernels.windows.cpu.wide import clear_wide
from fastfeat_kernels.windows.statistics import COMPARING, SUMMING

i64 = types.int64


@njit(**SEPARATE_OPTIONS)
def find_asking(words, end, base, asking_base):
    """Write the next asking rows of entities before `end`; return their number.

    Rows ask between the table's first and end place, if their dealt row is at least
    `TABLE_ASK_FROM`.
    """
    scratch, arrivals = (
        words[layout.TABLE_SCRATCH],
        pointer_int32(words[layout.TABLE_ASKING_ARRIVALS]),
    )
    state, starts = pointer_int64(scratch), pointer_int64(words[layout.TABLE_STARTS])
    asking_starts = pointer_int64(words[layout.TABLE_ASKING_STARTS])
    places, begins = (
        pointer_int32(scratch + layout.PLACES),
        pointer_int32(scratch + layout.ENTITY_STARTS),
    )
    stops, found = (
        pointer_int32(scratch + layout.ENTITY_ENDS),
        pointer_int32(scratch + layout.ARRIVALS),
    )
    entity, row, ask_from, n = (
        state[layout.NEXT_ENTITY],
        state[layout.NEXT_ROW],
        words[layout.TABLE_ASK_FROM],
        i64(0),
    )
    end_place = words[layout.TABLE_END_PLACE]
    while entity < end and row < end_place and n < layout.ASKS:
        start, stop, asking_stop = starts[entity], starts[entity + 1], asking_starts[entity + 1]
        last = smaller(smaller(asking_stop, end_place), row + layout.ASKS - n)
        for at in range(row, last):
            places[n], begins[n] = types.int32(at - asking_base), types.int32(start - base)
            stops[n], found[n] = types.int32(stop - base), arrivals[at]
            n += i64(arrivals[at] >= ask_from)
        row = last
        if row == asking_stop:
            entity += 1
    state[layout.NEXT_ENTITY], state[layout.NEXT_ROW] = entity, row
    return n


@njit(**SEPARATE_OPTIONS)
def is_asking(words, first, end):
    """Return whether any row of the entities [first, end) asks."""
    arrivals, ask_from = (
        pointer_int32(words[layout.TABLE_ASKING_ARRIVALS]),
        words[layout.TABLE_ASK_FROM],
    )
    starts, found = pointer_int64(words[layout.TABLE_ASKING_STARTS]), i64(0)
    begin = larger(starts[first], words[layout.TABLE_FIRST_PLACE])
    for at in range(begin, smaller(starts[end], words[layout.TABLE_END_PLACE])):
        found |= i64(arrivals[at] >= ask_from)
    return found != 0


@njit(**SEPARATE_OPTIONS)
def store_rows(words, n):
    """Copy the results of a block to the waiting line of each row."""
    scratch, n_words, pieces = (
        words[layout.TABLE_SCRATCH],
        words[layout.TABLE_ROW_WORDS],
        words[layout.TABLE_STAGE],
    )
    rows, results, stride = (
        scratch + layout.ARRIVALS,
        scratch + layout.RESULTS,
        i64(8 * layout.ASKS),
    )
    bits, size = words[layout.TABLE_PIECE_BITS], n_words << 3
    whole = n & -8
    if n_words == 4:
        for j in range(0, whole, 4):
            store_turned4(pieces, bits, size, i64(0), rows + 4 * j, results + 8 * j, stride)
    else:
        for j in range(0, whole, 8):
            for slot in range(0, n_words, 8):
                source = results + stride * slot + 8 * j
                store_turned8(pieces, bits, size, 8 * slot, rows + 4 * j, source, stride)
    for j in range(whole, n):
        at = i64(pointer_int32(rows)[j])
        place = (at & ((i64(1) << bits) - 1)) * n_words
        line = pointer_int64(pointer_int64(pieces)[at >> bits] + 8 * place)
        for slot in range(n_words):
            line[slot] = pointer_int64(results + stride * slot)[j]


@njit(**SEPARATE_OPTIONS)
def begin_batch(words, n_rows):
    """Set windows and outputs to the beginning of a batch."""
    scratch = words[layout.TABLE_SCRATCH]
    pointer_int64(scratch)[layout.BATCH_ROWS] = n_rows
    for k in range(words[layout.TABLE_N_COLUMNS]):
        column = column_of(words, k)
        if is_wide(words, column):
            find_lowest(words, column, n_rows, pointer_int64(scratch + column[layout.COLUMN_STATE]))
    for k in range(words[layout.TABLE_N_WINDOWS]):
        state = pointer_int64(scratch + window_of(words, k)[layout.WINDOW_STATE])
        state[0], state[1] = i64(0), i64(0)
    for k in range(words[layout.TABLE_N_OUTPUTS]):
        output = output_of(words, k)
        state, family = (
            pointer_int64(scratch + output[layout.OUTPUT_STATE]),
            output[layout.OUTPUT_FAMILY],
        )
        column = column_of(words, output[layout.OUTPUT_COLUMN])
        if family == COMPARING:
            state[PIVOT], state[1], state[2] = i64(0), i64(0), LOWEST
        elif family != SUMMING:
            state[ENTITY] = i64(-1)
        elif is_wide(words, column):
            clear_wide(words, output)


@njit(**SEPARATE_OPTIONS)
def clear_flags(words, n):
    """Clear the bits of a block."""
    flags = pointer_int64(
        words[layout.TABLE_SCRATCH] + layout.RESULTS + 8 * layout.ASKS * words[layout.TABLE_FLAGS]
    )
    for j in range(n):
        flags[j] = i64(0)


@njit(**SEPARATE_OPTIONS)
def load_columns(words, first, end):
    """Prepare the columns for entities [first, end); return whether any has wide sums."""
    starts = pointer_int64(words[layout.TABLE_STARTS])
    base, is_wide, carry = starts[first], i64(0), words[layout.TABLE_CARRY]
    n = starts[end] - base
    for k in range(words[layout.TABLE_N_COLUMNS]):
        is_wide |= load_column(words, column_of(words, k), base, n, carry)
        if carry != 0:
            carry += 8 * layout.N_CARRY_WORDS
    return is_wide


def computer(read_rest, rank):
    """Return an entry that writes the results of the asking rows of n entities from the first on.

    `read_rest` writes the results of families that have loops of their own; `rank` prepares a
    column for families that read ranks.
    """

    @njit(**SEPARATE_OPTIONS)
    def run_batch(words, first, end):
        scratch = words[layout.TABLE_SCRATCH]
        starts, state = pointer_int64(words[layout.TABLE_STARTS]), pointer_int64(scratch)
        base, asking_base = starts[first], pointer_int64(words[layout.TABLE_ASKING_STARTS])[first]
        for k in range(words[layout.TABLE_N_COLUMNS]):
            rank(words, column_of(words, k), first, end)
        begin_batch(words, starts[end] - base)
        state[layout.TIMES] = words[layout.TABLE_TIMES] + 8 * base
        state[layout.ASKING_TIMES] = words[layout.TABLE_ASKING_TIMES] + 8 * asking_base
        state[layout.NEXT_ENTITY], state[layout.NEXT_ROW] = (
            first,
            larger(asking_base, words[layout.TABLE_FIRST_PLACE]),
        )
        n = find_asking(words, end, base, asking_base)
        while n > 0:
            if words[layout.TABLE_FLAGS] >= 0:
                clear_flags(words, n)
            find_all_bounds(words, base, starts[end] - base, n)
            state[layout.SUMMED] = i64(0)
            for k in range(words[layout.TABLE_N_OUTPUTS]):
                read_output(words, k, n, read_rest)
            if words[layout.TABLE_TARGETS] != 0:
                store_columns(words, n)
            else:
                store_rows(words, n)
            n = find_asking(words, end, base, asking_base)

    @njit(**SEPARATE_OPTIONS)
    def run_entities(words, first, end):
        if load_columns(words, first, end) == 0 or end - first == 1:
            run_batch(words, first, end)
        else:  # one by one: some entities have wide sums
            for entity in range(first, end):
                if is_asking(words, entity, entity + 1):
                    load_columns(words, entity, entity + 1)
                    run_batch(words, entity, entity + 1)

    def compute(table, first, n):
        saved = enter_ieee()
        words = pointer_int64(opaque(table))
        starts = pointer_int64(words[layout.TABLE_STARTS])
        entity, end = first, first + n
        while entity < end:
            stop = entity + 1
            while stop < end and starts[stop] - starts[entity] < layout.BATCH:
                stop += 1
            if is_asking(words, entity, stop):
                run_entities(words, entity, stop)
            entity = stop
        fence()
        leave_ieee(saved)
        return 0

    return compute
