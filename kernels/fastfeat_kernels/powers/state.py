"""Sums of powers of a column, which merge, and the shapes of values by group."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from fastfeat_kernels.column import ELEMENTS, Call, Chunk, Rows, Run, split_rows
from fastfeat_kernels.grouped.order import Ordered
from fastfeat_kernels.moments.state import integer_of
from fastfeat_kernels.powers import layout

Words = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class PowerSums:
    """Exact sums of powers of the values of a column; equal for any split of its rows.

    Args:
        count: values, infinities included.
        n_infinite: how many of them are infinite, which add nothing to the sums.
        sums: of x, x**2, x**3 and x**4, in units of 1, or of 2**-1074 and its powers of floats.
    """

    count: int = 0
    n_infinite: int = 0
    sums: tuple[int, int, int, int] = (0, 0, 0, 0)


NO_POWERS: Final = PowerSums()
"""The sums of no rows."""


def merge(a: PowerSums, b: PowerSums) -> PowerSums:
    """Return the sums of the rows of both, which are of one type.

    >>> merge(PowerSums(1, 0, (2, 4, 8, 16)), PowerSums()).sums
    (2, 4, 8, 16)
    """
    first, second, third, fourth = (x + y for x, y in zip(a.sums, b.sums, strict=True))
    return PowerSums(a.count + b.count, a.n_infinite + b.n_infinite, (first, second, third, fourth))


def summarize(element: str, chunks: Sequence[Chunk], run: Run, n_parts: int = 1) -> PowerSums:
    """Return the sums of powers of a column.

    Args:
        element: type of the values, of `column.ELEMENTS`.
        chunks: the column.
        run: runs sequences of calls of `cpu.ENTRIES`.
        n_parts: into how many runs of rows to divide the work; the result does not depend on it.
    """
    parts = split_rows(chunks, n_parts)
    states = [np.zeros(layout.N_STATE_WORDS, np.int64) for _ in parts]
    calls = [
        [_call(element, rows, state) for rows in part]
        for part, state in zip(parts, states, strict=True)
    ]
    run("rows", calls)
    found = NO_POWERS
    for state in states:
        found = merge(found, _read(state))
    return found


def shapes_of(
    ordered: Ordered, shape: str, options: int, run: Run, n_parts: int = 1
) -> npt.NDArray[np.float64]:
    """Return the shape of the values of each group, shape (n_groups,); NaN where it is missing.

    Args:
        ordered: the values by group.
        shape: which one, of `layout.SHAPES`.
        options: `layout.options_of` it.
        run: runs sequences of calls of `cpu.ENTRIES`.
        n_parts: into how many runs of groups to divide the work; the result does not depend on it.
    """
    n_groups = len(ordered.counts)
    found = np.empty(n_groups, np.float64)
    share = -(-n_groups // n_parts) or 1
    calls: list[list[Call]] = []
    for first in range(0, n_groups, share):
        memory = np.empty(layout.N_SUM_WORDS + layout.N_READING_WORDS, np.int64)
        table = np.zeros(layout.N_TABLE_WORDS, np.int64)
        table[layout.TABLE_ELEMENT] = ELEMENTS.index(ordered.element)
        table[layout.TABLE_STATE] = memory.ctypes.data
        table[layout.TABLE_KEYS] = ordered.keys.ctypes.data
        table[layout.TABLE_STARTS] = ordered.starts.ctypes.data
        table[layout.TABLE_COUNTS] = ordered.counts.ctypes.data
        table[layout.TABLE_SHAPE] = layout.SHAPES[shape]
        table[layout.TABLE_OPTIONS] = options
        table[layout.TABLE_OUT] = found.ctypes.data
        owners = memory, ordered, found
        calls.append([Call(table, first, min(share, n_groups - first), owners)])
    run("groups", calls)
    return found


def _call(element: str, rows: Rows[Chunk], state: Words) -> Call:
    table = np.zeros(layout.N_TABLE_WORDS, np.int64)
    chunk = rows.chunk
    table[layout.TABLE_VALUES] = chunk.values
    table[layout.TABLE_VALUE_BIT_OFFSET] = chunk.value_bit_offset
    table[layout.TABLE_VALIDITY] = chunk.validity
    table[layout.TABLE_BIT_OFFSET] = chunk.bit_offset
    table[layout.TABLE_ELEMENT] = ELEMENTS.index(element)
    table[layout.TABLE_STATE] = state.ctypes.data
    return Call(table, rows.first, rows.n, (chunk, state))


def _read(state: Words) -> PowerSums:
    first, second, third, fourth = (
        integer_of(state, layout.STATE_SUMS + start, n)
        for start, n in zip(layout.SUMS, layout.N_LIMBS, strict=True)
    )
    count, n_infinite = int(state[layout.COUNT]), int(state[layout.N_INFINITE])
    return PowerSums(count, n_infinite, (first, second, third, fourth))
