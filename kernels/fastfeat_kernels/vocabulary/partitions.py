"""Learning very many keys: rows are first dealt out by the hash of their key.

A table for part of the rows would hold most of the keys, and be too large for the cache; a table
for part of the keys is not. Rows are dealt out within blocks that the cache holds, so copies there
and back go through memory in order. Costs a copy of the keys (for text: of address and length), 5
bytes a row, and two further passes.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import exp
from typing import Final

import numpy as np
import numpy.typing as npt

from fastfeat_kernels.arrays import Int64Array
from fastfeat_kernels.column import TEXT, AnyChunk, CallRunner, ChunkRows, KernelRowCall
from fastfeat_kernels.records import dataclass
from fastfeat_kernels.vocabulary import layout
from fastfeat_kernels.vocabulary.keys import chunk_of_words, describe
from fastfeat_kernels.vocabulary.tables import (
    KeySource,
    PartitionRows,
    Table,
    fill,
    kind_of,
    n_slots_for,
    new_slots,
    new_tables,
)

MIN_LOG_PARTITIONS: Final = 4
MAX_LOG_PARTITIONS: Final = 7  # 128 streams are written at once; a partition's number is a byte
N_KEYS_PER_PARTITION: Final = 1 << 13  # their slots fill half of a second-level cache
N_SEQUENCES: Final = 16  # sequences of partitions; one thread fills each in the same slots
N_BLOCK_ROWS: Final = 1 << 16  # their keys fill half of a second-level cache

# Keys of one table from which partitions may be worth it, and from which they always are.
N_MANY_KEYS: Final = 30_000
N_VERY_MANY_KEYS: Final = 120_000


@dataclass(frozen=True, slots=True)
class Partitions:
    """The rows of a column as they were dealt out, block by block.

    Args:
        numbers: uint8 per row: its partition; the last is for rows without a value.
        starts: `(n_blocks, n_partitions + 1)`: the first row of each partition of a block, in the
            order of partitions, and the end of the block. Each block keeps its rows.
        parts: First block and number of blocks of each part of the column.
    """

    numbers: npt.NDArray[np.uint8]
    starts: Int64Array
    parts: list[tuple[int, int]]

    @property
    def n_missing(self) -> int:
        """Number of rows without a value."""
        return int((self.starts[:, -1] - self.starts[:, -2]).sum())

    def runs(self, number: int) -> PartitionRows:
        """Return the runs of rows of a partition."""
        return PartitionRows(
            self.starts, self.starts.ctypes.data + 8 * number, self.starts.shape[1]
        )


def are_many(table: Table, n_left: int) -> bool:
    """Return whether a full table shows that it is time to deal out the rows.

    A table of 30,000 keys with few repeated rows so far will probably see ten times as many.
    `n_left` is the number of rows of its part still to come.
    """
    n_keys, n_rows = table.n_keys, table.n_rows
    if n_keys < N_MANY_KEYS or n_left < n_rows:
        return False
    return n_keys >= N_VERY_MANY_KEYS or n_rows < n_keys * 11 // 10


def expected_keys(n_keys: int, n_rows: int, n_all_rows: int) -> int:
    """Return the expected number of distinct keys in all rows, if n_rows with n_keys are typical.

    Of K equally frequent keys, r rows contain K (1 - exp(-r / K)). If some keys are much more
    frequent, there are more keys: at least an eighth of the extrapolation from the first rows is
    expected.

    >>> 900_000 < expected_keys(48_900, 50_000, 10_000_000) < 1_300_000
    True
    """
    low, high = n_keys, 16 * n_all_rows
    while high - low > 1 + low // 16:
        middle = (low + high) // 2
        if middle * (1 - exp(-n_rows / middle)) < n_keys:
            low = middle
        else:
            high = middle
    expected = round(high * (1 - exp(-n_all_rows / high)))
    return max(expected, n_keys * n_all_rows // (8 * n_rows))


def learn_partitioned(
    element: str,
    parts: Sequence[Sequence[ChunkRows[AnyChunk]]],
    n_keys: int,
    run: CallRunner,
    limit_bytes: int | None,
    with_rows: bool,
) -> tuple[list[Table], npt.NDArray[np.int32] | None, Partitions]:
    """Return a table for each partition, the id of each row in their order, and that order."""
    kind = kind_of(element)
    bits = (n_keys // N_KEYS_PER_PARTITION).bit_length()
    bits = min(max(bits, MIN_LOG_PARTITIONS), MAX_LOG_PARTITIONS)
    partitions, keys = _deal_out(element, parts, bits, run)
    ids = np.empty(len(keys), np.int32) if with_rows else None
    n_slots = n_slots_for(kind, n_keys + n_keys // 16 >> bits)
    slots = [new_slots(kind, n_slots) for _ in range(N_SEQUENCES)]
    words = TEXT if kind.entry == TEXT else "int64"
    chunk: AnyChunk = chunk_of_words(keys, keys)
    blocks: list[ChunkRows[AnyChunk]] = [ChunkRows(chunk, 0, len(partitions.starts), 0)]
    sources = [KeySource(words, blocks, None, ids, partitions.runs(k)) for k in range(1 << bits)]
    tables = new_tables(kind, [slots[k % N_SEQUENCES] for k in range(1 << bits)])
    filled = fill(tables, sources, run, limit_bytes, n_sequences=N_SEQUENCES, are_disjoint=True)
    assert filled is not None
    return filled, ids, partitions


def _deal_out(
    element: str, parts: Sequence[Sequence[ChunkRows[AnyChunk]]], bits: int, run: CallRunner
) -> tuple[Partitions, Int64Array]:
    """Return the partitions, and the keys of all rows in their order."""
    kind, n_rows = kind_of(element), sum(rows.n for part in parts for rows in part)
    n_blocks = [[-(-rows.n // N_BLOCK_ROWS) for rows in part] for part in parts]
    firsts = np.cumsum([0, *map(sum, n_blocks)]).tolist()
    starts = np.empty((firsts[-1], (1 << bits) + 2), np.int64)
    numbers, keys = np.empty(n_rows, np.uint8), np.empty((n_rows, kind.key_words), np.int64)
    calls: list[list[KernelRowCall]] = []
    for part, first, sizes in zip(parts, firsts, n_blocks, strict=False):
        of_rows = np.cumsum([first, *sizes]).tolist()
        calls.append([])
        for rows, block in zip(part, of_rows, strict=False):
            calls[-1].append(_call(element, rows, bits, numbers, starts[block:], keys))
    run(kind.entry, calls)
    blocks = [(first, sum(sizes)) for first, sizes in zip(firsts, n_blocks, strict=False)]
    return Partitions(numbers, starts, blocks), keys


def _call(
    element: str,
    rows: ChunkRows[AnyChunk],
    bits: int,
    numbers: npt.NDArray[np.uint8],
    starts: Int64Array,
    keys: Int64Array,
) -> KernelRowCall:
    words = np.zeros(layout.N_TABLE_WORDS, np.int64)
    words[layout.TABLE_ROUND], words[layout.TABLE_LOG_PARTITIONS] = layout.DEAL_OUT, bits
    scratch = describe(words, element, rows.chunk)
    words[layout.TABLE_N_SLOTS] = 1
    words[layout.TABLE_NUMBERS] = numbers.ctypes.data
    words[layout.TABLE_BLOCK_ROWS] = N_BLOCK_ROWS
    words[layout.TABLE_BLOCK_STARTS] = starts.ctypes.data
    words[layout.TABLE_CHUNK_START] = rows.chunk_start
    words[layout.TABLE_SCATTERED] = keys.ctypes.data
    return KernelRowCall(words, rows.first, rows.n, (rows, numbers, starts, keys, scratch))


def in_order_of_rows(
    partitions: Partitions, values: npt.NDArray[np.int32], run: CallRunner
) -> npt.NDArray[np.int32]:
    """Return numbers of rows, given in the order of partitions, in the order of rows."""
    out, stride = np.empty_like(values), partitions.starts.shape[1]
    calls: list[list[KernelRowCall]] = []
    for first, n in partitions.parts:
        table, scratch = np.zeros(layout.N_GATHER_WORDS, np.int64), np.empty(stride, np.int64)
        table[layout.GATHER_NUMBERS] = partitions.numbers.ctypes.data
        table[layout.GATHER_BLOCK_STARTS] = partitions.starts.ctypes.data
        table[layout.GATHER_STRIDE] = stride
        table[layout.GATHER_VALUES] = values.ctypes.data
        table[layout.GATHER_TARGET] = out.ctypes.data
        table[layout.GATHER_SCRATCH] = scratch.ctypes.data
        calls.append([KernelRowCall(table, first, n, (partitions, values, out, scratch))])
    run("gather", calls)
    return out
