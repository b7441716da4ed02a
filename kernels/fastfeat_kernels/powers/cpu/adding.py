# pyright: basic
"""Powers of a value, exact, added to sums of limbs or taken from them."""

from __future__ import annotations

from llvmlite import ir
from numba import njit, types

from fastfeat_kernels.blocks import HIGHEST, INFINITE
from fastfeat_kernels.digits import LOW, carried_limbs, clear
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
from fastfeat_kernels.powers.layout import KURTOSIS, N_LIMBS, SUMS

i64 = types.int64
BITS = (128, 192, 256)  # of the powers of 64 bits
FIRST, SECOND, THIRD, FOURTH = (8 * start for start in SUMS)


@intrinsic
def powers_of(typingctx, magnitude):
    """Return square, cube and fourth power of 64 bits without a sign, in 2, 3 and 4 words."""

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


@njit(**INNER_OPTIONS)
def add_word(limbs, at, shift, word, sign):
    """Add sign * word * 2**shift to three limbs, a word of 64 bits without a sign."""
    low, high = (word & LOW) << shift, shift_logical(word, i64(32)) << shift
    limbs[at] += sign * (low & LOW)
    limbs[at + 1] += sign * (shift_logical(low, i64(32)) + (high & LOW))
    limbs[at + 2] += sign * shift_logical(high, i64(32))


@njit(**INNER_OPTIONS)
def add_powers(sums_at, shape, magnitude, place, value_sign, sign):
    """Add the powers of value_sign * magnitude * 2**place units, or take them where sign is -1.

    Args:
        sums_at: address of the limbs.
        shape: of skewness there is no fourth power.
        magnitude: of 64 bits without a sign.
        place: from 0 on; that of the value, times which those of its powers are.
        value_sign: 1 or -1.
        sign: the same.
    """
    q0, q1, c0, c1, c2, f0, f1, f2, f3 = powers_of(magnitude)
    odd = sign * value_sign
    add_word(pointer_int64(sums_at + FIRST), place >> 5, place & 31, magnitude, odd)
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
def reach_of(words, first, end):
    """Return the lowest and the highest place of some finite floats, and how many are infinite."""
    lowest, highest, n_infinite = i64(2046), i64(0), i64(0)
    for at in range(first, end):
        size = words[at] & HIGHEST
        n_infinite += i64(size == INFINITE)
        if (size != 0) & (size < INFINITE):
            place = larger(size >> 52, i64(1)) - 1
            lowest, highest = smaller(lowest, place), larger(highest, place)
    return smaller(lowest, highest), highest, n_infinite


@njit(**INNER_OPTIONS)
def limbs_reached(lowest, highest):
    """Return the first limb of the first power between some places, and how many there are.

    Of the k-th power they are k times these: room for values of 64 bits, and for 2**32 of them.
    """
    first = lowest >> 5
    return first, ((highest + 159) >> 5) - first


@njit(**SEPARATE_OPTIONS)
def clear_sums(sums_at, lowest, highest):
    """Begin with no values, of which all are between some places."""
    first, n = limbs_reached(lowest, highest)
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
def carry_reached(sums_at, lowest, highest):
    """Carry in all sums of values between some places."""
    first, n = limbs_reached(lowest, highest)
    carried_limbs(pointer_int64(sums_at + FIRST + 8 * first), n)
    carried_limbs(pointer_int64(sums_at + SECOND + 16 * first), 2 * n)
    carried_limbs(pointer_int64(sums_at + THIRD + 24 * first), 3 * n)
    carried_limbs(pointer_int64(sums_at + FOURTH + 32 * first), 4 * n)
