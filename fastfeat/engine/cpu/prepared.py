"""Prepared calls: a program is set up once for many calls with small batches.

A batch enters through the C interface of Arrow. Its features are written to a matrix, or returned
as a batch through the same interface, so the work in Python is the same for 500 features as for
one. The machine code is that of every other run. A call's words are 64-bit integers: its table
(addresses for the program's loops) and its block (what to copy from the batch into the table).
Steps that are kernel calls run before the program, in the same call and in memory that is kept.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from fastfeat_kernels.arrays import Int64Array
from fastfeat_kernels.load import LoadedKernel
from fastfeat_kernels.records import dataclass
from fastfeat_kernels.rows import (
    ARRAY_WORDS,
    BLOCK_WORD,
    CALL_WORDS,
    CODES,
    READ_WORDS,
    TILE_WORDS,
    WRITE_WORDS,
    tile_column_bytes,
    tile_rows,
)
from numpy.typing import NDArray

from fastfeat.engine.cpu import step_calls
from fastfeat.engine.cpu.bound import bound_program
from fastfeat.engine.cpu.compiled import address_of, call_kernel, driver
from fastfeat.engine.cpu.table import ProgramTableLayout
from fastfeat.engine.program import Constants, Program
from fastfeat.engine.storage import storage
from fastfeat.io.arrow import Schema, pa
from fastfeat.io.columns.types import memory_type
from fastfeat.scalars.value import InputSlot

if TYPE_CHECKING:
    from fastfeat.engine.cpu.step_calls import InputPlaces, Of, StepOfBatch


_PROTOTYPE = ctypes.PYFUNCTYPE(*[ctypes.c_int64] * 4)
_FEW_VALUES = 1 << 14  # computed in 10 to 100 us
FEW_ROWS = 1 << 10
"""Number of rows for which memory is allocated at first."""

MatrixCall = Callable[[Any, int], int]
"""Writes the features of a record batch to the address of a matrix; returns the status."""

ArrowCall = Callable[[Any], Any]
"""Returns the features of a record batch as another; None if the status is not 0."""


@dataclass(frozen=True, slots=True, eq=False)
class PreparedProgram:
    """A program set up for batches of one schema; each thread makes calls of its own from it.

    Args:
        table: The table as it is before a call.
        n_scratch_bytes: Scratch memory that a call needs, including a tile.
        block: The block, without the address of its table.
        kernel: The machine code that runs a call.
        owners: The memory that the tables point to.
        steps: Steps to run before the program.
        read: For each input column that a step makes, the step and the column's first word in the
            table.
        copied: For each output that is a step's column, the step and the output's first word in the
            block.
    """

    table: Int64Array
    n_scratch_bytes: int
    block: Int64Array
    kernel: LoadedKernel
    owners: tuple[object, ...]
    steps: Sequence[StepOfBatch] = ()
    read: Sequence[tuple[Of, int]] = ()
    copied: Sequence[tuple[Of, int]] = ()


def matrix_program(
    program: Program,
    constants: Constants,
    sources: InputPlaces,
    dtype: np.dtype[Any],
    *,
    by_rows: bool,
) -> PreparedProgram:
    """Return a program prepared to write a matrix of type `dtype`, the type of all its outputs.

    `sources` locates the input columns. With `by_rows`, rows are contiguous instead of columns.
    """
    bound = bound_program(program, constants)
    table, places = bound.words(), bound.places
    n_columns, item, n_scratch = len(program.outputs), dtype.itemsize, places.n_scratch_bytes
    if by_rows:
        n_rows = tile_rows(n_columns, item)
        column = tile_column_bytes(n_rows, item)
        strides = n_columns * item, item
        table[BLOCK_WORD] = n_rows
        table[TILE_WORDS] = 0, column, n_columns, CODES[dtype.name], 0, *strides
        table[places.output_words[:, 0]] = places.outputs * column
        table[places.output_words[:, 3]] = 1
        n_scratch += n_columns * column
    block = _block(places, sources, program, [item] * n_columns, range(n_columns), {})
    block[4:6] = 0 if by_rows else item, item
    table[1] = bound.compiled.loops_address()
    kernel, owners = call_kernel("into_matrix"), (bound, constants)
    read = _read(places, sources, program)
    return PreparedProgram(table, n_scratch, block, kernel, owners, sources.steps, read)


def arrow_program(
    program: Program,
    constants: Constants,
    sources: InputPlaces,
    places: Sequence[int],
    copied: Mapping[int, Of],
) -> PreparedProgram:
    """Return a program prepared to return Arrow columns."""
    bound = bound_program(program, constants)
    widths = [
        0 if output.dtype.name == "bool" else memory_type(output.dtype).itemsize
        for output in program.outputs
    ]
    block = _block(bound.places, sources, program, widths, places, copied)
    block[6:9] = *_memory(), address_of(call_kernel("release"))
    table = bound.words()
    if program.outputs:
        table[1] = bound.compiled.loops_address()
    else:  # there is nothing to run
        block[1] = 0
    n_scratch = bound.places.n_scratch_bytes
    first = len(block) - WRITE_WORDS * len(copied)
    return PreparedProgram(
        table,
        n_scratch,
        block,
        call_kernel("into_arrow"),
        (bound, constants),
        sources.steps,
        _read(bound.places, sources, program),
        [(step, first + WRITE_WORDS * k) for k, step in enumerate(copied.values())],
    )


def _read(
    table: ProgramTableLayout, sources: InputPlaces, program: Program
) -> list[tuple[Of, int]]:
    """Return (step, position of its first word in the table) of each input that a step makes."""
    slots: list[InputSlot] = [program.inputs[number] for number in table.input_slots.tolist()]
    pairs = zip(slots, table.input_words[:, 0].tolist(), strict=True)
    return [(sources.made[slot], at) for slot, at in pairs if slot in sources.made]


def _block(
    table: ProgramTableLayout,
    sources: InputPlaces,
    program: Program,
    widths: Sequence[int],
    places: Sequence[int],
    copied: Mapping[int, Of],
) -> Int64Array:
    """Return the words of a block that are the same for results as a matrix and as a batch."""
    slots: list[InputSlot] = [program.inputs[number] for number in table.input_slots.tolist()]
    reads = [
        [8 * at, sources.children[slot], _width(storage(slot.dtype))]
        for at, slot in zip(table.input_words[:, 0].tolist(), slots, strict=True)
        if slot not in sources.made
    ]
    n_written = len(table.outputs) + len(copied)
    words = [0, address_of(driver()), len(reads), n_written, 0, 0, 0, 0, 0, 0, 0]
    assert len(words) == CALL_WORDS
    assert sorted(table.outputs.tolist()) == list(range(len(program.outputs)))
    for read in reads:
        assert len(read) == READ_WORDS
        words += read
    for at, number in zip(table.output_words[:, 0].tolist(), table.outputs.tolist(), strict=True):
        words += [8 * at, places[number], widths[number], 0, 0, 0]
    for place, (step, _) in copied.items():
        words += [-1, place, sources.steps[step].step.width, 0, 0, 0]
    return np.array(words, dtype=np.int64)


def _width(kind: str) -> int:
    """Return the bytes of a value of a column; 0 for bool."""
    return 0 if kind == "bool" else np.dtype(kind).itemsize


def _memory() -> tuple[int, int]:
    """Return the addresses of functions that allocate and free memory from any thread."""
    python = ctypes.pythonapi
    return _address(python.PyMem_RawMalloc), _address(python.PyMem_RawFree)


def _address(function: Any) -> int:
    address = ctypes.cast(function, ctypes.c_void_p).value
    assert address is not None
    return address


@dataclass(slots=True, eq=False)
class _Call:
    """The memory of a call: table, block, scratch, Arrow structures and columns of steps.

    It can take `n_rows` rows, and serves one call at a time.
    """

    table: Int64Array
    block: Int64Array
    scratch: NDArray[np.uint8]
    given: Int64Array
    made: Int64Array
    ready: PreparedProgram
    n_rows: int
    steps: object


def _call_of(ready: PreparedProgram, n_rows: int = FEW_ROWS) -> _Call:
    """Allocate memory for calls of a prepared program with up to `n_rows` rows."""
    table, block = ready.table.copy(), ready.block.copy()
    scratch = np.empty(ready.n_scratch_bytes + 64, dtype=np.uint8)
    first = scratch.ctypes.data + -scratch.ctypes.data % 64
    table[0] = first
    table[TILE_WORDS.start] = first + ready.n_scratch_bytes - int(table[6] * table[7])
    block[0] = table.ctypes.data
    structures = np.zeros((2, ARRAY_WORDS), dtype=np.int64)
    of_steps = _steps_of(ready, table, block, n_rows)
    return _Call(table, block, scratch, structures[0], structures[1], ready, n_rows, of_steps)


def _steps_of(ready: PreparedProgram, table: Int64Array, block: Int64Array, n_rows: int) -> object:
    """Write the addresses of the steps' columns into table and block.

    Return the owner of the columns.
    """
    if not ready.steps:
        return None
    first, of_block = table.ctypes.data, block.ctypes.data
    readers = [
        step_calls.ResultReader(step, first + 8 * at, first + 8 * (at + 2), first + 8 * (at + 3))
        for step, at in ready.read
    ]
    readers += [
        step_calls.ResultReader(
            step, of_block + 8 * (at + 3), of_block + 8 * (at + 4), of_block + 8 * (at + 5)
        )
        for step, at in ready.copied
    ]
    words, kept = step_calls.allocate_steps(ready.steps, readers, n_rows)
    block[9:11] = sum(len(one.step.calls) for one in ready.steps), words.ctypes.data
    return words, kept


def _kernels(ready: PreparedProgram) -> tuple[int, Any, Any]:
    """Return the most rows of a small batch, the kernel for large batches, and one for small ones.

    The kernel for small batches keeps the interpreter's lock: releasing and taking it again costs
    .25 us, and milliseconds while another thread computes.
    """
    n_columns = int(ready.block[3])
    kernel: Any = ready.kernel
    return _FEW_VALUES // n_columns, kernel, _PROTOTYPE(address_of(kernel))


def matrix_call(ready: PreparedProgram) -> MatrixCall:
    """Return a function that runs the program on a batch and writes its outputs to a matrix.

    The function returns 0 on success. Only one thread may call it at a time.
    """
    call = _call_of(ready)
    few, kernel, kernel_of_few = _kernels(ready)

    def prepared(call: _Call) -> MatrixCall:
        given = call.given.ctypes.data
        args = ctypes.c_int64(call.block.ctypes.data), ctypes.c_int64(given)

        def run(batch: Any, out: int, _owner: _Call = call) -> int:
            batch._export_to_c(given)
            if batch.num_rows > few:
                return kernel(*args, out)
            return kernel_of_few(*args, out)

        return run

    return prepared(call) if not ready.steps else _growing(ready, call, prepared)


def arrow_call(ready: PreparedProgram, schema: Schema) -> ArrowCall:
    """Return a function that runs the program on a batch and returns an Arrow batch.

    The function returns None if a kernel failed. Only one thread may call it at a time. `schema` is
    the schema of the result.
    """
    call = _call_of(ready)
    few, kernel, kernel_of_few = _kernels(ready)
    taken = pa.RecordBatch._import_from_c

    def prepared(call: _Call) -> ArrowCall:
        given, made = call.given.ctypes.data, call.made.ctypes.data
        args = [ctypes.c_int64(address) for address in (call.block.ctypes.data, given, made)]

        def run(batch: Any, _owner: _Call = call) -> Any:
            batch._export_to_c(given)
            status = kernel(*args) if batch.num_rows > few else kernel_of_few(*args)
            return None if status else taken(made, schema)

        return run

    return prepared(call) if not ready.steps else _growing(ready, call, prepared)


def _growing(ready: PreparedProgram, call: _Call, prepared: Callable[[_Call], Any]) -> Any:
    """Return a function that makes calls, and allocates new memory when it gets more rows.

    `prepared` returns the function for given memory.
    """
    run, n_most = prepared(call), call.n_rows

    def of_any(batch: Any, *args: Any) -> Any:
        nonlocal run, n_most
        if batch.num_rows > n_most:
            n_most = 2 * batch.num_rows
            run = prepared(_call_of(ready, n_most))
        return run(batch, *args)

    return of_any
