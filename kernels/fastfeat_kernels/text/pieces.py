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
    shift_logical,
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
    TABLE_SCRATCH,
    TABLE_VALIDITY,
    WRITE,
)
from fastfeat_kernels.text.rows import (
    are_utf8,
    ascii_ahead,
    copy,
    count_code_points,
    count_valid_points,
    decode,
    end_of_call,
    is_ascii,
    is_in_table,
    present_bits,
    read_offsets,
    write_ends,
)
from fastfeat_kernels.text.vectors import copy_bytes

i64 = types.int64


@njit(**INNER_OPTIONS)
def size_at(address):
    """Return of how many bytes the code point of UTF-8 at an address is."""
    lead = i64(pointer_uint8(address)[0])
    return 1 + i64(lead >= 0xC0) + i64(lead >= 0xE0) + i64(lead >= 0xF0)


@njit(**SEPARATE_OPTIONS)
def skip(address, n, n_points, room):
    """Return how many of n bytes of UTF-8 the first code points are; `room` bytes may be read."""
    i = i64(0)
    while n_points > 0 and i < n:
        n_ascii = smaller(ascii_ahead(address + i, n - i, room - i), n_points)
        if n_ascii > 0:
            i, n_points = i + n_ascii, n_points - n_ascii
        else:
            i, n_points = i + size_at(address + i), n_points - 1
    return i


@njit(**INNER_OPTIONS)
def slice_of(words, n_points):
    """Return where the slice of a row of so many code points begins and ends."""
    offset = words[TABLE_OFFSET]
    begin = offset + select(offset < 0, n_points, i64(0))
    end = smaller(larger(begin + words[TABLE_LENGTH], 0), n_points)
    return smaller(larger(begin, 0), end), end


@njit(**INNER_OPTIONS)
def stripped(words, start, stop):
    """Return which bytes of a row in UTF-8 are left."""
    data = words[TABLE_DATA]
    x = pointer_uint8(data)
    while words[TABLE_FUNCTION] & STRIP_START != 0 and start < stop:
        code, size = decode(data + start, stop - start)
        if not is_in_table(words, code):
            break
        start += size
    while words[TABLE_FUNCTION] & STRIP_END != 0 and start < stop:
        at = stop - 1
        while i64(x[at]) & 0xC0 == 0x80:
            at -= 1
        code, _ = decode(data + at, stop - at)
        if not is_in_table(words, code):
            break
        stop = at
    return start, stop


@njit(**SEPARATE_OPTIONS)
def piece_of(words, start, stop, readable, checked):
    """Return which bytes of a row are in its piece; -1, -1 if it is not UTF-8."""
    data = words[TABLE_DATA]
    if not checked and count_code_points(data + start, stop - start, readable - start) < 0:
        return i64(-1), i64(-1)
    if words[TABLE_FUNCTION] != SLICE:
        return stripped(words, start, stop)
    n_points = count_valid_points(data + start, stop - start, readable - start)
    begin, end = slice_of(words, n_points)
    if n_points == stop - start:
        return start + begin, start + end
    start += skip(data + start, stop - start, begin, readable - start)
    return start, start + skip(data + start, stop - start, end - begin, readable - start)


@njit(**SEPARATE_OPTIONS)
def slice_ascii(words, n, offsets, begins_at, stops_at):
    """Write where the slices of n rows of ASCII begin and stop, in vectors."""
    x, begins, stops = pointer_int64(offsets), pointer_int64(begins_at), pointer_int64(stops_at)
    for i in range(n):
        begin, end = slice_of(words, x[i + 1] - x[i])
        begins[i], stops[i] = x[i] + begin, x[i] + end


@njit(**INNER_OPTIONS)
def is_in_set(low, high, byte):
    """Return whether a byte of ASCII is one of the set that two words hold."""
    return shift_logical(select(byte < 64, low, high), byte & 63) & 1 != 0


