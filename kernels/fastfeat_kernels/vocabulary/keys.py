"""Distinct keys as arrays, made from values and read as values."""

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
    return values.astype(np.int64, copy=False)


def numbers_of(element: str, keys: NumberKeys) -> npt.NDArray[Any]:
    """Return the numbers of keys, as an array of their type, which may be the keys themselves.

    >>> numbers_of("uint8", np.array([7]))
    array([7], dtype=uint8)
    """
    if element.startswith("float"):
        return (keys ^ ((keys >> 63) & _MAGNITUDE)).view(np.float64).astype(element)
    if element == "uint64":
        return (keys ^ _SIGN).view(np.uint64)
    return keys.astype(element, copy=False)


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
