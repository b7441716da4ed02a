"""The bins of a column: its rows divided, counted, and added up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

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
from fastfeat_kernels.binned.grid import Grid, grid_of
from fastfeat_kernels.column import BLOCK, ELEMENTS, Call, Chunk, Rows, Run, split_rows
from fastfeat_kernels.moments.state import (
    Moments,
    make_table,
    merge,
    new_state,
    no_moments,
    read_state,
)

Words = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

ROWS_FOR_ONE: Final = 512
"""Of so many rows one value may be outside of all edges, and be written down."""


@dataclass(frozen=True, slots=True, eq=False)
class Bins:
    """Values counted in bins, and their moments.

    Args:
        counts: of each, shape (n_edges + 1,); missing rows and -inf are in the first, +inf in the
            last.
        offsets: the sum of places in each, shape (n_edges + 1,).
        outside: values outside of all edges, in any order.
        unwritten: runs of rows that hold more of them, as (first, end), ascending.
        moments: with both sums.
    """

    counts: Words
    offsets: Words
    outside: Floats
    unwritten: list[tuple[int, int]]
    moments: Moments


def count_in_bins(
    element: str,
    chunks: Sequence[Chunk],
    edges: Floats,
    scales: Floats,
    run: Run,
    n_parts: int = 1,
) -> Bins:
    """Return the bins of a column.

    Args:
        element: type of the values, of `column.ELEMENTS` but "bool".
        chunks: the column.
        edges: finite and ascending, at least one, shape (n_edges,).
        scales: steps by unit in each bin, shape (n_edges + 1,).
        run: runs sequences of calls of `cpu.ENTRIES`.
        n_parts: into how many runs of rows to divide the work.
    """
    grid = grid_of(edges)
    totals, states, calls = list[Words](), list[Words](), list[list[Call]]()
    written: list[tuple[Words, Floats]] = []
    flags: list[tuple[int, int, npt.NDArray[np.uint8]]] = []
    for part in split_rows(chunks, n_parts, BLOCK):
        total, scratch = (
            np.zeros((2, len(edges) + 1), np.int64),
            np.zeros(N_SCRATCH_WORDS, np.int64),
        )
        totals.append(total)
        states.append(state := new_state())
        calls.append([])
        for rows in part:
            own = np.zeros(-(-rows.n // BLOCK), np.uint8)
            begin = rows.chunk_start + rows.first
            flags.append((begin, begin + rows.n, own))
            table = _table(element, rows, grid, len(edges), scales, (total, scratch, own))
            room = np.empty(rows.n // ROWS_FOR_ONE + BLOCK)
            table[TABLE_OUTSIDE], table[TABLE_ROOM] = room.ctypes.data, len(room)
            written.append((table, room))
            moments = make_table(element, rows.chunk, state, 2, rows.chunk_start)
            table[TABLE_MOMENTS] = moments.ctypes.data
            owners = rows.chunk, grid, scales, total, scratch, own, room, state, moments
            calls[-1].append(Call(table, rows.first, rows.n, owners))
    run(ENTRY, calls)
    outside = [room[: table[TABLE_N_OUTSIDE]] for table, room in written]
    unwritten = [
        (begin + BLOCK * block, min(begin + BLOCK * (block + 1), end))
        for begin, end, own in flags
        for block in np.flatnonzero(own).tolist()
    ]
    counts, offsets = sum(totals, np.zeros((2, len(edges) + 1), np.int64))
    found = no_moments(element)
    for state in states:
        found = merge(found, read_state(element, state, 2))
    return Bins(counts, offsets, np.concatenate([np.empty(0), *outside]), unwritten, found)


def _table(
    element: str,
    rows: Rows[Chunk],
    grid: Grid,
    n_edges: int,
    scales: Floats,
    filled: tuple[Words, Words, npt.NDArray[np.uint8]],
) -> Words:
    """Return the table of an entry.

    Args:
        element: type of the values.
        rows: of one chunk.
        grid: the cells.
        n_edges: how many edges there are.
        scales: of the bins.
        filled: counts and sums of places, scratch, flags of blocks.
    """
    total, scratch, flags = filled
    table = np.zeros(N_TABLE_WORDS, np.int64)
    table[TABLE_VALUES] = rows.chunk.values
    table[TABLE_VALIDITY] = rows.chunk.validity
    table[TABLE_BIT_OFFSET] = rows.chunk.bit_offset
    table[TABLE_ELEMENT] = ELEMENTS.index(element)
    table[TABLE_EDGES], table[TABLE_N_EDGES] = grid.padded.ctypes.data, n_edges
    table[TABLE_SCALES], table[TABLE_CELLS] = scales.ctypes.data, grid.cells.ctypes.data
    table[TABLE_LEAST], table[TABLE_MOST] = grid.least, grid.most
    table[TABLE_IS_OF_BITS], table[TABLE_STEP] = grid.is_of_bits, grid.step
    table[TABLE_BASE], table[TABLE_FACTOR] = grid.base, grid.factor
    table[TABLE_COUNTS], table[TABLE_OFFSETS] = total[0].ctypes.data, total[1].ctypes.data
    table[TABLE_FLAGS], table[TABLE_SCRATCH] = flags.ctypes.data, scratch.ctypes.data
    return table
