# pyright: basic
"""Sums, means and variances of windows, as differences of exact integers, each rounded once."""

from __future__ import annotations

from numba import njit, types

from fastfeat_kernels.blocks import NAN_BITS
from fastfeat_kernels.grouped.exact_integers import top_of_sum
from fastfeat_kernels.grouped.layout import DEVIATION as GROUPED_DEVIATION
from fastfeat_kernels.grouped.layout import VARIANCE as GROUPED_VARIANCE
from fastfeat_kernels.grouped.read_out import near_spreads, read_one, scale_by
from fastfeat_kernels.grouped.splits import ROWS, power_of_two
from fastfeat_kernels.intrinsics import (
    INNER_OPTIONS,
    SEPARATE_OPTIONS,
    bits_of,
    fma,
    larger,
    less_unsigned,
    pointer_float64,
    pointer_int32,
    pointer_int64,
    select,
    smaller,
)
from fastfeat_kernels.windows.layout import (
    ARRIVALS,
    COLUMN_INFINITE,
    COLUMN_SQUARES,
    COLUMN_STATE,
    COLUMN_SUMS,
    COUNTS,
    DEVIATION,
    DOUBTS,
    LIMB_BITS,
    LINES,
    MEAN,
    OUTPUT_MIN_SAMPLES,
    OUTPUT_PARAMETER,
    OUTPUT_STATISTIC,
    STATE_UNIT,
    TABLE_SCRATCH,
)

i64 = types.int64
LOW = (1 << LIMB_BITS) - 1
LIMB = 2.0**LIMB_BITS
HALF_BITS = LIMB_BITS // 2
POSITIVE, NEGATIVE = 0x7FF << 52, -1 << 52  # bits of infinities
INT64_LIMB = 1 << (63 - LIMB_BITS)  # a highest limb below it is that of an int64


@njit(**INNER_OPTIONS)
def is_exact(limb):
    """Return whether the highest limb of a sum is a float64 for sure."""
    return less_unsigned(limb + (1 << 53), i64(1 << 54))


@njit(**INNER_OPTIONS)
def sum_between(sums, begin, end):
    """Return the limbs of the sum of a window, carried."""
    low = sums[2 * end + 1] - sums[2 * begin + 1]
    return sums[2 * end] - sums[2 * begin] + (low >> LIMB_BITS), low & LOW


@njit(**SEPARATE_OPTIONS)
def read_levels(words, column, output, begins_at, ends_at, n, target):
    """Write sums or means; return whether limbs were too high to be rounded in floats."""
    scratch, is_mean = words[TABLE_SCRATCH], output[OUTPUT_STATISTIC] == MEAN
    sums, counts = (
        pointer_int64(scratch + column[COLUMN_SUMS]),
        pointer_int32(scratch + COUNTS),
    )
    begins, ends, results = pointer_int32(begins_at), pointer_int32(ends_at), pointer_int64(target)
    unit = pointer_int64(scratch + column[COLUMN_STATE])[STATE_UNIT]
    half = unit >> 1
    scale0, scale1, is_high = power_of_two(half), power_of_two(unit - half), i64(0)
    for j in range(n):
        begin, end = i64(begins[j]), i64(ends[j])
        high, low = sums[2 * end] - sums[2 * begin], sums[2 * end + 1] - sums[2 * begin + 1]
        total = fma(types.float64(high), LIMB, types.float64(low))
        is_high |= i64(not is_exact(high))
        count = i64(counts[j])
        if is_mean:
            total = total / types.float64(count)
        bits = bits_of(total * scale0 * scale1)
        results[j] = select(is_mean & (count == 0), i64(NAN_BITS), bits)
    return is_high


@njit(**SEPARATE_OPTIONS)
def read_high_levels(words, column, output, begins_at, ends_at, n, target):
    """The same for limbs of any height."""
    scratch, is_mean = words[TABLE_SCRATCH], output[OUTPUT_STATISTIC] == MEAN
    sums, counts = (
        pointer_int64(scratch + column[COLUMN_SUMS]),
        pointer_int32(scratch + COUNTS),
    )
    begins, ends, results = pointer_int32(begins_at), pointer_int32(ends_at), pointer_int64(target)
    unit = pointer_int64(scratch + column[COLUMN_STATE])[STATE_UNIT]
    for j in range(n):
        begin, end = i64(begins[j]), i64(ends[j])
        high, low = sums[2 * end] - sums[2 * begin], sums[2 * end + 1] - sums[2 * begin + 1]
        top, place = top_of_sum(i64(0), high, low)
        total, count = types.float64(top), i64(counts[j])
        if is_mean:
            total = total / types.float64(count)
        bits = bits_of(scale_by(total, place + unit))
        results[j] = select(is_mean & (count == 0), i64(NAN_BITS), bits)


@njit(**SEPARATE_OPTIONS)
def read_integer_sums(words, column, output, begins_at, ends_at, n, target, overflow_at):
    """Write sums of integers, 0 where they do not fit; keep the first dealt row where one does."""
    scratch, overflow = words[TABLE_SCRATCH], pointer_int64(overflow_at)
    sums, counts = (
        pointer_int64(scratch + column[COLUMN_SUMS]),
        pointer_int32(scratch + COUNTS),
    )
    begins, ends, results = pointer_int32(begins_at), pointer_int32(ends_at), pointer_int64(target)
    arrivals, least = pointer_int32(scratch + ARRIVALS), output[OUTPUT_MIN_SAMPLES]
    for j in range(n):
        begin, end = i64(begins[j]), i64(ends[j])
        high, low = sum_between(sums, begin, end)
        fits = (high >= -INT64_LIMB) & (high < INT64_LIMB)
        results[j] = select(fits, (high << LIMB_BITS) + low, i64(0))
        if not fits and counts[j] >= least:
            overflow[0] = smaller(overflow[0], i64(arrivals[j]))


