# pyright: basic
"""Simple case mapping on the CPU, one code point to one.

ASCII bytes are mapped 64 at once. The output is first written like the input, row for row. If a
code point changes its number of bytes, all rows are measured, and then written.
"""

from __future__ import annotations

from numba import njit, types

from fastfeat_kernels.column import BLOCK
from fastfeat_kernels.intrinsics import (
    INNER_OPTIONS,
    SEPARATE_OPTIONS,
    load_int32,
    opaque,
    pointer_int64,
    pointer_uint8,
    select,
    shift_logical,
    smaller,
)
from fastfeat_kernels.text import (
    IN_PLACE,
    LOWERCASE,
    MEASURE,
    TABLE_DATA,
    TABLE_FAILED,
    TABLE_FOUND,
    TABLE_FUNCTION,
    TABLE_OUT_DATA,
    TABLE_OUT_END,
    TABLE_OUT_START,
    TABLE_PASS,
)
from fastfeat_kernels.text.cpu.rows import (
    are_utf8,
    ascii_ahead,
    cell_of,
    decode,
    end_of_call,
    is_ascii,
    lacks_text,
    present_bits,
    read_offsets,
    write_ends,
    write_offset,
)
from fastfeat_kernels.text.cpu.vectors import copy_case, high_bits, start_bits, trailing_zeros

i64 = types.int64
NOT_UTF8, OTHER_LENGTH = -1, -2


@njit(**SEPARATE_OPTIONS)
def map_ascii(target, source, n, first):
    """Copy n bytes, swapping the case of 26 letters from `first` on; return if all are ASCII."""
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
    """Return the number of bytes of a code point in UTF-8."""
    return 1 + i64(code >= 0x80) + i64(code >= 0x800) + i64(code >= 0x10000)


@njit(**INNER_OPTIONS)
def encode(target, code):
    """Write a code point."""
    y, size = pointer_uint8(target), size_of(code)
    if size == 2:
        y[0], y[1] = types.uint8(0xC0 | (code >> 6)), types.uint8(0x80 | (code & 0x3F))
        return
    i = size - 1
    while i > 0:
        y[i] = types.uint8(0x80 | (code & 0x3F))
        code >>= 6
        i -= 1
    y[0] = types.uint8(select(size == 1, code, code | ((0xF00 >> size) & 0xFF)))


@njit(**SEPARATE_OPTIONS)
def measure_row(words, source, n, room):
    """Return the number of bytes of a row in the wanted case, or NOT_UTF8."""
    i, n_bytes = i64(0), n
    while i < n:
        i += ascii_ahead(source + i, n - i, room - i)
        while i < n and pointer_uint8(source)[i] >= 0x80:
            code, size = decode(source + i, n - i)
            if size == 0:
                return i64(NOT_UTF8)
            n_bytes += size_of(code + cell_of(words, code)) - size
            i += size
    return n_bytes


@njit(**SEPARATE_OPTIONS)
def measure_rows(words, row, n, offsets, end):
    """Return the number of bytes of n rows in the wanted case, or NOT_UTF8 if any is not UTF-8."""
    x, total = pointer_int64(offsets), i64(0)
    for i in range(n):
        if present_bits(words, row + i, i64(1)) != 0:
            source = words[TABLE_DATA] + x[i]
            n_bytes = measure_row(words, source, x[i + 1] - x[i], end - x[i])
            if n_bytes < 0:
                words[TABLE_FAILED] = row + i
                return n_bytes
            total += n_bytes
    return total


@njit(**INNER_OPTIONS)
def decode_valid(address):
    """Return a code point of valid UTF-8 beyond ASCII, and its size; 4 bytes may be read."""
    word = load_int32(address)
    lead = word & 0xFF
    size = i64(2) + i64(lead >= 0xE0) + i64(lead >= 0xF0)
    code = (lead & (0x7F >> size)) << 18 | (word >> 8 & 0x3F) << 12
    code |= (word >> 16 & 0x3F) << 6 | (word >> 24 & 0x3F)
    return code >> (24 - 6 * size), size


