"""Running a program on a device: columns up, kernels, columns down, in pieces that fit in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastfeat.backends.cpu.layout import Loop, lay_out
from fastfeat.backends.cpu.render import has_flags, storage
from fastfeat.backends.cpu.table import parameter_bits, table_array
from fastfeat.backends.gpu.columns import (
    DeviceColumn,
    DeviceOutput,
    allocate_output,
    element_bytes,
    upload_column,
)
from fastfeat.backends.gpu.geometry import grid_of
from fastfeat.backends.gpu.render import BLOCK, kernel_name, render
from fastfeat.backends.gpu.runtime import Buffer, Runtime
from fastfeat.backends.gpu.table import TablePlan, plan_table
from fastfeat.backends.program import Constants, Program, RowFailed
from fastfeat.backends.search import WORD_ROWS, first_failing_row
from fastfeat.dtypes import BOOL, DType
from fastfeat.errors import OutOfDeviceMemory
from fastfeat.io.write import array_from_buffers, staggered_columns
from fastfeat.scalars.value import LARGE_ARGUMENT, InputSlot

SHARE_OF_MEMORY = 0.8
"""How much of the free memory a piece of rows may take."""


@dataclass(frozen=True, slots=True)
class DeviceProgram:
    """A program laid out in loops, and whether each of its outputs has a bitmap."""

    program: Program
    loops: tuple[Loop, ...]
    table: TablePlan
    has_validity: tuple[bool, ...]


@lru_cache(maxsize=256)
def device_program(program: Program) -> DeviceProgram:
    """Return a program laid out for a device; its kernels are compiled when it is first run."""
    loops = lay_out(program)
    has_validity = [False] * len(program.outputs)
    for loop in loops:
        for instance in loop.instances:
            for store, output in zip(loop.shape.stores, instance.outputs, strict=True):
                is_float = storage(store.dtype).startswith("float")
                has_validity[output] = is_float or has_flags(store, loop.shape)
    return DeviceProgram(program, loops, plan_table(program, loops), tuple(has_validity))


@lru_cache(maxsize=256)
def text_of(program: Program, exact: bool) -> str:
    """Return the text of the kernels of a program."""
    return render(device_program(program).loops, exact=exact)


@dataclass(frozen=True, slots=True)
class Prepared:
    """The rows of a piece on a device: the words of its kernels and all that they point to."""

    plan: DeviceProgram
    words: NDArray[np.int64]
    n_rows: int
    owners: tuple[Any, ...]


def compute(
    runtime: Runtime,
    program: Program,
    columns: Mapping[InputSlot, Any],
    n_rows: int,
    constants: Constants,
) -> list[Any]:
    """Return an Arrow array in host memory for each output.

    Args:
        runtime: where to run.
        program: what to compute.
        columns: an Arrow chunked array of `n_rows` rows for each input slot.
        n_rows: number of rows.
        constants: what fit has learnt.

    Raises:
        RowFailed: an overflow, or the like; the first row.
        OutOfDeviceMemory: not even 64 rows fit.
    """
    plan = device_program(program)
    values = [staggered_columns(1, n_rows, output.dtype)[0] for output in program.outputs]
    bits = [staggered_columns(1, n_rows, BOOL)[0] if has else None for has in plan.has_validity]
    words, tables = _bind(runtime, plan, constants)
    for start, stop in pieces_of(runtime, _row_bytes(program), n_rows):
        n = stop - start
        inputs = [
            upload_column(runtime, columns[slot].slice(start, n), slot.dtype)
            for slot in program.inputs
        ]
        outputs = [
            allocate_output(runtime, output.dtype, n, with_validity=has)
            for output, has in zip(program.outputs, plan.has_validity, strict=True)
        ]
        filled = _fill(plan, words, inputs, outputs)
        prepared = Prepared(plan, filled, n, (inputs, outputs, tables))
        if _run(runtime, prepared, 0, n):
            raise RowFailed(start + _failing_row(runtime, prepared))
        for output, o, array, bitmap in zip(outputs, program.outputs, values, bits, strict=True):
            _download(runtime, output, o.dtype, array, bitmap, start, n)
        runtime.synchronize()
    return [
        array_from_buffers(output.dtype, array, bitmap, -1, n_rows)
        for output, array, bitmap in zip(program.outputs, values, bits, strict=True)
    ]


def pieces_of(runtime: Runtime, row_bytes: float, n_rows: int) -> Iterator[tuple[int, int]]:
    """Yield (first, end) of runs of rows that fit the memory of the device; multiples of 64.

    Raises:
        OutOfDeviceMemory: not even 64 rows fit.
    """
    free, _ = runtime.memory()
    fitting = int(SHARE_OF_MEMORY * free / row_bytes) if row_bytes else n_rows
    if fitting < min(WORD_ROWS, n_rows):
        runtime.give_back()
        raise OutOfDeviceMemory(
            f"{WORD_ROWS} rows need {row_bytes * WORD_ROWS:,.0f} bytes of device memory, {free:,} "
            "are free. Compute fewer features at a time, or free memory"
        )
    step = max(WORD_ROWS, fitting // WORD_ROWS * WORD_ROWS)
    for start in range(0, n_rows, step):
        yield start, min(n_rows, start + step)


def _row_bytes(program: Program) -> float:
    columns = [slot.dtype for slot in program.inputs] + [o.dtype for o in program.outputs]
    return sum(map(element_bytes, columns))


def _bind(
    runtime: Runtime, plan: DeviceProgram, constants: Constants
) -> tuple[NDArray[np.int64], list[Buffer]]:
    """Return the words with parameters and searched tables filled in, and those tables."""
    words = np.zeros(plan.table.n_words, np.int64)
    for at, key, physical in plan.table.parameters:
        words[at] = parameter_bits(constants.parameters[key], physical)
    buffers: dict[Any, Buffer] = {}
    for at, key in plan.table.tables:
        if key not in buffers:
            array = table_array(key, constants)
            buffers[key] = runtime.allocate(max(8, array.nbytes))
            runtime.upload(array, buffers[key])
        words[at] = buffers[key].address
    return words, list(buffers.values())


def _fill(
    plan: DeviceProgram,
    words: NDArray[np.int64],
    inputs: Sequence[DeviceColumn],
    outputs: Sequence[DeviceOutput],
) -> NDArray[np.int64]:
    """Return the words with the addresses of inputs and outputs filled in."""
    filled, table = words.copy(), plan.table
    read = np.array([(c.values, c.value_bit, c.validity, c.bit) for c in inputs], np.int64).reshape(
        -1, 4
    )[table.inputs]
    written = np.array(
        [(o.values.address, o.validity.address if o.validity else 0, 1) for o in outputs], np.int64
    ).reshape(-1, 3)[table.outputs]
    for k in range(4):
        filled[table.input_at + k] = read[:, k]
    for k in range(3):
        filled[table.output_at + k] = written[:, k]
    return filled


def _run(runtime: Runtime, prepared: Prepared, first: int, n: int) -> int:
    """Run rows [first, first + n) of a piece; return their status.

    The kernels for large arguments are run where a status asks for them.
    """
    status = _launch(runtime, prepared, first, n, exact=False)
    if status & LARGE_ARGUMENT:  # other bits may come from the values that this one says are wrong
        status = _launch(runtime, prepared, first, n, exact=True) & ~LARGE_ARGUMENT
    return status


def _failing_row(runtime: Runtime, prepared: Prepared) -> int:
    def fails(first: int, n: int) -> bool:
        return _run(runtime, prepared, first, n) != 0

    return first_failing_row(fails, prepared.n_rows)


def _launch(runtime: Runtime, prepared: Prepared, first: int, n: int, *, exact: bool) -> int:
    plan = prepared.plan
    module = runtime.module(text_of(plan.program, exact))
    table = runtime.allocate(prepared.words.nbytes)
    words = prepared.words.copy()
    for launch in plan.table.launches:
        words[launch.at] = table.address  # word 0 is the status
    runtime.upload(words, table)
    for launch in plan.table.launches:
        runtime.launch(
            module,
            kernel_name(launch.loop),
            (grid_of(n, BLOCK), launch.n_instances),
            BLOCK,
            table.address + 8 * launch.at,
            first,
            n,
        )
    status = np.zeros(1, np.int64)
    runtime.download(table, status)
    runtime.synchronize()
    return int(status[0])


def _download(
    runtime: Runtime,
    output: DeviceOutput,
    dtype: DType,
    values: NDArray[Any],
    bitmap: NDArray[np.uint8] | None,
    start: int,
    n: int,
) -> None:
    """Bring an output of a piece to its rows in host memory; `start` is a multiple of 64."""
    first = start // 8 if dtype == BOOL else start * values.itemsize
    held = values.view(np.uint8)[first:]
    runtime.download(output.values, held[: output.values.n_bytes])
    if bitmap is not None and output.validity is not None:
        runtime.download(output.validity, bitmap[start // 8 :][: output.validity.n_bytes])
