"""Columns as canonical bytes, and as one 64-bit hash per row under a key.

The hash of a row's value is called its word: an unsigned integer of 64 bits. A key word is a random
odd integer of 64 bits, drawn from the secret key, by which words are multiplied. Equal values give
equal bytes and words, however a column is chunked, sliced or encoded. Null and NaN count as the
same missing value; -0.0 differs from 0.0.
"""

from __future__ import annotations

import hashlib
import hmac
import struct
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from fastfeat_kernels.arrays import Uint64Array
from numpy.typing import NDArray

from fastfeat.io.arrow import Array, Buffer, ChunkedArray, DataType, call, pa
from fastfeat.io.columns.bits import present_rows, unpack

MISSING = np.uint64(0x9E3779B97F4A7C15)
"""The word of a missing value."""
PLACE = np.uint64(0xD1342543DE82EF95)
"""Odd factor that makes the order of list elements and of rows count."""
LONGEST_IN_WORDS = 256
"""Number of bytes above which text is hashed value by value; shorter texts are hashed together."""
_UNSIGNED = {8: np.uint8, 16: np.uint16, 32: np.uint32, 64: np.uint64}


def keyed(key: bytes, parts: Sequence[bytes]) -> bytes:
    """Return the HMAC-SHA256 of parts, each preceded by its length."""
    lengths = struct.pack(f"<{len(parts)}Q", *map(len, parts))
    return hmac.digest(key, b"".join([lengths, *parts]), "sha256")


