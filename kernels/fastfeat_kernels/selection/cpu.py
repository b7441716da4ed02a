# pyright: basic
"""Selection on the CPU: the rounds of `selection.state.select`, for every type of column.

Converting a block of values to sortable keys, and keys to buckets, is vectorized; counting and
extracting cost one load and one branch or increment a row. Counts are 32-bit: a call takes fewer
than 2**32 rows.
"""

from __future__ import annotations

from numba import njit, types

from fastfeat_kernels.blocks import (
    HIGHEST,
    LOWEST,
    NAN_BITS,
    count_bits,
    mask,
    read_bools,
    read_floats,
    read_integers,
)
from fastfeat_kernels.column import BLOCK, ELEMENTS
from fastfeat_kernels.intrinsics import (
    INNER_OPTIONS,
    enter_ieee,
    larger,
    leave_ieee,
    opaque,
    pointer_int32,
    pointer_int64,
    pointer_uint32,
    read_bits,
    select,
    shift_logical,
    smaller,
)
from fastfeat_kernels.selection import (
    COUNT,
    SAMPLE,
    TABLE_BIT_OFFSET,
    TABLE_CELLS,
    TABLE_COUNTS,
    TABLE_CURSORS,
    TABLE_ELEMENT,
    TABLE_HIGH,
    TABLE_KEYS,
    TABLE_LOW,
    TABLE_N_LESS,
    TABLE_N_SAMPLE,
    TABLE_PIVOTS,
    TABLE_ROUND,
    TABLE_SAMPLE,
    TABLE_SCRATCH,
    TABLE_SHIFT,
    TABLE_STRIDE,
    TABLE_TARGETS,
    TABLE_VALIDITY,
    TABLE_VALUE_BIT_OFFSET,
    TABLE_VALUES,
)

i64 = types.int64
FLOAT32, BOOL = ELEMENTS.index("float32"), ELEMENTS.index("bool")
INFINITE = 0x7FF << 52
GOLDEN = 0x9E3779B97F4A7C15 - 2**64  # spreads row numbers: 2**64 / golden ratio


@njit(**INNER_OPTIONS)
def is_float(element):
    """Return whether NaN marks missing values."""
    return element <= FLOAT32


@njit(**INNER_OPTIONS)
def key_rules(element):
    """Return the bits to flip in a negative word, and the first and last key of values."""
    flip = select(is_float(element), i64(HIGHEST), i64(0))
    first_key = select(is_float(element), i64(-INFINITE - 1), LOWEST)
    return flip, first_key, select(is_float(element), i64(INFINITE), i64(HIGHEST))


@njit(**INNER_OPTIONS)
def read(words, row, n):
    """Return the address of n values as float64, NaN for missing ones, or as int64."""
    element, values = words[TABLE_ELEMENT], words[TABLE_VALUES]
    validity, scratch = words[TABLE_VALIDITY], words[TABLE_SCRATCH]
    if element == BOOL:
        return read_bools(values, words[TABLE_VALUE_BIT_OFFSET], row, n, scratch)
    if not is_float(element):
        return read_integers(element, values, row, n, scratch)
    source = read_floats(element, values, row, n, scratch)
    if validity == 0:
        return source
    mask(scratch, source, validity, words[TABLE_BIT_OFFSET] + row, n, i64(NAN_BITS))
    return scratch


@njit(**INNER_OPTIONS)
def is_present(words, key, row):
    """Return whether a row, with this key, has a value."""
    element, validity = words[TABLE_ELEMENT], words[TABLE_VALIDITY]
    if is_float(element) or validity == 0:
        _, first_key, last_key = key_rules(element)
        return (key >= first_key) & (key <= last_key)
    return read_bits(validity, words[TABLE_BIT_OFFSET] + row, i64(1)) != 0


@njit(**INNER_OPTIONS)
def sample(words, first, n):
    """Take the key of one row of every `stride`."""
    stride, keys = words[TABLE_STRIDE], pointer_int64(words[TABLE_SAMPLE])
    size, start = pointer_int64(words[TABLE_N_SAMPLE])[0], i64(0)
    flip, _, _ = key_rules(words[TABLE_ELEMENT])
    while start < n:  # range() would check that the step is not 0, and raise
        offset = shift_logical(start * GOLDEN, 33) % stride
        row = first + smaller(start + offset, n - 1)
        word = pointer_int64(read(words, row, i64(1)))[0]
        key = word ^ ((word >> 63) & flip)
        keys[size] = key
        size += i64(is_present(words, key, row))
        start += stride
    pointer_int64(words[TABLE_N_SAMPLE])[0] = size


