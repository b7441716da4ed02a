"""Run a program over rows: split them into pieces and tasks, use threads, find the row that failed.

In a piece each input is contiguous in memory; a task is one call of the kernel for a part of a
piece. The kernel writes into newly allocated Arrow columns, or into the columns of a matrix. It
reads a table of 64-bit words: addresses and numbers.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from fastfeat_kernels.arrays import Int64Array
from fastfeat_kernels.rows import BLOCK_WORD, CODES, TILE_WORDS, tile_column_bytes, tile_rows
from numpy.typing import NDArray

from fastfeat.engine import failure
from fastfeat.engine.cpu.bound import BoundProgram, bound_program
from fastfeat.engine.cpu.compiled import CompiledProgram, driver
from fastfeat.engine.cpu.threads import num_threads, run_tasks
from fastfeat.engine.program import Constants, Program, RowFailed
from fastfeat.engine.storage import storage
from fastfeat.engine.tasks import MatrixTask, RowTask
from fastfeat.io.arrow import pa
from fastfeat.io.columns.column import Chunk, physical_chunks
from fastfeat.io.sinks.write import array_from_buffers, staggered_addresses, staggered_columns
from fastfeat.ir.dtypes import BOOL
from fastfeat.progress import is_progress_shown, report_progress
from fastfeat.scalars.value import LARGE_ARGUMENT, InputSlot


class InputPiece(NamedTuple):
    """Rows [start, stop).

    Each input is contiguous there: a chunk, and the first row's position in it.
    """

    start: int
    stop: int
    inputs: tuple[tuple[Chunk, int], ...]


def pieces(
    chunks: Sequence[Sequence[Chunk]],
    n_rows: int,
    columns: Mapping[InputSlot, Any],
    slots: Sequence[InputSlot],
) -> Iterator[InputPiece]:
    """Split rows into pieces that begin at multiples of 64 and in which columns are contiguous.

    If a chunk ends inside a word of 64 rows, that word becomes a piece of its own, which is copied.
    `chunks` holds the non-empty chunks of each of the columns `slots`.
    """
    if not n_rows:
        return
    ends = {end for parts in chunks for end in _ends(parts)}
    seams = {end - end % failure.WORD_ROWS for end in ends if end % failure.WORD_ROWS}
    whole = {end for end in ends if not end % failure.WORD_ROWS}
    breaks = whole | seams | {seam + failure.WORD_ROWS for seam in seams}
    edges = sorted({0, n_rows, *(edge for edge in breaks if edge < n_rows)})
    cursors = [_Cursor(parts) for parts in chunks]
    for start, stop in pairwise(edges):
        if start in seams and any(cursor.splits(start, stop) for cursor in cursors):
            yield InputPiece(start, stop, tuple(_copied(columns[s], start, stop) for s in slots))
        else:
            yield InputPiece(start, stop, tuple(cursor.at(start) for cursor in cursors))


def _ends(parts: Sequence[Chunk]) -> Iterator[int]:
    """Yield the row where each chunk ends, except the last."""
    end = 0
    for chunk in parts[:-1]:
        end += chunk.length
        yield end


@dataclass(slots=True)
class _Cursor:
    """Finds the chunk of a row in a column, for rows in ascending order."""

    parts: Sequence[Chunk]
    index: int = 0
    start: int = 0

    def at(self, row: int) -> tuple[Chunk, int]:
        """Return the chunk that contains a row, and the row's position in it."""
        while row >= self.start + self.parts[self.index].length:
            self.start += self.parts[self.index].length
            self.index += 1
        return self.parts[self.index], row - self.start

    def splits(self, start: int, stop: int) -> bool:
        """Return whether rows [start, stop) span several chunks."""
        chunk, offset = self.at(start)
        return offset + (stop - start) > chunk.length


def _copied(column: Any, start: int, stop: int) -> tuple[Chunk, int]:
    joined = column.slice(start, stop - start).combine_chunks()
    whole = joined if isinstance(joined, pa.ChunkedArray) else pa.chunked_array([joined])
    parts = physical_chunks(whole)
    return parts[0], 0


ROWS_PER_TASK = 1 << 17

SERIAL_BELOW = 1 << 16

COUNT = 2  # word of an output with its number of missing values, counted by the kernel

_scratch = threading.local()


class OutputTarget(NamedTuple):
    """The place that an output is written to.

    Args:
        values: Address of row 0, or of the first bits of a bool column.
        n_bytes: Bytes of a value; 0 for a bool column.
        validity: Address of the bitmap; 0 if only NaN marks missing values.
        in_tile: Whether `values` is an offset in the tile of a matrix.
    """

    values: int
    n_bytes: int
    validity: int = 0
    in_tile: bool = False


