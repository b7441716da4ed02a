# pyright: basic
"""Intrinsics that Numba lacks: memory at an address, bit casts, fma, the float environment.

Hand-written and generated kernels share these. Every intrinsic is one LLVM instruction or a
handful.
"""

from __future__ import annotations

from typing import Any

from llvmlite import binding, ir
from numba import njit, types
from numba.extending import intrinsic as numba_intrinsic

from fastfeat_kernels.pipeline import INNER_OPTIONS, KERNEL_OPTIONS, SEPARATE_OPTIONS

__all__ = ["INNER_OPTIONS", "KERNEL_OPTIONS", "SEPARATE_OPTIONS"]

# The first argument of a decorated function is Numba's, not the caller's.
intrinsic: Any = numba_intrinsic

LANES = 64  # rows with one word of bitmap
I1, I32, I64 = (ir.IntType(bits) for bits in (1, 32, 64))
F64 = ir.DoubleType()


def _pointer_to(element: types.Type):
    @intrinsic
    def pointer(typingctx, address):
        signature = types.CPointer(element)(types.int64)

        def generate(context, builder, signature, args):
            return builder.inttoptr(args[0], context.get_value_type(signature.return_type))

        return signature, generate

    return pointer


# `pointer_int64(address)[i]` loads and stores element i: no bounds, no wraparound, vectorizes.
pointer_int32, pointer_int64 = _pointer_to(types.int32), _pointer_to(types.int64)
pointer_uint8, pointer_uint16, pointer_uint32 = (
    _pointer_to(types.Integer.from_bitwidth(bits, False)) for bits in (8, 16, 32)
)
pointer_float32, pointer_float64 = _pointer_to(types.float32), _pointer_to(types.float64)


@intrinsic
def bits_of(typingctx, value):
    """Return the 64 bits of a float as an int64."""
    return types.int64(types.float64), lambda c, builder, s, args: builder.bitcast(args[0], I64)


@intrinsic
def float_of(typingctx, bits):
    """Return the float64 with the given 64 bits."""
    return types.float64(types.int64), lambda c, builder, s, args: builder.bitcast(args[0], F64)


@intrinsic
def fma(typingctx, x, y, z):
    """Return x * y + z, rounded once."""

    def generate(context, builder, signature, args):
        shape = ir.FunctionType(F64, [F64, F64, F64])
        return builder.call(builder.module.declare_intrinsic("llvm.fma", [F64], shape), args)

    return types.float64(types.float64, types.float64, types.float64), generate


@intrinsic
def select(typingctx, condition, yes, no):
    """Return yes or no without a branch; both have one type, float64 if either is a float."""
    result = yes if yes == no else types.int64
    if isinstance(yes, types.Float) or isinstance(no, types.Float):
        result = types.float64

    def generate(context, builder, signature, args):
        chosen = args[0] if args[0].type == I1 else builder.trunc(args[0], I1)
        return builder.select(chosen, args[1], args[2])

    return result(types.boolean, result, result), generate


def _chosen_of_two(operator: str):
    @intrinsic
    def chosen(typingctx, x, y):
        def generate(context, builder, signature, args):
            return builder.select(builder.icmp_signed(operator, *args), *args)

        return types.int64(types.int64, types.int64), generate

    return chosen


# Like min and max of two int64, which Numba compiles as functions at each use.
smaller, larger = _chosen_of_two("<"), _chosen_of_two(">")


@intrinsic
def shift_logical(typingctx, value, count):
    """Return an int64 shifted to the right, filled with zeros; the count is in [0, 63]."""
    return types.int64(types.int64, types.int64), lambda c, builder, s, args: builder.lshr(*args)


@intrinsic
def less_unsigned(typingctx, x, y):
    """Return whether x < y, both int64 read as unsigned."""

    def generate(context, builder, signature, args):
        return builder.icmp_unsigned("<", *args)

    return types.boolean(types.int64, types.int64), generate


