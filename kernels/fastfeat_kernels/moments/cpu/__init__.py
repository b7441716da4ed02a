# pyright: basic
"""Moments on the CPU: entries for floats, integers and bools, using `floats` and `integers`.

`engine.cpu` imports it by name; `grouped` uses its loops.
"""

from __future__ import annotations

from numba import njit, types

from fastfeat_kernels.blocks import count_bits, read_floats, read_integers
from fastfeat_kernels.column import BLOCK
from fastfeat_kernels.intrinsics import (
    INNER_OPTIONS,
    enter_ieee,
    larger,
    leave_ieee,
    opaque,
    pointer_int64,
    popcount,
    read_bits,
    select,
    smaller,
)
from fastfeat_kernels.moments import (
    COUNT,
    MAX_KEY,
    MIN_KEY,
    N_ROWS,
    N_TABLE_WORDS,
    SQUARES,
    SUM,
    TABLE_BIT_OFFSET,
    TABLE_ELEMENT,
    TABLE_FIRST_ROW,
    TABLE_LEVEL,
    TABLE_N_COLUMNS,
    TABLE_SCRATCH,
    TABLE_STATE,
    TABLE_VALIDITY,
    TABLE_VALUE_BIT_OFFSET,
    TABLE_VALUES,
)
from fastfeat_kernels.moments.cpu.floats import float_block
from fastfeat_kernels.moments.cpu.integers import add_shifted, integer_block, normalize_state

i64 = types.int64
NORMALIZE_EVERY = 1 << 14  # blocks; floats alone add at most 2**33 to a limb 3 times a row


@njit(**INNER_OPTIONS)
def add_floats(words, row, n):
    """Add a block of floats."""
    state, scratch = words[TABLE_STATE], words[TABLE_SCRATCH]
    block = read_floats(words[TABLE_ELEMENT], words[TABLE_VALUES], row, n, scratch)
    validity, bit = words[TABLE_VALIDITY], words[TABLE_BIT_OFFSET] + row
    level, row_of_all = words[TABLE_LEVEL], words[TABLE_FIRST_ROW] + row
    clean, spare = scratch + 8 * BLOCK, scratch + 16 * BLOCK
    float_block(block, n, validity, bit, row_of_all, state, level, scratch, clean, spare)


@njit(**INNER_OPTIONS)
def add_integers(words, row, n):
    """Add a block of integers."""
    state, scratch = words[TABLE_STATE], words[TABLE_SCRATCH]
    block = read_integers(words[TABLE_ELEMENT], words[TABLE_VALUES], row, n, scratch)
    validity, bit = words[TABLE_VALIDITY], words[TABLE_BIT_OFFSET] + row
    spare, other = scratch + 8 * BLOCK, scratch + 16 * BLOCK
    integer_block(block, n, validity, bit, state, words[TABLE_LEVEL], spare, other)


@njit(**INNER_OPTIONS)
def add_bools(words, row, n):
    """Add a block of bools; counting their bits is enough."""
    head = pointer_int64(words[TABLE_STATE])
    validity, bit = words[TABLE_VALIDITY], words[TABLE_BIT_OFFSET] + row
    values, value_bit = words[TABLE_VALUES], words[TABLE_VALUE_BIT_OFFSET] + row
    if validity == 0:
        count, n_true = n, count_bits(values, value_bit, n)
    else:
        count, n_true = i64(0), i64(0)
        for start in range(0, n, 64):
            m = smaller(n - start, 64)
            present = read_bits(validity, bit + start, m)
            count += popcount(present)
            n_true += popcount(read_bits(values, value_bit + start, m) & present)
    head[COUNT] += count
    if count > 0:
        head[MIN_KEY] = smaller(head[MIN_KEY], select(n_true == count, i64(1), i64(0)))
        head[MAX_KEY] = larger(head[MAX_KEY], select(n_true > 0, i64(1), i64(0)))
    if words[TABLE_LEVEL] > 0:
        add_shifted(pointer_int64(words[TABLE_STATE] + 8 * SUM), n_true, i64(0))
    if words[TABLE_LEVEL] > 1:
        add_shifted(pointer_int64(words[TABLE_STATE] + 8 * SQUARES), n_true, i64(0))


def _entry(name: str, add_block):
    """Return the entry that adds rows [first, first + n) of each table's chunk to its state."""

    @njit(**INNER_OPTIONS)
    def add_rows(words, first, n):
        state = words[TABLE_STATE]
        pointer_int64(state)[N_ROWS] += n
        for start in range(0, n, BLOCK):
            add_block(words, first + start, smaller(n - start, BLOCK))
            if (start // BLOCK) % NORMALIZE_EVERY == NORMALIZE_EVERY - 1:
                normalize_state(state)
        normalize_state(state)

    def entry(table, first, n):
        saved = enter_ieee()
        tables = opaque(table)
        for k in range(pointer_int64(tables)[TABLE_N_COLUMNS]):
            add_rows(pointer_int64(tables + 8 * N_TABLE_WORDS * k), first, n)
        leave_ieee(saved)
        return 0

    entry.__name__ = entry.__qualname__ = name
    return entry


_ADD_BLOCK = {"floats": add_floats, "integers": add_integers, "bools": add_bools}
ENTRIES = {name: _entry(f"moments_{name}", add_block) for name, add_block in _ADD_BLOCK.items()}
