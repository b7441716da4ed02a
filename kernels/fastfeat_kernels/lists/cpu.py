# pyright: basic
"""The kernels of lists on the CPU: one pass over the elements, eight lists at once.

If the number of rows is not a multiple of eight, the last eight rows are computed together, some of
them twice.
"""

from __future__ import annotations

from llvmlite import ir
from numba import njit, types

from fastfeat_kernels.intrinsics import (
    F64,
    I1,
    I32,
    I64,
    INNER_OPTIONS,
    enter_ieee,
    intrinsic,
    leave_ieee,
    opaque,
    pointer_float64,
    pointer_int32,
    pointer_int64,
    popcount,
    read_bits,
    select,
    smaller,
)
from fastfeat_kernels.lists import (
    COUNTS,
    ENDS_BIT,
    ENDS_BIT_OF_ELEMENTS,
    ENDS_BYTES,
    ENDS_GIVEN,
    ENDS_LENGTHS,
    ENDS_OF_ELEMENTS,
    ENDS_OFFSETS,
    ENDS_VALIDITY,
    FINISH_BIT,
    FINISH_BITS,
    FINISH_COUNTED,
    FINISH_COUNTS,
    FINISH_LEFT,
    FINISH_MEANS,
    FINISH_RESULTS,
    FINISH_VALIDITY,
    FLIP,
    INDEX,
    LEFT,
    MAGNITUDE,
    OFFSETS,
    RESULTS,
    VALUES,
)

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


def _elements(builder, addresses, offset):
    """Return the words at eight addresses, by separate loads: a gather takes no fewer steps."""
    found = ir.Constant(INTEGERS, ir.Undefined)
    for lane, address in enumerate(addresses):
        word = _load(builder, builder.add(address, offset), I64)
        found = builder.insert_element(found, word, I32(lane))
    return found


def _reduced(builder, offsets, values, end, start, step):
    """Return the result of a step for each of eight lists, taken over the elements one by one.

    Every lane reads as many elements as the longest list has. If fewer remain up to the end, a lane
    starts before its list.

    Args:
        builder: Builder of the code.
        offsets: Address of the offset of the first list.
        values: Address of the elements.
        end: Number of elements.
        start: State vectors before the first element.
        step: Function from the state vectors, the words of the elements, and the mask of lanes with
            an element to the next state vectors.
    """
    begins = _load(builder, offsets, INTEGERS)
    lengths = builder.sub(_load(builder, builder.add(offsets, I64(8)), INTEGERS), begins)
    shape = ir.FunctionType(I64, [INTEGERS])
    most = builder.module.declare_intrinsic("llvm.vector.reduce.smax.v8i64", [], shape)
    longest, entry = builder.call(most, [lengths]), builder.block
    latest = _splat(builder, builder.sub(end, longest))
    firsts = builder.select(builder.icmp_signed("<", begins, latest), begins, latest)
    before = builder.sub(begins, firsts)
    addresses = [
        builder.add(values, builder.shl(builder.extract_element(firsts, I32(lane)), I64(3)))
        for lane in range(LANES)
    ]
    loop, done = builder.append_basic_block("elements"), builder.append_basic_block("reduced")
    builder.cbranch(builder.icmp_signed(">", longest, I64(0)), loop, done)
    builder.position_at_end(loop)
    at, states = builder.phi(I64), [builder.phi(vector.type) for vector in start]
    inside = builder.icmp_unsigned("<", builder.sub(_splat(builder, at), before), lengths)
    words = _elements(builder, addresses, builder.shl(at, I64(3)))
    after = step(builder, states, words, inside)
    following = builder.add(at, I64(1))
    at.add_incoming(I64(0), entry)
    at.add_incoming(following, loop)
    builder.cbranch(builder.icmp_signed("<", following, longest), loop, done)
    builder.position_at_end(done)
    found = [builder.phi(vector.type) for vector in start]
    for state, last, old, new in zip(states, found, start, after, strict=True):
        state.add_incoming(old, entry)
        state.add_incoming(new, loop)
        last.add_incoming(old, entry)
        last.add_incoming(new, loop)
    return found


def _two_sum(builder, x, y):
    """Return x + y rounded, and the rounding error."""
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
    # NaN if anything is not finite
    lost = builder.fcmp_unordered("!=", rest, _all(FLOATS, 0.0))
    return high, low, counts, builder.or_(inexact, lost)


