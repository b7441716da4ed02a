# pyright: basic
"""XXH64 on the CPU. Numbers, which all have 8 bytes, are vectorized; other values go row by row."""

from __future__ import annotations

from numba import njit, types

from fastfeat_kernels.blocks import (
    FLOAT32,
    HIGHEST,
    LOWEST,
    mask,
    read_words,
)
from fastfeat_kernels.column import BLOCK, ELEMENTS, TEXT
from fastfeat_kernels.hashing import (
    BIT_OFFSET,
    BUCKETS_HASHES,
    BUCKETS_N,
    BUCKETS_OUT,
    BUFFER,
    BUFFER_END,
    ELEMENT,
    HASHES,
    IS_TEXT,
    LANES,
    N_BUFFER_BYTES,
    N_COLUMN_WORDS,
    N_COLUMNS,
    N_HEADER_WORDS,
    OFFSET_BYTES,
    OFFSETS,
    SCRATCH,
    SEED,
    START,
    TAG_FLOAT,
    TAG_INTEGER,
    TAG_MISSING,
    TAG_TEXT,
    VALIDITY,
    VALUE_BIT_OFFSET,
    VALUES,
)
from fastfeat_kernels.intrinsics import (
    INNER_OPTIONS,
    SEPARATE_OPTIONS,
    enter_ieee,
    leave_ieee,
    load_int32,
    load_int64,
    opaque,
    pointer_int32,
    pointer_int64,
    pointer_uint8,
    read_bits,
    select,
    shift_logical,
    smaller,
    store_int64,
)

i64 = types.int64
P1 = 0x9E3779B185EBCA87 - 2**64
P2 = 0xC2B2AE3D27D4EB4F - 2**64
P3 = 0x165667B19E3779F9
P4 = 0x85EBCA77C2B2AE63 - 2**64
P5 = 0x27D4EB2F165667C5
INFINITE = 0x7FF << 52
UINT64 = ELEMENTS.index("uint64")


@njit(**INNER_OPTIONS)
def turned(word, count):
    """Return a word rotated to the left."""
    return (word << count) | shift_logical(word, 64 - count)


@njit(**INNER_OPTIONS)
def mixed_in(lane, word):
    """Return a lane after mixing in a word."""
    return turned(lane + word * P2, 31) * P1


@njit(**INNER_OPTIONS)
def take_word(total, word):
    """Return a total after mixing in a word of the tail."""
    return turned(total ^ mixed_in(i64(0), word), 27) * P1 + P4


@njit(**INNER_OPTIONS)
def avalanche(total):
    """Return the hash of a total."""
    total = (total ^ shift_logical(total, 33)) * P2
    total = (total ^ shift_logical(total, 29)) * P3
    return total ^ shift_logical(total, 32)


@njit(**INNER_OPTIONS)
def hash_word(word, seed):
    """Return XXH64 of 8 bytes."""
    return avalanche(take_word(seed + (P5 + 8), word))


@njit(**INNER_OPTIONS)
def start_lanes(state, seed):
    """Set the four lanes to their initial values."""
    lanes = pointer_int64(state)
    lanes[0], lanes[1] = seed + P1 + P2, seed + P2
    lanes[2], lanes[3] = seed, seed - P1


@njit(**SEPARATE_OPTIONS)
def take_stripes(state, address, n):
    """Mix n bytes, a multiple of 32, into the lanes."""
    lanes = pointer_int64(state)
    a, b, c, d = lanes[0], lanes[1], lanes[2], lanes[3]
    for i in range(0, n, 32):
        a = mixed_in(a, load_int64(address + i))
        b = mixed_in(b, load_int64(address + i + 8))
        c = mixed_in(c, load_int64(address + i + 16))
        d = mixed_in(d, load_int64(address + i + 24))
    lanes[0], lanes[1], lanes[2], lanes[3] = a, b, c, d


