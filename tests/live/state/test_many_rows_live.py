"""Many rows of one call: that come again, that ask alone, that are late; in bounded memory."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

import fastfeat as ff
from fastfeat import col
from fastfeat.errors import Overflow, TypeMismatch
from fastfeat.live.state import memory
from fastfeat_tests.live.live_states import stored

WINDOW = ff.window(1000, time="t", by="card")


def rows(n: int) -> pa.Table:
    random = np.random.default_rng(0)
    x = random.random(n)
    return pa.table({"id": range(n), "t": range(n), "card": ["a"] * n, "x": x, "n": [1] * n})


@pytest.fixture
def plan() -> ff.FittedPlan:
    features = {"s": col("x").sum(over=WINDOW), "n": col("n") * 2}
    return ff.Plan(features, row_id="id").fit(rows(3))


def test_rows_that_come_again_are_answered_together(
    plan: ff.FittedPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    live, given, n_answers = plan.online(late="insert", keep="everything"), rows(600), 0
    first = live.process(given)
    answer = memory.answer

    def counted(*args: object, **named: object) -> object:
        nonlocal n_answers
        n_answers += 1
        return answer(*args, **named)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(memory, "answer", counted)
    assert live.process(given) == first
    assert live.counts["repeated"] == 600
    assert n_answers == 3
    last = given.slice(599).set_column(0, "id", pa.array([900]))
    new = pa.concat_tables([last, last])
    assert live.process(pa.concat_tables([given, new, given])).num_rows == 1202
    assert stored(live).num_rows == 601


def test_rows_that_ask_alone_see_a_bounded_number_of_rows(
    plan: ff.FittedPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    live, given = plan.online(), rows(400)
    live.update(given)
    asked = given.drop_columns(["id"]).set_column(0, "t", pa.array([399] * 400))
    whole = live.features(asked)
    monkeypatch.setattr(memory, "_MOST_SEEN", 400 * 30)
    assert live.features(asked) == whole
    np.testing.assert_array_equal(live.features(asked, to="numpy")[:, 1], np.full(400, 2.0))
    beyond = asked.set_column(3, "n", pa.array([1] * 350 + [2**62] * 50))
    with pytest.raises(Overflow, match="row 350"):
        live.features(beyond)


def test_late_rows_of_an_entity_are_in_order_of_time_and_arrival(plan: ff.FittedPlan) -> None:
    given = rows(300)
    times = np.random.default_rng(1).integers(0, 40, 300)
    shuffled = given.set_column(1, "t", pa.array(times))
    at_once, one_by_one = (plan.online(late="insert", keep="everything") for _ in range(2))
    at_once.update(shuffled)
    for k in range(0, 300, 3):
        one_by_one.update(shuffled.slice(k, 1))
        one_by_one.update(shuffled.slice(k + 1, 2))
    asked = given.set_column(0, "id", pa.array(range(1000, 1300)))
    wanted = plan.transform(asked.slice(30, 1), history=shuffled)
    assert at_once.features(asked.slice(30, 1)) == wanted
    assert at_once.features(asked) == one_by_one.features(asked)


def test_values_that_no_column_holds_are_told() -> None:
    given = rows(2).append_column("tags", pa.array([["u"], []]))
    given = given.append_column("none", pa.nulls(2))
    features = {
        "n": col("tags").list.len().sum(over=WINDOW),
        "c": col("none").count(over=WINDOW),
    }
    live = ff.Plan(features, row_id="id").fit(given).online()
    row = given.to_pylist()[0]
    with pytest.raises(TypeMismatch, match=r"'card'.*surrogate"):
        live.process({**row, "card": "\ud800"})
    with pytest.raises(TypeMismatch, match="'tags': expected a list"):
        live.process({**row, "tags": np.array(1.0)})
    with pytest.raises(TypeMismatch, match="'none': fit saw only missing"):
        live.process({**row, "none": 1})
    assert live.history() is None or not stored(live).num_rows


def test_history_takes_halves_and_nothing_in_wider_types() -> None:
    given = pa.table(
        {"t": [0, 1], "h": pa.array(np.array([1, 2], np.float16)), "none": pa.nulls(2)}
    )
    window = ff.window(10, time="t")
    plan = ff.Plan({"m": col("h").max(over=window), "c": col("none").count(over=window)}).fit(given)
    wide = pa.table({"t": [2], "h": [1.5], "none": pa.nulls(1, pa.int64())})
    found = plan.transform(wide, history=given)
    assert found.to_pylist() == [{"m": 2.0, "c": 0}]
    assert plan.online(given).process(wide) == found


@pytest.mark.parametrize("is_one", [True, False])
def test_who_asks_sees_the_tables_of_the_rows_that_it_sees(
    monkeypatch: pytest.MonkeyPatch, is_one: bool
) -> None:
    given = rows(3)
    rates = pa.table({"card": ["a"], "rate": [1.0]})
    features = {"s": col("x").sum(over=WINDOW), "r": ff.lookup("rates", by="card").col("rate")}
    plan = ff.Plan(features, row_id="id").fit(given, tables={"rates": rates})
    live = plan.online(tables={"rates": rates})
    name = "answer_row" if is_one else "answer"
    answer = getattr(memory.StateMemory, name)

    def after_an_update(*args: object, **named: object) -> object:
        live.update_table("rates", {"card": "a", "rate": 2.0})
        return answer(*args, **named)

    monkeypatch.setattr(memory.StateMemory, name, after_an_update)
    asked = given.to_pylist()[0] if is_one else given
    found = live.features(asked)
    assert (found[1] if is_one else found["r"][0].as_py()) == 1.0
    assert live.tables["rates"]["rate"].to_pylist() == [2.0]
