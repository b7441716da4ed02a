"""Columns on the device whose type is not the one that fit saw: converted there, if exactly.

What `io.columns.conform` is for columns of the host. Rows are converted when a piece needs them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from fastfeat.dtypes import DType
from fastfeat.engine.gpu.columns.memory import DeviceColumn, DeviceMemory, allocate_output
from fastfeat.engine.gpu.programs.launch import PreparedPiece, run_piece
from fastfeat.engine.gpu.programs.program import Target, bind, device_program, words_of
from fastfeat.engine.gpu.runtime import Runtime
from fastfeat.engine.program import Constants, Output, Program, program_of
from fastfeat.engine.storage import storage
from fastfeat.scalars import op
from fastfeat.scalars.exact_conversion import exactly
from fastfeat.scalars.value import Value, column_slot


@dataclass(frozen=True, slots=True)
class UnlikeColumn:
    """The rows of an input on a device, of a type that is to be converted."""

    column: DeviceColumn
    dtype: DType


def place_conformed(
    runtime: Runtime, source: UnlikeColumn, dtype: DType, n_rows: int
) -> DeviceMemory:
    """Return memory for `n_rows` rows of a column as values of another type."""
    plan = device_program(_conversion(source.dtype, dtype))
    (output,) = plan.program.outputs
    is_flagged = plan.has_validity[0] and not output.dtype.is_float
    return allocate_output(runtime, output.dtype, n_rows, with_validity=is_flagged)


def conformed_rows(
    runtime: Runtime, source: UnlikeColumn, memory: DeviceMemory, dtype: DType, start: int, n: int
) -> None:
    """Write rows [start, start + n) of a column as values of another type, and wait for them.

    Args:
        runtime: of the device.
        source: the column.
        memory: where they go, of `place_conformed`.
        dtype: the type that fit saw.
        start: first row.
        n: number of rows.

    Raises:
        RowFailed: the first row whose value is not exactly one of that type.
    """
    bound = bind(runtime, _conversion(source.dtype, dtype), Constants({}, {}))
    given, result = source.column.from_row(start, source.dtype), memory.as_column()
    words = words_of(bound, [given], [Target(result.values, result.validity)])
    run_piece(runtime, PreparedPiece(bound.plan, words, n, (given, memory)), start)


@lru_cache(maxsize=256)
def _conversion(given: DType, wanted: DType) -> Program:
    slot = column_slot("given", given)
    ok = op.TRUE if given.physical == "f64" else op.input_ok(slot)
    value = exactly(Value(given, op.input_value(slot, given.physical), ok), wanted)
    stored = DType("float64") if storage(wanted) == "float64" else wanted
    return program_of([Output("", stored, value.op, value.ok, value.status)])
