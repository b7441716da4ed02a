# pyright: basic
"""The loops of families of statistics that not all entries have, by the number of the family.

A loop takes (words, column, output, begins_at, ends_at, n, target): it writes the results of an
output for n windows of a block, one after the other of each entity.
"""

from __future__ import annotations

from numba import njit

from fastfeat_kernels.intrinsics import INNER_OPTIONS
from fastfeat_kernels.windows.averages import read_averages
from fastfeat_kernels.windows.layout import OUTPUT_FAMILY
from fastfeat_kernels.windows.ranks import read_ordered
from fastfeat_kernels.windows.slopes import read_slopes
from fastfeat_kernels.windows.standings import read_ranks
from fastfeat_kernels.windows.statistics import DECAYING, FITTING, ORDERING, RANKING, RUNNING
from fastfeat_kernels.windows.streaks import read_streaks

LOOPS = {
    ORDERING: read_ordered,
    RANKING: read_ranks,
    DECAYING: read_averages,
    FITTING: read_slopes,
    RUNNING: read_streaks,
}


@njit(**INNER_OPTIONS)
def nothing_read(words, column, output, begins_at, ends_at, n, target):
    """Write nothing, where an entry has no such loop."""


def reader_of(families):
    """Return what writes the results of an output of some families, by the loop of its own.

    Args:
        families: their numbers; those that all entries have are left out.
    """
    numbers = [number for number in LOOPS if number in families]
    if not numbers:
        return nothing_read
    first, *others = numbers
    loop, read_others = LOOPS[first], reader_of(others)

    @njit(**INNER_OPTIONS)
    def read(words, column, output, begins_at, ends_at, n, target):
        if output[OUTPUT_FAMILY] == first:
            loop(words, column, output, begins_at, ends_at, n, target)
        else:
            read_others(words, column, output, begins_at, ends_at, n, target)

    return read
