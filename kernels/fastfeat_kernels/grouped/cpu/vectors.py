# pyright: basic
"""Lines of words as LLVM vectors: transposed from columns to rows, and added to memory at once."""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core.cgutils import get_or_insert_function

from fastfeat_kernels.intrinsics import I32, I64, intrinsic


def _at(builder, address, vector):
    return builder.inttoptr(address, vector.as_pointer())


def _load(builder, address, vector):
    found = builder.load(_at(builder, address, vector), typ=vector)
    found.align = 8
    return found


def _store(builder, value, address):
    builder.store(value, _at(builder, address, value.type)).align = 8


def _line_adder(n_words: int):
    @intrinsic
    def add_line(typingctx, target, source):
        def generate(context, builder, signature, args):
            vector = ir.VectorType(I64, n_words)
            old, new = (_load(builder, address, vector) for address in args)
            _store(builder, builder.add(old, new), args[0])
            return context.get_dummy_value()

        return types.void(types.int64, types.int64), generate

    return add_line


def _half_moves(n: int, step: int) -> tuple[list[int], list[int]]:
    """Return the lanes that each of two rows, `step` apart, takes in a step of a transposition."""
    first = [k if not k & step else n + (k ^ step) for k in range(n)]
    return first, [k | step if not k & step else n + k for k in range(n)]


def _turned(builder, source, stride, n_words: int):
    """Return rows in registers, from columns `stride` bytes apart."""
    offsets = [builder.mul(stride, I64(k)) for k in range(n_words)]
    return turned(
        builder, [load_line(builder, builder.add(source, offset), n_words) for offset in offsets]
    )


def load_line(builder, address, n_words: int):
    """Return a line of words in a register."""
    return _load(builder, address, ir.VectorType(I64, n_words))


def store_line(builder, line, address):
    """Write a line of words."""
    _store(builder, line, address)


def turned(builder, columns):
    """Return the rows of a square of words, from its columns, in registers."""
    rows, n_words, step = list(columns), len(columns), 1
    order = ir.VectorType(I32, n_words)
    while step < n_words:
        for k in range(n_words):
            if not k & step:
                pair = rows[k], rows[k | step]
                rows[k], rows[k | step] = (
                    builder.shuffle_vector(*pair, ir.Constant(order, lanes))
                    for lanes in _half_moves(n_words, step)
                )
        step *= 2
    return rows


def _turner(n_words: int):
    @intrinsic
    def turn(typingctx, target, target_stride, source, source_stride):
        def generate(context, builder, signature, args):
            target, target_stride, source, stride = args
            for k, row in enumerate(_turned(builder, source, stride, n_words)):
                _store(builder, row, builder.add(target, builder.mul(target_stride, I64(k))))
            return context.get_dummy_value()

        return types.void(*[types.int64] * 4), generate

    return turn


def _turned_adder(n_words: int):
    @intrinsic
    def add_turned(typingctx, target, groups, source, n_stride_bytes):
        def generate(context, builder, signature, args):
            target, groups, source, stride = args
            rows = _turned(builder, source, stride, n_words)
            for k, row in enumerate(rows):
                place = _at(builder, builder.add(groups, I64(4 * k)), I32)
                group = builder.load(place, typ=I32)
                group.align = 4
                offset = builder.mul(builder.sext(group, I64), I64(8 * n_words))
                address = builder.add(target, offset)
                _store(builder, builder.add(_load(builder, address, row.type), row), address)
            return context.get_dummy_value()

        return types.void(types.int64, types.int64, types.int64, types.int64), generate

    return add_turned


# `add_line8(target, source)`: add 8 words to 8 words. `turn8(target, target_stride, source,
# source_stride)`: write 8 columns of 8 words as 8 lines, or lines as columns; strides are the bytes
# from one to the next.
add_line4, add_line8 = _line_adder(4), _line_adder(8)
turn4, turn8 = _turner(4), _turner(8)

# `add_turned8(target, groups, source, stride)`: turn 8 columns and add each line to the line of its
# group, given by one of 8 int32.
add_turned4, add_turned8 = _turned_adder(4), _turned_adder(8)


@intrinsic
def prefetch(typingctx, address):
    """Prefetch the memory at any address for a write."""

    def generate(context, builder, signature, args):
        pointer = builder.inttoptr(args[0], ir.IntType(8).as_pointer())
        shape = ir.FunctionType(ir.VoidType(), [pointer.type, I32, I32, I32])
        function = get_or_insert_function(builder.module, shape, "llvm.prefetch.p0")
        builder.call(function, [pointer, I32(1), I32(3), I32(1)])
        return context.get_dummy_value()

    return types.void(types.int64), generate