@njit(**SEPARATE_OPTIONS)
def strip_ascii(words, n, offsets, begins_at, stops_at):
    """Write where n rows of ASCII begin and stop after stripping."""
    x, begins, stops = pointer_int64(offsets), pointer_int64(begins_at), pointer_int64(stops_at)
    bytes_, low, high = pointer_uint8(words[TABLE_DATA]), i64(0), i64(0)
    for code in range(64):
        low |= i64(is_in_table(words, code)) << code
        high |= i64(is_in_table(words, 64 + code)) << code
    at_start, at_end = words[TABLE_FUNCTION] & STRIP_START != 0, words[TABLE_FUNCTION] & STRIP_END
    for i in range(n):
        start, stop = x[i], x[i + 1]
        while at_start and start < stop and is_in_set(low, high, i64(bytes_[start])):
            start += 1
        while at_end != 0 and start < stop and is_in_set(low, high, i64(bytes_[stop - 1])):
            stop -= 1
        begins[i], stops[i] = start, stop


@njit(**SEPARATE_OPTIONS)
def find_pieces(words, row, n, begins_at, stops_at, readable):
    """Write where the pieces of n rows begin and stop; return a row that is not UTF-8, or -1."""
    offsets = read_offsets(words, row, n)
    x, begins, stops = pointer_int64(offsets), pointer_int64(begins_at), pointer_int64(stops_at)
    ascii_only = is_ascii(words[TABLE_DATA] + x[0], x[n] - x[0])
    if ascii_only and words[TABLE_FUNCTION] == SLICE:
        slice_ascii(words, n, offsets, begins_at, stops_at)
    elif ascii_only:
        strip_ascii(words, n, offsets, begins_at, stops_at)
    checked = words[TABLE_PASS] == WRITE  # what was measured is UTF-8
    if not (ascii_only or checked):
        checked = are_utf8(words, n, offsets, readable)
    for i in range(n):
        if words[TABLE_VALIDITY] != 0 and present_bits(words, row + i, i64(1)) == 0:
            begins[i], stops[i] = x[i], x[i]
        elif not ascii_only:
            begins[i], stops[i] = piece_of(words, x[i], x[i + 1], readable, checked)
            if begins[i] < 0:
                return row + i
    return i64(-1)


@njit(**SEPARATE_OPTIONS)
def copy_pieces(words, row, n, begins_at, stops_at, out, readable):
    """Copy the pieces of n rows one after the other, the first to `out`."""
    begins, stops = pointer_int64(begins_at), pointer_int64(stops_at)
    data, target, end = words[TABLE_DATA], words[TABLE_OUT_DATA], words[TABLE_OUT_END]
    for i in range(n):
        begin, size = begins[i], stops[i] - begins[i]
        room = smaller(readable - begin, end - out)
        if size <= 64 and room >= 64:
            copy_bytes(target + out, data + begin)
        else:
            copy(target + out, data + begin, size, room)
        out += size
        stops[i] = out
    write_ends(words, row, n, stops_at, i64(0))


@njit(**SEPARATE_OPTIONS)
def total_of(begins_at, stops_at, n):
    """Return how many bytes n pieces are."""
    begins, stops, total = pointer_int64(begins_at), pointer_int64(stops_at), i64(0)
    for i in range(n):
        total += stops[i] - begins[i]
    return total


def pieces(table, first, n):
    """Measure the pieces of the rows, or write them."""
    words, out = pointer_int64(opaque(table)), pointer_int64(opaque(table))[TABLE_OUT_START]
    begins = words[TABLE_SCRATCH] + ((BLOCK + 8) << 3)
    stops, readable = begins + (BLOCK << 3), end_of_call(words, first, n)
    for start in range(0, n, BLOCK):
        row, m = first + start, smaller(n - start, BLOCK)
        failed = find_pieces(words, row, m, begins, stops, readable)
        if failed >= 0:
            words[TABLE_FAILED] = failed
            return 0
        n_bytes = total_of(begins, stops, m)
        if words[TABLE_PASS] == WRITE:
            copy_pieces(words, row, m, begins, stops, out, readable)
        out += n_bytes
    words[TABLE_FOUND] = out - words[TABLE_OUT_START]
    return 0
