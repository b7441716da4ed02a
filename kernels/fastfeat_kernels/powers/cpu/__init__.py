# pyright: basic
"""Powers on the CPU: entries that add rows of a column, or compute the shape of each group.

`engine.cpu` imports it by name; `windows` uses its loops.
"""

from __future__ import annotations

from numba import njit, types

from fastfeat_kernels import powers as layout
from fastfeat_kernels.blocks import (
    HIGHEST,
    INFINITE,
    LOWEST,
    NAN_BITS,
    count_bits,
    mask,
    read_words,
)
from fastfeat_kernels.column import BLOCK, ELEMENTS, FLOAT, INTEGER, UNSIGNED
from fastfeat_kernels.digits import parts_of
from fastfeat_kernels.intrinsics import (
    INNER_OPTIONS,
    SEPARATE_OPTIONS,
    enter_ieee,
    leave_ieee,
    opaque,
    pointer_int64,
    select,
    smaller,
)
from fastfeat_kernels.powers.cpu.adding import (
    add_powers,
    add_to_bucket,
    carry_reached,
    clear_sums,
    empty_buckets,
    reach_of,
)
from fastfeat_kernels.powers.cpu.reading import read_shape

i64 = types.int64
UINT64, FLOAT32 = ELEMENTS.index("uint64"), ELEMENTS.index("float32")


@njit(**INNER_OPTIONS)
def kind_of(element):
    """Return the kind of the words of a type of column."""
    kind = i64(INTEGER)
    if element <= FLOAT32:
        kind = i64(FLOAT)
    elif element == UINT64:
        kind = i64(UNSIGNED)
    return kind


@njit(**SEPARATE_OPTIONS)
def add_floats(block, n, state):
    """Add n floats, NaN for missing."""
    words, head = pointer_int64(block), pointer_int64(state)
    buckets = state + 8 * layout.STATE_BUCKETS
    for i in range(n):
        size = words[i] & HIGHEST
        head[layout.COUNT] += i64(size <= INFINITE)
        head[layout.N_INFINITE] += i64(size == INFINITE)
        if (size != 0) & (size < INFINITE):
            magnitude, place, sign = parts_of(i64(FLOAT), words[i])
            add_to_bucket(buckets + 8 * layout.N_BUCKET_WORDS * place, magnitude, sign)


@njit(**SEPARATE_OPTIONS)
def add_integers(block, n, state, kind):
    """Add n integers, with zeros for missing ones, which add nothing."""
    words, bucket = pointer_int64(block), state + 8 * layout.STATE_BUCKETS
    for i in range(n):
        magnitude, _, sign = parts_of(kind, words[i])
        add_to_bucket(bucket, magnitude, sign)


@njit(**INNER_OPTIONS)
def add_block(words, row, n):
    """Add a block of rows."""
    state, element = words[layout.TABLE_STATE], words[layout.TABLE_ELEMENT]
    scratch, spare = state + 8 * layout.SCRATCH, state + 8 * (layout.SCRATCH + BLOCK)
    values, value_bit = words[layout.TABLE_VALUES], words[layout.TABLE_VALUE_BIT_OFFSET]
    block = read_words(element, values, value_bit, row, n, scratch)
    validity, bit, kind = (
        words[layout.TABLE_VALIDITY],
        words[layout.TABLE_BIT_OFFSET] + row,
        kind_of(element),
    )
    if validity != 0:
        fill = select(kind == UNSIGNED, LOWEST, i64(0))
        mask(spare, block, validity, bit, n, select(kind == FLOAT, i64(NAN_BITS), fill))
        block = spare
    if kind == FLOAT:
        add_floats(block, n, state)
    else:
        head = pointer_int64(state)
        head[layout.COUNT] += count_bits(validity, bit, n) if validity != 0 else n
        add_integers(block, n, state, kind)


def add_rows(table, first, n):
    """Add rows [first, first + n) of the chunk in the table to its state."""
    saved = enter_ieee()
    words = pointer_int64(opaque(table))
    for start in range(0, n, BLOCK):
        add_block(words, first + start, smaller(n - start, i64(BLOCK)))
    state = words[layout.TABLE_STATE]
    empty_buckets(state + 8 * layout.STATE_BUCKETS, state + 8 * layout.STATE_SUMS)
    leave_ieee(saved)
    return 0


@njit(**SEPARATE_OPTIONS)
def add_values(values, n, kind, sums, shape, lowest, top):
    """Add n finite values; the sums have room for bits from `lowest` to `top`."""
    clear_sums(sums, lowest, top)
    for i in range(n):
        magnitude, place, sign = parts_of(kind, values[i])
        add_powers(sums, shape, magnitude, place, sign, i64(1))
        if i & (layout.CARRY_EVERY - 1) == layout.CARRY_EVERY - 1:
            carry_reached(sums, lowest, top)


@njit(**SEPARATE_OPTIONS)
def words_of_keys(keys_at, n, kind):
    """Turn n keys into the words of their values, in place."""
    keys = pointer_int64(keys_at)
    if kind == FLOAT:
        for i in range(n):
            keys[i] ^= (keys[i] >> 63) & HIGHEST


@njit(**SEPARATE_OPTIONS)
def shape_of(words, keys_at, n):
    """Return the bits of the shape of n keys."""
    state, kind, shape = (
        words[layout.TABLE_STATE],
        kind_of(words[layout.TABLE_ELEMENT]),
        words[layout.TABLE_SHAPE],
    )
    values = pointer_int64(keys_at)
    lowest, top, n_infinite = reach_of(kind, values, i64(0), n)
    if n_infinite != 0:
        return i64(NAN_BITS)
    add_values(values, n, kind, state, shape, lowest, top)
    memory = state + 8 * layout.N_SUM_WORDS
    return read_shape(state, memory, shape, words[layout.TABLE_OPTIONS], n, lowest, top)


def find_shapes(table, first, n):
    """Write the shape of each of n groups, from keys by group, which are unchanged in the end."""
    saved = enter_ieee()
    words = pointer_int64(opaque(table))
    starts, counts = (
        pointer_int64(words[layout.TABLE_STARTS]),
        pointer_int64(words[layout.TABLE_COUNTS]),
    )
    out, kind = pointer_int64(words[layout.TABLE_OUT]), kind_of(words[layout.TABLE_ELEMENT])
    for group in range(first, first + n):
        keys_at, size = words[layout.TABLE_KEYS] + 8 * starts[group], counts[group]
        words_of_keys(keys_at, size, kind)
        out[group] = shape_of(words, keys_at, size)
        words_of_keys(keys_at, size, kind)  # turned twice, keys are unchanged
    leave_ieee(saved)
    return 0


ENTRIES = {"rows": add_rows, "groups": find_shapes}
