"""Run a program on a device, in pieces that fit: copy columns up, run kernels, copy columns down.

The three overlap: one works on the next piece while another works on the previous one, see
`pipeline`. Alternatively the program writes into device memory that outlives the run: a matrix, or
columns.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from fastfeat.engine.gpu.columns.inputs import added_bytes
from fastfeat.engine.gpu.columns.memory import DeviceMemory, download_output, element_bytes
from fastfeat.engine.gpu.pieces.adopt import sources_of
from fastfeat.engine.gpu.pieces.pieces import PIECE_BYTES, pieces_of
from fastfeat.engine.gpu.pieces.pipeline import (
    PieceMemory,
    allocate_outputs,
    memories_of,
    run_pieces,
)
from fastfeat.engine.gpu.programs.launch import settle_on_error
from fastfeat.engine.gpu.programs.program import DeviceTarget, bind
from fastfeat.engine.gpu.runtime import Mark, Runtime
from fastfeat.engine.program import Constants, Output, Program, program_of
from fastfeat.engine.tasks import RowTask
from fastfeat.io.device import DeviceArray
from fastfeat.io.sinks import write
from fastfeat.ir.dtypes import BOOL, FLOAT16, FLOAT64, DType
from fastfeat.scalars import op
from fastfeat.scalars.op import TRUE
from fastfeat.scalars.value import NO_STATUS, InputSlot, column_slot


def compute(runtime: Runtime, task: RowTask) -> list[Any]:
    """Return an Arrow array for each output.

    Raises RowFailed for the first row with an error, such as an overflow, and OutOfDeviceMemory if
    not even 64 rows fit.
    """
    return runtime.computations.run(partial(_compute, runtime, task))


def _compute(runtime: Runtime, task: RowTask) -> list[Any]:
    program, n_rows = task.program, task.n_rows
    with settle_on_error(runtime):
        # first, because it detects wrong lengths
        sources = sources_of(runtime, program.inputs, task.columns)
        values = [write.staggered_columns(1, n_rows, output.dtype)[0] for output in program.outputs]
        bound = bind(runtime, program, task.constants)
        has_validity = bound.plan.has_validity
        bits = [
            write.staggered_columns(1, n_rows, BOOL)[0] if has else None for has in has_validity
        ]
        row_bytes = added_bytes(sources) + sum(element_bytes(o.dtype) for o in program.outputs)
        pieces = pieces_of(runtime, row_bytes, n_rows, most_bytes=PIECE_BYTES)

        def downloads(piece: PieceMemory, start: int, stop: int, after: Mark) -> Iterator[None]:
            columns = zip(piece.outputs, program.outputs, values, bits, strict=True)
            for output, one, array, bitmap in columns:
                download_output(runtime, output, one.dtype, array, bitmap, (start, stop), after)
                yield

        def allocate(n_rows: int) -> tuple[DeviceMemory, ...]:
            return allocate_outputs(runtime, bound, n_rows)

        def targets(piece: PieceMemory, _: int) -> list[DeviceTarget]:
            return [*map(target_of, piece.outputs)]

        memories = memories_of(runtime, program.inputs, sources, pieces, allocate)
        run_pieces(runtime, bound, memories, pieces.spans, targets, downloads)
    return [
        write.array_from_buffers(output.dtype, array, bitmap, -1, n_rows)
        for output, array, bitmap in zip(program.outputs, values, bits, strict=True)
    ]


def target_of(output: DeviceMemory) -> DeviceTarget:
    """Return the addresses for writing an output with contiguous rows to device memory."""
    return DeviceTarget(output.values.address, output.validity.address if output.validity else 0)


def on_host(runtime: Runtime, array: DeviceArray, name: str) -> Any:
    """Return a device column as an Arrow array in host memory; messages use `name`."""
    program = program_of([as_it_is(name, array.dtype)])
    (slot,) = program.inputs
    return compute(runtime, RowTask(program, {slot: array}, len(array), Constants({}, {})))[0]


def as_it_is(name: str, dtype: DType) -> Output:
    """Return an output that copies an input column of the same name."""
    slot = column_slot(name, dtype)
    present = TRUE if dtype.is_float else op.input_ok(slot)
    held = FLOAT64 if dtype == FLOAT16 else dtype  # the type as which kernels read it
    return Output(name, held, op.input_value(slot, dtype.physical), present, NO_STATUS)


class OutputPlace(NamedTuple):
    """The place of an output in a matrix: address of row 0, and bytes and elements between rows."""

    address: int
    row_bytes: int
    rows_apart: int


def compute_into(
    runtime: Runtime,
    program: Program,
    columns: Mapping[InputSlot, Any],
    n_rows: int,
    constants: Constants,
    places: Sequence[OutputPlace],
) -> None:
    """Compute a program's outputs into device memory, as numbers without bitmaps.

    No output may be a bool column of bits. `places` has the place of each output; missing values
    are NaN there. Raises RowFailed for the first row with an error, such as an overflow, and
    OutOfDeviceMemory if not even 64 rows of the inputs that must be copied fit.
    """
    work = partial(_compute_into, runtime, program, columns, n_rows, constants, places)
    runtime.computations.run(work)


def _compute_into(
    runtime: Runtime,
    program: Program,
    columns: Mapping[InputSlot, Any],
    n_rows: int,
    constants: Constants,
    places: Sequence[OutputPlace],
) -> None:
    with settle_on_error(runtime):
        bound = bind(runtime, program, constants)
        sources = sources_of(runtime, program.inputs, columns)
        pieces = pieces_of(runtime, added_bytes(sources), n_rows, most_bytes=PIECE_BYTES)

        def targets(_: PieceMemory, start: int) -> list[DeviceTarget]:
            return [
                DeviceTarget(place.address + start * place.row_bytes, 0, place.rows_apart)
                for place in places
            ]

        memories = memories_of(runtime, program.inputs, sources, pieces, lambda _: ())
        run_pieces(runtime, bound, memories, pieces.spans, targets, _stay)


def _stay(_memory: PieceMemory, _start: int, _stop: int, _after: Mark) -> Iterator[None]:
    """Copy nothing to the host: outputs stay on the device."""
    return iter(())
