"""Rows that come late, too late, again, or too early: what becomes of them, and what is said."""

from __future__ import annotations

import time
from typing import Any

import pyarrow as pa
import pytest

import fastfeat as ff
from fastfeat import col
from fastfeat.errors import FutureRow, InvalidData, InvalidPlan, LateRow, TypeMismatch
from fastfeat.live.state import state
from fastfeat.live.state.changes import LateRule

SCHEMA = pa.schema(
    [("id", pa.int64()), ("t", pa.int64()), ("card", pa.string()), ("x", pa.float64())]
)


def row(
    number: int, t: int | None, card: str | None = "a", x: float | None = 1.0
) -> dict[str, Any]:
    """Return a row."""
    return {"id": number, "t": t, "card": card, "x": x}


def table(*rows: dict[str, Any]) -> pa.Table:
    """Return rows as a table."""
    return pa.Table.from_pylist(list(rows), SCHEMA)


def counting(**window: Any) -> ff.FittedPlan:
    """Return a plan that counts rows of a card in a window."""
    over = ff.window(window.pop("last", 10), time="t", by="card", **window)
    plan = ff.Plan({"n": ff.count(over=over), "sum": col("x").sum(over=over)}, row_id="id")
    return plan.fit(table(row(0, 0)))


PLAN = counting()


def counts(features: pa.Table) -> list[int]:
    """Return what was counted."""
    return features.column("n").to_pylist()


def ids(live: ff.Live) -> list[int]:
    """Return the ids of the rows of the state."""
    history = live.history()
    return [] if history is None else history.column("id").to_pylist()


@pytest.mark.parametrize("split", [[3], [1, 1, 1], [2, 1], [1, 2]])
def test_late_row_is_refused_by_name_and_the_state_stays(split: list[int]) -> None:
    live, rows = PLAN.online(), table(row(1, 5), row(2, 7), row(3, 6))
    told = r"row \d \(t = 6, card = 'a'\) is earlier than the latest row of its entity, by 1"
    first = 0
    for n in split[:-1]:
        live.process(rows.slice(first, n))
        first += n
    with pytest.raises(LateRow, match=told):
        live.process(rows.slice(first))
    assert ids(live) == [1, 2][:first]
    assert live.counts == {}
    assert counts(live.process(table(row(9, 7)))) == [first if first < 2 else 1]


@pytest.mark.parametrize("split", [[4], [1, 1, 1, 1], [2, 2], [1, 3], [3, 1]])
def test_late_row_is_answered_as_of_its_time_and_seen_later(split: list[int]) -> None:
    live, found, first = PLAN.online(late="insert"), list[int](), 0
    rows = table(row(1, 5), row(2, 7), row(3, 6), row(4, 8))
    for n in split:
        found += counts(live.process(rows.slice(first, n)))
        first += n
    assert found == [0, 1, 1, 3]  # the second row did not see the third
    assert ids(live) == [1, 2, 3, 4]
    assert live.counts == {"late": 1}


@pytest.mark.parametrize("split", [[4], [1, 1, 1, 1], [2, 2], [1, 3], [3, 1]])
def test_late_row_is_answered_and_left_out(split: list[int]) -> None:
    live, found, first = PLAN.online(late="drop"), list[int](), 0
    rows = table(row(1, 5), row(2, 7), row(3, 6), row(4, 8))
    for n in split:
        found += counts(live.process(rows.slice(first, n)))
        first += n
    assert found == [0, 1, 1, 2]
    assert ids(live) == [1, 2, 4]
    assert live.counts == {"late": 1, "dropped": 1}


def test_late_rows_of_an_update_are_taken_alike() -> None:
    modes: list[tuple[LateRule, list[int]]] = [("insert", [1, 2, 3]), ("drop", [1, 2])]
    for late, known in modes:
        live = PLAN.online(late=late)
        live.update(table(row(1, 5), row(2, 7), row(3, 6)))
        assert ids(live) == known


def test_row_is_late_for_its_own_entity_alone() -> None:
    live = PLAN.online()
    live.process(table(row(1, 5), row(2, 3, "b"), row(3, None), row(4, 1, None), row(5, 5)))
    assert ids(live) == [1, 2, 5]  # what has no time, or no key, is in no reach


@pytest.mark.parametrize("late", ["insert", "drop"])
def test_row_later_than_what_is_kept_is_refused(late: Any) -> None:
    live = PLAN.online(late=late)  # keeps as long again as windows see
    live.process(table(row(1, 5), row(2, 30)))
    assert counts(live.process(table(row(3, 20)))) == [0]
    with pytest.raises(LateRow, match=r"t = 19, .* is 11 earlier .*keep=10.*online\(keep="):
        live.process(table(row(4, 19)))
    longer = PLAN.online(late=late, keep=25)
    longer.process(table(row(1, 5), row(2, 30)))
    assert counts(longer.process(table(row(4, 10)))) == [1]
    with pytest.raises(LateRow, match="keep=25"):
        longer.process(table(row(5, 4)))


