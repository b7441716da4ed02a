"""Ranks, decaying means, slopes, streaks over windows: against pandas and Polars, and by hand."""

from __future__ import annotations

import datetime
import math
import sys
from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from fastfeat_kernels.windows import decay
from hypothesis import given
from hypothesis import strategies as st

import fastfeat as ff
from fastfeat import col
from fastfeat.errors import ArtifactError, InvalidPlan, TypeMismatch

START = datetime.datetime(2024, 1, 1)
CARD = ff.window(by="card", time="t", closed="right")
X = col("x")
MOST = sys.float_info.max
LN_2 = sum(Fraction(1, k << k) for k in range(1, 81))  # to 2**-80
SERIES = tuple(float(LN_2**k / math.factorial(k)) for k in range(14))
"""The series of 2**r, each coefficient rounded once."""


def half_power(age: float) -> float:
    """Return 2**-age: the series of what is left of the nearest integer, by Horner's rule."""
    if age > 1000:
        return 0.0
    n = math.floor(age + 0.5)
    *others, power = SERIES
    while others:
        power = power * (n - age) + others.pop()
    return math.ldexp(power, -n)


def moved_towards(average: float, x: float, weight: float) -> float:
    """Return average + (x - average) / weight, halved on the way where that overflows."""
    if weight == 1:
        return x
    if math.isfinite(x - average):
        return average + (x - average) / weight
    return 2 * (average / 2 + (x / 2 - average / 2) / weight)


def over(data: Any, **features: ff.Expr) -> dict[str, list[Any]]:
    """Return features of data that holds its own past."""
    plan = ff.Plan(features)
    return plan.fit(data).transform(data, history="batch").to_pydict()


def events(n: int = 300) -> pd.DataFrame:
    """Return rows of three entities in order of time, all of other instants; some lack a value."""
    rng = np.random.default_rng(3)
    frame = pd.DataFrame(
        {
            "t": pd.Timestamp(START) + pd.to_timedelta(np.sort(rng.permutation(n * 3)[:n]), "h"),
            "card": rng.choice(["a", "b", "c"], n),
            "x": rng.integers(0, 12, n).astype(float),
        }
    )
    frame.loc[rng.random(n) < 0.15, "x"] = np.nan
    return frame


def by_card(frame: pd.DataFrame, of_card: Any) -> list[float]:
    """Return what a function of the rows of each entity gives, in the order of the rows."""
    parts = [of_card(rows) for _, rows in frame.groupby("card")]
    return pd.concat(parts).reindex(frame.index).to_list()


def check(found: list[Any], expected: list[float], rtol: float = 1e-12) -> None:
    numbers = np.array(found, dtype=float)
    np.testing.assert_allclose(numbers, np.array(expected, dtype=float), rtol=rtol, atol=1e-15)


@pytest.mark.parametrize("method", ["average", "min", "max"])
def test_ranks_are_those_of_pandas(method: Any) -> None:
    frame, last = events(), ff.window("3d", by="card", time="t", closed="right")
    found = over(
        frame,
        rank=X.rank(over=last, method=method),
        share=X.rank(over=last, method=method, pct=True),
    )

    def ranked(rows: pd.DataFrame, pct: bool) -> Any:
        rolled = rows.set_index("t")["x"].rolling("3D", closed="right", min_periods=1)
        return pd.Series(rolled.rank(method=method, pct=pct).to_numpy(), rows.index)

    assert pd.Series(found["rank"]).equals(pd.Series(by_card(frame, lambda r: ranked(r, False))))
    check(found["share"], by_card(frame, lambda r: ranked(r, True)))


def test_ranks_of_rows_are_those_of_polars() -> None:
    frame = events().query("card == 'a'")
    found = over(frame, r=X.rank(over=ff.window(time="t", rows=8, closed="right"), method="min"))
    values = pl.Series(frame["x"].to_numpy()).fill_nan(None)
    expected = values.rolling_rank(8, method="min", min_samples=1)
    assert found["r"] == expected.cast(pl.Float64).to_list()


