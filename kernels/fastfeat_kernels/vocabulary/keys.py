"""Distinct keys as arrays, and their final order: count descending, then key ascending."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from fastfeat_kernels.column import ELEMENTS, TEXT, value_of_key

NumberKeys = npt.NDArray[np.int64]
Integers = npt.NDArray[np.int64]

_SIGN: Final = np.int64(-(2**63))
_MAGNITUDE: Final = np.int64(2**63 - 1)
_N_WORDS_SORTED: Final = 8  # of text, in arrays; keys that agree further are sorted one by one
_COMMON: Final = 2**16  # counts from here on are sorted apart from the others


@dataclass(frozen=True, slots=True)
class TextKeys:
    """Keys that are bytes: key i is `data[offsets[i]:offsets[i + 1]]`."""

    offsets: npt.NDArray[np.int64]
    data: npt.NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.offsets) - 1


Keys = NumberKeys | TextKeys


def text_keys(values: Iterable[bytes]) -> TextKeys:
    """Return keys that are bytes.

    >>> len(text_keys([b"a", b""]))
    2
    """
    listed = list(values)
    sizes = np.array([0, *map(len, listed)], np.int64)
    return TextKeys(np.cumsum(sizes), np.array(bytearray(b"".join(listed)), np.uint8))


def number_keys(element: str, values: npt.NDArray[Any]) -> NumberKeys:
    """Return the keys of numbers of one type: as `column.key_of`, but -0.0 has the key of 0.0.

    Args:
        element: type of the values, of `column.ELEMENTS`.
        values: present values, none of them NaN.

    >>> number_keys("float64", np.array([-0.0, -1.0])).tolist()
    [0, -4607182418800017409]
    """
    assert element in ELEMENTS
    if element.startswith("float"):
        bits = (values.astype(np.float64) + 0.0).view(np.int64)
        return bits ^ ((bits >> 63) & _MAGNITUDE)
    if element == "uint64":
        return values.astype(np.uint64).view(np.int64) ^ _SIGN
    return values.astype(np.int64)


def numbers_of(element: str, keys: NumberKeys) -> npt.NDArray[Any]:
    """Return the numbers of keys, as an array of their type.

    >>> numbers_of("uint8", np.array([7]))
    array([7], dtype=uint8)
    """
    if element.startswith("float"):
        return (keys ^ ((keys >> 63) & _MAGNITUDE)).view(np.float64).astype(element)
    if element == "uint64":
        return (keys ^ _SIGN).view(np.uint64)
    return keys.astype(element)


def values_of(element: str, keys: Keys) -> Sequence[float | int | bool | bytes]:
    """Return what keys stand for, as Python values.

    >>> values_of("text", text_keys([b"a", b""]))
    [b'a', b'']
    """
    if isinstance(keys, TextKeys):
        assert element == TEXT
        content, ends = keys.data.tobytes(), keys.offsets.tolist()
        return [content[a:b] for a, b in pairwise(ends)]
    return [value_of_key(element, key) for key in keys.tolist()]


def final_order(keys: Keys, counts: Integers) -> Integers:
    """Return the places of distinct keys by count descending, key ascending.

    >>> final_order(np.array([5, 9, 7]), np.array([1, 2, 1])).tolist()
    [1, 0, 2]
    """
    by_key = _order_of_text(keys) if isinstance(keys, TextKeys) else np.argsort(keys)
    return by_key[_descending(counts[by_key])]


def _descending(counts: Integers) -> Integers:
    """Return the stable order of counts, the greatest first.

    NumPy sorts integers of 16 bits by their digits: 1M counts take 8 ms, as int64 80.
    """
    is_common = counts >= _COMMON
    common, others = np.flatnonzero(is_common), np.flatnonzero(~is_common)
    common = common[np.argsort(-counts[common], kind="stable")]
    negated = (_COMMON - 1 - counts[others]).astype(np.uint16)
    return np.concatenate([common, others[np.argsort(negated, kind="stable")]])


def _order_of_text(keys: TextKeys) -> Integers:
    """Return the order of distinct keys by their bytes: word by word, those that are tied again."""
    sizes = np.diff(keys.offsets)
    padded = np.concatenate([keys.data, np.zeros(8, np.uint8)])
    order = np.argsort(_word_of(padded, keys.offsets, sizes, 0))
    word = _word_of(padded, keys.offsets, sizes, 0)[order]
    at, group = _tied(np.arange(len(order)), word[1:] == word[:-1])
    for depth in range(1, _N_WORDS_SORTED):
        if len(at) == 0:
            return order
        tied = order[at]
        word = _word_of(padded, keys.offsets[tied], sizes[tied], depth)
        left = np.minimum(sizes[tied] - 8 * depth, 9)
        again = np.lexsort((left, word, group))
        order[at] = tied[again]
        same = [x[again][1:] == x[again][:-1] for x in (left, word, group)]
        at, group = _tied(at, same[0] & same[1] & same[2])
    content = keys.data.tobytes()
    for tied in np.split(at, np.flatnonzero(np.diff(group)) + 1):
        places = order[tied].tolist()
        ends = [(int(keys.offsets[i]), int(keys.offsets[i + 1])) for i in places]
        texts = [content[start:end] for start, end in ends]
        order[tied] = [places[i] for i in sorted(range(len(places)), key=texts.__getitem__)]
    return order


def _tied(at: Integers, same: npt.NDArray[np.bool_]) -> tuple[Integers, Integers]:
    """Return those places that are the same as the one before or behind, and a number per run."""
    is_tied = np.zeros(len(at), np.bool_)
    is_tied[1:] |= same
    is_tied[:-1] |= same
    run = np.cumsum(np.concatenate([[0] * min(len(at), 1), ~same]))
    return at[is_tied], run[is_tied].astype(np.int64)


def _word_of(
    padded: npt.NDArray[np.uint8], starts: Integers, sizes: Integers, depth: int
) -> npt.NDArray[np.uint64]:
    """Return 8 bytes of each key as a number that orders them, zeros behind the end."""
    n = len(sizes)
    words = np.ndarray((len(padded) - 7,), "<u8", padded, strides=(1,))
    left = sizes - 8 * depth
    found = words[np.where(left > 0, starts[:n] + 8 * depth, 0)].astype(np.uint64).byteswap()
    shift = (8 * (8 - np.clip(left, 1, 8))).astype(np.uint64)
    return np.where(left > 0, found >> shift << shift, np.uint64(0))
