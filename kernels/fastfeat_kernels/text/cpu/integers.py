# pyright: basic
"""Parsing integers on the CPU: an optional sign and digits of any base to 36, nothing else."""

from __future__ import annotations

from numba import njit, types

from fastfeat_kernels.intrinsics import (
    INNER_OPTIONS,
    SEPARATE_OPTIONS,
    less_unsigned,
    load_int64,
    opaque,
    pointer_int64,
    pointer_uint8,
    select,
    shift_logical,
    smaller,
)
from fastfeat_kernels.text import (
    NOT_PARSEABLE,
    OUT_OF_RANGE,
    PARSED,
    TABLE_BASE,
    TABLE_DATA,
    TABLE_FOUND,
    TABLE_OUT_ROW,
    TABLE_STATUS,
)
from fastfeat_kernels.text.cpu.lengths import target_of
from fastfeat_kernels.text.cpu.rows import end_of_call, present_bits, read_offsets
from fastfeat_kernels.text.cpu.vectors import multiply_high

i64 = types.int64
LOWEST = -(2**63)
PLUS, MINUS = ord("+"), ord("-")
ZEROS, THREES, SIXES = 0x3030303030303030, 0x3333333333333333, 0x0606060606060606
HIGH_HALVES = 0xF0F0F0F0F0F0F0F0 - 2**64


@njit(**INNER_OPTIONS)
def digit_of(byte):
    """Return the value of a digit; 36 or more for other bytes."""
    letter = (byte | 0x20) - 97
    digit = select((letter >= 0) & (letter < 26), letter + 10, i64(99))
    return select((byte >= 48) & (byte < 58), byte - 48, digit)


@njit(**INNER_OPTIONS)
def sign_size(x):
    """Return 1 if a non-empty text starts with a sign, else 0, without a branch."""
    return i64(x[0] == PLUS) | i64(x[0] == MINUS)


@njit(**INNER_OPTIONS)
def are_digits(word):
    """Return whether 8 bytes are decimal digits."""
    high = word & HIGH_HALVES
    carried = shift_logical((word + SIXES) & HIGH_HALVES, 4)
    return (high | carried) == THREES


@njit(**INNER_OPTIONS)
def number_of(word):
    """Return the number with the given 8 digits, the first in the lowest byte."""
    pairs = shift_logical((word & 0x0F0F0F0F0F0F0F0F) * 2561, 8)
    fours = shift_logical((pairs & 0x00FF00FF00FF00FF) * 6553601, 16)
    return shift_logical((fours & 0x0000FFFF0000FFFF) * 42949672960001, 32)


@njit(**INNER_OPTIONS)
def parse_digits(address, n):
    """Return the number with n in [1, 18] digits, -1 if any byte is not a digit.

    8 bytes may be read.
    """
    n_first = ((n - 1) & 7) + 1
    zeros = select(n_first == 8, i64(0), shift_logical(ZEROS, (n_first << 3) & 63))
    word = load_int64(address) << (64 - (n_first << 3)) | zeros
    valid, number = are_digits(word), number_of(word)
    for i in range(n_first, n, 8):
        word = load_int64(address + i)
        valid, number = valid & are_digits(word), number * 100_000_000 + number_of(word)
    return select(valid, number, i64(-1))


@njit(**SEPARATE_OPTIONS)
def parse_any_integer(address, n, base):
    """Return the integer in n >= 1 bytes, and the status."""
    x = pointer_uint8(address)
    start, negative = sign_size(x), x[0] == MINUS
    magnitude, overflow = i64(0), False
    if start == n:
        return i64(0), i64(NOT_PARSEABLE)
    for i in range(start, n):
        digit = digit_of(i64(x[i]))
        if digit >= base:
            return i64(0), i64(NOT_PARSEABLE)
        product = magnitude * base
        overflow = overflow | (multiply_high(magnitude, base) != 0)
        magnitude = product + digit
        overflow = overflow | less_unsigned(magnitude, product)
    # the magnitude is unsigned; only a negative integer may have 2**63
    if magnitude < 0 and not (negative and magnitude == LOWEST):
        overflow = True
    if overflow:
        return i64(0), i64(OUT_OF_RANGE)
    return select(negative, -magnitude, magnitude), i64(PARSED)


@njit(**INNER_OPTIONS)
def parse_integer(address, n, base, room):
    """Return the integer in n bytes, and the status; `room` bytes may be read."""
    if n == 0:
        return i64(0), i64(NOT_PARSEABLE)
    x = pointer_uint8(address)
    start = sign_size(x)
    if base != 10 or n - start < 1 or n - start > 18 or room < 9:
        return parse_any_integer(address, n, base)
    number = parse_digits(address + start, n - start)
    if number < 0:
        return i64(0), i64(NOT_PARSEABLE)
    return select(x[0] == MINUS, -number, number), i64(PARSED)


def to_integer(table, first, n):
    """Write the integer and the status of each row; report which statuses occur, as bits."""
    words, found = pointer_int64(opaque(table)), i64(0)
    end, base = end_of_call(words, first, n), words[TABLE_BASE]
    for start in range(0, n, 64):
        row, m = first + start, smaller(n - start, 64)
        x, y = pointer_int64(read_offsets(words, row, m)), pointer_int64(target_of(words, row))
        statuses = pointer_uint8(words[TABLE_STATUS] + words[TABLE_OUT_ROW] + row)
        bits = present_bits(words, row, m)
        for i in range(m):
            value, status = i64(0), i64(PARSED)
            if (bits >> i) & 1 != 0:
                address = words[TABLE_DATA] + x[i]
                value, status = parse_integer(address, x[i + 1] - x[i], base, end - x[i])
            y[i], statuses[i] = value, types.uint8(status)
            found |= i64(1) << status
    words[TABLE_FOUND] = found
    return 0


INTEGERS = (to_integer,)
"""The entries of this file."""
