"""The first row that fails, found by running ever fewer rows of a failed piece."""

from __future__ import annotations

from collections.abc import Callable

WORD_ROWS = 64
"""Rows whose bits of validity are one word; pieces of rows begin at multiples of it."""


def first_failing_row(fails: Callable[[int, int], bool], n_rows: int) -> int:
    """Return the first row that fails, of rows some of which do.

    Where none does any more, because the data has changed meanwhile, it is a row near by.

    Args:
        fails: whether any of n rows from a first one fails; the first one is a multiple of 64.
        n_rows: how many rows there are.
    """
    low, high = 0, -(-n_rows // WORD_ROWS)  # the failing word is in [low, high)
    while high - low > 1:
        middle = (low + high) // 2
        if fails(low * WORD_ROWS, (middle - low) * WORD_ROWS):
            high = middle
        else:
            low = middle
    start = low * WORD_ROWS
    return start + next((n for n in range(1, n_rows - start + 1) if fails(start, n)), 1) - 1