def bits_of(values: Buffer | None, n_bits: int, offset: int, n_rows: int) -> NDArray[Any]:
    """Return the raw bits of values with `n_bits` bits each (1 to 64), as unsigned integers."""
    if values is None:
        return np.zeros(n_rows, np.uint8)
    if n_bits == 1:
        return unpack(values, offset, n_rows)
    return np.frombuffer(values, _UNSIGNED[n_bits], n_rows, offset * n_bits // 8)


def is_word(kind: DataType) -> bool:
    """Whether values of an Arrow type have a fixed width of at most 64 bits, such as numbers."""
    return bool(pa.types.is_primitive(kind)) and kind.bit_width <= 64


def folded_words(words: Uint64Array) -> Uint64Array:
    """Return words with each high half mixed into the low half; distinct words stay distinct."""
    folded = words >> np.uint64(32)
    folded ^= words
    return folded


@lru_cache(maxsize=64)
def word_keys(secret: bytes, names: tuple[str, ...]) -> Uint64Array:
    """Return 33 key words for each name, shape (n_names, 33).

    They are odd: an even factor would lose bits.
    """
    n_words = 1 + LONGEST_IN_WORDS // 8
    streams = [keyed(secret, [name.encode()]) for name in names]
    drawn = b"".join(hashlib.shake_128(stream).digest(8 * n_words) for stream in streams)
    return np.frombuffer(drawn, np.uint64).reshape(len(names), n_words) | np.uint64(1)


def plain(column: Array | ChunkedArray) -> Array:
    """Return a column as one array without dictionary, and with 64-bit offsets."""
    kind = column.type
    if isinstance(kind, pa.BaseExtensionType):
        column = pa.chunked_array([c.storage for c in _chunks(column)], kind.storage_type)
    elif pa.types.is_run_end_encoded(kind):
        column = call("run_end_decode", column)
    wanted = value_type(column.type)
    if wanted != column.type:
        column = column.cast(wanted)
    chunks = _chunks(column)
    return chunks[0] if len(chunks) == 1 else pa.concat_arrays(chunks) if chunks else _empty(wanted)


def _chunks(column: Array | ChunkedArray) -> list[Array]:
    return column.chunks if isinstance(column, pa.ChunkedArray) else [column]


def _empty(kind: DataType) -> Array:
    return pa.array([], kind)


def value_type(kind: DataType) -> DataType:
    """Return the Arrow type to which all types with the same values are converted.

    For example, large_string for string, dictionaries of strings and string views.
    """
    types = pa.types
    if isinstance(kind, pa.BaseExtensionType):
        return value_type(kind.storage_type)
    if types.is_dictionary(kind) or types.is_run_end_encoded(kind):
        return value_type(kind.value_type)
    if types.is_string(kind) or types.is_string_view(kind):
        return pa.large_string()
    if types.is_binary(kind) or types.is_binary_view(kind) or types.is_fixed_size_binary(kind):
        return pa.large_binary()
    if types.is_list(kind) or types.is_fixed_size_list(kind):
        return pa.large_list(kind.value_type)
    return kind


def type_text(kind: DataType) -> str:
    """Return the name of an Arrow type; lists with the same values have the same name."""
    if pa.types.is_large_list(kind):
        return f"list<{type_text(value_type(kind.value_type))}>"
    return str(kind)


def column_words(array: Array, secret: bytes, name: str) -> tuple[list[Any], Uint64Array]:
    """Return the canonical bytes of a column, in pieces, and one word per row.

    The column must have the form of `plain`; `name` selects its key words.
    """
    keys = word_keys(secret, (name,))[0]
    present = _present(array)
    valid = array if present is None else array.filter(pa.array(present))
    content, words = _valid_words(valid, secret, name, keys)
    flags = np.ones(len(array), np.bool_) if present is None else present
    sizes = len(array).to_bytes(8, "little") + np.packbits(flags).tobytes()
    if present is None:
        return [sizes, *content], words
    spread = np.full(len(array), MISSING, np.uint64)
    spread[present] = words
    return [sizes, *content], spread


def _present(array: Array) -> NDArray[np.bool_] | None:
    """Return flags of the rows that have a value; None if all do."""
    present = present_rows(array)
    if not pa.types.is_floating(array.type):
        return present
    is_nan = call("is_nan", array).fill_null(True).to_numpy(zero_copy_only=False)
    return ~is_nan if is_nan.any() else None


def _valid_words(
    valid: Array, secret: bytes, name: str, keys: Uint64Array
) -> tuple[list[Any], Uint64Array]:
    """Return the bytes and the words of a column without missing values."""
    kind, types = valid.type, pa.types
    if types.is_null(kind):
        return [], np.empty(0, np.uint64)
    if is_word(kind):
        bits = bits_of(valid.buffers()[1], kind.bit_width, valid.offset, len(valid))
        bits = bits.astype(np.uint64)
        return [bits], folded_words(bits) * keys[0]
    if types.is_large_string(kind) or types.is_large_binary(kind):
        return _texts(valid, keys)
    if types.is_large_list(kind) or types.is_map(kind):
        return _lists(valid, secret, name, keys)
    if types.is_struct(kind):
        return _structs(valid, secret, name)
    # decimals, unions, and future Arrow types: by their printed form
    return _texts(pa.array([repr(value) for value in valid.to_pylist()], pa.large_string()), keys)


def _texts(valid: Array, keys: Uint64Array) -> tuple[list[Any], Uint64Array]:
    """Return the bytes and the words of a text or bytes column without missing values."""
    offsets, content = _offsets(valid), valid.buffers()[2]
    first, n_bytes = int(offsets[0]), int(offsets[-1] - offsets[0])
    padded = np.zeros(n_bytes + 8, np.uint8)
    if n_bytes:
        padded[:n_bytes] = np.frombuffer(content, np.uint8, n_bytes, first)
    starts, lengths = offsets[:-1] - first, np.diff(offsets)
    words = lengths.astype(np.uint64) * keys[0]
    at_byte = np.ndarray((n_bytes + 1,), "<u8", padded.data, strides=(1,))
    long = lengths > LONGEST_IN_WORDS
    most = int(np.where(long, 0, lengths).max(initial=0))
    for k in range(0, most, 8):
        rows = np.flatnonzero((lengths > k) & ~long)
        left = np.minimum(lengths[rows] - k, 8).astype(np.uint64)
        kept = np.uint64(0xFFFFFFFFFFFFFFFF) >> (np.uint64(64) - np.uint64(8) * left)
        words[rows] += folded_words(at_byte[starts[rows] + k] & kept) * keys[1 + k // 8]
    for row in np.flatnonzero(long).tolist():
        value = padded[starts[row] : starts[row] + lengths[row]]
        made = hashlib.blake2b(value.data, key=keys[:4].tobytes(), digest_size=8).digest()
        words[row : row + 1] += np.frombuffer(made, np.uint64)
    return [lengths, padded[:n_bytes]], words


def _lists(
    valid: Array, secret: bytes, name: str, keys: Uint64Array
) -> tuple[list[Any], Uint64Array]:
    """Return the bytes and the words of a list column without missing values."""
    is_map = pa.types.is_map(valid.type)
    offsets = _offsets(valid, np.int32 if is_map else np.int64)
    first, last = int(offsets[0]), int(offsets[-1])
    read = _pairs(valid) if is_map else valid.values
    content, of_elements = column_words(plain(read.slice(first, last - first)), secret, f"{name}[]")
    lengths, starts = np.diff(offsets), offsets[:-1] - first
    places = (np.arange(last - first) - np.repeat(starts, lengths)).astype(np.uint64)
    mixed = folded_words(of_elements + places * PLACE) * keys[1]
    sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum(mixed, dtype=np.uint64)])
    words = lengths.astype(np.uint64) * keys[0]
    words += sums[starts + lengths] - sums[starts]
    return [lengths, *content], words


def _pairs(maps: Array) -> Array:
    return pa.StructArray.from_arrays([maps.keys, maps.items], ["key", "value"])


def _offsets(array: Array, kind: Any = np.int64) -> NDArray[np.int64]:
    """Return the offsets of text or lists, including the end, shape (n_rows + 1,)."""
    buffer = array.buffers()[1]
    if buffer is None or len(array) == 0:
        return np.zeros(len(array) + 1, np.int64)
    width = np.dtype(kind).itemsize
    found = np.frombuffer(buffer, kind, len(array) + 1, array.offset * width)
    return found.astype(np.int64)


def _structs(valid: Array, secret: bytes, name: str) -> tuple[list[Any], Uint64Array]:
    """Return the bytes and the words of a struct column without missing values."""
    parts = [
        column_words(plain(part), secret, f"{name}.{k}.{field.name}")
        for k, (field, part) in enumerate(zip(valid.type, valid.flatten(), strict=True))
    ]
    words = np.zeros(len(valid), np.uint64)
    for _, of_part in parts:
        words += of_part
    return [piece for content, _ in parts for piece in content], words
