"""One row at a time, dict in, array out: a server's cost per request."""

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


N_ENCODERS, N_CATEGORIES = 10, 50
_CODED = [f"k{k}" for k in range(N_ENCODERS)]
_CITIES = ("Bern", "Oslo", "Rome", "Lima", "Lagos")


def mixed_table(n_rows: int) -> pa.Table:
    """Return the inputs of the 12 features, a text, an integer with 5 % missing, and 10 keys."""
    import numpy as np
    import pyarrow as pa

    rng = np.random.default_rng(1)
    found = features.table(n_rows)
    counts = pa.array(rng.integers(0, 9, n_rows), mask=rng.random(n_rows) < 0.05)
    found = found.append_column("city", pa.array(rng.choice(_CITIES, n_rows)))
    found = found.append_column("n", counts)
    for name in _CODED:
        codes = rng.integers(0, N_CATEGORIES, n_rows)
        found = found.append_column(name, pa.array([f"category {code}" for code in codes]))
    return found


def mixed_fastfeat(table: pa.Table) -> Callable[..., Any]:
    """Return `transform_row` of a plan of the 12 features, an equality, an integer, encoders."""
    import fastfeat as ff

    more: dict[str, Any] = {"city": ff.col("city") == "Bern", "n": ff.col("n").fill_null(-1)}
    codes = {name: ff.col(name).ordinal_encode() for name in _CODED}
    plan = {**features.fastfeat_features(12), **more, **codes}
    return ff.Plan(plan, dtype="float32").fit(table).transform_row


def mixed_python(table: pa.Table) -> Callable[..., Any]:
    """Return the same features written by hand, with a dictionary for each encoder."""
    import numpy as np

    codes = {name: _codes(table[name]) for name in _CODED}

    def run(row: dict[str, Any]) -> Any:
        n = row["n"]
        others = [
            row["city"] == "Bern",
            -1 if n is None else n,
            *(known.get(row[name], 1) for name, known in codes.items()),
        ]
        first = features.python_12_features(row)
        return np.concatenate([first, np.array(others, np.float32)])

    return run


def _codes(column: pa.ChunkedArray) -> dict[str, int]:
    """Return the code of each value: the most frequent first, ties by value."""
    counts = [(-c["counts"], c["values"]) for c in column.value_counts().to_pylist()]
    return {value: 2 + k for k, (_, value) in enumerate(sorted(counts))}


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
    Workload(
        name="one_row_mixed",
        title="12 row features, a text equality, a missing integer and 10 encoders of one row",
        label="one row, 24 features, texts",
        generate=mixed_table,
        rows=1_000,
        smoke_rows=200,
        contenders=(
            Contender("fastfeat", "fastfeat", mixed_fastfeat),
            Contender("plain Python", "python", mixed_python, by_hand=True),
        ),
        tolerance=SINGLE,
        targets=(Target("p50_seconds", 10e-6),),
        kind="latency",
    ),
)
