"""Run a program over rows: split them into pieces and tasks, use threads, find the row that failed.

In a piece each input is contiguous in memory; a task is one call of the kernel for a part of a
piece. The kernel writes into newly allocated Arrow columns, or into the columns of a matrix. It
reads a table of 64-bit words: addresses and numbers.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np
from fastfeat_kernels.arrays import Int64Array
from fastfeat_kernels.rows import BLOCK_WORD, CODES, TILE_WORDS, tile_column_bytes, tile_rows
from numpy.typing import NDArray

from fastfeat.engine import failure
from fastfeat.engine.cpu import threads
from fastfeat.engine.cpu.bound import BoundProgram, bound_program
from fastfeat.engine.cpu.compiled import CompiledProgram, driver
from fastfeat.engine.program import Constants, Program, RowFailed
from fastfeat.engine.storage import storage
from fastfeat.engine.tasks import MatrixTask, RowTask
from fastfeat.io.arrow import pa
from fastfeat.io.columns.column import Chunk, physical_chunks
from fastfeat.io.sinks import write
from fastfeat.ir.dtypes import BOOL
from fastfeat.progress import is_progress_shown, report_progress
from fastfeat.scalars.value import LARGE_ARGUMENT, InputSlot


class InputPieces(NamedTuple):
    """Rows split into pieces, in each of which all inputs are contiguous in memory.

    Args:
        starts, stops: First row of each piece and the row after its last, shape (n_pieces,).
        words: The four words that tell a loop where each input is, shape (n_pieces, n_slots, 4).
        owners: Objects that keep the memory of the inputs alive.
    """

    starts: Int64Array
    stops: Int64Array
    words: Int64Array
    owners: object


def pieces(
    columns: Mapping[InputSlot, Any], n_rows: int, slots: Sequence[InputSlot]
) -> InputPieces:
    """Split rows into pieces that begin at multiples of 64 and in which columns are contiguous.

    If a chunk ends inside a word of 64 rows, that word becomes a piece of its own, which is copied.
    Words are computed for all pieces at once: 100 chunks of 10,000 rows took twice the time of one
    chunk when each piece had its own.
    """
    chunks = [physical_chunks(columns[slot]) for slot in slots]
    lengths = [tuple(chunk.length for chunk in parts) for parts in chunks]
    layouts = dict.fromkeys(lengths)
    ends = {end for layout in layouts for end in list(accumulate(layout))[:-1]}
    seams = {end - end % failure.WORD_ROWS for end in ends if end % failure.WORD_ROWS}
    whole = {end for end in ends if not end % failure.WORD_ROWS}
    breaks = whole | seams | {seam + failure.WORD_ROWS for seam in seams}
    edges = np.array(sorted({0, n_rows, *(edge for edge in breaks if edge < n_rows)}), np.int64)
    starts, stops = edges[:-1], edges[1:]
    n_pieces, n_slots = len(starts), len(slots)
    if not n_pieces or not n_slots:
        return InputPieces(starts, stops, np.zeros((n_pieces, n_slots, 4), np.int64), chunks)
    places = [_chunk_places(layout, starts) for layout in layouts]
    number = {layout: k for k, layout in enumerate(layouts)}
    of_slot = [number[layout] for layout in lengths]
    first_chunks = np.cumsum([0, *map(len, chunks)])[:-1]
    flat = np.array([chunk[:4] for parts in chunks for chunk in parts], np.int64)
    index = np.array([place for place, _ in places]).reshape(-1, n_pieces)[of_slot].T
    rows = np.array([row for _, row in places]).reshape(-1, n_pieces)[of_slot].T
    words = flat[index + first_chunks]
    kinds = [storage(slot.dtype) for slot in slots]
    n_bytes = np.array([0 if kind == "bool" else np.dtype(kind).itemsize for kind in kinds])
    words[:, :, 0] += rows * n_bytes
    words[:, :, 1] += np.where(n_bytes == 0, rows, 0)
    words[:, :, 3] += rows
    split = [k for k, start in enumerate(starts.tolist()) if start in seams]
    copies = [_copied(columns[slot], starts[split], stops[split]) for slot in slots if split]
    for j, copied in enumerate(copies):
        before = failure.WORD_ROWS * np.arange(len(split))
        words[split, j, 0] = copied.values + before * n_bytes[j]
        words[split, j, 1] = copied.value_bit_offset + (before if n_bytes[j] == 0 else 0)
        words[split, j, 2] = copied.validity
        words[split, j, 3] = copied.bit_offset + before
    return InputPieces(starts, stops, words, (chunks, copies))


def _chunk_places(lengths: Sequence[int], starts: Int64Array) -> tuple[Int64Array, Int64Array]:
    """Return the chunk that has each start, and the row in it, for chunks of these lengths."""
    first_rows = np.cumsum([0, *lengths])[:-1]
    places = np.searchsorted(first_rows, starts, side="right") - 1
    return places, starts - first_rows[places]


def _copied(column: Any, starts: Int64Array, stops: Int64Array) -> Chunk:
    """Return some ranges of a column as one chunk; only the last has less than a word of rows."""
    parts = [
        column.slice(start, stop - start)
        for start, stop in zip(starts.tolist(), stops.tolist(), strict=True)
    ]
    chunks = [chunk for part in parts for chunk in part.chunks]
    return physical_chunks(pa.chunked_array([pa.concat_arrays(chunks)]))[0]


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
    """Compute all outputs into their targets; return each output's number of missing values."""
    bound = bound_program(program, constants)
    plan = bound.compiled
    kept = pieces(columns, n_rows, program.inputs)
    tasks = list(_tasks(bound, kept, targets, tile))
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

    if n_rows < SERIAL_BELOW or threads.num_threads() == 1:
        for k in range(len(tasks)):
            job(k)
    else:
        threads.run_tasks([lambda k=k: job(k) for k in range(len(tasks))])
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
    inputs: InputPieces,
    targets: Sequence[OutputTarget],
    tile: Tile | None,
) -> Iterator[LoopCall]:
    """Split pieces into tasks, each with its own table."""
    words, places = bound.words(), bound.places
    if tile is not None:
        words[BLOCK_WORD] = tile.n_rows
    values, n_bytes, validity, in_tile = _columns_of(targets)[:, places.outputs]
    of_bits = (n_bytes == 0) & (in_tile == 0)
    row_bytes, has_validity = n_bytes * (in_tile == 0), (validity != 0).astype(np.int64)
    written = np.array([values, validity, np.zeros_like(values), in_tile]).T
    for start, stop, read in zip(
        inputs.starts.tolist(), inputs.stops.tolist(), inputs.words, strict=True
    ):
        if tile is not None:
            first = tile.matrix + start * tile.strides[0]
            words[TILE_WORDS] = 0, *tile[1:4], first, *tile.strides
        words[places.input_words] = read[places.input_slots]
        written[:, 0] = values + start * row_bytes + (start // 8) * of_bits
        written[:, 1] = validity + (start // 8) * has_validity
        words[places.output_words] = written
        for first in range(0, stop - start, ROWS_PER_TASK):
            n = min(ROWS_PER_TASK, stop - start - first)
            yield LoopCall(words.copy(), first, n, start)


def _columns_of(targets: Sequence[OutputTarget]) -> Int64Array:
    """Return address, bytes of a value, address of the bitmap, and `in_tile` of all targets."""
    rows = [(t.values, t.n_bytes, t.validity, t.in_tile) for t in targets]
    return np.array(rows, np.int64).reshape(-1, 4).T


def _first_failing_row(plan: CompiledProgram, loops: int, task: LoopCall) -> int:
    """Return the first failing row of a failed task, by running ever smaller parts of it."""

    def fails(first: int, n_rows: int) -> bool:
        return _run_task(plan, loops, task, task.first + first, n_rows) != 0

    return task.start + task.first + failure.first_failing_row(fails, task.n_rows)


def compute(task: RowTask) -> list[Any]:
    """Return the values of each output as an Arrow array."""
    program, n_rows = task.program, task.n_rows
    values = _allocate(program, n_rows)
    validity = write.staggered_columns(len(program.outputs), n_rows, BOOL)
    targets = [
        OutputTarget(address, 0 if output.dtype.name == "bool" else array.itemsize, bits)
        for output, (array, address), bits in zip(
            program.outputs, values, write.staggered_addresses(validity), strict=True
        )
    ]
    owners = (values, validity)
    missing = run(program, task.columns, n_rows, task.constants, targets, owners).tolist()
    return [
        write.array_from_buffers(output.dtype, array, bits, count, n_rows)
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
        arrays = write.staggered_columns(len(members), n_rows, dtype)
        placed = zip(arrays, write.staggered_addresses(arrays), strict=True)
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
