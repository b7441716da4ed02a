"""A column and its groups, sorted into partitions of neighbouring groups."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from fastfeat_kernels.column import Chunk, Rows, Run
from fastfeat_kernels.grouped import layout
from fastfeat_kernels.grouped.tables import Groups, Words, rows_call, scratch

SEQUENCES_PER_PART = 4  # of calls on partitions, which may be of very different sizes


class Partitions(NamedTuple):
    """Values and groups of the rows that are in a group.

    Args:
        element: type of the values: float64 with NaN for missing, int64 or uint64.
        shift: partition p has the groups g with g >> shift == p.
        values: shape (n,): 8 bytes each.
        groups: shape (n,): the group, or ~group where an integer is missing.
        starts: shape (n_partitions + 1,): where each partition begins, and the end.
    """

    element: str
    shift: int
    values: Words
    groups: Groups
    starts: Words


def split_groups(
    element: str,
    parts: Sequence[Sequence[Rows[Chunk]]],
    groups: Groups,
    n_groups: int,
    shift: int,
    run: Run,
) -> Partitions:
    """Return rows in partitions, in their order within each.

    Args:
        element: type of the values, of `column.ELEMENTS`.
        parts: the rows of the column, as they are divided between calls.
        groups: shape (n_rows,): number of the group of each row; negative where it is in none.
        n_groups: how many groups there are.
        shift: how many bits the groups of one partition differ in.
        run: runs sequences of calls of `cpu.ENTRIES`.
    """
    n_partitions = max(-(-n_groups >> shift), 1)
    cursors = np.zeros((len(parts), n_partitions), np.int64)
    words = [{layout.TABLE_CURSORS: own.ctypes.data, layout.TABLE_SHIFT: shift} for own in cursors]
    calls = [
        [rows_call(element, rows, groups, own, cursors) for rows in part]
        for part, own in zip(parts, words, strict=True)
    ]
    run("count", calls)
    counts = cursors.T.ravel()
    ends = np.cumsum(counts)
    cursors[:] = (ends - counts).reshape(n_partitions, len(parts)).T
    starts = np.concatenate([np.zeros(1, np.int64), ends[len(parts) - 1 :: len(parts)]])
    values, numbers = np.empty(ends[-1], np.int64), np.empty(ends[-1], np.int32)
    spaces = [scratch() for _ in parts]
    for sequence, space in zip(calls, spaces, strict=True):
        for call in sequence:
            call.table[layout.TABLE_LEFT_VALUES] = values.ctypes.data
            call.table[layout.TABLE_LEFT_GROUPS] = numbers.ctypes.data
            call.table[layout.TABLE_SCRATCH] = space.ctypes.data
    run("scatter", calls)
    return Partitions(_stored(element), shift, values, numbers, starts)


def _stored(element: str) -> str:
    if element.startswith("float"):
        return "float64"
    return "uint64" if element == "uint64" else "int64"
