"""Nine exact quantiles of five million values."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa

from bench import frames
from bench.compare import Tolerance
from bench.workload import Contender, Target, Workload

LEVELS = (0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99)


def generate(missing: float, n_rows: int) -> pa.Table:
    """Return one log-normal float64 column."""
    rng = np.random.default_rng(3)
    mask = rng.random(n_rows) < missing if missing else None
    return pa.table({"x": pa.array(rng.lognormal(1, 0.7, n_rows), mask=mask)})


def fastfeat(table: pa.Table) -> Callable[[], Any]:
    """Return a call of `fit` with nine quantiles."""
    import fastfeat as ff

    plan = ff.Plan({f"q{level}": ff.col("x").quantile(level) for level in LEVELS})
    return lambda: (plan.fit(table, profile=False), table)


def _interpolated(ordered: np.ndarray) -> list[float]:
    """Return the quantiles of an array that has the neighbours of every index in place."""
    index = (len(ordered) - 1) * np.array(LEVELS)
    low = ordered[np.floor(index).astype(np.int64)]
    high = ordered[np.ceil(index).astype(np.int64)]
    return list(low + (high - low) * (index - np.floor(index)))


def partition(table: pa.Table) -> Callable[[], Any]:
    """Return a call of np.partition at the 18 neighbours."""
    x = frames.to_arrays(table)["x"]

    def run() -> list[float]:
        values = x[~np.isnan(x)] if table["x"].null_count else x
        index = (len(values) - 1) * np.array(LEVELS)
        needed = np.unique(np.concatenate([np.floor(index), np.ceil(index)]).astype(np.int64))
        return _interpolated(np.partition(values, needed))

    return run


def sort(table: pa.Table) -> Callable[[], Any]:
    """Return a call of np.sort, which is faster than np.partition on some processors."""
    x = frames.to_arrays(table)["x"]
    return lambda: _interpolated(np.sort(x[~np.isnan(x)] if table["x"].null_count else x))


def pandas(table: pa.Table) -> Callable[[], Any]:
    """Return a call of Series.quantile with all levels."""
    series = frames.to_pandas(table)["x"]
    return lambda: list(series.quantile(list(LEVELS)))


def polars(engine: str, table: pa.Table) -> Callable[[], Any]:
    """Return a call of nine quantile expressions."""
    import polars as pl

    frame = frames.to_polars(table)
    wanted = [pl.col("x").quantile(q, interpolation="linear").alias(str(q)) for q in LEVELS]
    if engine == "eager":
        return lambda: frame.select(wanted)
    return lambda: frames.collect(frame.lazy().select(wanted), engine)


def polars_sort(table: pa.Table) -> Callable[[], Any]:
    """Return a call of one sort on two threads, shared by all levels."""
    series = frames.to_polars(table)["x"]
    return lambda: _interpolated(series.drop_nulls().sort().to_numpy())


def duckdb(table: pa.Table) -> Callable[[], Any]:
    """Return a call of quantile_cont with all levels, over DuckDB's own format."""
    connection = frames.to_duckdb(table)
    query = f"SELECT quantile_cont(x, {list(LEVELS)}) FROM kept"
    return lambda: connection.execute(query).fetchall()[0][0]


def _workload(name: str, extra: str, missing: float) -> Workload:
    return Workload(
        name=name,
        title=f"9 exact quantiles of one column{extra}",
        label=f"9 quantiles{extra}",
        generate=partial(generate, missing),
        rows=5_000_000,
        smoke_rows=50_000,
        contenders=(
            Contender("fastfeat", "fastfeat", fastfeat, frames.learnt),
            Contender("np.partition", "numpy", partition),
            Contender("np.sort", "numpy", sort),
            Contender("pandas", "pandas", pandas),
            Contender("Polars eager", "polars", partial(polars, "eager")),
            Contender("Polars lazy", "polars", partial(polars, "lazy")),
            Contender("Polars sort", "polars", polars_sort),
            Contender("DuckDB", "duckdb", duckdb),
        ),
        tolerance=Tolerance(1e-12, 0.0, "peers interpolate by another formula: 1e-12"),
        targets=()
        if missing
        else (
            Target("ratio", 8, "pandas"),
            Target("ratio", 8, "numpy"),
            Target("extra_memory", 1.1),
        ),
        bandwidth="read",
        memory=not missing,
        starts=not missing,
    )


QUANTILES = (
    _workload("quantiles_9", "", 0.0),
    _workload("quantiles_9_missing", ", 5 % missing", 0.05),
)
