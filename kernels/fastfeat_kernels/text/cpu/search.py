# pyright: basic
"""Literal bytes in text on the CPU: at the start, at the end, anywhere, how often, where; replaced.

To find a literal anywhere, 64 bytes of the column at once are compared with its first and its last
byte, across rows. Where both match, the row is found and the rest compared.
"""

from __future__ import annotations

from numba import njit, types

from fastfeat_kernels.column import BLOCK
from fastfeat_kernels.intrinsics import (
    INNER_OPTIONS,
    SEPARATE_OPTIONS,
    larger,
    load_int64,
    opaque,
    pointer_int64,
    pointer_uint8,
    select,
    shift_logical,
    smaller,
)
from fastfeat_kernels.text import (
    CONTAINS,
    ENDS_WITH,
    MEASURE,
    TABLE_DATA,
    TABLE_FAILED,
    TABLE_FOUND,
    TABLE_FUNCTION,
    TABLE_LENGTH,
    TABLE_OUT,
    TABLE_OUT_DATA,
    TABLE_OUT_END,
    TABLE_OUT_ROW,
    TABLE_OUT_START,
    TABLE_PASS,
    TABLE_PATTERN,
    TABLE_PATTERN_BYTES,
    TABLE_SCRATCH,
    TABLE_VALUE,
    TABLE_VALUE_BYTES,
)
from fastfeat_kernels.text.cpu.lengths import mask_missing, target_of
from fastfeat_kernels.text.cpu.rows import (
    are_utf8,
    copy,
    end_of_call,
    is_ascii,
    is_utf8,
    lacks_text,
    present_bits,
    read_offsets,
    write_bits,
    write_ends,
)
from fastfeat_kernels.text.cpu.vectors import equal_bits, trailing_zeros

i64 = types.int64


@njit(**INNER_OPTIONS)
def are_equal(one, other, n):
    """Return whether n bytes at two addresses are equal."""
    x, y, i = pointer_uint8(one), pointer_uint8(other), i64(0)
    while i < n and x[i] == y[i]:
        i += 1
    return i == n


@njit(**SEPARATE_OPTIONS)
def candidates(words, at, end, readable):
    """Return bits of the 64 offsets from `at`, 1 if the literal may lie there, up to `end`."""
    size, data = words[TABLE_PATTERN_BYTES], words[TABLE_DATA]
    pattern = pointer_uint8(words[TABLE_PATTERN])
    first, last = i64(pattern[0]), i64(pattern[size - 1])
    n_starts = smaller(end - size + 1 - at, 64)
    if n_starts <= 0:
        return i64(0)
    if at + 63 + size <= readable:
        bits = equal_bits(data + at, first) & equal_bits(data + at + size - 1, last)
        return bits & shift_logical(i64(-1), 64 - n_starts)
    bits, x, y = i64(0), pointer_uint8(data + at), pointer_uint8(data + at + size - 1)
    for i in range(n_starts):
        bits |= i64((i64(x[i]) == first) & (i64(y[i]) == last)) << i
    return bits


@njit(**SEPARATE_OPTIONS)
def count_matches_of_rows(words, n, offsets, target, readable, only_first):
    """Write the number of occurrences of the literal in each row, without overlap."""
    x, y = pointer_int64(offsets), pointer_int64(target)
    size, data, pattern = words[TABLE_PATTERN_BYTES], words[TABLE_DATA], words[TABLE_PATTERN]
    for i in range(n):
        y[i] = 0
    at, end, row, free = x[0], x[n], i64(0), x[0]
    while at < end:
        bits = candidates(words, at, end, readable)
        while bits != 0:
            start = at + trailing_zeros(bits)
            bits &= bits - 1
            while x[row + 1] <= start:
                row += 1
            fits = (start >= free) & (start + size <= x[row + 1])
            if fits and are_equal(data + start, pattern, size):
                y[row] += 1
                free = select(only_first, x[row + 1], start + size)
        at += 64


def count_matches(table, first, n):
    """Write the number of occurrences of the literal, not empty, in each row."""
    words, readable = pointer_int64(opaque(table)), end_of_call(pointer_int64(table), first, n)
    for start in range(0, n, BLOCK):
        row, m = first + start, smaller(n - start, BLOCK)
        target = target_of(words, row)
        offsets = read_offsets(words, row, m)
        count_matches_of_rows(words, m, offsets, target, readable, False)
        mask_missing(words, row, m, target)
    return 0


