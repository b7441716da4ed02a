# pyright: basic
"""Pieces of text on the CPU: slices by code points, and stripped rows.

For most rows the first 64 bytes contain the start of the piece, and the last 64 its end, so each 64
bytes are tested at once. Rows are found and copied block by block, while the block is in the cache.
"""

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
    popcount,
    select,
    shift_logical,
    smaller,
)
from fastfeat_kernels.text import (
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
    TABLE_SCRATCH,
    TABLE_VALIDITY,
)
from fastfeat_kernels.text.cpu.rows import (
    are_utf8,
    copy,
    count_valid_points,
    decode,
    end_of_call,
    is_ascii,
    is_in_table,
    is_utf8,
    present_bits,
    read_offsets,
    write_ends,
)
from fastfeat_kernels.text.cpu.vectors import (
    copy_bytes,
    leading_zeros,
    space_bits,
    start_bits,
    trailing_zeros,
)

i64 = types.int64
SPACES = 1 << 32 | 0x1F << 9  # ASCII white space, as bits


@njit(**INNER_OPTIONS)
def first_bits(n):
    """Return a word with the lowest n bits set, for n in [1, 64]."""
    return shift_logical(i64(-1), 64 - n)


@njit(**INNER_OPTIONS)
def place_of(bits, n):
    """Return the place of the set bit that has n others below it; 64 if there is none."""
    while n > 0:
        bits &= bits - 1
        n -= 1
    return trailing_zeros(bits)


@njit(**SEPARATE_OPTIONS)
def skip(address, n, n_points, room):
    """Return the number of bytes of the first code points of UTF-8; `room` bytes may be read."""
    i = i64(0)
    while i + 64 <= smaller(n, room):
        starts = start_bits(address + i)
        n_here = popcount(starts)
        if n_here > n_points:
            return i + place_of(starts, n_points)
        i, n_points = i + 64, n_points - n_here
    x = pointer_uint8(address)
    while i < n and (n_points > 0 or x[i] & 0xC0 == 0x80):
        n_points -= i64(x[i] & 0xC0 != 0x80)
        i += 1
    return i


@njit(**INNER_OPTIONS)
def slice_of(offset, length, n_points):
    """Return the begin and end of the slice of a row with n_points code points."""
    begin = offset + select(offset < 0, n_points, i64(0))
    end = smaller(larger(begin + length, 0), n_points)
    return smaller(larger(begin, 0), end), end


@njit(**SEPARATE_OPTIONS)
def slice_long(offset, length, address, n, room):
    """Return the start and stop of the slice of a row of UTF-8, in bytes."""
    n_points = n  # at most
    if offset < 0:
        n_points = count_valid_points(address, n, room)
    begin, end = slice_of(offset, length, n_points)
    start = skip(address, n, begin, room)
    if end == n_points:
        return start, n
    return start, start + skip(address + start, n - start, end - begin, room - start)


@njit(**SEPARATE_OPTIONS)
def slice_rows(words, n, offsets, begins_at, stops_at, readable):
    """Write the start and stop of the slices of n rows of UTF-8."""
    x, begins, stops = pointer_int64(offsets), pointer_int64(begins_at), pointer_int64(stops_at)
    offset, length, data = words[TABLE_OFFSET], words[TABLE_LENGTH], words[TABLE_DATA]
    for i in range(n):
        at, size, starts = x[i], x[i + 1] - x[i], i64(0)
        if size > 0 and at + 64 <= readable:
            starts = start_bits(data + at) & first_bits(smaller(size, 64))
        n_points = popcount(starts)
        begin, end = slice_of(offset, length, n_points)
        if n_points > 0 and (size <= 64 or (offset >= 0 and end < n_points)):
            start, stop = place_of(starts, begin), size
            if end < n_points:
                stop = place_of(starts, end)
            start = smaller(start, stop)
        else:
            start, stop = slice_long(offset, length, data + at, size, readable - at)
        begins[i], stops[i] = at + start, at + stop


@njit(**SEPARATE_OPTIONS)
def slice_ascii(words, n, offsets, begins_at, stops_at):
    """Write the start and stop of the slices of n rows of ASCII; vectorized."""
    x, begins, stops = pointer_int64(offsets), pointer_int64(begins_at), pointer_int64(stops_at)
    offset, length = words[TABLE_OFFSET], words[TABLE_LENGTH]
    for i in range(n):
        begin, end = slice_of(offset, length, x[i + 1] - x[i])
        begins[i], stops[i] = x[i] + begin, x[i] + end


@njit(**SEPARATE_OPTIONS)
def stripped(words, start, stop):
    """Return the start and stop of a row in UTF-8 after stripping."""
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


@njit(**INNER_OPTIONS)
def is_in_set(low, high, byte):
    """Return whether a byte is in a set of ASCII bytes, given as two words."""
    word = select(byte < 64, low, high)
    return (byte < 128) & (shift_logical(word, byte & 63) & 1 != 0)


@njit(**SEPARATE_OPTIONS)
def strip_set(words, n, offsets, begins_at, stops_at, low, high):
    """Write the start and stop of n rows of UTF-8 after stripping a set of ASCII bytes."""
    x, begins, stops = pointer_int64(offsets), pointer_int64(begins_at), pointer_int64(stops_at)
    bytes_, function = pointer_uint8(words[TABLE_DATA]), words[TABLE_FUNCTION]
    for i in range(n):
        start, stop = x[i], x[i + 1]
        while function & STRIP_START != 0 and start < stop:
            if not is_in_set(low, high, i64(bytes_[start])):
                break
            start += 1
        while function & STRIP_END != 0 and start < stop:
            if not is_in_set(low, high, i64(bytes_[stop - 1])):
                break
            stop -= 1
        if start < stop and i64(bytes_[start] | bytes_[stop - 1]) >= 0x80:
            start, stop = stripped(words, start, stop)
        begins[i], stops[i] = start, stop


