"""Columns of text and bytes as inputs of programs: codes of literals, equality, presence.

Compiled programs read only these, never text itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from fastfeat.io.arrow import Array, ChunkedArray, DataType, call, cast, index_in, pa
from fastfeat.io.columns import conform
from fastfeat.io.columns.bits import array_of_values, present_rows, unpack, validity_of
from fastfeat.io.columns.column import combined
from fastfeat.io.columns.decode import decode_column, is_text, plain
from fastfeat.ir.dtypes import UTF8, DType


def string_codes(column: ChunkedArray, name: str, literals: tuple[str, ...]) -> ChunkedArray:
    """Return the position of each text in `literals`, as int32; -1 if it is absent.

    Missing stays missing. In a dictionary only the entries are looked up. The column is text in any
    Arrow form, shape (n_rows,), or has any type and no values. If literals are equal, the first
    counts.

    Example:
        >>> import pyarrow as pa
        >>> string_codes(pa.chunked_array([["b", "z", None]]), "c", ("a", "b")).to_pylist()
        [1, -1, None]
    """
    if not is_text(column.type):
        return _missing_text(column, name, pa.int32())
    table = text_array(literals)
    return combined(pa.chunked_array([_codes(piece, table) for piece in column.chunks], pa.int32()))


def string_equal(
    left: ChunkedArray, right: ChunkedArray, left_name: str, right_name: str, dtype: DType = UTF8
) -> ChunkedArray:
    """Return whether two columns are equal in each row, as bool; missing if either side is.

    Both columns are text or bytes in any Arrow form, shape (n_rows,). `dtype` is the type in fit:
    utf8, or binary, for which text is accepted too.
    """
    sides = [_content(left, left_name, dtype), _content(right, right_name, dtype)]
    return call("equal", *(sides if dtype == UTF8 else [_as_bytes(side) for side in sides]))


def string_validity(column: ChunkedArray, name: str, dtype: DType = UTF8) -> ChunkedArray:
    """Return whether each row of a text or bytes column holds a value, as bool without nulls.

    `dtype` is the type in fit: utf8, or binary, for which text is accepted too.
    """
    if conform.is_accepted_text(column.type, dtype):
        return validity_of(column)
    return validity_of(_missing_text(column, name, pa.int32(), dtype))


def text_array(texts: Sequence[str]) -> Array:
    """Return texts as a large_string array.

    The array is built by hand because the first `pyarrow.array` of a process imports pandas, 200
    ms.
    """
    return bytes_array([text.encode() for text in texts], pa.large_string())


def bytes_array(contents: Sequence[bytes], arrow_type: DataType) -> Array:
    """Return byte strings as a large_string or large_binary array."""
    ends = np.cumsum([0, *map(len, contents)], dtype=np.int64)
    buffers = [None, pa.py_buffer(ends), pa.py_buffer(b"".join(contents))]
    return pa.Array.from_buffers(arrow_type, len(contents), buffers)


def content_of(value: str | bytes) -> bytes:
    """Return the bytes of a text from `contents_of`, or the bytes themselves."""
    return value if isinstance(value, bytes) else value.encode(errors="surrogateescape")


def contents_of(column: Any) -> list[Any]:
    """Return an array or column as Python values; invalid UTF-8 bytes become lone surrogates.

    `content_of` turns such text back into its bytes.
    """
    try:
        return column.to_pylist()
    except UnicodeDecodeError:
        chunks = column.chunks if isinstance(column, ChunkedArray) else [column]
        if pa.types.is_list(column.type) or pa.types.is_large_list(column.type):
            return [texts for chunk in chunks for texts in _lists_of(chunk)]
        values = [value for chunk in chunks for value in _as_bytes(_decoded(chunk)).to_pylist()]
        return [None if v is None else v.decode(errors="surrogateescape") for v in values]


def _lists_of(chunk: Array) -> list[Any]:
    """Return lists of text as lists of Python values."""
    texts, ends = contents_of(chunk.values), chunk.offsets.to_pylist()
    present = chunk.is_valid().to_pylist()
    return [
        texts[start:end] if there else None
        for start, end, there in zip(ends[:-1], ends[1:], present, strict=True)
    ]


def _decoded(chunk: Array) -> Array:
    return call("array_take", chunk.dictionary, chunk.indices) if _is_dictionary(chunk) else chunk


def _is_dictionary(chunk: Array) -> bool:
    return bool(pa.types.is_dictionary(chunk.type))


def _as_bytes(text: Any) -> Any:
    """Return text or bytes as large_binary."""
    wanted = pa.large_binary()
    return text if text.type == wanted else cast(text, wanted)


def _codes(piece: Array, table: Array) -> Array:
    """Return the position of each text of one chunk among the literals in `table`."""
    if pa.types.is_dictionary(piece.type):
        return call("array_take", _codes(piece.dictionary, table), piece.indices)
    if pa.types.is_run_end_encoded(piece.type):
        piece = call("run_end_decode", piece)
    if not pa.types.is_large_string(piece.type):
        piece = cast(piece, pa.large_string())
    if len(table) == 1:
        return _codes_of_one(piece, table[0])
    found = index_in(piece, table)
    is_found = present_rows(found)
    if is_found is None:
        return found
    codes = np.frombuffer(found.buffers()[1], np.int32, len(found), found.offset * 4)
    codes = np.where(is_found, codes, np.int32(-1))
    present = present_rows(piece)
    codes = codes if present is None else np.where(present, codes, np.int32(0))
    return array_of_values(codes, present, pa.int32())


def _codes_of_one(piece: Array, text: object) -> Array:
    """Return codes for a single literal: `equal` takes 5 ns per row, `index_in` 12 ns."""
    found = call("equal", piece, text)
    codes = unpack(found.buffers()[1], found.offset, len(found)).astype(np.int32) - np.int32(1)
    present = present_rows(piece)
    codes = codes if present is None else np.where(present, codes, np.int32(0))
    return array_of_values(codes, present, pa.int32())


def _content(column: ChunkedArray, name: str, dtype: DType) -> ChunkedArray:
    """Return a text or bytes column without dictionaries and views, for compute functions."""
    if not conform.is_accepted_text(column.type, dtype):
        return _missing_text(column, name, pa.large_string(), dtype)
    return plain(decode_column(column))


def _missing_text(
    column: ChunkedArray, name: str, arrow_type: object, dtype: DType = UTF8
) -> ChunkedArray:
    """Return nulls for a column of another type without any value; raise if it has values."""
    if not conform.all_missing(column):
        wanted = "text" if dtype == UTF8 else "text or bytes"
        conform.mismatch(
            column, name, str(dtype), f"This column must be {wanted}: cast it yourself"
        )
    return pa.chunked_array([pa.nulls(len(column), arrow_type)])


class TextChunk(NamedTuple):
    """The addresses of one contiguous chunk of a text column; nothing is copied.

    Args:
        offsets: Address of the offset of the first row.
        offset_bytes: Width of an offset: 4 or 8.
        data: Address of the byte at offset 0.
        validity: Address of the bitmap; 0 if no value is missing.
        bit_offset: Position of the first row's bit in the bitmap.
        length: Number of rows.
        owner: Object that keeps the memory alive.
    """

    offsets: int
    offset_bytes: int
    data: int
    validity: int
    bit_offset: int
    length: int
    owner: object


def text_chunks(column: ChunkedArray) -> list[TextChunk]:
    """Return the memory addresses of each non-empty chunk of a text or bytes column, in order."""
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
    """Return the bytes of one row of a text or bytes column."""
    return cast(column.slice(row, 1), pa.large_binary())[0].as_py()
