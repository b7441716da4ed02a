"""Plans fitted to Parquet files within a memory budget: in passes, beside all in memory.

Files are in the page cache, and are written before anything is timed.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bench import frames
from bench.compare import Tolerance
from bench.workload import Contender, Target, Workload

COLUMNS = [f"x{k}" for k in range(16)]
LEVELS = (0.25, 0.5, 0.75)
N_FILES = 4
ROOM = 450 << 20
"""Bytes beyond the process's own memory with the benchmark."""


def generate(n_rows: int) -> pa.Table:
    """Return normal float64 columns, 5 % of them missing."""
    random = np.random.default_rng(11)
    return pa.table(
        {
            n: pa.array(random.normal(size=n_rows), mask=random.random(n_rows) < 0.05)
            for n in COLUMNS
        }
    )


@cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="fastfeat-bench-")


def files(table: pa.Table) -> Path:
    """Return a folder of Parquet files of the rows, which is removed when the process ends."""
    folder = Path(_folder().name) / str(table.num_rows)
    if not folder.exists():
        folder.mkdir()
        size = -(-table.num_rows // N_FILES)
        for k in range(N_FILES):
            part = table.slice(k * size, size)
            pq.write_table(part, folder / f"{k}.parquet", row_group_size=125_000)
    return folder


def statistics() -> Any:
    """Return a plan of 64 statistics, and of exact quantiles of 4 columns."""
    import fastfeat as ff

    features: dict[str, Any] = {}
    for name in COLUMNS:
        column = ff.col(name)
        features |= {f"mean {name}": column.mean(), f"std {name}": column.std()}
        features |= {f"min {name}": column.min(), f"max {name}": column.max()}
    for name in COLUMNS[:4]:
        features |= {f"{q} {name}": ff.col(name).quantile(q) for q in LEVELS}
    return ff.Plan(features)


def levels() -> Any:
    """Return a plan that learns in three levels, each with exact quantiles."""
    import fastfeat as ff

    columns = {name: ff.col(name).impute("median").robust_scale() for name in COLUMNS}
    return ff.Plan({f"cut {name}": column.qcut(8) for name, column in columns.items()})


def fastfeat(
    plan_of: Callable[[], Any], in_passes: bool, table: pa.Table
) -> Callable[[], tuple[Any, pa.Table]]:
    """Return a call of `fit` over a folder, within a budget or with all rows in memory."""
    from fastfeat.io.host_memory import resident_memory

    plan, folder, first = plan_of(), files(table), table.slice(0, 1)
    if not in_passes:
        return lambda: (plan.fit(folder, profile=False), first)
    return lambda: (plan.fit(folder, memory=(resident_memory() or 0) + ROOM, profile=False), first)


def polars(table: pa.Table) -> Callable[[], Any]:
    """Return a call of a streaming query of Polars over the folder."""
    import polars as pl

    folder = files(table)
    wanted: list[pl.Expr] = []
    for name in COLUMNS:
        column = pl.col(name)
        for statistic in ("mean", "std", "min", "max"):
            wanted.append(getattr(column, statistic)().alias(f"{statistic} {name}"))
    for name in COLUMNS[:4]:
        wanted += [pl.col(name).quantile(q, "linear").alias(f"{q} {name}") for q in LEVELS]
    query = pl.scan_parquet(folder / "*.parquet").select(wanted)
    return lambda: query.collect(engine="streaming")


def duckdb(table: pa.Table) -> Callable[[], Any]:
    """Return a call of a query of DuckDB over the folder, without a memory limit.

    With `memory_limit="450MB"` these quantiles of 4M rows end in an out-of-memory error.
    """
    import duckdb

    connection = duckdb.connect(config={"threads": 2})
    wanted = [f"{f}({n})" for n in COLUMNS for f in ("avg", "stddev_samp", "min", "max")]
    wanted += [f"quantile_cont({name}, {q})" for name in COLUMNS[:4] for q in LEVELS]
    query = f"SELECT {', '.join(wanted)} FROM '{files(table)}/*.parquet'"
    return lambda: connection.execute(query).fetchall()[0]


LARGER_THAN_MEMORY = (
    Workload(
        name="larger_than_memory",
        title="64 statistics and 12 exact quantiles of Parquet files",
        label="fit in passes",
        generate=generate,
        rows=4_000_000,
        smoke_rows=50_000,
        contenders=(
            Contender(
                "fastfeat in memory",
                "fastfeat",
                partial(fastfeat, statistics, False),
                frames.learnt,
            ),
            Contender("fastfeat", "fastfeat", partial(fastfeat, statistics, True), frames.learnt),
            Contender("Polars streaming", "polars", polars),
            Contender("DuckDB", "duckdb", duckdb),
        ),
        tolerance=Tolerance(1e-9, 1e-12, "sums of peers depend on the order of rows"),
        targets=(Target("slowdown", 1.3, aim=1.1),),
        bandwidth="read",
        memory=True,
    ),
    Workload(
        name="levels_larger_than_memory",
        title="16 columns imputed, scaled robustly and cut, of Parquet files",
        label="fit in passes, 3 levels",
        generate=generate,
        rows=4_000_000,
        smoke_rows=50_000,
        contenders=(
            Contender(
                "fastfeat in memory", "fastfeat", partial(fastfeat, levels, False), frames.learnt
            ),
            Contender("fastfeat", "fastfeat", partial(fastfeat, levels, True), frames.learnt),
        ),
        tolerance=Tolerance(0, 0, "the bits of memory"),
        targets=(Target("slowdown", 1.3, aim=1.1),),
        bandwidth="read",
        memory=True,
    ),
)
