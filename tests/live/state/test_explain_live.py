"""What a feature came from, and that it comes from that alone, to the bit."""

from __future__ import annotations

import warnings
from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import fastfeat as ff
from fastfeat import col
from fastfeat.api.plan import fitted_records
from fastfeat.errors import InvalidData
from fastfeat.io.columns.types import arrow_type
from fastfeat.live.ask.features import LogView, answer
from fastfeat.live.lower.live_plan import LivePlan, lower
from fastfeat.live.lower.row_orders import compute_order_values
from fastfeat.live.state.explanation import NUMBER, Explained, explain_row
from fastfeat.trust.verify.comparison import compare

N_ROWS = 90
HOUR = 3_600 * 10**6
SLOW = pytest.mark.slow


def rows(seed: int, n: int = N_ROWS) -> pa.Table:
    random = np.random.default_rng(seed)

    def some(values: Any, share: float = 0.1) -> pa.Array:
        return pa.array(values, mask=(random.random(n) < share) & (np.arange(n) < n - 1))

    cards = np.array(["a", "b", "c", "ä <script>"])[random.integers(0, 4, n)]
    hours = np.sort(random.integers(0, 60, n))
    hours[-1] = 59
    return pa.table(
        {
            "id": pa.array(np.arange(n) + seed * 1000),
            "card": some(cards, 0.05),
            "shop": some(random.integers(0, 3, n)),
            "t": some(hours * HOUR, 0.04).cast(pa.timestamp("us")),
            "step": pa.array(hours),
            "x": some(
                random.choice(
                    [np.inf, -0.0, 1e300, 1.5, -2.25, 3e-9], n, p=[0.05, 0.1, 0.05, 0.4, 0.2, 0.2]
                )
            ),
            "k": some(random.integers(-5, 5, n)),
            "s": some(np.array(["p", "q", "longer text", ""])[random.integers(0, 4, n)]),
        }
    )


TABLES = {
    "shops": pa.table({"shop": [0, 1, 2], "size": [1.5, None, 7.0], "town": ["x", "y", None]}),
    "rates": pa.table(
        {
            "t": pa.array(np.arange(0, 60, 7) * HOUR, pa.timestamp("us")),
            "rate": pa.array(np.arange(9) / 3),
        }
    ),
    "logins": pa.table(
        {
            "who": ["a", "a", "b", "a", "c", "b"] * 5,
            "t": pa.array(np.arange(30) * 2 * HOUR, pa.timestamp("us")),
            "bad": np.arange(30) % 3 == 0,
        }
    ),
}


def features() -> dict[str, ff.Expr]:
    day = ff.window("20h", by="card", time="t")
    right = ff.window("20h", by="card", time="t", closed="right", tie="id")
    both = ff.window("9h", by=["card", "shop"], time="t", closed="both", tie="k")
    neither = ff.window("30h", by="shop", time="t", closed="neither", offset="2h")
    latest = ff.window(by="card", time="t", rows=5, closed="right", tie="id")
    steps = ff.window(12, by="card", time="step", min_samples=2)
    all_of_it = ff.window(by="card", time="t")
    alone = ff.window("4h", time="t")
    logins = ff.window("15h", by={"card": "who"}, time="t", table="logins")
    x, k, s = col("x"), col("k"), col("s")
    rate = ff.asof("rates", time="t", tolerance="5h").col("rate")
    size = ff.lookup("shops", by="shop").col("size")
    found = {
        f"{name}_{at}": getattr(k if name == "var" else x, name)(over=window)
        for name in ("count", "sum", "mean", "std", "var", "min", "max", "median", "n_unique")
        for at, window in {"day": day, "right": right, "both": both, "steps": steps}.items()
    }
    return {
        **found,
        "n": ff.count(over=neither),
        "null": x.null_count(over=alone),
        "mode": s.mode(over=day).hash(n_buckets=64),
        "first": (s.first(over=neither) == "p"),
        "last": x.last(over=latest),
        "lag": k.lag(2, over=latest),
        "diff": k.diff(over=latest),
        "q": x.quantile(0.3, over=right),
        "rank": k.rank(over=day),
        "slope": k.slope(over=steps),
        "streak": (x > 1).streak(over=latest),
        "ewm": k.ewm_mean(alpha=0.3, over=all_of_it),
        "since": ff.time_since(x > 1, over=day),
        "z": (x - x.mean(over=day)) / x.std(over=day),
        "nested": (k - k.mean(over=day)).max(over=right),
        "nested_twice": (k - k.mean(over=day)).mean(over=both).max(over=alone),
        "scaled": (k.standard_scale()).mean(over=day),
        "vs_shop": k - k.mean(by="shop"),
        "codes": col("card").ordinal_encode(),
        "hot": s.one_hot_encode(),
        "size": size * 2,
        "size_seen": size.sum(over=day),
        "rate": rate,
        "rate_seen": (rate * k).mean(over=right),
        "failed": col("bad").sum(over=logins),
        "n_logins": ff.count(over=logins),
        "failed_seen": col("bad").sum(over=logins).max(over=day),
        "row_only": x.log1p(),
    }