@intrinsic
def sum_floats(typingctx, offsets, values, end, sums, counts, left):
    """Write sum, count and left flag of eight lists of floats.

    All arguments are addresses, except `end`, the number of elements.
    """

    def generate(context, builder, signature, args):
        start = [_all(FLOATS, 0.0), _all(FLOATS, 0.0), _all(INTEGERS, 0), _all(FLAGS, 0)]
        high, low, n_known, inexact = _reduced(
            builder, args[0], args[1], args[2], start, _add_float
        )
        _store(builder, builder.fadd(high, low), args[3])
        _store(builder, n_known, args[4])
        _store(builder, builder.zext(inexact, INTEGERS), args[5])
        return context.get_dummy_value()

    return types.void(i64, i64, i64, i64, i64, i64), generate


def _add_halves(builder, states, words, inside):
    words = builder.select(inside, words, _all(INTEGERS, 0))
    top = builder.add(states[0], builder.ashr(words, _all(INTEGERS, 32)))
    return top, builder.add(states[1], builder.and_(words, _all(INTEGERS, 0xFFFFFFFF)))


@intrinsic
def sum_integers(typingctx, offsets, values, end, sums, left):
    """Write the sum and overflow flag of eight lists.

    All arguments are addresses, except `end`, the number of elements. The 32-bit halves are summed
    separately: 2**31 of them fit.
    """

    def generate(context, builder, signature, args):
        start = [_all(INTEGERS, 0), _all(INTEGERS, 0)]
        top, low = _reduced(builder, args[0], args[1], args[2], start, _add_halves)
        top = builder.add(top, builder.ashr(low, _all(INTEGERS, 32)))
        total = builder.shl(top, _all(INTEGERS, 32))
        total = builder.or_(total, builder.and_(low, _all(INTEGERS, 0xFFFFFFFF)))
        large = builder.icmp_signed("!=", builder.ashr(total, _all(INTEGERS, 32)), top)
        _store(builder, total, args[3])
        _store(builder, builder.zext(large, INTEGERS), args[4])
        return context.get_dummy_value()

    return types.void(i64, i64, i64, i64, i64), generate


INFINITE = 0x7FF << 52


@intrinsic
def least_words(typingctx, offsets, values, end, least, counts, magnitude, flip):
    """Write the smallest word, and the number of words, of eight lists.

    Args:
        typingctx: Numba's typing context.
        offsets: Address of the offsets of the lists.
        values: Address of 64-bit words.
        end: Number of words.
        least: Address of the smallest words.
        counts: Address of the counts.
        magnitude: For floats all bits but the sign: they get the total order, without NaN; else 0.
        flip: Bits to flip for a signed comparison: the sign of unsigned words, all bits to find the
            greatest.
    """

    def generate(context, builder, signature, args):
        magnitude, flip = _splat(builder, args[5]), _splat(builder, args[6])

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
        keys, n_known = _reduced(builder, args[0], args[1], args[2], start, step)
        found = order(builder.xor(keys, flip))
        none = builder.icmp_signed("==", n_known, _all(INTEGERS, 0))
        _store(builder, builder.select(none, _all(INTEGERS, 0), found), args[3])
        _store(builder, n_known, args[4])
        return context.get_dummy_value()

    return types.void(i64, i64, i64, i64, i64, i64, i64), generate


@njit(**INNER_OPTIONS)
def at(words, word, row):
    """Return the address of a row in an 8-byte array, which `word` of the table points to."""
    return words[word] + (row << 3)


def sums(table, first, n):
    """Write sum and count of each row, and whether the sum is left to the caller."""
    saved = enter_ieee()
    words = pointer_int64(opaque(table))
    end = pointer_int64(words[OFFSETS])[first + n]
    for start in range(first, first + n, LANES):
        row = smaller(start, first + n - LANES)
        sum_floats(
            at(words, OFFSETS, row),
            words[VALUES],
            end,
            at(words, RESULTS, row),
            at(words, COUNTS, row),
            at(words, LEFT, row),
        )
    leave_ieee(saved)
    return 0


def integer_sums(table, first, n):
    """Write the sum of each row, and whether it overflows int64."""
    words = pointer_int64(opaque(table))
    end = pointer_int64(words[OFFSETS])[first + n]
    for start in range(first, first + n, LANES):
        row = smaller(start, first + n - LANES)
        sum_integers(
            at(words, OFFSETS, row),
            words[VALUES],
            end,
            at(words, RESULTS, row),
            at(words, LEFT, row),
        )
    return 0


