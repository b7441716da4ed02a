# pyright: basic
"""Arithmetic of times beyond int64, division that rounds down, and merging of sorted rows."""

from __future__ import annotations

from llvmlite import ir
from numba import njit, types

from fastfeat_kernels.asof import (
    BLOCK,
    FANOUT,
    HINT_LATEST,
    HINT_PLACE,
    HINT_SKIPS,
    HINT_START,
    LATEST,
    NEIGHBOURS,
    PLACES,
    SKIPS,
    STRIDE,
    TABLE_FOUND,
    TABLE_LEVELS,
    TABLE_ROWS,
    TABLE_SCRATCH,
    TOPS,
)
from fastfeat_kernels.blocks import HIGHEST, LOWEST
from fastfeat_kernels.intrinsics import (
    I32,
    I64,
    INNER_OPTIONS,
    SEPARATE_OPTIONS,
    intrinsic,
    larger,
    lowest_bit,
    pointer_int32,
    pointer_int64,
    popcount,
    smaller,
)

WIDE = ir.IntType(128)


@intrinsic
def scaled_sum(typingctx, time, factor, added):
    """Return time * factor + added, clamped to int64, and 1 if it is below int64."""

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
    """Return x / y rounded down, and the remainder; y must be positive."""

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
    """Return place + step if time <= limit, else the place.

    LLVM would turn a choice that depends on loaded data into a branch, half of them mispredicted.
    An empty instruction hides the data from it.
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


i64 = types.int64


@njit(**INNER_OPTIONS)
def search_from(times_at, place, end, latest):
    """Return the place behind the last known time, starting from a place that is not behind it."""
    times, step = pointer_int64(times_at), i64(FANOUT)
    while (place + step <= end) and times[place + step - 1] <= latest:
        place += step
        step <<= 1
    size = smaller(step, end - place)
    while size > FANOUT:
        half = size >> 1
        place = moved(place, half, times[place + half - 1], latest)
        size -= half
    bits = up_to_bits(times_at + 8 * place, latest) & ((i64(1) << size) - 1)
    return place + lowest_bit(~bits)


@njit(**INNER_OPTIONS)
def first_place(words, start, end):
    """Return the place behind the last known time of the first row of a block."""
    scratch, times = pointer_int64(words[TABLE_SCRATCH]), pointer_int64(words[TABLE_LEVELS])[0]
    first, place = scratch[LATEST], start
    if (scratch[HINT_START] == start) & (scratch[HINT_LATEST] <= first):
        place = smaller(larger(scratch[HINT_PLACE], start), end)
    return search_from(times, place, end, first)


@njit(**INNER_OPTIONS)
def are_dense(words, n, place, end):
    """Return whether there are few times between the first and the last of n rows.

    With 3 times for each 2 rows, merging takes about as long as searching for each row.
    """
    scratch, times = pointer_int64(words[TABLE_SCRATCH]), pointer_int64(words[TABLE_LEVELS])[0]
    few = n + (n >> 1)
    return (end - place <= few) or pointer_int64(times)[place + few] > scratch[LATEST + n - 1]


@njit(**INNER_OPTIONS)
def write_tops(words, n):
    """Write the last of each 16 rows in ascending order; behind the last, the highest value."""
    scratch = pointer_int64(words[TABLE_SCRATCH])
    for i in range(n, BLOCK):
        scratch[LATEST + i] = HIGHEST
    for group in range(FANOUT):
        scratch[TOPS + group] = scratch[LATEST + STRIDE * group + STRIDE - 1]


@njit(**INNER_OPTIONS)
def rows_before(words, n, time):
    """Return the number of rows that only know times before a given one, for ascending rows."""
    scratch = words[TABLE_SCRATCH]
    group = popcount(below_bits(scratch + 8 * TOPS, time))
    at = scratch + 8 * (LATEST + STRIDE * group)
    inside = popcount(below_bits(at, time)) + popcount(below_bits(at + 8 * FANOUT, time))
    return smaller(STRIDE * group + inside, n)


@njit(**INNER_OPTIONS)
def store16(address, value):
    """Write a word 16 times from an address on."""
    store8(address, value)
    store8(address + 8 * FANOUT, value)


@njit(**SEPARATE_OPTIONS)
def merge(words, n, place, end):
    """Write the places of ascending rows, from the place of the first on; up to 15 words more.

    The number of rows before each time is found independently of the other times.
    """
    places_at, i = words[TABLE_SCRATCH] + 8 * PLACES, i64(0)
    times = pointer_int64(pointer_int64(words[TABLE_LEVELS])[0])
    write_tops(words, n)
    while True:
        stop = n
        if place < end:
            stop = rows_before(words, n, times[place])
        store16(places_at + 8 * i, place)
        for j in range(i + STRIDE, stop, STRIDE):
            store16(places_at + 8 * j, place)
        if stop == n:
            return
        i, place = stop, place + 1


@njit(**SEPARATE_OPTIONS)
def merge_rows(words, row, n, place, end):
    """Write the results of ascending rows that all have one; up to 15 words more.

    The result is the place of the last row.
    """
    found_at, i = words[TABLE_FOUND] + 8 * row, i64(0)
    times = pointer_int64(pointer_int64(words[TABLE_LEVELS])[0])
    rows = pointer_int32(words[TABLE_ROWS])
    write_tops(words, n)
    while True:
        stop, number = n, i64(rows[place - 1])
        if place < end:
            stop = rows_before(words, n, times[place])
        store16(found_at + 8 * i, number)
        for j in range(i + STRIDE, stop, STRIDE):
            store16(found_at + 8 * j, number)
        if stop == n:
            return place
        i, place = stop, place + 1


@njit(**SEPARATE_OPTIONS)
def bounds_nearby(words, n, start, end):
    """Return bounds of the places of rows in any order, near the previous row's; -1 for none.

    After a failure, the next blocks are not tested.
    """
    scratch, times = pointer_int64(words[TABLE_SCRATCH]), pointer_int64(words[TABLE_LEVELS])[0]
    if (scratch[HINT_START] != start) | (scratch[HINT_SKIPS] > 0):
        scratch[HINT_SKIPS] = larger(scratch[HINT_SKIPS] - 1, i64(0))
        return i64(-1), i64(-1)
    lowest, highest = scratch[LATEST], scratch[LATEST]
    for i in range(n):
        lowest = smaller(lowest, scratch[LATEST + i])
        highest = larger(highest, scratch[LATEST + i])
    place = smaller(scratch[HINT_PLACE], end)  # an empty run begins where the next one does
    low, high = larger(place - NEIGHBOURS, start), smaller(place + NEIGHBOURS, end)
    is_above = (low == start) or pointer_int64(times)[low - 1] <= lowest
    if is_above and ((high == end) or pointer_int64(times)[high] > highest):
        return low, high
    scratch[HINT_SKIPS] = SKIPS
    return i64(-1), i64(-1)
