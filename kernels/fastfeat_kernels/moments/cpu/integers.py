# pyright: basic
"""Blocks of integers: sums within 64 bits in a block, split into halves if necessary."""

from __future__ import annotations

from numba import njit, types

from fastfeat_kernels.blocks import HIGHEST, LOWEST, count_bits, mask
from fastfeat_kernels.intrinsics import (
    INNER_OPTIONS,
    larger,
    pointer_int64,
    select,
    shift_logical,
    smaller,
)
from fastfeat_kernels.moments import (
    COUNT,
    MAX_KEY,
    MIN_KEY,
    N_SQUARE_LIMBS,
    N_SUM_LIMBS,
    SQUARES,
    SUM,
)

i64 = types.int64

LOW_HALF = 2**32 - 1


@njit(**INNER_OPTIONS)
def add_shifted(limbs, value, shift):
    """Add value * 2**shift to an array of 32-bit limbs in int64 words."""
    k, r = shift >> 5, shift & 31
    low = (value & LOW_HALF) << r
    high = (value >> 32) << r
    limbs[k] += low & LOW_HALF
    limbs[k + 1] += shift_logical(low, 32) + (high & LOW_HALF)
    limbs[k + 2] += high >> 32


@njit(**INNER_OPTIONS)
def normalize(limbs, n):
    """Carry bits above 32 into the next limb; the last keeps the sign."""
    carry = i64(0)
    for k in range(n - 1):
        carry += limbs[k]
        limbs[k] = carry & LOW_HALF
        carry >>= 32
    limbs[n - 1] += carry


@njit(**INNER_OPTIONS)
def normalize_state(state):
    """Carry in both sums."""
    normalize(pointer_int64(state + 8 * SUM), i64(N_SUM_LIMBS))
    normalize(pointer_int64(state + 8 * SQUARES), i64(N_SQUARE_LIMBS))


@njit(**INNER_OPTIONS)
def extent(low_side, high_side, n):
    """Return the minimum of one int64 array and the maximum of another (or the same)."""
    x, y = pointer_int64(low_side), pointer_int64(high_side)
    low, high = i64(HIGHEST), LOWEST
    for i in range(n):
        low, high = smaller(low, x[i]), larger(high, y[i])
    return low, high


@njit(**INNER_OPTIONS)
def add_small_integers(address, n, limbs, square_limbs):
    """Add integers below 2**26 in magnitude, and their squares; all sums fit 64 bits."""
    x = pointer_int64(address)
    total, squares = i64(0), i64(0)
    for i in range(n):
        total += x[i]
        squares += x[i] * x[i]
    add_shifted(limbs, total, i64(0))
    add_shifted(square_limbs, squares, i64(0))


@njit(**INNER_OPTIONS)
def add_integers(address, n, limbs):
    """Add any integers to the sum, by 32-bit halves."""
    x = pointer_int64(address)
    low, high = i64(0), i64(0)
    for i in range(n):
        low += x[i] & LOW_HALF
        high += x[i] >> 32
    add_shifted(limbs, low, i64(0))
    add_shifted(limbs, high, i64(32))


@njit(**INNER_OPTIONS)
def add_integer_squares(address, n, limbs):
    """Add the squares of any integers: products of their halves, split again."""
    x = pointer_int64(address)
    ll0, ll1, lh0, lh1, hh0, hh1 = i64(0), i64(0), i64(0), i64(0), i64(0), i64(0)
    for i in range(n):
        size = select(x[i] < 0, -x[i], x[i])  # -2**63 stays itself, as unsigned 2**63
        low, high = size & LOW_HALF, shift_logical(size, 32)
        ll, lh, hh = low * low, low * high, high * high
        ll0 += ll & LOW_HALF
        ll1 += shift_logical(ll, 32)
        lh0 += lh & LOW_HALF
        lh1 += shift_logical(lh, 32)
        hh0 += hh & LOW_HALF
        hh1 += shift_logical(hh, 32)
    add_shifted(limbs, ll0, i64(0))
    add_shifted(limbs, ll1, i64(32))
    add_shifted(limbs, lh0, i64(33))
    add_shifted(limbs, lh1, i64(65))
    add_shifted(limbs, hh0, i64(64))
    add_shifted(limbs, hh1, i64(96))


@njit(**INNER_OPTIONS)
def integer_block(address, n, validity, bit, state, level, spare, other):
    """Add a block of integers to the state."""
    head = pointer_int64(state)
    low_side, high_side = address, address
    if validity != 0:
        low_side, high_side = spare, other
        mask(spare, address, validity, bit, n, i64(HIGHEST))
        mask(other, address, validity, bit, n, LOWEST)
        head[COUNT] += count_bits(validity, bit, n)
    else:
        head[COUNT] += n
    low, high = extent(low_side, high_side, n)
    head[MIN_KEY] = smaller(head[MIN_KEY], low)
    head[MAX_KEY] = larger(head[MAX_KEY], high)
    if level > 0:
        if validity != 0:
            mask(spare, address, validity, bit, n, i64(0))
            address = spare
        limbs, squares = pointer_int64(state + 8 * SUM), pointer_int64(state + 8 * SQUARES)
        if (level > 1) & (low > -(1 << 26)) & (high < 1 << 26):
            add_small_integers(address, n, limbs, squares)
        else:
            add_integers(address, n, limbs)
            if level > 1:
                add_integer_squares(address, n, squares)
