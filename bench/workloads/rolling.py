"""Statistics of an entity's earlier events, in the words of each library: what workloads are of.

Events have an entity `e`, a time `t` of their own, in microseconds, and values. A window holds the
events before the row's own, back to a duration: [t - last, t). All results are in the order of the
input, and what restores it is part of a call.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
import pyarrow as pa

from bench import frames

if TYPE_CHECKING:
    import duckdb
    import polars as pl
    from numpy.typing import NDArray

    import fastfeat as ff

Order = Literal["time", "entity"]
MICROSECONDS = {"h": 3_600 * 10**6, "d": 86_400 * 10**6}
MONTH = 30 * MICROSECONDS["d"]


class Statistic(NamedTuple):
    """A statistic over a window.

    Args:
        name: a function of all libraries; or "lag", "diff", "since" (seconds since the latest
            event) and "mean_3" (of the 3 latest), of all earlier events.
        last: how far the window reaches back, such as "1h".
        column: the values.
    """

    name: str
    last: str = ""
    column: str = "v"


def events(n_entities: int, half: bool, order: Order, n_rows: int) -> pa.Table:
    """Return events of a month, no two at one time.

    Args:
        n_entities: how many.
        half: one of them has half of the events.
        order: of the rows: by time, as a log is written, or by entity and then time.
        n_rows: how many.
    """
    rng = np.random.default_rng(12)
    entities = rng.integers(0, n_entities, n_rows)
    if half:
        entities[rng.random(n_rows) < 0.5] = n_entities // 2
    times = np.sort(rng.integers(0, MONTH - n_rows, n_rows)) + np.arange(n_rows)
    values = rng.normal(10, 3, n_rows)
    if order == "entity":
        places = np.argsort(entities, kind="stable")
        entities, times, values = entities[places], times[places], values[places]
    keys = entities * 7_919_000_003 + 12_345
    return pa.table({"e": keys, "t": times.astype("datetime64[us]"), "v": values})


def fastfeat(wanted: Sequence[Statistic], table: pa.Table) -> Callable[[], Any]:
    """Return a call of transform; nothing is learnt by fit."""
    import fastfeat as ff

    features = {f"{i}": _expression(one) for i, one in enumerate(wanted)}
    fitted = ff.Plan(features).fit(table.slice(0, 100))
    return lambda: fitted.transform(table, history="batch")


def _expression(one: Statistic) -> ff.Expr:
    import fastfeat as ff

    x, window = ff.col(one.column), ff.window(one.last or None, time="t", by="e")
    match one.name:
        case "count":
            return ff.count(over=window)
        case "since":
            return ff.time_since_last(over=window)
        case "mean_3":
            return x.mean(over=ff.window(time="t", by="e", rows=3))
        case name:
            return getattr(x, name)(over=window)


def polars_over(
    wanted: Sequence[Statistic], engine: str, order: Order, table: pa.Table
) -> Callable[[], Any]:
    """Return a call of rolling_*_by with `over`; Polars knows where the times are sorted."""
    import polars as pl

    frame = frames.to_polars(table)
    if order == "time":
        frame = frame.with_columns(pl.col("t").set_sorted())
    query = frame.lazy().select(_over(one).alias(f"{i}") for i, one in enumerate(wanted))
    return lambda: frames.collect(query, engine)


def _over(one: Statistic) -> pl.Expr:
    import polars as pl

    x = pl.col(one.column)
    window: dict[str, Any] = {"by": "t", "window_size": one.last, "closed": "left"}
    match one.name:
        case "count":
            return x.is_not_null().cast(pl.UInt32).rolling_sum_by(**window).over("e")
        case "lag":
            return x.shift().over("e")
        case "diff":
            return x.diff().over("e")
        case "since":
            return pl.col("t").diff().over("e").dt.total_microseconds() / 1e6
        case "mean_3":
            return x.shift().rolling_mean(3, min_samples=1).over("e")
        case name:
            return getattr(x, f"rolling_{name}_by")(**window).over("e")


def polars_rolling(
    wanted: Sequence[Statistic], engine: str, order: Order, table: pa.Table
) -> Callable[[], Any]:
    """Return a call of a group-by of rolling windows for each duration, put side by side.

    It gives the rows by entity and time; without ties the order of the times is that of the input.
    """
    import polars as pl

    frame = frames.to_polars(table)
    by_last: dict[str, list[tuple[str, Statistic]]] = {}
    for i, one in enumerate(wanted):
        by_last.setdefault(one.last, []).append((f"{i}", one))
    queries: list[pl.LazyFrame] = []
    for last, those in by_last.items():
        if not last:
            queries.append(frame.lazy().select(_over(one).alias(name) for name, one in those))
            continue
        found = [_of_group(one).alias(name) for name, one in those]
        rolled = frame.lazy().rolling("t", period=last, group_by="e", closed="left").agg(found)
        queries.append(rolled.sort("t") if order == "time" else rolled)
    names = [f"{i}" for i in range(len(wanted))]

    def run() -> Any:
        parts = [frames.collect(query, engine) for query in queries]
        found = {name: part[name] for part in parts for name in part.columns}
        return pl.DataFrame([found[name] for name in names])

    return run


def _of_group(one: Statistic) -> pl.Expr:
    import polars as pl

    return pl.len() if one.name == "count" else getattr(pl.col(one.column), one.name)()


DUCKDB = {
    "count": "count(*)",
    "sum": "coalesce(sum({x}) OVER {w}, 0)",
    "mean": "avg({x})",
    "std": "stddev_samp({x})",
    "n_unique": "count(DISTINCT {x})",
    "lag": "lag({x})",
    "diff": "{x} - lag({x})",
    "since": "(epoch_us(t) - epoch_us(lag(t) OVER {w})) / 1e6",
}


def duckdb_range(wanted: Sequence[Statistic], table: pa.Table) -> Callable[[], Any]:
    """Return a call of one query with a RANGE window for each duration."""
    connection = frames.to_duckdb(table)
    windows = {"past": "PARTITION BY e ORDER BY epoch_us(t)"}
    windows["rows_3"] = f"{windows['past']} ROWS BETWEEN 3 PRECEDING AND 1 PRECEDING"
    for last in dict.fromkeys(one.last for one in wanted if one.last):
        range_ = f"RANGE BETWEEN {microseconds(last)} PRECEDING AND 1 PRECEDING"
        windows[f"last_{last}"] = f"{windows['past']} {range_}"
    found = ", ".join(f"{_sql(one)} AS f{i}" for i, one in enumerate(wanted))
    named = ", ".join(f"{name} AS ({text})" for name, text in windows.items())
    return in_order(connection, f"SELECT {found}, rowid AS row FROM kept WINDOW {named}")


def _sql(one: Statistic) -> str:
    window = f"last_{one.last}" if one.last else "rows_3" if one.name == "mean_3" else "past"
    function = DUCKDB.get(one.name, f"{one.name.removesuffix('_3')}({{x}})")
    if one.name == "mean_3":
        function = DUCKDB["mean"]
    text = function.format(x=one.column, w=window)
    return text if " OVER " in text else f"{text} OVER {window}"


def in_order(connection: duckdb.DuckDBPyConnection, query: str) -> Callable[[], Any]:
    """Return a call of a query whose last column is the row; it puts the rows in order by it.

    To take the rows is faster than to ask for ORDER BY, and than to let Arrow sort them.
    """

    def run() -> pa.Table:
        table = connection.sql(query).to_arrow_table()
        rows = table["row"].to_numpy()
        places = np.empty(len(rows), np.int64)
        places[rows] = np.arange(len(rows))
        return table.drop_columns("row").take(pa.array(places))

    return run


def microseconds(last: str) -> int:
    """Return a duration as a number."""
    return int(last[:-1]) * MICROSECONDS[last[-1]]


def pandas(wanted: Sequence[Statistic], table: pa.Table) -> Callable[[], Any]:
    """Return a call of groupby.rolling, whose results, by entity, are put in order."""
    frame = frames.to_pandas(table)

    def run() -> list[NDArray[Any]]:
        groups = frame.groupby("e")
        places = np.concatenate([*groups.indices.values()])
        windows: dict[str, Any] = {}
        found: list[NDArray[Any]] = []
        for one in wanted:
            if one.last and one.last not in windows:
                windows[one.last] = groups.rolling(one.last, on="t", closed="left", min_periods=0)
            match one.name:
                case "lag":
                    found.append(groups[one.column].shift().to_numpy())
                case "diff":
                    found.append(groups[one.column].diff().to_numpy())
                case "since":
                    found.append(groups["t"].diff().dt.total_seconds().to_numpy())
                case "mean_3":
                    earlier = groups[one.column].shift().groupby(frame["e"])
                    found.append(_scattered(earlier.rolling(3, min_periods=1).mean(), places))
                case name:
                    name = PANDAS.get(name, name)
                    rolled = getattr(windows[one.last][one.column], name)()
                    found.append(_scattered(rolled, places))
        return found

    return run


PANDAS = {"n_unique": "nunique"}
COUNTS = ("count", "n_unique")


def _scattered(by_entity: Any, places: NDArray[np.int64]) -> NDArray[Any]:
    values = by_entity.to_numpy()
    in_order = np.empty(len(values), values.dtype)
    in_order[places] = values
    return in_order
