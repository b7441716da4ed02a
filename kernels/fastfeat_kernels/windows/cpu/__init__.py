# pyright: basic
"""Windows on the CPU: the entries."""

from __future__ import annotations

from fastfeat_kernels.windows.cpu.dealing import collect, count, deal, keep
from fastfeat_kernels.windows.cpu.outputs import read_any
from fastfeat_kernels.windows.cpu.pieces import computer
from fastfeat_kernels.windows.cpu.ranks import no_ranks, nothing_read, rank_column, read_ordered
from fastfeat_kernels.windows.cpu.sorting import check, order
from fastfeat_kernels.windows.cpu.survey import add, survey

ENTRIES = {
    "keep": keep,
    "count": count,
    "deal": deal,
    "order": order,
    "check": check,
    "survey": survey,
    "add": add,
    "compute": computer(nothing_read, no_ranks),
    "compute_ordered": computer(read_ordered, rank_column),
    "compute_any": computer(read_any, rank_column),
    "collect": collect,
}
