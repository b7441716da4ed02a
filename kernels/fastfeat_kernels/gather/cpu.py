# pyright: basic
"""Gathering values by row number on the CPU."""

from __future__ import annotations

from numba import njit, types

from fastfeat_kernels.gather import (
    BLOCK,
    TABLE_BIT_OFFSET,
    TABLE_BITMAP,
    TABLE_FIRST_BIT,
    TABLE_GATHERED,
    TABLE_LOG_BYTES,
    TABLE_NUMBERS,
    TABLE_VALIDITY,
    TABLE_VALUES,
    TABLE_VALUES_BIT_OFFSET,
    TABLE_VALUES_VALIDITY,
)
from fastfeat_kernels.intrinsics import (
    INNER_OPTIONS,
    LANES,
    SEPARATE_OPTIONS,
    pointer_int64,
    pointer_uint8,
    pointer_uint16,
    pointer_uint32,
    prefetch,
    read_bits,
    select,
    smaller,
)

i64 = types.int64


@njit(**INNER_OPTIONS)
def present_bits(words, row, n):
    """Return the bits of at most 64 rows: 1 if a row has a number."""
    if words[TABLE_VALIDITY] == 0:
        return i64(-1)
    return read_bits(words[TABLE_VALIDITY], words[TABLE_BIT_OFFSET] + row, n)


@njit(**SEPARATE_OPTIONS)
def ask(words, row, n):
    """Prefetch the values of rows."""
    numbers, values = pointer_int64(words[TABLE_NUMBERS]), words[TABLE_VALUES]
    log_bytes = words[TABLE_LOG_BYTES]
    for i in range(n):
        prefetch(values + (numbers[row + i] << log_bytes))


def _copier(pointer, kind):
    @njit(**SEPARATE_OPTIONS)
    def copy(words, row, n, bits):
        """Copy the values of at most 64 rows; 0 where a bit is 0."""
        numbers, values = pointer_int64(words[TABLE_NUMBERS]), pointer(words[TABLE_VALUES])
        gathered = pointer(words[TABLE_GATHERED])
        for i in range(n):
            present = (bits >> i) & 1 != 0
            value = i64(values[select(present, numbers[row + i], i64(0))])
            gathered[row + i] = kind(select(present, value, i64(0)))

    return copy


copy1, copy2 = _copier(pointer_uint8, types.uint8), _copier(pointer_uint16, types.uint16)
copy4, copy8 = _copier(pointer_uint32, types.uint32), _copier(pointer_int64, i64)


@njit(**INNER_OPTIONS)
def copy_values(words, row, n, bits):
    """Copy the values of at most 64 rows, of any width."""
    log_bytes = words[TABLE_LOG_BYTES]
    if log_bytes == 3:
        copy8(words, row, n, bits)
    elif log_bytes == 2:
        copy4(words, row, n, bits)
    elif log_bytes == 1:
        copy2(words, row, n, bits)
    else:
        copy1(words, row, n, bits)


@njit(**SEPARATE_OPTIONS)
def values_present(words, row, n, bits):
    """Return the bits of at most 64 rows: 1 if the bit was set and the table has a value."""
    numbers, found = pointer_int64(words[TABLE_NUMBERS]), i64(0)
    bitmap, first = pointer_uint8(words[TABLE_VALUES_VALIDITY]), words[TABLE_VALUES_BIT_OFFSET]
    for i in range(n):
        present = (bits >> i) & 1
        bit = first + select(present != 0, numbers[row + i], i64(0))
        found |= (i64(bitmap[bit >> 3]) >> (bit & 7) & present) << i
    return found


@njit(**SEPARATE_OPTIONS)
def write_bits(words, row, n, bits):
    """Write the bits of at most 64 rows: 1 if a row has a value."""
    bitmap, bit = pointer_int64(words[TABLE_BITMAP]), words[TABLE_FIRST_BIT] + row
    if n < LANES:
        bits &= (i64(1) << n) - 1
    shift = bit & 63
    bitmap[bit >> 6] |= bits << shift
    if shift + n > LANES:
        bitmap[(bit >> 6) + 1] |= bits >> (LANES - shift) & ((i64(1) << shift) - 1)


def gather(table, first, n):
    """Write the value of each row, and whether it has one."""
    words = pointer_int64(table)
    for block in range(first, first + n, BLOCK):
        end = smaller(first + n, block + i64(BLOCK))
        ask(words, block, end - block)
        for row in range(block, end, LANES):
            m = smaller(end - row, i64(LANES))
            bits = present_bits(words, row, m)
            if words[TABLE_VALUES_VALIDITY] != 0:
                bits = values_present(words, row, m, bits)
            copy_values(words, row, m, bits)
            if words[TABLE_BITMAP] != 0:
                write_bits(words, row, m, bits)
    return 0


ENTRIES = {"gather": gather}
