"""Columns of results, and the memory where results wait before they become columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from fastfeat_kernels.arrays import Int64Array, Uint8Array
from fastfeat_kernels.column import CallRunner, KernelRowCall
from fastfeat_kernels.windows import layout
from fastfeat_kernels.windows.ordering import WindowOrder, codes_table, counted
from fastfeat_kernels.windows.programs import WindowProgram

TILE = 256  # rows that are collected at a time
FEW = 1 << 16  # rows whose columns have one memory


class Query(NamedTuple):
    """The rows that ask for results.

    Args:
        rows: The asking rows in window order: the rows in the windows, or others.
        first_row: First asking row of the input.
        base: Multiple of 8 at or below `first_row`; result columns begin there.
        stripes: Stripes with asking rows, divided among the parts of the work.
        cells: Shape (stripes, partitions): first asking dealt row of each.
        ask_from: Shape (partitions,): first asking dealt row.
        asked: Shape (partitions,): number of asking rows.
    """

    rows: WindowOrder
    first_row: int
    base: int
    stripes: Sequence[range]
    cells: Int64Array
    ask_from: Int64Array
    asked: Int64Array


class ResultMemory(NamedTuple):
    """Memory for results that no column has room for, reused by all passes.

    Args:
        stripes: For each stripe, as many words as the results of its rows.
        columns: Substitute for columns that a pass has no results for.
    """

    stripes: dict[int, Int64Array]
    columns: list[Int64Array]


class ResultColumns(NamedTuple):
    """Columns of results, from row `base` of `Query` on.

    Args:
        values: Column of each output.
        bits: Bitmaps, shape (n_marked, n_bytes).
        marked: Bitmap number of each output; None if it needs none.
        targets: Shape (row_words,): addresses of columns, 0 if a pass has no such output.
        flag_bits: Addresses of the bitmaps of flagged outputs.
        number_bits: Addresses of the bitmaps of floats.
        is_float: For each output, whether it is float64.
    """

    values: Sequence[Int64Array]
    bits: Uint8Array
    marked: Sequence[int | None]
    targets: Int64Array
    flag_bits: Int64Array
    number_bits: Int64Array
    is_float: Sequence[bool]


def query_of_rows(rows: WindowOrder, first_row: int, n_parts: int, run: CallRunner) -> Query:
    """Return the input rows from the first asking row on as a query."""
    n_rows, n_partitions = len(rows.codes), len(rows.partition_starts) - 1
    first_row, bits = min(max(first_row, 0), n_rows), rows.stripe_bits
    first, base = first_row >> bits, first_row & -8
    share = max(-(-(len(rows.cells) - first) // n_parts), 1)
    stripes = [
        range(k, min(k + share, len(rows.cells))) for k in range(first, len(rows.cells), share)
    ]
    cells = rows.cells[:, :-1].copy()
    if first_row == n_rows:
        nobody = np.zeros(n_partitions, np.int64)
        return Query(rows, first_row, base, [], cells, nobody, nobody)
    if n_partitions == 1:  # with one, NumPy counts 2,000 rows while a call is written
        cells[first, 0] += np.count_nonzero(rows.codes[first << bits : first_row] >= 0)
    else:
        before = [(first << bits, first_row)]
        cells[first] += counted(rows.codes, rows.shift, n_partitions, before, run)[0]
    asked = (rows.cells[first:, 1:] - cells[first:]).sum(axis=0)
    return Query(rows, first_row, base, stripes, cells, cells[first], asked)


def aligned(n_words: int) -> Int64Array:
    """Return memory that begins at a cache line."""
    memory = np.empty(n_words + 8, np.int64)
    start = -memory.ctypes.data % 64 // 8
    return memory[start : start + n_words]


def columns_for(query: Query, program: WindowProgram) -> ResultColumns:
    """Return columns for the results of a pass."""
    n = len(query.rows.codes) - query.base
    flags = program.outputs[:, layout.OUTPUT_FLAGGED].tolist()
    n_marked = sum(map(bool, flags)) + sum(program.is_float)
    bits = np.zeros((n_marked, -(-n // 8)), np.uint8)
    targets, flag_bits, number_bits = np.zeros((3, program.row_words), np.int64)
    values, targets[: len(flags)] = _columns(n, len(flags))
    marked: list[int | None] = [None] * len(flags)
    n_before, bits_at = 0, bits.ctypes.data
    for slot, (flag, is_number) in enumerate(zip(flags, program.is_float, strict=True)):
        if flag or is_number:
            marked[slot] = n_before
            (flag_bits if flag else number_bits)[slot] = bits_at + n_before * bits.shape[1]
            n_before += 1
    return ResultColumns(values, bits, marked, targets, flag_bits, number_bits, program.is_float)


def _columns(n: int, n_columns: int) -> tuple[list[Int64Array], Int64Array]:
    """Return memory for columns of n words, each aligned to a cache line, and their addresses."""
    if n > FEW:
        columns = [aligned(n) for _ in range(n_columns)]
        return columns, np.array([column.ctypes.data for column in columns], np.int64)
    stride = -(-n // 8) * 8
    together = aligned(stride * n_columns)
    columns = [*together.reshape(n_columns, stride)[:, :n]]
    return columns, together.ctypes.data + 8 * stride * np.arange(n_columns)


def stage_for(query: Query, results: ResultColumns, memory: ResultMemory) -> Int64Array:
    """Return addresses of the pieces where results wait, shape (stripes * row_words,).

    The results of a stripe are lines, one for each of its dealt rows. They are cut into pieces of
    the size of a column of the stripe, and wait in the memory of the next stripe's columns. The
    same thread writes those columns after it has read the lines.
    """
    rows, n_columns, row_words = query.rows, len(results.values), len(results.targets)
    size, n_words = 8 << rows.stripe_bits, 1 << rows.stripe_bits
    n = len(rows.codes) - query.base
    while n_columns + len(memory.columns) < row_words:
        memory.columns.append(aligned(n))
    addresses = results.targets.copy()
    for slot in range(n_columns, row_words):
        addresses[slot] = memory.columns[slot - n_columns].ctypes.data
    stage = np.zeros((len(rows.cells), row_words), np.int64)
    for stripes in query.stripes:
        end = min(stripes.stop << rows.stripe_bits, len(rows.codes)) - query.base
        for k in stripes:
            begin = 8 * ((k + 1 << rows.stripe_bits) - query.base)
            if begin + size <= 8 * end:
                stage[k] = addresses + begin
                continue
            if k not in memory.stripes:
                memory.stripes[k] = aligned(layout.MAX_ROW_WORDS * n_words)
            stage[k] = memory.stripes[k].ctypes.data + size * np.arange(row_words)
    return stage.reshape(-1)


def piece_bits(rows: WindowOrder, row_words: int) -> int:
    """Return the number of dealt rows with results in a piece, as a power of 2."""
    return rows.stripe_bits - (row_words - 1).bit_length()


def point_to_results(table: Int64Array, results: ResultColumns, query: Query) -> None:
    """Write addresses of columns of results to a table."""
    table[layout.TABLE_TARGETS] = results.targets.ctypes.data
    table[layout.TABLE_FLAG_BITS] = results.flag_bits.ctypes.data
    table[layout.TABLE_NUMBER_BITS] = results.number_bits.ctypes.data
    table[layout.TABLE_FIRST_ASKING] = query.base


def collect(
    query: Query,
    program: WindowProgram,
    results: ResultColumns,
    stage: Int64Array,
    memory: object,
    run: CallRunner,
) -> None:
    """Write the results of a pass from the stage to columns."""
    rows, cursors, calls = query.rows, query.cells.copy(), list[list[KernelRowCall]]()
    common, cursors_at = codes_table(rows.codes, rows.shift), cursors.ctypes.data
    point_to_results(common, results, query)
    common[layout.TABLE_STAGE] = stage.ctypes.data
    common[layout.TABLE_PIECE_BITS] = piece_bits(rows, program.row_words)
    common[layout.TABLE_ROW_WORDS] = program.row_words
    common[layout.TABLE_FLAGS] = program.flags
    common[layout.TABLE_ABSENT] = program.absent.ctypes.data
    for stripes in query.stripes:
        places = np.empty(2 * TILE, np.int64)
        common[layout.TABLE_SCRATCH] = places.ctypes.data
        calls.append([])
        for k in stripes:
            table = common.copy()
            table[layout.TABLE_CURSORS] = cursors_at + 8 * k * cursors.shape[1]
            first = max(k << rows.stripe_bits, query.first_row)
            end = min(k + 1 << rows.stripe_bits, len(rows.codes))
            owners = query, program, results, stage, memory, cursors, places
            calls[-1].append(KernelRowCall(table, first, end - first, owners))
    run("collect", calls)


def validity_of(query: Query, results: ResultColumns) -> list[Uint8Array | None]:
    """Return a bitmap of the asking rows for each output; None if all rows have a value."""
    rows = query.rows
    is_placed = rows.n_placed == len(rows.codes)
    placed = None if is_placed else _placed_bits(rows, query.first_row)
    bits = _shifted(results.bits, query.first_row - query.base)
    return [placed if k is None else bits[k] for k in results.marked]


def _placed_bits(rows: WindowOrder, first_row: int) -> Uint8Array:
    return np.packbits(rows.codes[first_row:] >= 0, bitorder="little")


def _shifted(bits: Uint8Array, offset: int) -> Uint8Array:
    """Return bitmaps, one a row, without their first bits."""
    if offset == 0:
        return bits
    shifted = bits >> np.uint8(offset)
    shifted[:, :-1] |= bits[:, 1:] << np.uint8(8 - offset)
    return shifted
