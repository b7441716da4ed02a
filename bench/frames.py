"""Arrow data in the form that each library likes best, made before the clock starts; and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import duckdb
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


def collect(query: pl.LazyFrame, engine: str) -> pl.DataFrame:
    """Return the result of a Polars query, by the engine "streaming" or "lazy" (in memory)."""
    return query.collect(engine="streaming" if engine == "streaming" else "in-memory")


def to_duckdb(table: pa.Table, *settings: str) -> duckdb.DuckDBPyConnection:
    """Return a connection with the data in its table `kept`, in DuckDB's own format.

    `settings` are further statements, such as "SET TimeZone = 'UTC'".
    """
    import duckdb

    connection = duckdb.connect()
    for setting in ("SET threads = 2", *settings):
        connection.execute(setting)
    connection.register("given", table)
    connection.execute("CREATE TABLE kept AS SELECT * FROM given")
    return connection


def in_order_of_rows(joined: pa.Table) -> pa.Table:
    """Return the result of a DuckDB query, sorted by its last column, the row number, without it.

    A join may return the rows in any order.
    """
    return joined.sort_by("row").drop_columns("row")


def to_arrays(table: pa.Table) -> dict[str, np.ndarray]:
    """Return contiguous arrays; missing floats are NaN."""
    return {name: np.ascontiguousarray(table[name].to_numpy()) for name in table.column_names}


def to_matrix(table: pa.Table) -> np.ndarray:
    """Return a float64 matrix (n_rows, n_columns) in row order; missing is NaN."""
    return np.stack([column.to_numpy() for column in table.columns], axis=1)


def learnt(result: tuple[Any, pa.Table]) -> pa.Table:
    """Return one row of a fitted plan of aggregates: all rows have the same learnt values."""
    fitted, table = result
    return fitted.transform(table.slice(0, 1))
