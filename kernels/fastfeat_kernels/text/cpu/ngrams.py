# pyright: basic
"""Hashed n-grams and tokens on the CPU: each row counts its own in buckets."""

from __future__ import annotations

from numba import njit, types

from fastfeat_kernels.column import BLOCK
from fastfeat_kernels.hashing.cpu import hash_bytes
from fastfeat_kernels.intrinsics import (
    INNER_OPTIONS,
    SEPARATE_OPTIONS,
    opaque,
    pointer_int32,
    pointer_int64,
    pointer_uint8,
    smaller,
)
from fastfeat_kernels.text import (
    BY_BUCKET_COUNTS,
    BY_BUCKET_N,
    BY_BUCKET_OUT,
    BY_BUCKET_ROWS,
    TABLE_DATA,
    TABLE_FAILED,
    TABLE_LENGTH,
    TABLE_N_BUCKETS,
    TABLE_OUT,
    TABLE_OUT_DATA,
    TABLE_OUT_ROW,
    TABLE_SCRATCH,
    TABLE_SEED,
)
from fastfeat_kernels.text.cpu.pieces import skip
from fastfeat_kernels.text.cpu.rows import (
    count_code_points,
    decode,
    end_of_call,
    is_in_table,
    present_bits,
    read_offsets,
)
from fastfeat_kernels.text.cpu.vectors import multiply_high

i64 = types.int64


@njit(**INNER_OPTIONS)
def size_at(address):
    """Return the number of bytes of the code point at an address of valid UTF-8."""
    lead = i64(pointer_uint8(address)[0])
    return 1 + i64(lead >= 0xC0) + i64(lead >= 0xE0) + i64(lead >= 0xF0)


@njit(**INNER_OPTIONS)
def count_piece(words, row, address, n):
    """Count n bytes in their bucket of a row, or write the bucket at the row's place."""
    lanes, n_buckets = words[TABLE_SCRATCH] + ((BLOCK + 8) << 3), words[TABLE_N_BUCKETS]
    bucket = multiply_high(hash_bytes(lanes, address, n, words[TABLE_SEED]), n_buckets)
    out, row = pointer_int32(words[TABLE_OUT]), words[TABLE_OUT_ROW] + row
    if words[TABLE_OUT_DATA] == 0:
        out[row * n_buckets + bucket] += 1
    else:
        places = pointer_int64(words[TABLE_OUT_DATA])
        out[places[row]] = bucket
        places[row] += 1


@njit(**SEPARATE_OPTIONS)
def count_ngrams(words, row, address, n, room):
    """Count the n-grams of a row; return whether it is UTF-8."""
    n_points = count_code_points(address, n, room)
    n_ngrams, start = n_points - words[TABLE_LENGTH] + 1, i64(0)
    if n_ngrams > 0:
        stop = skip(address, n, words[TABLE_LENGTH], room)
        count_piece(words, row, address, stop)
        while stop < n:
            start, stop = start + size_at(address + start), stop + size_at(address + stop)
            count_piece(words, row, address + start, stop - start)
    return n_points >= 0


@njit(**SEPARATE_OPTIONS)
def count_tokens(words, row, address, n, room):
    """Count the tokens of a row; return whether it is UTF-8."""
    if count_code_points(address, n, room) < 0:
        return False
    i, start = i64(0), i64(0)
    while i < n:
        code, size = decode(address + i, n - i)
        if is_in_table(words, code):
            if i > start:
                count_piece(words, row, address + start, i - start)
            start = i + size
        i += size
    if n > start:
        count_piece(words, row, address + start, n - start)
    return True


@njit(**INNER_OPTIONS)
def count_rows(words, first, n, of_tokens):
    """Count the n-grams or the tokens of n rows."""
    end = end_of_call(words, first, n)
    for start in range(0, n, 64):
        row, m = first + start, smaller(n - start, 64)
        x, bits = pointer_int64(read_offsets(words, row, m)), present_bits(words, row, m)
        for i in range(m):
            if (bits >> i) & 1 == 0:
                continue
            address, n_bytes = words[TABLE_DATA] + x[i], x[i + 1] - x[i]
            if of_tokens:
                valid = count_tokens(words, row + i, address, n_bytes, end - x[i])
            else:
                valid = count_ngrams(words, row + i, address, n_bytes, end - x[i])
            if not valid:
                words[TABLE_FAILED] = row + i
                return


def ngrams(table, first, n):
    """Add the n-grams of each row to its counts."""
    count_rows(pointer_int64(opaque(table)), first, n, False)
    return 0


def tokens(table, first, n):
    """Add the tokens of each row to its counts."""
    count_rows(pointer_int64(opaque(table)), first, n, True)
    return 0


def by_bucket(table, first, n):
    """Write the counts of rows, one bucket after the other."""
    words = pointer_int64(opaque(table))
    counts, out = pointer_int32(words[BY_BUCKET_COUNTS]), pointer_int32(words[BY_BUCKET_OUT])
    n_buckets, n_rows = words[BY_BUCKET_N], words[BY_BUCKET_ROWS]
    for row in range(first, first + n):
        for bucket in range(n_buckets):
            out[bucket * n_rows + row] = counts[row * n_buckets + bucket]
    return 0


NGRAMS = (by_bucket, ngrams, tokens)
"""The entries of this file."""
