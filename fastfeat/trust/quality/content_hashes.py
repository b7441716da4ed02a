"""Hashes of row contents, which choose a sample of rows without row numbers.

The hash of a row does not depend on how the rows are split into parts.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from fastfeat.io.arrow import ChunkedArray, pa
from fastfeat.io.columns.bits import array_of_values
from fastfeat.io.columns.decode import has_value
from fastfeat.io.columns.keys import key_column
from fastfeat.io.columns.types import UnsupportedType, known_type
from fastfeat.ir.dtypes import INT64, UTF8, DType
from fastfeat.steps.keys.cpu_hashing import key_hashes
from fastfeat.trust.quality.table_profiles import StoredColumns


def content_hashes(columns: StoredColumns, n_rows: int) -> NDArray[np.uint64]:
    """Return a 64-bit hash of each row, shape `(n_rows,)`; rows with equal bits have equal hashes.

    Columns are given as name, type and stored values.
    """
    keys = [_as_key(*column) for column in columns]
    if not n_rows or not keys:
        return np.zeros(n_rows, np.uint64)
    values, dtypes = [key for key, _ in keys], [dtype for _, dtype in keys]
    return key_hashes(values, dtypes, is_cross=True)


def _as_key(
    name: str, dtype: DType | UnsupportedType, column: ChunkedArray
) -> tuple[ChunkedArray, DType]:
    """Return a column as values to hash, with their type: floats as bits, lists as text."""
    if isinstance(dtype, UnsupportedType) or dtype.is_list or dtype.name == "null":
        texts = (None if one is None else repr(one) for one in column.to_pylist())
        return _of_texts(texts), UTF8
    if dtype.holds_bytes:
        return key_column(column, name, dtype), dtype
    if not pa.types.is_floating(column.type):
        stored = known_type(column.type) or dtype  # times are stored as integers
        return key_column(column, name, stored), stored
    pieces = [piece.to_numpy(zero_copy_only=False) for piece in column.chunks]
    floats = np.concatenate([np.empty(0), *(piece.astype(np.float64) for piece in pieces)])
    bits = array_of_values(floats.view(np.int64), has_value(column), pa.int64())
    return pa.chunked_array([bits]), INT64


def _of_texts(texts: Iterable[str | None]) -> ChunkedArray:
    return pa.chunked_array([pa.array(list(texts), pa.large_string())])
