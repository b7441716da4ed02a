# pyright: basic
"""Eight lists at once, each in a lane of a vector: step by step through their elements."""

from __future__ import annotations

from llvmlite import ir
from numba import types

from fastfeat_kernels.intrinsics import F64, I1, I32, I64, intrinsic

LANES = 8
INTEGERS, FLOATS, FLAGS = (ir.VectorType(kind, LANES) for kind in (I64, F64, I1))
i64 = types.int64


def _all(kind, value):
    return ir.Constant(kind, [value] * LANES)


def _splat(builder, value):
    first = builder.insert_element(ir.Constant(INTEGERS, ir.Undefined), value, I32(0))
    order = ir.Constant(ir.VectorType(I32, LANES), [0] * LANES)
    return builder.shuffle_vector(first, ir.Constant(INTEGERS, ir.Undefined), order)


def _load(builder, address, kind):
    read = builder.load(builder.inttoptr(address, kind.as_pointer()), typ=kind)
    read.align = 8
    return read


def _store(builder, value, address):
    builder.store(value, builder.inttoptr(address, value.type.as_pointer())).align = 8


def _elements(builder, values, places):
    """Return the words at eight places. The loads are apart: a gather takes no fewer steps."""
    found = ir.Constant(INTEGERS, ir.Undefined)
    for lane in range(LANES):
        place = builder.extract_element(places, I32(lane))
        address = builder.add(values, builder.shl(place, I64(3)))
        word = _load(builder, address, I64)
        found = builder.insert_element(found, word, I32(lane))
    return found


def _reduced(builder, offsets, values, start, step):
    """Return what a step makes of the elements of eight lists, one after the other.

    Args:
        builder: where the code is written.
        offsets: address of the offset of the first list.
        values: address of the elements.
        start: vectors before the first element.
        step: returns them after one more: of them, of the words of the elements, and of which lanes
            have one.
    """
    begins = _load(builder, offsets, INTEGERS)
    lengths = builder.sub(_load(builder, builder.add(offsets, I64(8)), INTEGERS), begins)
    shape = ir.FunctionType(I64, [INTEGERS])
    most = builder.module.declare_intrinsic("llvm.vector.reduce.smax.v8i64", [], shape)
    longest, entry = builder.call(most, [lengths]), builder.block
    loop, done = builder.append_basic_block("elements"), builder.append_basic_block("reduced")
    builder.cbranch(builder.icmp_signed(">", longest, I64(0)), loop, done)
    builder.position_at_end(loop)
    at, states = builder.phi(I64), [builder.phi(vector.type) for vector in start]
    places = _splat(builder, at)
    inside = builder.icmp_signed("<", places, lengths)
    places = builder.select(inside, builder.add(begins, places), _all(INTEGERS, 0))
    after = step(builder, states, _elements(builder, values, places), inside)
    following = builder.add(at, I64(1))
    at.add_incoming(I64(0), entry)
    at.add_incoming(following, loop)
    builder.cbranch(builder.icmp_signed("<", following, longest), loop, done)
    builder.position_at_end(done)
    found = [builder.phi(vector.type) for vector in start]
    for state, end, before, new in zip(states, found, start, after, strict=True):
        state.add_incoming(before, entry)
        state.add_incoming(new, loop)
        end.add_incoming(before, entry)
        end.add_incoming(new, loop)
    return found


def _two_sum(builder, x, y):
    """Return x + y rounded, and what rounding left out."""
    total = builder.fadd(x, y)
    part = builder.fsub(total, x)
    left = builder.fsub(x, builder.fsub(total, part))
    return total, builder.fadd(left, builder.fsub(y, part))


def _add_float(builder, states, words, inside):
    high, low, counts, inexact = states
    numbers = builder.bitcast(words, FLOATS)
    known = builder.and_(inside, builder.fcmp_ordered("ord", numbers, numbers))
    numbers = builder.select(known, numbers, _all(FLOATS, 0.0))
    high, error = _two_sum(builder, high, numbers)
    low, rest = _two_sum(builder, low, error)
    counts = builder.add(counts, builder.zext(known, INTEGERS))
    # NaN where something is not finite
    lost = builder.fcmp_unordered("!=", rest, _all(FLOATS, 0.0))
    return high, low, counts, builder.or_(inexact, lost)


