# pyright: basic
"""The driver of row kernels for the CPU; the package documents the words of its table.

`engine.cpu` imports it by name.
"""

from __future__ import annotations

from llvmlite import ir
from numba import njit, types

from fastfeat_kernels.intrinsics import (
    F64,
    I1,
    I64,
    INNER_OPTIONS,
    LANES,
    enter_ieee,
    intrinsic,
    leave_ieee,
    pointer_float32,
    pointer_float64,
    pointer_int64,
    pointer_uint8,
    pointer_uint16,
    popcount,
    read_bits,
    smaller,
)
from fastfeat_kernels.rows import (
    AS_BITS,
    BLOCK,
    BLOCK_WORD,
    CODES,
    COLUMN_WORDS,
    HEADER_WORDS,
    RUN_WORDS,
    WANTS_FLAGS,
    WANTS_VALUES,
)
from fastfeat_kernels.rows.cpu.call import ENTRIES as CALLS
from fastfeat_kernels.rows.cpu.call import call_address
from fastfeat_kernels.rows.cpu.tile import spread

I8, I16, F32 = ir.IntType(8), ir.IntType(16), ir.FloatType()
SLOT = BLOCK * 8
BOOL, FLOAT16, FLOAT32, FLOAT64 = (
    CODES[name] for name in ("bool", "float16", "float32", "float64")
)


def _load(builder, pointer, index, scalar, n_bytes):
    """Load 64 elements at an index; only an element's alignment is required."""
    vector = ir.VectorType(scalar, LANES)
    start = builder.bitcast(builder.gep(pointer, [index]), vector.as_pointer())
    value = builder.load(start, typ=vector)
    value.align = n_bytes
    return value


def _store(builder, value, pointer, index, n_bytes):
    start = builder.bitcast(builder.gep(pointer, [index]), value.type.as_pointer())
    builder.store(value, start).align = n_bytes


@intrinsic
def unpack(typingctx, target, index, bits):
    """Write 64 bits as bytes 0 and 1."""

    def generate(context, builder, signature, args):
        target, index, bits = args
        mask = builder.bitcast(bits, ir.VectorType(I1, LANES))
        _store(builder, builder.zext(mask, ir.VectorType(I8, LANES)), target, index, 1)
        return context.get_dummy_value()

    return types.void(types.CPointer(types.uint8), types.int64, types.int64), generate


@intrinsic
def pack_nonzero(typingctx, source, index):
    """Return a bit for each of 64 bytes, 1 if it is not 0."""

    def generate(context, builder, signature, args):
        source, index = args
        read = _load(builder, source, index, I8, 1)
        zero = ir.Constant(read.type, [0] * LANES)
        return builder.bitcast(builder.icmp_unsigned("!=", read, zero), I64)

    return types.int64(types.CPointer(types.uint8), types.int64), generate


def _pack_ordered(element, scalar, n_bytes):
    @intrinsic
    def pack(typingctx, source, index):
        """Return a bit for each of 64 floats, 1 if it is not NaN."""

        def generate(context, builder, signature, args):
            source, index = args
            read = _load(builder, source, index, scalar, n_bytes)
            return builder.bitcast(builder.fcmp_ordered("ord", read, read), I64)

        return types.int64(types.CPointer(element), types.int64), generate

    return pack


pack_float64 = _pack_ordered(types.float64, F64, 8)
pack_float32 = _pack_ordered(types.float32, F32, 4)


@intrinsic
def pack_float16(typingctx, source, index):
    """Return a bit for each of 64 half floats, 1 if it is not NaN, from their bits."""

    def generate(context, builder, signature, args):
        source, index = args
        read = _load(builder, source, index, I16, 2)
        size = builder.and_(read, ir.Constant(read.type, [0x7FFF] * LANES))
        infinity = ir.Constant(read.type, [0x7C00] * LANES)
        return builder.bitcast(builder.icmp_unsigned("<=", size, infinity), I64)

    return types.int64(types.CPointer(types.uint16), types.int64), generate


@njit(**INNER_OPTIONS)
def unpack_bits(target_address, address, bit, n):
    """Write n bits as bytes; the target needs room for a multiple of 64."""
    target = pointer_uint8(target_address)
    i = types.int64(0)
    while i < n:
        unpack(target, i, read_bits(address, bit + i, smaller(LANES, n - i)))
        i += LANES


@njit(**INNER_OPTIONS)
def align_bits(target_address, address, bit, n):
    """Write n bits as words that begin at bit 0; all are 1 if the address is 0."""
    target = pointer_int64(target_address)
    i = types.int64(0)
    while i < n:
        bits = types.int64(-1)
        if address != 0:
            bits = read_bits(address, bit + i, smaller(LANES, n - i))
        target[i >> 6] = bits
        i += LANES


@njit(**INNER_OPTIONS)
def count_bits(address, n):
    """Return how many of the first n bits are 1."""
    words = pointer_int64(address)
    present, i = types.int64(0), types.int64(0)
    while i < n:
        present += popcount(lowest(words[i >> 6], n - i))
        i += LANES
    return present


@njit(**INNER_OPTIONS)
def lowest(bits, n):
    """Return the lowest n of 64 bits."""
    return bits if n >= LANES else bits & ((types.int64(1) << n) - 1)


def _pack_all(pointer, pack):
    @njit(**INNER_OPTIONS)
    def pack_all(bitmap_address, source_address, n):
        """Write one bit a row, in whole words of 64; return the number of set bits."""
        bitmap, source = pointer_int64(bitmap_address), pointer(source_address)
        present, i = types.int64(0), types.int64(0)
        while i < n:
            bits = lowest(pack(source, i), n - i)
            bitmap[i >> 6] = bits
            present += popcount(bits)
            i += LANES
        return present

    return pack_all