@intrinsic
def fold_multiply(typingctx, x, y):
    """Return the xor of the two halves of the 128-bit product of two unsigned 64-bit integers."""

    def generate(context, builder, signature, args):
        wide = ir.IntType(128)
        product = builder.mul(*(builder.zext(arg, wide) for arg in args))
        high = builder.trunc(builder.lshr(product, wide(64)), I64)
        return builder.xor(builder.trunc(product, I64), high)

    return types.int64(types.int64, types.int64), generate


def _load_unaligned(bits: int):
    @intrinsic
    def load(typingctx, address):
        """Return the integer at any address, zero-extended."""

        def generate(context, builder, signature, args):
            narrow = ir.IntType(bits)
            read = builder.load(builder.inttoptr(args[0], narrow.as_pointer()), typ=narrow)
            read.align = 1
            return read if bits == 64 else builder.zext(read, I64)

        return types.int64(types.int64), generate

    return load


load_int64, load_int32 = _load_unaligned(64), _load_unaligned(32)


@intrinsic
def store_int64(typingctx, address, value):
    """Write an int64 at any address."""

    def generate(context, builder, signature, args):
        builder.store(args[1], builder.inttoptr(args[0], I64.as_pointer())).align = 1
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), generate


@intrinsic
def prefetch(typingctx, address):
    """Prefetch the cache line at an address, which may be any, for reading."""

    def generate(context, builder, signature, args):
        pointer = builder.inttoptr(args[0], ir.IntType(8).as_pointer())
        shape = ir.FunctionType(ir.VoidType(), [pointer.type, I32, I32, I32])
        function = builder.module.declare_intrinsic("llvm.prefetch.p0", [], shape)
        builder.call(function, [pointer, I32(0), I32(3), I32(1)])
        return context.get_dummy_value()

    return types.void(types.int64), generate


@intrinsic
def popcount(typingctx, bits):
    """Return the number of set bits of an int64."""

    def generate(context, builder, signature, args):
        shape = ir.FunctionType(I64, [I64])
        return builder.call(builder.module.declare_intrinsic("llvm.ctpop", [I64], shape), args)

    return types.int64(types.int64), generate


@intrinsic
def lowest_bit(typingctx, bits):
    """Return the place of the lowest set bit of an int64; 64 if none is set."""

    def generate(context, builder, signature, args):
        shape = ir.FunctionType(I64, [I64, I1])
        function = builder.module.declare_intrinsic("llvm.cttz", [I64], shape)
        return builder.call(function, [args[0], I1(0)])

    return types.int64(types.int64), generate


@intrinsic
def equal_words(typingctx, address, word):
    """Return a bit for each of the 8 words at an address, 1 if it equals `word`; bit 0 first."""

    def generate(context, builder, signature, args):
        vector = ir.VectorType(I64, 8)
        read = builder.load(builder.inttoptr(args[0], vector.as_pointer()), typ=vector)
        read.align = 8
        first = builder.insert_element(ir.Constant(vector, ir.Undefined), args[1], I32(0))
        order = ir.Constant(ir.VectorType(I32, 8), [0] * 8)
        wanted = builder.shuffle_vector(first, ir.Constant(vector, ir.Undefined), order)
        equal = builder.icmp_signed("==", read, wanted)
        return builder.zext(builder.bitcast(equal, ir.IntType(8)), I64)

    return types.int64(types.int64, types.int64), generate


@intrinsic
def opaque(typingctx, value):
    """Return an int64 unchanged, through a barrier that LLVM moves no memory access across.

    Code that depends on it cannot run before the barrier, so the float environment is set in time.
    """

    def generate(context, builder, signature, args):
        shape = ir.FunctionType(I64, [I64])
        return builder.asm(shape, "", "=r,0,~{memory}", args, side_effect=True)

    return types.int64(types.int64), generate


