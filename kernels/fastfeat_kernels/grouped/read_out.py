# pyright: basic
"""From the lines of groups to floats: one rounding where the definition has one.

A group whose value is too near the ends of the range of floats, or that has too many rows, is
appended to a list of hard ones.
"""

from __future__ import annotations

from numba import njit, types

from fastfeat_kernels.blocks import HIGHEST
from fastfeat_kernels.column import ELEMENTS
from fastfeat_kernels.grouped.exact_integers import square_root, top_of_spread, top_of_sum
from fastfeat_kernels.grouped.layout import (
    COUNT,
    DEVIATION,
    LIMB_BITS,
    MEAN,
    N_HARD,
    SQUARE_BITS,
    SQUARES,
    SUM,
    SUM_BITS,
    TABLE_DDOF,
    TABLE_ELEMENT,
    TABLE_EXPONENT,
    TABLE_HARD,
    TABLE_LEVEL,
    TABLE_LINES,
    TABLE_OUT,
    TABLE_STATE,
    TABLE_STATISTIC,
    TOTAL,
)
from fastfeat_kernels.grouped.splits import power_of_two
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
)

i64 = types.int64
FLOAT32 = ELEMENTS.index("float32")
SMALLEST_NORMAL, INFINITE = 1 << 52, 0x7FF << 52
NAN_BITS = 0x7FF8 << 48
MAX_COUNT = 1 << 31
RAISED = 2.0 ** (2 * SUM_BITS - SQUARE_BITS)  # how much higher floats' squares stand


@njit(**INNER_OPTIONS)
def scale_by(x, exponent):
    """Return x * 2**exponent; exact where that is a normal float, and |exponent| < 2000."""
    half = exponent >> 1
    return x * power_of_two(half) * power_of_two(exponent - half)


@njit(**INNER_OPTIONS)
def is_safe(x, scaled):
    """Return whether scaling to a float went without rounding."""
    size = bits_of(scaled) & HIGHEST
    return (x == 0.0) | ((size >= SMALLEST_NORMAL) & (size < INFINITE))


@njit(**INNER_OPTIONS)
def scaled_or_nan(is_missing, x, scaled):
    """Return a value, NaN if missing, and whether it is right; no branch, it would be random."""
    return select(is_missing, float_of(i64(NAN_BITS)), scaled), is_missing | is_safe(x, scaled)


@njit(**INNER_OPTIONS)
def two_sum(x, y):
    """Return the rounded sum and its error."""
    total = x + y
    part = total - x
    return total, (x - (total - part)) + (y - part)


@njit(**INNER_OPTIONS)
def is_exact_float(word):
    """Return whether an int64 surely is a float64."""
    return less_unsigned(word + (1 << 53), i64(1 << 54))


@njit(**INNER_OPTIONS)
def near_sum(a, b, c):
    """Return the sum of a line by 2**-40 in two floats, to 2**-105 of it, if limbs are floats."""
    high, low = two_sum(types.float64(a) * 2.0**40, types.float64(b))
    return two_sum(high, low + types.float64(c) * 2.0**-40)


@njit(**INNER_OPTIONS)
def near_squares(line):
    """Return the sum of squares of a line by 2**-80 in two floats, to 2**-103 of it."""
    p, q = types.float64(line[SQUARES]), types.float64(line[SQUARES + 1])
    r, s = types.float64(line[SQUARES + 2]), types.float64(line[SQUARES + 3])
    high, low = two_sum(p * 2.0**40, q)
    next_high, next_low = two_sum(r * 2.0**-40, s * 2.0**-80)
    total, rest = two_sum(high, next_high)
    return two_sum(total, rest + low + next_low)


@njit(**INNER_OPTIONS)
def rounded_sum(line):
    """Return (x, exponent): the sum of a line is x * 2**exponent, rounded once."""
    a, b, c = line[SUM], line[SUM + 1], line[SUM + 2]
    high, low = near_sum(a, b, c)
    error = high * 2.0**-104
    total = high + (low - error)
    if (total == high + (low + error)) & is_exact_float(a) & is_exact_float(b) & is_exact_float(c):
        return total, i64(LIMB_BITS)
    top, place = top_of_sum(a, b, c)
    return types.float64(top), place


@njit(**INNER_OPTIONS)
def rounded_spread(line, is_float):
    """Return (x, exponent): n * squares - sum * sum is x * 2**exponent, rounded once.

    In pairs of floats first, which is right where the error cannot change the rounding: n * squares
    is not less than sum * sum, so 2**-99 of it bounds the error.
    """
    n, a, b, c = line[COUNT], line[SUM], line[SUM + 1], line[SUM + 2]
    p, q, r, s = line[SQUARES], line[SQUARES + 1], line[SQUARES + 2], line[SQUARES + 3]
    high, low = near_sum(a, b, c)
    squares_high, squares_low = near_squares(line)
    factor = types.float64(n) * select(is_float, RAISED, 1.0)
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
    if (is_sure & fits) | (n == 1):
        return select(n == 1, 0.0, found), i64(2 * LIMB_BITS)
    top, place = top_of_spread(is_float, n, a, b, c, p, q, r, s)
    return types.float64(top), place


@njit(**INNER_OPTIONS)
def read_level(line, statistic, unit):
    """Return sum or mean, and whether it is right."""
    n = line[COUNT]
    total, place = rounded_sum(line)
    if statistic == TOTAL:
        return scale_by(total, place + unit), True
    mean = total / types.float64(n)
    scaled = scale_by(mean, place + unit)
    return scaled_or_nan(n == 0, mean, scaled)


@njit(**INNER_OPTIONS)
def read_spread(line, statistic, is_float, unit, ddof):
    """Return variance or deviation, and whether it is right."""
    n = line[COUNT]
    spread, place = rounded_spread(line, is_float)
    variance, exponent = spread / types.float64(n * (n - ddof)), place + 2 * unit
    if statistic == DEVIATION:
        odd = exponent & 1
        root = square_root(variance * types.float64(1 + odd))
        scaled = scale_by(root, (exponent - odd) >> 1)
        return scaled_or_nan(n <= ddof, root, scaled)
    half = exponent >> 1
    scaled = scale_by(scale_by(variance, half), exponent - half)
    return scaled_or_nan(n <= ddof, variance, scaled)


@njit(**SEPARATE_OPTIONS)
def read_groups(words, statistic, ddof, target, first, n):
    """Write a statistic of each of n groups from the first on."""
    is_float = words[TABLE_ELEMENT] <= FLOAT32
    unit = select(is_float, words[TABLE_EXPONENT] - SUM_BITS, i64(0))
    n_words = i64(4) << (words[TABLE_LEVEL] == 2)
    out, state = pointer_float64(target), pointer_int64(words[TABLE_STATE])
    hard, n_hard = pointer_int32(words[TABLE_HARD]), state[N_HARD]
    for group in range(first, first + n):
        line = pointer_int64(words[TABLE_LINES] + 8 * n_words * group)
        if statistic <= MEAN:
            value, is_right = read_level(line, statistic, unit)
        else:
            value, is_right = read_spread(line, statistic, is_float, unit, ddof)
        out[group] = value
        hard[n_hard] = group
        n_hard += i64((not is_right) | (line[COUNT] >= MAX_COUNT))
    state[N_HARD] = n_hard


def finalize(table, first, n):
    """Write a statistic of each of n groups from the first on."""
    saved = enter_ieee()
    words = pointer_int64(opaque(table))
    read_groups(words, words[TABLE_STATISTIC], words[TABLE_DDOF], words[TABLE_OUT], first, n)
    leave_ieee(saved)
    return 0
