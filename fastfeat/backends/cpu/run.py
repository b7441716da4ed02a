"""Running a program over the rows: pieces in place, threads, and what went wrong in which row."""

from __future__ import annotations

import ctypes
import itertools
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from fastfeat_kernels.load import Kernel
from numpy.typing import NDArray

from fastfeat.backends.cpu.compile import generated_kernel, written_kernel
from fastfeat.backends.cpu.layout import Loop, lay_out
from fastfeat.backends.cpu.render import render, storage
from fastfeat.backends.cpu.table import BoundTable, TablePlan, Words, bind_constants, plan_table
from fastfeat.backends.cpu.threads import num_threads, run_tasks
from fastfeat.backends.program import Constants, Program, RowFailed
from fastfeat.io.arrow import pa
from fastfeat.io.column import Chunk, physical_chunks
from fastfeat.scalars.value import LARGE_ARGUMENT, InputSlot

WORD_ROWS = 64
ROWS_PER_TASK = 1 << 17
SERIAL_BELOW = 1 << 16
_scratch = threading.local()


@dataclass(frozen=True, slots=True)
class CompiledProgram:
    """A program with its loops, the places in its table, and the texts of its kernels."""

    program: Program
    loops: tuple[Loop, ...]
    table: TablePlan

    def text(self, *, exact: bool = False) -> str:
        """Return the generated module; `exact` is the form for very large arguments of sin, cos,
        tan."""
        return render(self.loops, exact=exact)

    def loops_address(self, *, exact: bool = False) -> int:
        """Return the address of the compiled loops."""
        return address_of(_loops(self.program, exact))


@lru_cache(maxsize=512)
def _loops(program: Program, exact: bool) -> Kernel:
    """Return the compiled loops, without rendering their text again for every run."""
    return generated_kernel(compiled(program).text(exact=exact))


@lru_cache(maxsize=256)
def compiled(program: Program) -> CompiledProgram:
    """Return a program laid out in loops; machine code is made when it is first run."""
    loops = lay_out(program)
    return CompiledProgram(program, loops, plan_table(program, loops))


def driver() -> Kernel:
    """Return the kernel that runs generated loops over blocks of rows."""
    return written_kernel("rows", "blocks")


def address_of(kernel: Kernel) -> int:
    """Return the address of the machine code of a kernel."""
    address = ctypes.cast(kernel, ctypes.c_void_p).value  # pyright: ignore[reportArgumentType]
    assert address is not None
    return address


@dataclass(frozen=True, slots=True)
class Target:
    """Where an output goes.

    Args:
        values: address of row 0, or of the first bits of a bool column.
        n_bytes: bytes between rows; 0 for a bool column.
        validity: address of the bitmap, 0 when missing values are NaN alone.
        strided: whether rows are not contiguous.
    """

    values: int
    n_bytes: int
    validity: int = 0
    strided: bool = False


@dataclass(frozen=True, slots=True)
class Piece:
    """Rows [start, stop) whose inputs are each one contiguous piece of memory."""

    start: int
    stop: int
    inputs: tuple[tuple[Chunk, int], ...]


def run(
    program: Program,
    columns: Mapping[InputSlot, Any],
    n_rows: int,
    constants: Constants,
    targets: Sequence[Target],
) -> NDArray[np.int64]:
    """Compute all outputs into their targets; return how many rows of each are missing, shape
    (n_outputs,).

    Args:
        program: what to compute.
        columns: an Arrow chunked array of `n_rows` rows for each input slot.
        n_rows: number of rows.
        constants: what fit has learnt.
        targets: where each output goes; addresses cover whole words of 64 rows where bits are
        written.

    Raises:
        RowFailed: an overflow, or the like; the first row.
    """
    plan = compiled(program)
    bound = bind_constants(plan.table, constants)
    chunks = [physical_chunks(columns[slot]) for slot in plan.program.inputs]
    # the copied rows of seams live as long as their pieces: tasks hold bare addresses
    kept = list(pieces(chunks, n_rows, columns, plan.program.inputs))
    tasks = [task for piece in kept for task in _tasks(plan, bound, piece, targets)]
    statuses = _run_tasks(plan, plan.loops_address(), tasks)
    # other bits beside this one may come from the values that it says are wrong
    large = [k for k, status in enumerate(statuses) if status & LARGE_ARGUMENT]
    loops = plan.loops_address()
    if large:
        loops = plan.loops_address(exact=True)
        for k in large:
            tasks[k][0][plan.table.output_words + 3] = 0
        again = _run_tasks(plan, loops, [tasks[k] for k in large])
        for k, status in zip(large, again, strict=True):
            statuses[k] = status & ~LARGE_ARGUMENT
    failed = [k for k, status in enumerate(statuses) if status & ~LARGE_ARGUMENT]
    if failed:
        first = min(failed, key=lambda k: tasks[k][3])
        raise RowFailed(_first_failing_row(plan, loops, tasks[first]))
    return _missing_counts(plan, [task[0] for task in tasks])


Task = tuple[Words, int, int, int]


def _missing_counts(plan: CompiledProgram, tables: list[Words]) -> NDArray[np.int64]:
    counts = np.zeros(len(plan.program.outputs), dtype=np.int64)
    for table in tables:
        counts[plan.table.outputs] += table[plan.table.output_words + 3]
    return counts


def _run_tasks(plan: CompiledProgram, loops: int, tasks: Sequence[Task]) -> list[int]:
    statuses = [0] * len(tasks)
    kernel = driver()

    def job(k: int) -> None:
        table, first, n, _ = tasks[k]
        table[:2] = scratch_address(plan.table.n_scratch_bytes), loops
        statuses[k] = kernel(table.ctypes.data, first, n)

    n_rows = sum(task[2] for task in tasks)
    if n_rows < SERIAL_BELOW or num_threads() == 1:
        for k in range(len(tasks)):
            job(k)
    else:
        run_tasks([lambda k=k: job(k) for k in range(len(tasks))])
    return statuses