@njit(**SEPARATE_OPTIONS)
def strip_spaces(words, n, offsets, begins_at, stops_at, readable):
    """Write the start and stop of n rows of UTF-8 after stripping white space at both ends."""
    x, begins, stops = pointer_int64(offsets), pointer_int64(begins_at), pointer_int64(stops_at)
    data, function = words[TABLE_DATA], words[TABLE_FUNCTION]
    bytes_ = pointer_uint8(data)
    for i in range(n):
        start, stop, at_start, at_end = x[i], x[i + 1], i64(0), i64(0)
        far = larger(stop - 64, start)
        if start < stop and start + 64 <= readable:
            at_start = ~space_bits(data + start) & first_bits(smaller(stop - start, 64))
            at_end = ~space_bits(data + far) & first_bits(stop - far)
        if at_start != 0 and at_end != 0:
            start += select(function & STRIP_START != 0, trailing_zeros(at_start), i64(0))
            last = far + 64 - leading_zeros(at_end)
            stop = select(function & STRIP_END != 0, last, stop)
            if i64(bytes_[start] | bytes_[stop - 1]) >= 0x80:
                start, stop = stripped(words, start, stop)
        else:
            start, stop = stripped(words, start, stop)
        begins[i], stops[i] = start, stop


@njit(**SEPARATE_OPTIONS)
def strip_rows(words, n, offsets, begins_at, stops_at, readable):
    """Write the start and stop of n rows of UTF-8 after stripping."""
    low, high = i64(0), i64(0)
    for code in range(64):
        low |= i64(is_in_table(words, code)) << code
        high |= i64(is_in_table(words, 64 + code)) << code
    if low == SPACES and high == 0:
        strip_spaces(words, n, offsets, begins_at, stops_at, readable)
    else:
        strip_set(words, n, offsets, begins_at, stops_at, low, high)


@njit(**SEPARATE_OPTIONS)
def find_one_by_one(words, row, n, offsets, begins_at, stops_at, readable):
    """Write pieces like `find_pieces`, if not all n rows are UTF-8; missing rows need not be."""
    x, begins, stops = pointer_int64(offsets), pointer_int64(begins_at), pointer_int64(stops_at)
    data = words[TABLE_DATA]
    for i in range(n):
        start, stop = x[i], x[i + 1]
        if present_bits(words, row + i, i64(1)) == 0:
            stop = start
        elif not is_utf8(data + start, stop - start, readable - start):
            return row + i
        elif words[TABLE_FUNCTION] == SLICE:
            offset, length, at = words[TABLE_OFFSET], words[TABLE_LENGTH], start
            start, stop = slice_long(offset, length, data + at, stop - at, readable - at)
            start, stop = at + start, at + stop
        else:
            start, stop = stripped(words, start, stop)
        begins[i], stops[i] = start, stop
    return i64(-1)


@njit(**SEPARATE_OPTIONS)
def empty_missing(words, row, n, begins_at, stops_at):
    """Make the pieces of missing rows empty."""
    begins, stops = pointer_int64(begins_at), pointer_int64(stops_at)
    for start in range(0, n, 64):
        m = smaller(n - start, 64)
        absent = ~present_bits(words, row + start, m) & first_bits(m)
        while absent != 0:
            i = start + trailing_zeros(absent)
            stops[i] = begins[i]
            absent &= absent - 1


@njit(**SEPARATE_OPTIONS)
def find_pieces(words, row, n, begins_at, stops_at, readable):
    """Write the start and stop of the pieces of n rows; return a row that is not UTF-8, or -1."""
    offsets = read_offsets(words, row, n)
    x = pointer_int64(offsets)
    ascii_only = is_ascii(words[TABLE_DATA] + x[0], x[n] - x[0])
    if not ascii_only and not are_utf8(words, n, offsets, readable):
        return find_one_by_one(words, row, n, offsets, begins_at, stops_at, readable)
    if words[TABLE_FUNCTION] != SLICE:
        strip_rows(words, n, offsets, begins_at, stops_at, readable)
    elif ascii_only:
        slice_ascii(words, n, offsets, begins_at, stops_at)
    else:
        slice_rows(words, n, offsets, begins_at, stops_at, readable)
    if words[TABLE_VALIDITY] != 0:
        empty_missing(words, row, n, begins_at, stops_at)
    return i64(-1)


@njit(**SEPARATE_OPTIONS)
def copy_pieces(words, row, n, begins_at, stops_at, out, readable):
    """Copy the pieces of n rows one after the other, the first to `out`; return the last's end."""
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
    return out


def pieces(table, first, n):
    """Write the pieces of the rows from the start of the output on; report their total bytes."""
    words, out = pointer_int64(opaque(table)), i64(0)
    begins = words[TABLE_SCRATCH] + ((BLOCK + 8) << 3)
    stops, readable = begins + (BLOCK << 3), end_of_call(words, first, n)
    for start in range(0, n, BLOCK):
        row, m = first + start, smaller(n - start, BLOCK)
        failed = find_pieces(words, row, m, begins, stops, readable)
        if failed >= 0:
            words[TABLE_FAILED] = failed
            return 0
        out = copy_pieces(words, row, m, begins, stops, out, readable)
    words[TABLE_FOUND] = out
    return 0


PIECES = (pieces,)
"""The entries of this file."""
