"""Arrow bitmaps as NumPy booleans, and back."""

from __future__ import annotations

from typing import Any

import numpy as np
from fastfeat_kernels.arrays import BoolArray
from numpy.typing import NDArray

from fastfeat.io.arrow import Array, Buffer, ChunkedArray, call, pa


def unpack(bitmap: Buffer, offset: int, length: int) -> BoolArray:
    """Return `length` bits of a bitmap, starting at bit `offset`, as one boolean each."""
    if length == 0:
        return np.empty(0, dtype=np.bool_)
    first, last = offset >> 3, (offset + length + 7) >> 3
    packed = np.frombuffer(bitmap, dtype=np.uint8, count=last - first, offset=first)
    bits = np.unpackbits(packed, bitorder="little")
    return bits[offset & 7 :][:length].view(np.bool_)


def pack(flags: BoolArray) -> Buffer:
    """Return booleans as a bitmap that begins at bit 0."""
    return pa.py_buffer(np.packbits(flags, bitorder="little"))


def present_rows(array: Array) -> BoolArray | None:
    """Return whether each row has a value, from the array's null bitmap; None if all rows do."""
    if array.null_count == 0:
        return None
    bitmap = array.buffers()[0]
    if bitmap is None:  # the null type has no bitmap
        return np.zeros(len(array), dtype=np.bool_)
    return unpack(bitmap, array.offset, len(array))


def values_in(array: Array | ChunkedArray) -> NDArray[Any]:
    """Return the values of an array without nulls as NumPy, without a copy if possible.

    The values are numbers, bools, or times, which come as integers. A column of several pieces is
    copied. Arrow's `to_numpy` would import pandas if installed: .25 s in a fresh process.
    """
    if isinstance(array, pa.ChunkedArray):
        pieces = [values_in(piece) for piece in array.chunks] or [
            values_in(pa.nulls(0, array.type))
        ]
        return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)
    kind, buffer = array.type, array.buffers()[1]
    if pa.types.is_boolean(kind):
        return np.zeros(0, np.bool_) if buffer is None else unpack(buffer, array.offset, len(array))
    letter = "f" if pa.types.is_floating(kind) else "u" if str(kind).startswith("u") else "i"
    storage = np.dtype(f"{letter}{kind.bit_width // 8}")
    if buffer is None:
        return np.zeros(0, storage)
    return np.frombuffer(buffer, storage, len(array), array.offset * storage.itemsize)


def array_of_values(
    values: NDArray[np.generic], present: BoolArray | None, arrow_type: object
) -> Array:
    """Return a fixed-width Arrow array over NumPy values, without a copy (booleans are packed).

    `values` are contiguous, aligned, and as wide as `arrow_type`. `present` is False where a value
    is missing; None if no value is.
    """
    validity = None if present is None or present.all() else pack(present)
    bits = pack(values.view(np.bool_)) if values.dtype == np.bool_ else pa.py_buffer(values)
    return pa.Array.from_buffers(arrow_type, len(values), [validity, bits])


def array_with_bits(
    values: NDArray[np.generic], validity: NDArray[np.uint8] | None, arrow_type: object
) -> Array:
    """Return a fixed-width Arrow array over NumPy values, without a copy (booleans are packed).

    `values` are contiguous, aligned, and as wide as `arrow_type`. `validity` is a bitmap from bit
    0, with 0 where a value is missing; None if no value is.
    """
    bits = pack(values.view(np.bool_)) if values.dtype == np.bool_ else pa.py_buffer(values)
    bitmap = None if validity is None else pa.py_buffer(validity)
    if bitmap is None:
        return pa.Array.from_buffers(arrow_type, len(values), [None, bits], 0)
    array = pa.Array.from_buffers(arrow_type, len(values), [bitmap, bits])
    if array.null_count:
        return array
    return pa.Array.from_buffers(arrow_type, len(values), [None, bits])


def validity_of(column: ChunkedArray) -> ChunkedArray:
    """Return whether each row holds a value, as bool without nulls; a bitmap is not copied.

    A null entry of a dictionary counts as missing. A NaN does not: floats are tested inside a
    kernel. The column may have any type, including nested ones.

    Example:
        >>> import pyarrow as pa
        >>> validity_of(pa.chunked_array([[[1], None]])).to_pylist()
        [True, False]
    """
    return pa.chunked_array([_validity(piece) for piece in column.chunks], pa.bool_())


def _validity(piece: Array) -> Array:
    """Return whether each row of one chunk has a value, as an Arrow bool array."""
    types = pa.types
    if types.is_dictionary(piece.type) and piece.dictionary.null_count:
        # Some codes point at a null entry; `take` makes them null.
        return _validity(call("array_take", _markers(piece.dictionary), piece.indices))
    if types.is_run_end_encoded(piece.type):
        return _validity(call("run_end_decode", piece))
    # unions are rare, and is_valid of older versions does not look inside
    if types.is_union(piece.type):
        flags = np.array([value is not None for value in piece.to_pylist()], dtype=np.bool_)
        return array_of_values(flags, None, pa.bool_())
    if piece.null_count == 0:
        return _constant(True, len(piece))
    bitmap = piece.buffers()[0]
    if bitmap is None:  # the null type
        return _constant(False, len(piece))
    return pa.Array.from_buffers(pa.bool_(), len(piece), [None, bitmap], 0, piece.offset)


def _markers(dictionary: Array) -> Array:
    """Return an array that is null exactly where an entry of `dictionary` is null.

    Its type is one that `take` accepts.
    """
    valid = _validity(dictionary)
    bits = valid.buffers()[1]
    return pa.Array.from_buffers(pa.bool_(), len(valid), [bits, bits], -1, valid.offset)


def _constant(value: bool, length: int) -> Array:
    """Return an Arrow bool array with the same value in every row."""
    bits = np.full((length + 7) >> 3, 0xFF if value else 0, dtype=np.uint8)
    return pa.Array.from_buffers(pa.bool_(), length, [None, pa.py_buffer(bits)], 0)
