# pyright: basic
"""Conversion of the lines of groups to floats: one rounding wherever the definition has one.

A block of lines is turned into columns and computed in pairs of floats, in loops that vectorize. If
the pairs cannot decide how the value of a group rounds, it is computed in wide integers. A group is
appended to the list of hard ones if its value is too near the ends of the float range, or if it has
too many rows.
"""

from __future__ import annotations

from numba import njit, types

from fastfeat_kernels.blocks import HIGHEST
from fastfeat_kernels.column import ELEMENTS
from fastfeat_kernels.grouped.cpu.adding import COLUMNS
from fastfeat_kernels.grouped.cpu.exact_integers import square_root, top_of_spread, top_of_sum
from fastfeat_kernels.grouped.cpu.splits import COLUMN_BYTES, LOW, ROWS, power_of_two
from fastfeat_kernels.grouped.cpu.vectors import turn4, turn8
from fastfeat_kernels.grouped.layout import (
    COUNT,
    DEVIATION,
    LIMB_BITS,
    MEAN,
    N_HARD,
    N_SQUARE_LIMBS,
    N_SUM_LIMBS,
    SQUARE_BITS,
    SQUARES,
    SUM,
    SUM_BITS,
    TABLE_ELEMENT,
    TABLE_EXPONENT,
    TABLE_HARD,
    TABLE_LEVEL,
    TABLE_LINES,
    TABLE_N_WANTED,
    TABLE_SCRATCH,
    TABLE_STATE,
    TABLE_WANTED,
    TOTAL,
)
from fastfeat_kernels.intrinsics import (
    INNER_OPTIONS,
    SEPARATE_OPTIONS,
    bits_of,
    enter_ieee,
    float_of,
    fma,
    leave_ieee,
    less_unsigned,
    opaque,
    pointer_float64,
    pointer_int32,
    pointer_int64,
    select,
    smaller,
)

i64 = types.int64
FLOAT32 = ELEMENTS.index("float32")
SMALLEST_NORMAL, INFINITE = 1 << 52, 0x7FF << 52
NAN_BITS = 0x7FF8 << 48
MAX_COUNT = 1 << 31
RAISED = 2.0 ** (2 * SUM_BITS - SQUARE_BITS)  # factor by which the squares of floats are scaled up


@njit(**INNER_OPTIONS)
def scale_by(x, exponent):
    """Return x * 2**exponent, for |exponent| < 2000; exact if the result is a normal float."""
    half = exponent >> 1
    return x * power_of_two(half) * power_of_two(exponent - half)


@njit(**INNER_OPTIONS)
def is_safe(x, scaled):
    """Return whether scaling a float was exact."""
    size = bits_of(scaled) & HIGHEST
    return (x == 0.0) | ((size >= SMALLEST_NORMAL) & (size < INFINITE))


@njit(**INNER_OPTIONS)
def scaled_or_nan(is_missing, x, scaled):
    """Return a value, NaN if missing, and whether it is right; a branch would mispredict."""
    return select(is_missing, float_of(i64(NAN_BITS)), scaled), is_missing | is_safe(x, scaled)


@njit(**INNER_OPTIONS)
def two_sum(x, y):
    """Return the rounded sum and its error."""
    total = x + y
    part = total - x
    return total, (x - (total - part)) + (y - part)


@njit(**INNER_OPTIONS)
def is_exact_float(word):
    """Return whether a float64 surely represents an int64 exactly."""
    return less_unsigned(word + (1 << 53), i64(1 << 54))


@njit(**INNER_OPTIONS)
def near_sum(a, b, c):
    """Return the sum of a line by 2**-40 in two floats, if limbs are floats, and its error, or 0.

    The first float is the rounded sum if there is no error. The error is below 2**-104 of the sum.
    """
    high, low = two_sum(types.float64(a) * 2.0**40, types.float64(b))
    rest, error = two_sum(low, types.float64(c) * 2.0**-40)
    total, rest = two_sum(high, rest)
    return total, rest, select(error == 0.0, 0.0, total * 2.0**-104)


@njit(**INNER_OPTIONS)
def near_squares(p, q, r, s):
    """Return the sum of squares of a line by 2**-80 in two floats, with relative error 2**-103."""
    high, low = two_sum(types.float64(p) * 2.0**40, types.float64(q))
    next_high, next_low = two_sum(types.float64(r) * 2.0**-40, types.float64(s) * 2.0**-80)
    total, rest = two_sum(high, next_high)
    return two_sum(total, rest + low + next_low)


@njit(**INNER_OPTIONS)
def near_rounded_sum(a, b, c):
    """Return the sum of a line by 2**-40, rounded once, and whether the rounding is certain."""
    high, low, error = near_sum(a, b, c)
    total = high + (low - error)
    is_sure = (error == 0.0) | (total == high + (low + error))
    fits = is_exact_float(a) & is_exact_float(b) & is_exact_float(c)
    return select(error == 0.0, high, total), is_sure & fits


