"""Windows against pandas, Polars and DuckDB on random rows: each kind of time, key and end.

Where rows of one instant look from `right` or `both`, fastfeat and pandas take those before them in
order, Polars and DuckDB all of them: against these two, such rows have times of their own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import fastfeat as ff
from fastfeat import col
from fastfeat.operators.windows import WindowEnds

pytestmark = pytest.mark.filterwarnings(
    "ignore::fastfeat.errors.TiesInOrder"
)  # what they are is tested

N_ROWS = 200
LAST = 9  # steps of the time
ENDS: tuple[WindowEnds, ...] = ("left", "right", "both", "neither")
WITH_TIES_LIKE_OURS = ("left", "neither")
KEYS: dict[str, tuple[str, ...]] = {"no key": (), "text": ("k",), "several": ("k", "m")}


class Time(NamedTuple):
    """A kind of time: its type, the number of ticks in a step, and how a window of steps is given.

    Args:
        dtype: of the column.
        ticks: of the type in a step.
        unit: of durations; "" for whole numbers.
    """

    dtype: pa.DataType
    ticks: int
    unit: str


TIMES = {
    "int64": Time(pa.int64(), 1, ""),
    "date": Time(pa.date32(), 1, "d"),
    "s": Time(pa.timestamp("s"), 3600, "h"),
    "ms": Time(pa.timestamp("ms"), 1, "ms"),
    "us": Time(pa.timestamp("us", "Europe/Paris"), 1000, "ms"),
    "ns": Time(pa.timestamp("ns"), 1, "ns"),
}
OURS = {
    "count": lambda x, w: x.count(over=w),
    "sum": lambda x, w: x.sum(over=w),
    "mean": lambda x, w: x.mean(over=w),
    "var": lambda x, w: x.var(over=w),
    "std": lambda x, w: x.std(over=w),
    "skew": lambda x, w: x.skew(over=w),
    "kurtosis": lambda x, w: x.kurtosis(over=w, fisher=False),
    "min": lambda x, w: x.min(over=w),
    "max": lambda x, w: x.max(over=w),
    "median": lambda x, w: x.median(over=w),
    "quantile": lambda x, w: x.quantile(0.3, over=w),
    "first": lambda x, w: x.first(over=w),
    "last": lambda x, w: x.last(over=w),
    "n_unique": lambda x, w: x.n_unique(over=w),
}

EXACT = {"count", "sum", "min", "max", "first", "last", "n_unique"}
"""What peers give to the bit; others they round."""


def rows(time: Time, has_ties: bool) -> pa.Table:
    """Return rows in no order, on both sides of 1970, with missing values and few distinct ones."""
    rng = np.random.default_rng(23)
    steps = rng.integers(-40, 40, N_ROWS) if has_ties else rng.permutation(N_ROWS) - N_ROWS // 2
    ticks = pa.array(steps * time.ticks)
    return pa.table(
        {
            "row": np.arange(N_ROWS),
            "tick": ticks,
            "t": ticks.cast(pa.int32()).cast(time.dtype)
            if pa.types.is_date32(time.dtype)
            else ticks.cast(time.dtype),
            "k": rng.choice(["a", "b", "été"], N_ROWS),
            "m": rng.integers(0, 2, N_ROWS),
            "x": pa.array(rng.integers(-20, 20, N_ROWS) / 8, mask=rng.random(N_ROWS) < 0.15),
        }
    )


def ours(
    table: pa.Table, time: Time, keys: Sequence[str], closed: WindowEnds
) -> dict[str, list[Any]]:
    """Return every function over a window, of rows that hold their own past."""
    last = f"{LAST}{time.unit}" if time.unit else LAST
    window = ff.window(last, time="t", by=list(keys) or None, closed=closed)
    plan = ff.Plan({name: function(col("x"), window) for name, function in OURS.items()})
    return plan.fit(table).transform(table, history="batch").to_pydict()


def require_equal(found: dict[str, list[Any]], expected: dict[str, list[Any]]) -> None:
    """Compare counts, and values that occur, exactly; what peers round to 1e-9, + 1e-9."""
    for name, values in expected.items():
        is_rounded = name not in EXACT
        for row, (one, other) in enumerate(zip(found[name], values, strict=True)):
            other = None if other is None or math.isnan(other) else other
            if one is None or other is None or not is_rounded:
                assert one == other, (name, row)
            else:
                assert math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-9), (name, row, one, other)


every_window = pytest.mark.parametrize(
    ("closed", "kind", "by"),
    [(closed, kind, "text") for closed in ENDS for kind in TIMES]
    + [(closed, "us", by) for closed in ENDS for by in KEYS if by != "text"],
)


@every_window
def test_windows_are_those_of_polars(closed: WindowEnds, kind: str, by: str) -> None:
    time, keys = TIMES[kind], KEYS[by]
    table = rows(time, has_ties=closed in WITH_TIES_LIKE_OURS)
    frame = pl.DataFrame(table).sort("t", maintain_order=True)
    x = pl.col("x")
    window: dict[str, Any] = {
        "closed": "none" if closed == "neither" else closed,
        "period": f"{LAST}{time.unit or 'i'}",
    }
    rolling: dict[str, Any] = {
        "by": "t",
        "window_size": window["period"],
        "closed": window["closed"],
    }
    of_rows = {
        "count": x.count(),
        "first": x.drop_nulls().first(),
        "last": x.drop_nulls().last(),
        "n_unique": x.drop_nulls().n_unique(),
        "skew": x.skew(),
        "kurtosis": x.kurtosis(fisher=False),
    }
    wanted = {
        "sum": x.rolling_sum_by(**rolling),
        "mean": x.rolling_mean_by(**rolling),
        "var": x.rolling_var_by(**rolling),
        "std": x.rolling_std_by(**rolling),
        "min": x.rolling_min_by(**rolling),
        "max": x.rolling_max_by(**rolling),
        "median": x.rolling_median_by(**rolling),
        "quantile": x.rolling_quantile_by(quantile=0.3, interpolation="linear", **rolling),
        **{name: one.rolling(index_column="t", **window) for name, one in of_rows.items()},
    }
    features = [
        (one.over(*keys) if keys else one).alias(f"found_{name}") for name, one in wanted.items()
    ]
    expected = frame.with_columns(features).sort("row")
    require_equal(
        ours(table, time, keys, closed),
        {name: expected[f"found_{name}"].to_list() for name in wanted},
    )


SQL = {
    "count": "count(x)",
    "sum": "coalesce(sum(x) OVER w, 0)",
    "mean": "avg(x)",
    "var": "var_samp(x)",
    "std": "stddev_samp(x)",
    "min": "min(x)",
    "max": "max(x)",
    "median": "median(x)",
    "quantile": "quantile_cont(x, 0.3)",
    "first": "arg_min(x, place)",
    "last": "arg_max(x, place)",
    "n_unique": "count(DISTINCT x)",
}


@every_window
def test_windows_are_those_of_duckdb(closed: WindowEnds, kind: str, by: str) -> None:
    time, keys = TIMES[kind], KEYS[by]
    table = rows(time, has_ties=closed in WITH_TIES_LIKE_OURS)
    earliest = LAST * time.ticks - (closed in ("right", "neither"))
    latest = int(closed in ("left", "neither"))
    partition = f"PARTITION BY {', '.join(keys)}" if keys else ""
    wanted = ", ".join(
        f"{text if 'OVER' in text else text + ' OVER w'} AS {name}" for name, text in SQL.items()
    )
    query = f"""
        WITH placed AS (SELECT *, row_number() OVER (ORDER BY tick, row) AS place FROM given)
        SELECT {wanted} FROM placed
        WINDOW w AS ({partition} ORDER BY tick
                     RANGE BETWEEN {earliest} PRECEDING AND {latest} PRECEDING)
        ORDER BY row
    """
    with duckdb.connect() as connection:
        connection.register("given", table.drop_columns("t"))
        expected = connection.sql(query).to_arrow_table().to_pydict()
    require_equal(ours(table, time, keys, closed), expected)


@every_window
def test_windows_are_those_of_pandas_with_ties_at_every_end(
    closed: WindowEnds, kind: str, by: str
) -> None:
    time, keys = TIMES[kind], KEYS[by]
    table = rows(time, has_ties=True)
    frame = table.to_pandas().sort_values("tick", kind="stable")
    step = pd.Timedelta(1, time.unit.replace("d", "D") or "h")
    frame["moment"] = pd.Timestamp(0) + frame["tick"] // time.ticks * step
    frame["all"] = 0
    rolled = frame.groupby([*keys] or "all").rolling(
        LAST * step, on="moment", closed=closed, min_periods=0
    )["x"]
    names = ["count", "sum", "mean", "var", "std", "min", "max", "median", "first", "last"]
    found = {name: getattr(rolled, name)() for name in names}
    found |= {"quantile": rolled.quantile(0.3), "n_unique": rolled.nunique()}
    ordered = frame.groupby([*keys] or "all", sort=True)["row"].indices
    places = np.concatenate([ordered[key] for key in sorted(ordered)])
    back = np.argsort(frame["row"].to_numpy()[places])
    expected = {name: series.to_numpy()[back].tolist() for name, series in found.items()}
    require_equal(ours(table, time, keys, closed), expected)