class Tile(NamedTuple):
    """A small buffer that collects the outputs of a block of rows, before they go to matrix rows.

    Args:
        n_rows: Rows of a block.
        column_bytes: Bytes between columns of the tile.
        n_columns: Number of columns.
        code: The kernel's code for the common type of all columns.
        matrix: Address of the matrix's first element.
        strides: Bytes between the matrix's rows, and between its columns.
    """

    n_rows: int
    column_bytes: int
    n_columns: int
    code: int
    matrix: int
    strides: tuple[int, int]


class LoopCall(NamedTuple):
    """One call of the kernel.

    Args:
        table: The call's own copy of the table.
        first: First row, counted from `start`.
        n_rows: Number of rows.
        start: Row of the data that is row 0 of the table.
    """

    table: Int64Array
    first: int
    n_rows: int
    start: int


def run(
    program: Program,
    columns: Mapping[InputSlot, Any],
    n_rows: int,
    constants: Constants,
    targets: Sequence[OutputTarget],
    owners: object,
    tile: Tile | None = None,
) -> NDArray[np.int64]:
    """Compute all outputs into their targets; return each output's number of missing values.

    Args:
        program: The program.
        columns: An Arrow chunked array of `n_rows` rows for each input slot.
        n_rows: Number of rows.
        constants: Learned constants.
        targets: Memory for each output. Bits are written in whole words of 64 rows.
        owners: Objects that keep the memory of the targets alive.
        tile: The tile, if targets are in one.

    Raises:
        RowFailed: The first row that fails, such as by an overflow.
    """
    bound = bound_program(program, constants)
    plan = bound.compiled
    chunks = [physical_chunks(columns[slot]) for slot in program.inputs]
    kept = list(pieces(chunks, n_rows, columns, program.inputs))
    tasks = [task for piece in kept for task in _tasks(bound, piece, targets, tile)]
    loops = plan.loops_address()
    statuses = _run_tasks(plan, loops, tasks, (owners, bound, kept))
    failed = next((k for k, status in enumerate(statuses) if status), None)
    if failed is not None:
        raise RowFailed(_first_failing_row(plan, loops, tasks[failed]))
    return _missing_counts(plan, tasks)


def _missing_counts(plan: CompiledProgram, tasks: Sequence[LoopCall]) -> NDArray[np.int64]:
    counts = np.zeros(len(plan.program.outputs), dtype=np.int64)
    for task in tasks:
        counts[plan.table.outputs] += task.table[plan.table.output_words[:, COUNT]]
    return counts


def _run_tasks(
    plan: CompiledProgram, loops: int, tasks: Sequence[LoopCall], owners: object
) -> list[int]:
    """Run tasks, on all threads if that pays; return the status bits of each.

    Tasks hold bare addresses. Each job keeps `owners` alive, because an interrupt may end this
    function while other threads still work.
    """
    statuses, done, n_rows = [0] * len(tasks), list[int](), sum(task.n_rows for task in tasks)

    def job(k: int, owners: object = owners) -> None:
        statuses[k] = _run_task(plan, loops, tasks[k], tasks[k].first, tasks[k].n_rows)
        done.append(tasks[k].n_rows)
        if is_progress_shown():
            report_progress(f"{sum(done):,} of {n_rows:,} rows done")

    if n_rows < SERIAL_BELOW or num_threads() == 1:
        for k in range(len(tasks)):
            job(k)
    else:
        run_tasks([lambda k=k: job(k) for k in range(len(tasks))])
    return statuses


def _run_task(plan: CompiledProgram, loops: int, task: LoopCall, first: int, n_rows: int) -> int:
    """Run rows [first, first + n_rows) of a task's table; return their status bits.

    If the status asks for it, they are run again with the loops for large arguments.
    """
    status = _call(plan, loops, task, first, n_rows)
    if status & LARGE_ARGUMENT:  # other bits may come from wrong values, which this bit reports
        task.table[plan.table.output_words[:, COUNT]] = 0
        exact = plan.loops_address(exact=True)
        status = _call(plan, exact, task, first, n_rows) & ~LARGE_ARGUMENT
    return status


def _call(plan: CompiledProgram, loops: int, task: LoopCall, first: int, n_rows: int) -> int:
    _, tile_column, n_columns = task.table[TILE_WORDS][:3].tolist()
    n_bytes = plan.table.n_scratch_bytes
    scratch = _scratch_address(n_bytes + tile_column * n_columns)
    task.table[:2], task.table[TILE_WORDS.start] = (scratch, loops), scratch + n_bytes
    return driver()(task.table.ctypes.data, first, n_rows)


def _scratch_address(n_bytes: int) -> int:
    """Return the address of this thread's scratch memory, aligned to cache lines."""
    n_bytes += 64
    memory: NDArray[np.uint8] | None = getattr(_scratch, "memory", None)
    if memory is None or len(memory) < n_bytes:
        memory = _scratch.memory = np.empty(n_bytes, dtype=np.uint8)
    return memory.ctypes.data + -memory.ctypes.data % 64


