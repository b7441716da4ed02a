# pyright: basic
"""Sums, means and variances of windows: differences of exact integers, each rounded once."""

from __future__ import annotations

from numba import njit, types

from fastfeat_kernels.blocks import NAN_BITS
from fastfeat_kernels.grouped.cpu.exact_integers import square_root
from fastfeat_kernels.grouped.cpu.read_out import near_spreads, read_one
from fastfeat_kernels.grouped.cpu.splits import ROWS, power_of_two
from fastfeat_kernels.grouped.layout import DEVIATION as GROUPED_DEVIATION
from fastfeat_kernels.grouped.layout import VARIANCE as GROUPED_VARIANCE
from fastfeat_kernels.intrinsics import (
    INNER_OPTIONS,
    SEPARATE_OPTIONS,
    bits_of,
    fma,
    larger,
    pointer_float64,
    pointer_int32,
    pointer_int64,
    select,
    smaller,
)
from fastfeat_kernels.windows import layout
from fastfeat_kernels.windows.cpu.bounds import is_steady_begin, is_steady_end
from fastfeat_kernels.windows.cpu.prefixes import LIMB, LOW
from fastfeat_kernels.windows.statistics import DEVIATION, MEAN, SUM

i64 = types.int64
HALF_BITS = layout.LIMB_BITS // 2
POSITIVE, NEGATIVE = 0x7FF << 52, -1 << 52  # bits of infinities
INT64_LIMB = 1 << (63 - layout.LIMB_BITS)  # a highest limb below it belongs to an int64
LOWS = layout.SUMS + 8 * layout.ASKS


@njit(**INNER_OPTIONS)
def is_narrow(words, column):
    """Return whether sums of a column are whole units in float64."""
    return (
        pointer_int64(words[layout.TABLE_SCRATCH] + column[layout.COLUMN_STATE])[
            layout.STATE_NARROW
        ]
        != 0
    )


@njit(**SEPARATE_OPTIONS)
def subtract_runs(at_ends, at_begins, n, found):
    """Write differences for windows with both ends moving by one place a row."""
    for j in range(n):
        found[j] = at_ends[j] - at_begins[j]


@njit(**SEPARATE_OPTIONS)
def subtract_from_run(at_ends, sums, begins, n, found):
    """Write differences for windows with only the end moving by one place a row."""
    for j in range(n):
        found[j] = at_ends[j] - sums[i64(begins[j])]


@njit(**SEPARATE_OPTIONS)
def subtract(sums, begins, ends, n, found):
    """Write differences for windows with arbitrary beginnings and ends."""
    for j in range(n):
        found[j] = sums[i64(ends[j])] - sums[i64(begins[j])]


@njit(**SEPARATE_OPTIONS)
def subtract_pair_runs(at_ends, at_begins, n, highs, lows):
    """Write differences of limbs for windows with both ends moving by one place a row."""
    for j in range(n):
        highs[j] = at_ends[2 * j] - at_begins[2 * j]
        lows[j] = at_ends[2 * j + 1] - at_begins[2 * j + 1]


@njit(**SEPARATE_OPTIONS)
def subtract_pairs_from_run(at_ends, sums, begins, n, highs, lows):
    """Write differences of limbs for windows with only the end moving by one place a row."""
    for j in range(n):
        begin = i64(begins[j])
        highs[j] = at_ends[2 * j] - sums[2 * begin]
        lows[j] = at_ends[2 * j + 1] - sums[2 * begin + 1]


@njit(**SEPARATE_OPTIONS)
def subtract_pairs(sums, begins, ends, n, highs, lows):
    """Write differences of limbs for windows with arbitrary beginnings and ends."""
    for j in range(n):
        begin, end = i64(begins[j]), i64(ends[j])
        highs[j] = sums[2 * end] - sums[2 * begin]
        lows[j] = sums[2 * end + 1] - sums[2 * begin + 1]


@njit(**SEPARATE_OPTIONS)
def sum_floats_of(words, window, sums_at, n, found):
    """Write sums of whole units over windows."""
    scratch = words[layout.TABLE_SCRATCH]
    begins_at, ends_at = (
        scratch + window[layout.WINDOW_BEGINS],
        scratch + window[layout.WINDOW_ENDS],
    )
    begins, ends, sums = (
        pointer_int32(begins_at),
        pointer_int32(ends_at),
        pointer_float64(sums_at),
    )
    at_ends = pointer_float64(sums_at + 8 * i64(ends[0]))
    if is_steady_end(words, window) and is_steady_begin(words, window):
        subtract_runs(at_ends, pointer_float64(sums_at + 8 * i64(begins[0])), n, found)
    elif is_steady_end(words, window):
        subtract_from_run(at_ends, sums, begins, n, found)
    else:
        subtract(sums, begins, ends, n, found)


