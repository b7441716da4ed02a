# pyright: basic
"""What stands around a generated loop: Arrow's layout is undone before it and made after it, block by block.

Values without missing ones are read in place. Else floats are copied to scratch with NaN for missing, flags
and bools are unpacked to bytes. Results go to their place; flags and bools are packed to bits 64 at a time.
"""

from __future__ import annotations

from fastfeat_kernels.intrinsics import (
    F64,
    I1,
    I64,
    INNER_OPTIONS,
    POINTERS,
    float_of,
    pointer_float32,
    pointer_float64,
    pointer_int64,
    pointer_uint8,
    popcount,
    read_bits,
)
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

from fastfeat.backends.cpu.render import BLOCK

I8, F32 = ir.IntType(8), ir.FloatType()
LANES = 64
SLOT = BLOCK * 8
NAN = float("nan")
inner = njit(**INNER_OPTIONS)


@inner
def word(table, k):
    """Return word k of a table."""
    return pointer_int64(table)[k]


@inner
def parameter_f64(record, k):
    """Return a float parameter."""
    return float_of(pointer_int64(record)[k])


@inner
def parameter_i64(record, k):
    """Return an integer parameter."""
    return pointer_int64(record)[k]


@inner
def parameter_b1(record, k):
    """Return a bool parameter."""
    return pointer_int64(record)[k] != 0


def _vector_load(builder, pointer, index, scalar, n_bytes):
    """Load 64 elements from an element pointer at an index; alignment is that of one element."""
    start = builder.gep(pointer, [index])
    vector = ir.VectorType(scalar, LANES)
    value = builder.load(builder.bitcast(start, vector.as_pointer()), typ=vector)
    value.align = n_bytes
    return value


def _vector_store(builder, value, pointer, index, n_bytes):
    start = builder.gep(pointer, [index])
    builder.store(value, builder.bitcast(start, value.type.as_pointer())).align = n_bytes


def _copy_present(element, scalar, n_bytes):
    @intrinsic
    def copy(typingctx, target, source, index, bits):
        """Copy 64 floats; those whose bit is 0 become NaN."""
        pointer = types.CPointer(element)

        def generate(context, builder, signature, args):
            target, source, index, bits = args
            read = _vector_load(builder, source, index, scalar, n_bytes)
            mask = builder.bitcast(bits, ir.VectorType(I1, LANES))
            nan = ir.Constant(read.type, [NAN] * LANES)
            _vector_store(builder, builder.select(mask, read, nan), target, index, n_bytes)
            return context.get_dummy_value()

        return types.void(pointer, pointer, types.int64, types.int64), generate

    return copy


_copy_float64 = _copy_present(types.float64, F64, 8)
_copy_float32 = _copy_present(types.float32, F32, 4)


@intrinsic
def _unpack(typingctx, target, index, bits):
    """Write 64 bits as bytes 0 and 1."""

    def generate(context, builder, signature, args):
        target, index, bits = args
        mask = builder.bitcast(bits, ir.VectorType(I1, LANES))
        _vector_store(builder, builder.zext(mask, ir.VectorType(I8, LANES)), target, index, 1)
        return context.get_dummy_value()

    return types.void(types.CPointer(types.uint8), types.int64, types.int64), generate


@intrinsic
def _pack_nonzero(typingctx, source, index):
    """Return which of 64 bytes are not 0, as bits."""

    def generate(context, builder, signature, args):
        read = _vector_load(builder, *args, I8, 1)
        zero = ir.Constant(read.type, [0] * LANES)
        return builder.bitcast(builder.icmp_unsigned("!=", read, zero), I64)

    return types.int64(types.CPointer(types.uint8), types.int64), generate


def _pack_ordered(element, scalar, n_bytes):
    @intrinsic
    def pack(typingctx, source, index):
        """Return which of 64 floats are not NaN, as bits."""

        def generate(context, builder, signature, args):
            read = _vector_load(builder, *args, scalar, n_bytes)
            return builder.bitcast(builder.fcmp_ordered("ord", read, read), I64)

        return types.int64(types.CPointer(element), types.int64), generate

    return pack


_pack_float64 = _pack_ordered(types.float64, F64, 8)
_pack_float32 = _pack_ordered(types.float32, F32, 4)


def _stage_in_place(kind, n_bytes):
    pointer = POINTERS[kind]

    @inner
    def stage(record, w, scratch, slot, first, n):
        return pointer(word(record, w) + first * n_bytes)

    return stage


