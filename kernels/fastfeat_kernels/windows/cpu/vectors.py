# pyright: basic
"""Steps over several words at once, as LLVM vectors, and integers of 192 bits."""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core.cgutils import get_or_insert_function

from fastfeat_kernels.grouped.cpu.vectors import load_line, store_line, turned
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


# x + y, x - y and x * y modulo 2**64. Numba tells LLVM of its own that they never leave int64.
add_wrapping, subtract_wrapping, multiply_wrapping = map(_wrapping, ("add", "sub", "mul"))


def _store_past_cache(builder, line, address):
    """Write a whole cache line by a nontemporal store: it is neither read before nor kept."""
    store = builder.store(line, builder.inttoptr(address, line.type.as_pointer()))
    store.align = 8 * STEP
    store.set_metadata("nontemporal", builder.module.add_metadata([I32(1)]))


def _word(builder, address, shape=I64):
    found = builder.load(builder.inttoptr(address, shape.as_pointer()), typ=shape)
    found.align = shape.width // 8
    return found


def _row_storer(n_words: int):
    write = _store_past_cache if n_words == STEP else store_line

    @intrinsic
    def store_turned(typingctx, pieces, n_bits, line_bytes, skipped, rows, source, n_stride_bytes):
        def generate(context, builder, signature, args):
            pieces, n_bits, line_bytes, skipped, rows, source, stride = args
            low = builder.sub(builder.shl(I64(1), n_bits), I64(1))
            lines = [
                load_line(builder, builder.add(source, builder.mul(stride, I64(k))), n_words)
                for k in range(n_words)
            ]
            for k, line in enumerate(turned(builder, lines)):
                row = builder.zext(_word(builder, builder.add(rows, I64(4 * k)), I32), I64)
                piece = builder.shl(builder.lshr(row, n_bits), I64(3))
                offset = builder.add(builder.mul(builder.and_(row, low), line_bytes), skipped)
                start = _word(builder, builder.add(pieces, piece))
                write(builder, line, builder.add(start, offset))
            return context.get_dummy_value()

        return types.void(*[types.int64] * 7), generate

    return store_turned


def _joined(builder, first, second):
    """Return two vectors joined into one."""
    order = ir.Constant(ir.VectorType(I32, STEP), list(range(STEP)))
    return builder.shuffle_vector(first, second, order)


def _are_numbers(builder, line):
    """Return a bit for each float that is not NaN."""
    highest, infinite = (
        ir.Constant(line.type, [bits] * STEP) for bits in ((1 << 63) - 1, 0x7FF << 52)
    )
    found = builder.icmp_unsigned("<=", builder.and_(line, highest), infinite)
    return builder.bitcast(found, ir.IntType(STEP))


def _row_loader(n_words: int):
    @intrinsic
    def load_turned(typingctx, places, skipped, targets, bitmaps, offset):
        def generate(context, builder, signature, args):
            places, skipped, targets, bitmaps, offset = args
            starts = [_word(builder, builder.add(places, I64(8 * k))) for k in range(STEP)]
            lines = [load_line(builder, builder.add(at, skipped), n_words) for at in starts]
            columns = turned(builder, lines[:n_words])
            if n_words < STEP:
                rest = turned(builder, lines[n_words:])
                columns = [_joined(builder, *pair) for pair in zip(columns, rest, strict=True)]
            for k, column in enumerate(columns):
                target = _word(builder, builder.add(targets, I64(8 * k)))
                with builder.if_then(builder.icmp_unsigned("!=", target, I64(0)), likely=True):
                    _store_past_cache(builder, column, builder.add(target, offset))
                bitmap = _word(builder, builder.add(bitmaps, I64(8 * k)))
                with builder.if_then(builder.icmp_unsigned("!=", bitmap, I64(0)), likely=True):
                    byte = builder.add(bitmap, builder.lshr(offset, I64(6)))
                    bits = _are_numbers(builder, column)
                    builder.store(bits, builder.inttoptr(byte, bits.type.as_pointer()))
            return context.get_dummy_value()

        return types.void(*[types.int64] * 5), generate

    return load_turned


# `store_turned8(pieces, n_bits, n, skipped, rows, source, stride)`: from 8 columns of words that
# are `stride` bytes apart, write 8 lines of 8 words, each some bytes behind the place of the row
# given by an int32 in `rows`. A piece has 1 << n_bits places of n bytes; `pieces` is the array
# of their addresses, each aligned to a cache line.
store_turned4, store_turned8 = _row_storer(4), _row_storer(8)

# `load_turned8(places, skipped, targets, bitmaps, offset)`: read 8 lines of 8 words, some bytes
# behind 8 addresses, and write 8 columns, each `offset` bytes behind the address in `targets`,
# unless that is 0; these are cache lines, too. A byte for each column goes to its bitmap,
# unless that is 0: bits of words that are not NaN. `load_turned4` reads 8 lines of 4 words.
load_turned4, load_turned8 = _row_loader(4), _row_loader(8)


@intrinsic
def store_words(typingctx, target, source):
    """Write 8 words to a line, past the cache; return a bit for each that is not NaN."""

    def generate(context, builder, signature, args):
        line = load_line(builder, args[1], STEP)
        _store_past_cache(builder, line, args[0])
        return builder.zext(_are_numbers(builder, line), I64)

    return types.int64(types.int64, types.int64), generate


@intrinsic
def add_bits(typingctx, address, bits):
    """Set bits of a byte by an atomic or: other threads may set its other bits."""

    def generate(context, builder, signature, args):
        byte = builder.trunc(args[1], ir.IntType(8))
        pointer = builder.inttoptr(args[0], byte.type.as_pointer())
        builder.atomic_rmw("or", pointer, byte, "monotonic")
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), generate


@intrinsic
def fence(typingctx):
    """Make nontemporal stores visible to other threads."""

    def generate(context, builder, signature, args):
        builder.fence("seq_cst")
        return context.get_dummy_value()

    return types.void(), generate
