"""Window statistics of a small batch, with tables that are made once.

`state.over` makes new tables, programs and memory at each call, which for 25 statistics of 1,000
rows takes as long as the computation. This module keeps them by statistics and columns, and
allocates only the results. The kernels, and so each bit, are the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np

from fastfeat_kernels.arrays import Int64Array, Uint8Array
from fastfeat_kernels.column import CallRunner, KernelRowCall
from fastfeat_kernels.records import dataclass
from fastfeat_kernels.windows import layout
from fastfeat_kernels.windows.ordering import FEW_ROWS, WindowOrder
from fastfeat_kernels.windows.programs import Dealt, WindowProgram, prepared
from fastfeat_kernels.windows.requests import WantedStatistic
from fastfeat_kernels.windows.results import TILE, Query, ResultColumns, aligned, piece_bits

NOBODY = 2**63 - 1
_BYTE = 8  # rows of a byte of a bitmap: columns of results begin at a multiple
ColumnLayouts = tuple[tuple[int, bool, bool], ...]
"""For each column read: its number, whether it has its own words, whether it has flags."""


@dataclass(slots=True, eq=False)
class _Prepared:
    """A pass with its tables and memory, in use by one thread at a time.

    Args:
        program: Program of the pass.
        table: Table of the computing kernel.
        collecting: Table of the kernel that brings results into input order.
        columns: Words of columns.
        scratch: Memory of the kernel; `spare`, `places` and `waiting` are too.
        stage: Addresses of the pieces where results wait.
        targets: Addresses of result columns.
        bits: Shape (2, row_words): addresses of bitmaps, of flags and of numbers.
        marks: Bitmap number of each output; None if it needs none.
        n_marked: Number of bitmaps.
        overflows: First overflowing row of each output.
        cursors: Cursor of the only partition.
    """

    program: WindowProgram
    table: Int64Array
    collecting: Int64Array
    columns: Int64Array
    scratch: Int64Array
    spare: Int64Array
    places: Int64Array
    waiting: Int64Array
    stage: Int64Array
    targets: Int64Array
    bits: Int64Array
    marks: Sequence[int | None]
    n_marked: int
    overflows: Int64Array
    cursors: Int64Array


def query_of_few(rows: WindowOrder, first_row: int) -> Query | None:
    """Return the asking rows of a small batch with one partition; None for other batches.

    `first_row` is the first input row that asks.
    """
    if len(rows.codes) > FEW_ROWS or rows.cells.shape != (1, 2):
        return None
    n_before = int(np.count_nonzero(rows.codes[:first_row] >= 0)) if first_row else 0
    if n_before >= rows.n_placed:
        return None
    before = np.array([n_before], np.int64)
    asked = np.array([rows.n_placed - n_before], np.int64)
    return Query(rows, first_row, first_row & -_BYTE, (), before[None], before, asked)


def compute_few(
    query: Query,
    places: tuple[int, ...],
    wanted: tuple[WantedStatistic, ...],
    elements: tuple[str, ...],
    dealt: Mapping[int, Dealt],
    run: CallRunner,
) -> tuple[ResultColumns, Int64Array]:
    """Return the results of a pass, and for each output the first dealt row that overflows.

    `places` are the positions of its statistics in `wanted`.
    """
    kinds = tuple([(k, one.words is not None, one.present is not None) for k, one in dealt.items()])
    free = _free(places, wanted, elements, kinds)
    try:
        one = free.pop()
    except IndexError:
        one = _prepared(places, wanted, elements, dealt)
    found = _computed(query, one, dealt, run)
    free.append(one)
    return found


@lru_cache(maxsize=64)
def _free(
    places: tuple[int, ...],
    wanted: tuple[WantedStatistic, ...],
    elements: tuple[str, ...],
    kinds: ColumnLayouts,
) -> list[_Prepared]:
    """Return the passes for some statistics that no thread uses now."""
    return []


def _prepared(
    places: tuple[int, ...],
    wanted: tuple[WantedStatistic, ...],
    elements: tuple[str, ...],
    dealt: Mapping[int, Dealt],
) -> _Prepared:
    program = prepared(places, wanted, elements, dealt, layout.BATCH + FEW_ROWS)
    n_outputs, row_words, marks = len(program.outputs), program.row_words, _marks(program)
    one = _Prepared(
        program,
        np.zeros(layout.N_TABLE_WORDS, np.int64),
        np.zeros(layout.N_TABLE_WORDS, np.int64),
        program.columns,
        aligned(-(-program.n_scratch_bytes // 8)),
        aligned(program.n_spare_words),
        np.empty(2 * TILE, np.int64),
        aligned(row_words * FEW_ROWS),
        np.zeros(row_words, np.int64),
        np.zeros(row_words, np.int64),
        np.zeros((2, row_words), np.int64),
        marks,
        sum(mark is not None for mark in marks),
        np.full(n_outputs, NOBODY, np.int64),
        np.zeros(1, np.int64),
    )
    table, collecting = one.table, one.collecting
    table[layout.TABLE_COLUMNS] = one.columns.ctypes.data
    table[layout.TABLE_N_COLUMNS] = len(dealt)
    table[layout.TABLE_WINDOWS] = program.windows.ctypes.data
    table[layout.TABLE_N_WINDOWS] = len(program.windows)
    table[layout.TABLE_BOUNDS] = program.bounds.ctypes.data
    table[layout.TABLE_N_BOUNDS] = len(program.bounds)
    table[layout.TABLE_OUTPUTS] = program.outputs.ctypes.data
    table[layout.TABLE_N_OUTPUTS] = n_outputs
    table[layout.TABLE_SCRATCH] = one.scratch.ctypes.data
    table[layout.TABLE_SPARE] = one.spare.ctypes.data
    table[layout.TABLE_OVERFLOWS] = one.overflows.ctypes.data
    collecting[layout.TABLE_STAGE] = one.stage.ctypes.data
    collecting[layout.TABLE_ABSENT] = program.absent.ctypes.data
    collecting[layout.TABLE_SCRATCH] = one.places.ctypes.data
    collecting[layout.TABLE_CURSORS] = one.cursors.ctypes.data
    collecting[layout.TABLE_TARGETS] = one.targets.ctypes.data
    for words in (table, collecting):
        words[layout.TABLE_ROW_WORDS], words[layout.TABLE_FLAGS] = row_words, program.flags
        words[layout.TABLE_FLAG_BITS] = one.bits[0].ctypes.data
        words[layout.TABLE_NUMBER_BITS] = one.bits[1].ctypes.data
    return one


def _marks(program: WindowProgram) -> list[int | None]:
    """Return each output's bitmap number; None if the output has no bitmap."""
    flags = program.outputs[:, layout.OUTPUT_FLAGGED].tolist()
    found, n_before = list[int | None](), 0
    for flag, is_number in zip(flags, program.is_float, strict=True):
        found.append(n_before if flag or is_number else None)
        n_before += bool(flag or is_number)
    return found