@njit(**INNER_OPTIONS)
def has_affix(words, x, i, word, keep, readable):
    """Return whether a row starts or ends with the literal; `word` is its first 8 bytes."""
    size = words[TABLE_PATTERN_BYTES]
    fits = x[i + 1] - x[i] >= size
    start = select(words[TABLE_FUNCTION] == ENDS_WITH, x[i + 1] - size, x[i])
    if not fits:
        return False
    if start + 8 <= readable:
        if (load_int64(words[TABLE_DATA] + start) ^ word) & keep != 0:
            return False
        if size <= 8:
            return True
    return are_equal(words[TABLE_DATA] + start, words[TABLE_PATTERN], size)


@njit(**INNER_OPTIONS)
def affix_bits(words, offsets, n, readable):
    """Return the bits of n <= 64 rows, 1 if a row starts or ends with the literal."""
    x, pattern = pointer_int64(offsets), pointer_uint8(words[TABLE_PATTERN])
    size, word, keep = smaller(words[TABLE_PATTERN_BYTES], 8), i64(0), i64(0)
    for i in range(size):
        word |= i64(pattern[i]) << (i << 3)
        keep |= i64(0xFF) << (i << 3)
    bits = i64(0)
    for i in range(n):
        bits |= i64(has_affix(words, x, i, word, keep, readable)) << i
    return bits


@njit(**INNER_OPTIONS)
def nonzero_bits(address, n):
    """Return the bits of n <= 64 words, 1 for a word that is not 0."""
    x, bits = pointer_int64(address), i64(0)
    for i in range(n):
        bits |= i64(x[i] != 0) << i
    return bits


def find(table, first, n):
    """Write whether each row starts with, ends with or contains the literal, which is not empty."""
    words, readable = pointer_int64(opaque(table)), end_of_call(pointer_int64(table), first, n)
    found = words[TABLE_SCRATCH] + ((BLOCK + 8) << 3)
    for start in range(0, n, BLOCK):
        row, m = first + start, smaller(n - start, BLOCK)
        offsets = read_offsets(words, row, m)
        if words[TABLE_FUNCTION] == CONTAINS:
            count_matches_of_rows(words, m, offsets, found, readable, True)
        for i in range(0, m, 64):
            k = smaller(m - i, 64)
            if words[TABLE_FUNCTION] == CONTAINS:
                bits = nonzero_bits(found + (i << 3), k)
            else:
                bits = affix_bits(words, offsets + (i << 3), k, readable)
            bits &= present_bits(words, row + i, k)
            write_bits(words[TABLE_OUT], words[TABLE_OUT_ROW] + row + i, bits, k)
    return 0


@njit(**SEPARATE_OPTIONS)
def first_matches_of_rows(words, n, offsets, target, readable):
    """Write the byte offset of the non-empty literal's first occurrence in each row; else -1."""
    x, y = pointer_int64(offsets), pointer_int64(target)
    size, data, pattern = words[TABLE_PATTERN_BYTES], words[TABLE_DATA], words[TABLE_PATTERN]
    for i in range(n):
        y[i] = -1
    at, end, row = x[0], x[n], i64(0)
    while at < end:
        bits = candidates(words, at, end, readable)
        while bits != 0:
            start = at + trailing_zeros(bits)
            bits &= bits - 1
            while x[row + 1] <= start:
                row += 1
            fits = (y[row] < 0) & (start + size <= x[row + 1])
            if fits and are_equal(data + start, pattern, size):
                y[row] = start - x[row]
        at += 64


def find_first(table, first, n):
    """Write the byte offset of the literal's first occurrence in each row; 0 if it is empty."""
    words, readable = pointer_int64(opaque(table)), end_of_call(pointer_int64(table), first, n)
    for start in range(0, n, BLOCK):
        row, m = first + start, smaller(n - start, BLOCK)
        target = target_of(words, row)
        if words[TABLE_PATTERN_BYTES] != 0:
            first_matches_of_rows(words, m, read_offsets(words, row, m), target, readable)
        else:
            y = pointer_int64(target)
            for i in range(m):
                y[i] = 0
        mask_missing(words, row, m, target)
    return 0


