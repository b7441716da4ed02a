"""Windows given what they cannot take say so and what to write; hard times follow the rule."""

from __future__ import annotations

import datetime
import decimal
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import fastfeat as ff
from fastfeat import col
from fastfeat.errors import (
    FastfeatError,
    HistoryMissing,
    InvalidData,
    InvalidPlan,
    Overflow,
    TypeMismatch,
    UnknownColumn,
)

X: Any = col("x")  # what a user writes, which no type checker has seen
W: Any = ff.window(time="t")
API: Any = ff
MOST = (1 << 63) - 1
DATA = {"t": [1, 2, 3], "x": [1.0, 2.0, 4.0], "k": ["a", "a", "b"], "yes": [True, False, True]}
BACKENDS = pytest.mark.parametrize("backend", ["cpu", "reference"])


def over(data: Any, feature: ff.Expr, backend: str = "cpu", history: Any = "batch") -> list[Any]:
    fitted = ff.Plan({"f": feature}).fit(data)
    return fitted.transform(data, history=history, backend=backend)["f"].to_pylist()


@pytest.mark.parametrize(
    ("given", "told"),
    [
        *(({"last": x}, "takes a text such as '7d', a timedelta, or a whole number")
          for x in (7.5, True, [7], col("x"), pd.DateOffset(months=1), decimal.Decimal(7))),
        *(({"last": x}, "is not a duration") for x in ("", " 7d", "7D", "1.5h", "d", "7d8")),
        ({"last": "1q"}, "'q' has no fixed length"),
        ({"last": 1 << 63}, "is more than int64 can hold"),
        ({"last": "106752d"}, "is longer than 292 years"),
        ({"last": "106751d", "offset": "1d"}, "together are longer than 292 years"),
        ({"last": MOST, "offset": 1}, "together are more than int64 can hold"),
        ({"last": -3}, "never ahead"),
        ({"last": datetime.timedelta(0)}, "a window of length zero has no rows"),
        ({"offset": 1.5}, "takes a text such as '7d'"),
        ({"offset": "1mo"}, "'mo' has no fixed length"),
        ({"offset": "-1d"}, "never ahead"),
        *(({"rows": x}, r"window\(rows=.*takes a whole number from 1")
          for x in (2.5, -1, True, "7d", 1 << 63)),
        *(({"min_samples": x}, r"window\(min_samples=.*takes a whole number from 0")
          for x in (1.5, -1, None, 1 << 63)),
        *(({"closed": x}, "'left', 'right', 'both' or 'neither'") for x in (None, "LEFT", 1)),
        *(({"tie": x}, r"window\(tie=.*name of a column or an expression") for x in (["a"], 3, W)),
        *(({"time": x}, r"window\(time=.*name of a column or an expression")
          for x in (None, ["t"], 3, W)),
        *(({"by": x}, r"window\(by=.*a column, an expression, or a list") for x in (3, W)),
        ({"by": ["k", 3]}, "3 is neither the name of a column nor an expression"),
        ({"by": []}, "names no key. If there is no key, leave out by="),
        *(({name: X.cyclical(3)}, "gives 2 columns") for name in ("time", "by", "tie")),
    ],
)  # fmt: skip
def test_a_window_names_what_it_does_not_take(given: dict[str, Any], told: str) -> None:
    with pytest.raises((InvalidPlan, TypeMismatch), match=told):
        ff.window(**{"time": "t", **given})


DAYS = {"day": [datetime.date(2024, 1, day) for day in (1, 2, 3)], "x": [1.0, 2.0, 4.0]}


@pytest.mark.parametrize(
    ("given", "write"),
    [
        ({"last": "12h"}, "last='1d'"),
        ({"last": "12h", "closed": "neither"}, "last='2d'"),
        ({"last": "1d", "closed": "neither"}, "last='2d'"),
        ({"last": "12h", "offset": "6h", "closed": "right"}, "last='1d'"),
        ({"last": "30h", "offset": "40h", "closed": "neither", "table": "days"}, None),
        ({"last": "12h", "table": "days"}, "last='1d'"),
        ({"last": "12h", "closed": "right"}, None),
        ({"last": "12h", "offset": "12h"}, None),
        ({"last": "36h"}, None),
    ],
)
def test_a_window_between_two_dates_says_that_no_row_is_ever_in_it(
    given: dict[str, Any], write: str | None
) -> None:
    plan = ff.Plan({"f": X.sum(over=ff.window(time="day", **given))})
    if write is None:
        plan.fit(DAYS, tables={"days": DAYS} if "table" in given else None)
        return
    told = rf"^ff\.window\(.*\): the window is always empty: .* date32, .* 1d\. Write {write}, or"
    for call in (plan.fit, plan.schema):
        with pytest.raises(TypeMismatch, match=told):
            call(DAYS, tables={"days": DAYS} if "table" in given else None)
    if "table" in given:  # whose times are finer
        moments = {**DAYS, "day": [datetime.datetime(2024, 1, 1, 18)] * 3}
        assert plan.fit_transform(DAYS, tables={"days": moments})[1]["f"].to_pylist() == [0, 7, 0]


