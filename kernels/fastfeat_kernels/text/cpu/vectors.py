# pyright: basic
"""Operations on 64 bytes at an address at once, with results as the bits of an int64."""

from __future__ import annotations

from llvmlite import ir
from numba import types

from fastfeat_kernels.intrinsics import I1, I64, LANES, intrinsic

I8, I128 = ir.IntType(8), ir.IntType(128)
BYTES = ir.VectorType(I8, LANES)


def _load(builder, address):
    read = builder.load(builder.inttoptr(address, BYTES.as_pointer()), typ=BYTES)
    read.align = 1
    return read


def _store(builder, value, address):
    builder.store(value, builder.inttoptr(address, BYTES.as_pointer())).align = 1


def _constant(byte: int):
    return ir.Constant(BYTES, [byte] * LANES)


def _splat(builder, value):
    first = builder.insert_element(
        ir.Constant(BYTES, ir.Undefined), builder.trunc(value, I8), ir.Constant(I64, 0)
    )
    order = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
    return builder.shuffle_vector(first, ir.Constant(BYTES, ir.Undefined), order)


@intrinsic
def high_bits(typingctx, address):
    """Return a bit for each byte, 1 if it is not ASCII."""

    def generate(context, builder, signature, args):
        high = builder.icmp_signed("<", _load(builder, args[0]), _constant(0))
        return builder.bitcast(high, I64)

    return types.int64(types.int64), generate


@intrinsic
def start_bits(typingctx, address):
    """Return a bit for each byte, 1 if it starts a code point in UTF-8."""

    def generate(context, builder, signature, args):
        start = builder.icmp_signed(">", _load(builder, args[0]), _constant(0xBF))
        return builder.bitcast(start, I64)

    return types.int64(types.int64), generate


@intrinsic
def equal_bits(typingctx, address, byte):
    """Return a bit for each byte, 1 if it is the given one."""

    def generate(context, builder, signature, args):
        same = builder.icmp_unsigned("==", _load(builder, args[0]), _splat(builder, args[1]))
        return builder.bitcast(same, I64)

    return types.int64(types.int64, types.int64), generate


@intrinsic
def at_least_bits(typingctx, address, byte):
    """Return a bit for each byte, 1 if it is, read as unsigned, the given one or more."""

    def generate(context, builder, signature, args):
        read, least = _load(builder, args[0]), _splat(builder, args[1])
        return builder.bitcast(builder.icmp_unsigned(">=", read, least), I64)

    return types.int64(types.int64, types.int64), generate


@intrinsic
def space_bits(typingctx, address):
    """Return a bit for each byte, 1 if it is ASCII white space."""

    def generate(context, builder, signature, args):
        read = _load(builder, args[0])
        control = builder.icmp_unsigned("<", builder.sub(read, _constant(9)), _constant(5))
        blank = builder.icmp_unsigned("==", read, _constant(32))
        return builder.bitcast(builder.or_(control, blank), I64)

    return types.int64(types.int64), generate


@intrinsic
def copy_case(typingctx, target, source, first):
    """Copy bytes, swapping the case of the 26 letters from `first` on; return `high_bits`."""

    def generate(context, builder, signature, args):
        target, source, first = args
        read = _load(builder, source)
        place = builder.sub(read, _splat(builder, first))
        letter = builder.icmp_unsigned("<", place, _constant(26))
        flip = builder.select(letter, _constant(32), _constant(0))
        _store(builder, builder.xor(read, flip), target)
        return builder.bitcast(builder.icmp_signed("<", read, _constant(0)), I64)

    return types.int64(types.int64, types.int64, types.int64), generate


@intrinsic
def copy_bytes(typingctx, target, source):
    """Copy 64 bytes."""

    def generate(context, builder, signature, args):
        _store(builder, _load(builder, args[1]), args[0])
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), generate


def _counting(name: str):
    @intrinsic
    def count(typingctx, bits):
        def generate(context, builder, signature, args):
            shape = ir.FunctionType(I64, [I64, I1])
            function = builder.module.declare_intrinsic(f"llvm.{name}", [I64], shape)
            return builder.call(function, [args[0], ir.Constant(I1, 0)])

        return types.int64(types.int64), generate

    return count


# Number of zero bits below the lowest set bit, and above the highest; 64 without one.
trailing_zeros, leading_zeros = _counting("cttz"), _counting("ctlz")


@intrinsic
def multiply_high(typingctx, x, y):
    """Return the upper 64 bits of x * y, both read as unsigned."""

    def generate(context, builder, signature, args):
        wide = [builder.zext(arg, I128) for arg in args]
        product = builder.mul(*wide)
        return builder.trunc(builder.lshr(product, ir.Constant(I128, 64)), I64)

    return types.int64(types.int64, types.int64), generate
