"""Rounds over some columns on a device: their rows go there once where they fit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeVar

from fastfeat.dtypes import DType
from fastfeat.engine.gpu.learn.scan import EachPiece
from fastfeat.engine.gpu.pieces.adopt import sources_of
from fastfeat.engine.gpu.pieces.column_groups import group_of
from fastfeat.engine.gpu.pieces.run import as_it_is
from fastfeat.engine.gpu.programs.launch import settling
from fastfeat.engine.gpu.runtime import Runtime
from fastfeat.engine.program import Constants, program_of
from fastfeat.io.arrow import pa
from fastfeat.io.columns.types import storage_type
from fastfeat.io.device import DeviceArray

Columns = Mapping[str, tuple[Any, DType]]
"""By name: shape (n_rows,), an Arrow array or a DeviceArray, and its type."""
Found = TypeVar("Found")


def over_rows(
    runtime: Runtime, columns: Columns, n_bytes: int, work: Callable[[EachPiece], Found]
) -> Found:
    """Return the result of rounds over some rows, which go to the device once where they fit.

    Args:
        runtime: where to run.
        columns: is given to each round, in this order.
        n_bytes: memory that the rounds take besides.
        work: does the rounds; it may be begun several times.

    Raises:
        OutOfDeviceMemory: that and 64 rows do not fit.
    """
    return runtime.computations.run(partial(_over_rows, runtime, columns, n_bytes, work))


def _over_rows(
    runtime: Runtime, columns: Columns, n_bytes: int, work: Callable[[EachPiece], Found]
) -> Found:
    program = program_of([as_it_is(name, dtype) for name, (_, dtype) in columns.items()])
    plain = [plain_column(column, dtype) for column, dtype in columns.values()]
    scratch = [n_bytes, *[0] * (len(columns) - 1)]
    with settling(runtime):
        sources = sources_of(runtime, program.inputs, dict(zip(program.inputs, plain, strict=True)))
        n_rows, members = len(plain[0]), range(len(columns))
        rows = group_of(runtime, program, members, sources, n_rows, Constants({}, {}), scratch)
        return work(rows.each_piece)


def plain_column(column: Any, dtype: DType) -> Any:
    """Return a column of the host in the storage that kernels read; one of a device as it is."""
    if isinstance(column, DeviceArray):
        return column
    pieces = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
    kind = storage_type(dtype)
    return pa.chunked_array([piece.view(kind) for piece in pieces], kind)
