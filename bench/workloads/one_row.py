"""One row at a time, dict in, array out: what a server pays per request."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from bench import features
from bench.workload import Contender, Target, Workload
from bench.workloads.row_features import SINGLE

if TYPE_CHECKING:
    import pyarrow as pa


def fastfeat(table: pa.Table) -> Callable[..., Any]:
    """Return `transform_row` of the fitted plan."""
    return features.fastfeat_plan(12).fit(table).transform_row


def pandas(table: pa.Table) -> Callable[..., Any]:
    """Return a function that makes a frame of arrays of one value; from a dict it takes longer."""
    import numpy as np
    import pandas as pd

    types = {field.name: field.type.to_pandas_dtype() for field in table.schema}

    def run(row: dict[str, Any]) -> Any:
        arrays = {
            name: np.array([np.nan if value is None else value], types[name])
            for name, value in row.items()
        }
        return features.pandas_features(pd.DataFrame(arrays), 12).to_numpy()

    return run


def polars(engine: str, table: pa.Table) -> Callable[..., Any]:
    """Return a function that makes a Polars frame of one row; expressions and types are ready."""
    import polars as pl

    wanted = features.polars_features(12)
    schema = pl.DataFrame(table.slice(0, 0)).schema

    def eager(row: dict[str, Any]) -> Any:
        return pl.DataFrame([row], schema=schema).select(wanted).to_numpy()

    def lazy(row: dict[str, Any]) -> Any:
        return pl.DataFrame([row], schema=schema).lazy().select(wanted).collect().to_numpy()

    return eager if engine == "eager" else lazy


def python(table: pa.Table) -> Callable[..., Any]:
    """Return the same features written by hand in plain Python."""
    del table
    return features.python_12_features


ONE_ROW = (
    Workload(
        name="one_row",
        title="12 row features of one row, dict in, array out",
        label="one row, 12 features",
        generate=features.table,
        rows=1_000,
        smoke_rows=200,
        contenders=(
            Contender("fastfeat", "fastfeat", fastfeat),
            Contender("plain Python", "python", python, by_hand=True),
            Contender("Polars eager", "polars", partial(polars, "eager")),
            Contender("Polars lazy", "polars", partial(polars, "lazy")),
            Contender("pandas", "pandas", pandas),
        ),
        tolerance=SINGLE,
        targets=(
            Target("ratio", 500, "pandas"),
            Target("ratio", 150, "polars"),
            Target("p50_seconds", 3e-6),
            Target("p99_seconds", 6e-6),
        ),
        kind="latency",
    ),
)