PLAN = ff.Plan(features())
FITTED = PLAN.fit(rows(1), tables=TABLES, history="batch")
LOWERED = lower(fitted_records({"": FITTED}))


def log_of(data: pa.Table, lowered: LivePlan = LOWERED, tables: Any = TABLES) -> pa.Table:
    """Return rows as a state has them, with what is kept beside each."""
    none = data.select([*lowered.columns]).slice(0, 0)
    for name, kept in lowered.kept.items():
        none = none.append_column(name, pa.array([], arrow_type(kept.dtype)))
    seen: list[LogView] = []
    for order in compute_order_values(lowered, data, tables):
        keys = list(zip(*(key.to_pylist() for key in order.keys), strict=True))
        known: dict[Any, int] = {}
        codes = [
            known.setdefault(key, len(known)) if is_placed else -1
            for key, is_placed in zip(keys or [()] * data.num_rows, order.is_placed, strict=True)
        ]
        seen.append(LogView(none, np.zeros(0, np.int32), np.array(codes, np.int32)))
    answered = answer(lowered, data, seen, tables)
    columns = [*lowered.columns] + ["id"] * ("id" not in lowered.columns)
    log = data.select(columns)
    for name in lowered.kept:
        log = log.append_column(name, answered.kept[name])
    return log


def explain(seed: int) -> tuple[Explained, pa.Table]:
    """Return what the last of some rows came from, and its features by `transform`."""
    data = rows(seed)
    row, past = data.slice(N_ROWS - 1), data.slice(0, N_ROWS - 1)
    report = explain_row(LOWERED, row, log_of(past), TABLES)
    return report, FITTED.transform(row, history=past, tables=TABLES)


@pytest.mark.parametrize("seed", [2, 3, *(pytest.param(k, marks=SLOW) for k in range(4, 20))])
def test_features_come_from_what_is_told_to_the_bit(seed: int) -> None:
    report, expected = explain(seed)
    assert len(report.features) >= 60
    again = report.recompute()
    check = compare("recomputed", expected, again.select(expected.column_names))
    assert check.difference is None, check
    told = pa.table({f.name: pa.array([f.value]) for f in report.features})
    assert str(told.to_pylist()) == str(expected.to_pylist())


def test_rows_in_a_window_are_those_of_its_definition() -> None:
    report, _ = explain(3)
    data = rows(3).to_pylist()
    own = data.pop()
    (seen,) = report["count_day"].seen
    begin = own["t"] - timedelta(hours=20)
    expected = [
        k
        for k, row in enumerate(data)
        if row["card"] == own["card"] and row["t"] and begin <= row["t"] < own["t"]
    ]
    assert expected
    assert seen.rows.column(NUMBER).to_pylist() == expected
    assert seen.rows.column("x").to_pylist() == [data[k]["x"] for k in expected]
    assert report["count_day"].value == sum(data[k]["x"] is not None for k in expected)


def test_without_a_row_that_is_told_a_feature_is_another() -> None:
    report, _ = explain(4)
    told = report["n"]
    assert told.value >= 2
    without = replace(report, features=(replace(told, rows=told.rows[1:]),))
    assert without.recompute().column("n").to_pylist() == [told.value - 1]


def test_rows_of_tables_and_what_was_learnt_are_told() -> None:
    report, _ = explain(5)
    (size,) = report["size"].seen
    assert size.table == "shops"
    assert size.rows.num_rows <= 1
    text = str(report)
    assert "of table 'rates'" in text
    assert "of table 'logins'" in text
    assert (
        report["vs_shop"].learnt == {'col("k").mean(by=col("shop"))': "3 values, one per key"}
        or report["vs_shop"].learnt
    )
    assert "learnt" in text


