# pyright: basic
"""Skewness and kurtosis over windows: sums of powers to which values are added and removed.

Limbs of 32 bits hold any value of the entity, so the cost of a window does not depend on its
length.
"""

from __future__ import annotations

from numba import njit, types

from fastfeat_kernels.blocks import HIGHEST, INFINITE, NAN_BITS
from fastfeat_kernels.digits import parts_of
from fastfeat_kernels.intrinsics import SEPARATE_OPTIONS, pointer_int32, pointer_int64
from fastfeat_kernels.powers import CARRY_EVERY, N_SUM_WORDS
from fastfeat_kernels.powers.cpu.adding import add_powers, carry_reached, clear_sums, reach_of
from fastfeat_kernels.powers.cpu.reading import read_shape
from fastfeat_kernels.windows import layout
from fastfeat_kernels.windows.cpu.averages import is_value

i64 = types.int64
ENTITY, ADDED, REMOVED, N_INFINITE = 0, 1, 2, 3  # words of the state
LOWEST_BIT, TOP_BIT, SUMS = 0, 1, 2  # words of the memory; the sums and digits follow


@njit(**SEPARATE_OPTIONS)
def begin_entity(memory_at, kind, words_at, start, stop):
    """Reset the sums, and find the lowest and highest bit of the entity's values."""
    lowest, top, _ = reach_of(kind, pointer_int64(words_at), start, stop)
    memory = pointer_int64(memory_at)
    memory[LOWEST_BIT], memory[TOP_BIT] = lowest, top
    clear_sums(memory_at + 8 * SUMS, lowest, top)


@njit(**SEPARATE_OPTIONS)
def change_sums(memory_at, kind, shape, word, sign):
    """Add a value to the sums, or remove it; return 1 if it is infinite and was left out."""
    if (kind == layout.FLOAT) & ((word & HIGHEST) >= INFINITE):
        return i64((word & HIGHEST) == INFINITE)
    magnitude, place, value_sign = parts_of(kind, word)
    add_powers(memory_at + 8 * SUMS, shape, magnitude, place, value_sign, sign)
    return i64(0)


@njit(**SEPARATE_OPTIONS)
def read_shapes(words, column, output, begins_at, ends_at, n, target):
    """Write the skewness or kurtosis of each window."""
    scratch, kind = words[layout.TABLE_SCRATCH], column[layout.COLUMN_KIND]
    memory_at, words_at = (
        scratch + output[layout.OUTPUT_MEMORY],
        scratch + column[layout.COLUMN_WORDS],
    )
    shape, options = output[layout.OUTPUT_SHAPE], output[layout.OUTPUT_PARAMETER]
    x, counts = pointer_int64(words_at), pointer_int32(scratch + layout.COUNTS)
    begins, ends, results = pointer_int32(begins_at), pointer_int32(ends_at), pointer_int64(target)
    starts, stops = (
        pointer_int32(scratch + layout.ENTITY_STARTS),
        pointer_int32(scratch + layout.ENTITY_ENDS),
    )
    memory, state = pointer_int64(memory_at), pointer_int64(scratch + output[layout.OUTPUT_STATE])
    sums_at, reading_at = memory_at + 8 * SUMS, memory_at + 8 * (SUMS + N_SUM_WORDS)
    for j in range(n):
        if state[ENTITY] != starts[j]:
            state[ENTITY] = i64(starts[j])
            state[ADDED], state[REMOVED], state[N_INFINITE] = state[ENTITY], state[ENTITY], i64(0)
            begin_entity(memory_at, kind, words_at, state[ENTITY], i64(stops[j]))
        for at in range(state[ADDED], ends[j]):
            if is_value(column, scratch, at):
                state[N_INFINITE] += change_sums(memory_at, kind, shape, x[at], i64(1))
            if at & (CARRY_EVERY - 1) == 0:
                carry_reached(sums_at, memory[LOWEST_BIT], memory[TOP_BIT])
        for at in range(state[REMOVED], begins[j]):
            if is_value(column, scratch, at):
                state[N_INFINITE] -= change_sums(memory_at, kind, shape, x[at], i64(-1))
        if ends[j] > state[ADDED]:
            state[ADDED] = i64(ends[j])
        if begins[j] > state[REMOVED]:
            state[REMOVED] = i64(begins[j])
        found = i64(NAN_BITS)
        if state[N_INFINITE] == 0:
            lowest, top = memory[LOWEST_BIT], memory[TOP_BIT]
            found = read_shape(sums_at, reading_at, shape, options, i64(counts[j]), lowest, top)
        results[j] = found
        if stops[j] == starts[j]:  # the next entity begins at the end of this one
            state[ENTITY] = i64(-1)