@njit(**SEPARATE_OPTIONS)
def sum_limbs_of(words, window, sums_at, n, highs, lows):
    """Write sums over windows as limbs, without carrying."""
    scratch = words[layout.TABLE_SCRATCH]
    begins_at, ends_at = (
        scratch + window[layout.WINDOW_BEGINS],
        scratch + window[layout.WINDOW_ENDS],
    )
    begins, ends, sums = (
        pointer_int32(begins_at),
        pointer_int32(ends_at),
        pointer_int64(sums_at),
    )
    at_ends = pointer_int64(sums_at + 16 * i64(ends[0]))
    if is_steady_end(words, window) and is_steady_begin(words, window):
        at_begins = pointer_int64(sums_at + 16 * i64(begins[0]))
        subtract_pair_runs(at_ends, at_begins, n, highs, lows)
    elif is_steady_end(words, window):
        subtract_pairs_from_run(at_ends, sums, begins, n, highs, lows)
    else:
        subtract_pairs(sums, begins, ends, n, highs, lows)


@njit(**SEPARATE_OPTIONS)
def sum_over(words, column, window, n):
    """Write the sums over the windows of a block, unless they are already there."""
    scratch = words[layout.TABLE_SCRATCH]
    state, name = (
        pointer_int64(scratch),
        column[layout.COLUMN_STATE] << 32 | window[layout.WINDOW_BEGINS],
    )
    if state[layout.SUMMED] == name:
        return
    state[layout.SUMMED] = name
    sums_at = scratch + column[layout.COLUMN_SUMS]
    if is_narrow(words, column):
        sum_floats_of(words, window, sums_at, n, pointer_float64(scratch + layout.SUMS))
    else:
        highs, lows = pointer_int64(scratch + layout.SUMS), pointer_int64(scratch + LOWS)
        sum_limbs_of(words, window, sums_at, n, highs, lows)


@njit(**SEPARATE_OPTIONS)
def sums_of_units(sums, n, scale0, scale1, results):
    """Write sums of whole units as floats."""
    for j in range(n):
        results[j] = sums[j] * scale0 * scale1


@njit(**SEPARATE_OPTIONS)
def means_of_units(sums, counts, n, scale0, scale1, results):
    """Write means of whole units, NaN without values."""
    for j in range(n):
        mean = sums[j] / types.float64(counts[j])
        bits = bits_of(mean * scale0 * scale1)
        results[j] = select(counts[j] == 0, i64(NAN_BITS), bits)


@njit(**INNER_OPTIONS)
def rounded_sum(high, low):
    """Return high * 2**40 + low, rounded once, for |low| below 2**41.

    Rounding the high limb loses less than 2**10, so the remainder is exact in a float.
    """
    near = types.float64(high)
    rest = fma(types.float64(high - i64(near)), LIMB, types.float64(low))
    return fma(near, LIMB, rest)


@njit(**SEPARATE_OPTIONS)
def sums_of_limbs(highs, lows, n, scale0, scale1, results):
    """Write sums of limbs as floats."""
    for j in range(n):
        results[j] = rounded_sum(highs[j], lows[j]) * scale0 * scale1


@njit(**SEPARATE_OPTIONS)
def means_of_limbs(highs, lows, counts, n, scale0, scale1, results):
    """Write means of limbs, NaN without values."""
    for j in range(n):
        mean = rounded_sum(highs[j], lows[j]) / types.float64(counts[j])
        bits = bits_of(mean * scale0 * scale1)
        results[j] = select(counts[j] == 0, i64(NAN_BITS), bits)