def test_a_value_outside_of_its_window_is_ranked_among_those_inside() -> None:
    data = {
        "t": [0, 1, 2, 3, 4, 4],
        "x": [5, 3, 5, None, 5, 5],
        "s": ["b", "a", "b", "c", None, "b"],
    }
    past = ff.window(time="t")
    found = over(
        data,
        rank=X.rank(over=past),
        least=X.rank(over=past, method="min"),
        most=X.rank(over=past, method="max"),
        share=X.rank(over=past, pct=True),
        text=col("s").rank(over=past),
        few=X.rank(over=ff.window(time="t", min_samples=2)),
    )
    assert found["rank"] == [None, 1.0, 2.5, None, 3.0, 3.0]
    assert found["least"] == [None, 1.0, 2.0, None, 2.0, 2.0]
    assert found["most"] == [None, 1.0, 3.0, None, 4.0, 4.0]
    assert found["share"] == [None, 0.5, 2.5 / 3, None, 0.75, 0.75]
    assert found["text"] == [None, 1.0, 2.5, 4.0, None, 3.0]
    assert found["few"] == [None, None, 2.5, None, 3.0, 3.0]


def test_a_mean_by_rows_is_that_of_pandas_and_polars() -> None:
    frame = events()
    found = over(
        frame,
        own=X.ewm_mean(alpha=0.3, over=CARD),
        before=X.ewm_mean(alpha=0.3, over=ff.window(by="card", time="t")),
        latest=X.ewm_mean(alpha=1, over=CARD),
    )
    check(found["own"], by_card(frame, lambda rows: rows["x"].ewm(alpha=0.3).mean()))
    check(found["before"], by_card(frame, lambda rows: rows["x"].ewm(alpha=0.3).mean().shift(1)))
    check(found["latest"], by_card(frame, lambda rows: rows["x"].ffill()))
    rows = frame[frame["card"] == "a"]
    values = pl.Series(np.array(rows["x"], dtype=float)).fill_nan(None)
    of_polars = values.ewm_mean(alpha=0.3, ignore_nulls=False).to_list()
    own = np.array(found["own"])[frame["card"] == "a"]
    assert len(own) == len(of_polars)
    for one, other in zip(own, of_polars, strict=True):
        assert other is None or one == pytest.approx(other, rel=1e-12)  # Polars' null is missing


def test_a_mean_by_time_is_that_of_pandas() -> None:
    frame = events()
    frame["x"] = frame["x"].fillna(1.5)
    found = over(
        frame,
        own=X.ewm_mean(half_life="36h", over=CARD),
        before=X.ewm_mean(half_life="36h", over=ff.window(by="card", time="t")),
    )

    def averaged(rows: pd.DataFrame) -> Any:
        return rows["x"].ewm(halflife="36h", times=rows["t"]).mean()

    check(found["own"], by_card(frame, averaged), rtol=1e-11)
    check(found["before"], by_card(frame, lambda rows: averaged(rows).shift(1)), rtol=1e-11)


@pytest.mark.filterwarnings("ignore::fastfeat.errors.TiesInOrder")
def test_a_mean_by_time_weighs_by_age_whatever_the_order_of_rows() -> None:
    data = {"t": [4, 0, 2, 2, 100000], "x": [1.0, 8.0, 4.0, 2.0, 0.0]}
    found = over(data, m=X.ewm_mean(half_life=2, over=ff.window(time="t", closed="right")))
    after = (8 * 0.25 + 4 * 0.5 + 2 * 0.5 + 1) / (0.25 + 0.5 + 0.5 + 1)
    expected = [after, 8.0, (4 + 4) / 1.5, (4 + 4 + 2) / 2.5, 0.0]
    assert found["m"] == pytest.approx(expected, rel=1e-15)


def test_a_sum_by_rows_is_that_of_pandas_its_mean_times_its_weights() -> None:
    frame = events()
    found = over(
        frame,
        own=X.ewm_sum(alpha=0.3, over=CARD),
        before=X.ewm_sum(alpha=0.3, over=ff.window(by="card", time="t")),
        latest=X.ewm_sum(alpha=1, over=CARD),
    )

    def summed(rows: pd.DataFrame) -> Any:
        # what is missing weighs nothing: the sum of the weights is that of a column of ones
        ones = rows["x"].notna().astype(float)
        weights = [
            sum(0.7**k * x for k, x in enumerate(ones[: n + 1][::-1])) for n in range(len(ones))
        ]
        return (rows["x"].ewm(alpha=0.3).mean() * weights).fillna(0)

    check(found["own"], by_card(frame, summed))
    check(found["own"], by_card(frame, lambda rows: rows["x"].ewm(alpha=0.3).sum().fillna(0)))
    before = by_card(frame, lambda rows: summed(rows).shift(1, fill_value=0))
    check(found["before"], before)
    check(found["latest"], frame["x"].fillna(0).to_list())


