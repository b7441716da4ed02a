"""What plans ask of one log: columns, orders and their reach, what is kept; plans that disagree."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastfeat as ff
from fastfeat import col
from fastfeat.api.plan import fitted_records
from fastfeat.errors import InvalidPlan, TypeMismatch
from fastfeat.ir.dtypes import FLOAT64, INT64, UTF8
from fastfeat.ir.show import show
from fastfeat.live.lower.live_plan import Reach, lower
from fastfeat_tests.live.ask.test_features_of_rows_random import assert_same_bits, pieces_of
from fastfeat_tests.live.plain_log import PlainLog, kept_of_history
from fastfeat_tests.live.random_plans import TABLES, events, features, fitted

pytestmark = [  # rows of few values, at few moments
    pytest.mark.filterwarnings("ignore::fastfeat.errors.FastfeatWarning"),
]
DAY = 86_400 * 10**9
WEEK = ff.window("7d", by="card", time="ts")
LATEST = ff.window(by="card", time="ts")
SHOP = ff.window("1d", by="shop", time="ts")
X = col("x")
ROWS = pa.table(
    {
        "id": [1, 2],
        "ts": pa.array([0, 1], pa.timestamp("us")),
        "card": ["a", "b"],
        "shop": [1, 2],
        "x": [1.0, 2.0],
        "y": [1, 2],
    }
)


def plan(**chosen: ff.Expr) -> ff.FittedPlan:
    return ff.Plan(chosen, row_id="id").fit(ROWS)


def test_orders_have_the_reach_of_their_functions() -> None:
    lowered = lower(
        fitted_records(
            {
                "a": plan(s=X.sum(over=WEEK), lag=X.lag(3, over=LATEST)),
                "b": plan(m=X.mean(over=SHOP), y=col("y") + 1),
            }
        )
    )
    assert [(order.entity, order.reach) for order in lowered.orders] == [
        ("card", Reach(7 * DAY, 3)),
        ("shop", Reach(DAY, 0)),
    ]
    assert lowered.columns == {
        "x": FLOAT64,
        "ts": lowered.columns["ts"],
        "card": UTF8,
        "shop": INT64,
    }
    assert lowered.asked == {"y": INT64}
    assert (lowered.row_id, lowered.kept, lowered.late) == ("id", {}, frozenset())


@pytest.mark.parametrize(
    ("feature", "reach"),
    [
        (X.sum(over=ff.window("7d", by="card", time="ts", offset="1d")), Reach(8 * DAY, 0)),
        (X.sum(over=ff.window(by="card", time="ts", rows=3)), Reach(None, 3)),
        (X.sum(over=ff.window(by="card", time="ts", rows=3, offset="1d")), Reach(DAY, 3)),
        (X.lag(2, over=ff.window(by="card", time="ts", offset="1d")), Reach(DAY, 2)),
        (X.sum(over=LATEST), Reach(None, None)),
        (X.last(over=LATEST), Reach(None, None)),
        (ff.time_since_last(over=LATEST), Reach(None, 1)),
        (X.sum(over=ff.window(5, by="card", time="y")), Reach(5, 0, "steps")),
    ],
)
def test_a_function_looks_back_as_far_as_its_window(feature: ff.Expr, reach: Reach) -> None:
    (order,) = lower(fitted_records({"": plan(f=feature)})).orders
    assert order.reach == reach


def test_what_a_window_reads_of_another_is_kept_and_does_not_add_to_the_reach() -> None:
    inner = X.max(over=WEEK)
    lowered = lower(fitted_records({"": plan(f=inner.sum(over=SHOP))}))
    ((name, kept),) = lowered.kept.items()
    assert (name, kept.feature, kept.dtype) == (repr(inner), "f", FLOAT64)
    assert {order.entity: order.reach for order in lowered.orders} == {
        "card": Reach(7 * DAY, 0),
        "shop": Reach(DAY, 0),
    }


def test_what_is_learnt_is_of_one_plan_and_all_else_is_shared() -> None:
    chosen = {
        "f": X.max(over=WEEK).sum(over=SHOP),
        "g": (X - X.mean()).max(over=WEEK).sum(over=SHOP),
    }
    lowered = lower(fitted_records({"a": plan(**chosen), "b": plan(**chosen)}))
    assert [kept.plans for kept in lowered.kept.values()] == [("a", "b"), ("a",), ("b",)]
    assert len(lowered.orders) == 2


def test_plans_over_one_log_agree_in_the_types_of_columns() -> None:
    other = ff.Plan({"s": X.sum(over=WEEK)}, row_id="id").fit(
        ROWS.set_column(4, "x", pa.array([1, 2]))
    )
    told = r"the column 'x': the plan 'a' saw float64 in fit, but the plan 'b' saw int64\."
    with pytest.raises(TypeMismatch, match=told):
        lower(fitted_records({"a": plan(s=X.sum(over=WEEK)), "b": other}))


def test_plans_over_one_log_agree_in_the_id_of_rows() -> None:
    other = ff.Plan({"s": X.sum(over=WEEK)}).fit(ROWS)
    with pytest.raises(InvalidPlan, match="'a' has row_id='id', 'b' has row_id=None"):
        lower(fitted_records({"a": plan(s=X.sum(over=WEEK)), "b": other}))
    rowwise = ff.Plan({"y": col("y")}).fit(ROWS)
    assert lower(fitted_records({"a": plan(s=X.sum(over=WEEK)), "b": rowwise})).row_id == "id"


def test_rows_are_put_into_an_order_that_a_window_makes_in_a_stage_of_its_own() -> None:
    session = ff.session_id("1h", over=LATEST)
    within = ff.window("1d", by=["card", session], time="ts")
    visit = ff.session_id("5m", over=ff.window(by=["card", session], time="ts"))
    deep = ff.window("2d", by=["card", visit], time="ts")
    total = X.sum(over=within)
    chosen = {"f": X.sum(over=deep), "g": total, "h": total.max(over=WEEK), "i": X.max(over=SHOP)}
    lowered = lower(fitted_records({"a": plan(**chosen), "b": plan(f=X.min(over=SHOP), g=total)}))
    assert [stage.orders for stage in lowered.stages] == [range(2), range(2, 3), range(3, 4)]
    assert [stage.kept for stage in lowered.stages] == [(), (repr(session),), (repr(visit),)]
    assert [order.entity for order in lowered.orders[:2]] == ["card", "shop"]
    assert lowered.orders[3].reach == Reach(2 * DAY, 0)
    computed = {
        plan: [
            sorted(show(s.call) for one in stage.rounds[plan] for s in one.statistics)
            for stage in lowered.stages
        ]
        for plan in lowered.plans
    }
    last = [len(of_stage) for of_stage in computed["a"]]
    assert last == [3, 4, 1], computed  # a window by card of what one by session gave comes after
    assert any("max" in text and "7d" in text for text in computed["a"][1])
    assert [len(of_stage) for of_stage in computed["b"]] == [3, 1, 0]
    assert lowered.placed_by == (repr(session), repr(visit))


@given(data=st.data())
def test_rows_out_of_reach_change_nothing(data: st.DataObject) -> None:
    rows = data.draw(events(in_order=True))
    nested = data.draw(st.booleans())
    chosen = fitted(data.draw(features(nested=nested)), data.draw(events()))
    log, short = PlainLog({"": chosen}, TABLES), PlainLog({"": chosen}, TABLES, evicts=True)
    for piece in pieces_of(data, rows):
        expected = log.process(piece)
        assert_same_bits(short.process(piece).features(""), expected.features(""))


@given(data=st.data(), backend=st.sampled_from(["cpu", "reference"]))
def test_what_is_kept_of_a_history_is_what_its_rows_gave(data: Any, backend: str) -> None:
    rows = data.draw(events(in_order=True))
    plan = fitted(data.draw(features(nested=True)), data.draw(events()))
    log = PlainLog({"": plan}, TABLES)
    for piece in pieces_of(data, rows):
        log.process(piece)
    found = kept_of_history(log.lowered, rows, TABLES, backend)
    assert list(found) == list(log.lowered.kept)
    kept = {name: log.rows[name].cast(array.type) for name, array in found.items()}
    numbers = [name for name, array in found.items() if not pa.types.is_large_string(array.type)]
    assert_same_bits(pa.table(found).select(numbers), pa.table(kept).select(numbers))
    for name in set(found) - set(numbers):
        assert found[name].to_pylist() == kept[name].to_pylist()
