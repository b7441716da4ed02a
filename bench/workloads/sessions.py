"""Sessions of an entity's events, and the time since its last event of a kind."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pyarrow as pa
from numpy.typing import NDArray

from bench import frames
from bench.compare import Tolerance
from bench.workload import Contender, Workload
from bench.workloads import rolling
from bench.workloads.windows import events

GAP_HOURS = 6
LARGE = 15.0


def fastfeat(table: pa.Table) -> Callable[[], Any]:
    """Return a call of transform; fit learns nothing."""
    import fastfeat as ff

    visits = ff.window(time="t", by="e")
    features = {
        "session": ff.session_id(f"{GAP_HOURS}h", over=visits),
        "since_large": ff.time_since(ff.col("v") > LARGE, over=visits),
    }
    fitted = ff.Plan(features).fit(table.slice(0, 100))
    return lambda: fitted.transform(table, history="batch")


def polars(engine: str, table: pa.Table) -> Callable[[], Any]:
    """Return a call that sums gaps, and fills the time of the latest large one forward."""
    import polars as pl

    t = pl.col("t")
    begins = (t.diff() > pl.duration(hours=GAP_HOURS)).fill_null(False)
    large = pl.when(pl.col("v") > LARGE).then(t).shift().forward_fill()
    query = (
        frames.to_polars(table)
        .lazy()
        .select(
            begins.cum_sum().over("e").alias("session"),
            ((t - large).over("e").dt.total_microseconds() / 1e6).alias("since_large"),
        )
    )
    return lambda: frames.collect(query, engine)


def duckdb(table: pa.Table) -> Callable[[], Any]:
    """Return a call of a nested query: gaps must be known before they are summed."""
    gap = GAP_HOURS * rolling.MICROSECONDS["h"]
    query = f"""
        WITH known AS (
            SELECT e, t, rowid AS row,
                   coalesce(epoch_us(t) - epoch_us(lag(t) OVER past) > {gap}, false) AS begins,
                   max(CASE WHEN v > {LARGE} THEN t END) OVER (
                       past ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS large
            FROM kept WINDOW past AS (PARTITION BY e ORDER BY t))
        SELECT (sum(begins::INTEGER) OVER (PARTITION BY e ORDER BY t))::BIGINT AS session,
               (epoch_us(t) - epoch_us(large)) / 1e6 AS since_large, row
        FROM known
    """
    return rolling.in_order(frames.to_duckdb(table), query)


def pandas(table: pa.Table) -> Callable[[], Any]:
    """Return a call of the same steps by groupby."""
    import pandas as pd

    frame = frames.to_pandas(table)
    gap = pd.Timedelta(GAP_HOURS, "h")

    def run() -> list[NDArray[Any]]:
        times, entities = frame["t"], frame["e"]
        begins = times.groupby(entities).diff() > gap
        large = times.where(frame["v"] > LARGE).groupby(entities).shift()
        since = times - large.groupby(entities).ffill()
        return [
            begins.groupby(entities).cumsum().to_numpy(),
            since.dt.total_seconds().to_numpy(),
        ]

    return run


SESSIONS = (
    Workload(
        name="windows_sessions",
        group="windows",
        title="session number and time since a large event, 100k entities",
        label="sessions, time since",
        generate=partial(events, 0.01, False, "time"),
        rows=10_000_000,
        smoke_rows=20_000,
        contenders=(
            Contender("fastfeat", "fastfeat", fastfeat),
            Contender("Polars lazy", "polars", partial(polars, "lazy")),
            Contender("Polars streaming", "polars", partial(polars, "streaming")),
            Contender("DuckDB", "duckdb", duckdb),
            Contender("pandas", "pandas", pandas),
        ),
        tolerance=Tolerance(1e-12, 1e-9, "seconds from microseconds, rounded: 1e-12, + 1e-9"),
        memory=True,
    ),
)
