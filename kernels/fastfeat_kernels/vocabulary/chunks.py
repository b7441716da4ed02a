"""Columns as the vocabulary kernels are told of them, and keys as such columns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np

from fastfeat_kernels.column import ELEMENTS, TEXT, AnyChunk, Chunk, TextChunk
from fastfeat_kernels.vocabulary import layout
from fastfeat_kernels.vocabulary.keys import Integers, Keys, TextKeys


@dataclass(frozen=True, slots=True)
class KeyChunk:
    """Numbers that are keys already, as a column of int64."""

    values: int
    length: int
    owner: object
    value_bit_offset: int = 0
    validity: int = 0
    bit_offset: int = 0


@dataclass(frozen=True, slots=True)
class KeyTextChunk:
    """Text, of which `offsets` says where it is: as offsets, or as pairs (`layout.PAIRS`)."""

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


def chunk_of_words(keys: Integers, owner: object) -> KeyChunk | KeyTextChunk:
    """Return keys as tables hold them, `(n, key_words)`, as a column."""
    if keys.shape[1] == 1:
        return KeyChunk(keys.ctypes.data, len(keys), (keys, owner))
    return KeyTextChunk(keys.ctypes.data, layout.PAIRS, 0, len(keys), (keys, owner))


def describe(words: Integers, element: str, chunk: AnyChunk) -> Integers:
    """Set the words of the column and of the scratch; return the scratch."""
    words[layout.TABLE_VALIDITY], words[layout.TABLE_BIT_OFFSET] = chunk.validity, chunk.bit_offset
    if element == TEXT:
        text = cast("TextChunk", chunk)
        words[layout.TABLE_VALUES] = text.data
        words[layout.TABLE_OFFSETS] = text.offsets
        words[layout.TABLE_OFFSET_BYTES] = text.offset_bytes
    else:
        numbers = cast("Chunk", chunk)
        words[layout.TABLE_VALUES] = numbers.values
        words[layout.TABLE_VALUE_BIT_OFFSET] = numbers.value_bit_offset
        words[layout.TABLE_ELEMENT] = ELEMENTS.index(element)
    scratch = np.empty(layout.N_SCRATCH_WORDS, np.int64)
    words[layout.TABLE_SCRATCH] = scratch.ctypes.data
    return scratch