@njit(**INNER_OPTIONS)
def total_of(state):
    """Return the combined hash of the four lanes."""
    lanes = pointer_int64(state)
    total = turned(lanes[0], 1) + turned(lanes[1], 7) + turned(lanes[2], 12) + turned(lanes[3], 18)
    for k in range(4):
        total = (total ^ mixed_in(i64(0), lanes[k])) * P1 + P4
    return total


@njit(**SEPARATE_OPTIONS)
def finished(total, address, n):
    """Return the hash, including a tail of fewer than 32 bytes."""
    for _ in range(n >> 3):
        total = take_word(total, load_int64(address))
        address += 8
    if n & 4:
        total = turned(total ^ (load_int32(address) * P1), 23) * P2 + P3
        address += 4
    for i in range(n & 3):
        total = turned(total ^ (i64(pointer_uint8(address)[i]) * P5), 11) * P1
    return avalanche(total)


@njit(**INNER_OPTIONS)
def hash_bytes(state, address, n, seed):
    """Return XXH64 of n bytes."""
    n_striped, total = n & ~31, seed + P5
    if n_striped > 0:
        start_lanes(state, seed)
        take_stripes(state, address, n_striped)
        total = total_of(state)
    return finished(total + n, address + n_striped, n - n_striped)


@njit(**INNER_OPTIONS)
def canonical(element, word):
    """Return the 8 bytes of a number from `blocks.read_words`; NaN stays as it is."""
    if element <= FLOAT32:
        return select((word & HIGHEST) == 0, i64(0), word)
    return word ^ select(element == UINT64, LOWEST, i64(0))


@njit(**INNER_OPTIONS)
def is_nan(element, word):
    """Return whether a word is a float NaN, which means missing."""
    return (element <= FLOAT32) & ((word & HIGHEST) > INFINITE)


@njit(**INNER_OPTIONS)
def is_present(column, row):
    """Return whether the bitmap marks a row as present."""
    if column[VALIDITY] == 0:
        return True
    return read_bits(column[VALIDITY], column[BIT_OFFSET] + row, i64(1)) != 0


@njit(**INNER_OPTIONS)
def read_column(column, row, n, scratch):
    """Return the address of n words of a column of numbers."""
    bit = column[VALUE_BIT_OFFSET]
    return read_words(column[ELEMENT], column[VALUES], bit, row, n, scratch)


@njit(**INNER_OPTIONS)
def text_of(column, row):
    """Return address and length of a row of text."""
    if column[OFFSET_BYTES] == 4:
        narrow = pointer_int32(column[OFFSETS])
        start, end = i64(narrow[row]), i64(narrow[row + 1])
    else:
        wide = pointer_int64(column[OFFSETS])
        start, end = wide[row], wide[row + 1]
    return column[VALUES] + start, end - start


def numbers(table, first, n):
    """Write the hash of each value of a column of numbers."""
    saved = enter_ieee()
    header, column = pointer_int64(opaque(table)), pointer_int64(table + 8 * N_HEADER_WORDS)
    seed, element, scratch = header[SEED], column[ELEMENT], header[SCRATCH] + 8 * BUFFER_END
    for start in range(0, n, BLOCK):
        row, m = first + start, smaller(n - start, BLOCK)
        words = pointer_int64(read_column(column, row - column[START], m, scratch))
        hashes = pointer_int64(header[HASHES] + 8 * row)
        for i in range(m):
            hashed = hash_word(canonical(element, words[i]), seed)
            hashes[i] = select(is_nan(element, words[i]), i64(0), hashed)
        if column[VALIDITY] != 0:
            target, bit = header[HASHES] + 8 * row, column[BIT_OFFSET] + row - column[START]
            mask(target, target, column[VALIDITY], bit, m, i64(0))
    leave_ieee(saved)
    return 0


def text(table, first, n):
    """Write the hash of each value of a column of text."""
    header, column = pointer_int64(table), pointer_int64(table + 8 * N_HEADER_WORDS)
    hashes, state, seed = pointer_int64(header[HASHES]), header[SCRATCH] + 8 * LANES, header[SEED]
    for row in range(first, first + n):
        if is_present(column, row - column[START]):
            address, size = text_of(column, row - column[START])
            hashes[row] = hash_bytes(state, address, size, seed)
        else:
            hashes[row] = 0
    return 0