@njit(**INNER_OPTIONS)
def near_rounded_spread(n, a, b, c, p, q, r, s, raised):
    """Return n * squares - sum * sum by 2**-80, rounded once, and whether the rounding is certain.

    n * squares is not less than sum * sum, so 2**-99 of it bounds the error of pairs of floats.
    """
    high, low, _ = near_sum(a, b, c)
    squares_high, squares_low = near_squares(p, q, r, s)
    factor = types.float64(n) * raised
    x = squares_high * factor
    x_low = fma(squares_high, factor, -x) + squares_low * factor
    y = high * high
    y_low = fma(high, high, -y) + 2.0 * high * low
    spread, rest = two_sum(x, -y)
    rest, error = rest + (x_low - y_low), x * 2.0**-99
    found = spread + (rest - error)
    is_sure = found == spread + (rest + error)
    fits = is_exact_float(a) & is_exact_float(b) & is_exact_float(c)
    fits &= is_exact_float(p) & is_exact_float(q) & is_exact_float(r) & is_exact_float(s)
    return select(n == 1, 0.0, found), (is_sure & fits) | (n == 1)


@njit(**INNER_OPTIONS)
def is_level(statistic):
    """Return whether a statistic only needs the sum."""
    return (statistic == TOTAL) | (statistic == MEAN)


@njit(**INNER_OPTIONS)
def level_of(total, place, n, statistic, unit):
    """Return the sum, or the mean, from total * 2**place, and whether it is right."""
    sum_ = scale_by(total, place + unit)
    mean = total / types.float64(n)
    scaled, is_right = scaled_or_nan(n == 0, mean, scale_by(mean, place + unit))
    is_sum = statistic == TOTAL
    return select(is_sum, sum_, scaled), is_sum | is_right


@njit(**INNER_OPTIONS)
def variance_of(spread, place, n, unit, ddof):
    """Return the variance from spread * 2**place, and whether it is right."""
    variance, exponent = spread / types.float64(n * (n - ddof)), place + 2 * unit
    half = exponent >> 1
    scaled = scale_by(scale_by(variance, half), exponent - half)
    return scaled_or_nan(n <= ddof, variance, scaled)


@njit(**INNER_OPTIONS)
def deviation_of(spread, place, n, unit, ddof):
    """Return the standard deviation from spread * 2**place, and whether it is right."""
    variance, exponent = spread / types.float64(n * (n - ddof)), place + 2 * unit
    odd = exponent & 1
    root = square_root(variance * types.float64(1 + odd))
    return scaled_or_nan(n <= ddof, root, scale_by(root, (exponent - odd) >> 1))


@njit(**INNER_OPTIONS)
def limb(columns, k):
    """Return the column of limb k of a block of lines."""
    return pointer_int64(columns + COLUMN_BYTES * k)


@njit(**INNER_OPTIONS)
def carry_columns(columns, first, n_limbs, n):
    """In each line, carry bits above 40 into the next limb."""
    for k in range(first + n_limbs - 1, first, -1):
        low, high = limb(columns, k), limb(columns, k - 1)
        for i in range(n):
            high[i] += low[i] >> LIMB_BITS
            low[i] &= LOW


@njit(**INNER_OPTIONS)
def read_lines(words, first, n):
    """Turn the lines of some groups into columns of carried limbs; return their address."""
    level, columns = words[TABLE_LEVEL], words[TABLE_SCRATCH] + COLUMNS
    if level > 1:
        lines = words[TABLE_LINES] + 64 * first
        for i in range(0, n & ~7, 8):
            turn8(columns + 8 * i, i64(COLUMN_BYTES), lines + 64 * i, i64(64))
        copy_lines(columns, lines, n & ~7, n, i64(8))
        carry_columns(columns, i64(SQUARES), i64(N_SQUARE_LIMBS), n)
    else:
        lines = words[TABLE_LINES] + 32 * first
        for i in range(0, n & ~3, 4):
            turn4(columns + 8 * i, i64(COLUMN_BYTES), lines + 32 * i, i64(32))
        copy_lines(columns, lines, n & ~3, n, i64(4))
    carry_columns(columns, i64(SUM), i64(N_SUM_LIMBS), n)
    return columns


@njit(**INNER_OPTIONS)
def copy_lines(columns, lines, first, end, n_words):
    """Write the last lines of a block as columns."""
    for i in range(first, end):
        for k in range(n_words):
            limb(columns, k)[i] = pointer_int64(lines)[n_words * i + k]


