# pyright: basic
"""Arithmetic of moments that int64 does not hold, and division that rounds down."""

from __future__ import annotations

from llvmlite import ir
from numba import types

from fastfeat_kernels.blocks import HIGHEST, LOWEST
from fastfeat_kernels.intrinsics import I64, intrinsic

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
