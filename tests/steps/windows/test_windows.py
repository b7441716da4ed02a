"""Windows over an entity's earlier rows: which rows belong, and what is made of them."""

from __future__ import annotations

import datetime
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import fastfeat as ff
from fastfeat import col
from fastfeat.errors import InvalidPlan, TypeMismatch

pytestmark = pytest.mark.filterwarnings(
    "ignore::fastfeat.errors.TiesInOrder"
)  # what they are is tested

DAY = datetime.timedelta(days=1)
START = datetime.datetime(2024, 1, 1)
CARD = ff.window(by="card", time="t")


def at(*days: float | None) -> list[datetime.datetime | None]:
    return [None if day is None else START + day * DAY for day in days]


def over(data: Any, backend: str = "cpu", **features: ff.Expr) -> dict[str, list[Any]]:
    """Return features of data that holds its own past."""
    plan = ff.Plan(features)
    return plan.fit(data).transform(data, history="batch", backend=backend).to_pydict()


ROWS = {
    "t": at(5, 1, 3, 2, 9, 3, None, 4),
    "card": ["a", "b", "a", "a", "a", "b", "a", None],
    "x": [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0],
}


def test_a_window_takes_the_rows_before_and_results_stand_in_the_order_of_the_rows() -> None:
    week = ff.window("7d", by="card", time="t")
    found = over(
        ROWS, sum=col("x").sum(over=week), n=ff.count(over=week), lag=col("x").lag(over=CARD)
    )
    assert found["sum"] == [12.0, 0.0, 8.0, 0.0, 13.0, 2.0, None, None]
    assert found["n"] == [2, 0, 1, 0, 3, 1, None, None]
    assert found["lag"] == [4.0, None, 8.0, None, 1.0, 2.0, None, None]


@pytest.mark.parametrize(
    ("closed", "expected"),
    [
        ("left", [0, 1, 1, 2, 2]),
        ("right", [1, 2, 3, 1, 2]),
        ("both", [1, 2, 3, 3, 4]),
        ("neither", [0, 1, 1, 0, 0]),
    ],
)
def test_closed_says_which_ends_belong(closed: Any, expected: list[int]) -> None:
    window = ff.window("2d", time="t", closed=closed)
    data = {"t": at(0, 1, 1, 3, 3)}
    assert over(data, n=ff.count(over=window))["n"] == expected


def test_with_the_row_itself_come_its_peers_before_it_and_none_behind() -> None:
    right = ff.window("1d", time="t", closed="right")
    data = {"t": at(1, 1, 1), "x": [1, 2, 4], "order": [3, 1, 2]}
    assert over(data, s=col("x").sum(over=right))["s"] == [1, 3, 7]
    tied = ff.window("1d", time="t", closed="right", tie="order")
    assert over(data, s=col("x").sum(over=tied))["s"] == [7, 2, 6]


def test_rows_keeps_the_latest_and_offset_ends_the_window_earlier() -> None:
    data = {"t": [0, 10, 20, 30, 40], "x": [1, 2, 4, 8, 16]}
    found = over(
        data,
        two=col("x").sum(over=ff.window(time="t", rows=2)),
        ago=col("x").sum(over=ff.window(15, time="t", offset=10, closed="right")),
        lag=col("x").lag(1, over=ff.window(time="t", offset=20, closed="right")),
    )
    assert found["two"] == [0, 1, 3, 6, 12]
    assert found["ago"] == [0, 1, 3, 6, 12]
    assert found["lag"] == [None, None, 1, 2, 4]


def test_min_samples_asks_for_values_not_rows() -> None:
    data = {"t": [0, 1, 2, 3], "x": [1.0, None, 4.0, 8.0]}
    window = ff.window(time="t", min_samples=2)
    found = over(data, mean=col("x").mean(over=window), n=col("x").count(over=window))
    assert found == {"mean": [None, None, None, 2.5], "n": [0, 1, 1, 2]}


