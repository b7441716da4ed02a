"""The bins of a column: its rows are divided, counted, and added up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from fastfeat_kernels.arrays import Float64Array, Int64Array
from fastfeat_kernels.binned import (
    ENTRY,
    N_SCRATCH_WORDS,
    N_TABLE_WORDS,
    TABLE_BASE,
    TABLE_BIT_OFFSET,
    TABLE_CELLS,
    TABLE_COUNTS,
    TABLE_EDGES,
    TABLE_ELEMENT,
    TABLE_FACTOR,
    TABLE_FLAGS,
    TABLE_IS_OF_BITS,
    TABLE_LEAST,
    TABLE_MOMENTS,
    TABLE_MOST,
    TABLE_N_EDGES,
    TABLE_N_OUTSIDE,
    TABLE_OFFSETS,
    TABLE_OUTSIDE,
    TABLE_ROOM,
    TABLE_SCALES,
    TABLE_SCRATCH,
    TABLE_STEP,
    TABLE_VALIDITY,
    TABLE_VALUES,
)
from fastfeat_kernels.binned.grid import EdgeGrid, grid_of
from fastfeat_kernels.column import (
    BLOCK,
    ELEMENTS,
    ArrowChunk,
    CallRunner,
    KernelRowCall,
    split_rows,
)
from fastfeat_kernels.moments.state import (
    Moments,
    make_table,
    merge,
    new_state,
    no_moments,
    read_state,
)
from fastfeat_kernels.records import dataclass

ROWS_FOR_ONE: Final = 512
"""For each so many rows there is room to write down one value outside of all edges."""


@dataclass(frozen=True, slots=True, eq=False)
class BinnedValues:
    """Values counted in bins, and their moments.

    Args:
        counts: Count of each bin, shape (n_edges + 1,); missing rows and -inf are in the first,
            +inf in the last.
        offsets: Sum of places in each bin, shape (n_edges + 1,).
        outside: Values outside of all edges, in any order.
        unwritten: Runs of rows with further such values, as (first, end), ascending.
        moments: Moments with both sums.
    """

    counts: Int64Array
    offsets: Int64Array
    outside: Float64Array
    unwritten: list[tuple[int, int]]
    moments: Moments


class Binnable(NamedTuple):
    """A column to count.

    Args:
        element: Type of the values, of `column.ELEMENTS` but not "bool".
        chunks: The column.
        edges: Finite and ascending, at least one, shape (n_edges,).
        scales: Steps per unit in each bin, shape (n_edges + 1,).
    """

    element: str
    chunks: Sequence[ArrowChunk]
    edges: Float64Array
    scales: Float64Array


def count_in_bins(
    columns: Sequence[Binnable], run: CallRunner, n_parts: int = 1
) -> list[BinnedValues]:
    """Return the bins of columns; the rows of each are divided into `n_parts` runs."""
    parts = [_parts_of(one, n_parts) for one in columns]
    run(ENTRY, [part.calls for of_column in parts for part in of_column])
    return [_read(one, of_column) for one, of_column in zip(columns, parts, strict=True)]


class _Part(NamedTuple):
    """A run of rows of a column: memory for the kernels, and the calls for each of its chunks."""

    totals: Int64Array
    state: Int64Array
    calls: list[KernelRowCall]
    begins: list[int]
    flags: list[npt.NDArray[np.uint8]]
    rooms: list[Float64Array]


def _parts_of(column: Binnable, n_parts: int) -> list[_Part]:
    grid, n_bins = grid_of(column.edges), len(column.edges) + 1
    known = _table_of(column, grid)
    found = list[_Part]()
    for run in split_rows(column.chunks, n_parts, BLOCK):
        scratch, state = np.zeros(N_SCRATCH_WORDS, np.int64), new_state()
        part = _Part(np.zeros((2, n_bins), np.int64), state, [], [], [], [])
        found.append(part)
        for rows in run:
            flags = np.zeros(-(-rows.n // BLOCK), np.uint8)
            room = np.empty(rows.n // ROWS_FOR_ONE + BLOCK)
            moments = make_table(column.element, rows.chunk, state, 2, rows.chunk_start)
            table = known.copy()
            table[_OF_ROWS] = (
                *(rows.chunk.values, rows.chunk.validity, rows.chunk.bit_offset),
                *(part.totals.ctypes.data, part.totals[1:].ctypes.data),
                *(flags.ctypes.data, scratch.ctypes.data),
                *(room.ctypes.data, len(room), moments.ctypes.data),
            )
            owners = column, rows.chunk, grid, scratch, part.totals, state, flags, room, moments
            part.calls.append(KernelRowCall(table, rows.first, rows.n, owners))
            part.begins.append(rows.chunk_start + rows.first)
            part.flags.append(flags)
            part.rooms.append(room)
    return found


_OF_ROWS: Final = [
    *(TABLE_VALUES, TABLE_VALIDITY, TABLE_BIT_OFFSET, TABLE_COUNTS, TABLE_OFFSETS, TABLE_FLAGS),
    *(TABLE_SCRATCH, TABLE_OUTSIDE, TABLE_ROOM, TABLE_MOMENTS),
]


def _table_of(column: Binnable, grid: EdgeGrid) -> Int64Array:
    """Return an entry's table with the words that all rows of a column share."""
    table = np.zeros(N_TABLE_WORDS, np.int64)
    table[TABLE_ELEMENT] = ELEMENTS.index(column.element)
    table[TABLE_EDGES], table[TABLE_N_EDGES] = grid.padded.ctypes.data, len(column.edges)
    table[TABLE_SCALES], table[TABLE_CELLS] = column.scales.ctypes.data, grid.cells.ctypes.data
    table[TABLE_LEAST], table[TABLE_MOST] = grid.least, grid.most
    table[TABLE_IS_OF_BITS], table[TABLE_STEP] = grid.is_of_bits, grid.step
    table[TABLE_BASE], table[TABLE_FACTOR] = grid.base, grid.factor
    return table


def _read(column: Binnable, parts: Sequence[_Part]) -> BinnedValues:
    """Return the bins of a column from the memory that kernels have filled."""
    outside, unwritten = [np.empty(0)], list[tuple[int, int]]()
    moments = no_moments(column.element)
    counts, offsets = np.zeros((2, len(column.edges) + 1), np.int64)
    for part in parts:
        counts, offsets = counts + part.totals[0], offsets + part.totals[1]
        moments = merge(moments, read_state(column.element, part.state, 2))
        for call, begin, flags, room in zip(
            part.calls, part.begins, part.flags, part.rooms, strict=True
        ):
            outside.append(room[: call.table[TABLE_N_OUTSIDE]])
            end = begin + call.n
            unwritten += [
                (begin + BLOCK * block, min(begin + BLOCK * (block + 1), end))
                for block in np.flatnonzero(flags).tolist()
            ]
    return BinnedValues(counts, offsets, np.concatenate(outside), unwritten, moments)