@njit(**INNER_OPTIONS)
def quotient(high, low, count):
    """Return (high * 2**40 + low) / count without its fraction; the quotient is an int64."""
    is_negative = high < 0
    if is_negative:
        low = -low
        high, low = -high + (low >> LIMB_BITS), low & LOW
    first, rest = high // count, high % count
    middle = (rest << HALF_BITS) | (low >> HALF_BITS)
    second, rest = middle // count, middle % count
    last = ((rest << HALF_BITS) | (low & ((1 << HALF_BITS) - 1))) // count
    found = (first << LIMB_BITS) + (second << HALF_BITS) + last
    return select(is_negative, -found, found)


@njit(**SEPARATE_OPTIONS)
def read_whole_means(words, column, begins_at, ends_at, n, target):
    """Write means of integers without their fractions, 0 of none."""
    scratch = words[TABLE_SCRATCH]
    sums, counts = (
        pointer_int64(scratch + column[COLUMN_SUMS]),
        pointer_int32(scratch + COUNTS),
    )
    begins, ends, results = pointer_int32(begins_at), pointer_int32(ends_at), pointer_int64(target)
    for j in range(n):
        high, low = sum_between(sums, i64(begins[j]), i64(ends[j]))
        results[j] = quotient(high, low, larger(i64(counts[j]), i64(1)))


@njit(**INNER_OPTIONS)
def squares_between(squares, begin, end):
    """Return the limbs of the sum of squares of a window, carried."""
    d = squares[4 * end + 3] - squares[4 * begin + 3]
    c = squares[4 * end + 2] - squares[4 * begin + 2] + (d >> LIMB_BITS)
    b = squares[4 * end + 1] - squares[4 * begin + 1] + (c >> LIMB_BITS)
    a = squares[4 * end] - squares[4 * begin] + (b >> LIMB_BITS)
    return a, b & LOW, c & LOW, d & LOW


@njit(**SEPARATE_OPTIONS)
def gather_limbs(words, column, begins_at, ends_at, counts_at, n):
    """Write counts and limbs of windows as columns, as the grouped kernel has them."""
    scratch = words[TABLE_SCRATCH]
    sums = pointer_int64(scratch + column[COLUMN_SUMS])
    squares = pointer_int64(scratch + column[COLUMN_SQUARES])
    begins, ends, counts = (
        pointer_int32(begins_at),
        pointer_int32(ends_at),
        pointer_int32(counts_at),
    )
    lines = pointer_int64(scratch + LINES)
    for j in range(n):
        begin, end = i64(begins[j]), i64(ends[j])
        high, low = sum_between(sums, begin, end)
        a, b, c, d = squares_between(squares, begin, end)
        lines[j], lines[ROWS + j] = i64(counts[j]), i64(0)
        lines[2 * ROWS + j], lines[3 * ROWS + j] = high, low
        lines[4 * ROWS + j], lines[5 * ROWS + j] = a, b
        lines[6 * ROWS + j], lines[7 * ROWS + j] = c, d


@njit(**SEPARATE_OPTIONS)
def read_spreads(words, column, output, begins_at, ends_at, n, target):
    """Write variances or deviations, in pairs of floats where these say how they round."""
    scratch, ddof = words[TABLE_SCRATCH], output[OUTPUT_PARAMETER]
    unit = pointer_int64(scratch + column[COLUMN_STATE])[STATE_UNIT]
    is_root = output[OUTPUT_STATISTIC] == DEVIATION
    statistic = select(is_root, i64(GROUPED_DEVIATION), i64(GROUPED_VARIANCE))
    lines, doubts = scratch + LINES, pointer_int64(scratch + DOUBTS)
    for start in range(0, n, ROWS):
        m, counts = smaller(n - start, i64(ROWS)), scratch + COUNTS + 4 * start
        gather_limbs(words, column, begins_at + 4 * start, ends_at + 4 * start, counts, m)
        results = target + 8 * start
        near_spreads(lines, m, statistic, 1.0, unit, ddof, results, scratch + DOUBTS)
        for j in range(m):
            if doubts[j] != 0:
                value, _ = read_one(lines, j, statistic, False, unit, ddof)
                pointer_float64(results)[j] = value


@njit(**SEPARATE_OPTIONS)
def mark_infinite(words, column, output, begins_at, ends_at, n, target):
    """Write what infinities decide: the sum and mean of one sign; nothing of both, or of spread."""
    counts = pointer_int32(words[TABLE_SCRATCH] + column[COLUMN_INFINITE])
    begins, ends, results = pointer_int32(begins_at), pointer_int32(ends_at), pointer_int64(target)
    is_level = output[OUTPUT_STATISTIC] <= MEAN
    for j in range(n):
        begin, end = i64(begins[j]), i64(ends[j])
        positive = counts[2 * end] != counts[2 * begin]
        negative = counts[2 * end + 1] != counts[2 * begin + 1]
        if positive | negative:
            infinity = select(positive, i64(POSITIVE), i64(NEGATIVE))
            is_one = is_level & (positive != negative)
            results[j] = select(is_one, infinity, i64(NAN_BITS))
