"""Numbering of values, such as entity keys, by small integers; freed numbers are used again."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from fastfeat_kernels.arrays import Int32Array
from numpy.typing import NDArray

from fastfeat.io.arrow import Array, ChunkedArray, call, cast, options_of, pa
from fastfeat.io.columns.bits import present_rows
from fastfeat.io.columns.decode import decode_column

MISSING = -1
"""The number that stands for a value with a missing part."""
_BULK = 4096  # number of rows from which on Arrow finds the distinct values first
_LARGE = 1 << 18


class Numbering:
    """A dict from value to number: each added value gets an integer, counted from 0.

    A value may have several parts, such as a key of two columns. Each part has one type, in the
    form of `io.columns.keys`.
    """

    def __init__(self) -> None:
        self._number_of: dict[Any, int] = {None: MISSING}
        self._values: list[Any] = []
        self._free: list[int] = []

    @property
    def n_numbers(self) -> int:
        """One more than the largest number given so far; freed numbers are included."""
        return len(self._values)

    @property
    def free(self) -> list[int]:
        """The numbers below `n_numbers` that no value has."""
        return self._free

    @property
    def n_values(self) -> int:
        """The number of values that have a number now."""
        return len(self._values) - len(self._free)

    def numbers(self, parts: Sequence[Any], n_rows: int, *, add: bool) -> Int32Array:
        """Return the number of each row's value, shape (n_rows,).

        `parts` has one Arrow array or column per part of the values, or none if all rows have one
        value. A row with a missing part gets -1. With `add`, new values get new numbers. Without
        `add`, new values get -2, -3 and so on; equal values get equal numbers.
        """
        if not parts:
            return np.full(n_rows, self._find([()], add=add)[0], np.int32)
        if n_rows < _BULK:
            return np.array(self._find(_values(parts), add=add), np.int32)
        codes, distinct = _encoded(parts)
        numbers = np.array(self._find(_values(distinct), add=add), np.int32)
        if n_rows > _LARGE:  # Arrow would keep the memory in which it compared keys
            del distinct
            pa.default_memory_pool().release_unused()
        return numbers.take(codes)

    def number_of(self, value: Any) -> int:
        """Return the number of one value; -2 if it has none.

        Text is given as bytes, and several parts as a tuple.
        """
        return self._number_of.get(value, -2)

    def added(self, value: Any) -> int:
        """Return the number of one value, given as in `number_of`; a new value gets a number."""
        number = self._number_of.get(value)
        if number is None:
            number = self._number_of[value] = self._new(value)
        return number

    def release(self, numbers: NDArray[Any]) -> None:
        """Free the given numbers, so that they can stand for other values."""
        for number in numbers.tolist():
            value = self._values[number]
            if self._number_of.get(value) == number:  # else an interrupt came between the two
                del self._number_of[value]
            self._values[number] = None
        self._free.extend(numbers.tolist())

    def _find(self, values: list[Any], *, add: bool) -> list[int]:
        get = self._number_of.get
        found = [get(value, -2) for value in values]
        if -2 not in found:
            return found
        known: dict[Any, int] = self._number_of if add else {}
        for at, number in enumerate(found):
            if number == -2:
                value = values[at]
                own = known.get(value)
                if own is None:
                    own = known[value] = self._new(value) if add else -2 - len(known)
                found[at] = own
        return found

    def _new(self, value: Any) -> int:
        if self._free:
            number = self._free.pop()
            self._values[number] = value
        else:
            number = len(self._values)
            self._values.append(value)
        return number


def _values(parts: Sequence[Any]) -> list[Any]:
    """Return each row's value: a tuple if there are several parts; None if a part is missing."""
    lists = [python_values(part) for part in parts]
    if len(lists) == 1:
        return lists[0]
    whole = list(zip(*lists, strict=True))
    if any(part.null_count for part in parts):
        return [None if None in value else value for value in whole]
    return whole


def python_values(part: Any) -> list[Any]:
    """Return key values as Python objects that are equal if the keys are; text becomes bytes."""
    array = _plain(part)
    present = present_rows(array)
    if pa.types.is_large_binary(array.type):
        _, ends, content = array.buffers()
        bounds = np.frombuffer(ends, np.int64, len(array) + 1, array.offset * 8)
        first, last = int(bounds[0]), int(bounds[-1])
        data = content.slice(first, last - first).to_pybytes() if last > first else b""
        at = (bounds - first).tolist()
        values: list[Any] = [data[i:j] for i, j in pairwise(at)]
    elif len(array) == 0:
        values = []
    else:
        wide = np.dtype(array.type.to_pandas_dtype())
        numbers = np.frombuffer(array.buffers()[1], wide, len(array), array.offset * wide.itemsize)
        values = numbers.tolist()
    if present is None:
        return values
    return [value if there else None for value, there in zip(values, present, strict=True)]


def _plain(part: Any) -> Array:
    """Return key values as one Arrow array; text becomes bytes."""
    if isinstance(part, ChunkedArray) or not pa.types.is_primitive(part.type):
        column = part if isinstance(part, ChunkedArray) else pa.chunked_array([part])
        chunks = decode_column(column).chunks
        part = chunks[0] if len(chunks) == 1 else pa.concat_arrays(chunks or [pa.nulls(0)])
    if pa.types.is_primitive(part.type):
        return part
    return part if part.type == pa.large_binary() else cast(part, pa.large_binary())


def _encoded(parts: Sequence[Any]) -> tuple[NDArray[Any], list[Array]]:
    """Return a code for each row, and, per part, an array with the part's value for each code."""
    arrays = [_plain(part) for part in parts]
    codes, distinct = _codes(arrays[0])
    if len(arrays) == 1:
        return codes, [distinct]
    for array in arrays[1:]:  # pairs of codes fit into 64 bits, as each is below 2^31
        more, own = _codes(array)
        codes, distinct = _codes(_array(codes.astype(np.int64) * len(own) + more))
    rows = np.empty(len(distinct), np.int64)
    rows[codes] = np.arange(len(codes))  # one row for each code
    return codes, [call("array_take", array, _array(rows)) for array in arrays]


def _codes(array: Array) -> tuple[Int32Array, Array]:
    """Return a code for each row, and the distinct values in order of their codes.

    Missing values share one code.
    """
    options = options_of("DictionaryEncodeOptions", "encode")
    encoded = call("dictionary_encode", array, options=options)
    return encoded.indices.to_numpy(), encoded.dictionary


def _array(values: NDArray[np.int64]) -> Array:
    return pa.Array.from_buffers(pa.int64(), len(values), [None, pa.py_buffer(values)])
