# pyright: basic
"""Exact powers of a value, added to sums of limbs or subtracted from them."""

from __future__ import annotations

from llvmlite import ir
from numba import njit, types

from fastfeat_kernels.blocks import HIGHEST, INFINITE
from fastfeat_kernels.column import FLOAT
from fastfeat_kernels.digits import LOW, carried_limbs, clear, parts_of
from fastfeat_kernels.intrinsics import (
    I64,
    INNER_OPTIONS,
    SEPARATE_OPTIONS,
    intrinsic,
    larger,
    pointer_int64,
    shift_logical,
    smaller,
)
from fastfeat_kernels.powers import (
    BUCKET_WORDS,
    FLOAT_BITS,
    KURTOSIS,
    N_BUCKET_WORDS,
    N_BUCKETS,
    N_LIMBS,
    SUMS,
)

i64 = types.int64
BITS = (128, 192, 256)  # bits of the powers of 64 bits
SMALL = 1 << 15  # the fourth power of a smaller value is one word
FIRST, SECOND, THIRD, FOURTH = (8 * start for start in SUMS)


@intrinsic
def powers_of(typingctx, magnitude):
    """Return square, cube and fourth power of an unsigned 64-bit integer, in 2, 3 and 4 words."""

    def generate(context, builder, signature, args):
        square = builder.zext(args[0], ir.IntType(BITS[0]))
        square = builder.mul(square, square)
        cube, fourth = (builder.zext(square, ir.IntType(bits)) for bits in BITS[1:])
        cube = builder.mul(cube, builder.zext(args[0], cube.type))
        fourth = builder.mul(fourth, fourth)
        words = [
            builder.trunc(builder.lshr(power, power.type(64 * k)), I64)
            for power in (square, cube, fourth)
            for k in range(power.type.width // 64)
        ]
        return context.make_tuple(builder, signature.return_type, words)

    return types.UniTuple(types.int64, 9)(types.int64), generate


@intrinsic
def add_to_bucket(typingctx, bucket, magnitude, sign):
    """Add the powers of an unsigned 64-bit magnitude, odd ones with a sign, to a bucket."""

    def generate(context, builder, signature, args):
        types_of_sums = [ir.IntType(64 * n) for n in BUCKET_WORDS]
        first, second, third, fourth = types_of_sums
        square = builder.zext(args[1], ir.IntType(BITS[0]))
        square = builder.mul(square, square)
        cube, power = (builder.zext(square, ir.IntType(bits)) for bits in BITS[1:])
        cube = builder.mul(cube, builder.zext(args[1], cube.type))
        power = builder.mul(power, power)
        negative = builder.ashr(args[2], I64(63))
        added = [builder.zext(args[1], first), builder.zext(square, second)]
        added += [builder.zext(cube, third), builder.zext(power, fourth)]
        for k in (0, 2):
            mask = builder.sext(negative, added[k].type)
            added[k] = builder.sub(builder.xor(added[k], mask), mask)
        start = 0
        for kind, value, n in zip(types_of_sums, added, BUCKET_WORDS, strict=True):
            at = builder.add(args[0], I64(8 * start))
            pointer = builder.inttoptr(at, kind.as_pointer())
            total = builder.load(pointer, typ=kind)
            total.align = 8
            builder.store(builder.add(total, value), pointer).align = 8
            start += n
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), generate


@njit(**INNER_OPTIONS)
def add_word(limbs, at, shift, word, sign):
    """Add sign * word * 2**shift to three limbs, for an unsigned 64-bit word."""
    low, high = (word & LOW) << shift, shift_logical(word, i64(32)) << shift
    limbs[at] += sign * (low & LOW)
    limbs[at + 1] += sign * (shift_logical(low, i64(32)) + (high & LOW))
    limbs[at + 2] += sign * shift_logical(high, i64(32))


@njit(**INNER_OPTIONS)
def add_powers(sums_at, shape, magnitude, place, value_sign, sign):
    """Add the powers of value_sign * magnitude * 2**place units, or subtract them if sign is -1."""
    odd = sign * value_sign
    add_word(pointer_int64(sums_at + FIRST), place >> 5, place & 31, magnitude, odd)
    if (place == 0) & (magnitude >= 0) & (magnitude < SMALL):
        square = magnitude * magnitude
        add_word(pointer_int64(sums_at + SECOND), i64(0), i64(0), square, sign)
        add_word(pointer_int64(sums_at + THIRD), i64(0), i64(0), square * magnitude, odd)
        add_word(pointer_int64(sums_at + FOURTH), i64(0), i64(0), square * square, sign)
        return
    q0, q1, c0, c1, c2, f0, f1, f2, f3 = powers_of(magnitude)
    limbs, at, shift = pointer_int64(sums_at + SECOND), (2 * place) >> 5, (2 * place) & 31
    add_word(limbs, at, shift, q0, sign)
    add_word(limbs, at + 2, shift, q1, sign)
    limbs, at, shift = pointer_int64(sums_at + THIRD), (3 * place) >> 5, (3 * place) & 31
    add_word(limbs, at, shift, c0, odd)
    add_word(limbs, at + 2, shift, c1, odd)
    add_word(limbs, at + 4, shift, c2, odd)
    if shape == KURTOSIS:
        limbs, at, shift = pointer_int64(sums_at + FOURTH), (4 * place) >> 5, (4 * place) & 31
        add_word(limbs, at, shift, f0, sign)
        add_word(limbs, at + 2, shift, f1, sign)
        add_word(limbs, at + 4, shift, f2, sign)
        add_word(limbs, at + 6, shift, f3, sign)


