# pyright: basic
"""Parsing integers on the CPU: an optional sign and digits of any base to 36, nothing else."""

from __future__ import annotations

from numba import njit, types

from fastfeat_kernels.intrinsics import (
    INNER_OPTIONS,
    SEPARATE_OPTIONS,
    less_unsigned,
    opaque,
    pointer_int64,
    pointer_uint8,
    select,
    smaller,
)
from fastfeat_kernels.text.layout import (
    NOT_PARSEABLE,
    OUT_OF_RANGE,
    PARSED,
    TABLE_BASE,
    TABLE_DATA,
    TABLE_FOUND,
    TABLE_OUT_ROW,
    TABLE_STATUS,
)
from fastfeat_kernels.text.lengths import target_of
from fastfeat_kernels.text.rows import present_bits, read_offsets
from fastfeat_kernels.text.vectors import multiply_high

i64 = types.int64
LOWEST = -(2**63)
PLUS, MINUS = ord("+"), ord("-")


@njit(**INNER_OPTIONS)
def digit_of(byte):
    """Return the digit that a byte is: 36 or more if it is none."""
    letter = (byte | 0x20) - 97
    digit = select((letter >= 0) & (letter < 26), letter + 10, i64(99))
    return select((byte >= 48) & (byte < 58), byte - 48, digit)


@njit(**INNER_OPTIONS)
def sign_size(x, n):
    """Return 1 if the text starts with a sign, else 0."""
    return i64(n > 0 and (x[0] == PLUS or x[0] == MINUS))


@njit(**SEPARATE_OPTIONS)
def parse_integer(address, n, base):
    """Return the integer that n bytes are, and the status."""
    x = pointer_uint8(address)
    start, negative = sign_size(x, n), n > 0 and x[0] == MINUS
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
    # the magnitude is unsigned; -2**63 is the one that only a negative integer may have
    if magnitude < 0 and not (negative and magnitude == LOWEST):
        overflow = True
    if overflow:
        return i64(0), i64(OUT_OF_RANGE)
    return select(negative, -magnitude, magnitude), i64(PARSED)


def to_integer(table, first, n):
    """Write the integers and the status of each row; report which statuses there are, as bits."""
    words, found = pointer_int64(opaque(table)), i64(0)
    for start in range(0, n, 64):
        row, m = first + start, smaller(n - start, 64)
        x, y = pointer_int64(read_offsets(words, row, m)), pointer_int64(target_of(words, row))
        statuses = pointer_uint8(words[TABLE_STATUS] + words[TABLE_OUT_ROW] + row)
        bits = present_bits(words, row, m)
        for i in range(m):
            value, status = i64(0), i64(PARSED)
            if (bits >> i) & 1 != 0:
                address = words[TABLE_DATA] + x[i]
                value, status = parse_integer(address, x[i + 1] - x[i], words[TABLE_BASE])
            y[i], statuses[i] = value, types.uint8(status)
            found |= i64(1) << status
    words[TABLE_FOUND] = found
    return 0
