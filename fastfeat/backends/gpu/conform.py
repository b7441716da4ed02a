"""Columns on the device whose type is not the one that fit saw: converted there, if exactly.

What `io.conform` is for columns of the host. Rows are converted when a piece needs them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from fastfeat.backends.cpu.render import storage
from fastfeat.backends.gpu.columns import DeviceColumn, allocate_output
from fastfeat.backends.gpu.launch import Prepared, run_piece
from fastfeat.backends.gpu.program import Target, bind, words_of
from fastfeat.backends.gpu.runtime import Runtime
from fastfeat.backends.program import Constants, Output, Program, program_of
from fastfeat.dtypes import DType
from fastfeat.scalars import op
from fastfeat.scalars.exact_conversion import exactly
from fastfeat.scalars.value import Value, column_slot


@dataclass(frozen=True, slots=True)
class UnlikeColumn:
    """The rows of an input on a device, of a type that is to be converted."""

    column: DeviceColumn
    dtype: DType


def conformed_rows(
    runtime: Runtime, source: UnlikeColumn, dtype: DType, start: int, n: int
) -> DeviceColumn:
    """Return rows [start, start + n) of a column as values of another type.

    Args:
        runtime: of the device.
        source: the column.
        dtype: the type that fit saw.
        start: first row.
        n: number of rows.

    Raises:
        RowFailed: the first row whose value is not exactly one of that type.
    """
    bound = bind(runtime, _conversion(source.dtype, dtype), Constants({}, {}))
    (output,) = bound.plan.program.outputs
    is_flagged = bound.plan.has_validity[0] and not output.dtype.is_float
    held = allocate_output(runtime, output.dtype, n, with_validity=is_flagged)
    given, result = source.column.from_row(start, source.dtype), held.as_column()
    words = words_of(bound, [given], [Target(result.values, result.validity)])
    run_piece(runtime, Prepared(bound.plan, words, n, (given, held)), start)
    return result


@lru_cache(maxsize=256)
def _conversion(given: DType, wanted: DType) -> Program:
    slot = column_slot("given", given)
    ok = op.TRUE if given.physical == "f64" else op.input_ok(slot)
    value = exactly(Value(given, op.input_value(slot, given.physical), ok), wanted)
    stored = DType("float64") if storage(wanted) == "float64" else wanted
    return program_of([Output("", stored, value.op, value.ok, value.status)])
