# pyright: basic
"""Rows in input order: counting, dealing to partitions of entities, and collecting results.

Results of rows that are in input order are written to columns at once, without waiting.
"""

from __future__ import annotations

from numba import njit, types

from fastfeat_kernels.blocks import HIGHEST, INFINITE, NAN_BITS, mask, read_words
from fastfeat_kernels.column import BLOCK, ELEMENTS
from fastfeat_kernels.intrinsics import (
    INNER_OPTIONS,
    SEPARATE_OPTIONS,
    enter_ieee,
    leave_ieee,
    opaque,
    pointer_int32,
    pointer_int64,
    pointer_uint8,
    prefetch,
    read_bits,
    select,
    smaller,
)
from fastfeat_kernels.windows import layout
from fastfeat_kernels.windows.cpu.vectors import (
    add_bits,
    fence,
    load_turned4,
    load_turned8,
    store_words,
)

i64 = types.int64
FLOAT32 = ELEMENTS.index("float32")
AHEAD = 128  # bytes of a partition to prefetch before they are written
TILE = 256  # rows with results that are collected at a time


def keep(table, first, n):
    """Write the codes of rows, -1 if the value is missing."""
    words = pointer_int64(table)
    codes, kept = pointer_int32(words[layout.TABLE_CODES]), pointer_int32(words[layout.TABLE_KEPT])
    validity, present = words[layout.TABLE_VALIDITY], i64(-1)
    for i in range(n):
        row = first + i
        if validity != 0 and i & 63 == 0:
            present = read_bits(
                validity, words[layout.TABLE_BIT_OFFSET] + row, smaller(n - i, i64(64))
            )
        kept[row] = select((present >> (i & 63)) & 1 != 0, i64(codes[row]), i64(-1))
    return 0


def count(table, first, n):
    """Count the rows of each partition."""
    words = pointer_int64(table)
    codes, counts = (
        pointer_int32(words[layout.TABLE_CODES]),
        pointer_int64(words[layout.TABLE_CURSORS]),
    )
    shift = words[layout.TABLE_SHIFT]
    for row in range(first, first + n):
        code = i64(codes[row])
        if code >= 0:
            counts[code >> shift] += 1
    return 0


@njit(**INNER_OPTIONS)
def read(words, row, n):
    """Return the address of n values as float64, NaN for missing ones, or as keys of integers."""
    element, scratch = words[layout.TABLE_ELEMENT], words[layout.TABLE_SCRATCH]
    bit = words[layout.TABLE_VALUE_BIT_OFFSET]
    source = read_words(element, words[layout.TABLE_VALUES], bit, row, n, scratch)
    if (element > FLOAT32) | (words[layout.TABLE_VALIDITY] == 0):
        return source
    mask(
        scratch,
        source,
        words[layout.TABLE_VALIDITY],
        words[layout.TABLE_BIT_OFFSET] + row,
        n,
        i64(NAN_BITS),
    )
    return scratch


@njit(**SEPARATE_OPTIONS)
def deal_words(words, source, row, n):
    """Append values to their partitions, and codes if requested."""
    x, codes = pointer_int64(source), pointer_int32(words[layout.TABLE_CODES] + 4 * row)
    values, numbers = (
        pointer_int64(words[layout.TABLE_DEALT]),
        pointer_int32(words[layout.TABLE_DEALT_CODES]),
    )
    cursors, shift = pointer_int64(words[layout.TABLE_CURSORS]), words[layout.TABLE_SHIFT]
    if words[layout.TABLE_DEALT_CODES] != 0:
        for i in range(n):
            code = i64(codes[i])
            if code >= 0:
                at = cursors[code >> shift]
                prefetch(words[layout.TABLE_DEALT] + 8 * at + AHEAD)
                prefetch(words[layout.TABLE_DEALT_CODES] + 4 * at + AHEAD)
                values[at], numbers[at] = x[i], types.int32(code)
                cursors[code >> shift] = at + 1
    else:
        for i in range(n):
            code = i64(codes[i])
            if code >= 0:
                at = cursors[code >> shift]
                prefetch(words[layout.TABLE_DEALT] + 8 * at + AHEAD)
                values[at] = x[i]
                cursors[code >> shift] = at + 1


