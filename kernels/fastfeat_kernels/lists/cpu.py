# pyright: basic
"""The kernels of lists of the CPU: one pass over the elements, eight lists at once.

Where the number of rows is no multiple of eight, the last eight are computed, some of them again.
"""

from __future__ import annotations

from numba import njit, types

from fastfeat_kernels.intrinsics import (
    INNER_OPTIONS,
    enter_ieee,
    leave_ieee,
    opaque,
    pointer_int64,
    select,
    smaller,
)
from fastfeat_kernels.lists.lanes import LANES, least_words, sum_floats, sum_integers
from fastfeat_kernels.lists.layout import (
    COUNTS,
    FLIP,
    INDEX,
    LEFT,
    MAGNITUDE,
    OFFSETS,
    RESULTS,
    VALUES,
)

i64 = types.int64


@njit(**INNER_OPTIONS)
def at(words, word, row):
    """Return the address of a row in the array of 8 bytes a row that a word of the table tells."""
    return words[word] + (row << 3)


def sums(table, first, n):
    """Write sum and count of each row, and whether the sum is left to the caller."""
    saved = enter_ieee()
    words = pointer_int64(opaque(table))
    end = pointer_int64(words[OFFSETS])[first + n]
    for start in range(first, first + n, LANES):
        row = smaller(start, first + n - LANES)
        sum_floats(
            at(words, OFFSETS, row),
            words[VALUES],
            end,
            at(words, RESULTS, row),
            at(words, COUNTS, row),
            at(words, LEFT, row),
        )
    leave_ieee(saved)
    return 0


def integer_sums(table, first, n):
    """Write the sum of each row, and whether int64 does not hold it."""
    words = pointer_int64(opaque(table))
    end = pointer_int64(words[OFFSETS])[first + n]
    for start in range(first, first + n, LANES):
        row = smaller(start, first + n - LANES)
        sum_integers(
            at(words, OFFSETS, row),
            words[VALUES],
            end,
            at(words, RESULTS, row),
            at(words, LEFT, row),
        )
    return 0


def extremes(table, first, n):
    """Write the least or the greatest word of each row, and how many there are."""
    words = pointer_int64(opaque(table))
    end = pointer_int64(words[OFFSETS])[first + n]
    for start in range(first, first + n, LANES):
        row = smaller(start, first + n - LANES)
        least_words(
            at(words, OFFSETS, row),
            words[VALUES],
            end,
            at(words, RESULTS, row),
            at(words, COUNTS, row),
            words[MAGNITUDE],
            words[FLIP],
        )
    return 0


def elements(table, first, n):
    """Write one element of each row, as a word, and whether there is one."""
    words = pointer_int64(opaque(table))
    offsets, values, index = (
        pointer_int64(words[OFFSETS]),
        pointer_int64(words[VALUES]),
        words[INDEX],
    )
    results, there = pointer_int64(words[RESULTS]), pointer_int64(words[COUNTS])
    for row in range(first, first + n):
        place = select(index < 0, offsets[row + 1], offsets[row]) + index
        inside = (place >= offsets[row]) & (place < offsets[row + 1])
        there[row] = select(inside, i64(1), i64(0))
        results[row] = 0
        if inside:
            results[row] = values[place]
    return 0


ENTRIES = {
    "elements": elements,
    "extremes": extremes,
    "integer_sums": integer_sums,
    "sums": sums,
}