@njit(**SEPARATE_OPTIONS)
def add_words(limbs_at, words_at, n, place):
    """Add a signed integer of n words, times 2**place, to limbs; clear it."""
    limbs, words = pointer_int64(limbs_at), pointer_int64(words_at)
    at, shift = place >> 5, place & 31
    for k in range(n):
        word, sign = words[k], i64(1)
        words[k] = i64(0)
        if (k == n - 1) & (word < 0):
            word, sign = -word, i64(-1)
        add_word(limbs, at + 2 * k, shift, word, sign)


@njit(**SEPARATE_OPTIONS)
def empty_buckets(buckets_at, sums_at):
    """Add the sums of all buckets to limbs, and carry."""
    for place in range(N_BUCKETS):
        bucket = buckets_at + 8 * N_BUCKET_WORDS * place
        words = pointer_int64(bucket)
        if (words[2] | words[3] | words[4]) != 0:  # squares
            add_words(sums_at + FIRST, bucket, i64(2), place)
            add_words(sums_at + SECOND, bucket + 16, i64(3), 2 * place)
            add_words(sums_at + THIRD, bucket + 40, i64(4), 3 * place)
            add_words(sums_at + FOURTH, bucket + 72, i64(5), 4 * place)
    carry_sums(sums_at)


@njit(**SEPARATE_OPTIONS)
def reach_of(kind, words, first, end):
    """Return the lowest bit of some values, one above the highest, and the number of infinite ones.

    Bits of floats count from the lowest bit of any float; NaN has none.
    """
    lowest, top, n_infinite = i64(0), i64(0), i64(0)
    if kind == FLOAT:
        lowest = i64(2046)
        for at in range(first, end):
            size = words[at] & HIGHEST
            n_infinite += i64(size == INFINITE)
            if (size != 0) & (size < INFINITE):
                place = larger(size >> 52, i64(1)) - 1
                lowest, top = smaller(lowest, place), larger(top, place + FLOAT_BITS)
        return smaller(lowest, top), top, n_infinite
    found = i64(0)
    for at in range(first, end):
        magnitude, _, _ = parts_of(kind, words[at])
        found |= magnitude
    while found != 0:
        found = shift_logical(found, i64(1))
        top += 1
    return lowest, top, n_infinite


@njit(**INNER_OPTIONS)
def limbs_reached(lowest, top):
    """Return the first limb, and the number of limbs, of the sum of values in a range of bits.

    For the k-th power both are k times as large. There is room for 2**31 values and their shape.
    """
    first = lowest >> 5
    return first, ((top + 66) >> 5) - first


@njit(**SEPARATE_OPTIONS)
def clear_sums(sums_at, lowest, top):
    """Reset the sums for values in a range of bits."""
    first, n = limbs_reached(lowest, top)
    clear(pointer_int64(sums_at + FIRST + 8 * first), n)
    clear(pointer_int64(sums_at + SECOND + 16 * first), 2 * n)
    clear(pointer_int64(sums_at + THIRD + 24 * first), 3 * n)
    clear(pointer_int64(sums_at + FOURTH + 32 * first), 4 * n)


@njit(**SEPARATE_OPTIONS)
def carry_sums(sums_at):
    """Carry in all sums."""
    carried_limbs(pointer_int64(sums_at + FIRST), i64(N_LIMBS[0]))
    carried_limbs(pointer_int64(sums_at + SECOND), i64(N_LIMBS[1]))
    carried_limbs(pointer_int64(sums_at + THIRD), i64(N_LIMBS[2]))
    carried_limbs(pointer_int64(sums_at + FOURTH), i64(N_LIMBS[3]))


@njit(**SEPARATE_OPTIONS)
def carry_reached(sums_at, lowest, top):
    """Carry in all sums of values in a range of bits."""
    first, n = limbs_reached(lowest, top)
    carried_limbs(pointer_int64(sums_at + FIRST + 8 * first), n)
    carried_limbs(pointer_int64(sums_at + SECOND + 16 * first), 2 * n)
    carried_limbs(pointer_int64(sums_at + THIRD + 24 * first), 3 * n)
    carried_limbs(pointer_int64(sums_at + FOURTH + 32 * first), 4 * n)