@njit(**SEPARATE_OPTIONS)
def deal_marked(words, source, row, n):
    """Deal out integers, some of which are missing."""
    x, codes = pointer_int64(source), pointer_int32(words[layout.TABLE_CODES] + 4 * row)
    values, marks = (
        pointer_int64(words[layout.TABLE_DEALT]),
        pointer_uint8(words[layout.TABLE_DEALT_PRESENT]),
    )
    cursors, shift = pointer_int64(words[layout.TABLE_CURSORS]), words[layout.TABLE_SHIFT]
    validity, bit, present = (
        words[layout.TABLE_VALIDITY],
        words[layout.TABLE_BIT_OFFSET] + row,
        i64(-1),
    )
    for i in range(n):
        if validity != 0 and i & 63 == 0:
            present = read_bits(validity, bit + i, smaller(n - i, i64(64)))
        code, is_there = i64(codes[i]), (present >> (i & 63)) & 1
        if code >= 0:
            at = cursors[code >> shift]
            prefetch(words[layout.TABLE_DEALT] + 8 * at + AHEAD)
            prefetch(words[layout.TABLE_DEALT_PRESENT] + at + AHEAD)
            values[at], marks[at] = select(is_there != 0, x[i], i64(0)), types.uint8(is_there)
            cursors[code >> shift] = at + 1


def deal(table, first, n):
    """Append the values of rows to their partitions."""
    saved = enter_ieee()
    words = pointer_int64(opaque(table))
    for start in range(0, n, BLOCK):
        row, m = first + start, smaller(n - start, i64(BLOCK))
        source = read(words, row, m)
        if words[layout.TABLE_DEALT_PRESENT] != 0:
            deal_marked(words, source, row, m)
        else:
            deal_words(words, source, row, m)
    leave_ieee(saved)
    return 0


@njit(**SEPARATE_OPTIONS)
def find_results(words, row, n, places):
    """Write the addresses of the results of rows."""
    codes, cursors = (
        pointer_int32(words[layout.TABLE_CODES] + 4 * row),
        pointer_int64(words[layout.TABLE_CURSORS]),
    )
    pieces, bits = pointer_int64(words[layout.TABLE_STAGE]), words[layout.TABLE_PIECE_BITS]
    shift, size, low = (
        words[layout.TABLE_SHIFT],
        words[layout.TABLE_ROW_WORDS] << 3,
        (i64(1) << bits) - 1,
    )
    for i in range(n):
        code = i64(codes[i])
        if code >= 0:
            at = cursors[code >> shift]
            places[i] = pieces[at >> bits] + (at & low) * size
            for line in range(0, size, 64):
                prefetch(places[i] + line)
            cursors[code >> shift] = at + 1
        else:
            places[i] = words[layout.TABLE_ABSENT]


@njit(**SEPARATE_OPTIONS)
def turn_results(words, places_at, row, n):
    """Copy results of n rows, in groups of eight, from their lines to columns.

    For floats a bitmap of numbers, without NaN, is written too.
    """
    targets, bits, n_words = (
        words[layout.TABLE_TARGETS],
        words[layout.TABLE_NUMBER_BITS],
        words[layout.TABLE_ROW_WORDS],
    )
    if n_words == 4:
        for i in range(0, n, 8):
            load_turned4(places_at + 8 * i, i64(0), targets, bits, 8 * (row + i))
        return
    for i in range(0, n, 8):
        for at in range(0, 8 * n_words, 64):
            load_turned8(places_at + 8 * i, at, targets + at, bits + at, 8 * (row + i))


@njit(**SEPARATE_OPTIONS)
def turn_few(words, places_at, row, n):
    """Copy the results of rows that share one byte of a bitmap to columns."""
    places, targets = pointer_int64(places_at), pointer_int64(words[layout.TABLE_TARGETS])
    bitmaps = pointer_int64(words[layout.TABLE_NUMBER_BITS])
    for slot in range(words[layout.TABLE_ROW_WORDS]):
        if targets[slot] != 0:
            target, found = pointer_int64(targets[slot] + 8 * row), i64(0)
            for i in range(n):
                target[i] = pointer_int64(places[i])[slot]
                found |= i64((target[i] & HIGHEST) <= INFINITE) << ((row + i) & 7)
            if bitmaps[slot] != 0:
                pointer_uint8(bitmaps[slot])[row >> 3] = types.uint8(found)


