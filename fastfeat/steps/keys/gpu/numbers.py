"""Numbers that kernels write for rows of keys: on the device where there is room, in pieces."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from fastfeat_kernels.hashing import cuda

from fastfeat.dtypes import DType
from fastfeat.engine.gpu.columns.kernels import downloaded, launch_rows
from fastfeat.engine.gpu.pieces.pieces import pieces_of, room_of_pieces
from fastfeat.engine.gpu.programs.launch import settling
from fastfeat.engine.gpu.runtime import Runtime
from fastfeat.engine.storage import storage
from fastfeat.io.columns.bits import array_of_values
from fastfeat.io.columns.types import arrow_type
from fastfeat.io.device import DeviceArray
from fastfeat.scalars.hashing import hash_type
from fastfeat.steps.keys.gpu.columns import key_rows, row_bytes
from fastfeat.steps.step import Argument

KEPT_SHARE = 1 / 4
"""Of the room for pieces: columns that take more do not stay on the device."""


Write = Callable[[int, int, int], None]
"""Asks for the numbers of rows [start, start + n) at an address: `(start, n, address)`."""


def numbers_by(
    runtime: Runtime,
    columns: Sequence[Any],
    dtypes: Sequence[DType],
    dtype: DType,
    n_rows: int,
    write: Write,
) -> Any:
    """Return a number for each row: a DeviceArray, or Arrow's where it takes much.

    Args:
        runtime: of the device.
        columns: what is read; see `key_columns.key_rows`.
        dtypes: their types.
        dtype: of the numbers, none of which is missing.
        n_rows: number of rows.
        write: what writes them.

    Raises:
        OutOfDeviceMemory: not even 64 rows fit.
    """
    width = np.dtype(storage(dtype)).itemsize
    is_kept = width * n_rows <= KEPT_SHARE * room_of_pieces(runtime)
    n_bytes = sum(row_bytes(column, d) for column, d in zip(columns, dtypes, strict=True))
    if is_kept:
        target = runtime.allocate(max(width * n_rows, width))
        for start, stop in pieces_of(runtime, n_bytes, n_rows).spans:
            write(start, stop - start, target.address + width * start)
        return DeviceArray(dtype, n_rows, target.address, owner=target)
    found = np.empty(n_rows, storage(dtype))
    for start, stop in pieces_of(runtime, n_bytes + width, n_rows).spans:
        piece = runtime.allocate(width * (stop - start))
        write(start, stop - start, piece.address)
        found[start:stop] = downloaded(runtime, piece, found.dtype, stop - start)
    return array_of_values(found, None, arrow_type(dtype))


def hash_cross(
    runtime: Runtime, args: Sequence[Argument], params: Mapping[str, Any], n_rows: int
) -> Any:
    """Return the hash of each row of some columns, or its bucket; see `steps.keys.rows`."""
    columns, dtypes = [arg.values for arg in args], [arg.dtype for arg in args]
    module = runtime.module(cuda.text(runtime.geometry.block))

    def write(start: int, n: int, target: int) -> None:
        pairs = zip(columns, dtypes, strict=True)
        rows = [key_rows(runtime, column, dtype, start, n) for column, dtype in pairs]
        header = [len(rows), params["seed"], target, params["n_buckets"] or 0]
        words = [*header, *(word for column in rows for word in column.words())]
        table = np.array([word % 2**64 for word in words], np.uint64)
        launch_rows(runtime, module, cuda.KERNELS["mixed"], table, 0, n)

    with settling(runtime):
        return numbers_by(runtime, columns, dtypes, hash_type(params), n_rows, write)
