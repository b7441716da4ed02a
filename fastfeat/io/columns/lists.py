"""Columns of lists: the storage in which steps read them, and their offsets and elements.

Every Arrow list type becomes large lists of elements in their storage
(`io.columns.types.storage_type`); a missing row has no elements.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from fastfeat_kernels.arrays import BoolArray, Int64Array
from numpy.typing import NDArray

from fastfeat.errors import FastfeatError
from fastfeat.io.arrow import Array, ChunkedArray, pa
from fastfeat.io.columns import conform
from fastfeat.io.columns.bits import pack, present_rows
from fastfeat.io.columns.decode import decode_column
from fastfeat.io.columns.keys import key_column, stored_array
from fastfeat.io.columns.types import is_list_type, storage_type
from fastfeat.ir.dtypes import UTF8, DType


class Lists(NamedTuple):
    """The memory of a column of lists.

    Args:
        offsets: Start of each row's elements, beginning at 0, and the end; shape (n_rows + 1,).
        values: Elements of all rows, an Arrow array.
        present: Whether each row has a list; None if all do.
    """

    offsets: Int64Array
    values: Array
    present: BoolArray | None


def list_column(column: ChunkedArray, name: str, dtype: DType) -> ChunkedArray:
    """Return a list column in the storage in which steps read it, shape (n_rows,).

    Raises: TypeMismatch, InvalidData: It holds no lists, or an element is not exactly of the type
        in fit.
    """
    assert dtype.of is not None
    if not is_list_type(column.type):
        if not conform.all_missing(column):
            conform.mismatch(column, name, str(dtype), "Pass a column of lists")
        return pa.chunked_array([pa.nulls(len(column), storage_type(dtype))])
    pieces = [_piece(chunk) for chunk in column.chunks]
    if len(pieces) == 1:
        return pa.chunked_array([_stored_piece(pieces[0], name, dtype)])
    values = pa.chunked_array([piece.values for piece in pieces], column.type.value_type)
    stored = _stored_values(values, name, dtype)
    lengths = [np.diff(piece.offsets) for piece in pieces]
    present = [
        np.ones(len(n), np.bool_) if piece.present is None else piece.present
        for piece, n in zip(pieces, lengths, strict=True)
    ]
    whole = list_array(
        offsets_of(np.concatenate([*lengths, np.zeros(0, np.int64)])),
        stored,
        np.concatenate([*present, np.zeros(0, np.bool_)]),
    )
    return pa.chunked_array([whole])


def _stored_piece(piece: Lists, name: str, dtype: DType) -> Array:
    stored = _stored_values(pa.chunked_array([piece.values]), name, dtype)
    return list_array(piece.offsets, stored, piece.present)


def _stored_values(values: ChunkedArray, name: str, dtype: DType) -> Array:
    """Return the elements of lists in their storage; errors count the elements of all rows."""
    assert dtype.of is not None
    try:
        return stored_elements(values, name, dtype.of)
    except FastfeatError as error:
        raise type(error)(
            f"elements of all lists, where row numbers count elements: {error}"
        ) from None


def stored_elements(elements: ChunkedArray, name: str, dtype: DType) -> Array:
    """Return the elements of lists in the storage of their type, as one array."""
    if dtype == UTF8:
        stored = decode_column(key_column(elements, name, dtype))
    else:
        stored = conform.conform(elements, name, dtype)
    if stored.num_chunks == 1:
        return stored.chunk(0)
    return pa.concat_arrays(stored.chunks or [pa.nulls(0, stored.type)])


def _piece(chunk: Array) -> Lists:
    """Return the memory of one chunk of lists, without elements under missing rows."""
    present = present_rows(chunk)
    if pa.types.is_fixed_size_list(chunk.type):
        lengths = np.full(len(chunk), chunk.type.list_size, np.int64)
        if present is not None:
            lengths = np.where(present, lengths, 0)
        return Lists(offsets_of(lengths), chunk.flatten(), present)
    wide = np.int64 if pa.types.is_large_list(chunk.type) else np.int32
    ends = (
        np.frombuffer(
            chunk.buffers()[1], wide, len(chunk) + 1, chunk.offset * np.dtype(wide).itemsize
        )
        if len(chunk)
        else np.zeros(1, wide)
    )
    if present is not None:
        absent = np.flatnonzero(~present)
        if (ends[absent] != ends[absent + 1]).any():
            lengths = np.where(present, np.diff(ends.astype(np.int64)), 0)
            return Lists(offsets_of(lengths), chunk.flatten(), present)
    first, last = int(ends[0]), int(ends[-1])
    return Lists(ends.astype(np.int64) - first, chunk.values.slice(first, last - first), present)


def lists_of(column: ChunkedArray) -> Lists:
    """Return the memory of a one-chunk list column that `list_column` or a step has made."""
    (whole,) = column.chunks
    offsets = np.frombuffer(whole.buffers()[1], np.int64, len(whole) + 1, whole.offset * 8)
    return Lists(offsets, whole.values, present_rows(whole))


def offsets_of(lengths: NDArray[Any]) -> Int64Array:
    """Return the offsets of lists with the given lengths, including the end of the last one."""
    offsets = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, dtype=np.int64, out=offsets[1:])
    return offsets


def list_array(offsets: Int64Array, values: Array, present: BoolArray | None) -> Array:
    """Return lists as an Arrow array; see `Lists` for the arguments."""
    validity = None if present is None or present.all() else pack(present)
    kind = pa.large_list(values.type)
    buffers = [validity, pa.py_buffer(offsets)]
    return pa.Array.from_buffers(kind, len(offsets) - 1, buffers, children=[values])


def list_array_of(lists: Sequence[list[Any] | None], dtype: DType) -> Array:
    """Return Python lists as an Arrow array; their elements are in storage form, None is null."""
    assert dtype.of is not None
    flat = [element for elements in lists for element in elements or ()]
    stored = stored_elements(pa.chunked_array([stored_array(flat, dtype.of)]), "", dtype.of)
    lengths = np.array([len(elements or ()) for elements in lists], np.int64)
    present = np.array([elements is not None for elements in lists], np.bool_)
    return list_array(offsets_of(lengths), stored, present)
