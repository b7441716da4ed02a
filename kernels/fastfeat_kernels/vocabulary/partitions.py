"""Learning very many keys: rows are first dealt out by the hash of their key.

Tables of part of the rows each would hold most of the keys, and be too large for the cache; tables
of part of the keys are not. Costs a copy of the keys (of text: of address and length), 5 bytes a
row, and two further passes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import exp
from typing import Final

import numpy as np
import numpy.typing as npt

from fastfeat_kernels.column import TEXT, AnyChunk, Call, Rows, Run
from fastfeat_kernels.vocabulary import layout
from fastfeat_kernels.vocabulary.chunks import chunk_of_words, describe
from fastfeat_kernels.vocabulary.keys import Integers
from fastfeat_kernels.vocabulary.tables import Source, Table, fill, kind_of, n_slots_for, new_table

MIN_LOG_PARTITIONS: Final = 4
MAX_LOG_PARTITIONS: Final = 7  # 128 streams are written at once; a partition's number is a byte
N_KEYS_PER_PARTITION: Final = 1 << 13  # their slots fill half of a second-level cache
N_SEQUENCES: Final = 16  # of partitions, each of which one thread fills in the same slots

# Keys of one table from which on it may be worth it, and those from which on it always is.
N_MANY_KEYS: Final = 30_000
N_VERY_MANY_KEYS: Final = 120_000


@dataclass(frozen=True, slots=True)
class Partitions:
    """How the rows of a column were dealt out.

    Args:
        numbers: uint8 per row: its partition; the last is of rows without a value.
        starts: where each partition begins when they lie one behind the other, and the end.
        parts: first row and number of rows of each part of the column.
        cursors: `(n_parts, n_partitions)`: where the rows of a part begin in a partition.
    """

    numbers: npt.NDArray[np.uint8]
    starts: Integers
    parts: list[tuple[int, int]]
    cursors: Integers


def are_many(table: Table, n_left: int) -> bool:
    """Return whether a full table shows that it is time to deal out the rows.

    A table of 30,000 keys that few rows repeated so far promises to see ten times as many.

    Args:
        table: what a part of the rows has filled.
        n_left: rows of that part still to come.
    """
    n_keys, n_rows = table.n_keys, table.n_rows
    if n_keys < N_MANY_KEYS or n_left < n_rows:
        return False
    return n_keys >= N_VERY_MANY_KEYS or n_rows < n_keys * 11 // 10


def expected_keys(n_keys: int, n_rows: int, n_all_rows: int) -> int:
    """Return how many distinct keys all rows have, if n_rows of them with n_keys are typical.

    Of K keys that are equally frequent, r rows meet K (1 - exp(-r / K)). If some are much more
    frequent there are more keys: at least an eighth of what the first rows promise is expected.

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
    parts: Sequence[Sequence[Rows[AnyChunk]]],
    n_keys: int,
    run: Run,
    limit_bytes: int | None,
) -> tuple[list[Table], npt.NDArray[np.int32], Partitions]:
    """Return a table for each partition, the id of each row in their order, and that order.

    Args:
        element: type of the values.
        parts: the rows of the column.
        n_keys: how many distinct keys to expect; only the time depends on it.
        run: runs sequences of calls of `cpu.ENTRIES`.
        limit_bytes: memory that the table of all keys may take.
    """
    kind = kind_of(element)
    bits = (n_keys // N_KEYS_PER_PARTITION).bit_length()
    bits = min(max(bits, MIN_LOG_PARTITIONS), MAX_LOG_PARTITIONS)
    partitions, keys = _deal_out(element, parts, bits, run)
    ends = partitions.starts.tolist()
    ids = np.empty(ends[-1], np.int32)
    ids[ends[-2] :] = -1
    n_slots = n_slots_for(n_keys + n_keys // 16 >> bits)
    slots = [np.empty(n_slots * kind.slot_words, np.int64) for _ in range(N_SEQUENCES)]
    tables: list[Table] = []
    sources: list[Source] = []
    for start, end in pairwise(ends[:-1]):
        chunk = chunk_of_words(keys[start:end], keys)
        words = TEXT if kind.entry == TEXT else "int64"
        sources.append(Source(words, [Rows(chunk, 0, end - start, 0)], None, ids[start:end]))
        tables.append(new_table(kind, slots=slots[len(tables) % N_SEQUENCES]))
    filled = fill(tables, sources, run, limit_bytes, n_sequences=N_SEQUENCES, are_disjoint=True)
    assert filled is not None
    return filled, ids, partitions


def _deal_out(
    element: str, parts: Sequence[Sequence[Rows[AnyChunk]]], bits: int, run: Run
) -> tuple[Partitions, Integers]:
    """Return the partitions, and the keys of all rows in their order."""
    kind, sizes = kind_of(element), [sum(rows.n for rows in part) for part in parts]
    firsts = [0, *np.cumsum(sizes).tolist()]
    numbers = np.empty(firsts[-1], np.uint8)
    counts = np.zeros((len(parts), (1 << bits) + 1), np.int64)
    keys = np.empty((firsts[-1], kind.key_words), np.int64)
    common = {layout.TABLE_LOG_PARTITIONS: bits, layout.TABLE_SCATTERED: keys.ctypes.data}

    def deal(kind_of_round: int, cursors: Integers) -> None:
        words = common | {layout.TABLE_ROUND: kind_of_round}
        calls = [
            [_call(element, rows, words, numbers, row, keys) for rows in part]
            for part, row in zip(parts, cursors, strict=True)
        ]
        run(kind.entry, calls)

    deal(layout.COUNT, counts)
    totals = counts.sum(axis=0)
    starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(totals)])
    cursors = starts[:-1] + np.cumsum(counts, axis=0) - counts
    deal(layout.SCATTER, cursors.copy())
    return Partitions(numbers, starts, list(zip(firsts[:-1], sizes, strict=True)), cursors), keys


def _call(
    element: str,
    rows: Rows[AnyChunk],
    common: dict[int, int],
    numbers: npt.NDArray[np.uint8],
    cursors: Integers,
    keys: Integers,
) -> Call:
    words = np.zeros(layout.N_TABLE_WORDS, np.int64)
    for word, value in common.items():
        words[word] = value
    scratch = describe(words, element, rows.chunk)
    words[layout.TABLE_N_SLOTS] = 1
    state = np.zeros(layout.N_STATE_WORDS, np.int64)  # no keys
    words[layout.TABLE_STATE] = state.ctypes.data
    words[layout.TABLE_NUMBERS] = numbers.ctypes.data + rows.chunk_start
    words[layout.TABLE_CURSORS] = cursors.ctypes.data
    return Call(words, rows.first, rows.n, (rows, numbers, cursors, keys, scratch, state))


def in_order_of_rows(
    partitions: Partitions, values: npt.NDArray[np.int32], run: Run
) -> npt.NDArray[np.int32]:
    """Return numbers of rows that are in the order of partitions in that of rows."""
    out, cursors = np.empty_like(values), partitions.cursors.copy()
    calls: list[list[Call]] = []
    for (first, n), row in zip(partitions.parts, cursors, strict=True):
        table = np.zeros(layout.N_GATHER_WORDS, np.int64)
        table[layout.GATHER_NUMBERS] = partitions.numbers.ctypes.data
        table[layout.GATHER_CURSORS] = row.ctypes.data
        table[layout.GATHER_VALUES] = values.ctypes.data
        table[layout.GATHER_TARGET] = out.ctypes.data
        calls.append([Call(table, first, n, (partitions, values, out, cursors))])
    run("gather", calls)
    return out