@njit(**INNER_OPTIONS)
def map_one(words, code, size, target):
    """Write a code point in the wanted case over itself; return whether it keeps its size."""
    change = cell_of(words, code)
    if change != 0:
        if size_of(code + change) != size:
            return False
        encode(target, code + change)
    return True


@njit(**SEPARATE_OPTIONS)
def map_others(words, source, n, target, room):
    """Map code points beyond ASCII in n copied bytes of UTF-8; return if sizes are kept."""
    i = i64(0)
    while i < n and i + 68 <= room:
        kept = shift_logical(i64(-1), 64 - smaller(n - i, 64))
        leads = high_bits(source + i) & start_bits(source + i) & kept
        while leads != 0:
            at = i + trailing_zeros(leads)
            code, size = decode_valid(source + at)
            if not map_one(words, code, size, target + at):
                return False
            leads &= leads - 1
        i += 64
    x = pointer_uint8(source)
    while i < n:
        if x[i] >= 0xC0:
            code, size = decode(source + i, n - i)
            if not map_one(words, code, size, target + i):
                return False
        i += 1
    return True


@njit(**SEPARATE_OPTIONS)
def map_rows_in_place(words, n, offsets, out, end):
    """Write n rows without missing text at `out`; return whether each keeps its length."""
    x, first = pointer_int64(offsets), select(words[TABLE_FUNCTION] == LOWERCASE, i64(65), i64(97))
    source, target, n_bytes = words[TABLE_DATA] + x[0], words[TABLE_OUT_DATA] + out, x[n] - x[0]
    if map_ascii(target, source, n_bytes, first):
        return True
    if not are_utf8(words, n, offsets, end):
        return False
    return map_others(words, source, n_bytes, target, end - x[0])


@njit(**SEPARATE_OPTIONS)
def map_row(words, source, n, target):
    """Write a row of UTF-8 in the wanted case by code points; return its number of bytes."""
    i, out = i64(0), i64(0)
    while i < n:
        code, size = decode(source + i, n - i)
        mapped = code + cell_of(words, code)
        encode(target + out, mapped)
        i, out = i + size, out + size_of(mapped)
    return out


@njit(**SEPARATE_OPTIONS)
def map_rows(words, row, n, offsets, out):
    """Write n measured rows, the first at `out`; return the end of the last."""
    x = pointer_int64(offsets)
    for i in range(n):
        if present_bits(words, row + i, i64(1)) != 0:
            source, target = words[TABLE_DATA] + x[i], words[TABLE_OUT_DATA] + out
            out += map_row(words, source, x[i + 1] - x[i], target)
        write_offset(words, row + i, out)
    return out


@njit(**INNER_OPTIONS)
def map_block(words, row, n, offsets, out, end):
    """Measure or write a block of rows, the first at `out`; return the end of the last."""
    x = pointer_int64(offsets)
    n_bytes, plain = x[n] - x[0], lacks_text(words, row, n, offsets)
    if words[TABLE_PASS] == MEASURE:
        if not (plain and is_ascii(words[TABLE_DATA] + x[0], n_bytes)):
            n_bytes = measure_rows(words, row, n, offsets, end)
        return select(n_bytes < 0, n_bytes, out + n_bytes)
    fits = plain and out + n_bytes <= words[TABLE_OUT_END]
    if fits and map_rows_in_place(words, n, offsets, out, end):
        write_ends(words, row, n, offsets + 8, out - x[0])
        return out + n_bytes
    if words[TABLE_PASS] == IN_PLACE:
        return i64(OTHER_LENGTH)  # or not UTF-8: measuring will find out
    return map_rows(words, row, n, offsets, out)


def case(table, first, n):
    """Measure the rows in the wanted case, or write them; report a changed length."""
    words, out = pointer_int64(opaque(table)), pointer_int64(opaque(table))[TABLE_OUT_START]
    end = end_of_call(words, first, n)
    for start in range(0, n, BLOCK):
        row, m = first + start, smaller(n - start, BLOCK)
        out = map_block(words, row, m, read_offsets(words, row, m), out, end)
        if out < 0:
            words[TABLE_FOUND] = out
            return 0
    words[TABLE_FOUND] = out - words[TABLE_OUT_START]
    return 0


CASE = (case,)
"""The entries of this file."""
