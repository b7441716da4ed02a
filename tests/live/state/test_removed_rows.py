"""`Live.remove`: one row taken out by its id, durable and audited."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastfeat as ff
from fastfeat import col
from fastfeat.errors import HistoryMissing, InvalidData, InvalidPlan, LateRow, TypeMismatch

HOUR = ff.window("1h", by="card", time="t")
PLAN = ff.Plan({"n": ff.count(over=HOUR), "sum": col("x").sum(over=HOUR)}, row_id="id")
DAY_AHEAD = 14 * 24 * 60


def row(n: int, minute: int | None = None, card: str = "c0") -> dict[str, Any]:
    moment = pa.scalar((n if minute is None else minute) * 60, pa.timestamp("s", "UTC")).as_py()
    return {"id": n, "t": moment, "card": card, "x": float(n)}


def table(rows: list[dict[str, Any]]) -> pa.Table:
    types = [("id", pa.int64()), ("t", pa.timestamp("s", "UTC")), ("card", pa.string())]
    return pa.Table.from_pylist(rows, pa.schema([*types, ("x", pa.float64())]))


def ids_of(live: ff.Live) -> list[int]:
    """Return the ids of the rows that a state has."""
    history = live.history()
    return [] if history is None else history["id"].to_pylist()


FITTED = PLAN.fit(table([row(0)]), history="batch")


def test_an_entity_that_a_row_held_up_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "s.state"
    with FITTED.online(path=path) as live:
        live.process(table([row(n) for n in range(5)]))
        live.process(table([row(99, DAY_AHEAD)]))
        with pytest.raises(LateRow):
            live.process(table([row(5)]))
        with pytest.warns(HistoryMissing, match="id = 99 was the latest row of its entity"):
            live.remove(99)
        before = ids_of(live)
        expected = FITTED.transform(table([row(5)]), history=live.history())
        assert live.process(table([row(5)])).equals(expected)
        assert live.counts["removed"] == 1
        assert 99 not in ids_of(live)
    with FITTED.online(path=path) as live:
        assert ids_of(live) == [*before, 5]
        live.process(table([row(99, 200)]))  # it may come again
    report = ff.replay(path)
    assert report.ok, report
    assert (report.n_changes, report.n_rows) == (5, 8)


def test_a_row_before_others_is_taken_out_without_a_warning() -> None:
    live = FITTED.online()
    live.update(table([row(n) for n in range(5)]))
    live.remove(2)
    assert live.features(row(5)).tolist() == [4.0, 8.0]


def test_errors_name_what_to_do() -> None:
    live = FITTED.online()
    with pytest.raises(InvalidData, match="the state has no row with id = 7"):
        live.remove(7)
    live.update(table([row(1)]))
    with pytest.raises(InvalidData, match="the state has no row with id = 7"):
        live.remove(7)
    with pytest.raises(TypeMismatch, match="id"):
        live.remove("seven")
    with pytest.raises(InvalidData, match="id"):
        live.remove(None)
    without = ff.Plan({"n": ff.count(over=HOUR)}).fit(table([row(0)]), history="batch").online()
    with pytest.raises(InvalidPlan, match="row_id='id'"):
        without.remove(1)
    nested = ff.Plan({"z": (col("x") - col("x").mean(over=HOUR)).max(over=HOUR)}, row_id="id").fit(
        table([row(0)]), history="batch"
    )
    with pytest.raises(InvalidPlan, match="remove: feature 'z'"):
        nested.online().remove(1)
    assert ids_of(live) == [1]


@pytest.mark.filterwarnings("ignore::fastfeat.errors.HistoryMissing")
@given(st.lists(st.integers(0, 9), max_size=8), st.integers(0, 9))
def test_the_state_is_the_proof_after_a_removal(removed: list[int], until: int) -> None:
    live = FITTED.online()
    live.update(table([row(n, card=f"c{n % 2}") for n in range(until + 1)]))
    gone = [n for n in dict.fromkeys(removed) if n <= until]
    for n in gone:
        live.remove(n)
    assert ids_of(live) == [n for n in range(until + 1) if n not in gone]
    arriving = table([row(n, card=f"c{n % 2}") for n in range(20, 24)])
    expected = FITTED.transform(arriving, history=live.history())
    assert live.process(arriving).equals(expected)
