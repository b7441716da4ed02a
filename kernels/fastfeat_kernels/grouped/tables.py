"""Tables and memory for the calls of the grouped kernel, and partitioned rows.

A column and its groups are sorted into partitions of neighbouring groups.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from fastfeat_kernels.arrays import Int32Array, Int64Array
from fastfeat_kernels.column import ELEMENTS, ArrowChunk, CallRunner, ChunkRows, KernelRowCall
from fastfeat_kernels.grouped import layout

CACHE_LINE = 64


def column_table(element: str, chunk: ArrowChunk) -> Int64Array:
    """Return a table of a column alone; the chunk must outlive the table."""
    table = np.zeros(layout.N_TABLE_WORDS, np.int64)
    table[layout.TABLE_VALUES] = chunk.values
    table[layout.TABLE_VALUE_BIT_OFFSET] = chunk.value_bit_offset
    table[layout.TABLE_VALIDITY] = chunk.validity
    table[layout.TABLE_BIT_OFFSET] = chunk.bit_offset
    table[layout.TABLE_ELEMENT] = ELEMENTS.index(element)
    return table


def rows_call(
    element: str,
    rows: ChunkRows[ArrowChunk],
    groups: Int32Array,
    words: dict[int, int],
    owner: object,
) -> KernelRowCall:
    """Return a call on rows of a column."""
    table = column_table(element, rows.chunk)
    table[layout.TABLE_GROUPS] = groups.ctypes.data + 4 * rows.chunk_start
    for place, word in words.items():
        table[place] = word
    return KernelRowCall(table, rows.first, rows.n, (rows.chunk, groups, owner))


def aligned_zeros(n_rows: int, n_words: int) -> Int64Array:
    """Return zeros, shape (n_rows, n_words), aligned to a cache line."""
    return _aligned(np.zeros(n_rows * n_words + CACHE_LINE // 8, np.int64), n_rows, n_words)


def aligned_empty(n_rows: int, n_words: int) -> Int64Array:
    """Return uninitialised memory, shape (n_rows, n_words), aligned to a cache line."""
    return _aligned(np.empty(n_rows * n_words + CACHE_LINE // 8, np.int64), n_rows, n_words)


def _aligned(memory: Int64Array, n_rows: int, n_words: int) -> Int64Array:
    start = -memory.ctypes.data % CACHE_LINE // 8
    return memory[start : start + n_rows * n_words].reshape(n_rows, n_words)


def scratch() -> Int64Array:
    """Return the scratch memory of a call."""
    return aligned_zeros(1, layout.N_SCRATCH_WORDS)


SERIAL_BELOW = 1 << 14


def side_by_side(columns: Sequence[Int64Array], run: CallRunner, n_parts: int = 1) -> Int64Array:
    """Return columns as one array, shape (n_groups, n_words); n_words is a power of 2."""
    n_groups, n_words = len(columns[0]), 1 << (len(columns) - 1).bit_length()
    array = aligned_empty(n_groups, n_words)
    if n_groups < SERIAL_BELOW:
        np.stack(columns, axis=1, out=array[:, : len(columns)])
        return array
    columns = [np.ascontiguousarray(column) for column in columns]
    sources = np.array([column.ctypes.data for column in columns], np.int64)
    table = np.zeros(layout.N_TABLE_WORDS, np.int64)
    table[layout.TABLE_SOURCES] = sources.ctypes.data
    table[layout.TABLE_OUT] = array.ctypes.data
    table[layout.TABLE_N_COLUMNS], table[layout.TABLE_STRIDE] = len(columns), n_words
    owners, share = (columns, sources, array), -(-n_groups // n_parts) or 1
    starts = range(0, n_groups, share)
    calls = [
        [KernelRowCall(table, first, min(share, n_groups - first), owners)] for first in starts
    ]
    run("interleave", calls)
    return array


SEQUENCES_PER_PART = 4  # sequences of calls per part: partitions may differ much in size


class Partitions(NamedTuple):
    """Values and groups of the rows that are in a group.

    Args:
        element: Type of the values: float64 with NaN for missing, int64 or uint64.
        shift: Partition p has the groups g with g >> shift == p.
        values: Shape (n,): 8 bytes each.
        groups: Shape (n,): the group, or ~group for a missing integer.
        starts: Shape (n_partitions + 1,): first row of each partition, and the end.
    """

    element: str
    shift: int
    values: Int64Array
    groups: Int32Array
    starts: Int64Array


def split_groups(
    element: str,
    parts: Sequence[Sequence[ChunkRows[ArrowChunk]]],
    groups: Int32Array,
    n_groups: int,
    shift: int,
    run: CallRunner,
) -> Partitions:
    """Return rows in partitions, in their order within each."""
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