def test_a_window_ahead_between_two_dates_says_that_no_row_is_ever_in_it() -> None:
    plan = ff.Plan({"f": X}, label={"y": ff.count(over=ff.ahead("12h", time="day")) == 0})
    with pytest.raises(TypeMismatch, match=r"always empty: it is 12h.*Write next='1d'"):
        plan.fit(DAYS)


def test_durations_of_numpy_and_pandas_are_taken() -> None:
    week = ff.window("7d", time="t")
    given = [np.timedelta64(7, "D"), pd.Timedelta(7, "D"), datetime.timedelta(7), "1w"]
    for last in given:
        assert repr(API.window(last, time="t")) == repr(week)
    assert repr(API.window(np.int64(7), time="t", offset=0)) == "ff.window(7, time='t')"


@pytest.mark.parametrize(
    ("feature", "told"),
    [
        (lambda: X.mean(over="k"), r"over=ff\.window\('7d', by='k'.*of each key write by='k'"),
        (lambda: X.lag(1, over="k"), r"over=ff\.window\('7d', by='k'.*of each key write by='k'"),
        (lambda: API.count(over="k"), r"count\(over='k'\): over= takes a window"),
        (lambda: API.time_since_last(over="k"), "over= takes a window"),
        (lambda: X.mean(over="28d"), r"a window: over=ff\.window\('28d', by='key', time='t'\)"),
        (lambda: API.session_id("1d", over="k"), "over= takes a window"),
        (lambda: X.mean(over=["k"]), "takes a window, such as"),
        (lambda: X.mean(over=col("k")), "takes a window, such as"),
        (lambda: X.lag(1, over=None), "takes a window, such as"),
        (lambda: X.mean(over=W, by="k"), "use by= or over=, not both. by= learns from the "),
        (lambda: X.mean(over="k", by="k"), "use by= or over=, not both"),
        (lambda: X.mean(by=W), "takes the name of a column"),
        (lambda: X.impute("mean", by=W), "takes the name of a column"),
        (lambda: API.asof("w", by=W, time="t"), "takes the name of a column, a list"),
        (lambda: X + W, "of type Window cannot be part of an expression"),
        (lambda: X + pl.col("x"), "Write it with fastfeat.col instead of polars.col"),
        (lambda: API.when(W), "of type Window cannot be part of an expression"),
        (lambda: API.time_since(W, over=W), "of type Window cannot be part of an expression"),
        (lambda: API.Plan({"f": W}), r"got a window\. Aggregate its rows"),
        (lambda: API.Plan([W]), r"got a window\. Aggregate its rows"),
        (lambda: X.cyclical(3).mean(over=W), "gives 2 columns"),
        *((lambda n=n: X.lag(n, over=W), r"lag\(n=.*takes a whole number from 1")
          for n in (0, -1, 1.0, True, 1 << 63)),
        (lambda: API.session_id(None, over=W), r"gap=None\): takes a duration"),
        (lambda: API.session_id("-1d", over=W), "must not be negative. Write the length"),
        (lambda: API.session_id("1mo", over=W), "'mo' has no fixed length"),
        *((lambda d=d: API.Plan({"f": X}, label="y", label_delay=d), r"label_delay=.*")
          for d in (1.5, "-1d", "1mo", True)),
    ],
)  # fmt: skip
def test_what_is_no_window_and_a_window_in_another_place_are_refused(
    feature: Callable[[], Any], told: str
) -> None:
    with pytest.raises((InvalidPlan, TypeMismatch), match=told):
        feature()


def column(kind: Any, *values: Any) -> pa.Table:
    return pa.table({"t": pa.array(values, kind), "u": range(len(values))})


