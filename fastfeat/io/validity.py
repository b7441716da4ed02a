"""Which rows of a column hold a value."""

from __future__ import annotations

import numpy as np

from fastfeat.io.arrow import Array, ChunkedArray, call, pa
from fastfeat.io.bits import array_of_values


def validity_of(column: ChunkedArray) -> ChunkedArray:
    """Return whether each row holds a value, as bool without nulls; in place if there is a bitmap.

    A null entry of a dictionary counts as missing. A NaN does not: floats are tested inside a
    kernel.

    Args:
        column: a pyarrow column of any type, nested ones too, shape (n_rows,).

    Example:
        >>> import pyarrow as pa
        >>> validity_of(pa.chunked_array([[[1], None]])).to_pylist()
        [True, False]
    """
    return pa.chunked_array([_validity(piece) for piece in column.chunks], pa.bool_())


def _validity(piece: Array) -> Array:
    """Return the validity of one piece."""
    types = pa.types
    if types.is_dictionary(piece.type) and piece.dictionary.null_count:
        # Positions that point at a null entry; `take` makes them null.
        return _validity(call("array_take", _markers(piece.dictionary), piece.indices))
    if types.is_run_end_encoded(piece.type):
        return _validity(call("run_end_decode", piece))
    if types.is_union(piece.type):  # rare, and is_valid of older versions does not look inside
        flags = np.array([value is not None for value in piece.to_pylist()], dtype=np.bool_)
        return array_of_values(flags, None, pa.bool_())
    if piece.null_count == 0:
        return _constant(True, len(piece))
    bitmap = piece.buffers()[0]
    if bitmap is None:  # the null type
        return _constant(False, len(piece))
    return pa.Array.from_buffers(pa.bool_(), len(piece), [None, bitmap], 0, piece.offset)


def _markers(dictionary: Array) -> Array:
    """Return an array that is null exactly where an entry is, of a type that can be taken from."""
    valid = _validity(dictionary)
    bits = valid.buffers()[1]
    return pa.Array.from_buffers(pa.bool_(), len(valid), [bits, bits], -1, valid.offset)


def _constant(value: bool, length: int) -> Array:
    """Return one boolean for every row."""
    bits = np.full((length + 7) >> 3, 0xFF if value else 0, dtype=np.uint8)
    return pa.Array.from_buffers(pa.bool_(), length, [None, pa.py_buffer(bits)], 0)