def _tasks(
    bound: BoundProgram,
    piece: InputPiece,
    targets: Sequence[OutputTarget],
    tile: Tile | None,
) -> Iterator[LoopCall]:
    """Split a piece into tasks, each with its own table."""
    words, places = bound.words(), bound.places
    if tile is not None:
        words[BLOCK_WORD] = tile.n_rows
        first = tile.matrix + piece.start * tile.strides[0]
        words[TILE_WORDS] = 0, *tile[1:4], first, *tile.strides
    words[places.input_words] = _input_words(piece, bound.compiled.program.inputs)[
        places.input_slots
    ]
    words[places.output_words] = np.array(
        [
            (
                t.values if t.in_tile else t.values + _offset(piece.start, t.n_bytes),
                t.validity + piece.start // 8 if t.validity else 0,
                0,
                t.in_tile,
            )
            for t in targets
        ],
        dtype=np.int64,
    ).reshape(-1, 4)[places.outputs]
    for first in range(0, piece.stop - piece.start, ROWS_PER_TASK):
        n = min(ROWS_PER_TASK, piece.stop - piece.start - first)
        yield LoopCall(words.copy(), first, n, piece.start)


def _offset(row: int, n_bytes: int) -> int:
    """Return the position of a row in a column, in bytes from its start; 8 bool rows are a byte."""
    return row * n_bytes if n_bytes else row // 8


def _input_words(piece: InputPiece, slots: Sequence[InputSlot]) -> Int64Array:
    """Return the four words that tell a loop where each input of a piece is, shape (n_slots, 4)."""
    rows: list[tuple[int, int, int, int]] = []
    for (chunk, row), slot in zip(piece.inputs, slots, strict=True):
        kind = storage(slot.dtype)
        if kind == "bool":
            values, bit = chunk.values, chunk.value_bit_offset + row
        else:
            values, bit = chunk.values + row * np.dtype(kind).itemsize, 0
        rows.append((values, bit, chunk.validity, chunk.bit_offset + row))
    return np.array(rows, dtype=np.int64).reshape(-1, 4)


def _first_failing_row(plan: CompiledProgram, loops: int, task: LoopCall) -> int:
    """Return the first failing row of a failed task, by running ever smaller parts of it."""

    def fails(first: int, n_rows: int) -> bool:
        return _run_task(plan, loops, task, task.first + first, n_rows) != 0

    return task.start + task.first + failure.first_failing_row(fails, task.n_rows)


def compute(task: RowTask) -> list[Any]:
    """Return the values of each output as an Arrow array."""
    program, n_rows = task.program, task.n_rows
    values = _allocate(program, n_rows)
    validity = staggered_columns(len(program.outputs), n_rows, BOOL)
    targets = [
        OutputTarget(address, 0 if output.dtype.name == "bool" else array.itemsize, bits)
        for output, (array, address), bits in zip(
            program.outputs, values, staggered_addresses(validity), strict=True
        )
    ]
    owners = (values, validity)
    missing = run(program, task.columns, n_rows, task.constants, targets, owners).tolist()
    return [
        array_from_buffers(output.dtype, array, bits, count, n_rows)
        for output, (array, _), bits, count in zip(
            program.outputs, values, validity, missing, strict=True
        )
    ]


def _allocate(program: Program, n_rows: int) -> list[tuple[NDArray[Any], int]]:
    """Return memory and address of each output column; columns of one type share an allocation."""
    by_type: dict[Any, list[int]] = {}
    for k, output in enumerate(program.outputs):
        by_type.setdefault(output.dtype, []).append(k)
    columns: dict[int, tuple[NDArray[Any], int]] = {}
    for dtype, members in by_type.items():
        arrays = staggered_columns(len(members), n_rows, dtype)
        placed = zip(arrays, staggered_addresses(arrays), strict=True)
        columns.update(zip(members, placed, strict=True))
    return [columns[k] for k in range(len(program.outputs))]


def compute_matrix(task: MatrixTask) -> None:
    """Compute the outputs of a task, which all have one float type, into its matrix."""
    out = task.out
    first, (row, column), n_bytes = out.ctypes.data, out.strides, out.itemsize
    n_outputs = len(task.program.outputs)
    tile = None if row == n_bytes else _tile(out)
    if tile is not None:
        first, column = 0, tile.column_bytes
    targets = [
        OutputTarget(first + k * column, n_bytes, in_tile=tile is not None)
        for k in range(n_outputs)
    ]
    run(task.program, task.columns, task.n_rows, task.constants, targets, out, tile)


def _tile(out: NDArray[Any]) -> Tile:
    """Return the tile for writing a matrix that has no contiguous columns."""
    n_columns, n_bytes = out.shape[1], out.itemsize
    n_rows = tile_rows(n_columns, n_bytes)
    return Tile(
        n_rows,
        tile_column_bytes(n_rows, n_bytes),
        n_columns,
        CODES[out.dtype.name],
        out.ctypes.data,
        (out.strides[0], out.strides[1]),
    )