def test_a_sum_by_time_is_the_mean_of_pandas_times_the_weights_of_now() -> None:
    frame = events()
    frame["x"] = frame["x"].fillna(1.5)
    found = over(
        frame,
        own=X.ewm_sum(half_life="36h", over=CARD),
        before=X.ewm_sum(half_life="36h", over=ff.window(by="card", time="t")),
    )

    def summed(rows: pd.DataFrame) -> Any:
        mean = rows["x"].ewm(halflife="36h", times=rows["t"]).mean()
        hours = (rows["t"] - pd.Timestamp(START)) / pd.Timedelta("36h")
        return mean * [sum(2 ** (hours[: n + 1] - hours.iloc[n])) for n in range(len(rows))]

    def summed_before(rows: pd.DataFrame) -> Any:
        fallen = 2 ** -(rows["t"].diff() / pd.Timedelta("36h"))
        return (summed(rows).shift(1) * fallen).fillna(0)

    check(found["own"], by_card(frame, summed), rtol=1e-11)
    check(found["before"], by_card(frame, summed_before), rtol=1e-11)


def defined_sum(rows: list[tuple[float | None, float]]) -> float:
    """Return the exact sum of values, each with its weight, as a float."""
    return float(sum((Fraction(x) * Fraction(w) for x, w in rows if x is not None), Fraction(0)))


def test_sums_that_decay_are_those_of_their_definition() -> None:
    rng = np.random.default_rng(5)
    times = np.cumsum(rng.integers(1, 5, 60)).tolist()
    x: list[float | None] = [None if rng.random() < 0.3 else float(v) for v in rng.normal(9, 4, 60)]
    for closed in ("left", "right"):
        past = ff.window(time="t", closed=closed)
        found = over(
            {"t": times, "x": x},
            rows=X.ewm_sum(alpha=0.25, over=past),
            time=X.ewm_sum(half_life=7, over=past),
        )
        for row, now in enumerate(times):
            end = row + (closed == "right")
            seen = list(zip(x[:end], times[:end], strict=True))
            by_rows = defined_sum([(v, 0.75 ** (end - 1 - k)) for k, (v, _) in enumerate(seen)])
            by_time = defined_sum([(v, 2 ** -((now - t) / 7)) for v, t in seen])
            assert found["rows"][row] == pytest.approx(by_rows, rel=1e-13)
            assert found["time"][row] == pytest.approx(by_time, rel=1e-13)


@pytest.mark.filterwarnings("ignore::fastfeat.errors.TiesInOrder")
def test_the_last_row_weighs_one_by_rows_and_by_time_the_moment_of_the_row() -> None:
    data = {"t": [0, 1, 1, 3, 2003], "x": [8.0, 4.0, 2.0, None, 1.0]}
    past = ff.window(time="t", closed="right")
    by_rows = over(data, s=X.ewm_sum(alpha=0.5, over=past))["s"]
    assert by_rows == [8.0, 8.0, 6.0, 3.0, 2.5]  # the row without a value counts, and weighs one
    by_time = over(data, s=X.ewm_sum(half_life=1, over=past))["s"]
    assert by_time == [8.0, 8.0, 10.0, 2.5, 1.0]  # of 2000 half-lives nothing is left
    before = over(data, s=X.ewm_sum(half_life=1, over=ff.window(time="t")))["s"]
    assert before == [0.0, 4.0, 4.0, 2.5, 0.0]


