"""`explain` of windows: those over one entity and time share an order of the rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

import fastfeat as ff
from fastfeat import col
from fastfeat.execute import windows as made
from fastfeat.ir.show import show

CARD: Any = {"by": "card", "time": "t"}
WEEK, MONTH = ff.window(7, **CARD), ff.window(30, **CARD, offset=1, closed="right")
X, BEFORE = col("x"), col("x").lag(1, over=WEEK)
PLAN = ff.Plan(
    {
        "mean": X.mean(over=WEEK),
        "sum": X.sum(over=MONTH),
        "n": ff.count(over=ff.window(time="t", by="shop")),
        "code": col("device").lag(1, over=WEEK).ordinal_encode(),
        "nested": BEFORE.max(over=MONTH),
        "again": X - X.mean(over=WEEK),
        "tie": X.sum(over=ff.window(**CARD, tie="x")),
    }
)
TOLD = """
windows, grouped by the order of their rows:
  by='card', time='t':
    col('x').lag(n=1, over=ff.window(7, by='card', time='t'))
  by='card', time='t':
    col('x').mean(over=ff.window(7, by='card', time='t'))
    col('x').sum(over=ff.window(30, by='card', time='t', offset=1, closed='right'))
    col('device').lag(n=1, over=ff.window(7, by='card', time='t'))
    col('x').lag(n=1, over=ff.window(7, by='card', time='t'))\
.max(over=ff.window(30, by='card', time='t', offset=1, closed='right'))
  by='shop', time='t':
    col('t').count(over=ff.window(by='shop', time='t'))
  by='card', time='t', tie='x':
    col('x').sum(over=ff.window(by='card', time='t', tie='x'))"""
DATA = {"t": [1, 2], "card": ["a", "a"], "shop": [1, 2], "x": [1.0, 2.0], "device": ["w", "m"]}


def test_explain_shows_which_windows_share_an_order() -> None:
    assert TOLD in PLAN.explain()
    assert TOLD in PLAN.fit(DATA).explain()
    assert "windows, grouped" not in ff.Plan({"x": X}).explain()
    learnt = ff.Plan({"x": X - X.max(over=WEEK).mean()}).explain()
    assert "order of their rows:\n  by='card', time='t':\n    col('x').max(over=" in learnt


COMPUTED = ff.window("7d", by=[X + 1, "card"], time=col("t").dt.truncate("1d"), tie=-X)
OF_TABLE = ff.window("1h30m", time="t", by={"card": "k"}, table="logins", right_time="ts")


@pytest.mark.parametrize(
    "feature",
    [
        ff.time_since_last(over=WEEK),
        ff.time_since_last(over=COMPUTED),
        ff.time_since_last(over=OF_TABLE),
        ff.time_since(X > 100, over=MONTH),
        ff.time_since(col("late") & (X > 1), over=COMPUTED),
        ff.time_since(col("ok"), over=OF_TABLE),
        ff.count(over=WEEK),
        X.lag(2, over=COMPUTED),
        X.mean(over=OF_TABLE),
        X.quantile(0.9, over=ff.window(rows=7, time="t", min_samples=2, offset=3)),
        X.ewm_mean(half_life="1d", over=ff.window(time="t", closed="both")),
        X.max(over=WEEK).rank(over=MONTH, pct=True),
    ],
    ids=repr,
)
def test_what_is_over_a_window_is_shown_as_it_is_written(feature: ff.Expr) -> None:
    again = eval(repr(feature), {"ff": ff, "col": col})
    assert again.node is feature.node
    assert "\0" not in repr(feature)


def test_the_groups_that_explain_shows_are_those_that_are_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    groups: list[set[str]] = []
    run = made.run_over

    def watched(batch: Any, order: Any, calls: Sequence[Any], kept: Any) -> list[Any]:
        groups.append({show(call) for call in calls})
        return run(batch, order, calls, kept)

    fitted = PLAN.fit(DATA)
    monkeypatch.setattr(made, "run_over", watched)
    fitted.transform(DATA, history="batch")
    told = [{line.strip() for line in part.splitlines()[1:]} for part in TOLD.split("\n  by=")[1:]]
    assert sorted(groups, key=sorted) == sorted(told, key=sorted)
