"""Requests for statistics over windows, and their results: data alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from fastfeat_kernels.column import Chunk
from fastfeat_kernels.words import Interpolation, RankMethod

NO_BOUND: Final = -(2**63)


class Window(NamedTuple):
    """The rows of its entity that a row at time t sees.

    Args:
        low: they are at t + low or later; `NO_BOUND` for all.
        high: they are at t + high or earlier; `NO_BOUND` for all.
        own: the window ends with the row itself; `high` is not read.
        rows: of those the latest so many; 0 for all.
        min_samples: of fewer values a statistic, but count and n_rows, is missing.
    """

    low: int = NO_BOUND
    high: int = NO_BOUND
    own: bool = False
    rows: int = 0
    min_samples: int = 0

    @property
    def is_open(self) -> bool:
        """Whether it holds all rows before its end."""
        return self.low == NO_BOUND and self.rows == 0


class Column(NamedTuple):
    """A column of values.

    Args:
        element: their type, of `column.ELEMENTS`.
        chunks: where they lie.
    """

    element: str
    chunks: Sequence[Chunk]


class Wanted(NamedTuple):
    """A statistic of a column over a window.

    Args:
        window: the window.
        column: place of the column; n_rows reads none.
        statistic: its name in `statistics.STATISTICS`.
        ddof: of var and std: what is taken from the number of values.
        n: of lag: which of the latest rows, 1 for the latest.
        q: of quantile, in [0, 1].
        interpolation: of quantile.
        since: of last and lag of integers: how long before the time of the row the value is, times
            the first number and, as float64, divided by the second; as int64 where that is 0.
        method: of rank and percentile: which of the ranks of equal values.
        decay: of weights that fall by rows: what is left of a weight one row later, in [0, 1].
        half_life: of weights that fall by time: after how much time half of it is left, above 0.
        per: of slope: its factor and divisor, in [1, 2**31).
        bias: of skew and kurtosis: whether it is that of the values, not of a sample.
        fisher: of kurtosis: whether that of the normal distribution is 0, not 3.
    """

    window: Window
    column: int
    statistic: str
    ddof: int = 1
    n: int = 1
    q: float = 0.5
    interpolation: Interpolation = "linear"
    since: tuple[int, int] | None = None
    method: RankMethod = "average"
    decay: float = 0.5
    half_life: float = 1.0
    per: tuple[int, int] = (1, 1)
    bias: bool = True
    fisher: bool = True


class Wanteds(tuple[Wanted, ...]):
    """Statistics that are asked for again and again: their hash is computed once."""

    _hash: int | None = None

    def __hash__(self) -> int:
        """Return the hash of the statistics."""
        if self._hash is None:
            self._hash = super().__hash__()
        return self._hash

    def __eq__(self, other: object) -> bool:
        """Return whether others are the same statistics."""
        return self is other or super().__eq__(other)

    def __ne__(self, other: object) -> bool:
        """Return whether others are other statistics."""
        return not self == other


class Found(NamedTuple):
    """A statistic of each row that asks, in input order.

    Args:
        values: shape (n_rows,): float64 with NaN for missing, or int64; min, max, first, last, lag
            and mode are uint64 or bool where the column is.
        validity: a bit for each row, the lowest of a byte first, whether there is a value; None
            where all rows have one.
        overflow_row: the first row, of the input, whose value does not fit int64; -1 if all do.
    """

    values: npt.NDArray[Any]
    validity: npt.NDArray[np.uint8] | None
    overflow_row: int = -1

    @property
    def present(self) -> npt.NDArray[np.bool_] | None:
        """Shape (n_rows,): whether there is a value; None where all rows have one."""
        if self.validity is None:
            return None
        bits = np.unpackbits(self.validity, count=len(self.values), bitorder="little")
        return bits.view(np.bool_)
