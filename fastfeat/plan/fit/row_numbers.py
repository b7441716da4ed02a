"""The rows that a state has, told by sums of their numbers: a row given twice, or another one.

Three numbers, whatever the rows are, so that they merge and go through bytes with the state.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fastfeat.engine.learner import Rows

_WORD = (1 << 64) - 1


class RowNumbers(NamedTuple):
    """Sums over the numbers of some rows.

    Args:
        n: how many there are.
        end: one more than the largest; 0 where there is none.
        total: the sum of the numbers, modulo 2^64.
        squares: the sum of their squares, modulo 2^64.
    """

    n: int = 0
    end: int = 0
    total: int = 0
    squares: int = 0

    def with_all(self, other: RowNumbers) -> RowNumbers:
        """Return the sums over the numbers of both."""
        return RowNumbers(
            self.n + other.n,
            max(self.end, other.end),
            (self.total + other.total) & _WORD,
            (self.squares + other.squares) & _WORD,
        )

    @property
    def has_repeated(self) -> bool:
        """Whether a number came twice, as far as sums tell.

        They do not where numbers of rows are left out, unless as many come twice.
        """
        return self.n > self.end or (self.n == self.end and self != sums_of(range(self.n)))


def sums_of(rows: Rows) -> RowNumbers:
    """Return the sums over the numbers of rows, which ascend."""
    if not len(rows):
        return RowNumbers()
    if isinstance(rows, range):
        first, end = rows.start, rows.stop
        total = (first + end - 1) * len(rows) // 2
        squares = _squares_below(end) - _squares_below(first)
    else:
        wide = np.asarray(rows).astype(np.uint64)
        end, total = int(rows[-1]) + 1, int(wide.sum())
        squares = int((wide * wide).sum())
    return RowNumbers(len(rows), end, total & _WORD, squares & _WORD)


def _squares_below(n: int) -> int:
    """Return the sum of the squares of 0, 1, ... n - 1."""
    return (n - 1) * n * (2 * n - 1) // 6
