"""Keys in the storage in which they are compared and looked up: integers, floats and text.

Integers, bools, dates and times are int64 (uint64 keeps its type). Floats are float64, with 0.0 for
-0.0 and null for NaN. Text is large_string, bytes are large_binary, or a dictionary of those.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastfeat.io.arrow import Array, ChunkedArray, DataType, call, cast, index_in, pa
from fastfeat.io.columns import conform, conversions, strings
from fastfeat.io.columns.bits import array_of_values, present_rows, unpack
from fastfeat.io.columns.decode import decode_column
from fastfeat.io.columns.types import arrow_type, storage_type
from fastfeat.ir.dtypes import FLOAT64, UTF8, DType

_TEXT = "This column must be text or bytes: cast it yourself"


def key_type(dtype: DType) -> DataType:
    """Return the Arrow type in which keys of a type are stored."""
    if dtype.holds_bytes:
        return pa.large_string() if dtype == UTF8 else pa.large_binary()
    if dtype.physical == "f64":
        return pa.float64()
    return pa.uint64() if dtype.name == "uint64" else pa.int64()


def first_keys(keys: Array, n: int) -> Array:
    """Return a copy of the first n keys.

    A slice would carry the text of the remaining keys into saved files.
    """
    if n == len(keys):
        return keys
    return call("take", keys, array_of_values(np.arange(n, dtype=np.int64), None, pa.int64()))


def places_in(keys: Sequence[Array], known: Sequence[Array]) -> NDArray[np.int64]:
    """Return the position of each key among distinct known keys, shape (n_keys,); -1 if unknown.

    `keys` and `known` hold one Arrow array per part of the key; a part may be missing. Keys of
    another type than the known keys are unknown.
    """
    n_known = len(known[0])
    if any(mine.type != theirs.type for mine, theirs in zip(keys, known, strict=True)):
        return np.full(len(keys[0]), -1, np.int64)
    if len(keys) == 1:
        found = index_in(keys[0], known[0]).fill_null(-1)
        return found.to_numpy(zero_copy_only=False).astype(np.int64)
    numbers = np.zeros(len(keys[0]) + n_known, np.int64)
    for mine, theirs in zip(keys, known, strict=True):
        both = pa.concat_arrays([theirs, mine])
        codes = index_in(both, call("unique", both)).to_numpy(zero_copy_only=False)
        numbers = np.unique(numbers * (int(codes.max(initial=0)) + 1) + codes, return_inverse=True)[
            1
        ]
    place_of = np.full(int(numbers.max(initial=-1)) + 1, -1, np.int64)
    place_of[numbers[:n_known]] = np.arange(n_known)
    return place_of[numbers[n_known:]]


def key_column(
    column: ChunkedArray, name: str, dtype: DType, *, narrow: bool = False
) -> ChunkedArray:
    """Return a column in the storage of keys, shape (n_rows,).

    `narrow` allows 32-bit offsets for text and bytes, which avoids a copy.
    """
    wanted = key_type(dtype)
    if conform.is_accepted_text(column.type, dtype):
        if narrow and _is_plain(column.type):
            return column
        chunks = [_content(chunk, wanted) for chunk in column.chunks]
        return pa.chunked_array(chunks) if chunks else pa.chunked_array([], wanted)
    if dtype.holds_bytes and not conform.all_missing(column):
        conform.mismatch(column, name, str(dtype), _TEXT)
    if dtype.holds_bytes:
        return pa.chunked_array([pa.nulls(len(column), wanted)])
    plain = conform.conform(column, name, dtype)
    return pa.chunked_array([_number(chunk, wanted) for chunk in plain.chunks], wanted)


def _is_plain(given: DataType) -> bool:
    """Return whether a column of an Arrow type of text or bytes can be keys without a copy.

    True for 32- or 64-bit offsets, also inside a dictionary; False for views.
    """
    types, content = pa.types, given.value_type if pa.types.is_dictionary(given) else given
    forms = (types.is_string, types.is_large_string, types.is_binary, types.is_large_binary)
    return any(form(content) for form in forms)


def _content(chunk: Array, wanted: DataType) -> Array:
    """Return a chunk of text or bytes in the storage of keys; dictionaries stay dictionaries."""
    given = chunk.type
    if pa.types.is_dictionary(given) and given.value_type == wanted:
        return chunk
    if pa.types.is_dictionary(given):
        entries = decode_column(pa.chunked_array([chunk.dictionary])).combine_chunks()
        return pa.DictionaryArray.from_arrays(chunk.indices, _large(entries, wanted), safe=False)
    plain = decode_column(pa.chunked_array([chunk])).combine_chunks()
    return _large(plain, wanted)


def _large(content: Any, wanted: DataType) -> Array:
    whole = pa.concat_arrays(content.chunks) if isinstance(content, pa.ChunkedArray) else content
    return whole if whole.type == wanted else cast(whole, wanted)


def _number(chunk: Array, wanted: DataType) -> Array:
    """Return numbers, bools and times as 8-byte keys; 8-byte integers are not copied."""
    if chunk.type == wanted and not pa.types.is_floating(wanted):
        return chunk
    present = present_rows(chunk)
    if chunk.type == pa.bool_():
        flags = unpack(chunk.buffers()[1], chunk.offset, len(chunk))
        return array_of_values(flags.astype(np.int64), present, wanted)
    width, types = chunk.type.bit_width // 8, pa.types
    kind = "f" if types.is_floating(chunk.type) else "iu"[types.is_unsigned_integer(chunk.type)]
    values = np.frombuffer(chunk.buffers()[1], f"{kind}{width}", len(chunk), chunk.offset * width)
    if kind != "f":
        wide = np.uint64 if wanted == pa.uint64() else np.int64
        return array_of_values(values.astype(wide), present, wanted)
    with np.errstate(invalid="ignore"):  # a signalling NaN becomes a quiet one, and is missing
        floats = values.astype(np.float64) + 0.0  # -0.0 + 0.0 is 0.0
    number = floats == floats
    return array_of_values(floats, number if present is None else present & number, wanted)


def comparable(dtype: DType) -> DType:
    """Return the type in which values are compared: float64 for types that are read as float64."""
    return FLOAT64 if dtype.name in ("decimal", "float16", "null") else dtype


def table_keys_as(
    parts: Sequence[Array], given: Sequence[DType], wanted: Sequence[DType]
) -> list[Any]:
    """Return key columns of a lookup table, converted to the types of the data's key columns."""
    return [
        pa.chunked_array([keys_as(part, comparable(own), dtype)])
        for part, own, dtype in zip(parts, given, wanted, strict=True)
    ]