@pytest.mark.parametrize("closed", ["left", "right", "both", "neither"])
def test_aggregates_are_those_of_pandas_without_ties(closed: Any) -> None:
    rng = np.random.default_rng(7)
    n = 200
    frame = pd.DataFrame(
        {
            "t": pd.Timestamp(START) + pd.to_timedelta(rng.permutation(n * 3)[:n], "h"),
            "card": rng.choice(["a", "b", "c"], n),
            "x": rng.integers(-50, 50, n).astype(float),
        }
    )
    frame.loc[rng.random(n) < 0.1, "x"] = np.nan
    window = ff.window("2d", by="card", time="t", closed=closed)
    names = ["sum", "mean", "min", "max", "median", "std", "count"]
    found = over(frame, **{name: getattr(col("x"), name)(over=window) for name in names})
    ordered = frame.sort_values("t")
    rolled = ordered.groupby("card").rolling("2D", on="t", closed=closed, min_periods=0)["x"]
    for name in names:
        series = getattr(rolled, name)().reset_index()
        by_time = series.set_index(["card", "t"])["x"]
        asked = pd.MultiIndex.from_arrays([frame["card"], frame["t"]])
        expected = by_time.loc[asked].to_numpy()
        np.testing.assert_allclose(
            np.array(found[name], dtype=float), expected.astype(float), rtol=1e-9, atol=1e-9
        )


def test_text_and_times_are_kept_and_encoded() -> None:
    data = {"t": [0, 1, 2, 3], "device": ["m", None, "w", "m"], "d": at(1, 2, 3, 4)}
    window = ff.window(time="t")
    found = over(
        data,
        same=col("device").lag(1, over=window) == col("device").last(over=window),
        n=col("device").n_unique(over=window),
        code=col("device").lag(1, over=window).ordinal_encode(),
        first=col("d").first(over=window),
        often=col("device").mode(over=window) == "m",
    )
    assert found["same"] == [None, True, None, True]
    assert found["n"] == [0, 1, 1, 2]
    assert found["first"] == [None, *at(1, 1, 1)]
    assert found["often"] == [None, True, True, True]
    assert found["code"] == [0, 2, 0, 3]


def test_time_since_is_in_seconds_or_steps() -> None:
    visits = ff.window(by="card", time="t")
    found = over(
        ROWS,
        last=ff.time_since_last(over=visits),
        large=ff.time_since(col("x") > 5, over=visits),
    )
    assert found["last"] == [2 * 86400.0, None, 86400.0, None, 4 * 86400.0, 2 * 86400.0, None, None]
    assert found["large"] == [3 * 86400.0, None, 86400.0, None, 7 * 86400.0, None, None, None]
    steps = {"t": [3, 5, 9]}
    assert over(steps, s=ff.time_since_last(over=ff.window(time="t")))["s"] == [None, 2, 4]


def test_sessions_begin_after_a_gap_and_peers_share_one() -> None:
    data = {"t": at(0, 0.01, 2, 2, 2.01, 5), "card": ["a"] * 6}
    assert over(data, s=ff.session_id("1d", over=CARD))["s"] == [0, 0, 1, 1, 1, 2]
    for given in ({"last": "7d"}, {"rows": 3}, {"offset": "1d"}, {"min_samples": 2}):
        bounded: Any = {"time": "t", **given}
        with pytest.raises(InvalidPlan, match="Leave out last=, rows=, offset= and min_samples="):
            ff.session_id("1d", over=ff.window(**bounded))


def test_windows_stand_in_any_expression_and_over_windows() -> None:
    week = ff.window("7d", by="card", time="t")
    x = col("x")
    found = over(
        ROWS,
        relative=(x - x.mean(over=week)) / x.max(over=week),
        nested=x.lag(1, over=CARD).max(over=week),
        scaled=x.sum(over=week).min_max_scale(),
        share=(x > 5).mean(over=week),
    )
    assert found["relative"] == [-5 / 8, None, -0.5, None, (16 - 13 / 3) / 8, 15.0, None, None]
    assert found["nested"] == [8.0, None, None, None, 8.0, None, None, None]
    assert found["scaled"][0] == 12 / 13
    assert found["share"] == [0.5, None, 1.0, None, 1 / 3, 0.0, None, None]


