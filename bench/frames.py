"""Arrow data in the form that each library likes best; made before the clock starts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow as pa


def to_pandas(table: pa.Table) -> pd.DataFrame:
    """Return a frame of NumPy columns; missing floats are NaN, and keep their width."""
    return table.to_pandas()


def to_polars(table: pa.Table) -> pl.DataFrame:
    """Return a Polars frame, one chunk per column, with validity bitmaps."""
    import polars as pl

    frame = pl.from_arrow(table, rechunk=True)
    assert isinstance(frame, pl.DataFrame)
    return frame


def to_arrays(table: pa.Table) -> dict[str, np.ndarray]:
    """Return contiguous arrays; missing floats are NaN."""
    return {name: np.ascontiguousarray(table[name].to_numpy()) for name in table.column_names}


def to_matrix(table: pa.Table) -> np.ndarray:
    """Return a float64 matrix (n_rows, n_columns) in row order; missing is NaN."""
    return np.stack([column.to_numpy() for column in table.columns], axis=1)
