# pyright: basic
"""Exact integers of any size in memory: 32-bit limbs that stand in int64; carries can wait."""

from __future__ import annotations

from numba import njit, types

from fastfeat_kernels.intrinsics import INNER_OPTIONS, pointer_int64, shift_logical
from fastfeat_kernels.moments.layout import N_SQUARE_LIMBS, N_SUM_LIMBS, SQUARES, SUM

i64 = types.int64
LOW_HALF = 2**32 - 1


@njit(**INNER_OPTIONS)
def add_shifted(limbs, value, shift):
    """Add value * 2**shift to an array of 32-bit limbs that stand in int64."""
    k, r = shift >> 5, shift & 31
    low = (value & LOW_HALF) << r
    high = (value >> 32) << r
    limbs[k] += low & LOW_HALF
    limbs[k + 1] += shift_logical(low, 32) + (high & LOW_HALF)
    limbs[k + 2] += high >> 32


@njit(**INNER_OPTIONS)
def normalize(limbs, n):
    """Carry what stands above 32 bits into the next limb; the last keeps the sign."""
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
