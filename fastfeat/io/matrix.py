"""Matrices on the way in, as tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from fastfeat.errors import InvalidData
from fastfeat.io.arrays import numpy_array
from fastfeat.io.arrow import Table
from fastfeat.io.frames import check_unique, rows_only, table_of, text_name
from fastfeat.io.strided import Run, contiguous_columns, in_turn


def matrix_table(matrix: NDArray[Any], names: Sequence[str], run: Run = in_turn) -> Table:
    """Return a matrix as a table: in place where its columns are contiguous, else copied once.

    Args:
        matrix: shape (n_rows, n_columns), of any type that a column may have.
        names: of the columns, shape (n_columns,).
        run: runs the copies.

    Raises:
        InvalidData: it has not two dimensions, or not a name a column, or a name occurs twice.
        TypeMismatch: a name that is no text, or a type without an exact Arrow counterpart.

    Example:
        >>> import numpy as np
        >>> matrix_table(np.array([[1.0, 2.0], [3.0, 4.0]]), ["x", "y"]).to_pydict()
        {'x': [1.0, 3.0], 'y': [2.0, 4.0]}
    """
    if matrix.ndim != 2:
        raise InvalidData(f"a matrix has two dimensions, this array has shape {matrix.shape}")
    labels = [text_name(name) for name in names]
    if len(labels) != matrix.shape[1]:
        raise InvalidData(f"{len(labels)} names for a matrix of {matrix.shape[1]} columns")
    check_unique(labels, labels)
    if not labels:
        return rows_only(len(matrix))
    columns = contiguous_columns([matrix[:, k] for k in range(len(labels))], run)
    arrays = [numpy_array(c, name) for c, name in zip(columns, labels, strict=True)]
    return table_of(arrays, labels)
