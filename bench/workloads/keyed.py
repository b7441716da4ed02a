"""Mean and standard deviation per key, joined back to the rows: few keys, many, and very many."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa

from bench import frames
from bench.compare import Tolerance
from bench.workload import Contender, Target, Workload

VALUES = ("x", "y")
STATISTICS = ("mean", "std")


def generate(share: float, n_rows: int) -> pa.Table:
    """Return an int64 key and two float64 columns.

    `share` is the number of distinct keys as a share of the rows; there are at least 100.
    """
    rng = np.random.default_rng(9)
    keys = rng.integers(0, max(100, int(n_rows * share)), n_rows) * 7_919_000_003 + 12_345
    columns = {name: rng.normal(10, 3, n_rows) for name in VALUES}
    return pa.table({"k": keys} | columns)


def fastfeat(at_once: bool, table: pa.Table) -> Callable[[], Any]:
    """Return a call that fits, and gives each row its key's values."""
    import fastfeat as ff

    plan = ff.Plan(
        {
            f"{name}_{statistic}": getattr(ff.col(name), statistic)(by="k")
            for name in VALUES
            for statistic in STATISTICS
        }
    )
    if at_once:
        return lambda: plan.fit_transform(table)[1]
    return lambda: plan.fit(table, profile=False).transform(table)


def polars(engine: str, by: str, table: pa.Table) -> Callable[[], Any]:
    """Return a call of `over`, or of group_by and join."""
    import polars as pl

    frame = frames.to_polars(table)
    wanted = {
        f"{name}_{statistic}": getattr(pl.col(name), statistic)()
        for name in VALUES
        for statistic in STATISTICS
    }
    if by == "over":
        query = frame.lazy().select(one.over("k").alias(name) for name, one in wanted.items())
    else:
        keys = frame.lazy().group_by("k").agg(one.alias(name) for name, one in wanted.items())
        rows = frame.lazy().select("k")
        query = rows.join(keys, on="k", how="left", maintain_order="left").select(list(wanted))
    return lambda: frames.collect(query, engine)


def pandas(table: pa.Table) -> Callable[[], Any]:
    """Return a call of groupby.agg and join, which is faster than four times `transform`."""
    frame = frames.to_pandas(table)
    wanted = {f"{name}_{one}": (name, one) for name in VALUES for one in STATISTICS}

    def run() -> Any:
        keys = frame.groupby("k", sort=False).agg(**wanted)
        return frame[["k"]].join(keys, on="k")[list(wanted)]

    return run


def pandas_transform(table: pa.Table) -> Callable[[], Any]:
    """Return a call of groupby.transform for each statistic."""
    frame = frames.to_pandas(table)

    def run() -> Any:
        groups = frame.groupby("k", sort=False)
        return [
            groups[name].transform(one).to_numpy() for name in VALUES for one in STATISTICS
        ]  # fmt: skip

    return run


def duckdb(table: pa.Table) -> Callable[[], Any]:
    """Return a call of one query that groups and joins."""
    connection = frames.to_duckdb(table)
    found = ", ".join(
        f"{function}({name}) AS {name}_{one}"
        for name in VALUES
        for one, function in zip(STATISTICS, ("avg", "stddev_samp"), strict=True)
    )
    wanted = ", ".join(f"{name}_{one}" for name in VALUES for one in STATISTICS)
    query = (
        f"WITH keys AS (SELECT k, {found} FROM kept GROUP BY k) "
        f"SELECT {wanted}, kept.rowid AS row FROM kept LEFT JOIN keys USING (k)"
    )
    return lambda: connection.execute(query).to_arrow_table()


def _workload(name: str, n_keys: str, share: float, targets: tuple[Target, ...]) -> Workload:
    return Workload(
        name=f"keyed_{name}",
        group="keyed",
        title=f"mean and std of 2 columns per key, {n_keys} keys, joined back",
        label=f"keyed mean, std, {n_keys}",
        generate=partial(generate, share),
        rows=10_000_000,
        smoke_rows=20_000,
        contenders=(
            Contender("fastfeat", "fastfeat", partial(fastfeat, False)),
            Contender("fastfeat fit_transform", "fastfeat", partial(fastfeat, True)),
            *(
                Contender(f"Polars {engine} {by}", "polars", partial(polars, engine, by))
                for engine in ("lazy", "streaming")
                for by in ("over", "join")
            ),
            Contender("DuckDB", "duckdb", duckdb, frames.in_order_of_rows),
            Contender("pandas agg", "pandas", pandas),
            Contender("pandas transform", "pandas", pandas_transform),
        ),
        tolerance=Tolerance(
            1e-9, 1e-9, "fastfeat's sums are exact, peers' are rounded: 1e-9, + 1e-9"
        ),
        targets=targets,
        memory=name == "5M",
        starts=name == "100",
    )


KEYED = (
    _workload("100", "100", 0.0, ()),
    _workload(
        "100k",
        "100k",
        0.01,
        (
            Target("ratio", 8, "pandas"),
            Target("ratio", 2.7, "polars", aim=4),
            Target("ratio", 5, "duckdb"),
        ),
    ),
    _workload("1M", "1M", 0.1, (Target("ratio", 1.5, "polars", aim=2.5),)),
    _workload(
        "5M",
        "5M",
        0.5,
        (
            Target("ratio", 8, "pandas"),
            Target("ratio", 4.5, "polars", aim=6),
            Target("ratio", 5, "duckdb"),
        ),
    ),
)
