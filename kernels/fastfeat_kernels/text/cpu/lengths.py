# pyright: basic
"""Lengths of text on the CPU: in bytes, in code points, in tokens between white space."""

from __future__ import annotations

from numba import njit, types

from fastfeat_kernels.blocks import mask
from fastfeat_kernels.column import BLOCK
from fastfeat_kernels.intrinsics import (
    INNER_OPTIONS,
    SEPARATE_OPTIONS,
    opaque,
    pointer_int64,
    popcount,
    shift_logical,
    smaller,
)
from fastfeat_kernels.text import (
    TABLE_BIT_OFFSET,
    TABLE_DATA,
    TABLE_FAILED,
    TABLE_OUT,
    TABLE_OUT_ROW,
    TABLE_VALIDITY,
)
from fastfeat_kernels.text.cpu.rows import (
    are_utf8,
    ascii_ahead,
    count_code_points,
    count_valid_points,
    decode,
    end_of_call,
    is_ascii,
    is_in_table,
    present_bits,
    read_offsets,
)
from fastfeat_kernels.text.cpu.vectors import space_bits

i64 = types.int64


@njit(**SEPARATE_OPTIONS)
def differences(target, offsets, n):
    """Write the lengths in bytes of n rows."""
    x, y = pointer_int64(offsets), pointer_int64(target)
    for i in range(n):
        y[i] = x[i + 1] - x[i]


@njit(**INNER_OPTIONS)
def mask_missing(words, row, n, target):
    """Write 0 for missing rows."""
    if words[TABLE_VALIDITY] != 0:
        bit = words[TABLE_BIT_OFFSET] + row
        mask(target, target, words[TABLE_VALIDITY], bit, n, i64(0))


@njit(**INNER_OPTIONS)
def target_of(words, row):
    """Return the address of the output of a row, an int64."""
    return words[TABLE_OUT] + ((words[TABLE_OUT_ROW] + row) << 3)


def len_bytes(table, first, n):
    """Write the lengths in bytes."""
    words = pointer_int64(opaque(table))
    for start in range(0, n, BLOCK):
        row, m = first + start, smaller(n - start, BLOCK)
        differences(target_of(words, row), read_offsets(words, row, m), m)
        mask_missing(words, row, m, target_of(words, row))
    return 0


@njit(**SEPARATE_OPTIONS)
def count_points_of_valid_rows(words, row, n, offsets, end):
    """Write the number of code points of each row of valid UTF-8."""
    x, y = pointer_int64(offsets), pointer_int64(target_of(words, row))
    for i in range(n):
        y[i] = count_valid_points(words[TABLE_DATA] + x[i], x[i + 1] - x[i], end - x[i])
    mask_missing(words, row, n, target_of(words, row))


@njit(**SEPARATE_OPTIONS)
def count_points_of_rows(words, row, n, offsets, end):
    """Write the number of code points of each row; return the first that is not UTF-8, or -1."""
    x, y = pointer_int64(offsets), pointer_int64(target_of(words, row))
    for start in range(0, n, 64):
        m = smaller(n - start, 64)
        bits = present_bits(words, row + start, m)
        for i in range(start, start + m):
            if (bits >> (i - start)) & 1 == 0:
                y[i] = 0
                continue
            y[i] = count_code_points(words[TABLE_DATA] + x[i], x[i + 1] - x[i], end - x[i])
            if y[i] < 0:
                return row + i
    return i64(-1)


def len_chars(table, first, n):
    """Write the numbers of code points."""
    words = pointer_int64(opaque(table))
    end = end_of_call(words, first, n)
    for start in range(0, n, BLOCK):
        row, m = first + start, smaller(n - start, BLOCK)
        offsets = read_offsets(words, row, m)
        x = pointer_int64(offsets)
        if is_ascii(words[TABLE_DATA] + x[0], x[m] - x[0]):
            differences(target_of(words, row), offsets, m)
            mask_missing(words, row, m, target_of(words, row))
        elif are_utf8(words, m, offsets, end):
            count_points_of_valid_rows(words, row, m, offsets, end)
        else:
            failed = count_points_of_rows(words, row, m, offsets, end)
            if failed >= 0:
                words[TABLE_FAILED] = failed
                break
    return 0


@njit(**SEPARATE_OPTIONS)
def count_tokens(words, address, n, room):
    """Return the number of tokens in n bytes, -1 if not UTF-8; `room` bytes may be read."""
    i, n_tokens, after_space = i64(0), i64(0), i64(1)
    while i < n:
        m = ascii_ahead(address + i, n - i, room - i)
        if m > 0 and i + 64 <= room:
            others = ~space_bits(address + i) & shift_logical(i64(-1), 64 - m)
            n_tokens += popcount(others & ~((others << 1) | (1 - after_space)))
            after_space = 1 - (shift_logical(others, m - 1) & 1)
            i += m
            continue
        code, size = decode(address + i, n - i)
        if size == 0:
            return i64(-1)
        space = i64(is_in_table(words, code))
        n_tokens += after_space & (1 - space)
        i, after_space = i + size, space
    return n_tokens


def token_count(table, first, n):
    """Write the numbers of maximal runs without white space."""
    words = pointer_int64(opaque(table))
    end = end_of_call(words, first, n)
    for start in range(0, n, 64):
        row, m = first + start, smaller(n - start, 64)
        x, y = pointer_int64(read_offsets(words, row, m)), pointer_int64(target_of(words, row))
        bits = present_bits(words, row, m)
        for i in range(m):
            y[i] = 0
            if (bits >> i) & 1 != 0:
                y[i] = count_tokens(words, words[TABLE_DATA] + x[i], x[i + 1] - x[i], end - x[i])
            if y[i] < 0:
                words[TABLE_FAILED] = row + i
                return 0
    return 0


LENGTHS = (len_bytes, len_chars, token_count)
"""The entries of this file."""
