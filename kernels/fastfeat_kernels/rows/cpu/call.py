# pyright: basic
"""A prepared call for the CPU: a batch by Arrow's C interface in, a matrix or a batch out.

The package documents the words of its block. The driver's input is filled in here, so that a call
from Python costs as much for 500 columns as for one.
"""

from __future__ import annotations

from llvmlite import ir
from numba import njit, types

from fastfeat_kernels.intrinsics import (
    I64,
    INNER_OPTIONS,
    intrinsic,
    larger,
    pointer_int64,
    popcount,
    read_bits,
    smaller,
)
from fastfeat_kernels.rows import (
    ARRAY_WORDS,
    BEFORE_WORDS,
    CALL_WORDS,
    FILL_WORDS,
    MATRIX_WORD,
    OVERLAPS,
    READ_WORDS,
    UNLIKE,
    WRITE_WORDS,
)

ARRAY_BYTES = 8 * ARRAY_WORDS
LENGTH, NULLS, OFFSET, N_BUFFERS, N_CHILDREN, BUFFERS, CHILDREN, DICTIONARY, RELEASE, PRIVATE = (
    range(ARRAY_WORDS)
)


@intrinsic
def call_address(typingctx, address, first, second, third):
    """Call a function of at most three int64 at an address; return its result."""

    def generate(context, builder, signature, args):
        kind = ir.FunctionType(I64, [I64, I64, I64])
        return builder.call(builder.inttoptr(args[0], kind.as_pointer()), args[1:])

    return types.int64(types.int64, types.int64, types.int64, types.int64), generate


@njit(**INNER_OPTIONS)
def released(array):
    """Release a structure of Arrow."""
    call_address(pointer_int64(array)[RELEASE], array, 0, 0)


@njit(**INNER_OPTIONS)
def meets(first, n_bytes, low, high):
    """Return whether bytes from an address on overlap a range."""
    return (first < high) & (low < first + n_bytes)


@njit(**INNER_OPTIONS)
def read_columns(call, array, low, high):
    """Write the words of each column that is read; return 0, or the reason of a refusal.

    The output range [low, high) must not be read.
    """
    c, a = pointer_int64(call), pointer_int64(array)
    table, n, children = c[0], a[LENGTH], pointer_int64(a[CHILDREN])
    refused = types.int64(0)
    if a[OFFSET] != 0:
        return types.int64(UNLIKE)
    at = call + 8 * CALL_WORDS
    for _ in range(c[2]):
        r = pointer_int64(at)
        at += 8 * READ_WORDS
        words, width = pointer_int64(table + r[0]), r[2]
        child = pointer_int64(children[r[1]])
        buffers, offset = pointer_int64(child[BUFFERS]), child[OFFSET]
        validity, values = buffers[0], buffers[1]
        if child[NULLS] == 0:
            validity = types.int64(0)
        if width == 0:
            words[0], words[1] = values + (offset >> 3), offset & 7
            n_bytes = (n + 15) >> 3
        else:
            words[0], words[1] = values + offset * width, types.int64(0)
            n_bytes = n * width
            if words[0] & (width - 1):
                refused = types.int64(UNLIKE)
        words[2], words[3] = validity, offset
        if meets(words[0], n_bytes, low, high):
            refused = types.int64(OVERLAPS)
        if (validity != 0) & meets(validity + (offset >> 3), (n + 15) >> 3, low, high):
            refused = types.int64(OVERLAPS)
    return refused


@njit(**INNER_OPTIONS)
def put(address, word):
    """Write a word at an address, unless the address is 0."""
    if address != 0:
        pointer_int64(address)[0] = word


