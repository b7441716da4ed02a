"""Running a program on a device: columns up, kernels, columns down, in pieces that fit in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastfeat.backends.gpu.adopt import Source, added_bytes, rows_on_device, sources_of
from fastfeat.backends.gpu.columns import (
    DeviceOutput,
    allocate_output,
    download_output,
    element_bytes,
)
from fastfeat.backends.gpu.launch import Prepared, run_piece, settled
from fastfeat.backends.gpu.pieces import pieces_of
from fastfeat.backends.gpu.program import Bound, Target, bind, words_of
from fastfeat.backends.gpu.runtime import Runtime
from fastfeat.backends.program import Constants, Output, Program, program_of
from fastfeat.dtypes import BOOL
from fastfeat.io.device import DeviceArray
from fastfeat.io.write import array_from_buffers, staggered_columns
from fastfeat.scalars import op
from fastfeat.scalars.op import TRUE
from fastfeat.scalars.value import NO_STATUS, InputSlot, column_slot


def compute(
    runtime: Runtime,
    program: Program,
    columns: Mapping[InputSlot, Any],
    n_rows: int,
    constants: Constants,
) -> list[Any]:
    """Return an Arrow array for each output.

    Args:
        runtime: where to run.
        program: what to compute.
        columns: a column of `n_rows` rows for each input slot: an Arrow chunked array, or a
            DeviceArray.
        n_rows: number of rows.
        constants: what fit has learnt.

    Raises:
        RowFailed: an overflow, or the like; the first row.
        OutOfDeviceMemory: not even 64 rows fit.
    """
    with settled(runtime):
        sources = sources_of(runtime, program.inputs, columns)  # first: it knows wrong lengths
        values = [staggered_columns(1, n_rows, output.dtype)[0] for output in program.outputs]
        bound = bind(runtime, program, constants)
        has_validity = bound.plan.has_validity
        bits = [staggered_columns(1, n_rows, BOOL)[0] if has else None for has in has_validity]
        row_bytes = added_bytes(sources) + sum(element_bytes(o.dtype) for o in program.outputs)
        for start, stop in pieces_of(runtime, row_bytes, n_rows):
            _compute_piece(runtime, bound, sources, (values, bits), start, stop)
    return [
        array_from_buffers(output.dtype, array, bitmap, -1, n_rows)
        for output, array, bitmap in zip(program.outputs, values, bits, strict=True)
    ]


def _compute_piece(
    runtime: Runtime,
    bound: Bound,
    sources: Mapping[InputSlot, Source],
    results: tuple[list[NDArray[Any]], list[NDArray[np.uint8] | None]],
    start: int,
    stop: int,
) -> None:
    """Compute rows [start, stop) into host memory: the values and bitmaps of each output."""
    wanted = bound.plan.program.outputs
    outputs = [
        allocate_output(runtime, output.dtype, stop - start, with_validity=has)
        for output, has in zip(wanted, bound.plan.has_validity, strict=True)
    ]
    targets = [target_of(output) for output in outputs]
    run_rows(runtime, bound, sources, targets, start, stop)
    for output, one, values, bits in zip(outputs, wanted, *results, strict=True):
        download_output(runtime, output, one.dtype, values, bits, start)
    runtime.synchronize()


def target_of(output: DeviceOutput) -> Target:
    """Return where a kernel writes an output whose rows stand one after the other."""
    return Target(output.values.address, output.validity.address if output.validity else 0)


def on_host(runtime: Runtime, array: DeviceArray, name: str) -> Any:
    """Return a column in the memory of a device as an Arrow array in the host's.

    Args:
        runtime: of the device.
        array: the column.
        name: its name, for messages.
    """
    slot = column_slot(name, array.dtype)
    value = op.input_value(slot, array.dtype.physical)
    present = TRUE if array.dtype.is_float else op.input_ok(slot)
    program = program_of([Output(name, array.dtype, value, present, NO_STATUS)])
    return compute(runtime, program, {slot: array}, len(array), Constants({}, {}))[0]


def run_rows(
    runtime: Runtime,
    bound: Bound,
    sources: Mapping[InputSlot, Source],
    targets: Sequence[Target],
    start: int,
    stop: int,
) -> None:
    """Compute rows [start, stop) into memory of the device.

    Args:
        runtime: where to run.
        bound: the program.
        sources: the column of each slot.
        targets: where row `start` of each output goes.
        start: first row.
        stop: the row after the last.

    Raises:
        RowFailed: the first row that failed.
    """
    n = stop - start
    inputs = [
        rows_on_device(runtime, sources[slot], slot.dtype, start, n)
        for slot in bound.plan.program.inputs
    ]
    words = words_of(bound, inputs, targets)
    run_piece(runtime, Prepared(bound.plan, words, n, (inputs, bound.tables)), start)
