# pyright: basic
"""Bins of sorted columns on the CPU: a bin ends before the run of equal values at its last place.

Two passes over the values of a column, which are in the cache: one counts distinct values, one sums
places. 1 ns a value.
"""

from __future__ import annotations

from numba import njit, types

from fastfeat_kernels.binned import OFFSET_BITS
from fastfeat_kernels.binned.ordered import (
    ORDERED,
    ORDERED_COUNTS,
    ORDERED_EDGES,
    ORDERED_ENDS,
    ORDERED_IS_ATOM,
    ORDERED_N_BINS,
    ORDERED_OFFSETS,
    ORDERED_SIZES,
    ORDERED_VALUES,
    ORDERED_WIDTH,
)
from fastfeat_kernels.blocks import INFINITE
from fastfeat_kernels.intrinsics import (
    INNER_OPTIONS,
    SEPARATE_OPTIONS,
    bits_of,
    enter_ieee,
    float_of,
    leave_ieee,
    opaque,
    pointer_float64,
    pointer_int64,
    pointer_uint8,
)

i64 = types.int64
POSITIONS = 1 << OFFSET_BITS
LARGEST = 1.7976931348623157e308


@njit(**INNER_OPTIONS)
def next_float(x):
    """Return the next float above a finite one."""
    bits = bits_of(x)
    if x == 0.0:
        return float_of(i64(1))
    return float_of(bits + 1 if bits > 0 else bits - 1)


@njit(**SEPARATE_OPTIONS)
def count_distinct(address, n):
    """Return how many of n ascending values differ from the one before."""
    x, total = pointer_float64(address), i64(1)
    for i in range(1, n):
        total += i64(x[i] != x[i - 1])
    return total


@njit(**SEPARATE_OPTIONS)
def sum_places(address, n, low, scale):
    """Return the sum of the places of n values of one bin."""
    x, total = pointer_float64(address), i64(0)
    for i in range(n):
        total += i64(types.int32((x[i] - low) * scale))
    return total


@njit(**SEPARATE_OPTIONS)
def end_of_run(address, first, n):
    """Return the end of the run of values, ascending, that equal the one at a place."""
    x = pointer_float64(address)
    value, low, step = x[first], first, i64(1)
    while (low + step < n) and x[low + step] == value:
        low += step
        step <<= 1
    while step > 0:
        if (low + step < n) and x[low + step] == value:
            low += step
        step >>= 1
    return low + 1


@njit(**INNER_OPTIONS)
def add_bin(words, address, at, begin, end, low, high):
    """Write the edge at the begin of a bin, and the rows of the bin; return whether it is too wide.

    Args:
        at: Place of the edge.
        begin, end: Places of the values in the bin.
        low, high: The edges.
    """
    pointer_float64(words[ORDERED_EDGES])[at] = low
    is_atom, width = next_float(low) == high, high - low
    pointer_uint8(words[ORDERED_IS_ATOM])[at + 1] = types.uint8(is_atom)
    pointer_int64(words[ORDERED_COUNTS])[at + 1] = end - begin
    total, is_too_wide = i64(0), bits_of(width) == i64(INFINITE)
    if (not is_atom) & (end > begin) & (not is_too_wide):
        scale = POSITIONS / width
        if bits_of(scale) < i64(INFINITE):
            total = sum_places(address + 8 * begin, end - begin, low, scale)
    pointer_int64(words[ORDERED_OFFSETS])[at + 1] = total
    return is_too_wide


@njit(**INNER_OPTIONS)
def next_begin(address, begin, n, most):
    """Return the end of the bin that begins at a place and is not the bin of a single value."""
    x, after = pointer_float64(address), i64(types.float64(begin) + most)
    if after >= n:
        return n
    while x[after - 1] == x[after]:
        after -= 1
    return after


@njit(**INNER_OPTIONS)
def add_column(words, address, n, first):
    """Write the bins of a column; return the end of its edges, `first` if it has none."""
    x = pointer_float64(address)
    above_all, is_odd = next_float(x[n - 1]), (x[0] <= -LARGEST) | (x[n - 1] >= LARGEST)
    n_bins = words[ORDERED_N_BINS]
    most, is_each_own = n / n_bins, count_distinct(address, n) <= n_bins
    at, begin, light = first, i64(0), i64(most)
    while begin < n:
        value = x[begin]
        is_own = is_each_own
        if (not is_own) & (begin + light < n):
            is_own = x[begin + light] == value
        if is_own:
            end, high = end_of_run(address, begin, n), next_float(value)
        else:
            end = next_begin(address, begin, n, most)
            high = above_all
            if end < n:
                high = x[end]
        is_odd |= add_bin(words, address, at, begin, end, value, high)
        at += 1
        if is_own & (end < n) and x[end] != high:  # else one edge serves both bins
            is_odd |= add_bin(words, address, at, end, end, high, x[end])
            at += 1
        begin = end
    pointer_float64(words[ORDERED_EDGES])[at] = above_all
    at += 1
    if is_odd:
        return first
    pointer_uint8(words[ORDERED_IS_ATOM])[at] = types.uint8(0)
    pointer_int64(words[ORDERED_COUNTS])[at] = i64(0)
    pointer_int64(words[ORDERED_OFFSETS])[at] = i64(0)
    return at


def _ordered(table, first, n):
    saved = enter_ieee()
    words = pointer_int64(opaque(table))
    sizes, ends = pointer_int64(words[ORDERED_SIZES]), pointer_int64(words[ORDERED_ENDS])
    at = i64(0)
    if first > 0:
        at = ends[first - 1]
    for column in range(first, first + n):
        if sizes[column] > 0:
            row = words[ORDERED_VALUES] + 8 * column * words[ORDERED_WIDTH]
            at = add_column(words, row, sizes[column], at)
        ends[column] = at
    leave_ieee(saved)
    return 0


ORDERED_ENTRIES = {ORDERED: _ordered}
