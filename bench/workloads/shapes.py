"""Skewness and kurtosis: of columns, per key joined back, and over an entity's last rows."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa

from bench import frames
from bench.compare import Tolerance
from bench.workload import Contender, Workload
from bench.workloads import keyed

COLUMNS = tuple(f"x{index}" for index in range(4))
STATISTICS = ("skew", "kurtosis")
ROWS = 30
N_ENTITIES = 1_000
TOLERANCE = Tolerance(
    1e-6, 1e-6, "fastfeat's sums of powers are exact, peers' are rounded: 1e-6, + 1e-6"
)


def generate(n_rows: int) -> pa.Table:
    """Return float64 columns: symmetric, skewed, with many outliers, and far from 0."""
    rng = np.random.default_rng(21)
    drawn = (rng.normal(0, 1, n_rows), rng.gamma(2, 1, n_rows), rng.laplace(0, 1, n_rows))
    return pa.table(dict(zip(COLUMNS, (*drawn, 1_000 + rng.normal(0, 1, n_rows)), strict=True)))


def generate_events(n_rows: int) -> pa.Table:
    """Return rows of entities that are grouped together, each in order of time."""
    share = -(-n_rows // N_ENTITIES)
    keys = np.arange(n_rows) // share
    x = np.random.default_rng(22).gamma(2, 1, n_rows)
    return pa.table({"k": keys, "t": np.arange(n_rows), "x": x})


def fastfeat(table: pa.Table) -> Callable[[], Any]:
    """Return a call of `fit`: each feature is an aggregate, so that fitting is all the work."""
    import fastfeat as ff

    plan = ff.Plan(
        {f"{name} {one}": getattr(ff.col(name), one)() for name in COLUMNS for one in STATISTICS}
    )
    return lambda: (plan.fit(table, profile=False), table)


def polars(engine: str, table: pa.Table) -> Callable[[], Any]:
    """Return a call of one of Polars' engines."""
    import polars as pl

    frame = frames.to_polars(table)
    wanted = [
        getattr(pl.col(name), one)().alias(f"{name} {one}")
        for name in COLUMNS
        for one in STATISTICS
    ]
    if engine == "eager":
        return lambda: frame.select(wanted)
    return lambda: frames.collect(frame.lazy().select(wanted), engine)


def scipy(table: pa.Table) -> Callable[[], Any]:
    """Return a call of SciPy on two threads, a column each."""
    from scipy import stats

    arrays = list(frames.to_arrays(table).values())
    pool = ThreadPoolExecutor(2)

    def shapes(x: np.ndarray) -> tuple[float, float]:
        return stats.skew(x), stats.kurtosis(x)

    return lambda: [value for found in pool.map(shapes, arrays) for value in found]


def fastfeat_by_key(table: pa.Table) -> Callable[[], Any]:
    """Return a call that fits, and gives each row its key's values."""
    import fastfeat as ff

    plan = ff.Plan({one: getattr(ff.col("x"), one)(bias=False, by="k") for one in STATISTICS})
    return lambda: plan.fit(table, profile=False).transform(table)


def polars_by_key(engine: str, table: pa.Table) -> Callable[[], Any]:
    """Return a call of group_by and join."""
    import polars as pl

    frame = frames.to_polars(table)
    wanted = [getattr(pl.col("x"), one)(bias=False).alias(one) for one in STATISTICS]
    keys = frame.lazy().group_by("k").agg(wanted)
    rows = frame.lazy().select("k").join(keys, on="k", how="left", maintain_order="left")
    query = rows.select(STATISTICS)
    return lambda: frames.collect(query, engine)