@njit(**SEPARATE_OPTIONS)
def copy(target, source, n):
    """Copy exactly n bytes; neighbouring bytes are unchanged."""
    n_whole = n & ~7
    for i in range(0, n_whole, 8):
        store_int64(target + i, load_int64(source + i))
    to, of = pointer_uint8(target), pointer_uint8(source)
    for i in range(n_whole, n):
        to[i] = of[i]


@njit(**SEPARATE_OPTIONS)
def append(state, buffer, total, address, n):
    """Append n bytes to the buffer at place `total`; full buffers are mixed into the lanes."""
    while n > 0:
        used = total & (N_BUFFER_BYTES - 1)
        k = smaller(n, N_BUFFER_BYTES - used)
        copy(buffer + used, address, k)
        total, address, n = total + k, address + k, n - k
        if (total & (N_BUFFER_BYTES - 1)) == 0:
            take_stripes(state, buffer, i64(N_BUFFER_BYTES))
    return total


@njit(**INNER_OPTIONS)
def append_part(state, total, column, row, scratch):
    """Append tag, length and canonical bytes of one column; return the new total of bytes."""
    buffer, head = state + 8 * (BUFFER - LANES), scratch
    tag, address, size, element = i64(TAG_MISSING), scratch + 16, i64(0), column[ELEMENT]
    if is_present(column, row):
        if element == IS_TEXT:
            tag = i64(TAG_TEXT)
            address, size = text_of(column, row)
        else:
            word = pointer_int64(read_column(column, row, i64(1), address))[0]
            if not is_nan(element, word):
                tag = select(element <= FLOAT32, i64(TAG_FLOAT), i64(TAG_INTEGER))
                size = i64(8)
                pointer_int64(address)[0] = canonical(element, word)
    pointer_int64(head)[0] = tag
    store_int64(head + 1, size)
    total = append(state, buffer, total, head, i64(9))
    return append(state, buffer, total, address, size)


def mixed(table, first, n):
    """Write the hash of each row of all columns."""
    saved = enter_ieee()
    header = pointer_int64(opaque(table))
    state, seed = header[SCRATCH] + 8 * LANES, header[SEED]
    buffer, scratch = header[SCRATCH] + 8 * BUFFER, header[SCRATCH] + 8 * BUFFER_END
    hashes = pointer_int64(header[HASHES])
    for row in range(first, first + n):
        total = i64(0)
        start_lanes(state, seed)
        for k in range(header[N_COLUMNS]):
            column = pointer_int64(table + 8 * (N_HEADER_WORDS + N_COLUMN_WORDS * k))
            total = append_part(state, total, column, row - column[START], scratch)
        used = total & (N_BUFFER_BYTES - 1)
        n_striped = used & ~31
        take_stripes(state, buffer, n_striped)
        lanes_total = select(total >= 32, total_of(state), seed + P5)
        hashes[row] = finished(lanes_total + total, buffer + n_striped, used - n_striped)
    leave_ieee(saved)
    return 0


def buckets(table, first, n):
    """Write floor(hash * n_buckets / 2**64) of each row; n_buckets is below 2**31."""
    words = pointer_int64(opaque(table))
    hashes, out = pointer_int64(words[BUCKETS_HASHES]), pointer_int32(words[BUCKETS_OUT])
    n_buckets = words[BUCKETS_N]
    for row in range(first, first + n):
        low = shift_logical((hashes[row] & 0xFFFFFFFF) * n_buckets, 32)
        high = shift_logical(hashes[row], 32) * n_buckets
        out[row] = types.int32(shift_logical(high + low, 32))
    return 0


ENTRIES = {"numbers": numbers, TEXT: text, "mixed": mixed, "buckets": buckets}
