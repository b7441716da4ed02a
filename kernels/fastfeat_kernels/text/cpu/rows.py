# pyright: basic
"""Rows of text for all its kernels: offsets, presence, code points, output bits."""

from __future__ import annotations

from numba import njit, types

from fastfeat_kernels.intrinsics import (
    INNER_OPTIONS,
    SEPARATE_OPTIONS,
    opaque,
    pointer_int32,
    pointer_int64,
    pointer_uint8,
    popcount,
    read_bits,
    shift_logical,
    smaller,
)
from fastfeat_kernels.text import (
    TABLE_BIT_OFFSET,
    TABLE_CELLS,
    TABLE_DATA,
    TABLE_FOUND,
    TABLE_OFFSET_BYTES,
    TABLE_OFFSETS,
    TABLE_OUT,
    TABLE_OUT_OFFSET_BYTES,
    TABLE_OUT_ROW,
    TABLE_PAGES,
    TABLE_SCRATCH,
    TABLE_VALIDITY,
)
from fastfeat_kernels.text.cpu.vectors import (
    at_least_bits,
    copy_bytes,
    equal_bits,
    high_bits,
    start_bits,
    trailing_zeros,
)

i64 = types.int64


@njit(**SEPARATE_OPTIONS)
def read_offsets(words, row, n):
    """Return the address of n + 1 64-bit offsets: in the column itself, or in scratch."""
    if words[TABLE_OFFSET_BYTES] == 8:
        return words[TABLE_OFFSETS] + (row << 3)
    x, y = pointer_int32(words[TABLE_OFFSETS] + (row << 2)), pointer_int64(words[TABLE_SCRATCH])
    for i in range(n + 1):
        y[i] = i64(x[i])
    return words[TABLE_SCRATCH]


@njit(**SEPARATE_OPTIONS)
def write_ends(words, row, n, ends, shift):
    """Write the ends of n rows of the output: int64 at an address, plus `shift`."""
    x, at = pointer_int64(ends), words[TABLE_OUT_ROW] + row + 1
    if words[TABLE_OUT_OFFSET_BYTES] == 8:
        wide = pointer_int64(words[TABLE_OUT] + (at << 3))
        for i in range(n):
            wide[i] = x[i] + shift
    else:
        narrow = pointer_int32(words[TABLE_OUT] + (at << 2))
        for i in range(n):
            narrow[i] = types.int32(x[i] + shift)


@njit(**INNER_OPTIONS)
def write_offset(words, row, end):
    """Write the end of a row of the output."""
    at = words[TABLE_OUT_ROW] + row + 1
    if words[TABLE_OUT_OFFSET_BYTES] == 8:
        pointer_int64(words[TABLE_OUT])[at] = end
    else:
        pointer_int32(words[TABLE_OUT])[at] = types.int32(end)


@njit(**INNER_OPTIONS)
def present_bits(words, row, n):
    """Return the bits of n <= 64 rows, 1 for a present row."""
    if words[TABLE_VALIDITY] == 0:
        return shift_logical(i64(-1), 64 - n)
    return read_bits(words[TABLE_VALIDITY], words[TABLE_BIT_OFFSET] + row, n)


@njit(**INNER_OPTIONS)
def write_bits(address, bit, bits, n):
    """Set n in [1, 64] bits of a bitmap of whole words, which are 0 there."""
    word, shift = pointer_int64(address + ((bit >> 6) << 3)), bit & 63
    word[0] |= bits << shift
    if shift + n > 64:
        word[1] |= shift_logical(bits, 64 - shift)


@njit(**SEPARATE_OPTIONS)
def lacks_text(words, row, n, offsets):
    """Return whether all missing rows among n are empty."""
    x = pointer_int64(offsets)
    for start in range(0, n, 64):
        m = smaller(n - start, 64)
        bits = present_bits(words, row + start, m)
        if bits != shift_logical(i64(-1), 64 - m):
            for i in range(m):
                if (bits >> i) & 1 == 0 and x[start + i + 1] != x[start + i]:
                    return False
    return True