def _swap_mxcsr(builder, new):
    slot = builder.alloca(I32)
    pointer = builder.bitcast(slot, ir.IntType(8).as_pointer())
    shape = ir.FunctionType(ir.VoidType(), [pointer.type])
    store = builder.module.declare_intrinsic("llvm.x86.sse.stmxcsr", [], shape)
    load = builder.module.declare_intrinsic("llvm.x86.sse.ldmxcsr", [], shape)
    builder.call(store, [pointer])
    old = builder.load(slot)
    builder.store(builder.trunc(new, I32), slot)
    builder.call(load, [pointer])
    return builder.zext(old, I64)


def _swap_fpcr(builder, new):
    getter, setter = ir.FunctionType(I64, []), ir.FunctionType(ir.VoidType(), [I64])
    old = builder.call(builder.module.declare_intrinsic("llvm.aarch64.get.fpcr", [], getter), [])
    builder.call(builder.module.declare_intrinsic("llvm.aarch64.set.fpcr", [], setter), [new])
    return old


def _environment(triple: str):
    """Return (IEEE control word, instruction that exchanges it) of the machine."""
    match triple.split("-")[0]:
        case "x86_64" | "i686" | "i386":
            return 0x1F80, _swap_mxcsr  # all exceptions masked, round to nearest, no FTZ, no DAZ
        case "aarch64" | "arm64":
            return 0, _swap_fpcr
        case _:
            return 0, lambda builder, new: new


IEEE_CONTROL_WORD, _swap = _environment(binding.get_process_triple())


@intrinsic
def swap_float_environment(typingctx, control_word):
    """Set the float control word of this thread (MXCSR, FPCR) and return the old one."""
    return types.int64(types.int64), lambda c, builder, s, args: _swap(builder, args[0])


@njit(**INNER_OPTIONS)
def enter_ieee():
    """Turn flush-to-zero off and rounding to nearest on; return the argument for `leave_ieee`.

    A library linked with -ffast-math turns on flush-to-zero for its whole process.
    """
    return swap_float_environment(IEEE_CONTROL_WORD)


@njit(**INNER_OPTIONS)
def leave_ieee(saved):
    """Restore the float environment that `enter_ieee` found."""
    swap_float_environment(opaque(saved))


@intrinsic
def expand(typingctx, target, source, bits, fill):
    """Copy 64 words; those with bit 0 become `fill`. Reads all 64, whatever their bits."""
    pointer = types.CPointer(types.int64)
    signature = types.void(pointer, pointer, types.int64, types.int64)

    def generate(context, builder, signature, args):
        target, source, bits, fill = args
        vector = ir.VectorType(I64, LANES)
        mask = builder.bitcast(bits, ir.VectorType(I1, LANES))
        first = builder.insert_element(ir.Constant(vector, ir.Undefined), fill, I32(0))
        order = ir.Constant(ir.VectorType(I32, LANES), [0] * LANES)
        filled = builder.shuffle_vector(first, ir.Constant(vector, ir.Undefined), order)
        read = builder.load(builder.bitcast(source, vector.as_pointer()), typ=vector)
        read.align = 8
        kept = builder.select(mask, read, filled)
        builder.store(kept, builder.bitcast(target, vector.as_pointer())).align = 8
        return context.get_dummy_value()

    return signature, generate


@njit(**INNER_OPTIONS)
def read_bits(address, first, n):
    """Return n <= 64 bits of a bitmap from bit `first` on, the first in bit 0; zeros above.

    Reads only bytes that hold a wanted bit, so a bitmap may end anywhere.
    """
    start, shift = address + (first >> 3), first & 7
    if n == 64:
        low = pointer_int64(start)[0]
        if shift == 0:
            return low
        high = types.int64(pointer_uint8(start)[8])
        return shift_logical(low, shift) | (high << (64 - shift))
    word = types.int64(0)
    for i in range((shift + n + 7) >> 3):
        byte = types.int64(pointer_uint8(start)[i])
        if i < 8:
            word |= byte << (i << 3)
        else:  # a ninth byte, only if shift > 0
            return (shift_logical(word, shift) | (byte << (64 - shift))) & ((1 << n) - 1)
    return shift_logical(word, shift) & ((types.int64(1) << n) - 1)
