# pyright: basic
"""Sums of floats of any spread in one entity: integers of up to 4,600 bits, with removals.

Limbs of 32 bits are stored in 64, lowest first, in units of 2**-1074 and, for squares, 2**-2148.
They are carried when a window is read, and only as far as the entity's values reach.
"""

from __future__ import annotations

from numba import njit, types

from fastfeat_kernels.blocks import HIGHEST, INFINITE, NAN_BITS
from fastfeat_kernels.digits import FRACTION, LOW, UNIT, carry, divided, finish, top_of_digits
from fastfeat_kernels.grouped.cpu.exact_integers import square_root
from fastfeat_kernels.intrinsics import (
    INNER_OPTIONS,
    SEPARATE_OPTIONS,
    bits_of,
    float_of,
    larger,
    pointer_int32,
    pointer_int64,
    select,
    shift_logical,
)
from fastfeat_kernels.windows import layout
from fastfeat_kernels.windows.cpu.vectors import multiply_wrapping
from fastfeat_kernels.windows.statistics import DEVIATION, MEAN, SUM, VARIANCE

i64 = types.int64
MAX_DIGITS = 160
ADDED, REMOVED = 0, 1  # words of the state


@njit(**INNER_OPTIONS)
def add_shifted(limbs, mantissa, place, sign):
    """Add sign * mantissa * 2**place, for a mantissa of 53 bits."""
    at, shift = place >> 5, place & 31
    limbs[at] += sign * ((mantissa << shift) & LOW)
    limbs[at + 1] += sign * ((mantissa >> (32 - shift)) & LOW)
    limbs[at + 2] += sign * ((mantissa >> 32) >> (32 - shift))


@njit(**INNER_OPTIONS)
def add_square_shifted(limbs, mantissa, place, sign):
    """Add sign * mantissa**2 * 4**place."""
    low, high = mantissa & LOW, mantissa >> 32
    a, b, c = multiply_wrapping(low, low), 2 * low * high, high * high
    d0 = a & LOW
    b += shift_logical(a, i64(32))
    d1, c = b & LOW, c + (b >> 32)
    d2, d3 = c & LOW, c >> 32
    at, shift = (2 * place) >> 5, (2 * place) & 31
    back = 32 - shift
    limbs[at] += sign * ((d0 << shift) & LOW)
    limbs[at + 1] += sign * (((d1 << shift) & LOW) + (d0 >> back))
    limbs[at + 2] += sign * (((d2 << shift) & LOW) + (d1 >> back))
    limbs[at + 3] += sign * (((d3 << shift) & LOW) + (d2 >> back))
    limbs[at + 4] += sign * (d3 >> back)


@njit(**INNER_OPTIONS)
def add_value(sums, squares, bits, has_squares, sign):
    """Add a float, or remove it if sign is -1; missing and infinite values are ignored."""
    size = bits & HIGHEST
    if (size != 0) & (size < INFINITE):
        exponent = size >> 52
        mantissa = (size & FRACTION) | select(exponent != 0, i64(FRACTION + 1), i64(0))
        place = larger(exponent, i64(1)) - 1
        add_shifted(sums, mantissa, place, select(bits < 0, -sign, sign))
        if has_squares:
            add_square_shifted(squares, mantissa, place, sign)


@njit(**SEPARATE_OPTIONS)
def take_square(target, digits, n):
    """Subtract the square of n digits from an integer that is not less."""
    for i in range(n):
        rest, factor = i64(0), digits[i]
        for j in range(n):
            product = multiply_wrapping(factor, digits[j])
            total = target[i + j] - (product & LOW) + rest
            target[i + j] = total & LOW
            rest = (total >> 32) - shift_logical(product, i64(32))
        k = i + n
        while rest != 0:
            total = target[k] + rest
            target[k] = total & LOW
            rest = total >> 32
            k += 1