@njit(**SEPARATE_OPTIONS)
def row_not_utf8(words, row, n, offsets, readable):
    """Return the first of n rows that is present and not UTF-8, or -1."""
    x, data = pointer_int64(offsets), words[TABLE_DATA]
    if is_ascii(data + x[0], x[n] - x[0]) or are_utf8(words, n, offsets, readable):
        return i64(-1)
    for i in range(n):
        present = present_bits(words, row + i, i64(1)) != 0
        if present and not is_utf8(data + x[i], x[i + 1] - x[i], readable - x[i]):
            return row + i
    return i64(-1)


@njit(**INNER_OPTIONS)
def write_value(words, out):
    """Write the replacement at `out`; return its end. 64 bytes follow it in its memory."""
    size = words[TABLE_VALUE_BYTES]
    room = smaller(size + 64, words[TABLE_OUT_END] - out)
    copy(words[TABLE_OUT_DATA] + out, words[TABLE_VALUE], size, room)
    return out + size


@njit(**INNER_OPTIONS)
def write_between(words, start, stop, out, readable):
    """Write the bytes of the column from start to stop at `out`; return their end."""
    room = smaller(readable - start, words[TABLE_OUT_END] - out)
    copy(words[TABLE_OUT_DATA] + out, words[TABLE_DATA] + start, stop - start, room)
    return out + stop - start


@njit(**SEPARATE_OPTIONS)
def replace_in_rows(words, n, offsets, ends_at, out, readable):
    """Measure or write n adjacent rows, the first at `out`, and write their ends.

    The bytes between two replacements are copied together, across rows.
    """
    x, ends = pointer_int64(offsets), pointer_int64(ends_at)
    size, data, pattern = words[TABLE_PATTERN_BYTES], words[TABLE_DATA], words[TABLE_PATTERN]
    writes, most = words[TABLE_PASS] != MEASURE, words[TABLE_LENGTH]
    at, end, row, n_here = x[0], x[n], i64(0), i64(0)
    done, behind = x[0], x[0]  # the bytes before are out; are passed over
    while at < end:
        bits = candidates(words, at, end, readable)
        while bits != 0:
            start = at + trailing_zeros(bits)
            bits &= bits - 1
            while x[row + 1] <= start:
                ends[row] = out + x[row + 1] - done
                row, n_here = row + 1, i64(0)
            fits = (start >= done) & (start + size <= x[row + 1]) & (n_here < most)
            if fits and are_equal(data + start, pattern, size):
                if writes:
                    out = write_value(words, write_between(words, done, start, out, readable))
                else:
                    out += start - done + words[TABLE_VALUE_BYTES]
                done, n_here = start + size, n_here + 1
                if n_here == most:  # go on with the next row
                    skipped = smaller(x[row + 1] - at, 64)
                    bits &= select(skipped == 64, i64(0), i64(-1) << (skipped & 63))
                    behind = x[row + 1]
        at = larger(at + 64, behind)
    while row < n:
        ends[row] = out + x[row + 1] - done
        row += 1
    if writes:
        write_between(words, done, end, out, readable)
    return out + end - done


@njit(**SEPARATE_OPTIONS)
def replace_one_by_one(words, row, n, offsets, ends_at, out, readable):
    """Measure or write n rows like `replace_in_rows`, where a missing row may have text."""
    for i in range(n):
        pointer_int64(ends_at)[i] = out
        if present_bits(words, row + i, i64(1)) != 0:
            at = i << 3
            out = replace_in_rows(words, i64(1), offsets + at, ends_at + at, out, readable)
    return out


def replace(table, first, n):
    """Measure the rows with the literal replaced, or write them; report their bytes."""
    words, readable = pointer_int64(opaque(table)), end_of_call(pointer_int64(table), first, n)
    ends, out = words[TABLE_SCRATCH] + ((BLOCK + 8) << 3), words[TABLE_OUT_START]
    for start in range(0, n, BLOCK):
        row, m = first + start, smaller(n - start, BLOCK)
        offsets = read_offsets(words, row, m)
        if words[TABLE_PASS] == MEASURE:
            failed = row_not_utf8(words, row, m, offsets, readable)
            if failed >= 0:
                words[TABLE_FAILED] = failed
                return 0
        if lacks_text(words, row, m, offsets):
            out = replace_in_rows(words, m, offsets, ends, out, readable)
        else:
            out = replace_one_by_one(words, row, m, offsets, ends, out, readable)
        if words[TABLE_PASS] != MEASURE:
            write_ends(words, row, m, ends, i64(0))
    words[TABLE_FOUND] = out - words[TABLE_OUT_START]
    return 0


SEARCH = (count_matches, find, find_first, replace)
"""The entries of this file."""
