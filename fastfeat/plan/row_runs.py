"""Runs of consecutive rows: where chosen rows stand together, columns are cut, not gathered."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fastfeat.io.arrow import ChunkedArray, pa

Runs = tuple[tuple[int, int], ...]
"""The first row of each run, and how many rows it has."""

_FEW = 8
_LONG = 1 << 14
"""Rows of a run that is long enough for the pieces of a column to be read one by one."""


def runs_of(numbers: NDArray[np.int64]) -> Runs | None:
    """Return the runs of consecutive rows that rows are made of; None where they are many.

    Args:
        numbers: of the rows, in their order, shape (n_rows,).

    Example:
        >>> runs_of(np.array([0, 1, 2, 7, 8])), runs_of(np.arange(0, 100, 2))
        (((0, 3), (7, 2)), None)
    """
    if not len(numbers):
        return ()
    begins = np.concatenate([[0], np.flatnonzero(np.diff(numbers) != 1) + 1])
    if len(begins) > _FEW and len(begins) * _LONG > len(numbers):
        return None
    lengths = np.diff(begins, append=len(numbers))
    return tuple(zip(numbers[begins].tolist(), lengths.tolist(), strict=True))


def cut(column: ChunkedArray, runs: Runs) -> ChunkedArray:
    """Return the rows of some runs, in place.

    Example:
        >>> cut(pa.chunked_array([[5, 6, 7, 8]]), ((0, 1), (2, 2))).to_pylist()
        [5, 7, 8]
    """
    chunks = [chunk for first, n in runs for chunk in column.slice(first, n).chunks if len(chunk)]
    return pa.chunked_array(chunks, column.type)
