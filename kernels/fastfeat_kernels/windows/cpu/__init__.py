# pyright: basic
"""Windows on the CPU: the entries, and the loops of families of statistics by their rows."""

from __future__ import annotations

from importlib import import_module

from numba import njit

from fastfeat_kernels.intrinsics import INNER_OPTIONS
from fastfeat_kernels.windows.cpu.dealing import collect, count, deal, keep
from fastfeat_kernels.windows.cpu.pieces import computer
from fastfeat_kernels.windows.cpu.ranks import rank_column
from fastfeat_kernels.windows.cpu.sorting import check, order
from fastfeat_kernels.windows.cpu.survey import add, survey
from fastfeat_kernels.windows.layout import OUTPUT_FAMILY
from fastfeat_kernels.windows.statistics import FAMILIES


@njit(**INNER_OPTIONS)
def no_ranks(words, column, first, end):
    """Prepare nothing, where no order statistic is asked for: the entry compiles in less time."""


@njit(**INNER_OPTIONS)
def nothing_read(words, column, output, begins_at, ends_at, n, target):
    """Write nothing, where an entry has no such loop."""


def reader_of(families):
    """Return what writes the results of an output of some families, by the loop of its own."""
    if not families:
        return nothing_read
    first, *others = families
    number = first.number
    module, _, name = first.loop.partition(".")
    loop = getattr(import_module(f".{module}", __package__), name)
    read_others = reader_of(others)

    @njit(**INNER_OPTIONS)
    def read(words, column, output, begins_at, ends_at, n, target):
        if output[OUTPUT_FAMILY] == number:
            loop(words, column, output, begins_at, ends_at, n, target)
        else:
            read_others(words, column, output, begins_at, ends_at, n, target)

    return read


def entry_of(families):
    """Return the entry that computes the statistics of some families."""
    with_loops = sorted((one for one in families if one.loop), key=lambda one: one.number)
    return computer(reader_of(with_loops), rank_column if with_loops else no_ranks)


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