def test_a_value_depends_on_the_rows_in_the_window_alone() -> None:
    x = [0.1, 1e300, -1e300, float("inf"), 0.2, 0.3, None, 0.1, 0.2]
    data = {"t": list(range(9)), "x": x}
    found = over(
        data,
        s=col("x").sum(over=ff.window(2, time="t")),
        sd=col("x").std(over=ff.window(2, time="t")),
    )
    assert found["s"][7] == 0.3
    assert found["s"][3] == 0.0
    assert found["s"][4] == float("inf")
    assert found["s"][8] == 0.1
    assert over(
        {"t": [0, 1, 2], "x": [0.1, 0.2, 0.0]}, sd=col("x").std(over=ff.window(2, time="t"))
    )["sd"][2] == pytest.approx(np.std([0.1, 0.2], ddof=1))


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"last": "1mo"}, "'mo' has no fixed length"),
        ({"last": "2y"}, "Write days"),
        ({"last": "-7d"}, "never ahead"),
        ({"last": "0d"}, "a window of length zero has no rows"),
        ({"last": 0}, "a window of length zero has no rows"),
        ({"last": "7 days"}, "is not a duration"),
        ({"last": "7i"}, "number of rows use rows="),
        ({"last": "300000d"}, "longer than 292 years"),
        ({"offset": 2**63 - 1}, "together are more than int64 can hold"),
        ({"last": "7d", "offset": 3}, "one is a duration and the other a whole number"),
        ({"offset": datetime.timedelta(-1)}, "never ahead"),
        ({"rows": 0}, "from 1"),
        ({"closed": "middle"}, "'left', 'right', 'both' or 'neither'"),
    ],
)
def test_a_window_that_cannot_be_says_what_to_write(given: dict[str, Any], told: str) -> None:
    with pytest.raises(InvalidPlan, match=told):
        ff.window(time="t", **given)


def test_the_time_and_the_reach_must_be_of_one_kind() -> None:
    numbers = ff.Plan({"n": ff.count(over=ff.window("7d", time="t"))})
    with pytest.raises(TypeMismatch, match=r"time= has whole numbers.*last=28"):
        numbers.fit({"t": [1, 2]})
    with pytest.raises(TypeMismatch, match=r"time= has dates or timestamps.*'7d'"):
        ff.Plan({"n": ff.count(over=ff.window(7, time="t"))}).fit({"t": at(1)})
    with pytest.raises(TypeMismatch, match="Parse text first"):
        ff.Plan({"n": ff.count(over=ff.window(time="t"))}).fit({"t": ["2024-01-01"]})
    lists = pa.table({"t": [1], "k": pa.array([[1]])})
    with pytest.raises(TypeMismatch, match="by= needs"):
        ff.Plan({"n": ff.count(over=ff.window(time="t", by="k"))}).fit(lists)


def test_over_takes_a_window_and_not_a_key() -> None:
    with pytest.raises(InvalidPlan, match=r"over=ff\.window\('7d', by='card'"):
        col("x").mean(over="card")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    with pytest.raises(InvalidPlan, match="use by= or over=, not both"):
        col("x").mean(over=CARD, by="card")


def test_a_duration_has_units_of_one_length_anywhere() -> None:
    text = ff.window("1w2d3h4m5s6ms7us8ns", time="t")
    assert repr(text) == "ff.window('9d3h4m5s6ms7us8ns', time='t')"
    delta = ff.window(datetime.timedelta(hours=36), time="t")
    assert repr(delta) == "ff.window('1d12h', time='t')"


def test_dates_before_1970_and_ends_of_the_scale_are_no_special_case() -> None:
    dates = {"t": [datetime.date(1969, 12, 30), datetime.date(1970, 1, 2)]}
    assert over(dates, n=ff.count(over=ff.window("36h", time="t")))["n"] == [0, 0]
    assert over(dates, n=ff.count(over=ff.window("72h", time="t")))["n"] == [0, 1]
    ends = {"t": [-(2**63), 0, 2**63 - 1]}
    assert over(ends, n=ff.count(over=ff.window(2**63 - 1, time="t")))["n"] == [0, 0, 1]
