# pyright: basic
"""Windows on the CPU: the entries.

`engine.cpu` imports it by name; `asof` uses its arithmetic.
"""

from __future__ import annotations

from numba import njit

from fastfeat_kernels.intrinsics import INNER_OPTIONS
from fastfeat_kernels.windows.cpu.dealing import collect, count, deal, keep
from fastfeat_kernels.windows.cpu.outputs import nothing_read, reader_of
from fastfeat_kernels.windows.cpu.pieces import computer
from fastfeat_kernels.windows.cpu.ranks import rank_column
from fastfeat_kernels.windows.cpu.sorting import check, order
from fastfeat_kernels.windows.cpu.survey import add, survey
from fastfeat_kernels.windows.statistics import FAMILIES


@njit(**INNER_OPTIONS)
def no_ranks(words, column, first, end):
    """Prepare nothing, for requests without order statistics: this compiles in less time."""


def entry_of(families):
    """Return the entry that computes the statistics of some families."""
    read = reader_of({family.number for family in families})
    return computer(read, no_ranks if read is nothing_read else rank_column)


ENTRIES = {
    "keep": keep,
    "count": count,
    "deal": deal,
    "order": order,
    "check": check,
    "survey": survey,
    "add": add,
    **{name: entry_of(families) for name, families in FAMILIES.items()},
    "collect": collect,
}