@njit(**SEPARATE_OPTIONS)
def read_level(limbs, scratch, state, count, statistic):
    """Return a sum or mean."""
    digits = pointer_int64(scratch + layout.DIGITS)
    first = state[layout.STATE_LOWEST] >> 5
    n = (state[layout.STATE_HIGHEST] >> 5) + 5 - first
    sign = carry(limbs, first, n, digits)
    top, place = top_of_digits(digits, n)
    total, exponent = types.float64(sign * top), place + 32 * first + UNIT
    if statistic == SUM:
        return finish(total, 0.0, exponent)
    return divided(total, types.float64(count), exponent)


@njit(**SEPARATE_OPTIONS)
def read_spread(sums, squares, scratch, state, count, ddof, statistic):
    """Return a variance or deviation."""
    digits, spread = (
        pointer_int64(scratch + layout.DIGITS),
        pointer_int64(scratch + layout.DIGITS + 8 * MAX_DIGITS),
    )
    first = state[layout.STATE_LOWEST] >> 5
    n = (state[layout.STATE_HIGHEST] >> 5) + 5 - first
    n_squares, rest = 2 * n, i64(0)
    for k in range(n_squares):
        total = squares[2 * first + k] + rest
        spread[k] = total & LOW
        rest = total >> 32
    rest = i64(0)
    for k in range(n_squares):
        total = spread[k] * count + rest
        spread[k] = total & LOW
        rest = total >> 32
    carry(sums, first, n, digits)
    take_square(spread, digits, n)
    top, place = top_of_digits(spread, n_squares)
    exponent = place + 64 * first + 2 * UNIT
    divisor = types.float64(count * (count - ddof))
    if statistic != DEVIATION:
        return divided(types.float64(top), divisor, exponent)
    variance, odd = types.float64(top) / divisor, exponent & 1
    root = square_root(variance * types.float64(1 + odd))
    return finish(root, 0.0, (exponent - odd) >> 1)


@njit(**SEPARATE_OPTIONS)
def clear_wide(words, output):
    """Reset the sums."""
    limbs = pointer_int64(words[layout.TABLE_SCRATCH] + output[layout.OUTPUT_MEMORY])
    for k in range(layout.N_WIDE_WORDS):
        limbs[k] = i64(0)
    state = pointer_int64(words[layout.TABLE_SCRATCH] + output[layout.OUTPUT_STATE])
    state[ADDED], state[REMOVED] = i64(0), i64(0)


@njit(**SEPARATE_OPTIONS)
def read_wide(words, column, output, begins_at, ends_at, n, target):
    """Write sums, means, variances or deviations of floats of any spread."""
    scratch, statistic = words[layout.TABLE_SCRATCH], output[layout.OUTPUT_STATISTIC]
    x = pointer_int64(scratch + column[layout.COLUMN_WORDS])
    sums = pointer_int64(scratch + output[layout.OUTPUT_MEMORY])
    squares = pointer_int64(scratch + output[layout.OUTPUT_MEMORY] + 8 * layout.N_SUM_LIMBS)
    begins, ends, results = pointer_int32(begins_at), pointer_int32(ends_at), pointer_int64(target)
    counts, state = (
        pointer_int32(scratch + layout.COUNTS),
        pointer_int64(scratch + output[layout.OUTPUT_STATE]),
    )
    known, ddof = (
        pointer_int64(scratch + column[layout.COLUMN_STATE]),
        output[layout.OUTPUT_PARAMETER],
    )
    has_squares = (statistic == VARIANCE) | (statistic == DEVIATION)
    added, removed = state[ADDED], state[REMOVED]
    for j in range(n):
        while added < ends[j]:
            add_value(sums, squares, x[added], has_squares, i64(1))
            added += 1
        while removed < begins[j]:
            add_value(sums, squares, x[removed], has_squares, i64(-1))
            removed += 1
        count, value = i64(counts[j]), float_of(i64(NAN_BITS))
        if statistic == SUM or (statistic == MEAN and count > 0):
            value = read_level(sums, scratch, known, count, statistic)
        elif has_squares and count > ddof:
            value = read_spread(sums, squares, scratch, known, count, ddof, statistic)
        results[j] = bits_of(value)
    state[ADDED], state[REMOVED] = added, removed
