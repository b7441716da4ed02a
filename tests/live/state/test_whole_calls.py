"""Calls that fail, or are interrupted at any line: the state is as before, or says it is lost."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection
from pathlib import Path
from types import FrameType
from typing import Any

import pyarrow as pa
import pytest

import fastfeat as ff
from fastfeat import col
from fastfeat.errors import Overflow, StateError, TypeMismatch, UnknownColumn
from fastfeat_tests.live.live_states import stored

ROWS = pa.table(
    {
        "id": range(6),
        "t": [0, 1, 2, 3, 4, 5],
        "ahead": [0] * 6,
        "card": ["a", "b", "a", "b", "a", None],
        "x": [1.0, 2.0, None, 4.0, 5.0, 6.0],
        "tags": [["u"], [], None, ["v"], ["u", "v"], []],
        "late": pa.array([None] * 6, pa.float64()),
    }
)


@pytest.fixture
def plan() -> ff.FittedPlan:
    window = ff.window(10, time=col("t") + col("ahead"), by="card")
    features = {
        "s": col("x").sum(over=window),
        "n": col("tags").list.len().sum(over=window),
        "y": col("late").mean(over=ff.window(10, time="t", by="card")),
    }
    return ff.Plan(features, row_id="id", outcomes=["late"]).fit(ROWS)


def test_a_correction_that_cannot_be_is_not_written(plan: ff.FittedPlan, tmp_path: Path) -> None:
    for path in (None, tmp_path / "state.db"):
        live = plan.online(path=path, late="insert", keep="everything")
        live.update(ROWS)
        before = live.history()
        with pytest.raises(Overflow):
            live.correct({"id": 4, "t": 5, "ahead": 2**63 - 1})
        assert live.history() == before
        live.correct({"id": 4, "x": 7.0})
        live.close()
    live = plan.online(path=tmp_path / "state.db")
    assert stored(live)["x"].to_pylist() == [1.0, 2.0, None, 4.0, 7.0]
    live.close()


def test_a_correction_is_no_further_ahead_than_a_row_may_be() -> None:
    window = ff.window("1h", time="ts", by="card")
    rows = pa.table({"id": [1], "ts": pa.array([0], pa.timestamp("us")), "card": ["a"]})
    plan = ff.Plan({"n": ff.count(over=window)}, row_id="id").fit(rows)
    live = plan.online(max_ahead="1h")
    live.update(rows)
    later = pa.table({"id": [1], "ts": pa.array([10**16], pa.timestamp("us"))})
    with pytest.raises(ff.errors.FutureRow, match="row 0"):
        live.correct(later)
    assert stored(live)["ts"].to_pylist() == rows["ts"].to_pylist()


def test_what_cannot_be_forgotten_is_told(plan: ff.FittedPlan) -> None:
    live = plan.online()
    live.update(ROWS)
    with pytest.raises(TypeMismatch, match="'tags'"):
        live.forget("tags", ["u"])
    with pytest.raises(UnknownColumn, match="no column 5"):
        live.forget(5, "a")  # pyright: ignore[reportArgumentType]


def test_where_rows_come_from_is_a_text_and_offsets(plan: ff.FittedPlan) -> None:
    live = plan.online()
    wrong: Any
    for wrong in ({"source": 5}, {"source": "a", "end": "3"}, {"source": "a", "first": None}):
        with pytest.raises(TypeMismatch, match=r"source=|first=|end="):
            live.process(ROWS, **wrong)
    assert live.history() is None
    assert live.offsets == {}


def test_a_key_of_a_table_is_replaced_however_its_zero_is_written() -> None:
    window = ff.window(10, time="t", by="card")
    rate = ff.lookup("rates", by="x").col("rate")
    rates = pa.table({"x": [0.0, None], "rate": [1.0, 2.0]})
    plan = ff.Plan({"s": rate.sum(over=window), "r": rate}).fit(ROWS, tables={"rates": rates})
    live = plan.online(tables={"rates": rates})
    live.update_table("rates", {"x": [-0.0, float("nan")], "rate": [5.0, 6.0]})
    assert live.tables["rates"]["rate"].to_pylist() == [5.0, 6.0]
    row = {"t": 0, "ahead": 0, "card": "a", "x": 0.0}
    assert live.features(row).tolist() == [0.0, 5.0]


def test_an_id_of_zero_is_one_row_however_it_is_written() -> None:
    window = ff.window(10, time="t", by="card")
    rows = pa.table({"id": [0.0, -0.0], "t": [3, 3], "card": ["a", "a"]})
    plan = ff.Plan({"n": ff.count(over=window)}, row_id="id").fit(rows.slice(0, 1))
    live = plan.online()
    live.process(rows)
    assert live.counts == {"repeated": 1}


CHANGING = {
    "log.py",
    "entities.py",
    "numbering.py",
    "row_ids.py",
    "columns.py",
    "state.py",
}


class Interrupt:
    """Raises at one of the lines that a call runs of what changes a state."""

    def __init__(self, at: int, names: Collection[str] = CHANGING, inside: str = "") -> None:
        self.left, self.names, self.inside = at, names, inside

    def __call__(self, frame: FrameType, event: str, arg: Any) -> Any:
        path = Path(frame.f_code.co_filename)
        if path.parent.parent.name != "live" or path.name not in self.names:
            return None
        if self.inside not in frame.f_code.co_name:
            return None
        if event == "line":
            self.left -= 1
            if self.left == 0:
                raise KeyboardInterrupt
        return self


CALLS: dict[str, Callable[[ff.Live], Any]] = {
    "row": lambda live: live.process(ROWS.slice(3).to_pylist()[0]),
    "batch": lambda live: live.process(ROWS.slice(3)),
    "late": lambda live: live.process(ROWS.take([5, 4, 3, 4])),
    "outcomes": lambda live: live.outcomes({"id": [2], "late": [3.0]}),
    "correct": lambda live: live.correct({"id": [1], "card": ["new"]}),
    "forget": lambda live: live.forget("card", "a"),
}


def told(live: ff.Live) -> Any:
    """Return what a state says, and what it says after further rows."""
    asked = ROWS.set_column(0, "id", pa.array(range(50, 56))).set_column(1, "t", pa.array([9] * 6))
    first = stored(live).to_pydict(), live.features(asked).to_pydict()
    return first, live.process(asked).to_pydict(), stored(live).to_pydict()


def begun(plan: ff.FittedPlan) -> ff.Live:
    live = plan.online(late="insert", keep=20)
    live.update(ROWS.slice(0, 3))
    return live


@pytest.mark.parametrize("name", CALLS)
def test_an_interrupt_leaves_the_state_before_the_call_or_none(
    plan: ff.FittedPlan, name: str
) -> None:
    whole, live = told(begun(plan)), begun(plan)
    count = Interrupt(-1)
    before = sys.gettrace()
    sys.settrace(count)
    CALLS[name](live)
    sys.settrace(before)
    after, n_lines = told(live), -1 - count.left
    step = n_lines // 15
    n_lost = 0
    for at in range(n_lines - 1, 0, -step):  # what changes it comes last
        live = begun(plan)
        sys.settrace(Interrupt(at))
        try:
            CALLS[name](live)
        except KeyboardInterrupt:
            pass
        finally:
            sys.settrace(before)
        try:
            assert told(live) in (whole, after), at
        except StateError as error:
            assert "interrupted during a change" in str(error)  # noqa: PT017
            n_lost += 1
    assert n_lost < 15


@pytest.mark.parametrize("durability", ["commit", "interval", "checkpoint"])
def test_a_state_that_was_interrupted_is_closed_and_opened_again(
    plan: ff.FittedPlan, tmp_path: Path, durability: Any
) -> None:
    live = plan.online(path=tmp_path / "state.db", durability=durability)
    live.update(ROWS.slice(0, 3))
    whole = stored(live)
    before = sys.gettrace()
    sys.settrace(Interrupt(1, {"log.py"}, "append"))
    try:
        with pytest.raises(KeyboardInterrupt):
            live.update(ROWS.slice(3, 1))
    finally:
        sys.settrace(before)
    with pytest.raises(StateError, match="Open it again"):
        live.history()
    live.close()
    live.close()
    live = plan.online(path=tmp_path / "state.db")
    assert stored(live).slice(0, 3).to_pydict() == whole.to_pydict()
    assert stored(live).num_rows == 4, "the call was written before it was interrupted"
    live.close()
