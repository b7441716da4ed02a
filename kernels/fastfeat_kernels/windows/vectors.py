# pyright: basic
"""Steps over several words at once, as LLVM's vectors, and integers of 192 bits."""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core.cgutils import get_or_insert_function

from fastfeat_kernels.grouped.layout import LIMB_BITS
from fastfeat_kernels.intrinsics import I1, I32, I64, intrinsic

STEP = 8  # words that are compared at a time
WIDE = ir.IntType(192)


def _leading(comparison: str):
    @intrinsic
    def leading(typingctx, address, limit):
        def generate(context, builder, signature, args):
            vector = ir.VectorType(I64, STEP)
            pointer = builder.inttoptr(args[0], vector.as_pointer())
            found = builder.load(pointer, typ=vector)
            found.align = 8
            first = builder.insert_element(ir.Constant(vector, ir.Undefined), args[1], I32(0))
            order = ir.Constant(ir.VectorType(I32, STEP), [0] * STEP)
            limits = builder.shuffle_vector(first, ir.Constant(vector, ir.Undefined), order)
            stops = builder.icmp_signed(comparison, found, limits)
            bits = builder.bitcast(stops, ir.IntType(STEP))
            wide = builder.or_(builder.zext(bits, I32), I32(1 << STEP))
            shape = ir.FunctionType(I32, [I32, I1])
            count = get_or_insert_function(builder.module, shape, "llvm.cttz.i32")
            return builder.zext(builder.call(count, [wide, I1(1)]), I64)

        return types.int64(types.int64, types.int64), generate

    return leading


# How many of 8 int64 at an address, from the first on, are < the limit, or <= the limit.
leading_below, leading_up_to = _leading(">="), _leading(">")


@intrinsic
def square_limbs(typingctx, high, low):
    """Return the square of high * 2**40 + low in limbs of 40 bits, the highest first."""

    def generate(context, builder, signature, args):
        high, low = (builder.sext(arg, WIDE) for arg in args)
        value = builder.add(builder.shl(high, WIDE(LIMB_BITS)), low)
        square = builder.mul(value, value)
        limbs = []
        for k in (3, 2, 1, 0):
            limb = builder.trunc(builder.lshr(square, WIDE(LIMB_BITS * k)), I64)
            limbs.append(builder.and_(limb, I64((1 << LIMB_BITS) - 1)) if k < 3 else limb)
        return context.make_tuple(builder, signature.return_type, limbs)

    return types.UniTuple(types.int64, 4)(types.int64, types.int64), generate


def _wrapping(operation: str):
    @intrinsic
    def wrapping(typingctx, x, y):
        def generate(context, builder, signature, args):
            return getattr(builder, operation)(*args)

        return types.int64(types.int64, types.int64), generate

    return wrapping


# x + y and x * y modulo 2**64. Numba tells LLVM of its own that they never leave int64.
add_wrapping, multiply_wrapping = _wrapping("add"), _wrapping("mul")