@njit(**SEPARATE_OPTIONS)
def is_ascii(address, n):
    """Return whether n bytes are all ASCII."""
    i = i64(0)
    while i + 256 <= n:
        at = address + i
        low, high = high_bits(at) | high_bits(at + 64), high_bits(at + 128) | high_bits(at + 192)
        if (low | high) != 0:
            return False
        i += 256
    while i + 64 <= n:
        if high_bits(address + i) != 0:
            return False
        i += 64
    found, x = i64(0), pointer_uint8(address)
    while i < n:
        found |= i64(x[i])
        i += 1
    return found < 0x80


@njit(**INNER_OPTIONS)
def decode(address, n):
    """Return the first code point of n >= 1 bytes, and its size; size 0 if not UTF-8."""
    x = pointer_uint8(address)
    lead = i64(x[0])
    if lead < 0x80:
        return lead, i64(1)
    size = i64(2) + i64(lead >= 0xE0) + i64(lead >= 0xF0)
    if lead < 0xC2 or lead > 0xF4 or size > n:
        return i64(0), i64(0)
    second = i64(x[1])
    code = (lead & (0x7F >> size)) << 6 | (second & 0x3F)
    valid = second & 0xC0 == 0x80
    if size > 2:
        third = i64(x[2])
        code = code << 6 | (third & 0x3F)
        valid = valid & (third & 0xC0 == 0x80)
    if size > 3:
        fourth = i64(x[3])
        code = code << 6 | (fourth & 0x3F)
        valid = valid & (fourth & 0xC0 == 0x80)
        valid = valid & (code >= 0x10000) & (code <= 0x10FFFF)
    if size == 3:
        valid = valid & (code >= 0x800) & ((code < 0xD800) | (code > 0xDFFF))
    if valid:
        return code, size
    return i64(0), i64(0)


@njit(**INNER_OPTIONS)
def ascii_ahead(address, n, room):
    """Return the number of leading ASCII bytes in n >= 1 bytes, at most 64.

    `room` bytes may be read.
    """
    if room >= 64:
        return smaller(trailing_zeros(high_bits(address)), n)
    return i64(pointer_uint8(address)[0] < 0x80)


@njit(**SEPARATE_OPTIONS)
def count_code_points(address, n, room):
    """Return the number of code points in n bytes, -1 if not UTF-8; `room` bytes may be read."""
    i, n_points = i64(0), i64(0)
    while i < n:
        n_ascii = ascii_ahead(address + i, n - i, room - i)
        i, n_points = i + n_ascii, n_points + n_ascii
        while i < n and pointer_uint8(address)[i] >= 0x80:
            _, size = decode(address + i, n - i)
            if size == 0:
                return i64(-1)
            i, n_points = i + size, n_points + 1
    return n_points


@njit(**INNER_OPTIONS)
def has_wrong_second(address, kept):
    """Return whether any code point of 3 or 4 bytes is overlong, a surrogate, or too large.

    The second byte decides. `kept` marks those of the 64 bytes at the address that count; one byte
    behind them may be read.
    """
    high, higher = at_least_bits(address + 1, 0xA0), at_least_bits(address + 1, 0x90)
    wrong = (equal_bits(address, 0xE0) & ~high) | (equal_bits(address, 0xED) & high)
    wrong |= (equal_bits(address, 0xF0) & ~higher) | (equal_bits(address, 0xF4) & higher)
    return wrong & kept != 0


@njit(**INNER_OPTIONS)
def is_utf8_by_one(address, n):
    """Return whether n bytes are UTF-8, code point by code point."""
    i = i64(0)
    while i < n:
        _, size = decode(address + i, n - i)
        if size == 0:
            return False
        i += size
    return True


