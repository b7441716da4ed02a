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
    MEAN,
    N_LEFT,
    SQUARES,
    SUM,
    SUM_BITS,
    TABLE_DDOF,
    TABLE_ELEMENT,
    TABLE_EXPONENT,
    TABLE_LEFT_GROUPS,
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
    bits_of,
    enter_ieee,
    float_of,
    leave_ieee,
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
def read_level(line, statistic, unit):
    """Return sum or mean, and whether it is right."""
    n = line[COUNT]
    top, place = top_of_sum(line[SUM], line[SUM + 1], line[SUM + 2])
    total = types.float64(top)
    if statistic == TOTAL:
        return scale_by(total, place + unit), True
    if n == 0:
        return float_of(i64(NAN_BITS)), True
    mean = total / types.float64(n)
    scaled = scale_by(mean, place + unit)
    return scaled, is_safe(mean, scaled)


@njit(**INNER_OPTIONS)
def read_spread(line, statistic, is_float, unit, ddof):
    """Return variance or deviation, and whether it is right."""
    n = line[COUNT]
    if n <= ddof:
        return float_of(i64(NAN_BITS)), True
    top, place = top_of_spread(
        is_float,
        n,
        line[SUM],
        line[SUM + 1],
        line[SUM + 2],
        line[SQUARES],
        line[SQUARES + 1],
        line[SQUARES + 2],
        line[SQUARES + 3],
    )
    variance, exponent = types.float64(top) / types.float64(n * (n - ddof)), place + 2 * unit
    if statistic == DEVIATION:
        odd = exponent & 1
        root = square_root(variance * types.float64(1 + odd))
        scaled = scale_by(root, (exponent - odd) >> 1)
        return scaled, is_safe(root, scaled)
    half = exponent >> 1
    scaled = scale_by(scale_by(variance, half), exponent - half)
    return scaled, is_safe(variance, scaled)


def finalize(table, first, n):
    """Write a statistic of each of n groups from the first on."""
    saved = enter_ieee()
    words = pointer_int64(opaque(table))
    statistic, ddof = words[TABLE_STATISTIC], words[TABLE_DDOF]
    is_float = words[TABLE_ELEMENT] <= FLOAT32
    unit = select(is_float, words[TABLE_EXPONENT] - SUM_BITS, i64(0))
    n_words = i64(4) << (words[TABLE_LEVEL] == 2)
    out, state = pointer_float64(words[TABLE_OUT]), pointer_int64(words[TABLE_STATE])
    hard, n_hard = pointer_int32(words[TABLE_LEFT_GROUPS]), state[N_LEFT]
    for group in range(first, first + n):
        line = pointer_int64(words[TABLE_LINES] + 8 * n_words * group)
        if statistic <= MEAN:
            value, is_right = read_level(line, statistic, unit)
        else:
            value, is_right = read_spread(line, statistic, is_float, unit, ddof)
        out[group] = value
        hard[n_hard] = group
        n_hard += i64((not is_right) | (line[COUNT] >= MAX_COUNT))
    state[N_LEFT] = n_hard
    leave_ieee(saved)
    return 0