@intrinsic
def sum_floats(typingctx, offsets, values, sums, counts, left):
    """Write sum, count and whether it is left, of eight lists of floats; all are addresses."""

    def generate(context, builder, signature, args):
        start = [_all(FLOATS, 0.0), _all(FLOATS, 0.0), _all(INTEGERS, 0), _all(FLAGS, 0)]
        high, low, n_known, inexact = _reduced(builder, args[0], args[1], start, _add_float)
        _store(builder, builder.fadd(high, low), args[2])
        _store(builder, n_known, args[3])
        _store(builder, builder.zext(inexact, INTEGERS), args[4])
        return context.get_dummy_value()

    return types.void(i64, i64, i64, i64, i64), generate


def _add_halves(builder, states, words, inside):
    words = builder.select(inside, words, _all(INTEGERS, 0))
    top = builder.add(states[0], builder.ashr(words, _all(INTEGERS, 32)))
    return top, builder.add(states[1], builder.and_(words, _all(INTEGERS, 0xFFFFFFFF)))


@intrinsic
def sum_integers(typingctx, offsets, values, sums, left):
    """Write the sum, and whether int64 does not hold it, of eight lists; all are addresses.

    The halves of 32 bits are added up apart: 2**31 of them fit.
    """

    def generate(context, builder, signature, args):
        start = [_all(INTEGERS, 0), _all(INTEGERS, 0)]
        top, low = _reduced(builder, args[0], args[1], start, _add_halves)
        top = builder.add(top, builder.ashr(low, _all(INTEGERS, 32)))
        total = builder.shl(top, _all(INTEGERS, 32))
        total = builder.or_(total, builder.and_(low, _all(INTEGERS, 0xFFFFFFFF)))
        large = builder.icmp_signed("!=", builder.ashr(total, _all(INTEGERS, 32)), top)
        _store(builder, total, args[2])
        _store(builder, builder.zext(large, INTEGERS), args[3])
        return context.get_dummy_value()

    return types.void(i64, i64, i64, i64), generate


INFINITE = 0x7FF << 52


@intrinsic
def least_words(typingctx, offsets, values, least, counts, magnitude, flip):
    """Write the word that is least, and how many there are, of eight lists; all are addresses.

    Args:
        typingctx: Numba's.
        offsets: of the lists.
        values: words of 64 bits.
        least: output.
        counts: output.
        magnitude: of floats all bits but the sign: they are in the total order, without NaN; else
            0.
        flip: the bits that change where words are compared as signed: the sign of unsigned ones,
            all of them where the greatest is wanted.
    """

    def generate(context, builder, signature, args):
        magnitude, flip = _splat(builder, args[4]), _splat(builder, args[5])

        def order(words):
            bent = builder.and_(builder.ashr(words, _all(INTEGERS, 63)), magnitude)
            return builder.xor(words, bent)

        def step(builder, states, words, inside):
            bits = builder.and_(words, magnitude)
            known = builder.icmp_signed("<=", bits, _all(INTEGERS, INFINITE))
            known = builder.and_(inside, known)
            keys = builder.xor(order(words), flip)
            smaller = builder.and_(known, builder.icmp_signed("<", keys, states[0]))
            n_known = builder.add(states[1], builder.zext(known, INTEGERS))
            return builder.select(smaller, keys, states[0]), n_known

        start = [_all(INTEGERS, 2**63 - 1), _all(INTEGERS, 0)]
        keys, n_known = _reduced(builder, args[0], args[1], start, step)
        found = order(builder.xor(keys, flip))
        none = builder.icmp_signed("==", n_known, _all(INTEGERS, 0))
        _store(builder, builder.select(none, _all(INTEGERS, 0), found), args[2])
        _store(builder, n_known, args[3])
        return context.get_dummy_value()

    return types.void(i64, i64, i64, i64, i64, i64), generate