def _stage_float(pointer, copy, n_bytes):
    @inner
    def stage(record, w, scratch, slot, first, n):
        source = pointer(word(record, w) + first * n_bytes)
        validity = word(record, w + 2)
        if validity == 0:
            return source
        target = pointer(scratch + slot * SLOT)
        offset = word(record, w + 3) + first
        i = types.int64(0)
        while i + LANES <= n:
            copy(target, source, i, read_bits(validity, offset + i, 64))
            i += LANES
        if i < n:
            bits = read_bits(validity, offset + i, n - i)
            while i < n:
                target[i] = source[i] if bits & 1 else NAN
                bits >>= 1
                i += 1
        return target

    return stage


@inner
def _unpack_bits(target, address, offset, n):
    """Write n bits as bytes; the target has room for a multiple of 64."""
    i = types.int64(0)
    while i < n:
        _unpack(target, i, read_bits(address, offset + i, min(types.int64(LANES), n - i)))
        i += LANES


@inner
def stage_bool(record, w, scratch, slot, first, n):
    """Return bools of a column as bytes."""
    target = pointer_uint8(scratch + slot * SLOT)
    _unpack_bits(target, word(record, w), word(record, w + 1) + first, n)
    return target


@inner
def stage_flags(record, w, scratch, slot, first, n):
    """Return whether values are present, as bytes."""
    target = pointer_uint8(scratch + slot * SLOT)
    validity = word(record, w + 2)
    if validity == 0:
        i = types.int64(0)
        while i < n:
            _unpack(target, i, types.int64(-1))
            i += LANES
    else:
        _unpack_bits(target, validity, word(record, w + 3) + first, n)
    return target


def _place(pointer, n_bytes):
    @inner
    def place(record, w, scratch, slot, first):
        if word(record, w + 3) != 0:
            return pointer(scratch + slot * SLOT)
        return pointer(word(record, w) + first * n_bytes)

    return place


@inner
def place_bool(record, w, scratch, slot, first):
    """Return where a loop writes bools as bytes."""
    return pointer_uint8(scratch + slot * SLOT)


@inner
def place_flags(scratch, slot):
    """Return where a loop writes flags as bytes."""
    return pointer_uint8(scratch + slot * SLOT)


@inner
def _lowest(bits, n):
    """Return the lowest n of 64 bits."""
    return bits if n >= LANES else bits & ((types.int64(1) << n) - 1)


def _finish_float(pointer, pack, n_bytes):
    @inner
    def finish(record, w, values, first, n):
        stride = word(record, w + 3)
        if stride != 0:
            target = word(record, w) + first * stride
            for i in range(n):
                pointer(target + i * stride)[0] = values[i]
        validity = word(record, w + 1)
        if validity == 0:
            return
        bitmap = pointer_int64(validity + (first >> 3))
        present, i = types.int64(0), types.int64(0)
        while i < n:
            bits = _lowest(pack(values, i), n - i)
            bitmap[i >> 6] = bits
            present += popcount(bits)
            i += LANES
        pointer_int64(record)[w + 2] += n - present

    return finish


def _finish_whole():
    @inner
    def finish(record, w, values, first, n):
        pass

    return finish


@inner
def _pack_bytes(bitmap, source, n):
    """Pack n bytes to bits, whole words of 64; return how many are set."""
    present, i = types.int64(0), types.int64(0)
    while i < n:
        bits = _lowest(_pack_nonzero(source, i), n - i)
        bitmap[i >> 6] = bits
        present += popcount(bits)
        i += LANES
    return present


@inner
def finish_bool(record, w, values, first, n):
    """Pack the bools that a loop wrote as bytes."""
    _pack_bytes(pointer_int64(word(record, w) + (first >> 3)), values, n)


@inner
def finish_flags(record, w, flags, first, n):
    """Pack the flags of an output to its bitmap and count what is missing."""
    validity = word(record, w + 1)
    present = _pack_bytes(pointer_int64(validity + (first >> 3)), flags, n)
    pointer_int64(record)[w + 2] += n - present


_INTEGERS = {"int8": 1, "int16": 2, "int32": 4, "int64": 8}
_INTEGERS |= {f"u{kind}": n_bytes for kind, n_bytes in _INTEGERS.items()}

STAGES = {
    "bool": stage_bool,
    "float32": _stage_float(pointer_float32, _copy_float32, 4),
    "float64": _stage_float(pointer_float64, _copy_float64, 8),
    **{kind: _stage_in_place(kind, n_bytes) for kind, n_bytes in _INTEGERS.items()},
}
PLACES = {
    "bool": place_bool,
    "float32": _place(pointer_float32, 4),
    "float64": _place(pointer_float64, 8),
    **{kind: _place(POINTERS[kind], n_bytes) for kind, n_bytes in _INTEGERS.items()},
}
FINISHES = {
    "bool": finish_bool,
    "float32": _finish_float(pointer_float32, _pack_float32, 4),
    "float64": _finish_float(pointer_float64, _pack_float64, 8),
    **{kind: _finish_whole() for kind in _INTEGERS},
}