@pytest.mark.parametrize(
    ("times", "told"),
    [
        (column(pa.string(), "2024-01-01"), r"got utf8\. Parse text first"),
        (column(pa.float64(), 0.5), r"got float64\. Cast whole numbers"),
        (column(pa.uint64(), 1), r"got uint64\. Cast"),
        (column(pa.decimal128(9, 2), decimal.Decimal(1)), r"got decimal\. Cast"),
        (column(pa.bool_(), True), "got bool$"),
        (column(pa.duration("s"), 1), r"got duration\[s\]$"),
        (column(pa.time32("s"), 1), r"got time\[s\]$"),
        (column(pa.null(), None), "got null"),
        (column(pa.list_(pa.int64()), [1]), r"got list\[int64\]$"),
    ],
)
def test_a_time_is_a_timestamp_a_date_or_a_whole_number(times: pa.Table, told: str) -> None:
    with pytest.raises(TypeMismatch, match=f"time= needs a timestamp, a date or whole.*{told}"):
        over(times, ff.count(over=W))
    numbers = times.rename_columns(["k", "t"])
    if "list" in told:
        with pytest.raises(TypeMismatch, match=r"ff\.window\(by='k', time='t'\): by= needs .*list"):
            over(numbers, ff.count(over=ff.window(time="t", by="k")))
        with pytest.raises(TypeMismatch, match="needs text, numbers, bools, dates or times"):
            over(numbers, col("k").count(over=W))
    elif "decimal" in told:
        with pytest.raises(TypeMismatch, match="decimals with digits after the point cannot be"):
            over(numbers, ff.count(over=ff.window(time="t", by="k")))
    else:
        assert over(numbers, ff.count(over=ff.window(time="t", by="k"))) in ([0], [None])


@pytest.mark.parametrize(
    ("feature", "told"),
    [
        (ff.count(over=ff.window(time="t", tie="k")), r"tie= needs numbers, dates or times.*utf8"),
        (ff.session_id("1d", over=W), r"the gap are durations, but time= has whole numbers"),
        (X.mean(over=ff.window(time="t", offset="1d")), "time= has whole numbers"),
        (ff.time_since(X, over=W), "needs a bool, got float64. Compare first"),
        (col("k").sum(over=W), "needs a number"),
        (col("k").any(over=W), "cannot cast utf8 to bool"),
    ],
)
def test_a_column_of_another_type_is_refused_by_name(feature: ff.Expr, told: str) -> None:
    with pytest.raises(TypeMismatch, match=told):
        over(DATA, feature)


def test_a_column_that_lacks_is_named() -> None:
    for window in (ff.window(time="q"), ff.window(time="t", by="q"), ff.window(time="t", tie="q")):
        with pytest.raises(UnknownColumn, match="'q'"):
            over(DATA, ff.count(over=window))


def test_any_and_all_take_numbers_as_bools() -> None:
    data = {"t": [1, 2, 3, 4], "n": [0, 2, None, 1]}
    assert over(data, col("n").any(over=W)) == [None, False, True, True]
    assert over(data, col("n").all(over=W)) == [None, False, False, False]


def test_a_key_that_is_named_twice_is_that_key() -> None:
    once, twice = (ff.window(time="t", by=by) for by in ("k", ["k", "k"]))
    assert over(DATA, X.sum(over=twice)) == over(DATA, X.sum(over=once)) == [0.0, 1.0, 0.0]


@BACKENDS
@pytest.mark.filterwarnings("ignore::fastfeat.errors.TiesInOrder")
def test_unsorted_duplicate_and_missing_times(backend: str) -> None:
    data = {"t": [3, None, 1, 3, None, 2], "x": [1.0, 2.0, 4.0, 8.0, 16.0, 32.0]}
    assert over(data, X.sum(over=W), backend) == [36.0, None, 0.0, 36.0, None, 4.0]
    right = ff.window(time="t", closed="right")
    assert over(data, X.sum(over=right), backend) == [37.0, None, 4.0, 45.0, None, 36.0]
    nothing = {"t": pa.array([None, None], pa.int64()), "x": [1.0, 2.0]}
    assert over(pa.table(nothing), ff.count(over=W), backend) == [None, None]
    not_a_time = {"t": np.array(["NaT", "2024-01-01", "2024-01-02"], "datetime64[s]")}
    assert over(not_a_time, ff.count(over=W), backend) == [None, 0, 1]