def test_values_of_rows_are_escaped_in_html() -> None:
    data = rows(6)
    cards = pa.array(["ä <script>"] * N_ROWS)
    data = data.set_column(1, "card", cards)
    row, past = data.slice(N_ROWS - 1), data.slice(0, N_ROWS - 1)
    html = explain_row(LOWERED, row, log_of(past), TABLES)._repr_html_()
    assert "<script>" not in html
    assert "&lt;script&gt;" in html
    assert "count_day" in html


def test_a_row_without_key_or_time_saw_nothing() -> None:
    data = rows(7)
    row = data.slice(0, 1).set_column(1, "card", pa.array([None], pa.string()))
    report = explain_row(LOWERED, row, log_of(data), TABLES)
    assert report["count_day"].value is None
    assert report["count_day"].seen[0].rows.num_rows == 0
    again = report.recompute()
    assert again.column("count_day").to_pylist() == [None]


def live_of(data: pa.Table, fitted: ff.FittedPlan = FITTED) -> ff.Live:
    return fitted.online(history=data, tables=TABLES, keep="everything")


def test_a_live_state_tells_what_a_row_comes_from() -> None:
    data = rows(8)
    row, past = data.slice(N_ROWS - 1), data.slice(0, N_ROWS - 1)
    with live_of(past) as live:
        expected = live.features(row)
        report = live.explain(row.to_pylist()[0])
        before = live.history()
        assert compare("explained", expected, report.recompute()).difference is None
        assert str(live.explain(row)) == str(report)
        assert live.history() == before
        sources = report["nested"].seen
        assert sources[0].rows.column("row").to_pylist()[-1] == "itself"
        with pytest.raises(InvalidData, match="takes one row, got 2"):
            live.explain(data.slice(0, 2))


def test_a_row_of_the_state_is_told_as_it_was_at_its_place() -> None:
    day = ff.window("20h", by="card", time="t", closed="both")
    plan = ff.Plan({"n": ff.count(over=day), "sum": col("k").sum(over=day)}, row_id="id")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ff.errors.TiesInOrder)
        fitted = plan.fit(rows(1), history="batch")
    data = rows(9)
    with fitted.online(history=data, keep="everything") as live:
        for k in range(N_ROWS - 12, N_ROWS):
            row = data.slice(k, 1)
            report = live.explain(row)
            assert compare("explained", live.features(row), report.recompute()).difference is None
            seen = report["n"].seen[0].rows.column("id").to_pylist()
            assert len(seen) == (report["n"].value or 0)
            assert all(one <= row["id"][0].as_py() for one in seen)


def test_plans_over_one_log_are_told_of_each() -> None:
    day = ff.window("20h", by="card", time="t")
    plans = {
        "sums": ff.Plan({"sum": col("k").sum(over=day), "scaled": col("k").standard_scale()}),
        "shops": ff.Plan({"n": ff.count(over=ff.window("9h", by="shop", time="t"))}),
        "nested": ff.Plan({"z": (col("k") - col("k").mean(over=day)).max(over=day)}),
    }
    fitted = {name: plan.fit(rows(1), history="batch") for name, plan in plans.items()}
    data = rows(10)
    with ff.online(fitted, history=data.slice(0, N_ROWS - 1)) as live:
        row = data.slice(N_ROWS - 1)
        reports = live.explain(row)
        expected = live.features(row)
        for name, report in reports.items():
            assert compare(name, expected[name], report.recompute()).difference is None


def test_a_plan_without_windows_is_told_of_its_row() -> None:
    fitted = ff.Plan({"x": col("x").log1p(), "codes": col("card").ordinal_encode()}).fit(rows(1))
    with fitted.online() as live:
        report = live.explain({"x": 1.0, "card": "a"})
    assert report["x"].columns == {"x": 1.0}
    assert report["codes"].value >= 1
    assert report.recompute().num_rows == 1


def test_explain_of_a_state_that_no_row_has_come_to() -> None:
    day = ff.window(10, by="card", time="t")
    inner = col("x").sum(over=day)
    plan = ff.Plan({"sum": inner, "most": inner.max(over=day)}, row_id="id")
    row = {"id": 1, "t": 5, "card": "a", "x": 2.0}
    live = plan.fit({name: [value] for name, value in row.items()}).online()
    report = live.explain(row)
    assert report.recompute().to_pylist() == [{"sum": 0.0, "most": None}]