def pandas_by_key(table: pa.Table) -> Callable[[], Any]:
    """Return a call of groupby and join: `skew` has a loop in C, `kurt` only in some versions."""
    import pandas as pd

    frame = frames.to_pandas(table)

    def run() -> Any:
        groups = frame.groupby("k", sort=False)["x"]
        kurtosis = groups.kurt() if hasattr(groups, "kurt") else groups.apply(pd.Series.kurt)
        keys = pd.DataFrame({"skew": groups.skew(), "kurtosis": kurtosis})
        return frame[["k"]].join(keys, on="k")[list(STATISTICS)]

    return run


def fastfeat_over(table: pa.Table) -> Callable[[], Any]:
    """Return a call of `transform`."""
    import fastfeat as ff

    window = ff.window(rows=ROWS, time="t", by="k", closed="right", min_samples=ROWS)
    plan = ff.Plan({one: getattr(ff.col("x"), one)(bias=False, over=window) for one in STATISTICS})
    fitted = plan.fit(table.slice(0, 100), history="batch")
    return lambda: fitted.transform(table, history="batch")


def polars_over(engine: str, table: pa.Table) -> Callable[[], Any]:
    """Return a call of rolling_skew and rolling_kurtosis over each entity."""
    import polars as pl

    frame, x = frames.to_polars(table), pl.col("x")
    wanted = [
        x.rolling_skew(ROWS, bias=False).over("k").alias("skew"),
        x.rolling_kurtosis(ROWS, bias=False).over("k").alias("kurtosis"),
    ]
    query = frame.lazy().select(wanted)
    return lambda: frames.collect(query, engine)


def pandas_over(table: pa.Table) -> Callable[[], Any]:
    """Return a call of groupby.rolling; rows of a key are together, so they stay in order."""
    frame = frames.to_pandas(table)

    def run() -> Any:
        rolled = frame.groupby("k", sort=False)["x"].rolling(ROWS)
        return [rolled.skew().to_numpy(), rolled.kurt().to_numpy()]

    return run


_OPTIONS: dict[str, Any] = {"group": "shapes", "tolerance": TOLERANCE}
_EXACT_POWERS = (
    "sums of x to x⁴ are exact integers of up to 8,400 bits, so that any order and any split of "
    "rows gives the same bits; peers add floats"
)
SHAPES = (
    Workload(
        name="shapes",
        title="skewness and kurtosis of 4 columns",
        label="skew, kurtosis, 4 columns",
        generate=generate,
        rows=5_000_000,
        smoke_rows=20_000,
        contenders=(
            Contender("fastfeat", "fastfeat", fastfeat, frames.learnt),
            *(
                Contender(f"Polars {engine}", "polars", partial(polars, engine))
                for engine in ("eager", "lazy", "streaming")
            ),
            Contender("SciPy, 2 threads", "scipy", scipy, list),
        ),
        cause=_EXACT_POWERS,
        **_OPTIONS,
    ),
    Workload(
        name="shapes_by_key",
        title="skewness and kurtosis per key, 100k keys, joined back",
        label="keyed skew, kurtosis, 100k keys",
        generate=partial(keyed.generate, 0.01),
        rows=10_000_000,
        smoke_rows=20_000,
        contenders=(
            Contender("fastfeat", "fastfeat", fastfeat_by_key),
            *(
                Contender(f"Polars {engine}", "polars", partial(polars_by_key, engine))
                for engine in ("lazy", "streaming")
            ),
            Contender("pandas", "pandas", pandas_by_key),
        ),
        **_OPTIONS,
    ),
    Workload(
        name="shapes_over_rows",
        title="skewness and kurtosis over an entity's last 30 rows",
        label="skew, kurtosis over 30 rows",
        generate=generate_events,
        rows=2_000_000,
        smoke_rows=20_000,
        contenders=(
            Contender("fastfeat", "fastfeat", fastfeat_over),
            Contender("Polars lazy", "polars", partial(polars_over, "lazy")),
            Contender("pandas", "pandas", pandas_over),
        ),
        cause=f"{_EXACT_POWERS}; each row rounds four of these integers",
        **_OPTIONS,
    ),
)
