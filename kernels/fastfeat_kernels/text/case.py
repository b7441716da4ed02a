# pyright: basic
"""Simple case mapping on the CPU, one code point to one.

Bytes of ASCII are mapped 64 at once. The output is first written in place of the input, row for
row; where a code point changes its number of bytes, rows are measured, and then written.
"""

from __future__ import annotations

from numba import njit, types

from fastfeat_kernels.column import BLOCK
from fastfeat_kernels.intrinsics import (
    INNER_OPTIONS,
    SEPARATE_OPTIONS,
    opaque,
    pointer_int64,
    pointer_uint8,
    select,
    smaller,
)
from fastfeat_kernels.text.layout import (
    IN_PLACE,
    LOWERCASE,
    MEASURE,
    TABLE_DATA,
    TABLE_FAILED,
    TABLE_FOUND,
    TABLE_FUNCTION,
    TABLE_OUT_DATA,
    TABLE_OUT_START,
    TABLE_PASS,
)
from fastfeat_kernels.text.rows import (
    cell_of,
    decode,
    is_ascii,
    lacks_text,
    present_bits,
    read_offsets,
    write_ends,
    write_offset,
)
from fastfeat_kernels.text.vectors import copy_case

i64 = types.int64
NOT_UTF8, OTHER_LENGTH = -1, -2


@njit(**SEPARATE_OPTIONS)
def map_ascii(target, source, n, first):
    """Copy n bytes in the other case from letter `first` on; return whether all were ASCII."""
    i, found = i64(0), i64(0)
    while i + 64 <= n:
        found |= copy_case(target + i, source + i, first)
        i += 64
    x, y = pointer_uint8(source), pointer_uint8(target)
    while i < n:
        byte = i64(x[i])
        found |= byte & 0x80
        letter = (byte >= first) & (byte < first + 26)
        y[i] = types.uint8(byte ^ (i64(letter) << 5))
        i += 1
    return found == 0


@njit(**INNER_OPTIONS)
def size_of(code):
    """Return of how many bytes a code point is."""
    return 1 + i64(code >= 0x80) + i64(code >= 0x800) + i64(code >= 0x10000)


@njit(**INNER_OPTIONS)
def encode(target, code):
    """Write a code point."""
    y, size = pointer_uint8(target), size_of(code)
    i = size - 1
    while i > 0:
        y[i] = types.uint8(0x80 | (code & 0x3F))
        code >>= 6
        i -= 1
    y[0] = types.uint8(select(size == 1, code, code | ((0xF00 >> size) & 0xFF)))


@njit(**SEPARATE_OPTIONS)
def map_row(words, source, n, target):
    """Write a row in the wanted case, unless it is measured; return its bytes, or what it is."""
    i, out = i64(0), i64(0)
    while i < n:
        code, size = decode(source + i, n - i)
        if size == 0:
            return i64(NOT_UTF8)
        mapped = code + cell_of(words, code)
        n_bytes = size_of(mapped)
        if words[TABLE_PASS] != MEASURE:
            if words[TABLE_PASS] == IN_PLACE and n_bytes != size:
                return i64(OTHER_LENGTH)
            encode(target + out, mapped)
        i, out = i + size, out + n_bytes
    return out


@njit(**SEPARATE_OPTIONS)
def map_rows(words, row, n, offsets, out):
    """Do so with n rows, the first at `out`; return where the last ends, or what one is."""
    x = pointer_int64(offsets)
    for i in range(n):
        size = x[i + 1] - x[i]
        n_bytes = i64(0)
        if present_bits(words, row + i, i64(1)) != 0:
            source, target = words[TABLE_DATA] + x[i], words[TABLE_OUT_DATA] + out
            n_bytes = map_row(words, source, size, target)
        if words[TABLE_PASS] == IN_PLACE and n_bytes != size:
            return i64(OTHER_LENGTH)  # or not UTF-8: measuring tells
        if n_bytes == NOT_UTF8:
            words[TABLE_FAILED] = row + i
            return n_bytes
        out += n_bytes
        if words[TABLE_PASS] != MEASURE:
            write_offset(words, row + i, out)
    return out


@njit(**INNER_OPTIONS)
def map_block(words, row, n, offsets, out):
    """Do so with a block of rows: at once, where they are ASCII."""
    x, first = pointer_int64(offsets), select(words[TABLE_FUNCTION] == LOWERCASE, i64(65), i64(97))
    source, target = words[TABLE_DATA] + x[0], words[TABLE_OUT_DATA] + out
    n_bytes, plain = x[n] - x[0], lacks_text(words, row, n, offsets)
    if plain and words[TABLE_PASS] == IN_PLACE:
        plain = map_ascii(target, source, n_bytes, first)
    elif plain:
        plain = is_ascii(source, n_bytes)
        if plain and words[TABLE_PASS] != MEASURE:
            map_ascii(target, source, n_bytes, first)
    if not plain:
        return map_rows(words, row, n, offsets, out)
    if words[TABLE_PASS] != MEASURE:
        write_ends(words, row, n, offsets + 8, out - x[0])
    return out + n_bytes


def case(table, first, n):
    """Measure the rows in the wanted case, or write them; OTHER_LENGTH is reported if found."""
    words, out = pointer_int64(opaque(table)), pointer_int64(opaque(table))[TABLE_OUT_START]
    for start in range(0, n, BLOCK):
        row, m = first + start, smaller(n - start, BLOCK)
        out = map_block(words, row, m, read_offsets(words, row, m), out)
        if out < 0:
            words[TABLE_FOUND] = out
            return 0
    words[TABLE_FOUND] = out - words[TABLE_OUT_START]
    return 0
