"""Requests for statistics over windows, and their results: data alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from fastfeat_kernels.column import ArrowChunk
from fastfeat_kernels.words import Interpolation, RankMethod

NO_BOUND: Final = -(2**63)


class WindowBounds(NamedTuple):
    """The rows of its entity that a row at time t sees.

    Args:
        low: Lower bound: times from t + low on; `NO_BOUND` for no limit.
        high: Upper bound: times up to t + high; `NO_BOUND` for no limit.
        own: Whether the window ends with the row itself; `high` is then ignored.
        rows: Number of latest rows to keep; 0 for all.
        min_samples: With fewer values, a statistic other than count and n_rows is missing.
    """

    low: int = NO_BOUND
    high: int = NO_BOUND
    own: bool = False
    rows: int = 0
    min_samples: int = 0

    @property
    def is_open(self) -> bool:
        """Whether the window holds all rows before its end."""
        return self.low == NO_BOUND and self.rows == 0


class WindowInput(NamedTuple):
    """A column of values.

    Args:
        element: Type of the values, from `column.ELEMENTS`.
        chunks: Memory of the values.
    """

    element: str
    chunks: Sequence[ArrowChunk]


class WantedStatistic(NamedTuple):
    """A statistic of a column over a window.

    Args:
        window: The window.
        column: Place of the column; n_rows reads none.
        statistic: Name in `statistics.STATISTICS`.
        ddof: For var and std: subtracted from the number of values.
        n: For lag: which of the latest rows, 1 for the latest.
        q: For quantile, in [0, 1].
        interpolation: For quantile.
        since: For last and lag of integers: returns the time from the value to the row, multiplied
            by the first number and divided, as float64, by the second; as int64 if the second is 0.
        method: For rank and percentile: how to rank equal values.
        decay: For weights by rows: factor of a weight one row later, in [0, 1].
        half_life: For weights by time: time in which a weight halves, above 0.
        per: For slope: factor and divisor, in [1, 2**31).
        bias: For skew and kurtosis: whether to return the value of the sample itself, without the
            correction for bias.
        fisher: For kurtosis: whether a normal distribution has 0 instead of 3.
    """

    window: WindowBounds
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


class Wanteds(tuple[WantedStatistic, ...]):
    """Statistics for repeated requests: their hash is computed once."""

    _hash: int | None = None

    def __hash__(self) -> int:
        if self._hash is None:
            self._hash = super().__hash__()
        return self._hash

    def __eq__(self, other: object) -> bool:
        return self is other or super().__eq__(other)

    def __ne__(self, other: object) -> bool:
        return not self == other


class StatisticColumn(NamedTuple):
    """A statistic of each asking row, in input order.

    Args:
        values: Shape (n_rows,): float64 with NaN for missing, or int64; min, max, first, last, lag
            and mode keep the column's type if it is uint64 or bool.
        validity: A bit for each row, lowest bit of a byte first: whether there is a value; None if
            all rows have one.
        overflow_row: First input row with a value that does not fit int64; -1 if all fit.
    """

    values: npt.NDArray[Any]
    validity: npt.NDArray[np.uint8] | None
    overflow_row: int = -1

    @property
    def present(self) -> npt.NDArray[np.bool_] | None:
        """Shape (n_rows,): whether there is a value; None if all rows have one."""
        if self.validity is None:
            return None
        bits = np.unpackbits(self.validity, count=len(self.values), bitorder="little")
        return bits.view(np.bool_)