@njit(**INNER_OPTIONS)
def measure(words, row, n, source, target):
    """Write the distance of each key from the lowest of the map, 0 if missing; count those."""
    x, offsets = pointer_int64(source), pointer_int64(target)
    low, high, n_missing = words[TABLE_LOW], words[TABLE_HIGH], i64(0)
    flip, first_key, last_key = key_rules(words[TABLE_ELEMENT])
    for i in range(n):
        key = x[i] ^ ((x[i] >> 63) & flip)
        missing = (key < first_key) | (key > last_key)
        offsets[i] = select(missing, i64(0), smaller(larger(key, low), high) - low)
        n_missing += i64(missing)
    if (not is_float(words[TABLE_ELEMENT])) and (words[TABLE_VALIDITY] != 0):
        bit = words[TABLE_BIT_OFFSET] + row
        mask(target, target, words[TABLE_VALIDITY], bit, n, i64(0))
        n_missing = n - count_bits(words[TABLE_VALIDITY], bit, n)
    return n_missing


@njit(**INNER_OPTIONS)
def count(words, target, n, n_missing):
    """Count each distance in its bucket."""
    offsets, counts = pointer_int64(target), pointer_uint32(words[TABLE_COUNTS])
    cells, shift = pointer_int64(words[TABLE_CELLS]), words[TABLE_SHIFT]
    for i in range(n):
        cell = cells[shift_logical(offsets[i], shift)]
        counts[(cell >> 6) + shift_logical(offsets[i], cell & 63)] += 1
    counts[cells[0] >> 6] -= n_missing


@njit(**INNER_OPTIONS)
def find(words, n, offsets_at, found_at):
    """Write the numbers of the rows in a wanted bucket, without branches; return their count."""
    offsets, found = pointer_int64(offsets_at), pointer_int64(found_at)
    cells, shift = pointer_int64(words[TABLE_CELLS]), words[TABLE_SHIFT]
    targets, size = pointer_int32(words[TABLE_TARGETS]), i64(0)
    for i in range(n):
        cell = cells[shift_logical(offsets[i], shift)]
        found[size] = i
        size += i64(targets[(cell >> 6) + shift_logical(offsets[i], cell & 63)] != 0)
    return size


@njit(**INNER_OPTIONS)
def extract(words, row, n, source, offsets_at, found_at):
    """Append the keys of wanted buckets, except the pivots, to the keys of their bucket."""
    x, offsets = pointer_int64(source), pointer_int64(offsets_at)
    found, keys = pointer_int64(found_at), pointer_int64(words[TABLE_KEYS])
    cells, shift = pointer_int64(words[TABLE_CELLS]), words[TABLE_SHIFT]
    targets, pivots = pointer_int32(words[TABLE_TARGETS]), pointer_int64(words[TABLE_PIVOTS])
    cursors, n_less = pointer_int64(words[TABLE_CURSORS]), pointer_int64(words[TABLE_N_LESS])
    flip, _, _ = key_rules(words[TABLE_ELEMENT])
    for j in range(find(words, n, offsets_at, found_at)):
        i = found[j]
        cell = cells[shift_logical(offsets[i], shift)]
        wanted = targets[(cell >> 6) + shift_logical(offsets[i], cell & 63)]
        key = x[i] ^ ((x[i] >> 63) & flip)
        if key != pivots[wanted] and is_present(words, key, row + i):
            keys[cursors[wanted]] = key
            cursors[wanted] += 1
            n_less[wanted] += i64(key < pivots[wanted])


def selection(table, first, n):
    """Run the table's round on rows [first, first + n) of its chunk."""
    saved = enter_ieee()
    words = pointer_int64(opaque(table))
    if words[TABLE_ROUND] == SAMPLE:
        sample(words, first, n)
    else:
        for start in range(0, n, BLOCK):
            row, m = first + start, smaller(n - start, BLOCK)
            source, target = read(words, row, m), words[TABLE_SCRATCH] + 8 * BLOCK
            n_missing = measure(words, row, m, source, target)
            if words[TABLE_ROUND] == COUNT:
                count(words, target, m, n_missing)
            else:
                extract(words, row, m, source, target, target + 8 * BLOCK)
    leave_ieee(saved)
    return 0


ENTRIES = {"rows": selection}
