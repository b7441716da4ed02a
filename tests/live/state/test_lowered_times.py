"""Entities whose latest rows were removed or moved: what was dropped before that is missed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import fastfeat as ff
from fastfeat import col
from fastfeat.errors import LateRow
from fastfeat_tests.live.live_states import stored

ROWS = pa.table({"id": [0, 1], "t": [0, 1], "card": ["a", "b"], "x": [1.0, 2.0]})
TIMES = [90, 95, 96, 100, 105, 110, 118]


@pytest.fixture
def plan() -> ff.FittedPlan:
    window = ff.window(10, time="t", by="card")
    return ff.Plan({"s": col("x").sum(over=window)}, row_id="id").fit(ROWS)


def row(key: int, t: int, card: str = "a", x: float = 0.0) -> dict[str, Any]:
    return {"id": key, "t": t, "card": card, "x": x}


def filled(live: ff.Live) -> ff.Live:
    """Return a state that has dropped the rows before 108, with a last row to be forgotten."""
    for key, t in enumerate(TIMES):
        live.process(row(key, t, x=float(t)))
    assert stored(live)["t"].to_pylist() == [110, 118]
    return live


@pytest.mark.parametrize("how", ["memory", "opened", "compacted", "exported"])
def test_what_was_dropped_is_known_for_as_long_as_the_state_lives(
    plan: ff.FittedPlan, tmp_path: Path, how: str
) -> None:
    path = None if how in ("memory", "exported") else tmp_path / "state.db"
    live = filled(plan.online(path=path))
    assert live.forget("x", 118.0) == 1
    if how == "compacted":
        live.compact()
    if how == "exported":
        live.export(tmp_path / "rows.parquet")
        live = plan.online(tmp_path / "rows.parquet")
    if path is not None:
        live.close()
        live = plan.online(path=path)
    with pytest.raises(LateRow, match="that was forgotten"):
        live.process(row(50, 112))  # would see the row of 105
    with pytest.raises(LateRow, match="that was forgotten"):
        live.features(row(50, 112))
    assert live.process(row(51, 118)) == [110.0]
    live.close()


def test_a_call_that_fails_takes_nothing_back_of_what_is_known() -> None:
    window = ff.window(10, time="t", by="card")
    number = col("x").cast("int64") * 2
    plan = ff.Plan({"n": number, "s": col("x").sum(over=window)}, row_id="id").fit(ROWS)
    live = filled(plan.online())
    live.forget("x", 118.0)
    again = row(60, 120)  # a repeat: the call is answered in pieces
    rows = [again, again, row(61, 130, x=9e18)]
    with pytest.raises(ff.errors.Overflow, match="row 2"):
        live.process(pa.Table.from_pylist(rows))
    with pytest.raises(LateRow, match="that was forgotten"):
        live.features(row(50, 112))


def test_a_number_that_is_given_again_is_of_another_entity(plan: ff.FittedPlan) -> None:
    live = filled(plan.online())
    live.correct({"id": 6, "t": 90})
    with pytest.raises(LateRow, match="corrected"):
        live.features(row(50, 115))
    assert live.forget("card", "a") == 1
    assert live.process(row(60, 3, "z")) == [0.0]
    assert live.process(row(61, 3, "a")) == [0.0]
    assert live.process(row(62, 4, "z")) == [0.0]
