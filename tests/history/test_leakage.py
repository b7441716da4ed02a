"""No leakage through time: what is refused, and that no later row moves a value."""

from __future__ import annotations

import random
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_history import events

import fastfeat as ff
from fastfeat import col
from fastfeat.errors import Leakage

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
    far = ff.window("7d", time="t", offset="30d", closed="right")
    ff.Plan({"f": Y.mean(over=far), "x": col("x").mean(over=WEEK)}, label="y", label_delay="30d")


def test_the_report_shows_what_is_seen_of_earlier_rows() -> None:
    told = ff.Plan({"f": Y.mean(over=WEEK)}, label="y").explain("leakage")
    assert "earlier rows: col('y').mean(over=ff.window('7d', by='card', time='t'))" in told
    assert "own row: t, card" in told


W = ff.window(7, by="card", time="t")
OPEN = ff.window(by="card", time="t", closed="neither")
X = col("x")
HISTORY: dict[str, Any] = {
    **{name: getattr(X, name)(over=W) for name in (
        "count", "null_count", "sum", "mean", "var", "std", "min", "max", "median", "mode",
        "n_unique", "first", "last", "lag")},
    "quantile": X.quantile(0.3, over=W),
    "any": (X > 0).any(over=W),
    "all": (X > 0).all(over=W),
    "label": col("y").mean(over=OPEN),
    "label_streak": (col("y") > 0).streak(over=OPEN),
    "label_slope": col("y").slope(over=OPEN),
    "label_by_rows": col("y").ewm_mean(alpha=0.5, over=OPEN),
    "label_by_time": col("y").ewm_mean(half_life=3, over=OPEN),
    "rank": X.rank(over=ff.window(7, by="card", time="t", closed="right")),
    "percentile": X.rank(over=W, pct=True),
    "slope": X.slope(over=ff.window(7, by="card", time="t", closed="both")),
    "by_time": X.ewm_mean(half_life=3, over=ff.window(by="card", time="t", closed="right")),
    "rows": ff.count(over=OPEN),
    "since": ff.time_since_last(over=W),
    "since_large": ff.time_since(X > 1, over=W),
    "session": ff.session_id(3, over=CARD),
    "nested": X.lag(1, over=CARD).max(over=W),
    "right": X.sum(over=ff.window(7, by="card", time="t", closed="right")),
}  # fmt: skip
FITTED = ff.Plan(HISTORY, label="y").fit(events(60))


@given(st.integers(2, 30), st.integers(0, 10**6), st.sampled_from(["change", "delete", "permute"]))
def test_later_rows_move_nothing(n: int, seed: int, how: str) -> None:
    table = events(n, seed).sort_by([("t", "ascending")])
    rng = random.Random(seed)
    at = rng.randrange(n)
    row = table["t"][at].as_py()
    kept = sum(t <= row for t in table["t"].to_pylist())
    before, after = table.slice(0, kept), table.slice(kept)
    if how == "change":
        after = events(n - kept, seed + 1, begins=row + 1)
    elif how == "permute":
        after = after.take(pa.array(rng.sample(range(n - kept), n - kept), pa.int64()))
    else:
        after = after.slice(0, 0)
    whole = FITTED.transform(table, history="batch")
    moved = FITTED.transform(pa.concat_tables([before, after]), history="batch")
    assert whole.slice(0, kept).to_pydict() == moved.slice(0, kept).to_pydict()


@given(st.integers(2, 30), st.integers(0, 10**6))
def test_the_label_of_a_row_and_of_its_peers_does_not_move_its_own_features(
    n: int, seed: int
) -> None:
    table = events(n, seed)
    at = random.Random(seed).randrange(n)
    moment = table["t"][at].as_py()
    flipped = [
        1 - (y or 0) if t == moment else y
        for t, y in zip(table["t"].to_pylist(), table["y"].to_pylist(), strict=True)
    ]
    other = table.set_column(table.column_names.index("y"), "y", pa.array(flipped))
    whole, moved = (FITTED.transform(one, history="batch").slice(at, 1) for one in (table, other))
    assert whole.to_pydict() == moved.to_pydict()