def test_the_sum_of_no_values_is_zero_and_of_too_few_is_missing() -> None:
    data = {
        "t": [0, 1, 2, None, 3],
        "x": [None, 1.0, None, 5.0, 1.0],
        "k": ["a", "a", "a", "a", None],
    }
    either: list[Any] = [{"alpha": 0.5}, {"half_life": 1}]
    for weights in either:
        found = over(
            data,
            any=X.ewm_sum(**weights, over=ff.window(time="t", by="k", closed="right")),
            one=X.ewm_sum(
                **weights, over=ff.window(time="t", by="k", closed="right", min_samples=1)
            ),
        )
        assert found["any"] == [0.0, 1.0, 0.5, None, None]
        assert found["one"] == [None, 1.0, 0.5, None, None]


def test_infinities_decide_a_decaying_sum_from_then_on_and_so_does_a_sum_beyond_floats() -> None:
    inf = float("inf")
    past = ff.window(time="t", closed="right")
    either: list[Any] = [{"alpha": 1e-300}, {"half_life": 10**12}]
    cases = {
        (1.0, inf, 2.0, -inf, 3.0): [1.0, inf, inf, None, None],
        (MOST, MOST, None, 0.0, -inf): [MOST, inf, inf, inf, None],
        (-MOST, -MOST, MOST, MOST, 0.0): [-MOST, -inf, -inf, -inf, -inf],
    }
    for x, expected in cases.items():
        for weights in either:
            found = over({"t": [0, 1, 2, 3, 4], "x": [*x]}, s=X.ewm_sum(**weights, over=past))
            assert found["s"] == expected
    large = {"t": [0, 1], "x": [MOST, MOST]}
    assert over(large, s=X.ewm_sum(alpha=1, over=past))["s"] == [MOST, MOST]


def test_a_decaying_sum_has_the_same_bits_live() -> None:
    rows = [
        {"t": int(t), "card": c, "x": None if t % 5 == 0 else t / 7}
        for t, c in zip(np.cumsum(np.arange(40) % 4 + 1), "abcb" * 10, strict=True)
    ]
    past = ff.window(by="card", time="t")
    features = {"rows": X.ewm_sum(alpha=0.1, over=past), "time": X.ewm_sum(half_life=9, over=past)}
    fitted = ff.Plan(features).fit(rows[:10], history="batch")
    with fitted.online(history=rows[:10], keep="everything") as live:
        answers = [live.process([row]).to_pylist()[0] for row in rows[10:]]
    for backend in ("cpu", "reference"):
        found = fitted.transform(rows[10:], history=rows[:10], backend=backend)
        assert found.to_pylist() == answers


def test_an_offset_ends_what_decays_earlier() -> None:
    data = {"t": [0, 1, 2, 3], "x": [1.0, 2.0, 4.0, 8.0]}
    late = ff.window(time="t", offset=2, closed="right")
    found = over(
        data,
        m=X.ewm_mean(alpha=0.5, over=late),
        h=X.ewm_mean(half_life=1, over=late),
        s=X.ewm_sum(alpha=0.5, over=late),
        t=X.ewm_sum(half_life=1, over=late),
    )
    assert found["m"] == found["h"] == [None, None, 1.0, pytest.approx(2.5 / 1.5)]
    assert found["s"] == [0.0, 0.0, 1.0, 2.5]
    assert found["t"] == [0.0, 0.0, 0.25, 0.625]  # the age is that at the row, not at the end


def test_a_weight_that_is_too_little_to_tell_makes_a_plain_mean() -> None:
    data = {"t": [0, 1, 2], "x": [1.0, 2.0, 6.0]}
    past = ff.window(time="t", closed="right")
    assert over(data, m=X.ewm_mean(alpha=1e-300, over=past))["m"] == [1.0, 1.5, 3.0]


def test_infinities_decide_a_decaying_mean_from_then_on() -> None:
    inf = float("inf")
    data = {"t": [0, 1, 2, 3, 4], "x": [1.0, inf, 2.0, -inf, 3.0]}
    for mean in ({"alpha": 0.5}, {"half_life": 1}):
        found = over(data, m=X.ewm_mean(**mean, over=ff.window(time="t", closed="right")))  # pyright: ignore[reportArgumentType]  # either of the two
        assert found["m"] == [1.0, inf, inf, None, None]
    large = {"t": [0, 1], "x": [1.7e308, -1.7e308]}
    past = ff.window(time="t", closed="right")
    assert over(large, m=X.ewm_mean(alpha=0.5, over=past))["m"][1] == pytest.approx(-1.7e308 / 3)