@njit(**SEPARATE_OPTIONS)
def spread_flags(words, places_at, row, n):
    """Write bitmaps of present results from their flags, for groups of eight rows or few rows."""
    places, flags = pointer_int64(places_at), words[layout.TABLE_FLAGS] << 3
    found, bitmaps = (
        pointer_int64(places_at + 8 * TILE),
        pointer_int64(words[layout.TABLE_FLAG_BITS]),
    )
    for i in range(n):
        found[i] = pointer_int64(places[i] + flags)[0]
    for slot in range(words[layout.TABLE_ROW_WORDS]):
        if bitmaps[slot] != 0:
            bitmap = pointer_uint8(bitmaps[slot])
            for start in range(0, n, 8):
                byte = i64(0)
                for i in range(start, smaller(start + 8, n)):
                    byte |= ((found[i] >> slot) & 1) << ((row + i) & 7)
                bitmap[(row + start) >> 3] = types.uint8(byte)


@njit(**SEPARATE_OPTIONS)
def collect_rows(words, first, n):
    """Copy the results of up to a tile of rows in groups of eight, or of few that share a byte."""
    places, row = words[layout.TABLE_SCRATCH], first - words[layout.TABLE_FIRST_ASKING]
    find_results(words, first, n, pointer_int64(places))
    if n & 7 == 0:
        turn_results(words, places, row, n)
    else:
        turn_few(words, places, row, n)
    if words[layout.TABLE_FLAGS] >= 0:
        spread_flags(words, places, row, n)


def collect(table, first, n):
    """Copy the results of rows to columns in input order."""
    words = pointer_int64(table)
    start, end = first, first + n
    n_few = smaller(-(first - words[layout.TABLE_FIRST_ASKING]) & 7, n)
    if n_few != 0:
        collect_rows(words, start, n_few)
        start += n_few
    while end - start >= 8:
        m = smaller(end - start, i64(TILE)) & -8
        collect_rows(words, start, m)
        start += m
    if start < end:
        collect_rows(words, start, end - start)
    fence()
    return 0


@njit(**SEPARATE_OPTIONS)
def store_few(target, bitmap, source, row, n):
    """Copy the results of rows that share a byte of a bitmap, perhaps with another thread.

    The byte is written by an atomic or.
    """
    x, results, found = pointer_int64(source), pointer_int64(target), i64(0)
    for i in range(n):
        results[row + i] = x[i]
        found |= i64((x[i] & HIGHEST) <= INFINITE) << ((row + i) & 7)
    if bitmap != 0 and n > 0:
        add_bits(bitmap + (row >> 3), found)


@njit(**SEPARATE_OPTIONS)
def store_column(target, bitmap, source, row, n):
    """Copy the results of one output, of consecutive rows, to its column."""
    n_few = smaller(-row & 7, n)
    store_few(target, bitmap, source, row, n_few)
    whole = n_few + ((n - n_few) & -8)
    for i in range(n_few, whole, 8):
        bits = store_words(target + 8 * (row + i), source + 8 * i)
        if bitmap != 0:
            pointer_uint8(bitmap)[(row + i) >> 3] = types.uint8(bits)
    store_few(target, bitmap, source + 8 * whole, row + whole, n - whole)


@njit(**SEPARATE_OPTIONS)
def store_flags(words, bitmap, slot, row, n):
    """Write a bitmap of present results of an output from their flags."""
    flags = pointer_int64(
        words[layout.TABLE_SCRATCH] + layout.RESULTS + 8 * layout.ASKS * words[layout.TABLE_FLAGS]
    )
    start = i64(0)
    while start < n:
        end, byte = smaller(start + 8 - ((row + start) & 7), n), i64(0)
        for i in range(start, end):
            byte |= ((flags[i] >> slot) & 1) << ((row + i) & 7)
        add_bits(bitmap + ((row + start) >> 3), byte)
        start = end


@njit(**SEPARATE_OPTIONS)
def store_columns(words, n):
    """Copy the results of a block of consecutive rows to columns."""
    scratch, targets = words[layout.TABLE_SCRATCH], pointer_int64(words[layout.TABLE_TARGETS])
    row = i64(pointer_int32(scratch + layout.ARRIVALS)[0]) - words[layout.TABLE_FIRST_ASKING]
    number_bits, flag_bits = (
        pointer_int64(words[layout.TABLE_NUMBER_BITS]),
        pointer_int64(words[layout.TABLE_FLAG_BITS]),
    )
    for slot in range(words[layout.TABLE_ROW_WORDS]):
        if targets[slot] != 0:
            source = scratch + layout.RESULTS + 8 * layout.ASKS * slot
            store_column(targets[slot], number_bits[slot], source, row, n)
        if flag_bits[slot] != 0:
            store_flags(words, flag_bits[slot], slot, row, n)
