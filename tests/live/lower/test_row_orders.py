"""Where rows stand in the orders of a log: times in ticks, keys of any expression, or nowhere."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

import fastfeat as ff
from fastfeat import col
from fastfeat.api.plan import fitted_records
from fastfeat.live.lower.live_plan import lower
from fastfeat.live.lower.row_orders import compute_order_values
from fastfeat_tests.live.ask.test_features_of_rows_random import assert_same_bits
from fastfeat_tests.live.plain_log import PlainLog

pytestmark = pytest.mark.filterwarnings("ignore::fastfeat.errors.FastfeatWarning")
HOUR = 3_600_000_000
X = col("x")
ROWS = pa.table(
    {
        "ts": pa.array([0, 5 * HOUR, 30 * HOUR, 31 * HOUR, None], pa.timestamp("us", "UTC")),
        "card": pa.array(["a", None, "a", "b", "a"]).dictionary_encode(),
        "x": [1.0, -0.0, float("nan"), 0.0, 2.0],
        "shop": pa.array([1, 2, 1, 1, 2], pa.int8()),
        "city": ["u", "v", "u", "w", None],
    }
)
TABLES = {
    "shops": pa.table({"shop": [1, 2], "kind": ["big", None]}),
    "weather": pa.table(
        {
            "ts": pa.array([0, 10 * HOUR], pa.timestamp("us", "UTC")),
            "city": ["u", "u"],
            "sky": ["dry", "wet"],
        }
    ),
}
KEYS: dict[str, tuple[Any, list[list[Any]], list[bool]]] = {
    "none": (None, [], [True, True, True, True, False]),
    "text": ("card", [["a", None, "a", "b", "a"]], [True, False, True, True, False]),
    "float": ("x", [[1.0, 0.0, None, 0.0, 2.0]], [True, True, False, True, False]),
    "both": (
        ["card", "shop"],
        [["a", None, "a", "b", "a"], [1, 2, 1, 1, 2]],
        [True, False, True, True, False],
    ),
    "expression": (X > 0, [[1, 0, None, 0, 1]], [True, True, False, True, False]),
    "day": (
        col("ts").dt.truncate("1d"),
        [[0, 0, 24 * HOUR, 24 * HOUR, None]],
        [True, True, True, True, False],
    ),
    "lower": (col("city").str.to_uppercase(), [["U", "V", "U", "W", None]], [True] * 4 + [False]),
    "lookup": (
        ff.lookup("shops", by="shop").col("kind"),
        [["big", None, "big", "big", None]],
        [True, False, True, True, False],
    ),
    "asof": (
        ff.asof("weather", by="city", time="ts").col("sky"),
        [["dry", None, "wet", None, None]],
        [True, False, True, False, False],
    ),
}


@pytest.mark.parametrize("name", KEYS)
def test_rows_have_their_time_and_key_in_each_order(name: str) -> None:
    by, keys, is_placed = KEYS[name]
    plan = ff.Plan({"s": X.sum(over=ff.window("1d", by=by, time="ts"))}).fit(ROWS, tables=TABLES)
    (found,) = compute_order_values(lower(fitted_records({"": plan})), ROWS, TABLES)
    assert found.times.tolist() == [0, 5 * HOUR, 30 * HOUR, 31 * HOUR, 0]
    assert [key.to_pylist() for key in found.keys] == keys
    assert found.is_placed.tolist() == is_placed
    assert found.tie is None
    log, pieces = PlainLog({"": plan}, TABLES), list[pa.Table]()
    for k in range(ROWS.num_rows):
        pieces.append(log.process(ROWS.slice(k, 1)).features(""))
    expected = plan.transform(ROWS, history="batch", tables=TABLES)
    assert_same_bits(pa.concat_tables(pieces), expected)


def test_ties_are_given_as_keys() -> None:
    over = ff.window("1d", by="card", time="ts", tie="shop")
    plan = ff.Plan({"s": X.sum(over=over)}).fit(ROWS)
    (found,) = compute_order_values(lower(fitted_records({"": plan})), ROWS, {})
    assert found.tie is not None
    assert found.tie.to_pylist() == [1, 2, 1, 1, 2]


def test_plans_over_one_log_answer_as_each_does_alone() -> None:
    week = ff.window("7d", by="card", time="ts")
    shop = ff.window("7d", by="shop", time="ts")
    chosen = {
        "a": {"s": X.sum(over=week), "n": (X - X.mean()).max(over=week).sum(over=shop)},
        "b": {"n": (X - X.mean()).max(over=week).sum(over=shop), "x": X.standard_scale()},
        "rows": {"x": X + 1, "c": col("city").ordinal_encode()},
    }
    plans = {
        name: ff.Plan(features).fit(ROWS.slice(k, 3))
        for k, (name, features) in enumerate(chosen.items())
    }
    log = PlainLog(plans)
    pieces: dict[str, list[pa.Table]] = {name: [] for name in plans}
    for k in range(ROWS.num_rows):
        answered = log.process(ROWS.slice(k, 1))
        for name, found in pieces.items():
            found.append(answered.features(name))
    for name, found in pieces.items():
        assert_same_bits(pa.concat_tables(found), plans[name].transform(ROWS, history="batch"))