@njit(**SEPARATE_OPTIONS)
def read_levels(words, column, output, n, target):
    """Write sums or means as floats."""
    scratch, is_mean = words[layout.TABLE_SCRATCH], output[layout.OUTPUT_STATISTIC] == MEAN
    counts, bits = pointer_int32(scratch + layout.COUNTS), pointer_int64(target)
    unit = pointer_int64(scratch + column[layout.COLUMN_STATE])[layout.STATE_UNIT]
    half = unit >> 1
    scale0, scale1 = power_of_two(half), power_of_two(unit - half)
    floats, units = pointer_float64(target), pointer_float64(scratch + layout.SUMS)
    highs, lows = pointer_int64(scratch + layout.SUMS), pointer_int64(scratch + LOWS)
    if is_narrow(words, column):
        if is_mean:
            means_of_units(units, counts, n, scale0, scale1, bits)
        else:
            sums_of_units(units, n, scale0, scale1, floats)
    elif is_mean:
        means_of_limbs(highs, lows, counts, n, scale0, scale1, bits)
    else:
        sums_of_limbs(highs, lows, n, scale0, scale1, floats)


@njit(**SEPARATE_OPTIONS)
def whole_units(sums, n, results):
    """Write sums of whole units as integers."""
    for j in range(n):
        results[j] = i64(sums[j])


@njit(**SEPARATE_OPTIONS)
def read_integer_sums(words, column, output, n, target, overflow_at):
    """Write sums of integers, 0 if they do not fit; keep the first dealt row that overflows."""
    scratch, overflow = words[layout.TABLE_SCRATCH], pointer_int64(overflow_at)
    results = pointer_int64(target)
    if is_narrow(words, column):
        whole_units(pointer_float64(scratch + layout.SUMS), n, results)
        return
    highs, lows = pointer_int64(scratch + layout.SUMS), pointer_int64(scratch + LOWS)
    arrivals, counts = (
        pointer_int32(scratch + layout.ARRIVALS),
        pointer_int32(scratch + layout.COUNTS),
    )
    least = output[layout.OUTPUT_MIN_SAMPLES]
    for j in range(n):
        high, low = highs[j] + (lows[j] >> layout.LIMB_BITS), lows[j] & LOW
        fits = (high >= -INT64_LIMB) & (high < INT64_LIMB)
        results[j] = select(fits, (high << layout.LIMB_BITS) + low, i64(0))
        if not fits and counts[j] >= least:
            overflow[0] = smaller(overflow[0], i64(arrivals[j]))


@njit(**INNER_OPTIONS)
def quotient(high, low, count):
    """Return (high * 2**40 + low) / count without its fraction; the quotient must fit int64."""
    is_negative = high < 0
    if is_negative:
        low = -low
        high, low = -high + (low >> layout.LIMB_BITS), low & LOW
    first, rest = high // count, high % count
    middle = (rest << HALF_BITS) | (low >> HALF_BITS)
    second, rest = middle // count, middle % count
    last = ((rest << HALF_BITS) | (low & ((1 << HALF_BITS) - 1))) // count
    found = (first << layout.LIMB_BITS) + (second << HALF_BITS) + last
    return select(is_negative, -found, found)


@njit(**SEPARATE_OPTIONS)
def read_whole_means(words, column, n, target):
    """Write means of integers without their fractions, 0 without values."""
    scratch, results = words[layout.TABLE_SCRATCH], pointer_int64(target)
    counts, sums = pointer_int32(scratch + layout.COUNTS), pointer_float64(scratch + layout.SUMS)
    highs, lows = pointer_int64(scratch + layout.SUMS), pointer_int64(scratch + LOWS)
    of_units = is_narrow(words, column)
    for j in range(n):
        high, low = highs[j] + (lows[j] >> layout.LIMB_BITS), lows[j] & LOW
        if of_units:
            total = i64(sums[j])
            high, low = total >> layout.LIMB_BITS, total & LOW
        results[j] = quotient(high, low, larger(i64(counts[j]), i64(1)))


@njit(**INNER_OPTIONS)
def squares_between(squares, begin, end):
    """Return the carried limbs of the sum of squares of a window."""
    d = squares[4 * end + 3] - squares[4 * begin + 3]
    c = squares[4 * end + 2] - squares[4 * begin + 2] + (d >> layout.LIMB_BITS)
    b = squares[4 * end + 1] - squares[4 * begin + 1] + (c >> layout.LIMB_BITS)
    a = squares[4 * end] - squares[4 * begin] + (b >> layout.LIMB_BITS)
    return a, b & LOW, c & LOW, d & LOW


