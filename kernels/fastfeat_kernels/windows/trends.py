# pyright: basic
"""What the entry writes that has all statistics: those of order, ranks, averages and trends."""

from __future__ import annotations

from numba import njit

from fastfeat_kernels.intrinsics import INNER_OPTIONS
from fastfeat_kernels.windows.averages import read_averages
from fastfeat_kernels.windows.layout import (
    EWM_MEAN_BY,
    MODE,
    OUTPUT_STATISTIC,
    PERCENTILE,
    SLOPE,
)
from fastfeat_kernels.windows.ranks import read_ordered
from fastfeat_kernels.windows.slopes import read_slopes
from fastfeat_kernels.windows.standings import read_ranks
from fastfeat_kernels.windows.streaks import read_streaks


@njit(**INNER_OPTIONS)
def read_any(words, column, output, begins, ends, n, target):
    """Write the results of an output that is no sum, extreme or single value."""
    statistic = output[OUTPUT_STATISTIC]
    if statistic <= MODE:
        read_ordered(words, column, output, begins, ends, n, target)
    elif statistic <= PERCENTILE:
        read_ranks(words, column, output, begins, ends, n, target)
    elif statistic <= EWM_MEAN_BY:
        read_averages(words, column, output, ends, n, target)
    elif statistic == SLOPE:
        read_slopes(words, column, output, begins, ends, n, target)
    else:
        read_streaks(words, column, output, begins, ends, n, target)