def _computed(
    query: Query, one: _Prepared, dealt: Mapping[int, Dealt], run: CallRunner
) -> tuple[ResultColumns, Int64Array]:
    """Return the results of a pass in new memory."""
    rows, program, n_outputs = query.rows, one.program, len(one.marks)
    n = len(rows.codes) - query.base
    stride = -(-n // _BYTE) * _BYTE
    together = aligned(stride * n_outputs)
    bits = np.zeros((one.n_marked, -(-n // 8)), np.uint8)
    _point_to(one, query, together.ctypes.data + 8 * stride * np.arange(n_outputs), bits)
    for words, column in zip(one.columns, dealt.values(), strict=False):
        words[layout.COLUMN_VALUES] = 0 if column.words is None else column.words.ctypes.data
        words[layout.COLUMN_PRESENT] = 0 if column.present is None else column.present.ctypes.data
    one.overflows[:] = NOBODY
    table, waits = one.table, not rows.is_as_given
    table[layout.TABLE_TARGETS] = 0 if waits else one.targets.ctypes.data
    table[layout.TABLE_STAGE] = one.stage.ctypes.data if waits else 0
    owners = rows, dealt, together, bits
    run(program.entry, [[KernelRowCall(table, 0, rows.n_entities, owners)]])
    if waits:
        n_asking = len(rows.codes) - query.first_row
        run("collect", [[KernelRowCall(one.collecting, query.first_row, n_asking, owners)]])
    columns = [*together.reshape(n_outputs, stride)[:, :n]]
    own = one.targets, one.bits[0], one.bits[1]
    results = ResultColumns(columns, bits, one.marks, *own, program.is_float)
    return results, one.overflows.copy()[None]


def _point_to(one: _Prepared, query: Query, targets: Int64Array, bits: Uint8Array) -> None:
    """Write the addresses of rows, results and waiting results."""
    rows, program, table, collecting = query.rows, one.program, one.table, one.collecting
    row_words, size = program.row_words, 1 << rows.stripe_bits
    if len(one.waiting) < row_words * size:
        one.waiting = aligned(row_words * size)
    one.targets[: len(targets)] = targets
    one.stage[:] = one.waiting.ctypes.data + 8 * size * np.arange(row_words)
    bits_at, width = bits.ctypes.data, bits.shape[1]
    for slot, (mark, is_number) in enumerate(zip(one.marks, program.is_float, strict=True)):
        if mark is not None:
            one.bits[int(is_number), slot] = bits_at + mark * width
    places = rows.starts.ctypes.data, rows.arrivals.ctypes.data, rows.times.ctypes.data
    table[layout.TABLE_STARTS : layout.TABLE_TIMES + 1] = places
    table[layout.TABLE_ASKING_STARTS : layout.TABLE_ASKING_TIMES + 1] = places
    table[layout.TABLE_END_PLACE] = rows.n_placed
    table[layout.TABLE_ASK_FROM] = one.cursors[0] = query.ask_from[0]
    collecting[layout.TABLE_CODES] = rows.codes.ctypes.data
    collecting[layout.TABLE_SHIFT] = rows.shift
    for words in (table, collecting):
        words[layout.TABLE_FIRST_ASKING] = query.base
        words[layout.TABLE_PIECE_BITS] = piece_bits(rows, row_words)
