"""The physical form of a column of text: offsets and bytes that a kernel reads in place."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fastfeat.io.arrow import Array, ChunkedArray, cast, pa


class TextChunk(NamedTuple):
    """One contiguous piece of a column of text, in place.

    Args:
        offsets: address of the offset where the first row starts.
        offset_bytes: width of an offset: 4 or 8.
        data: address of the byte at offset 0.
        validity: address of the bitmap; 0 when no value is missing.
        bit_offset: the bit in it that belongs to the first row.
        length: number of rows.
        owner: the object that keeps the memory alive.
    """

    offsets: int
    offset_bytes: int
    data: int
    validity: int
    bit_offset: int
    length: int
    owner: object


def text_chunks(column: ChunkedArray) -> list[TextChunk]:
    """Return the pieces of a column of text or bytes, in order; empty ones are left out.

    Args:
        column: string, large_string, binary or large_binary.
    """
    types, arrow = pa.types, column.type
    width = 8 if types.is_large_string(arrow) or types.is_large_binary(arrow) else 4
    return [_chunk(array, width) for array in column.chunks if len(array)]


def _chunk(array: Array, width: int) -> TextChunk:
    validity, offsets, data = array.buffers()
    first, owner = offsets.address + array.offset * width, (array,)
    if first % width:
        n = len(array) + 1
        moved = np.frombuffer(offsets, np.uint8, n * width, array.offset * width).copy()
        first, owner = moved.ctypes.data, (array, moved)
    bitmap = validity.address if validity is not None and array.null_count else 0
    content = 0 if data is None else data.address
    return TextChunk(first, width, content, bitmap, array.offset, len(array), owner)


def content_at(column: ChunkedArray, row: int) -> bytes:
    """Return the bytes of one row of a column of text or bytes."""
    return cast(column.slice(row, 1), pa.large_binary())[0].as_py()
