"""Index from id to row number.

The newest ids are in a dict. Older ids are stored as sorted 64-bit hashes, called digests here: 16
bytes per row, while the dict takes 100. Ids with equal digests are compared by their values, which
the log has.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from fastfeat_kernels.arrays import Int64Array
from numpy.typing import NDArray

from fastfeat.io.arrow import ChunkedArray
from fastfeat.io.columns.decode import decode_column
from fastfeat.io.columns.keys import key_column
from fastfeat.ir.dtypes import DType
from fastfeat.live.log.columns import ranges
from fastfeat.live.log.numbering import python_values

ValuesOf = Callable[[Int64Array], list[Any]]
"""Function that returns the ids of rows, given the row numbers."""
_MOST = 1 << 16  # maximum number of ids in the dict, or a quarter of the sorted ones if more
_STEP = 1 << 18  # ids converted at a time: each takes 60 bytes as a Python object


class Ids:
    """The index from id to row number; if several rows have one id, the last one counts.

    Args:
        name: Name of the id column.
        dtype: Type of the ids.
    """

    def __init__(self, name: str, dtype: DType) -> None:
        self.name = name
        self._dtype = dtype
        self._recent: dict[Any, int] = {}
        self._digests = np.empty(0, np.int64)  # ascending; equal ones in order of their rows
        self._rows = np.empty(0, np.int64)

    def read(self, column: ChunkedArray) -> ChunkedArray:
        """Return a column of ids in the form in which the index compares them.

        Raises `TypeMismatch` or `InvalidData` if they cannot be converted exactly to the type.
        """
        return decode_column(key_column(column, self.name, self._dtype))

    def find(self, ids: ChunkedArray, values_of: ValuesOf) -> Int64Array:
        """Return the row number of each id, given as `read` returns them; -1 if no row has it."""
        values, get = python_values(ids), self._recent.get
        found = np.array([get(value, -1) for value in values], np.int64)
        left = np.flatnonzero(found < 0)
        if not len(left) or not len(self._rows):
            return found
        digests = _digests([values[k] for k in left.tolist()])
        first = self._digests.searchsorted(digests)
        counts = self._digests.searchsorted(digests, "right") - first
        rows = self._rows.take(ranges(first, counts))
        asked = np.repeat(left, counts).tolist()
        pairs = zip(asked, rows.tolist(), values_of(rows), strict=True)
        for k, row, value in pairs:  # rows of one id ascend
            if values[k] == value:
                found[k] = row
        return found

    def is_new(self, value: Any) -> bool:
        """Return True if certainly no row has this id, given as a Python value; text is bytes.

        False if a row may have it.
        """
        if value in self._recent:
            return False
        digest, at = hash(value), int(self._digests.searchsorted(hash(value)))
        return at == len(self._digests) or int(self._digests[at]) != digest

    def add_one(self, value: Any, row: int) -> None:
        """Add the id of one row, given in the form that `is_new` takes."""
        self._recent[value] = row
        self._make_room()

    def add(self, ids: ChunkedArray, rows: Int64Array) -> None:
        """Add the ids of rows; missing ids are left out."""
        if len(ids) > _STEP:
            self._settle(_digests_of(ids), rows)
            return
        self._recent.update(zip(python_values(ids), rows.tolist(), strict=True))
        self._recent.pop(None, None)
        self._make_room()

    def _make_room(self) -> None:
        """Move the ids from the dict to the sorted digests if the dict has become large."""
        if len(self._recent) > max(_MOST, len(self._rows) // 4):
            n, recent = len(self._recent), self._recent
            numbers = np.fromiter(recent.values(), np.int64, n)
            self._settle(np.fromiter(map(hash, recent), np.int64, n), numbers)
            self._recent = {}

    def remove(self, ids: ChunkedArray, rows: Int64Array) -> None:
        """Remove the ids of the newest rows, since the log takes these rows back."""
        get = self._recent.get
        for value, row in zip(python_values(ids), rows.tolist(), strict=True):
            if get(value) == row:
                del self._recent[value]
        if len(rows) and len(self._rows) and self._rows.max() >= rows[0]:
            self._keep(self._rows < rows[0])

    def only(self, rows: Int64Array) -> Ids:
        """Return a new index with the ids of some rows, given by ascending number."""
        ids = Ids(self.name, self._dtype)
        recent = np.fromiter(self._recent.values(), np.int64, len(self._recent))
        stays = _is_among(recent, rows).tolist()
        pairs = zip(self._recent.items(), stays, strict=True)
        ids._recent = {value: row for (value, row), is_kept in pairs if is_kept}
        ids._digests, ids._rows = self._digests, self._rows
        ids._keep(_is_among(self._rows, rows))
        return ids

    def _keep(self, is_kept: NDArray[np.bool_]) -> None:
        self._digests, self._rows = self._digests[is_kept], self._rows[is_kept]

    def _settle(self, digests: NDArray[np.int64], rows: Int64Array) -> None:
        """Add digests with their row numbers to the sorted ones."""
        digests = np.concatenate([self._digests, digests])
        order = np.argsort(digests, kind="stable")
        self._digests = digests.take(order)
        self._rows = np.concatenate([self._rows, rows]).take(order)


def _digests(values: list[Any]) -> NDArray[np.int64]:
    return np.fromiter(map(hash, values), np.int64, len(values))


def _digests_of(ids: ChunkedArray) -> NDArray[np.int64]:
    """Return the 64-bit hash of each id, computed in chunks to save memory."""
    pieces = [_digests(python_values(ids.slice(k, _STEP))) for k in range(0, len(ids), _STEP)]
    return np.concatenate(pieces)


def _is_among(rows: Int64Array, ascending: Int64Array) -> NDArray[np.bool_]:
    if not len(ascending):
        return np.zeros(len(rows), np.bool_)
    at = np.minimum(ascending.searchsorted(rows), len(ascending) - 1)
    return ascending.take(at) == rows
