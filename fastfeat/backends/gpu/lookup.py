"""Values of a table on a device, by the rows that a lookup or an as-of join has found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fastfeat_kernels.gather import cuda

from fastfeat.backends.gpu.columns import DeviceColumn
from fastfeat.backends.gpu.kernels import launch_rows
from fastfeat.backends.gpu.key_steps import KEPT_SHARE
from fastfeat.backends.gpu.launch import settled
from fastfeat.backends.gpu.pieces import pieces_of, room_of_pieces
from fastfeat.backends.gpu.ragged import array_on_host
from fastfeat.backends.gpu.runtime import Runtime
from fastfeat.backends.gpu.window_columns import RESULT_BYTES, column_of, no_results
from fastfeat.backends.gpu.window_kernels import column_words, whole_column
from fastfeat.backends.storage import storage
from fastfeat.dtypes import INT64, DType
from fastfeat.io.arrow import pa
from fastfeat.io.device import DeviceArray
from fastfeat.io.keys import comparable
from fastfeat.io.types import arrow_type
from fastfeat.steps import Argument

_ROW_BYTES = RESULT_BYTES + 8 + 1 / 8
"""Of a row of the data: the row that is found, and what stands there."""


def is_gathered(types: Sequence[DType]) -> bool:
    """Return whether values of a table are gathered on the device: those of whole bytes, and bools.

    Args:
        types: of the rows that are found, and of the column of the table.
    """
    dtype = types[1]
    return comparable(dtype) == dtype and not dtype.holds_bytes and not dtype.is_list


def lookup_values(
    runtime: Runtime, args: Sequence[Argument], params: Mapping[str, Any], n_rows: int
) -> Any:
    """Return what the table has in the rows that were found; see `steps.lookup`.

    It stays on the device where there is room for it.

    Raises:
        OutOfDeviceMemory: the column of the table, or 64 rows, do not fit.
    """
    rows, column = args
    with settled(runtime):
        held = whole_column(runtime, pa.chunked_array([column.values.array]), column.dtype)
        spans = pieces_of(runtime, _ROW_BYTES, n_rows).spans
        if len(spans) == 1 and n_rows * _ROW_BYTES <= KEPT_SHARE * room_of_pieces(runtime):
            return _gathered(runtime, rows.values, held, column.dtype, spans[0])
        made = [
            array_on_host(runtime, _gathered(runtime, rows.values, held, column.dtype, span))
            for span in spans
        ]
        return pa.chunked_array(made, arrow_type(column.dtype))


def _gathered(
    runtime: Runtime, rows: Any, column: DeviceColumn, dtype: DType, span: tuple[int, int]
) -> DeviceArray:
    """Return the values of some rows of the data."""
    start, n = span[0], span[1] - span[0]
    found = whole_column(runtime, rows.slice(start, n), INT64)
    result = no_results(runtime, n)
    if n == 0:
        return column_of(runtime, result, n, dtype)
    words = {
        **column_words(column, storage(dtype)),
        "NUMBERS": found.values,
        "NUMBERS_VALIDITY": found.validity,
        "NUMBERS_BIT": found.bit,
        "GATHERED": result.words.address,
        "PRESENT": result.present.address,
    }
    module = runtime.module(cuda.text(runtime.geometry.block))
    launch_rows(runtime, module, cuda.KERNEL, cuda.table_words(words), 0, n)
    return column_of(runtime, result, n, dtype)