@njit(**INNER_OPTIONS)
def fill_in(fill, children):
    """Write the addresses of a column's memory; return 0, or the reason of a refusal."""
    f = pointer_int64(fill)
    child, form = pointer_int64(pointer_int64(children)[f[0]]), f[2]
    if f[1] != 0:
        child = pointer_int64(pointer_int64(child[CHILDREN])[0])
    buffers, offset = pointer_int64(child[BUFFERS]), child[OFFSET]
    put(f[6], buffers[0] if child[NULLS] != 0 else types.int64(0))
    put(f[7], offset)
    if form == 0:
        put(f[3], buffers[1] + (offset >> 3))
        put(f[4], offset & 7)
        return types.int64(0)
    if form > 0:
        first = buffers[1] + offset * form
        put(f[3], first)
        return types.int64(UNLIKE) if first & (form - 1) else types.int64(0)
    first = buffers[1] - offset * form
    put(f[5], first)
    if f[3] != 0:
        pointer_int64(f[3])[0] = buffers[2]
    return types.int64(UNLIKE) if first & (-form - 1) else types.int64(0)


@njit(**INNER_OPTIONS)
def run_before(call, array):
    """Run the kernels before the driver; return 0, or the reason of a refusal."""
    c, a = pointer_int64(call), pointer_int64(array)
    at, n = c[10], a[LENGTH]
    if a[OFFSET] != 0:
        return types.int64(UNLIKE)
    for _ in range(c[9]):
        k = pointer_int64(at)
        at += 8 * BEFORE_WORDS
        refused = types.int64(0)
        for _ in range(k[2]):
            refused |= fill_in(at, a[CHILDREN])
            at += 8 * FILL_WORDS
        put(k[3], k[4])
        if k[6] != 0:
            n_words = (n + 63) >> 6 if k[7] == 0 else (n * k[7] + 7) >> 3
            memory = pointer_int64(k[6])
            for i in range(n_words):
                memory[i] = types.int64(0)
        if refused == 0:
            refused = call_address(k[0], k[1], 0, larger(n, k[5]))
        if k[3] != 0:
            refused |= pointer_int64(k[3])[0] ^ k[4]
        if refused != 0:
            return types.int64(UNLIKE)
    return types.int64(0)


def into_matrix(call, array, out):
    """Write the features of a batch into a matrix at an address; return the status, or a refusal.

    It releases the batch.
    """
    c, n = pointer_int64(call), pointer_int64(array)[LENGTH]
    table, item, n_columns = c[0], c[4], c[3]
    status = run_before(call, array)
    if status == 0:
        status = read_columns(call, array, out, out + n * c[5] * n_columns)
    at = call + 8 * (CALL_WORDS + READ_WORDS * c[2])
    for _ in range(n_columns):
        w = pointer_int64(at)
        at += 8 * WRITE_WORDS
        words = pointer_int64(table + w[0])
        words[2] = types.int64(0)
        if item != 0:  # else it holds a place in the tile
            words[0] = out + w[1] * n * item
    if item == 0:
        pointer_int64(table)[MATRIX_WORD] = out
    if status == 0:
        status = call_address(c[1], table, 0, n)
    released(array)
    return status


@njit(**INNER_OPTIONS)
def column_bytes(n, width):
    """Return the bytes of a column of n rows, in 64-bit words: an odd number of cache lines."""
    n_words = (n + 63) >> 6
    n_bytes = n_words << 3 if width == 0 else (n_words << 6) * width
    return (((n_bytes + 63) >> 6) | 1) << 6


@njit(**INNER_OPTIONS)
def fill_array(array, n, n_nulls, n_buffers, buffers, n_children, children, release, owned):
    """Write an array structure of Arrow."""
    a = pointer_int64(array)
    a[LENGTH], a[NULLS], a[OFFSET], a[DICTIONARY] = n, n_nulls, types.int64(0), types.int64(0)
    a[N_BUFFERS], a[BUFFERS], a[N_CHILDREN], a[CHILDREN] = n_buffers, buffers, n_children, children
    a[RELEASE], a[PRIVATE] = release, owned


