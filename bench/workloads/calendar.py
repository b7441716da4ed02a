"""Calendar parts of a zoned timestamp, daylight saving included."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa

from bench import frames
from bench.compare import EXACT
from bench.workload import Contender, Target, Workload

ZONE = "America/New_York"
PARTS = (
    "year", "quarter", "month", "day", "ordinal_day", "weekday", "hour", "minute", "is_weekend"
)  # fmt: skip


def generate(n_rows: int) -> pa.Table:
    """Return timestamps of 20 years in microseconds, in no order, none missing."""
    seconds = np.random.default_rng(5).integers(1_072_915_200, 1_704_067_200, n_rows)
    kind = pa.timestamp("us", tz=ZONE)
    return pa.table({"t": pa.array(seconds * 1_000_000, pa.int64()).cast(kind)})


def fastfeat(table: pa.Table) -> Callable[[], Any]:
    """Return a call of transform: nothing is learnt."""
    import fastfeat as ff

    part = ff.col("t").dt
    plan = ff.Plan({name: getattr(part, name)() for name in PARTS})
    fitted = plan.fit(table)
    return lambda: fitted.transform(table)


def pandas(table: pa.Table) -> Callable[[], Any]:
    """Return a call that converts to local time once, then takes the parts."""
    import pandas as pd

    series = frames.to_pandas(table)["t"]

    def run() -> pd.DataFrame:
        local = series.dt.tz_localize(None).dt
        weekday = local.dayofweek + 1
        return pd.DataFrame(
            {
                "year": local.year, "quarter": local.quarter, "month": local.month,
                "day": local.day, "ordinal_day": local.dayofyear, "weekday": weekday,
                "hour": local.hour, "minute": local.minute, "is_weekend": weekday > 5,
            },
            copy=False,
        )  # fmt: skip

    return run


def polars(engine: str, local_once: bool, table: pa.Table) -> Callable[[], Any]:
    """Return a call of Polars' parts, lazy or streaming.

    With `local_once`, a separate select converts to local time, and all parts come from that; in
    one select the conversion is repeated for every part.
    """
    import polars as pl

    time = pl.col("t")
    weekend = (time.dt.weekday() > 5).alias("is_weekend")
    wanted = [getattr(time.dt, name)().alias(name) for name in PARTS[:-1]] + [weekend]
    lazy = frames.to_polars(table).lazy()
    if local_once:
        lazy = lazy.select(time.dt.replace_time_zone(None))
    query = lazy.select(wanted)
    return lambda: frames.collect(query, engine)


def duckdb(table: pa.Table) -> Callable[[], Any]:
    """Return a call of one query over DuckDB's own format, local time once, an Arrow table out."""
    connection = frames.to_duckdb(table, f"SET TimeZone = '{ZONE}'")
    functions = ("year", "quarter", "month", "day", "dayofyear", "isodow", "hour", "minute")
    wanted = ", ".join(f"{function}(t)" for function in functions)
    local = f"(SELECT timezone('{ZONE}', t) AS t FROM kept)"
    query = f"SELECT {wanted}, isodow(t) > 5 FROM {local}"
    return lambda: connection.sql(query).to_arrow_table()


CALENDAR = (
    Workload(
        name="calendar_parts",
        title="9 calendar parts of a zoned timestamp",
        label="9 calendar parts",
        generate=generate,
        rows=5_000_000,
        smoke_rows=20_000,
        contenders=(
            Contender("fastfeat", "fastfeat", fastfeat),
            Contender("Polars lazy", "polars", partial(polars, "lazy", False)),
            Contender("Polars lazy, local once", "polars", partial(polars, "lazy", True)),
            Contender("Polars streaming", "polars", partial(polars, "streaming", True)),
            Contender("DuckDB", "duckdb", duckdb),
            Contender("pandas", "pandas", pandas),
        ),
        tolerance=EXACT,
        targets=(Target("extra_memory", 0.10),),
        starts=True,
        memory=True,
    ),
)
