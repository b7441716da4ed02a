"""Rows by their id."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastfeat.dtypes import DType
from fastfeat.io.arrow import ChunkedArray
from fastfeat.io.keys import key_column
from fastfeat.online.numbering import python_values


class Ids:
    """The number of the row of each id; of rows of one id, of the last that came.

    Args:
        name: the column of the ids.
        dtype: its type.
    """

    def __init__(self, name: str, dtype: DType) -> None:
        self.name = name
        self._dtype = dtype
        self._row_of: dict[Any, int] = {}

    def read(self, column: ChunkedArray) -> list[Any]:
        """Return ids as they are compared; None where one is missing."""
        return python_values(key_column(column, self.name, self._dtype))

    def find(self, ids: list[Any]) -> NDArray[np.int64]:
        """Return the row of each id; -1 for none."""
        get = self._row_of.get
        return np.array([get(value, -1) for value in ids], np.int64)

    def add(self, ids: list[Any], rows: NDArray[np.int64]) -> None:
        """Say which rows have ids; what is missing is none."""
        self._row_of.update(zip(ids, rows.tolist(), strict=True))
        self._row_of.pop(None, None)

    def remove(self, ids: list[Any], rows: NDArray[np.int64]) -> None:
        """Forget rows."""
        get = self._row_of.get
        for value, row in zip(ids, rows.tolist(), strict=True):
            if get(value) == row:
                del self._row_of[value]
