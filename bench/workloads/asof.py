"""As-of joins with a table of a tenth as many rows: with or without a key, sorted or not."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import Any

import numpy as np
import pyarrow as pa

from bench import frames
from bench.compare import EXACT
from bench.workload import Contender, Target, Workload

N_KEYS = 100_000
MONTH_US = 30 * 86_400 * 10**6
VALUES = ("x", "y")


def generate(is_sorted: bool, n_rows: int) -> pa.Table:
    """Return an int64 key and a time for each row, to be looked up in `quotes`."""
    rng = np.random.default_rng(21)
    times = rng.integers(0, MONTH_US, n_rows)
    keys = _keys(rng.integers(0, _n_keys(n_rows), n_rows))
    return pa.table({"k": keys, "t": pa.array(np.sort(times) if is_sorted else times, _TIME)})


_TIME = pa.timestamp("us")


def _n_keys(n_rows: int) -> int:
    return max(10, min(N_KEYS, n_rows // 100))


def _keys(numbers: Any) -> Any:
    return numbers * 7_919_000_003 + 12_345


@cache
def quotes(is_sorted: bool, n_rows: int) -> pa.Table:
    """Return the table to join: two values for each key and time; times are distinct.

    Its rows are sorted by time or in any order. It has a tenth of `n_rows`, the rows of the data.
    """
    rng, n = np.random.default_rng(22), n_rows // 10
    step = MONTH_US // n
    places = np.arange(n) if is_sorted else rng.permutation(n)
    times = places * step + rng.integers(0, step, n)
    columns = {"k": _keys(rng.integers(0, _n_keys(n_rows), n)), "t": pa.array(times, _TIME)}
    return pa.table(columns | {name: rng.normal(10, 3, n) for name in VALUES})


def fastfeat(has_key: bool, is_sorted: bool, is_kept: bool, table: pa.Table) -> Callable[[], Any]:
    """Return a call that joins.

    Args:
        has_key: Whether rows have a key.
        is_sorted: Whether the joined table is sorted by time.
        is_kept: Whether each call gets the same table, which is then put in order once, before the
            clock starts; else it gets a new one, and puts it in order.
        table: The data.
    """
    import fastfeat as ff

    joined = ff.asof("quotes", time="t", by="k" if has_key else None)
    right = quotes(is_sorted, table.num_rows)
    fitted = ff.Plan({name: joined.col(name) for name in VALUES}).fit(
        table.slice(0, 1), tables={"quotes": right}
    )
    if is_kept:
        fitted.transform(table.slice(0, 1), tables={"quotes": right})
        return lambda: fitted.transform(table, tables={"quotes": right})
    return lambda: fitted.transform(table, tables={"quotes": right.slice(0)})


def polars(engine: str, has_key: bool, is_sorted: bool, table: pa.Table) -> Callable[[], Any]:
    """Return a call of join_asof, which needs both frames sorted: it sorts those that are not.

    The result stays sorted by time, with the number of each row.
    """
    import polars as pl

    left = frames.to_polars(table).with_row_index("row")
    right = frames.to_polars(quotes(is_sorted, table.num_rows))
    how: Any = {"on": "t", "by": "k", "check_sortedness": False} if has_key else {"on": "t"}
    wanted = [*VALUES, "row"]

    def eager() -> Any:
        both = (left, right) if is_sorted else (left.sort("t"), right.sort("t"))
        return both[0].join_asof(both[1], **how).select(wanted)

    def lazy() -> Any:
        both = left.lazy(), right.lazy()
        if is_sorted:
            both = both[0].set_sorted("t"), both[1].set_sorted("t")
        else:
            both = both[0].sort("t"), both[1].sort("t")
        joined = both[0].join_asof(both[1], **how).select(pl.col(wanted))
        return frames.collect(joined, engine)

    return eager if engine == "eager" else lazy


def from_polars(result: Any) -> pa.Table:
    """Return the rows in the order of the data, without their number."""
    return result.sort("row").drop("row").to_arrow()


def pandas(has_key: bool, is_sorted: bool, table: pa.Table) -> Callable[[], Any]:
    """Return a call of merge_asof, which needs both frames sorted: it sorts those that are not.

    The result stays sorted by time, with the number of each row.
    """
    import pandas as pd

    left, right = frames.to_pandas(table), frames.to_pandas(quotes(is_sorted, table.num_rows))
    left["row"] = np.arange(len(left))
    how: dict[str, Any] = {"on": "t", "by": "k"} if has_key else {"on": "t"}
    if not has_key:
        left, right = left.drop(columns="k"), right.drop(columns="k")

    def run() -> Any:
        both = (left, right) if is_sorted else (left.sort_values("t"), right.sort_values("t"))
        return pd.merge_asof(*both, **how)[[*VALUES, "row"]]

    return run


def from_pandas(result: Any) -> Any:
    """Return the rows in the order of the data, without their number."""
    return result.sort_values("row").drop(columns="row")


def duckdb(has_key: bool, is_sorted: bool, table: pa.Table) -> Callable[[], Any]:
    """Return a call of ASOF LEFT JOIN; its rows come in any order, with the number of each."""
    connection = frames.to_duckdb(table)
    connection.register("given", quotes(is_sorted, table.num_rows))
    connection.execute("CREATE TABLE quotes AS SELECT * FROM given")
    same_key = "kept.k = quotes.k AND " if has_key else ""
    query = (
        f"SELECT {', '.join(VALUES)}, kept.rowid AS row FROM kept "
        f"ASOF LEFT JOIN quotes ON {same_key}kept.t >= quotes.t"
    )
    return lambda: connection.execute(query).to_arrow_table()


def _workload(
    name: str, title: str, has_key: bool, is_sorted: bool, targets: tuple[Target, ...] = ()
) -> Workload:
    how = has_key, is_sorted
    return Workload(
        name=f"asof_{name}",
        group="asof",
        title=f"as-of join of 2 columns of a tenth as many rows, {title}",
        label=f"as-of, {title}",
        generate=partial(generate, is_sorted),
        rows=10_000_000,
        smoke_rows=20_000,
        contenders=(
            Contender("fastfeat", "fastfeat", partial(fastfeat, *how, False)),
            Contender("fastfeat, same table again", "fastfeat", partial(fastfeat, *how, True)),
            *(
                Contender(f"Polars {engine}", "polars", partial(polars, engine, *how), from_polars)
                for engine in ("eager", "lazy", "streaming")
            ),
            Contender("DuckDB", "duckdb", partial(duckdb, *how), frames.in_order_of_rows),
            Contender("pandas", "pandas", partial(pandas, *how), from_pandas),
        ),
        tolerance=EXACT,
        targets=targets,
        memory=name == "keyed",
    )


ASOF = (
    _workload(
        "keyed",
        "100k keys, any order",
        True,
        False,
        (
            Target("ratio", 5, "pandas"),
            Target("ratio", 4, "polars"),
            Target("ratio", 3, "duckdb"),
        ),
    ),
    _workload("one_key", "no key, any order", False, False),
    _workload("keyed_sorted", "100k keys, sorted by time", True, True),
    _workload("one_key_sorted", "no key, sorted by time", False, True),
)