@njit(**INNER_OPTIONS)
def copied(write, values, bitmap, n):
    """Copy a column, and write its validity bits; return the number of missing values."""
    w, target = pointer_int64(write), pointer_int64(values)
    source, n_missing = pointer_int64(w[3]), types.int64(0)
    for i in range((n + 63) >> 6 if w[2] == 0 else (n * w[2] + 7) >> 3):
        target[i] = source[i]
    if w[4] == 0:
        return n_missing
    bits = pointer_int64(bitmap)
    for i in range((n + 63) >> 6):
        m = smaller(n - (i << 6), 64)
        bits[i] = read_bits(w[4], w[5] + (i << 6), m)
        n_missing += m - popcount(bits[i])
    return n_missing


def into_arrow(call, array, out):
    """Write the features of a batch as a batch, an Arrow structure at an address.

    All of it is in one piece of memory: the address of `free`, a null, addresses of the columns,
    their structures, their buffers, and then the columns, aligned to cache lines. It returns the
    status, or a refusal, like `into_matrix`.
    """
    c, n = pointer_int64(call), pointer_int64(array)[LENGTH]
    table, n_columns = c[0], c[3]
    status = run_before(call, array)
    if status == 0:
        status = read_columns(call, array, types.int64(0), types.int64(0))
    first = call + 8 * (CALL_WORDS + READ_WORDS * c[2])
    head = 16 + (24 + ARRAY_BYTES) * n_columns + 63
    bits, n_bytes = column_bytes(n, 0), types.int64(0)
    for k in range(n_columns):
        n_bytes += bits + column_bytes(n, pointer_int64(first + 8 * WRITE_WORDS * k)[2])
    memory = types.int64(0)
    if status == 0:
        memory = call_address(c[6], head + n_bytes, 0, 0)
        if memory == 0:
            status = types.int64(UNLIKE)
    arrays = memory + 16 + 8 * n_columns
    pairs = arrays + ARRAY_BYTES * n_columns
    if status == 0:
        values = (memory + head) & ~types.int64(63)
        for k in range(n_columns):
            w = pointer_int64(first + 8 * WRITE_WORDS * k)
            pair = pointer_int64(pairs + 16 * w[1])
            pair[0], pair[1] = values, values + bits
            if w[0] >= 0:
                words = pointer_int64(table + w[0])
                words[0], words[1], words[2] = pair[1], pair[0], types.int64(0)
            values += bits + column_bytes(n, w[2])
        if c[1] != 0:  # else all outputs are copies
            status = call_address(c[1], table, 0, n)
        if status != 0:
            call_address(c[7], memory, 0, 0)
    if status == 0:
        m = pointer_int64(memory)
        m[0], m[1] = c[7], types.int64(0)
        for k in range(n_columns):
            w = pointer_int64(first + 8 * WRITE_WORDS * k)
            o = w[1]
            pair = pointer_int64(pairs + 16 * o)
            if w[0] >= 0:
                n_missing = pointer_int64(table + w[0])[2]
            else:
                n_missing = copied(first + 8 * WRITE_WORDS * k, pair[1], pair[0], n)
            if n_missing == 0:
                pair[0] = types.int64(0)
            m[2 + o] = arrays + ARRAY_BYTES * o
            fill_array(m[2 + o], n, n_missing, 2, pairs + 16 * o, 0, 0, c[8], 0)
        fill_array(out, n, 0, 1, memory + 8, n_columns, memory + 16, c[8], memory)
    released(array)
    return status


def release(array, _second, _third):
    """Release the output of `into_arrow`: a batch frees all memory, a column none."""
    a = pointer_int64(array)
    memory = a[PRIVATE]
    a[RELEASE] = types.int64(0)
    if memory != 0:
        call_address(pointer_int64(memory)[0], memory, 0, 0)
    return types.int64(0)


ENTRIES = {"into_matrix": into_matrix, "into_arrow": into_arrow, "release": release}
