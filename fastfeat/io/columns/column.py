"""The memory of a column: addresses of its contiguous chunks, from which kernels read directly."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from fastfeat_kernels.column import ArrowChunk as ChunkOfKernel

from fastfeat.io.arrow import Array, ChunkedArray, pa
from fastfeat.io.columns.types import storage_type
from fastfeat.ir.dtypes import DType


class Chunk(NamedTuple):
    """The addresses of one contiguous chunk of a column; nothing is copied.

    Args:
        values: Address of the first element; for booleans, of the byte with the first bit.
        value_bit_offset: Position of the first bit in that byte, 0 to 7; 0 for other types.
        validity: Address of the bitmap; 0 if no value is missing.
        bit_offset: Position of the first row's bit in the bitmap.
        length: Number of rows.
        owner: Object that keeps the memory alive.
    """

    values: int
    value_bit_offset: int
    validity: int
    bit_offset: int
    length: int
    owner: object


def physical_chunks(column: ChunkedArray) -> list[Chunk]:
    """Return the memory addresses of each non-empty chunk of a fixed-width column, in order.

    The column holds booleans or numbers in plain storage, as returned by `conform`. Only a piece
    that does not start at a multiple of its element's width is copied. A bitmap without missing
    values is dropped. It takes about 2 us per piece.
    """
    width = column.type.bit_width
    arrays = [column.chunk(at) for at in range(column.num_chunks)]
    return [_chunk(array, width) for array in arrays if len(array)]


def _chunk(array: Array, width: int) -> Chunk:
    """Return one array as a Chunk; `width` is in bits."""
    validity, values = array.buffers()
    offset, length = array.offset, len(array)
    bitmap = validity.address if validity is not None and array.null_count else 0
    if width == 1:
        return Chunk(values.address + (offset >> 3), offset & 7, bitmap, offset, length, array)
    n_bytes = width >> 3
    address = values.address + offset * n_bytes
    if address & (n_bytes - 1) == 0:
        return Chunk(address, 0, bitmap, offset, length, array)
    moved = np.frombuffer(values, np.uint8, length * n_bytes, offset * n_bytes).copy()
    return Chunk(moved.ctypes.data, 0, bitmap, offset, length, (moved, array))


def combined(column: ChunkedArray) -> ChunkedArray:
    """Return the column as one chunk if it has many tiny ones; otherwise unchanged."""
    n_chunks = column.num_chunks
    if n_chunks < 2 or len(column) >= _TINY_ROWS * n_chunks:
        return column
    whole = column.combine_chunks()
    return whole if isinstance(whole, pa.ChunkedArray) else pa.chunked_array([whole])


_TINY_ROWS = 4096


def plain_chunks(values: Any, dtype: DType) -> list[ChunkOfKernel]:
    """Return the memory addresses of each chunk of a column of numbers or times."""
    pieces = values.chunks if isinstance(values, pa.ChunkedArray) else [values]
    plain = [piece.view(storage_type(dtype)) for piece in pieces]
    return list(physical_chunks(pa.chunked_array(plain, storage_type(dtype))))