def scratch_address(n_bytes: int) -> int:
    """Return the address of this thread's scratch memory, aligned to cache lines."""
    n_bytes += 64
    memory: NDArray[np.uint8] | None = getattr(_scratch, "memory", None)
    if memory is None or len(memory) < n_bytes:
        memory = _scratch.memory = np.empty(n_bytes, dtype=np.uint8)
    return memory.ctypes.data + -memory.ctypes.data % 64


def pieces(
    chunks: Sequence[Sequence[Chunk]],
    n_rows: int,
    columns: Mapping[InputSlot, Any],
    slots: Sequence[InputSlot],
) -> Iterator[Piece]:
    """Yield the rows in pieces that start at multiples of 64; around a boundary of chunks, a
    copied seam."""
    if not n_rows:
        return
    seams = sorted(
        {end // WORD_ROWS for parts in chunks for end in _ends(parts) if end % WORD_ROWS}
    )
    breaks = {end for parts in chunks for end in _ends(parts) if not end % WORD_ROWS}
    breaks |= {edge for seam in seams for edge in (seam * WORD_ROWS, (seam + 1) * WORD_ROWS)}
    edges = sorted({0, n_rows, *(edge for edge in breaks if edge < n_rows)})
    seam_starts = {seam * WORD_ROWS for seam in seams}
    cursors = [_Cursor(parts) for parts in chunks]
    for start, stop in itertools.pairwise(edges):
        if start in seam_starts and any(cursor.splits(start, stop) for cursor in cursors):
            yield Piece(start, stop, tuple(_copied(columns[s], start, stop) for s in slots))
        else:
            yield Piece(start, stop, tuple(cursor.at(start) for cursor in cursors))


def _ends(parts: Sequence[Chunk]) -> Iterator[int]:
    """Yield the row after each chunk but the last."""
    end = 0
    for chunk in parts[:-1]:
        end += chunk.length
        yield end


@dataclass(slots=True)
class _Cursor:
    """Walks the chunks of one column forward."""

    parts: Sequence[Chunk]
    index: int = 0
    start: int = 0

    def at(self, row: int) -> tuple[Chunk, int]:
        """Return the chunk that holds a row, and which of its rows that is."""
        while row >= self.start + self.parts[self.index].length:
            self.start += self.parts[self.index].length
            self.index += 1
        return self.parts[self.index], row - self.start

    def splits(self, start: int, stop: int) -> bool:
        """Return whether rows [start, stop) are not in one chunk."""
        chunk, offset = self.at(start)
        return offset + (stop - start) > chunk.length


def _copied(column: Any, start: int, stop: int) -> tuple[Chunk, int]:
    joined = column.slice(start, stop - start).combine_chunks()
    whole = joined if isinstance(joined, pa.ChunkedArray) else pa.chunked_array([joined])
    parts = physical_chunks(whole)
    return parts[0], 0


def _tasks(
    plan: CompiledProgram, bound: BoundTable, piece: Piece, targets: Sequence[Target]
) -> Iterator[Task]:
    """Yield (table, first row, rows, row of the table's row 0) for a piece, one table a task."""
    words = bound.words.copy()
    places = plan.table
    inputs = _input_words(piece, plan.program.inputs)[places.input_slots]
    for k in range(4):
        words[places.input_words + 1 + k] = inputs[:, k]
    outputs = np.array(
        [
            (
                t.values + (piece.start * t.n_bytes if t.n_bytes else piece.start // 8),
                t.validity + piece.start // 8 if t.validity else 0,
                0,
                t.n_bytes if t.strided else 0,
            )
            for t in targets
        ],
        dtype=np.int64,
    ).reshape(-1, 4)[places.outputs]
    for k in range(4):
        words[places.output_words + 1 + k] = outputs[:, k]
    for first in range(0, piece.stop - piece.start, ROWS_PER_TASK):
        n = min(ROWS_PER_TASK, piece.stop - piece.start - first)
        yield words.copy(), first, n, piece.start


def _input_words(piece: Piece, slots: Sequence[InputSlot]) -> Words:
    """Return the four words of each input for a piece, shape (n_slots, 4)."""
    rows: list[tuple[int, int, int, int]] = []
    for (chunk, row), slot in zip(piece.inputs, slots, strict=True):
        kind = storage(slot.dtype)
        if kind == "bool":
            values, bit = chunk.values, chunk.value_bit_offset + row
        else:
            values, bit = chunk.values + row * np.dtype(kind).itemsize, 0
        rows.append((values, bit, chunk.validity, chunk.bit_offset + row))
    return np.array(rows, dtype=np.int64).reshape(-1, 4)


def _first_failing_row(plan: CompiledProgram, loops: int, task: Task) -> int:
    """Return the first row whose status is not 0, by running ever smaller pieces of a failed
    task."""
    table, first, n, start = task

    def fails(begin: int, rows: int) -> bool:
        table[:2] = scratch_address(plan.table.n_scratch_bytes), loops
        return bool(driver()(table.ctypes.data, begin, rows) & ~LARGE_ARGUMENT)

    low, high = 0, -(-n // WORD_ROWS)  # the failing word is in [low, high)
    while high - low > 1:
        middle = (low + high) // 2
        if fails(first + low * WORD_ROWS, (middle - low) * WORD_ROWS):
            high = middle
        else:
            low = middle
    begin = first + low * WORD_ROWS
    rows = next(k for k in range(1, n - low * WORD_ROWS + 1) if fails(begin, k))
    return start + begin + rows - 1