@given(st.floats(0, 1100), st.floats(allow_nan=False), st.floats(allow_nan=False), st.floats(1, 9))
def test_means_decay_as_the_kernels_document(
    age: float, mean: float, x: float, weight: float
) -> None:
    assert decay.SERIES == SERIES
    assert half_power(age) == decay.half_power(age)
    finite = min(max(mean, -MOST), MOST), min(max(x, -MOST), MOST)
    assert moved_towards(*finite, weight) == decay.moved_towards(*finite, weight)


def test_slopes_are_exact() -> None:
    rng = np.random.default_rng(1)
    n = 200
    times = [START + datetime.timedelta(seconds=int(s)) for s in np.sort(rng.integers(0, 900, n))]
    values = [None if rng.random() < 0.1 else float(x) for x in rng.normal(1e6, 1, n)]
    found = over({"t": times, "x": values}, s=X.slope(over=ff.window("90s", time="t")))
    for row, time in enumerate(times):
        points = [
            (Fraction((t - START) // datetime.timedelta(seconds=1)), Fraction(x))
            for t, x in zip(times, values, strict=True)
            if x is not None and time - datetime.timedelta(seconds=90) <= t < time
        ]
        k, total = len(points), sum(t for t, _ in points)
        spread = k * sum(t * t for t, _ in points) - total**2
        if spread == 0:
            assert found["s"][row] is None
            continue
        products = k * sum(t * x for t, x in points) - total * sum(x for _, x in points)
        assert found["s"][row] == pytest.approx(float(products / spread), rel=3e-16)


def test_slopes_are_per_second_and_those_of_numpy() -> None:
    frame = events().query("card == 'b'")
    found = over(frame, s=X.slope(over=ff.window("4d", time="t", closed="right")))
    hours = (frame["t"] - pd.Timestamp(START)) / pd.Timedelta("1h")
    for row in range(len(frame)):
        inside = (hours > hours.iloc[row] - 96) & (hours <= hours.iloc[row]) & frame["x"].notna()
        if inside.sum() < 2:
            assert found["s"][row] is None
            continue
        expected = np.polyfit(hours[inside], frame["x"][inside], 1)[0] / 3600
        assert found["s"][row] == pytest.approx(expected, rel=1e-9, abs=1e-15)


def test_what_leaves_a_window_does_not_stay_in_its_slope() -> None:
    x = [1e300, float("inf"), -1e-300, 0.1, 0.2, 0.3]
    data = {"t": [0, 1, 2, 3, 4, 6], "x": x, "d": [datetime.date(2024, 1, 1 + k) for k in range(6)]}
    short = ff.window(2, time="t", closed="both")
    days = ff.window("1d", time="d", closed="both")
    found = over(data, s=X.slope(over=short), perday=X.slope(over=days))
    assert found["s"][1:4] == [None] * 3
    assert found["s"][5] == (0.3 - 0.2) / 2
    assert found["perday"][4] == (0.2 - 0.1) / 86400
    assert over(data, s=X.slope(over=ff.window(1, time="t")))["s"] == [None] * 6


def test_streaks_end_where_the_window_does() -> None:
    data = {"t": [0, 1, 2, 3, 4, 5, 6], "late": [True, True, None, True, True, False, True]}
    late = col("late")
    found = over(
        data,
        own=late.streak(over=ff.window(time="t", closed="right")),
        before=late.streak(over=ff.window(time="t")),
        two=late.streak(over=ff.window(time="t", rows=2, closed="right")),
        ago=late.streak(over=ff.window(time="t", offset=2, closed="right")),
        known=late.streak(over=ff.window(time="t", min_samples=2)),
    )
    assert found["own"] == [1, 2, 0, 1, 2, 0, 1]
    assert found["before"] == [0, 1, 2, 0, 1, 2, 0]
    assert found["two"] == [1, 2, 0, 1, 2, 0, 1]
    assert found["ago"] == [0, 0, 1, 2, 0, 1, 2]
    assert found["known"] == [None, None, 2, 0, 1, 2, 0]


def test_what_is_made_of_other_functions_is_theirs() -> None:
    data = {"t": [0, 1, 2, 3], "x": [4, 1, None, 6]}
    past = ff.window(time="t", closed="right")
    found = over(
        data,
        range=X.range(over=past),
        cumulative=X.sum(over=past),
        greatest=X.max(over=past),
        median=X.median(over=past),
        any=(X > 5).any(over=past),
        all=(X > 1).all(over=past),
        change=X.pct_change(over=ff.window(time="t")),
    )
    assert found["range"] == [0, 3, 3, 5]
    assert found["cumulative"] == [4, 5, 5, 11]
    assert found["greatest"] == [4, 4, 4, 6]
    assert found["median"] == [4.0, 2.5, 2.5, 4.0]
    assert found["any"] == [False, False, False, True]
    assert found["all"] == [True, False, False, False]
    assert found["change"] == [None, -0.75, None, None]


@pytest.mark.parametrize(
    ("given", "window", "told"),
    [
        ({}, CARD, "takes either alpha="),
        ({"alpha": 0.5, "half_life": 3}, CARD, "takes either alpha="),
        ({"alpha": 0}, CARD, "above 0, up to 1"),
        ({"alpha": 1.5}, CARD, "from 0 to 1"),
        ({"half_life": "0d"}, CARD, "must be longer than zero"),
        ({"half_life": "1mo"}, CARD, "has no fixed length"),
        ({"half_life": -3}, CARD, "must not be negative"),
        ({"alpha": 0.5}, ff.window("7d", time="t"), "Leave out last= and rows= of the window"),
        ({"alpha": 0.5}, ff.window(time="t", rows=3), "Leave out last= and rows= of the window"),
        ({"half_life": 3}, ff.window(time="t", offset="1d"), "both as whole numbers"),
    ],
)
def test_what_a_decaying_mean_or_sum_does_not_take(given: Any, window: Any, told: str) -> None:
    with pytest.raises(InvalidPlan, match=told):
        X.ewm_mean(over=window, **given)
    with pytest.raises(InvalidPlan, match=told):
        X.ewm_sum(over=window, **given)


@pytest.mark.parametrize(
    ("feature", "told"),
    [
        (X.streak(over=CARD), "needs bools, got int64"),
        (col("card").slope(over=CARD), "needs a number, got utf8"),
        (col("card").ewm_mean(alpha=0.5, over=CARD), "needs a number, got utf8"),
        (
            X.ewm_mean(half_life="3d", over=CARD),
            "half_life= and the gap are durations, but time= has whole",
        ),
    ],
)
def test_types_are_told_when_data_comes(feature: ff.Expr, told: str) -> None:
    with pytest.raises(TypeMismatch, match=told):
        ff.Plan({"f": feature}).fit({"t": [1], "card": ["a"], "x": [1]})


def test_ranks_have_a_window_and_one_of_three_methods() -> None:
    with pytest.raises(InvalidPlan, match=r"rank among .* \.quantile_transform\(\)"):
        X.rank()
    with pytest.raises(InvalidPlan, match="method='dense'"):
        X.rank(over=CARD, method="dense")  # pyright: ignore[reportArgumentType]  # refused


def test_plans_with_them_come_back_from_json() -> None:
    mean = X.ewm_mean(half_life="36h", over=ff.window(by="card", time="t", offset="1h"))
    total = X.ewm_sum(half_life="36h", over=ff.window(by="card", time="t", offset="1h"))
    features = {
        "mean": mean,
        "sum": total,
        "rank": X.rank(over=CARD, pct=True),
        "slope": X.slope(over=CARD),
    }
    plan = ff.Plan(features)
    for name in ("ewm_mean", "ewm_sum"):
        assert f"{name}(half_life='1d12h', over=ff.window(by='card'" in plan.explain()
    text = plan.to_json()
    assert ff.Plan.from_json(text).to_json() == text
    for old, new in [('["rows",null]', '["rows",3]'), ('"average"', '"dense"')]:
        assert old in text
        with pytest.raises(ArtifactError):
            ff.Plan.from_json(text.replace(old, new))