def test_keep_is_a_duration_for_times_and_a_number_for_steps() -> None:
    with pytest.raises(InvalidPlan, match=r"keep='2d': does not fit the times of any window"):
        PLAN.online(keep="2d")
    with pytest.raises(InvalidPlan, match=r"keep='x'"):
        PLAN.online(keep="x")
    with pytest.raises(TypeMismatch, match=r"keep=2.5"):
        PLAN.online(keep=2.5)  # pyright: ignore[reportArgumentType]


def test_window_that_sees_everything_needs_to_be_told_so() -> None:
    plan = counting(last=None)
    told = r"feature 'n': ff.window\(by='card', time='t'\) sees all rows .*keep='everything'"
    with pytest.raises(InvalidPlan, match=told):
        plan.online()
    live = plan.online(keep="everything", late="insert")
    live.process(table(row(1, 1), row(2, 1000)))
    assert counts(live.process(table(row(3, 2)))) == [1]


def test_windows_in_windows_refuse_what_they_could_not_see() -> None:
    over = ff.window(10, time="t", by="card")
    inner = col("x").sum(over=over)
    plan = ff.Plan({"f": inner.max(over=over)}, row_id="id").fit(table(row(0, 0)))
    for late in ("insert", "drop"):
        with pytest.raises(InvalidPlan, match=rf"late='{late}': feature 'f' has a window over"):
            plan.online(late=late)
    live = plan.online()
    live.process(table(row(1, 5)))
    with pytest.raises(InvalidPlan, match="feature 'f'"):
        live.correct({"id": 1, "x": 3.0})
    with pytest.raises(LateRow):
        live.process(row(2, 4))


@pytest.mark.parametrize("split", [[4], [1, 1, 1, 1], [2, 2], [1, 3]])
def test_same_event_twice_is_once(split: list[int]) -> None:
    live, found, first = PLAN.online(keep=10), list[int](), 0
    rows = table(row(1, 5), row(2, 7), row(1, 5), row(3, 8))
    for n in split:
        found += counts(live.process(rows.slice(first, n)))
        first += n
    assert found == [0, 1, 0, 2]
    assert ids(live) == [1, 2, 3]
    assert live.counts == {"repeated": 1}


def test_row_that_comes_again_is_answered_at_its_place_among_rows_of_its_instant() -> None:
    plan = counting(closed="right")
    live = plan.online(keep=10)
    rows = table(row(1, 5), row(2, 5), row(3, 5))
    assert counts(live.process(rows)) == [1, 2, 3]
    assert counts(live.process(rows)) == [1, 2, 3]
    assert ids(live) == [1, 2, 3]


def test_row_that_comes_again_later_than_what_is_kept_is_refused() -> None:
    live = PLAN.online()
    live.process(table(row(1, 5), row(2, 7)))
    with pytest.raises(LateRow, match="keep"):
        live.process(table(row(1, 5)))
    assert counts(live.process(table(row(2, 7)))) == [1]


def test_other_row_of_a_known_id_is_refused() -> None:
    for late in ("error", "insert"):
        live = PLAN.online(keep=10, late=late)
        live.process(table(row(1, 5)))
        with pytest.raises(InvalidData, match=r"id = 1 .* x is 2.0 here and 1.0 .*live.correct"):
            live.process(table(row(2, 6), row(1, 5, x=2.0)))
        with pytest.raises(InvalidData, match=r"id = 3 .*live.correct"):
            live.process(table(row(3, 6), row(3, 6, x=2.0)))
        assert ids(live) == [1]


def test_row_without_an_id_is_refused() -> None:
    live = PLAN.online()
    with pytest.raises(InvalidData, match=r"row 1: col\(\"id\"\) is missing"):
        live.process({"id": [1, None], "t": [1, 2], "card": ["a", "a"], "x": [1.0, 2.0]})
    assert live.history() is None


def test_ids_are_of_one_type() -> None:
    live = PLAN.online()
    live.process(row(1, 1))
    with pytest.raises(TypeMismatch, match="id"):
        live.process({**row(2, 2), "id": "two"})
    other = PLAN.online()
    with pytest.raises(LateRow):
        other.process({**{k: [v, v] for k, v in row(0, 5).items()}, "id": ["p", "q"], "t": [5, 4]})
    other.process(row(1, 1))  # what failed has not said of which type ids are


