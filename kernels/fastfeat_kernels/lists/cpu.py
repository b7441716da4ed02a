# pyright: basic
"""Sums of lists on the CPU: one pass over the numbers, the sum in two floats."""

from __future__ import annotations

from numba import types

from fastfeat_kernels.intrinsics import (
    enter_ieee,
    leave_ieee,
    opaque,
    pointer_float64,
    pointer_int64,
    select,
)
from fastfeat_kernels.lists.layout import COUNTS, LEFT, OFFSETS, SUMS, VALUES

i64 = types.int64


def sums(table, first, n):
    """Write sum and count of each row, and whether the sum is left to the caller."""
    saved = enter_ieee()
    words = pointer_int64(opaque(table))
    offsets, values = pointer_int64(words[OFFSETS]), pointer_float64(words[VALUES])
    totals, counts = pointer_float64(words[SUMS]), pointer_int64(words[COUNTS])
    left = pointer_int64(words[LEFT])
    for row in range(first, first + n):
        high, low, count, inexact = 0.0, 0.0, i64(0), i64(0)
        for i in range(offsets[row], offsets[row + 1]):
            number = values[i]
            is_number = number == number
            x = select(is_number, number, 0.0)
            count += select(is_number, i64(1), i64(0))
            total = high + x
            part = total - high
            error = (high - (total - part)) + (x - part)
            high = total
            total = low + error
            part = total - low
            rest = (low - (total - part)) + (error - part)
            low = total
            inexact |= select(rest == 0.0, i64(0), i64(1))  # NaN where something is not finite
        totals[row], counts[row], left[row] = high + low, count, inexact
    leave_ieee(saved)
    return 0


ENTRIES = {"sums": sums}
