"""No leakage through time: what a plan refuses; `test_future` looks at what it computes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import fastfeat as ff
from fastfeat import Expr, col
from fastfeat.errors import InvalidPlan, Leakage

CARD = ff.window(by="card", time="t")
WEEK = ff.window("7d", by="card", time="t")
ENCODED = col("card").target_encode("y")
Y = col("y")


@pytest.mark.parametrize(
    ("feature", "told"),
    [
        (Y.mean(over=ff.window("7d", time="t", closed="right")), "holds the row itself"),
        (Y.lag(1, over=ff.window(time="t", closed="both")), "holds the row itself"),
        (ENCODED.mean(over=WEEK), "may not come into a window"),
        (ENCODED.lag(1, over=CARD), "may not come into a window"),
        (Y.diff(over=CARD), "in its own row"),
        (col("x").mean(over=ff.window(by="y", time="t")), "time, key or tie"),
        (col("x").mean(over=ff.window(time="t", tie="y")), "time, key or tie"),
        (Y.lag(1, over=CARD).ordinal_encode(), "earlier rows through a window"),
        (col("x").mean(by=Y.lag(1, over=CARD)), "earlier rows through a window"),
        (Y.mean(over=WEEK).mean(by="card"), "earlier rows through a window"),
        (col("x").sum(over=ff.window(by=Y.lag(1, over=CARD), time="t")), "time, key or tie"),
        (col("card").target_encode(Y.lag(1, over=CARD)), "its target reads a window"),
        ((Y - Y.mean()).mean(over=WEEK), "what fit learns from late values"),
        (Y.standard_scale().lag(1, over=CARD), "what fit learns from late values"),
        (Y.ordinal_encode().last(over=CARD), "what fit learns from late values"),
        (Y.mean(by="card").lag(1, over=CARD), "learns per key from a column"),
        (Y.rank(over=WEEK), "compares the row's own"),
        (Y.rank(over=ff.window("7d", time="t", offset="1d"), pct=True), "compares the row's own"),
        ((Y > 0).streak(over=ff.window(time="t", closed="right")), "holds the row itself"),
        (Y.slope(over=ff.window("7d", time="t", closed="both")), "holds the row itself"),
        (Y.ewm_mean(alpha=0.5, over=ff.window(time="t", closed="right")), "holds the row itself"),
        (ENCODED.rank(over=WEEK), "may not come into a window"),
    ],
)
def test_a_path_of_late_values_does_not_build(feature: ff.Expr, told: str) -> None:
    with pytest.raises(Leakage, match=told):
        ff.Plan({"f": feature}, label="y")


@pytest.mark.parametrize(
    "feature",
    [
        Y.mean(over=WEEK),
        Y.mean(over=ff.window("7d", by="card", time="t", closed="neither")),
        Y.mean(over=ff.window("7d", time="t", closed="right", offset="1h")),
        Y.lag(1, over=CARD).sum(over=WEEK),
        Y.lag(1, over=CARD).rank(over=WEEK),
        Y.ewm_mean(half_life="3d", over=CARD),
        (Y > 0).streak(over=CARD),
        Y.slope(over=WEEK),
        Y.mean(over=WEEK).standard_scale(),
        (Y - col("x").mean()).mean(over=WEEK),
        col("x") - Y.mean(over=WEEK),
        col("x").mean(over=ff.window("7d", time="t", closed="right")),
    ],
)
def test_a_window_without_the_row_may_read_late_values(feature: ff.Expr) -> None:
    ff.Plan({"f": feature}, label="y")


def test_labels_that_come_late_need_an_offset() -> None:
    with pytest.raises(Leakage, match="offset='30d' or more"):
        ff.Plan({"f": Y.mean(over=WEEK)}, label="y", label_delay="30d")
    short = ff.window("7d", time="t", offset="29d")
    with pytest.raises(Leakage, match="offset='30d' or more"):
        ff.Plan({"f": Y.mean(over=short)}, label="y", label_delay="30d")
    with pytest.raises(Leakage, match=r"label_delay=30 and .* in the kind of the time"):
        ff.Plan({"f": Y.mean(over=short)}, label="y", label_delay=30)
    with pytest.raises(Leakage, match=r"known 30 after .*offset=30 or more"):
        ff.Plan({"f": Y.mean(over=ff.window(7, time="t"))}, label="y", label_delay=30)
    far = ff.window("7d", time="t", offset="30d", closed="right")
    ff.Plan({"f": Y.mean(over=far), "x": col("x").mean(over=WEEK)}, label="y", label_delay="30d")


@pytest.mark.parametrize("delay", ["30d", 30, 0])
def test_a_delay_of_no_late_columns_is_refused(delay: Any) -> None:
    features = {"f": col("x").mean(over=WEEK)}
    with pytest.raises(InvalidPlan, match=rf"label_delay={delay!r}\).*declares none\. Name them"):
        ff.Plan(features, label_delay=delay)
    assert ff.Plan(features, outcomes=["y"], label_delay=delay).label_delay == delay


@pytest.mark.parametrize("encode", [Expr.target_encode, Expr.woe_encode])
def test_folds_by_time_learn_no_label_before_it_is_known(encode: Callable[..., Expr]) -> None:
    by_time = {"f": encode(col("k"), "y", time="t")}
    with pytest.raises(Leakage, match=r"known '30d' after their row .*offset='30d'"):
        ff.Plan(by_time, label="y", label_delay="30d")
    ff.Plan(by_time, label="y")
    ff.Plan(by_time, label="y", label_delay=0)
    ff.Plan({"f": encode(col("k"), "y")}, label="y", label_delay="30d")


def test_the_report_shows_what_is_seen_of_earlier_rows() -> None:
    told = ff.Plan({"f": Y.mean(over=WEEK)}, label="y").explain("leakage")
    assert "earlier rows: col('y').mean(over=ff.window('7d', by='card', time='t'))" in told
    assert "own row: t, card" in told
