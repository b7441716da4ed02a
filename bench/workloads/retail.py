"""Lags and rolling statistics of daily sales, like in the M5 competition, all 28 days back.

A row is the sales of a series on a day. M5 has 30,490 series of 1,900 days; 25 float64 features of
them take 11.6 GB. Here there are 4,000 series, 7.6 million rows, so that outputs can be compared
in 12 GB.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from bench import frames
from bench.compare import Tolerance
from bench.workload import Contender, Workload
from bench.workloads.rolling import in_order, scattered

N_DAYS = 1_900
N_SERIES = 4_000
AGO = 28
LAGS = range(28, 43)
LENGTHS = (7, 14, 30, 60, 180)
STATISTICS = ("mean", "std")
Order = Literal["day", "series"]


def generate(order: Order, n_rows: int) -> pa.Table:
    """Return the number of a series, a day, and sales, many of them 0.

    Rows are ordered by day, like a melted table with a column per day, or by series. Every series
    has `N_DAYS` rows.
    """
    rng = np.random.default_rng(13)
    n_series = -(-n_rows // N_DAYS)
    usual = rng.gamma(0.6, 2.0, n_series)
    sales = rng.poisson(usual, (N_DAYS, n_series))
    days, series = np.indices(sales.shape, np.int32, sparse=False)
    columns = {"series": series, "day": days + 15_000, "sales": sales.astype(np.float64)}
    if order == "series":
        columns = {name: values.T for name, values in columns.items()}
    arrays = {name: pa.array(values.ravel()[:n_rows]) for name, values in columns.items()}
    arrays["day"] = arrays["day"].cast(pa.date32())
    return pa.table(arrays)


def fastfeat(table: pa.Table) -> Callable[[], Any]:
    """Return a call of transform; fit learns nothing."""
    import fastfeat as ff

    def window(last: str | None) -> ff.Window:
        return ff.window(last, time="day", by="series", offset=f"{AGO}d", closed="right")

    sales, past = ff.col("sales"), window(None)
    features = {f"lag_{n}": sales.lag(n - AGO + 1, over=past) for n in LAGS}
    for days in LENGTHS:
        for name in STATISTICS:
            features[f"{name}_{days}"] = getattr(sales, name)(over=window(f"{days}d"))
    fitted = ff.Plan(features).fit(table.slice(0, 100))
    return lambda: fitted.transform(table, history="batch")


def polars(engine: str, table: pa.Table) -> Callable[[], Any]:
    """Return a call of shift and rolling_mean, rolling_std, with `over`."""
    import polars as pl

    sales = pl.col("sales")
    features = [sales.shift(n).over("series").alias(f"lag_{n}") for n in LAGS]
    for days in LENGTHS:
        for name in STATISTICS:
            rolled = getattr(sales.shift(AGO), f"rolling_{name}")(days, min_samples=1)
            features.append(rolled.over("series").alias(f"{name}_{days}"))
    query = frames.to_polars(table).lazy().select(features)
    return lambda: frames.collect(query, engine)


def duckdb(table: pa.Table) -> Callable[[], Any]:
    """Return a call of one query with a window for each length."""
    past = "PARTITION BY series ORDER BY day"
    features = [f"lag(sales, {n}) OVER past AS lag_{n}" for n in LAGS]
    windows = [f"past AS ({past})"]
    for days in LENGTHS:
        features += [f"avg(sales) OVER w{days} AS mean_{days}"]
        features += [f"stddev_samp(sales) OVER w{days} AS std_{days}"]
        rows = f"ROWS BETWEEN {AGO + days - 1} PRECEDING AND {AGO} PRECEDING"
        windows.append(f"w{days} AS ({past} {rows})")
    query = f"SELECT {', '.join(features)}, rowid AS row FROM kept WINDOW {', '.join(windows)}"
    return in_order(frames.to_duckdb(table), query)


def pandas_groups(table: pa.Table) -> Callable[[], Any]:
    """Return a call of groupby.shift and groupby.rolling, with results put in order."""
    frame = frames.to_pandas(table)

    def run() -> list[NDArray[Any]]:
        groups = frame.groupby("series")["sales"]
        places = np.concatenate([*groups.indices.values()])
        found = [groups.shift(n).to_numpy() for n in LAGS]
        ago = groups.shift(AGO).groupby(frame["series"])
        for days in LENGTHS:
            rolling = ago.rolling(days, min_periods=1)
            found += [scattered(getattr(rolling, name)(), places) for name in STATISTICS]
        return found

    return run


def pandas_wide(table: pa.Table) -> Callable[[], Any]:
    """Return a call that makes a column of each series."""
    import pandas as pd

    frame = frames.to_pandas(table)

    def run() -> list[NDArray[Any]]:
        wide = frame.pivot(index="day", columns="series", values="sales")
        rows = wide.index.get_indexer(pd.Index(frame["day"]))
        columns = wide.columns.get_indexer(pd.Index(frame["series"]))
        found = [wide.shift(n) for n in LAGS]
        ago = wide.shift(AGO)
        for days in LENGTHS:
            rolling = ago.rolling(days, min_periods=1)
            found += [getattr(rolling, name)() for name in STATISTICS]
        return [one.to_numpy()[rows, columns] for one in found]

    return run


def coreforecast(order: Order, table: pa.Table) -> Callable[[], Any]:
    """Return a call that groups the rows by series, computes, and puts results in order.

    Rows ordered by series need no grouping and reordering.
    """
    from coreforecast.grouped_array import GroupedArray
    from coreforecast.lag_transforms import Lag, RollingMean, RollingStd

    arrays = frames.to_arrays(table)
    transforms: list[Any] = [Lag(n) for n in LAGS]
    for days in LENGTHS:
        transforms += [kind(AGO, days, min_samples=1) for kind in (RollingMean, RollingStd)]

    def run() -> list[NDArray[Any]]:
        series, sales = arrays["series"], arrays["sales"]
        starts = np.append(0, np.cumsum(np.bincount(series))).astype(np.int32)
        if order == "series":
            grouped = GroupedArray(sales, starts, num_threads=2)
            return [one.transform(grouped) for one in transforms]
        places = np.argsort(series, kind="stable")
        grouped = GroupedArray(sales[places], starts, num_threads=2)
        return [scattered(one.transform(grouped), places) for one in transforms]

    return run


def _workloads() -> Iterator[Workload]:
    orders: dict[Order, str] = {"day": "rows by day", "series": "rows by series"}
    for order, told in orders.items():
        yield Workload(
            name=f"windows_retail_by_{order}",
            group="windows",
            title=f"15 lags, 10 rolling means and deviations of daily sales, 4,000 series, {told}",
            label=f"retail lags and windows, by {order}",
            generate=partial(generate, order),
            rows=N_SERIES * N_DAYS,
            smoke_rows=10 * N_DAYS,
            contenders=(
                Contender("fastfeat", "fastfeat", fastfeat),
                Contender("Polars lazy", "polars", partial(polars, "lazy")),
                Contender("Polars streaming", "polars", partial(polars, "streaming")),
                Contender("DuckDB", "duckdb", duckdb),
                Contender("pandas groups", "pandas", pandas_groups),
                Contender("pandas wide", "pandas", pandas_wide),
                Contender("coreforecast", "coreforecast", partial(coreforecast, order)),
            ),
            tolerance=Tolerance(
                1e-9,
                1e-6,
                "fastfeat's sums are exact; peers subtract what leaves, and the root of what is "
                "left of equal values is not 0: 1e-9, + 1e-6",
            ),
            memory=True,
        )


RETAIL = tuple(_workloads())
