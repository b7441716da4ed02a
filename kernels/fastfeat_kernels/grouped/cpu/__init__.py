# pyright: basic
"""Grouped moments on the CPU: the entries, and their short loops.

`engine.cpu` imports it by name; `powers` and `windows` use its loops.
"""

from __future__ import annotations

from numba import njit, types

from fastfeat_kernels.blocks import HIGHEST
from fastfeat_kernels.column import BLOCK
from fastfeat_kernels.grouped.cpu.adding import add_all, line_words
from fastfeat_kernels.grouped.cpu.joining import join
from fastfeat_kernels.grouped.cpu.read_out import finalize, read_groups
from fastfeat_kernels.grouped.cpu.scatter import count, read, scatter
from fastfeat_kernels.grouped.cpu.sorting import find_runs, sort_groups
from fastfeat_kernels.grouped.layout import (
    LOOK_EVERY,
    N_EXPONENTS,
    N_WIDE_WORDS,
    SQUARE_ROOM,
    SUM_ROOM,
    TABLE_EXPONENTS,
    TABLE_FIRST_GROUP,
    TABLE_GROUPS,
    TABLE_HEADROOM,
    TABLE_LEVEL,
    TABLE_LINES,
    TABLE_N_COLUMNS,
    TABLE_N_GROUPS,
    TABLE_N_WANTED,
    TABLE_OUT,
    TABLE_SOURCES,
    TABLE_STRIDE,
    TABLE_VALUES,
    TABLE_WANTED,
)
from fastfeat_kernels.intrinsics import (
    INNER_OPTIONS,
    enter_ieee,
    larger,
    leave_ieee,
    opaque,
    pointer_float64,
    pointer_int32,
    pointer_int64,
    popcount,
    select,
    smaller,
)
from fastfeat_kernels.moments.cpu.floats import add_one
from fastfeat_kernels.moments.cpu.integers import normalize_state

i64 = types.int64
INFINITE, FRACTION = 0x7FF << 52, (1 << 52) - 1


def add_rows(table, first, n):
    """Add rows [first, first + n) of the chunk in the table to the lines of their groups."""
    saved = enter_ieee()
    add_all(pointer_int64(opaque(table)), first, n)
    leave_ieee(saved)
    return 0


def summarize_partition(table, first, n):
    """Write the requested statistics of the groups of a partition; its lines are zeroed here."""
    saved = enter_ieee()
    words = pointer_int64(opaque(table))
    own, n_own = words[TABLE_FIRST_GROUP], words[TABLE_N_GROUPS]
    n_words = line_words(words[TABLE_LEVEL])
    line = pointer_int64(words[TABLE_LINES] + 8 * n_words * own)
    for i in range(n_own * n_words):
        line[i] = 0
    add_all(words, first, n)
    read_groups(words, words[TABLE_WANTED], words[TABLE_N_WANTED], own, n_own)
    leave_ieee(saved)
    return 0


def interleave(table, first, n):
    """Write the values of each group one after the other, from one column per value."""
    words = pointer_int64(table)
    n_columns, stride = words[TABLE_N_COLUMNS], words[TABLE_STRIDE]
    for start in range(first, first + n, BLOCK):
        end = smaller(start + BLOCK, first + n)
        for k in range(n_columns):
            values = pointer_int64(pointer_int64(words[TABLE_SOURCES])[k])
            target = pointer_int64(words[TABLE_OUT] + 8 * k)
            for group in range(start, end):
                target[stride * group] = values[group]
    return 0


@njit(**INNER_OPTIONS)
def look_at(words, source, n):
    """Count for each float the lowest and the highest exponent of a window that holds it."""
    bits, begins = pointer_int64(source), pointer_int64(words[TABLE_EXPONENTS])
    ends = pointer_int64(words[TABLE_EXPONENTS] + 8 * N_EXPONENTS)
    room = select(words[TABLE_LEVEL] > 1, i64(SQUARE_ROOM), i64(SUM_ROOM))
    headroom = words[TABLE_HEADROOM]
    for i in range(n):
        size = bits[i] & HIGHEST
        if (size != 0) & (size < INFINITE):
            exponent = size >> 52
            mantissa = size & FRACTION
            mantissa |= select(exponent != 0, i64(FRACTION + 1), i64(0))
            n_zeros = popcount((mantissa & -mantissa) - 1)
            last = larger(exponent, i64(1)) + n_zeros + room
            begins[smaller(exponent + headroom, i64(N_EXPONENTS - 1))] += 1
            ends[smaller(last, i64(N_EXPONENTS - 1))] += 1


def look(table, first, n):
    """Count exponents in one block of every LOOK_EVERY."""
    saved = enter_ieee()
    words = pointer_int64(opaque(table))
    for start in range(0, n, LOOK_EVERY * BLOCK):
        m = smaller(n - start, i64(BLOCK))
        look_at(words, read(words, first + start, m), m)
    leave_ieee(saved)
    return 0


def add_wide(table, first, n):
    """Add left-over rows to moments of their groups, with limbs that hold any float."""
    saved = enter_ieee()
    words = pointer_int64(opaque(table))
    x, groups = pointer_float64(words[TABLE_VALUES]), pointer_int32(words[TABLE_GROUPS])
    for row in range(first, first + n):
        state = words[TABLE_LINES] + 8 * N_WIDE_WORDS * i64(groups[row])
        add_one(x[row], state, words[TABLE_LEVEL] > 1)
    for group in range(words[TABLE_N_GROUPS]):
        normalize_state(words[TABLE_LINES] + 8 * N_WIDE_WORDS * group)
    leave_ieee(saved)
    return 0


ENTRIES = {
    "rows": add_rows,
    "join": join,
    "partition": summarize_partition,
    "interleave": interleave,
    "look": look,
    "finalize": finalize,
    "count": count,
    "scatter": scatter,
    "wide": add_wide,
    "sort": sort_groups,
    "runs": find_runs,
}