@njit(**SEPARATE_OPTIONS)
def write_limbs(highs, lows, squares, begins, ends, counts, n, lines):
    """Write counts and limbs of windows as columns, in the layout of the grouped kernel."""
    for j in range(n):
        a, b, c, d = squares_between(squares, i64(begins[j]), i64(ends[j]))
        lines[j], lines[ROWS + j] = i64(counts[j]), i64(0)
        lines[2 * ROWS + j] = highs[j] + (lows[j] >> layout.LIMB_BITS)
        lines[3 * ROWS + j] = lows[j] & LOW
        lines[4 * ROWS + j], lines[5 * ROWS + j] = a, b
        lines[6 * ROWS + j], lines[7 * ROWS + j] = c, d


@njit(**SEPARATE_OPTIONS)
def spreads_of_units(sums, squares, counts, n, ddof, is_root, scale, results):
    """Write variances or deviations of whole units; all products are exact in float64."""
    for j in range(n):
        count = types.float64(counts[j])
        spread = count * squares[j] - sums[j] * sums[j]
        variance = spread / (count * (count - ddof))
        value = square_root(variance) * scale if is_root else variance * scale * scale
        results[j] = select(count <= ddof, i64(NAN_BITS), bits_of(value))


@njit(**SEPARATE_OPTIONS)
def read_narrow_spreads(words, column, window, output, n, target):
    """Write variances or deviations of a narrow column."""
    scratch, ddof = words[layout.TABLE_SCRATCH], types.float64(output[layout.OUTPUT_PARAMETER])
    unit = pointer_int64(scratch + column[layout.COLUMN_STATE])[layout.STATE_UNIT]
    is_root = output[layout.OUTPUT_STATISTIC] == DEVIATION
    sums, squares = pointer_float64(scratch + layout.SUMS), pointer_float64(scratch + layout.LINES)
    sum_floats_of(words, window, scratch + column[layout.COLUMN_SQUARES], n, squares)
    counts, results = pointer_int32(scratch + layout.COUNTS), pointer_int64(target)
    spreads_of_units(sums, squares, counts, n, ddof, is_root, power_of_two(unit), results)


@njit(**SEPARATE_OPTIONS)
def read_spreads(words, column, output, begins_at, ends_at, n, target):
    """Write variances or deviations, in pairs of floats where these determine the rounding."""
    scratch, ddof = words[layout.TABLE_SCRATCH], output[layout.OUTPUT_PARAMETER]
    unit = pointer_int64(scratch + column[layout.COLUMN_STATE])[layout.STATE_UNIT]
    is_root = output[layout.OUTPUT_STATISTIC] == DEVIATION
    statistic = select(is_root, i64(GROUPED_DEVIATION), i64(GROUPED_VARIANCE))
    lines, doubts = scratch + layout.LINES, pointer_int64(scratch + layout.DOUBTS)
    highs, lows = pointer_int64(scratch + layout.SUMS), pointer_int64(scratch + LOWS)
    squares, counts = (
        pointer_int64(scratch + column[layout.COLUMN_SQUARES]),
        pointer_int32(scratch + layout.COUNTS),
    )
    begins, ends = pointer_int32(begins_at), pointer_int32(ends_at)
    write_limbs(highs, lows, squares, begins, ends, counts, n, pointer_int64(lines))
    near_spreads(lines, n, statistic, 1.0, unit, ddof, target, scratch + layout.DOUBTS)
    for j in range(n):
        if doubts[j] != 0:
            value, _ = read_one(lines, j, statistic, False, unit, ddof)
            pointer_float64(target)[j] = value


@njit(**SEPARATE_OPTIONS)
def mark_infinite(words, column, output, begins_at, ends_at, n, target):
    """Overwrite results over infinities: sum and mean are the infinity, or NaN; spreads are NaN.

    Sum and mean are NaN if both signs occur.
    """
    counts = pointer_int32(words[layout.TABLE_SCRATCH] + column[layout.COLUMN_INFINITE])
    begins, ends, results = pointer_int32(begins_at), pointer_int32(ends_at), pointer_int64(target)
    statistic = output[layout.OUTPUT_STATISTIC]
    is_level = (statistic == SUM) | (statistic == MEAN)
    for j in range(n):
        begin, end = i64(begins[j]), i64(ends[j])
        positive = counts[2 * end] != counts[2 * begin]
        negative = counts[2 * end + 1] != counts[2 * begin + 1]
        if positive | negative:
            infinity = select(positive, i64(POSITIVE), i64(NEGATIVE))
            is_one = is_level & (positive != negative)
            results[j] = select(is_one, infinity, i64(NAN_BITS))
