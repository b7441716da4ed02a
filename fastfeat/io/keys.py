"""Keys as they are compared and looked up: integers, floats and text, equal where they are equal.

Integers, bools, dates and times are int64 (uint64 its own); floats are float64, 0.0 for -0.0 and
null for NaN; text is string or large_string, or a dictionary of one. In that form it is not copied.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastfeat.dtypes import UTF8, DType
from fastfeat.io.arrow import Array, ChunkedArray, DataType, cast, pa
from fastfeat.io.bits import array_of_values, present_rows
from fastfeat.io.conform import conform
from fastfeat.io.decode import decoded, is_text
from fastfeat.io.strings import text_array

_TEXT = "Text is needed here: cast the column to text yourself"


def key_type(dtype: DType) -> DataType:
    """Return the Arrow type that keys of a type are stored in."""
    if dtype == UTF8:
        return pa.large_string()
    if dtype.physical == "f64":
        return pa.float64()
    return pa.uint64() if dtype.name == "uint64" else pa.int64()


def key_column(column: ChunkedArray, name: str, dtype: DType) -> ChunkedArray:
    """Return a column as keys.

    Args:
        column: as the data has it, or as a step or a program made it, shape (n_rows,).
        name: what it is called in messages.
        dtype: its type.

    Raises:
        TypeMismatch, InvalidData: it is not of that type, nor exactly convertible.
    """
    wanted = key_type(dtype)
    if dtype == UTF8 and is_text(column.type):
        if _is_plain(column.type):
            return column
        chunks = [_text(chunk) for chunk in column.chunks]
        return pa.chunked_array(chunks) if chunks else pa.chunked_array([], wanted)
    plain = conform(column, name, dtype)
    return pa.chunked_array([_number(chunk, wanted) for chunk in plain.chunks], wanted)


def _is_plain(given: DataType) -> bool:
    """Return whether text is read in place: with offsets, or codes of such text."""
    text = given.value_type if pa.types.is_dictionary(given) else given
    return bool(pa.types.is_string(text) or pa.types.is_large_string(text))


def _text(chunk: Array) -> Array:
    """Return text as large_string; of a dictionary, its entries."""
    if pa.types.is_dictionary(chunk.type):
        entries = decoded(pa.chunked_array([chunk.dictionary])).combine_chunks()
        return pa.DictionaryArray.from_arrays(chunk.indices, _large(entries), safe=False)
    plain = decoded(pa.chunked_array([chunk])).combine_chunks()
    return _large(plain)


def _large(text: Any) -> Array:
    whole = pa.concat_arrays(text.chunks) if isinstance(text, pa.ChunkedArray) else text
    wanted = pa.large_string()
    return whole if whole.type == wanted else cast(whole, wanted)


def _number(chunk: Array, wanted: DataType) -> Array:
    """Return numbers, bools and times as 8-byte keys; integers of 8 bytes in place."""
    if chunk.type == wanted and not pa.types.is_floating(wanted):
        return chunk
    present = present_rows(chunk)
    if chunk.type == pa.bool_():
        flags = chunk.to_numpy(zero_copy_only=False) if present is None else None
        filled = chunk.fill_null(False).to_numpy(zero_copy_only=False) if flags is None else flags
        return array_of_values(filled.astype(np.int64), present, wanted)
    width, types = chunk.type.bit_width // 8, pa.types
    kind = "f" if types.is_floating(chunk.type) else "iu"[types.is_unsigned_integer(chunk.type)]
    values = np.frombuffer(chunk.buffers()[1], f"{kind}{width}", len(chunk), chunk.offset * width)
    if kind != "f":
        wide = np.uint64 if wanted == pa.uint64() else np.int64
        return array_of_values(values.astype(wide), present, wanted)
    floats = values.astype(np.float64) + 0.0  # -0.0 + 0.0 is 0.0
    number = floats == floats
    return array_of_values(floats, number if present is None else present & number, wanted)


def key_array(values: Sequence[Any], dtype: DType) -> Array:
    """Return Python values, as keys of a type are stored, as an Arrow array; None is null."""
    wanted = key_type(dtype)
    present = np.array([value is not None for value in values], dtype=bool)
    if dtype == UTF8:
        text = text_array([value or "" for value in values])
        validity = None if present.all() else pa.py_buffer(np.packbits(present, bitorder="little"))
        return pa.Array.from_buffers(wanted, len(values), [validity, *text.buffers()[1:]])
    storage = wanted.to_pandas_dtype()  # the type of NumPy; pandas is not imported
    numbers = np.array([0 if v is None else v for v in values], dtype=storage)
    return array_of_values(numbers, present, wanted)
