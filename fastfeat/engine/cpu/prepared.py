"""Prepared calls: a program with all that does not depend on the rows, made once for small batches.

A batch goes in by the C interface of Arrow, and its features come out as a matrix, or as a batch by
the same interface: what is called from Python is as much for 500 features as for one. The machine
code that computes them is that of every other run.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from fastfeat_kernels.load import Kernel
from fastfeat_kernels.rows import (
    ARRAY_WORDS,
    BLOCK_WORD,
    CALL_WORDS,
    CODES,
    TILE_WORDS,
    tile_column_bytes,
    tile_rows,
)
from numpy.typing import NDArray

from fastfeat.engine.cpu.compiled import address_of, call_kernel, compiled, driver
from fastfeat.engine.cpu.kernels import is_written_kernel_compiled
from fastfeat.engine.cpu.table import TablePlan, Words, bind_constants
from fastfeat.engine.program import Constants, Program
from fastfeat.engine.storage import storage
from fastfeat.io.arrow import Schema, pa
from fastfeat.io.sinks.write import output_storage
from fastfeat.scalars.value import InputSlot


def is_compiled(entry: str) -> bool:
    """Return whether the kernel of a form is there, and need not be compiled."""
    return is_written_kernel_compiled("rows", entry)


_PROTOTYPE = ctypes.PYFUNCTYPE(*[ctypes.c_int64] * 4)
_FEW_VALUES = 1 << 14  # computed in 10 to 100 us

MatrixCall = Callable[[Any, int], int]
"""Writes the features of a record batch to the address of a matrix; gives the status."""

ArrowCall = Callable[[Any], Any]
"""Gives the features of a record batch as another; None where the status is not 0."""


@dataclass(frozen=True, slots=True, eq=False)
class PreparedProgram:
    """A program ready for batches of one schema; each of its calls has a table of its own.

    Args:
        table: the words of the table, as they are before a call.
        n_scratch_bytes: scratch memory that a call needs, for a tile too.
        block: the words of a call, less the address of its table.
        kernel: of the native loop.
        owners: the memory that the tables point to.
    """

    table: Words
    n_scratch_bytes: int
    block: Words
    kernel: Kernel
    owners: tuple[object, ...]


def matrix_program(
    program: Program,
    constants: Constants,
    children: Mapping[InputSlot, int],
    dtype: np.dtype[Any],
    *,
    by_rows: bool,
) -> PreparedProgram:
    """Return a program prepared to write a matrix.

    Args:
        program: what is computed; its outputs are all of the type of the matrix.
        constants: what it reads besides the rows.
        children: which column of a batch each of its slots is, in the storage that kernels read.
        dtype: the type of the matrix.
        by_rows: whether one row after the other is contiguous in it, not its columns.
    """
    plan = compiled(program)
    bound = bind_constants(plan.table, constants)
    table, n_columns, item = bound.words.copy(), len(program.outputs), dtype.itemsize
    n_scratch = plan.table.n_scratch_bytes
    if by_rows:
        n_rows = tile_rows(n_columns, item)
        column = tile_column_bytes(n_rows, item)
        strides = n_columns * item, item
        table[BLOCK_WORD] = n_rows
        table[TILE_WORDS] = 0, column, n_columns, CODES[dtype.name], 0, *strides
        table[plan.table.output_words[:, 0]] = plan.table.outputs * column
        table[plan.table.output_words[:, 3]] = 1
        n_scratch += n_columns * column
    block = _block(plan.table, children, program, [item] * n_columns)
    block[4:6] = 0 if by_rows else item, item
    table[1] = plan.loops_address()
    return PreparedProgram(table, n_scratch, block, call_kernel("into_matrix"), (bound, constants))


def arrow_program(
    program: Program, constants: Constants, children: Mapping[InputSlot, int]
) -> PreparedProgram:
    """Return a program prepared to give Arrow columns; arguments as of `matrix_program`.

    Its outputs have a type that is stored, not null.
    """
    plan = compiled(program)
    bound = bind_constants(plan.table, constants)
    widths = [
        0 if output.dtype.name == "bool" else output_storage(output.dtype).itemsize
        for output in program.outputs
    ]
    block = _block(plan.table, children, program, widths)
    block[6:9] = *_memory(), address_of(call_kernel("release"))
    table = bound.words.copy()
    table[1] = plan.loops_address()
    n_scratch = plan.table.n_scratch_bytes
    return PreparedProgram(table, n_scratch, block, call_kernel("into_arrow"), (bound, constants))


def _block(
    places: TablePlan, children: Mapping[InputSlot, int], program: Program, widths: Sequence[int]
) -> Words:
    """Return the words of a call, less those that depend on the form of the result."""
    slots: list[InputSlot] = [program.inputs[number] for number in places.input_slots.tolist()]
    words = [0, address_of(driver()), len(slots), len(places.outputs), 0, 0, 0, 0, 0]
    assert len(words) == CALL_WORDS
    assert sorted(places.outputs.tolist()) == list(range(len(program.outputs)))
    for at, slot in zip(places.input_words[:, 0].tolist(), slots, strict=True):
        words += [8 * at, children[slot], _width(storage(slot.dtype))]
    for at, number in zip(places.output_words[:, 0].tolist(), places.outputs.tolist(), strict=True):
        words += [8 * at, number, widths[number]]
    return np.array(words, dtype=np.int64)


def _width(kind: str) -> int:
    """Return the bytes of a value of a column; 0 of a bool."""
    return 0 if kind == "bool" else np.dtype(kind).itemsize


def _memory() -> tuple[int, int]:
    """Return the addresses of functions that give memory and take it back, in any thread."""
    python = ctypes.pythonapi
    return _address(python.PyMem_RawMalloc), _address(python.PyMem_RawFree)


def _address(function: Any) -> int:
    address = ctypes.cast(function, ctypes.c_void_p).value
    assert address is not None
    return address


@dataclass(slots=True, eq=False)
class _Call:
    """The memory of one call at a time: table, block, scratch, and structures of Arrow."""

    table: Words
    block: Words
    scratch: NDArray[np.uint8]
    given: Words
    made: Words
    ready: PreparedProgram


def _call_of(ready: PreparedProgram) -> _Call:
    """Return memory for calls of a prepared program, none of which is in use by another."""
    table, block = ready.table.copy(), ready.block.copy()
    scratch = np.empty(ready.n_scratch_bytes + 64, dtype=np.uint8)
    first = scratch.ctypes.data + -scratch.ctypes.data % 64
    table[0] = first
    table[TILE_WORDS.start] = first + ready.n_scratch_bytes - int(table[6] * table[7])
    block[0] = table.ctypes.data
    structures = np.zeros((2, ARRAY_WORDS), dtype=np.int64)
    return _Call(table, block, scratch, structures[0], structures[1], ready)


def _kernels(ready: PreparedProgram) -> tuple[int, Any, Any]:
    """Return the number of rows that are few, the kernel, and that for few.

    That one keeps the interpreter's lock: to give it away and to get it back takes .25 us, and ms
    where another thread computes.
    """
    n_columns = int(ready.block[3])
    kernel: Any = ready.kernel
    return _FEW_VALUES // n_columns, kernel, _PROTOTYPE(address_of(kernel))


def matrix_call(ready: PreparedProgram) -> MatrixCall:
    """Return a function that writes a matrix; it belongs to whoever calls it at a time."""
    call = _call_of(ready)
    given = call.given.ctypes.data
    few, kernel, kernel_of_few = _kernels(ready)
    args = ctypes.c_int64(call.block.ctypes.data), ctypes.c_int64(given)

    def run(batch: Any, out: int, _owner: _Call = call) -> int:
        batch._export_to_c(given)
        if batch.num_rows > few:
            return kernel(*args, out)
        return kernel_of_few(*args, out)

    return run


def arrow_call(ready: PreparedProgram, schema: Schema) -> ArrowCall:
    """Return a function that gives Arrow columns; it belongs to whoever calls it at a time.

    Args:
        ready: the program.
        schema: of what it gives.
    """
    call = _call_of(ready)
    given, made = call.given.ctypes.data, call.made.ctypes.data
    few, kernel, kernel_of_few = _kernels(ready)
    args = [ctypes.c_int64(address) for address in (call.block.ctypes.data, given, made)]
    taken = pa.RecordBatch._import_from_c

    def run(batch: Any, _owner: _Call = call) -> Any:
        batch._export_to_c(given)
        status = kernel(*args) if batch.num_rows > few else kernel_of_few(*args)
        return None if status else taken(made, schema)

    return run