def keys_as(values: Array, given: DType, wanted: DType) -> Array:
    """Return values converted to keys of another type; null if that type cannot hold one exactly.

    `values` are stored as in `io.columns.types.storage_type`. `given` is their type from
    `comparable`, and `wanted` a type that can be compared with it.
    """
    if wanted.holds_bytes:
        return values
    if given != wanted:
        convert = conversions.conversion(given, wanted)
        assert convert is not None, "binding checks that keys can be compared"
        found = convert(values, given, wanted)
        exact = found.exact if found.present is None else found.exact & found.present
        zeroed = np.where(exact, found.values, found.values.dtype.type(0))
        values = array_of_values(zeroed, exact, storage_type(wanted))
    return _number(values, key_type(wanted))


def stored_array(values: Sequence[Any], dtype: DType) -> Array:
    """Return Python values of a type in its column storage as an Arrow array; None is null."""
    array = key_array(values, dtype)
    if not dtype.is_temporal:
        return array
    exact, storage = arrow_type(dtype), storage_type(dtype)
    if array.type != storage:
        ticks = array.fill_null(0).to_numpy(zero_copy_only=False).astype(np.int32)
        array = array_of_values(ticks, present_rows(array), storage)
    return array.view(exact)


def repeat_key(value: Any, dtype: DType, n_rows: int) -> Array:
    """Return one value, repeated for all rows, in the storage of keys.

    Text is a dictionary with one entry.
    """
    one = key_array([value], dtype)
    if dtype.holds_bytes:
        indices = pa.py_buffer(np.zeros(n_rows, np.int32))
        zeros = pa.Array.from_buffers(pa.int32(), n_rows, [None, indices])
        return pa.DictionaryArray.from_arrays(zeros, one)
    if value is None or value != value:
        return pa.nulls(n_rows, one.type)
    number = one.to_numpy(zero_copy_only=False)[0]
    return array_of_values(np.full(n_rows, number), None, one.type)


def key_array(values: Sequence[Any], dtype: DType) -> Array:
    """Return Python values in the key storage of a type as an Arrow array; None is null."""
    wanted = key_type(dtype)
    present = np.array([value is not None for value in values], dtype=bool)
    if dtype.holds_bytes:
        content = strings.bytes_array(
            [strings.content_of(value or b"") for value in values], wanted
        )
        validity = None if present.all() else pa.py_buffer(np.packbits(present, bitorder="little"))
        return pa.Array.from_buffers(wanted, len(values), [validity, *content.buffers()[1:]])
    storage = wanted.to_pandas_dtype()  # the NumPy type; this does not import pandas
    numbers = np.array([0 if v is None else v for v in values], dtype=storage)
    return array_of_values(numbers, present, wanted)