@BACKENDS
def test_windows_longer_than_the_data_and_times_at_the_ends_of_the_scale(backend: str) -> None:
    assert over(DATA, X.sum(over=ff.window(10**9, time="t")), backend) == [0.0, 1.0, 3.0]
    assert over(DATA, X.lag(MOST, over=W), backend) == [None] * 3
    assert over(DATA, ff.count(over=ff.window(time="t", rows=MOST)), backend) == [0, 1, 2]
    assert over(DATA, X.sum(over=ff.window(time="t", min_samples=MOST)), backend) == [None] * 3
    dates = [datetime.date(1, 1, 1), datetime.date(1969, 12, 31), datetime.date(1970, 1, 1)]
    day = ff.window("1d", time="t")
    assert over({"t": [*dates, datetime.date.max]}, ff.count(over=day), backend) == [0, 0, 1, 0]
    ends = [-MOST - 1, 0, MOST]
    for unit in ("s", "ns"):
        table = pa.table({"t": pa.array(ends, pa.timestamp(unit)), "x": [1.0, 2.0, 4.0]})
        longest = ff.window("106751d", time="t", closed="both")
        assert over(table, X.sum(over=longest), backend) == [1.0, 2.0, 4.0]
        ticks = 10**9 if unit == "ns" else 1
        since = over(table, ff.time_since_last(over=W), backend)
        assert since == [None, float(MOST + 1) / ticks, float(MOST) / ticks]
    numbers = {"t": ends, "x": [1.0, 2.0, 4.0]}
    assert over(numbers, X.sum(over=ff.window(MOST, time="t", closed="both")), backend)[2] == 6.0
    with pytest.raises(Overflow, match=r"row 1: the time since that row does not fit into int64"):
        over(numbers, ff.time_since_last(over=ff.window(time="t", rows=1)), backend)


HISTORY = ff.Plan({"f": X.sum(over=ff.window(5, by="k", time="t"))}).fit(DATA)


@pytest.mark.parametrize(
    ("history", "told"),
    [
        (3, "history=: got int, which is not a table"),
        ("Batch", r"history=: no such file: Batch\. Did you mean 'batch'\?"),
        ("bach", r"history=: no such file: bach\. Did you mean 'batch'\?"),
        ("all", r"no such file: all\. If the data itself has the earlier rows, pass 'batch'"),
        ("", "history=: .*pass 'batch'"),
        ({"t": [0], "k": ["a"]}, "history=: the data lacks the column 'x'"),
        ({"t": ["a"], "x": [1.0], "k": ["a"]}, "history=: .*fit saw int64, got utf8"),
        ({"t": [0.5], "x": [1.0], "k": ["a"]}, "history=: .*0.5 in row 0 is not exactly"),
        ({"t": [0], "x": [1.0], "k": [3]}, "history=: .*fit saw utf8, got int64"),
        ({"t": [0, 2, 3], "x": [1.0] * 3, "k": [*"aaa"]}, r"history=, row 1: .* = 2 .*'a'"),
    ],
)
def test_history_that_does_not_fit_says_that_it_is_the_history(history: Any, told: str) -> None:
    with pytest.raises(FastfeatError, match=told):
        HISTORY.transform(DATA, history=history)
    whole = {"t": [0.0], "x": [1], "k": pa.array(["a"]).dictionary_encode()}
    fractional = {**DATA, "t": [1.0, 2.0, 2.5]}
    with pytest.raises(InvalidData, match=r"^col\(\"t\"\): 2.5 in row 2"):  # of the data
        HISTORY.transform(fractional, history=pa.table(whole))
    assert HISTORY.transform(DATA, history=pa.table(whole))["f"].to_pylist() == [1.0, 2.0, 0.0]


@pytest.mark.parametrize(
    ("window", "n_rows"),
    [
        (ff.window(3, time="t"), 2),  # of the times 1 3 4 7, those whose window begins before 1
        (ff.window(2, time="t", offset=1), 2),
        (ff.window(4, by="k", time="t", rows=1), 3),
        (ff.window(time="t"), 4),
        (ff.window(rows=1, time="t"), 4),
        (ff.window(1, time="t"), 1),
        (ff.window(MOST, time="t"), 4),
    ],
)
def test_a_warning_counts_the_rows_whose_window_begins_before_the_data(
    window: Any, n_rows: int
) -> None:
    data = {"t": [4, 1, None, 7, 3], "k": ["a"] * 5}
    rows = "1 row" if n_rows == 1 else f"{n_rows} rows"
    fitted = ff.Plan({"n": ff.count(over=window)}).fit(data)
    with pytest.warns(HistoryMissing, match=rf"before the data: {rows} of ff\.window\("):
        fitted.transform(data)


def test_a_window_over_a_table_names_itself():
    data = pa.table({"x": ["a"], "t": [1]})
    other = pa.table({"x": pa.array([b"a"]), "t": [1]})
    plan = ff.Plan({"n": ff.count(over=ff.window(by="x", time="t", table="d"))})
    wanted = r"^ff\.window\(by='x', time='t', table='d'\): needs text, .* got binary"
    with pytest.raises(ff.errors.TypeMismatch, match=wanted):
        plan.fit(data, tables={"d": other})
