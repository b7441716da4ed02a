"""The input columns of pieces on a device: memory is allocated once, and filled piece by piece.

A piece is a range of rows. Device columns with another type than fit saw are converted on the
device, if the conversion is exact, when a piece needs their rows. For host columns
`io.columns.conform` does the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from fastfeat_kernels.records import dataclass

from fastfeat.engine.gpu.columns.memory import (
    DeviceColumn,
    DeviceMemory,
    allocate_output,
    element_bytes,
    fill_column,
    laid_out,
    place_column,
)
from fastfeat.engine.gpu.programs.launch import PreparedPiece, run_piece
from fastfeat.engine.gpu.programs.program import DeviceTarget, bind, device_program, words_of
from fastfeat.engine.gpu.runtime import Runtime
from fastfeat.engine.program import Constants, Output, Program, program_of
from fastfeat.engine.storage import storage
from fastfeat.ir.dtypes import DType
from fastfeat.scalars import op
from fastfeat.scalars.exact_conversion import convert_exactly
from fastfeat.scalars.value import InputSlot, Value, column_slot


@dataclass(frozen=True, slots=True)
class UnlikeColumn:
    """A column on a device with another type than fit saw; `dtype` is its own type."""

    column: DeviceColumn
    dtype: DType


def place_conformed(
    runtime: Runtime, source: UnlikeColumn, dtype: DType, n_rows: int
) -> DeviceMemory:
    """Return device memory for `n_rows` rows of a column that is converted to another type."""
    plan = device_program(_conversion(source.dtype, dtype))
    (output,) = plan.program.outputs
    is_flagged = plan.has_validity[0] and not output.dtype.is_float
    return allocate_output(runtime, output.dtype, n_rows, with_validity=is_flagged)


def conformed_rows(
    runtime: Runtime, source: UnlikeColumn, memory: DeviceMemory, dtype: DType, start: int, n: int
) -> None:
    """Convert rows [start, start + n) of a column to another type, in `memory`, and wait for it.

    `memory` comes from `place_conformed`. `dtype` is the type that fit saw. Raises RowFailed for
    the first row with a value that the type cannot hold exactly.
    """
    bound = bind(runtime, _conversion(source.dtype, dtype), Constants({}, {}))
    given, result = source.column.from_row(start, source.dtype), memory.as_column()
    words = words_of(bound, [given], [DeviceTarget(result.values, result.validity)])
    run_piece(runtime, PreparedPiece(bound.plan, words, n, (given, memory)), start)


@lru_cache(maxsize=256)
def _conversion(given: DType, wanted: DType) -> Program:
    slot = column_slot("given", given)
    ok = op.TRUE if given.physical == "f64" else op.input_ok(slot)
    value = convert_exactly(Value(given, op.input_value(slot, given.physical), ok), wanted)
    stored = DType("float64") if storage(wanted) == "float64" else wanted
    return program_of([Output("", stored, value.op, value.ok, value.status)])


InputSource = DeviceColumn | UnlikeColumn | Any
"""The column of a slot: on the device, or a chunked array in host memory."""
Fill = Callable[[], None]
"""Starts the copy of the rows of an input to the place where they are read."""


@dataclass(frozen=True, slots=True)
class PlacedInput:
    """An input column, and device memory for the rows of one piece.

    The memory is None if the rows are read in place.
    """

    source: InputSource
    dtype: DType
    memory: DeviceMemory | None


def place_inputs(
    runtime: Runtime,
    slots: Sequence[InputSlot],
    sources: Mapping[InputSlot, InputSource],
    n_rows: int,
) -> list[PlacedInput]:
    """Return each input slot's column, with device memory for `n_rows` rows if it is copied."""
    return [_place(runtime, sources[slot], slot.dtype, n_rows) for slot in slots]


def _place(runtime: Runtime, source: InputSource, dtype: DType, n_rows: int) -> PlacedInput:
    match source:
        case DeviceColumn():
            memory = None
        case UnlikeColumn():
            memory = place_conformed(runtime, source, dtype, n_rows)
        case _:
            memory = place_column(runtime, source, dtype, n_rows)
    return PlacedInput(source, dtype, memory)


def rows_of(
    runtime: Runtime, placed: PlacedInput, start: int, n: int
) -> tuple[DeviceColumn, Fill | None]:
    """Return rows [start, start + n) of an input as a column, and a function that copies them.

    The function is None for rows that are on the device already. A column of another type is
    converted before this returns. Raises RowFailed for the first row that is not exactly a value of
    the type that fit saw.
    """
    source, dtype, memory = placed.source, placed.dtype, placed.memory
    if isinstance(source, DeviceColumn):
        return source.from_row(start, dtype), None
    assert memory is not None, "all else has a place of its own"
    if isinstance(source, UnlikeColumn):
        conformed_rows(runtime, source, memory, dtype, start, n)
        return memory.as_column(), None
    rows: Any = source.slice(start, n)
    return laid_out(memory, rows, dtype), lambda: fill_column(runtime, memory, rows, dtype)


def added_bytes(sources: Mapping[InputSlot, InputSource]) -> float:
    """Return the device memory in bytes per row for the inputs that are not on the device yet."""
    return sum(
        element_bytes(slot.dtype)
        for slot, source in sources.items()
        if not isinstance(source, DeviceColumn)
    )