def test_rows_of_one_instant_come_in_the_order_of_their_tie() -> None:
    over = ff.window(10, time="t", by="card", closed="right", tie="x")
    plan = ff.Plan({"n": ff.count(over=over)}, row_id="id").fit(table(row(0, 0)))
    rows = table(row(1, 5, x=2.0), row(2, 5, x=1.0), row(3, 5, x=3.0))
    live = plan.online()
    with pytest.raises(LateRow, match="by its tie"):
        live.process(rows)
    assert counts(live.process(rows.slice(0, 1))) == [1]
    with pytest.raises(LateRow, match="by its tie"):
        live.process(rows.slice(1, 1))
    for split in ([3], [1, 1, 1]):
        live, found, first = plan.online(late="insert"), list[int](), 0
        for n in split:
            found += counts(live.process(rows.slice(first, n)))
            first += n
        assert found == [1, 1, 3]


def test_times_ahead_of_the_clock_are_refused() -> None:
    over = ff.window("1d", time="t")
    plan = ff.Plan({"n": ff.count(over=over)})
    now = time.time_ns() // 10**9
    one = {"t": pa.array([now], pa.timestamp("s"))}
    fitted = plan.fit(one)
    live = fitted.online(max_ahead="1h")
    live.process(one)
    ahead = {"t": pa.array([now + 10, now + 7200], pa.timestamp("s"))}
    with pytest.raises(FutureRow, match=r"row 1 \(t = .* ahead of this machine's clock.*'1h'"):
        live.process(ahead)
    assert live.history() is not None
    assert len(live.history()) == 1  # pyright: ignore[reportArgumentType]
    with pytest.raises(InvalidPlan, match="max_ahead='1h': no window has timestamps"):
        PLAN.online(max_ahead="1h")
    with pytest.raises(InvalidPlan, match="max_ahead=3: takes a duration"):
        fitted.online(max_ahead=3)  # pyright: ignore[reportArgumentType]


def test_features_of_a_time_that_the_state_has_dropped_are_refused() -> None:
    live = PLAN.online(late="insert")
    live.process(table(row(1, 5), row(2, 30)))
    assert live.features({"t": 21, "card": "a", "x": 1.0}).tolist() == [0.0, 0.0]
    assert live.features({"t": 19, "card": "b", "x": 1.0}).tolist() == [0.0, 0.0]
    with pytest.raises(LateRow, match=r"t = 19, card = 'a'\) is 11 earlier"):
        live.features({"t": 19, "card": "a", "x": 1.0})
    exact = PLAN.online()
    exact.process(table(row(1, 5), row(2, 30)))
    with pytest.raises(LateRow, match="t = 29"):
        exact.features({"t": 29, "card": "a", "x": 1.0})


def test_silent_entities_are_swept_and_what_could_see_them_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(state, "SWEPT_AT", 10)
    live = PLAN.online()
    live.process(table(row(1, 5, "silent")))
    for k in range(40):
        live.process(table(row(100 + k, 6 + k)))
    assert 1 not in ids(live)
    assert live.counts["swept"] >= 1
    with pytest.raises(LateRow, match=r"t = 6, card = 'silent'\) is so much earlier .* of all"):
        live.process(table(row(2, 6, "silent")))
    assert counts(live.process(table(row(2, 40, "silent")))) == [0]


@pytest.mark.parametrize("way", ["forget", "correct"])
def test_what_was_dropped_for_a_row_that_is_gone_is_not_answered_without(way: str) -> None:
    plan = counting()
    live = plan.online()
    live.process(table(row(1, 5), row(2, 9, x=1.0), row(3, 19, x=7.0)))  # the first is out of reach
    if way == "forget":
        live.forget("x", 7.0)
    else:
        live.correct({"id": 3, "t": None})
    asked = {"card": "a", "x": 0.0}
    with pytest.raises(LateRow, match=r"t = 12, card = 'a'\) is earlier .* forgotten or corrected"):
        live.features({"t": 12, **asked})
    with pytest.raises(LateRow, match="forgotten or corrected"):
        live.process(row(4, 12))
    assert live.features({"t": 19, **asked}).tolist() == [1.0, 1.0]
    assert live.features({"t": 12, **asked, "card": "b"}).tolist() == [0.0, 0.0]
    live.process(row(4, 19))
    assert live.features({"t": 20, **asked}).tolist() == [1.0, 1.0]


def test_ask_does_not_say_of_which_type_ids_are() -> None:
    live = PLAN.online()
    assert live.features({**row(1, 1), "id": "text"}).tolist() == [0.0, 0.0]
    with pytest.raises(InvalidData, match="the state has no row"):
        live.correct({"id": "text", "x": 1.0})
    live.process(row(1, 1))
    assert ids(live) == [1]
