# pyright: basic
"""Arithmetic of moments that int64 does not hold, division that rounds down, choices of places."""

from __future__ import annotations

from llvmlite import ir
from numba import types

from fastfeat_kernels.asof.layout import FANOUT
from fastfeat_kernels.blocks import HIGHEST, LOWEST
from fastfeat_kernels.intrinsics import I32, I64, intrinsic

WIDE = ir.IntType(128)


@intrinsic
def scaled_sum(typingctx, time, factor, added):
    """Return time * factor + added, or the end of int64 that it is beyond, and 1 if it is below."""

    def generate(context, builder, signature, args):
        time, factor, added = (builder.sext(arg, WIDE) for arg in args)
        total = builder.add(builder.mul(time, factor), added)
        lowest, highest = WIDE(LOWEST), WIDE(HIGHEST)
        is_below = builder.icmp_signed("<", total, lowest)
        total = builder.select(is_below, lowest, total)
        total = builder.select(builder.icmp_signed(">", total, highest), highest, total)
        found = builder.trunc(total, I64), builder.zext(is_below, I64)
        return context.make_tuple(builder, signature.return_type, found)

    result = types.UniTuple(types.int64, 2)
    return result(types.int64, types.int64, types.int64), generate


@intrinsic
def is_within(typingctx, then, tick_then, now, tick_now, tolerance):
    """Return whether then * tick_then >= now * tick_now - tolerance."""

    def generate(context, builder, signature, args):
        then, tick_then, now, tick_now, tolerance = (builder.sext(arg, WIDE) for arg in args)
        oldest = builder.sub(builder.mul(now, tick_now), tolerance)
        return builder.icmp_signed(">=", builder.mul(then, tick_then), oldest)

    return types.boolean(*[types.int64] * 5), generate


@intrinsic
def divided(typingctx, x, y):
    """Return x / y rounded down, and the remainder; y is above 0."""

    def generate(context, builder, signature, args):
        x, y = args
        quotient = builder.sdiv(x, y)
        rest = builder.sub(x, builder.mul(quotient, y))
        is_below = builder.icmp_signed("<", rest, I64(0))
        quotient = builder.sub(quotient, builder.zext(is_below, I64))
        rest = builder.select(is_below, builder.add(rest, y), rest)
        return context.make_tuple(builder, signature.return_type, (quotient, rest))

    return types.UniTuple(types.int64, 2)(types.int64, types.int64), generate


@intrinsic
def moved(typingctx, place, step, time, limit):
    """Return place + step where time <= limit, else the place.

    LLVM would make a branch of a choice that depends on what was read; half of them would be
    mispredicted. It does not see through an empty instruction.
    """

    def generate(context, builder, signature, args):
        place, step, time, limit = args
        is_up_to = builder.zext(builder.icmp_signed("<=", time, limit), I64)
        shape = ir.FunctionType(I64, [I64])
        mask = builder.asm(shape, "", "=r,0", [builder.neg(is_up_to)], side_effect=False)
        return builder.add(place, builder.and_(step, mask))

    return types.int64(*[types.int64] * 4), generate


def _bits(comparison: str):
    @intrinsic
    def bits(typingctx, address, limit):
        def generate(context, builder, signature, args):
            vector = ir.VectorType(I64, FANOUT)
            read = builder.load(builder.inttoptr(args[0], vector.as_pointer()), typ=vector)
            read.align = 8
            first = builder.insert_element(ir.Constant(vector, ir.Undefined), args[1], I32(0))
            order = ir.Constant(ir.VectorType(I32, FANOUT), [0] * FANOUT)
            limits = builder.shuffle_vector(first, ir.Constant(vector, ir.Undefined), order)
            found = builder.icmp_signed(comparison, read, limits)
            return builder.zext(builder.bitcast(found, ir.IntType(FANOUT)), I64)

        return types.int64(types.int64, types.int64), generate

    return bits


# Which of the 8 words at an address are < a limit, or <= a limit, the first in bit 0.
below_bits, up_to_bits = _bits("<"), _bits("<=")


@intrinsic
def store8(typingctx, address, value):
    """Write a word 8 times from an address on."""

    def generate(context, builder, signature, args):
        vector = ir.VectorType(I64, FANOUT)
        first = builder.insert_element(ir.Constant(vector, ir.Undefined), args[1], I32(0))
        order = ir.Constant(ir.VectorType(I32, FANOUT), [0] * FANOUT)
        words = builder.shuffle_vector(first, ir.Constant(vector, ir.Undefined), order)
        builder.store(words, builder.inttoptr(args[0], vector.as_pointer())).align = 8
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), generate