pack_bytes = _pack_all(pointer_uint8, pack_nonzero)
pack_floats64 = _pack_all(pointer_float64, pack_float64)
pack_floats16 = _pack_all(pointer_uint16, pack_float16)
pack_floats32 = _pack_all(pointer_float32, pack_float32)


@njit(**INNER_OPTIONS)
def size_of(code):
    """Return the bytes of an element."""
    if code == FLOAT64:
        return types.int64(8)
    if code == FLOAT32:
        return types.int64(4)
    if code > FLOAT64:
        return types.int64(2)
    return types.int64(code)


@njit(**INNER_OPTIONS)
def stage(column, arguments, slot, ones, first, n):
    """Set the two arguments of an input: addresses of its values and flags in this block."""
    c, a = pointer_int64(column), pointer_int64(arguments)
    kind, values, validity = c[0], c[1], c[3]
    code = kind & 15
    bit = c[4] + first
    if kind & WANTS_VALUES:
        if code != BOOL:
            a[0] = values + first * size_of(code)
        elif kind & AS_BITS:
            align_bits(slot, values, c[2] + first, n)
            a[0] = slot
        else:
            unpack_bits(slot, values, c[2] + first, n)
            a[0] = slot
    if (kind & WANTS_FLAGS) and (kind & AS_BITS):
        align_bits(slot + SLOT, validity, bit, n)
        a[1] = slot + SLOT
    elif kind & WANTS_FLAGS:
        a[1] = ones
        if validity != 0:
            unpack_bits(slot + SLOT, validity, bit, n)
            a[1] = slot + SLOT


@njit(**INNER_OPTIONS)
def place(column, arguments, slot, tile, first):
    """Set the two arguments of an output: target addresses of values and flags in this block."""
    c, a = pointer_int64(column), pointer_int64(arguments)
    kind, validity = c[0], c[2]
    code = kind & 15
    a[0], a[1] = slot, slot + SLOT
    if c[4] != 0:
        a[0] = tile + c[1]
    elif code != BOOL:
        a[0] = c[1] + first * size_of(code)
    elif kind & AS_BITS:
        a[0] = c[1] + (first >> 3)
    if (kind & AS_BITS) and validity != 0:
        a[1] = validity + (first >> 3)


@njit(**INNER_OPTIONS)
def finish(column, arguments, first, n):
    """Convert the output of the loop to Arrow's layout."""
    c, a = pointer_int64(column), pointer_int64(arguments)
    kind, values, validity = c[0], c[1], c[2]
    code = kind & 15
    if (code == BOOL) and not (kind & AS_BITS):
        pack_bytes(values + (first >> 3), a[0], n)
    if validity == 0:
        return
    bitmap = validity + (first >> 3)
    if (kind & WANTS_FLAGS) and (kind & AS_BITS):
        c[3] += n - count_bits(bitmap, n)
    elif kind & WANTS_FLAGS:
        c[3] += n - pack_bytes(bitmap, a[1], n)
    elif code == FLOAT64:
        c[3] += n - pack_floats64(bitmap, a[0], n)
    elif code == FLOAT32:
        c[3] += n - pack_floats32(bitmap, a[0], n)
    elif code == FLOAT16:
        c[3] += n - pack_floats16(bitmap, a[0], n)


@njit(**INNER_OPTIONS)
def run_once(run, loops, arguments, ones, slots, tile, first, n):
    """Run one loop over one block."""
    r = pointer_int64(run)
    n_inputs, n_outputs, n_constants = r[1], r[2], r[3]
    inputs = run + 8 * RUN_WORDS
    outputs = inputs + 8 * COLUMN_WORDS * n_inputs
    constants = pointer_int64(outputs + 8 * COLUMN_WORDS * n_outputs)
    results = arguments + 16 * n_inputs
    for j in range(n_inputs):
        slot = slots + 2 * SLOT * j
        stage(inputs + 8 * COLUMN_WORDS * j, arguments + 16 * j, slot, ones, first, n)
    for j in range(n_outputs):
        slot = slots + 2 * SLOT * (n_inputs + j)
        place(outputs + 8 * COLUMN_WORDS * j, results + 16 * j, slot, tile, first)
    copied = pointer_int64(results + 16 * n_outputs)
    for j in range(n_constants):
        copied[j] = constants[j]
    status = call_address(loops, r[0], arguments, n)
    for j in range(n_outputs):
        finish(outputs + 8 * COLUMN_WORDS * j, results + 16 * j, first, n)
    return status


def blocks(table, first, n):
    """Run all loops over the rows [first, first + n), block by block; return the OR of status."""
    saved = enter_ieee()
    t = pointer_int64(table)
    arguments, loops, n_runs = t[0], t[1], t[2]
    ones = arguments + 8 * t[3]
    slots = ones + BLOCK
    for i in range(BLOCK >> 3):
        pointer_int64(ones)[i] = types.int64(0x0101010101010101)
    status, done = types.int64(0), types.int64(0)
    while done < n:
        rows = smaller(t[BLOCK_WORD], n - done)
        run = table + 8 * HEADER_WORDS
        for _ in range(n_runs):
            status |= run_once(run, loops, arguments, ones, slots, t[5], first + done, rows)
            r = pointer_int64(run)
            run += 8 * (RUN_WORDS + COLUMN_WORDS * (r[1] + r[2]) + r[3])
        spread(t, first + done, rows)
        done += rows
    leave_ieee(saved)
    return status


ENTRIES = {"blocks": blocks, **CALLS}
