# pyright: basic
"""Pieces of text on the CPU: slices by code points, and what stripping leaves."""

from __future__ import annotations

from numba import njit, types

from fastfeat_kernels.column import BLOCK
from fastfeat_kernels.intrinsics import (
    INNER_OPTIONS,
    SEPARATE_OPTIONS,
    larger,
    opaque,
    pointer_int64,
    pointer_uint8,
    select,
    smaller,
)
from fastfeat_kernels.text.layout import (
    SLICE,
    STRIP_END,
    STRIP_START,
    TABLE_DATA,
    TABLE_FAILED,
    TABLE_FOUND,
    TABLE_FUNCTION,
    TABLE_LENGTH,
    TABLE_OFFSET,
    TABLE_OUT_DATA,
    TABLE_OUT_END,
    TABLE_OUT_START,
    TABLE_PASS,
    WRITE,
)
from fastfeat_kernels.text.rows import (
    copy,
    count_code_points,
    decode,
    end_of_call,
    is_ascii,
    is_in_table,
    present_bits,
    read_offsets,
    write_offset,
)

i64 = types.int64


@njit(**INNER_OPTIONS)
def skip(address, at, end, n_points):
    """Return where in UTF-8 the n-th code point from `at` on starts, or `end`."""
    x = pointer_uint8(address)
    while n_points > 0 and at < end:
        lead = i64(x[at])
        at += 1 + i64(lead >= 0xC0) + i64(lead >= 0xE0) + i64(lead >= 0xF0)
        n_points -= 1
    return at


@njit(**INNER_OPTIONS)
def slice_of(words, start, stop, n_points):
    """Return which bytes of a row of so many code points are in the slice."""
    offset, length = words[TABLE_OFFSET], words[TABLE_LENGTH]
    begin = select(offset < 0, n_points + offset, offset)
    end = smaller(larger(begin + length, 0), n_points)
    begin = smaller(larger(begin, 0), end)
    if n_points == stop - start:
        return start + begin, start + end
    at = skip(words[TABLE_DATA], start, stop, begin)
    return at, skip(words[TABLE_DATA], at, stop, end - begin)


@njit(**INNER_OPTIONS)
def stripped(words, start, stop):
    """Return which bytes of a row are left."""
    data = words[TABLE_DATA]
    x = pointer_uint8(data)
    if words[TABLE_FUNCTION] & STRIP_START != 0:
        while start < stop:
            code, size = decode(data + start, stop - start)
            if not is_in_table(words, code):
                break
            start += size
    if words[TABLE_FUNCTION] & STRIP_END != 0:
        while start < stop:
            at = stop - 1
            while i64(x[at]) & 0xC0 == 0x80:
                at -= 1
            code, _ = decode(data + at, stop - at)
            if not is_in_table(words, code):
                break
            stop = at
    return start, stop


@njit(**SEPARATE_OPTIONS)
def piece_of(words, start, stop, ascii_only):
    """Return which bytes of a row are in its piece; -1, -1 if it is not UTF-8."""
    n_points = stop - start
    if not ascii_only:
        n_points = count_code_points(words[TABLE_DATA] + start, stop - start)
        if n_points < 0:
            return i64(-1), i64(-1)
    if words[TABLE_FUNCTION] == SLICE:
        return slice_of(words, start, stop, n_points)
    return stripped(words, start, stop)


def pieces(table, first, n):
    """Measure the pieces of the rows, or write them."""
    words = pointer_int64(opaque(table))
    readable, end, out = end_of_call(words, first, n), words[TABLE_OUT_END], words[TABLE_OUT_START]
    for start in range(0, n, BLOCK):
        row, m = first + start, smaller(n - start, BLOCK)
        x = pointer_int64(read_offsets(words, row, m))
        ascii_only = is_ascii(words[TABLE_DATA] + x[0], x[m] - x[0])
        for i in range(m):
            if present_bits(words, row + i, i64(1)) != 0:
                begin, stop = piece_of(words, x[i], x[i + 1], ascii_only)
                if begin < 0:
                    words[TABLE_FAILED] = row + i
                    return 0
                if words[TABLE_PASS] == WRITE:
                    source, target = words[TABLE_DATA] + begin, words[TABLE_OUT_DATA] + out
                    copy(target, source, stop - begin, smaller(readable - begin, end - out))
                out += stop - begin
            if words[TABLE_PASS] == WRITE:
                write_offset(words, row + i, out)
    words[TABLE_FOUND] = out - words[TABLE_OUT_START]
    return 0
