"""A row that was the latest of its entity is removed: what was dropped for it is still known of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import fastfeat as ff
from fastfeat import col
from fastfeat.errors import InvalidPlan, LateRow

TEN = ff.window(10, by="card", time="t")
LONG = ff.window(1_000, by="shop", time="t")
PLAN = ff.Plan({"spent": col("x").sum(over=TEN), "shop": ff.count(over=LONG)}, row_id="id")
ROW = {"id": 0, "t": 0, "card": "a", "shop": "s", "x": 1.0}
EARLY = {**ROW, "id": 9, "t": 5, "shop": "other"}
EVENTS = [(1, "a", "s"), (2, "a", "s"), (90, "c", "s"), (95, "b", "gone"), (100, "a", "gone")]


def begun(path: Path) -> Any:
    """Return a state in which the latest row of a card is going to be forgotten, by its shop."""
    live = PLAN.fit({name: [value] for name, value in ROW.items()}).online(path=path)
    for number, (time, card, shop) in enumerate(EVENTS):
        live.update({**ROW, "id": number, "t": time, "card": card, "shop": shop})
    return live


@pytest.mark.parametrize("reopens", [False, True])
def test_asks_before_a_forgotten_latest_row_are_refused(tmp_path: Path, reopens: bool) -> None:
    live = begun(tmp_path / "state")
    assert live.forget("shop", "gone") == 2
    if reopens:
        plans = live.plans[""]
        live.close()
        live = plans.online(path=tmp_path / "state")
    with pytest.raises(LateRow, match="t = 5, "):
        live.features(EARLY)
    assert live.features({**EARLY, "t": 101}).tolist() == [0.0, 0.0]
    live.close()


def test_an_export_knows_of_them(tmp_path: Path) -> None:
    live = begun(tmp_path / "state")
    live.forget("shop", "gone")
    live.export(tmp_path / "rows.parquet")
    again = live.plans[""].online(history=tmp_path / "rows.parquet")
    with pytest.raises(LateRow):
        again.features(EARLY)
    live.close()


def test_forgetting_is_refused_where_what_stands_in_the_log_has_seen_the_rows() -> None:
    inner = col("x").sum(over=LONG)
    plan = ff.Plan({"of_shops": inner.max(over=TEN)}).fit({n: [v] for n, v in ROW.items()})
    live = plan.online()
    live.update({**ROW, "card": "b", "x": 5.0})
    live.update({**ROW, "t": 1})
    with pytest.raises(
        InvalidPlan, match=r"forget\('card'\): feature 'of_shops' .*, a window by col\('shop'\)"
    ):
        live.forget("card", "b")
    assert live.process({**ROW, "t": 2}).tolist() == [5.0]
    assert live.forget("shop", "s") == 3
    assert live.features({**ROW, "t": 3}).tolist() != [5.0]