@njit(**SEPARATE_OPTIONS)
def is_utf8(address, n, room):
    """Return whether n bytes are UTF-8; `room` bytes may be read.

    64 bytes are checked at once: the continuation bytes must be those that the preceding lead bytes
    require.
    """
    i, owed = i64(0), i64(0)  # owed: bytes of a code point before i
    while i < n and i + 65 <= room:
        at, kept = address + i, shift_logical(i64(-1), 64 - smaller(n - i, 64))
        high = high_bits(at) & kept
        if (high | owed) != 0:
            leads, three = at_least_bits(at, 0xC0) & kept, at_least_bits(at, 0xE0) & kept
            four, never = at_least_bits(at, 0xF0) & kept, at_least_bits(at, 0xF5) & kept
            never |= leads & ~at_least_bits(at, 0xC2)
            wanted = owed | (leads << 1) | (three << 2) | (four << 3)
            if ((wanted ^ (high & ~leads)) | never) != 0:
                return False
            if three != 0 and has_wrong_second(at, kept):
                return False
            owed = shift_logical(leads, 63) | shift_logical(three, 62) | shift_logical(four, 61)
        i += 64
    if i >= n:
        return owed == 0
    if owed != 0:
        i -= 1
        while pointer_uint8(address)[i] < 0xC0:
            i -= 1
    return is_utf8_by_one(address + i, n - i)


@njit(**SEPARATE_OPTIONS)
def are_utf8(words, n, offsets, readable):
    """Return whether n consecutive rows are UTF-8, together and each on its own."""
    x, data = pointer_int64(offsets), words[TABLE_DATA]
    if not is_utf8(data + x[0], x[n] - x[0], readable - x[0]):
        return False
    bytes_, last, inside = pointer_uint8(data), x[n], i64(0)
    if x[0] == last:
        return True
    for i in range(n):
        start = smaller(x[i], last - 1)  # a row at the end is empty
        inside |= i64(bytes_[start] & 0xC0 == 0x80) & i64(x[i] < last)
    return inside == 0


@njit(**INNER_OPTIONS)
def count_valid_points(address, n, room):
    """Return the number of code points in n bytes of valid UTF-8; `room` bytes may be read."""
    i, n_points = i64(0), i64(0)
    while i < n and i + 64 <= room:
        kept = shift_logical(i64(-1), 64 - smaller(n - i, 64))
        n_points += popcount(start_bits(address + i) & kept)
        i += 64
    while i < n:
        n_points += i64(pointer_uint8(address)[i] & 0xC0 != 0x80)
        i += 1
    return n_points


@njit(**SEPARATE_OPTIONS)
def copy(target, source, n, room):
    """Copy n bytes; up to `room` may be read, and written by this call or a later one."""
    i = i64(0)
    while i < n and i + 64 <= room:
        copy_bytes(target + i, source + i)
        i += 64
    x, y = pointer_uint8(source), pointer_uint8(target)
    while i < n:
        y[i] = x[i]
        i += 1


@njit(**INNER_OPTIONS)
def cell_of(words, code):
    """Return the cell of a code point in its table."""
    start = i64(pointer_int32(words[TABLE_PAGES])[code >> 8])
    return i64(pointer_int32(words[TABLE_CELLS])[start + (code & 255)])


@njit(**INNER_OPTIONS)
def is_in_table(words, code):
    """Return whether a code point is in the set of the table."""
    return cell_of(words, code) != 0


@njit(**INNER_OPTIONS)
def end_of_call(words, first, n):
    """Return the offset at which n rows end."""
    if words[TABLE_OFFSET_BYTES] == 8:
        return pointer_int64(words[TABLE_OFFSETS])[first + n]
    return i64(pointer_int32(words[TABLE_OFFSETS])[first + n])


def validity(table, first, n):
    """Copy the bitmap of the rows; report the number of present rows."""
    words, n_present = pointer_int64(opaque(table)), types.int64(0)
    for start in range(0, n, 64):
        row, m = first + start, smaller(n - start, 64)
        bits = present_bits(words, row, m)
        write_bits(words[TABLE_OUT], words[TABLE_OUT_ROW] + row, bits, m)
        n_present += popcount(bits)
    words[TABLE_FOUND] = n_present
    return 0


VALIDITY = (validity,)
"""The entries of this file."""
