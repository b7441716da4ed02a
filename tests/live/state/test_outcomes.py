"""Outcomes: late columns that come by the id of their row, in time, late, again, or wrong."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastfeat as ff
from fastfeat import col
from fastfeat.errors import InvalidData, InvalidPlan, LateOutcome, UnknownColumn
from fastfeat.trust.verify.comparison import compare
from fastfeat_tests.live.live_states import stored

SCHEMA = pa.schema(
    [("id", pa.int64()), ("t", pa.int64()), ("card", pa.string()), ("y", pa.float64())]
)
NONE = pa.Table.from_pylist([], SCHEMA)


def row(number: int, t: int | None, card: str = "a", y: float | None = None) -> dict[str, Any]:
    """Return a row."""
    return {"id": number, "t": t, "card": card, "y": y}


def fitted(features: dict[str, ff.Expr], **options: Any) -> ff.FittedPlan:
    """Return a plan with the late column y."""
    plan = ff.Plan(features, outcomes=["y"], row_id="id", **options)
    return plan.fit(pa.Table.from_pylist([row(0, 0, y=1.0)], SCHEMA))


def values_of(live: ff.Live, name: str) -> list[Any]:
    """Return the values of a column of the state."""
    return stored(live).column(name).to_pylist()


Y = col("y")
PLAIN = fitted({"mean": Y.mean(over=ff.window(10, time="t", by="card"))})


def test_outcome_before_the_next_row_is_seen_by_it() -> None:
    live = PLAIN.online()
    live.process(row(1, 1))
    live.outcomes({"id": 1, "y": 5.0})
    assert live.process(row(2, 2)).tolist() == [5.0]
    assert values_of(live, "y") == [5.0, None]
    assert live.counts["outcomes"] == 1


def test_outcome_after_a_row_that_would_have_read_it_is_refused_and_nothing_changes() -> None:
    live = PLAIN.online()
    live.process([row(1, 1), row(2, 2)])
    before = live.history()
    told = r"row 0: the outcome of id = 1 comes too late: .*label_delay"
    with pytest.raises(LateOutcome, match=told):
        live.outcomes({"id": 1, "y": 5.0})
    assert live.history() == before
    assert live.counts == {}
    live.outcomes({"id": 2, "y": 5.0})  # nobody after it was answered


def test_outcome_that_comes_late_is_taken_and_counted_where_late_rows_are() -> None:
    live = PLAIN.online(late="insert")
    live.process([row(1, 1), row(2, 2)])
    live.outcomes({"id": [1, 2], "y": [5.0, 7.0]})
    assert live.counts == {"outcomes": 2, "late_outcomes": 1}
    assert live.features(row(3, 3)).tolist() == [6.0]


@pytest.mark.parametrize("way", ["update", "history"])
def test_outcome_is_in_time_where_nobody_was_answered(way: str) -> None:
    rows = pa.Table.from_pylist([row(1, 1), row(2, 2)], SCHEMA)
    live = PLAIN.online(rows if way == "history" else None)
    if way == "update":
        live.update(rows)
    live.outcomes({"id": 1, "y": 5.0})
    assert live.process(row(3, 3)).tolist() == [5.0]


def test_outcome_is_in_time_where_the_answered_row_is_of_another_entity_or_out_of_its_window() -> (
    None
):
    live = PLAIN.online(keep="everything")
    live.process([row(1, 1), row(2, 2, "b"), row(3, 12)])
    live.outcomes({"id": 1, "y": 5.0})
    assert live.counts == {"outcomes": 1}


@pytest.mark.parametrize(
    ("window", "function", "is_late"),
    [
        (ff.window(10, time="t", by="card", rows=1), Y.mean, False),
        (ff.window(10, time="t", by="card", rows=2), Y.mean, True),
        (ff.window(time="t", by="card"), lambda over: Y.lag(1, over=over), False),
        (ff.window(time="t", by="card"), lambda over: Y.lag(2, over=over), True),
        (ff.window(2, time="t", by="card", closed="neither"), Y.sum, False),
        (ff.window(2, time="t", by="card", closed="left"), Y.sum, True),
        (ff.window(10, time="t", by="card", offset=2), Y.sum, False),
        (ff.window(10, time="t", by="card", offset=1), Y.sum, True),
        (ff.window(10, time="t", by="card", offset=2, closed="both"), Y.sum, True),
    ],
)
def test_outcome_is_late_where_the_window_of_an_answered_row_holds_its_row(
    window: Any, function: Any, is_late: bool
) -> None:
    live = fitted({"f": function(over=window)}).online(keep="everything")
    live.process(row(1, 1))
    live.update(row(2, 2))  # nobody was told what it would be
    live.process(row(3, 3))
    if is_late:
        with pytest.raises(LateOutcome):
            live.outcomes({"id": 1, "y": 5.0})
    else:
        live.outcomes({"id": 1, "y": 5.0})


def test_outcome_is_late_after_any_row_where_windows_read_what_windows_gave() -> None:
    window = ff.window(10, time="t", by="card")
    live = fitted({"f": Y.mean(over=window).max(over=window)}).online()
    live.update([row(1, 1), row(2, 2)])
    with pytest.raises(LateOutcome):
        live.outcomes({"id": 1, "y": 5.0})
    live.outcomes({"id": 2, "y": 5.0})


def test_outcome_that_is_known_is_counted_and_another_value_is_refused() -> None:
    live = PLAIN.online()
    live.process(row(1, 1, y=5.0))
    live.outcomes({"id": [1, 1], "y": [5.0, None]})
    assert live.counts == {"repeated": 2}
    with pytest.raises(InvalidData, match=r"col\(\"y\"\) of id = 1 is 6.0, .*5.0.*live.correct"):
        live.outcomes({"id": 1, "y": 6.0})


def test_outcomes_of_one_id_in_one_call_are_one() -> None:
    live = PLAIN.online()
    live.process(row(1, 1))
    live.outcomes({"id": [1, 1, 1], "y": [None, 5.0, 5.0]})
    assert live.counts == {"outcomes": 1, "repeated": 2}
    assert values_of(live, "y") == [5.0]
    live.process(row(2, 2))
    with pytest.raises(InvalidData, match=r"row 1: .*6.0, but an earlier outcome says 5.0"):
        live.outcomes({"id": [2, 2], "y": [5.0, 6.0]})
    assert values_of(live, "y") == [5.0, None]


def test_outcome_of_a_row_that_is_not_there_is_refused() -> None:
    live = PLAIN.online()
    live.process([row(1, 1), row(2, 100)])
    for number in (1, 7):
        with pytest.raises(InvalidData, match=f"the state has no row with id = {number}"):
            live.outcomes({"id": number, "y": 5.0})


def test_outcomes_say_what_they_lack() -> None:
    live = PLAIN.online()
    live.process(row(1, 1))
    with pytest.raises(UnknownColumn, match="id"):
        live.outcomes({"y": 5.0})
    with pytest.raises(UnknownColumn, match=r"no other column .*'y'"):
        live.outcomes({"id": 1, "t": 5})
    with pytest.raises(InvalidData, match=r'col."id". is missing'):
        live.outcomes({"id": [None], "y": [5.0]})
    plan = ff.Plan({"n": ff.count(over=ff.window(3, time="t"))}).fit({"t": [1]})
    with pytest.raises(InvalidPlan, match="row_id="):
        plan.online().outcomes({"id": 1, "y": 5.0})


DELAYED = fitted(
    {
        "mean": Y.mean(over=ff.window(9, time="t", by="card", offset=5)),
        "last": Y.last(over=ff.window(20, time="t", by="card", offset=6)),
        "n": ff.count(over=ff.window(4, time="t", by="card")),
    },
    label_delay=5,
)


@given(st.data())
def test_outcomes_in_any_order_within_the_delay_give_what_batch_gives(data: st.DataObject) -> None:
    n = data.draw(st.integers(1, 20))
    times = sorted(data.draw(st.lists(st.integers(0, 40), min_size=n, max_size=n)))
    cards = data.draw(st.lists(st.sampled_from("ab"), min_size=n, max_size=n))
    values = data.draw(st.lists(st.sampled_from([1.0, 2.5, -3.0]), min_size=n, max_size=n))
    rows = [row(k, *given) for k, given in enumerate(zip(times, cards, values, strict=True))]
    whole = pa.Table.from_pylist(rows, SCHEMA)
    wanted = DELAYED.transform(whole, history="batch")
    delays = data.draw(st.lists(st.integers(0, 5), min_size=n, max_size=n))
    live = DELAYED.online()
    waiting = sorted(range(n), key=lambda k: times[k] + delays[k])
    for k in range(n):
        due = [j for j in waiting if j < k and times[j] + delays[j] <= times[k]]
        waiting = [j for j in waiting if j not in due]
        data.draw(st.randoms()).shuffle(due)
        if due:
            live.outcomes({"id": due, "y": [values[j] for j in due]})
        found = live.process(whole.slice(k, 1).drop_columns(["y"]))
        check = compare("outcomes", found, wanted.slice(k, 1).combine_chunks())
        assert check.difference is None, str(check)
    assert "late_outcomes" not in live.counts
