"""Count, mean, deviation, minimum and maximum of 20 columns; none, some and most missing."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa

from bench import frames
from bench.compare import Tolerance
from bench.workload import Contender, Target, Workload

STATISTICS = ("count", "mean", "std", "min", "max")
COLUMNS = tuple(f"x{index}" for index in range(20))


def generate(missing: float, n_rows: int) -> pa.Table:
    """Return 20 float64 columns; a share of the values is missing."""
    rng = np.random.default_rng(2)
    columns = {}
    for index, name in enumerate(COLUMNS):
        values = rng.normal(index, 1 + index, n_rows)
        mask = rng.random(n_rows) < missing if missing else None
        columns[name] = pa.array(values, mask=mask)
    return pa.table(columns)


def fastfeat(table: pa.Table) -> Callable[[], Any]:
    """Return a call of `fit`: each feature is an aggregate, so that fitting is all the work."""
    import fastfeat as ff

    plan = ff.Plan(
        {
            f"{name}_{statistic}": getattr(ff.col(name), statistic)()
            for name in table.column_names
            for statistic in STATISTICS
        }
    )
    return lambda: (plan.fit(table, profile=False), table)


def polars(engine: str, table: pa.Table) -> Callable[[], Any]:
    """Return a call of one of Polars' engines."""
    import polars as pl

    frame = frames.to_polars(table)
    wanted = [
        getattr(pl.col(name), statistic)().alias(f"{name}_{statistic}")
        for name in table.column_names
        for statistic in STATISTICS
    ]
    if engine == "eager":
        return lambda: frame.select(wanted)
    return lambda: frames.collect(frame.lazy().select(wanted), engine)


def pandas(table: pa.Table) -> Callable[[], Any]:
    """Return a call of the frame's own methods; `agg` and `describe` take longer."""
    frame = frames.to_pandas(table)
    return lambda: [getattr(frame, statistic)().to_numpy() for statistic in STATISTICS]


def numpy(table: pa.Table) -> Callable[[], Any]:
    """Return a call of NumPy on two threads; missing values are removed first."""
    arrays = list(frames.to_arrays(table).values())
    has_missing = any(column.null_count for column in table.columns)
    pool = ThreadPoolExecutor(2)

    def one(x: np.ndarray) -> tuple[float, ...]:
        if has_missing:
            x = x[~np.isnan(x)]
        return len(x), x.mean(), x.std(ddof=1), x.min(), x.max()

    return lambda: list(zip(*pool.map(one, arrays), strict=True))


def duckdb(table: pa.Table) -> Callable[[], Any]:
    """Return a call of one query over a table that DuckDB holds in its own format."""
    connection = frames.to_duckdb(table)
    functions = ("count", "avg", "stddev_samp", "min", "max")
    wanted = ", ".join(
        f"{function}({name})" for name in table.column_names for function in functions
    )
    return lambda: connection.execute(f"SELECT {wanted} FROM kept").fetchone()


def scikit_learn(table: pa.Table) -> Callable[[], Any]:
    """Return a call of StandardScaler.fit and MinMaxScaler.fit: the five numbers from two fits."""
    from sklearn.preprocessing import MinMaxScaler, StandardScaler

    matrix = np.asfortranarray(frames.to_matrix(table))

    def run() -> list[Any]:
        standard, extremes = StandardScaler().fit(matrix), MinMaxScaler().fit(matrix)
        n = np.broadcast_to(standard.n_samples_seen_, matrix.shape[1])
        spread = np.sqrt(np.asarray(standard.var_) * (n / (n - 1)))
        return [n, standard.mean_, spread, extremes.data_min_, extremes.data_max_]

    return run


def by_column(result: Any) -> list[Any]:
    """Return values that are given statistic by statistic, in the order of the features."""
    return [statistic[index] for index in range(len(COLUMNS)) for statistic in result]


FASTFEAT = Contender("fastfeat", "fastfeat", fastfeat, frames.learnt)
TOLERANCE = Tolerance(1e-9, 1e-9, "fastfeat's sums are exact, peers' are rounded: 1e-9, + 1e-9")


def _workload(name: str, extra: str, missing: float, polars_target: float) -> Workload:
    return Workload(
        name=name,
        title=f"count, mean, std, min, max of 20 columns{extra}",
        label=f"statistics{extra or ', 20 columns'}",
        generate=partial(generate, missing),
        rows=5_000_000,
        smoke_rows=20_000,
        contenders=(
            FASTFEAT,
            *(
                Contender(f"Polars {engine}", "polars", partial(polars, engine))
                for engine in ("eager", "lazy", "streaming")
            ),
            Contender("DuckDB", "duckdb", duckdb, list),
            Contender("NumPy, 2 threads", "numpy", numpy, by_column),
            Contender("scikit-learn", "scikit-learn", scikit_learn, by_column),
            Contender("pandas", "pandas", pandas, by_column),
        ),
        tolerance=TOLERANCE,
        targets=(
            Target("ratio", 30, "pandas"),
            Target("ratio", polars_target, "polars", aim=3),
            Target("share", 0.55),
        ),
        bandwidth="read",
        starts=not missing,
        memory=not missing,
    )


STATISTICS_20 = (
    _workload("statistics_20", "", 0.0, 2.4),
    _workload("statistics_20_missing", ", 5 % missing", 0.05, 2.2),
    _workload("statistics_20_mostly_missing", ", 95 % missing", 0.95, 1),
)

STATISTICS_THREADS = tuple(
    Workload(
        name=f"threads_{n_threads}_statistics",
        group="threads",
        title=f"statistics of 20 columns, {n_threads} thread{'s' * (n_threads > 1)}",
        label="statistics of 20 columns",
        generate=partial(generate, 0.0),
        rows=2_000_000,
        smoke_rows=200_000,
        contenders=(FASTFEAT, Contender("Polars lazy", "polars", partial(polars, "lazy"))),
        tolerance=TOLERANCE,
        bandwidth="read",
        threads=n_threads,
    )
    for n_threads in (1, 2)
)