def extremes(table, first, n):
    """Write the smallest or greatest word of each row, and the number of words."""
    words = pointer_int64(opaque(table))
    end = pointer_int64(words[OFFSETS])[first + n]
    for start in range(first, first + n, LANES):
        row = smaller(start, first + n - LANES)
        least_words(
            at(words, OFFSETS, row),
            words[VALUES],
            end,
            at(words, RESULTS, row),
            at(words, COUNTS, row),
            words[MAGNITUDE],
            words[FLIP],
        )
    return 0


def elements(table, first, n):
    """Write one element of each row, as a word, and whether there is one."""
    words = pointer_int64(opaque(table))
    offsets, values, index = (
        pointer_int64(words[OFFSETS]),
        pointer_int64(words[VALUES]),
        words[INDEX],
    )
    results, there = pointer_int64(words[RESULTS]), pointer_int64(words[COUNTS])
    for row in range(first, first + n):
        place = select(index < 0, offsets[row + 1], offsets[row]) + index
        inside = (place >= offsets[row]) & (place < offsets[row + 1])
        there[row] = select(inside, i64(1), i64(0))
        results[row] = 0
        if inside:
            results[row] = values[place]
    return 0


@njit(**INNER_OPTIONS)
def are_present(bitmap, first, n):
    """Return whether all of n bits are set; true without a bitmap."""
    if bitmap != 0:
        for start in range(0, n, 64):
            m = smaller(n - start, 64)
            if popcount(read_bits(bitmap, first + start, m)) != m:
                return False
    return True


def ends(table, first, n):
    """Write the offsets, or the lengths, of the lists of a column; see the words of the table."""
    words = pointer_int64(opaque(table))
    wide, narrow = pointer_int64(words[ENDS_GIVEN]), pointer_int32(words[ENDS_GIVEN])
    is_wide, bitmap, bit = words[ENDS_BYTES] == 8, words[ENDS_VALIDITY], words[ENDS_BIT]
    offsets, lengths = pointer_int64(words[ENDS_OFFSETS]), pointer_int64(words[ENDS_LENGTHS])
    for row in range(n + 1):
        offsets[row] = wide[row] if is_wide else i64(narrow[row])
    for row in range(n, LANES):
        offsets[row + 1] = offsets[row]
    if bitmap != 0:
        for row in range(n):
            is_there = read_bits(bitmap, bit + row, 1) != 0
            if not is_there and offsets[row] != offsets[row + 1]:
                return 1
    if words[ENDS_LENGTHS] != 0:
        for row in range(n):
            lengths[row] = offsets[row + 1] - offsets[row]
        return 0
    bit_of_first = words[ENDS_BIT_OF_ELEMENTS] + offsets[0]
    if are_present(words[ENDS_OF_ELEMENTS], bit_of_first, offsets[n] - offsets[0]):
        return 0
    return 1


def finish(table, first, n):
    """Write a bit for each list with a result, and means for sums; see the words of the table."""
    saved = enter_ieee()
    words = pointer_int64(opaque(table))
    results, counts = pointer_float64(words[FINISH_RESULTS]), pointer_int64(words[FINISH_COUNTS])
    left, n_left = pointer_int64(words[FINISH_LEFT]), i64(0)
    bitmap, bit, bits = words[FINISH_VALIDITY], words[FINISH_BIT], pointer_int64(words[FINISH_BITS])
    if words[FINISH_LEFT] != 0:
        for row in range(n):
            n_left |= left[row]
    if words[FINISH_MEANS] != 0:
        for row in range(n):
            results[row] = results[row] / types.float64(
                select(counts[row] > 1, counts[row], i64(1))
            )
    for start in range(0, n, 64):
        m = smaller(n - start, 64)
        word = read_bits(bitmap, bit + start, m) if bitmap != 0 else i64(-1)
        if words[FINISH_COUNTED] != 0:
            counted = i64(0)
            for i in range(m):
                counted |= i64(counts[start + i] > 0) << i
            word &= counted
        bits[start >> 6] = word
    leave_ieee(saved)
    return 1 if n_left != 0 else 0


ENTRIES = {
    "elements": elements,
    "ends": ends,
    "extremes": extremes,
    "finish": finish,
    "integer_sums": integer_sums,
    "sums": sums,
}
