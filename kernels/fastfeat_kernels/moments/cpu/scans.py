# pyright: basic
"""The first pass over a block of floats: the range of its values and magnitudes."""

from __future__ import annotations

from llvmlite import ir
from numba import njit, types
from numba.core.cgutils import get_or_insert_function

from fastfeat_kernels.blocks import HIGHEST, LOWEST
from fastfeat_kernels.intrinsics import (
    F64,
    I1,
    I64,
    INNER_OPTIONS,
    LANES,
    bits_of,
    intrinsic,
    larger,
    less_unsigned,
    pointer_float64,
    popcount,
    read_bits,
    select,
    smaller,
)

INTEGERS, FLOATS, MASK = (ir.VectorType(element, LANES) for element in (I64, F64, I1))


def _splat(value: int):
    return ir.Constant(INTEGERS, [value] * LANES)


def _reduce(builder, name: str, vector):
    shape = ir.FunctionType(I64, [INTEGERS])
    symbol = f"llvm.vector.reduce.{name}.v{LANES}i64"
    return builder.call(get_or_insert_function(builder.module, shape, symbol), [vector])


@intrinsic
def scan_lanes(typingctx, target, source, bits):
    """Copy 64 floats, 0.0 where the bit is 0; all are read, whatever their bits.

    It returns the smallest and greatest sortable key of present floats, and their smallest nonzero
    magnitude, less 1, as unsigned.
    """
    pointer = types.CPointer(types.float64)
    signature = types.UniTuple(types.int64, 3)(pointer, pointer, types.int64)

    def generate(context, builder, signature, args):
        target, source, bits = args
        mask = builder.bitcast(bits, MASK)
        read = builder.load(builder.bitcast(source, FLOATS.as_pointer()), typ=FLOATS)
        read.align = 8
        kept = builder.select(mask, read, ir.Constant(FLOATS, [0.0] * LANES))
        builder.store(kept, builder.bitcast(target, FLOATS.as_pointer())).align = 8
        word = builder.bitcast(kept, INTEGERS)
        sign = builder.ashr(word, _splat(63))
        key = builder.xor(word, builder.lshr(sign, _splat(1)))
        size = builder.sub(builder.and_(word, _splat(2**63 - 1)), _splat(1))  # 0: the greatest
        found = [
            _reduce(builder, "smin", builder.select(mask, key, _splat(2**63 - 1))),
            _reduce(builder, "smax", builder.select(mask, key, _splat(-(2**63)))),
            _reduce(builder, "umin", size),
        ]
        return context.make_tuple(builder, signature.return_type, found)

    return signature, generate


i64 = types.int64

INFINITE = 0x7FF << 52  # bits, and sortable key, of +inf

SMALLEST_INFINITE = -INFINITE - 1  # sortable key of -inf


@njit(**INNER_OPTIONS)
def scan(address, n):
    """Return smallest and greatest sortable key of n floats, and least nonzero magnitude - 1."""
    x = pointer_float64(address)
    low, high, least = i64(HIGHEST), LOWEST, i64(-1)
    for i in range(n):
        bits = bits_of(x[i])
        key = bits ^ ((bits >> 63) & HIGHEST)
        low, high = smaller(low, key), larger(high, key)
        size = (bits & HIGHEST) - 1  # 0 becomes the greatest unsigned
        least = select(less_unsigned(size, least), size, least)
    return low, high, least


@njit(**INNER_OPTIONS)
def scan_present(target, address, validity, bit, n):
    """Copy n floats, a multiple of 64, 0 for missing; return like `scan_and_clean`."""
    low, high, least, count = i64(HIGHEST), LOWEST, i64(-1), i64(0)
    for i in range(0, n, 64):
        word, at = read_bits(validity, bit + i, i64(64)), i << 3
        x, y = pointer_float64(address + at), pointer_float64(target + at)
        low_here, high_here, least_here = scan_lanes(y, x, word)
        low, high = smaller(low, low_here), larger(high, high_here)
        least = select(less_unsigned(least_here, least), least_here, least)
        count += popcount(word)
    return low, high, least, count


@njit(**INNER_OPTIONS)
def scan_and_clean(target, address, n):
    """Copy n floats, 0 for NaN and infinity; return the `scan` of all but NaN, and their count."""
    x, y = pointer_float64(address), pointer_float64(target)
    low, high, least, count = i64(HIGHEST), LOWEST, i64(-1), i64(0)
    for i in range(n):
        value = x[i]
        bits = bits_of(value)
        size = bits & HIGHEST
        key = bits ^ ((bits >> 63) & HIGHEST)
        present, finite = size <= INFINITE, size < INFINITE
        low = smaller(low, select(present, key, i64(HIGHEST)))
        high = larger(high, select(present, key, LOWEST))
        size = select(finite, size, i64(0)) - 1
        least = select(less_unsigned(size, least), size, least)
        count += i64(present)
        y[i] = select(finite, value, 0.0)
    return low, high, least, count


@njit(**INNER_OPTIONS)
def magnitude_of_keys(low, high):
    """Return the bits of the greatest magnitude between two sortable keys."""
    return larger(
        (low ^ ((low >> 63) & HIGHEST)) & HIGHEST, (high ^ ((high >> 63) & HIGHEST)) & HIGHEST
    )
