"""Distinct keys as arrays, made from values and read as values."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any, Final, cast

import numpy as np
import numpy.typing as npt

from fastfeat_kernels.arrays import Int64Array
from fastfeat_kernels.column import (
    ELEMENTS,
    TEXT,
    AnyChunk,
    ArrowChunk,
    ArrowTextChunk,
    value_of_key,
)
from fastfeat_kernels.records import dataclass
from fastfeat_kernels.vocabulary import layout

_SIGN: Final = np.int64(-(2**63))

_MAGNITUDE: Final = np.int64(2**63 - 1)


@dataclass(frozen=True, slots=True)
class TextKeys:
    """Bytes keys: key i is `data[offsets[i]:offsets[i + 1]]`."""

    offsets: npt.NDArray[np.int64]
    data: npt.NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.offsets) - 1


Keys = Int64Array | TextKeys


def text_keys(values: Iterable[bytes]) -> TextKeys:
    """Return bytes keys.

    >>> len(text_keys([b"a", b""]))
    2
    """
    listed = list(values)
    sizes = np.array([0, *map(len, listed)], np.int64)
    return TextKeys(np.cumsum(sizes), np.array(bytearray(b"".join(listed)), np.uint8))


def number_keys(element: str, values: npt.NDArray[Any]) -> Int64Array:
    """Return the keys of numbers of one type, like `column.key_of`, but with -0.0 as 0.0.

    The values must be present and not NaN.

    >>> number_keys("float64", np.array([-0.0, -1.0])).tolist()
    [0, -4607182418800017409]
    """
    assert element in ELEMENTS
    if element.startswith("float"):
        bits = (values.astype(np.float64) + 0.0).view(np.int64)
        return bits ^ ((bits >> 63) & _MAGNITUDE)
    if element == "uint64":
        return values.astype(np.uint64).view(np.int64) ^ _SIGN
    return values.astype(np.int64, copy=False)


def numbers_of(element: str, keys: Int64Array) -> npt.NDArray[Any]:
    """Return the numbers of keys, as an array of their type; it may share the keys' memory.

    >>> numbers_of("uint8", np.array([7]))
    array([7], dtype=uint8)
    """
    if element.startswith("float"):
        return (keys ^ ((keys >> 63) & _MAGNITUDE)).view(np.float64).astype(element)
    if element == "uint64":
        return (keys ^ _SIGN).view(np.uint64)
    return keys.astype(element, copy=False)


def values_of(element: str, keys: Keys) -> Sequence[float | int | bool | bytes]:
    """Return the values of keys as Python values.

    >>> values_of("text", text_keys([b"a", b""]))
    [b'a', b'']
    """
    if isinstance(keys, TextKeys):
        assert element == TEXT
        content, ends = keys.data.tobytes(), keys.offsets.tolist()
        return [content[a:b] for a, b in pairwise(ends)]
    return [value_of_key(element, key) for key in keys.tolist()]


@dataclass(frozen=True, slots=True)
class KeyChunk:
    """Keys of numbers as a column of int64."""

    values: int
    length: int
    owner: object
    value_bit_offset: int = 0
    validity: int = 0
    bit_offset: int = 0


@dataclass(frozen=True, slots=True)
class KeyTextChunk:
    """Text located by `offsets`: offsets, or pairs (`layout.PAIRS`)."""

    offsets: int
    offset_bytes: int
    data: int
    length: int
    owner: object
    validity: int = 0
    bit_offset: int = 0


def chunk_of_keys(keys: Keys) -> KeyChunk | KeyTextChunk:
    """Return keys as a column of int64 or of text."""
    if isinstance(keys, TextKeys):
        return KeyTextChunk(keys.offsets.ctypes.data, 8, keys.data.ctypes.data, len(keys), keys)
    return KeyChunk(keys.ctypes.data, len(keys), keys)


def chunk_of_words(keys: Int64Array, owner: object) -> KeyChunk | KeyTextChunk:
    """Return keys in the layout of tables, `(n, key_words)`, as a column."""
    if keys.shape[1] == 1:
        return KeyChunk(keys.ctypes.data, len(keys), (keys, owner))
    return KeyTextChunk(keys.ctypes.data, layout.PAIRS, 0, len(keys), (keys, owner))


def describe(words: Int64Array, element: str, chunk: AnyChunk) -> Int64Array:
    """Set the words of the column and of the scratch; return the scratch."""
    words[layout.TABLE_VALIDITY], words[layout.TABLE_BIT_OFFSET] = chunk.validity, chunk.bit_offset
    if element == TEXT:
        text = cast("ArrowTextChunk", chunk)
        words[layout.TABLE_VALUES] = text.data
        words[layout.TABLE_OFFSETS] = text.offsets
        words[layout.TABLE_OFFSET_BYTES] = text.offset_bytes
    else:
        numbers = cast("ArrowChunk", chunk)
        words[layout.TABLE_VALUES] = numbers.values
        words[layout.TABLE_VALUE_BIT_OFFSET] = numbers.value_bit_offset
        words[layout.TABLE_ELEMENT] = ELEMENTS.index(element)
    scratch = np.empty(layout.N_SCRATCH_WORDS, np.int64)
    words[layout.TABLE_SCRATCH] = scratch.ctypes.data
    return scratch