@njit(**SEPARATE_OPTIONS)
def near_levels(columns, n, statistic, unit, target, doubts):
    """Write sums or means of a block, and for each a doubt: 0 if the value is certain."""
    counts, a, b, c = limb(columns, COUNT), limb(columns, 1), limb(columns, 2), limb(columns, 3)
    out, doubt = pointer_float64(target), pointer_int64(doubts)
    for i in range(n):
        total, is_sure = near_rounded_sum(a[i], b[i], c[i])
        out[i], is_right = level_of(total, i64(LIMB_BITS), counts[i], statistic, unit)
        doubt[i] = i64(not (is_sure & is_right & (counts[i] < MAX_COUNT)))


@njit(**SEPARATE_OPTIONS)
def near_spreads(columns, n, statistic, raised, unit, ddof, target, doubts):
    """Write variances or deviations of a block, and for each a doubt: 0 if the value is certain."""
    counts, a, b, c = limb(columns, COUNT), limb(columns, 1), limb(columns, 2), limb(columns, 3)
    p, q, r, s = limb(columns, 4), limb(columns, 5), limb(columns, 6), limb(columns, 7)
    out, doubt = pointer_float64(target), pointer_int64(doubts)
    for i in range(n):
        n_values = counts[i]
        spread, is_sure = near_rounded_spread(
            n_values, a[i], b[i], c[i], p[i], q[i], r[i], s[i], raised
        )
        if statistic == DEVIATION:
            value, is_right = deviation_of(spread, i64(2 * LIMB_BITS), n_values, unit, ddof)
        else:
            value, is_right = variance_of(spread, i64(2 * LIMB_BITS), n_values, unit, ddof)
        out[i] = value
        doubt[i] = i64(not (is_sure & is_right & (n_values < MAX_COUNT)))


@njit(**SEPARATE_OPTIONS)
def read_one(columns, i, statistic, is_float, unit, ddof):
    """Return a statistic of one line of a block by wide integers, and whether it is right."""
    n, a, b, c = (
        limb(columns, COUNT)[i],
        limb(columns, 1)[i],
        limb(columns, 2)[i],
        limb(columns, 3)[i],
    )
    if is_level(statistic):
        top, place = top_of_sum(a, b, c)
        value, is_right = level_of(types.float64(top), place, n, statistic, unit)
        return value, is_right & (n < MAX_COUNT)
    p, q, r, s = (
        limb(columns, 4)[i],
        limb(columns, 5)[i],
        limb(columns, 6)[i],
        limb(columns, 7)[i],
    )
    top, place = top_of_spread(is_float, n, a, b, c, p, q, r, s)
    if statistic == DEVIATION:
        value, is_right = deviation_of(types.float64(top), place, n, unit, ddof)
    else:
        value, is_right = variance_of(types.float64(top), place, n, unit, ddof)
    return value, is_right & (n < MAX_COUNT)


@njit(**INNER_OPTIONS)
def read_block(words, columns, statistic, ddof, target, first, n):
    """Write a statistic of a block of groups from group `first` on."""
    is_float = words[TABLE_ELEMENT] <= FLOAT32
    unit = select(is_float, words[TABLE_EXPONENT] - SUM_BITS, i64(0))
    doubts, state = words[TABLE_SCRATCH], pointer_int64(words[TABLE_STATE])
    if is_level(statistic):
        near_levels(columns, n, statistic, unit, target, doubts)
    else:
        raised = select(is_float, RAISED, 1.0)
        near_spreads(columns, n, statistic, raised, unit, ddof, target, doubts)
    doubt, out, hard = pointer_int64(doubts), pointer_float64(target), words[TABLE_HARD]
    for i in range(n):
        if doubt[i] != 0:
            out[i], is_right = read_one(columns, i, statistic, is_float, unit, ddof)
            pointer_int32(hard)[state[N_HARD]] = first + i
            state[N_HARD] += i64(not is_right)


@njit(**SEPARATE_OPTIONS)
def read_groups(words, wanted_at, n_wanted, first, n):
    """Write the requested statistics of n groups from group `first` on.

    `wanted_at` is the address of three words per statistic: its number, ddof, and the address of
    its values by group.
    """
    for start in range(first, first + n, ROWS):
        m = smaller(first + n - start, i64(ROWS))
        columns = read_lines(words, start, m)
        for k in range(n_wanted):
            wanted = pointer_int64(wanted_at + 24 * k)
            target = wanted[2] + 8 * start
            read_block(words, columns, wanted[0], wanted[1], target, start, m)


def finalize(table, first, n):
    """Write the requested statistics of n groups from group `first` on."""
    saved = enter_ieee()
    words = pointer_int64(opaque(table))
    read_groups(words, words[TABLE_WANTED], words[TABLE_N_WANTED], first, n)
    leave_ieee(saved)
    return 0
