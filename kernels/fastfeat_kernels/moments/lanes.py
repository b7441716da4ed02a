# pyright: basic
"""One pass over 64 floats and their validity bits, written in LLVM's own vectors.

LLVM does not see that 64 bits of a word are a mask of 64 lanes; said so, a missing value costs
nothing more than a masked instruction.
"""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core.cgutils import get_or_insert_function

from fastfeat_kernels.intrinsics import F64, I1, I64, LANES, intrinsic

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

    Returns least and greatest sortable key of those present, and their least magnitude but 0,
    less 1, as unsigned.
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
        size = builder.sub(builder.and_(word, _splat(2**63 - 1)), _splat(1))  # of 0: the greatest
        found = [
            _reduce(builder, "smin", builder.select(mask, key, _splat(2**63 - 1))),
            _reduce(builder, "smax", builder.select(mask, key, _splat(-(2**63)))),
            _reduce(builder, "umin", size),
        ]
        return context.make_tuple(builder, signature.return_type, found)

    return signature, generate
