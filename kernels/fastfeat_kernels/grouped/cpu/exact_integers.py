# pyright: basic
"""Integers of a few hundred bits in registers: the sums of a line, and rounding to 53 bits.

LLVM expands their arithmetic to 64-bit words.
"""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core.cgutils import get_or_insert_function

from fastfeat_kernels.grouped.layout import LIMB_BITS, SQUARE_BITS, SUM_BITS
from fastfeat_kernels.intrinsics import I1, I64, intrinsic

SUM_TYPE, SPREAD_TYPE = ir.IntType(192), ir.IntType(384)
TOP_BITS = 62  # of an int64, above which a sign has room


def _from_limbs(builder, limbs, wide):
    total = wide(0)
    for limb in limbs:
        total = builder.add(builder.shl(total, wide(LIMB_BITS)), builder.sext(limb, wide))
    return total


def _top(context, builder, signature, value):
    """Return the highest bits of a value, signed, and their place; the last bit is sticky."""
    wide = value.type
    negative = builder.icmp_signed("<", value, wide(0))
    size = builder.select(negative, builder.neg(value), value)
    shape = ir.FunctionType(wide, [wide, I1])
    count = get_or_insert_function(builder.module, shape, f"llvm.ctlz.i{wide.width}")
    n_bits = builder.sub(wide(wide.width), builder.call(count, [size, I1(0)]))
    place = builder.sub(n_bits, wide(TOP_BITS))
    place = builder.select(builder.icmp_signed("<", place, wide(0)), wide(0), place)
    kept = builder.lshr(size, place)
    is_more = builder.icmp_unsigned("!=", builder.shl(kept, place), size)
    top = builder.or_(builder.trunc(kept, I64), builder.zext(is_more, I64))
    top = builder.select(negative, builder.neg(top), top)
    found = [top, builder.trunc(place, I64)]
    return context.make_tuple(builder, signature.return_type, found)


@intrinsic
def top_of_sum(typingctx, a, b, c):
    """Return (top, place) of a sum from its limbs; converting top to float rounds the sum."""

    def generate(context, builder, signature, args):
        return _top(context, builder, signature, _from_limbs(builder, args, SUM_TYPE))

    return types.UniTuple(types.int64, 2)(types.int64, types.int64, types.int64), generate


@intrinsic
def top_of_spread(typingctx, is_float, n, a, b, c, p, q, r, s):
    """Return (top, place) of n * squares - sum * sum, in units of the squared unit of the sum."""

    def generate(context, builder, signature, args):
        is_float, n = args[0], builder.sext(args[1], SPREAD_TYPE)
        total = _from_limbs(builder, args[2:5], SPREAD_TYPE)
        squares = _from_limbs(builder, args[5:], SPREAD_TYPE)
        raised = builder.shl(squares, SPREAD_TYPE(2 * SUM_BITS - SQUARE_BITS))
        squares = builder.select(builder.trunc(is_float, I1), raised, squares)
        spread = builder.sub(builder.mul(n, squares), builder.mul(total, total))
        return _top(context, builder, signature, spread)

    words = [types.int64] * 8
    return types.UniTuple(types.int64, 2)(types.boolean, *words), generate


@intrinsic
def square_root(typingctx, x):
    """Return the square root of a float, rounded to nearest."""

    def generate(context, builder, signature, args):
        real = ir.DoubleType()
        shape = ir.FunctionType(real, [real])
        return builder.call(builder.module.declare_intrinsic("llvm.sqrt", [real], shape), args)

    return types.float64(types.float64), generate
