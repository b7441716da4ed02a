"""What `explain("live")` says of a plan, fitted or not."""

from __future__ import annotations

import fastfeat as ff
from fastfeat import col

WEEK = ff.window("7d", by="card", time="t")
SHOP = ff.window("1d", by="shop", time="t")
EVER = ff.window(by="card", time="t")
X = col("x")


def test_a_plan_with_windows_goes_the_general_way() -> None:
    plan = ff.Plan(
        {
            "spent": X.sum(over=WEEK),
            "above": (X - X.mean(over=WEEK)).max(over=SHOP),
            "lag": X.lag(2, over=EVER),
            "result": col("y").mean(over=WEEK),
            "rate": ff.lookup("rates", by="shop").col("rate"),
            "logins": col("z").sum(over=ff.window("1d", by="card", time="t", table="logins")),
        },
        outcomes=["y"],
        row_id="id",
    )
    week = "ff.window('7d', by='card', time='t')"
    assert plan.explain("live").splitlines() == [
        "general path: window kernels compute a new row from the rows of its entity that windows "
        "see",
        "",
        "orders of the rows, and how far back each function sees:",
        "  by='card', time='t': 7d and 2 rows",
        f"    7d: col('x').sum(over={week})",
        f"    7d: col('x').mean(over={week})",
        "    2 rows: col('x').lag(n=2, over=ff.window(by='card', time='t'))",
        f"    7d: col('y').mean(over={week})",
        "  by='shop', time='t': 1d",
        f"    1d: (col('x') - col('x').mean(over={week})).max("
        "over=ff.window('1d', by='shop', time='t'))",
        "",
        "columns of the log: x, t, card, y (late), shop, id (row_id)",
        "results stored in the log, for other windows to read:",
        f"  col('x').mean(over={week}), read by 'above'",
        "tables: rates, logins (in windows)",
        "",
        "refused:",
        "  late rows, correct(), late='insert' and late='drop', because the log would keep "
        "outdated results of:",
        f"    col('x').mean(over={week}), read by 'above'",
    ]


def test_what_a_state_refuses_of_a_plan_is_told() -> None:
    session = ff.session_id("1h", over=EVER)
    told = ff.Plan({"s": session}).explain("live")
    assert "  online() without keep='everything', because all rows of an entity are seen" in told
    inside = ff.window("1d", by=["card", session], time="t")
    told = ff.Plan({"f": X.sum(over=inside)}).explain("live")
    assert "card', time='t'))], time='t': 1d, ordered by results of other windows\n" in told
    assert "  late rows, correct(), late='insert' and late='drop', because the log" in told
    assert ff.Plan({"f": X.sum(over=WEEK)}).explain("live").endswith("refused:\n  nothing")


def test_a_plan_without_windows_goes_the_way_of_a_row() -> None:
    plan = ff.Plan({"x": X.log1p()})
    told = "row path: no window reads earlier rows, so each row is computed as by transform_row"
    assert plan.explain("live") == told
    assert plan.fit({"x": [1.0]}).explain("live") == told
