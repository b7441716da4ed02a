"""Statistics of an entity's earlier events, in each library: building blocks of workloads.

Events have an entity `e`, a time `t` of their own, in microseconds, and values. A window holds the
events before the row's own, back to a duration: [t - last, t). All results are in the order of the
input, and restoring that order is part of a call.
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
Form = Literal["by", "rolling"]
MICROSECONDS = {"h": 3_600 * 10**6, "d": 86_400 * 10**6}
MONTH = 30 * MICROSECONDS["d"]


class Statistic(NamedTuple):
    """A statistic over a window.

    Args:
        name: A function of all libraries; or "lag", "diff", "since" (seconds since the latest
            event) and "mean_3" (of the 3 latest), over all earlier events.
        last: Reach of the window, such as "1h".
        column: The values.
    """

    name: str
    last: str = ""
    column: str = "v"


def events(n_entities: int, half: bool, order: Order, n_rows: int) -> pa.Table:
    """Return events of a month with distinct times.

    Args:
        n_entities: Number of entities.
        half: Whether one of them has half of the events.
        order: Order of the rows: by time, like in a log, or by entity and then time.
        n_rows: Number of rows.
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
    """Return a call of transform; fit learns nothing."""
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


def polars(
    wanted: Sequence[Statistic], form: Form, engine: str, order: Order, table: pa.Table
) -> Callable[[], Any]:
    """Return a call of windows with `over`; Polars is told that the times of a log are sorted.

    Args:
        wanted: The statistics.
        form: "by" is rolling_sum_by and similar functions, which add and subtract incrementally;
            "rolling" computes each window, shared by all its statistics.
        engine: See `frames.collect`.
        order: Order of the rows.
        table: The events.
    """
    import polars as pl

    frame = frames.to_polars(table)
    if order == "time":
        frame = frame.with_columns(pl.col("t").set_sorted())
    found = [_windowed(one, form) if one.last else _latest(one) for one in wanted]
    query = frame.lazy().select(one.alias(f"{i}") for i, one in enumerate(found))
    return lambda: frames.collect(query, engine)


def _windowed(one: Statistic, form: Form) -> pl.Expr:
    import polars as pl

    x = pl.col(one.column)
    if form == "rolling":
        found = pl.len() if one.name == "count" else getattr(x, one.name)()
        return found.rolling("t", period=one.last, closed="left").over("e")
    window: dict[str, Any] = {"by": "t", "window_size": one.last, "closed": "left"}
    if one.name == "count":
        return x.is_not_null().cast(pl.UInt32).rolling_sum_by(**window).over("e")
    return getattr(x, f"rolling_{one.name}_by")(**window).over("e")


def _latest(one: Statistic) -> pl.Expr:
    import polars as pl

    x, t = pl.col(one.column), pl.col("t")
    known = {
        "lag": x.shift().over("e"),
        "diff": x.diff().over("e"),
        "since": t.diff().over("e").dt.total_microseconds() / 1e6,
        "mean_3": x.shift().rolling_mean(3, min_samples=1).over("e"),
    }
    return known[one.name]


DUCKDB = {
    "count": "count(*)",
    "sum": "coalesce(sum({x}) OVER {w}, 0)",
    "mean": "avg({x})",
    "mean_3": "avg({x})",
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
    text = DUCKDB.get(one.name, f"{one.name}({{x}})").format(x=one.column, w=window)
    return text if " OVER " in text else f"{text} OVER {window}"


def in_order(connection: duckdb.DuckDBPyConnection, query: str) -> Callable[[], Any]:
    """Return a call of a query that ends with a row-number column, and sorts its rows by it.

    Taking the rows is faster than ORDER BY, and than sorting in Arrow.
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
    """Return a call of groupby.rolling, with results, which are by entity, put in order."""
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
                    found.append(scattered(earlier.rolling(3, min_periods=1).mean(), places))
                case name:
                    values = windows[one.last][one.column]
                    rolled = getattr(values, name.replace("n_unique", "nunique"))()
                    found.append(scattered(rolled, places))
        return found

    return run


def scattered(by_entity: Any, places: NDArray[np.int64]) -> NDArray[Any]:
    """Return values, given by entity, in the order of the input.

    `by_entity` is a series or an array, (n_rows,); `places` has the row of each value.
    """
    values = np.asarray(by_entity)
    in_order = np.empty(len(values), values.dtype)
    in_order[places] = values
    return in_order
