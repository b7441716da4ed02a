"""As-of joins, on the caller's threads; `fastfeat_kernels.asof` has the spec."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from fastfeat_kernels import asof as layout
from fastfeat_kernels.arrays import Int32Array, Int64Array
from fastfeat_kernels.asof.reference import MatchRule
from fastfeat_kernels.column import ArrowChunk, CallRunner, ChunkRows, KernelRowCall, split_rows
from fastfeat_kernels.windows.ordering import ordered, partition_shift, permutation

__all__ = ["MAX_ROWS", "AsofOrder", "FoundRows", "MatchRule", "find", "in_order", "rows_in_place"]


MAX_ROWS: Final = 2**31 - 1  # in a table: places are int32
_LANES: Final = 64


class AsofOrder(NamedTuple):
    """The rows of a table by key, time and input order, without rows that lack a key or time.

    Args:
        starts: Shape (n_keys + 1,): first place of each key, and the end.
        rows: Shape (n,): row in each place.
        levels: Time in each place; the last of each 8 of those, and so on; each level has extra
            words behind the last that the kernel may read.
    """

    starts: Int32Array
    rows: Int32Array
    levels: tuple[Int64Array, ...]


class FoundRows(NamedTuple):
    """Results of an as-of join: for each row of the data, the row of the table.

    Args:
        rows: Shape (n_rows,): rows of the table, 0 if none was found.
        bitmap: Bits of the rows that found one, in Arrow's layout, in whole words.
    """

    rows: Int64Array
    bitmap: Int64Array


def in_order(
    codes: Int32Array,
    times: Sequence[ArrowChunk],
    n_keys: int,
    run_windows: CallRunner,
    n_parts: int = 1,
) -> AsofOrder:
    """Return the rows of a table in order."""
    _check_size(len(codes))
    shift = partition_shift(len(codes), n_keys)  # explicit, so that keys keep their numbers
    rows = ordered(codes, times, None, n_keys, run_windows, n_parts, shift)
    starts = rows.starts.astype(np.int32)
    numbers = permutation(rows, run_windows).astype(np.int32)
    line = _empty_line(rows.n_placed)
    line[: rows.n_placed] = rows.times[: rows.n_placed]
    return AsofOrder(starts, numbers, _levels(line, rows.n_placed))


def rows_in_place(
    times: Sequence[ArrowChunk], run: CallRunner, n_parts: int = 1
) -> AsofOrder | None:
    """Return the rows of a table with one key if they are already in order, else None.

    If not, it reads little more than the rows up to the first time that falls. Rows with a missing
    time are never found. ValueError if there are too many rows.
    """
    n_rows = sum(chunk.length for chunk in times)
    _check_size(n_rows)
    if any(chunk.validity for chunk in times):
        return None
    line, falls = _empty_line(n_rows), np.zeros(1, np.int64)
    calls: list[list[KernelRowCall]] = []
    firsts: list[int] = []
    for part in split_rows(times, n_parts):
        calls.append([])
        for rows in part:
            words = np.zeros(layout.N_TABLE_WORDS, np.int64)
            words[layout.TABLE_VALUES] = rows.chunk.values
            words[layout.TABLE_FOUND] = line.ctypes.data + 8 * rows.chunk_start
            words[layout.TABLE_BITMAP] = falls.ctypes.data
            calls[-1].append(KernelRowCall(words, rows.first, rows.n, (rows, line, falls)))
            firsts.append(rows.chunk_start + rows.first)
    run("place", calls)
    later = np.array(firsts[1:], np.int64)
    if falls[0] or (line[later] < line[later - 1]).any():
        return None
    starts = np.array([0, n_rows], np.int32)
    return AsofOrder(starts, np.arange(n_rows, dtype=np.int32), _levels(line, n_rows))


def _check_size(n_rows: int) -> None:
    if n_rows > MAX_ROWS:
        raise ValueError(f"{n_rows} rows are more than the limit of {MAX_ROWS}")


def _levels(times: Int64Array, n: int) -> tuple[Int64Array, ...]:
    """Return times in order, and the levels above, at least two; the last has a single word.

    `times` is cache-aligned memory with n times.
    """
    levels = [times]
    while n > 1 or len(levels) < 2:
        above = levels[-1][layout.FANOUT - 1 : n : layout.FANOUT]
        levels.append(_empty_line(len(above)))
        levels[-1][: len(above)] = above
        n = -(-n // layout.FANOUT)
    return tuple(levels)


def _empty_line(n: int) -> Int64Array:
    """Return memory for n words, aligned to a cache line, with extra words behind them."""
    n_words = n + 2 * layout.FANOUT
    memory = np.zeros(n_words + layout.FANOUT, np.int64)
    first = -memory.ctypes.data // 8 % layout.FANOUT
    return memory[first : first + n_words]


def find(
    table: AsofOrder,
    codes: Int32Array | None,
    times: Sequence[ArrowChunk],
    rule: MatchRule,
    run: CallRunner,
    n_parts: int = 1,
    first_code: int = 0,
    memory: Int64Array | None = None,
) -> FoundRows:
    """Return the table row that each row of the data finds."""
    n_rows = sum(chunk.length for chunk in times)
    if codes is not None and len(codes) != n_rows:
        raise ValueError(f"needs one code per time, got {len(codes)} codes and {n_rows} times")
    codes = None if codes is None else np.ascontiguousarray(codes, np.int32)
    memory = np.empty(n_rows, np.int64) if memory is None else memory
    found = memory, np.zeros(-(-n_rows // _LANES), np.int64)
    if len(table.rows) == 0:
        found[0][:] = 0
        return FoundRows(*found)
    levels = np.array([level.ctypes.data for level in table.levels], np.int64)
    common = _common(table, levels, rule)
    common[layout.TABLE_FIRST_CODE] = first_code
    calls: list[list[KernelRowCall]] = []
    for part in split_rows(times, n_parts, _LANES):
        scratch = np.empty(layout.N_SCRATCH_WORDS, np.int64)
        owners = table, levels, codes, scratch, found
        calls.append([_call(common.copy(), rows, codes, scratch, found, owners) for rows in part])
    run("find", calls)
    return FoundRows(*found)


def _common(table: AsofOrder, levels: Int64Array, rule: MatchRule) -> Int64Array:
    """Return the words that all calls share."""
    words = np.zeros(layout.N_TABLE_WORDS, np.int64)
    words[layout.TABLE_STARTS] = table.starts.ctypes.data
    words[layout.TABLE_ROWS] = table.rows.ctypes.data
    words[layout.TABLE_LEVELS] = levels.ctypes.data
    words[layout.TABLE_TICK] = rule.tick
    words[layout.TABLE_TICK_OF_TABLE] = rule.tick_of_table
    words[layout.TABLE_TOLERANCE] = -1 if rule.tolerance is None else rule.tolerance
    less = rule.delay + (0 if rule.exact else 1)
    if rule.tick >= rule.tick_of_table:
        words[layout.TABLE_FACTOR] = rule.tick // rule.tick_of_table
        words[layout.TABLE_ADDED] = -less // rule.tick_of_table
    else:
        whole, rest = divmod(less, rule.tick_of_table)
        words[layout.TABLE_RATIO] = rule.tick_of_table // rule.tick
        words[layout.TABLE_ADDED] = -whole
        words[layout.TABLE_REST] = -(-rest // rule.tick)
    return words


def _call(
    words: Int64Array,
    rows: ChunkRows[ArrowChunk],
    codes: Int32Array | None,
    scratch: Int64Array,
    found: tuple[Int64Array, Int64Array],
    owners: object,
) -> KernelRowCall:
    words[layout.TABLE_VALUES] = rows.chunk.values
    words[layout.TABLE_VALIDITY] = rows.chunk.validity
    words[layout.TABLE_BIT_OFFSET] = rows.chunk.bit_offset
    if codes is not None:
        words[layout.TABLE_CODES] = codes.ctypes.data + 4 * rows.chunk_start
    words[layout.TABLE_FOUND] = found[0].ctypes.data + 8 * rows.chunk_start
    words[layout.TABLE_BITMAP] = found[1].ctypes.data
    words[layout.TABLE_FIRST_BIT] = rows.chunk_start
    words[layout.TABLE_SCRATCH] = scratch.ctypes.data
    return KernelRowCall(words, rows.first, rows.n, (rows, owners))
