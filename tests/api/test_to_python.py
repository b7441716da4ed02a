"""A plan as Python source: executing the source makes the same plan, whatever its names are."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastfeat as ff
from fastfeat import col, lit
from fastfeat_tests.operators.operator_features import families, plan_of
from fastfeat_tests.plan.expression_trees import KINDS, expressions

WEEK = ff.window("7d", by="card", time="t")
SEEN = ff.window("1d", by={"tail": "tailnum"}, time="t", table="log", right_time="at")


def made_by(text: str) -> ff.Plan:
    """Execute source and return the plan that it binds."""
    names: dict[str, Any] = {}
    exec(text, names)
    return names["plan"]


def check(plan: ff.Plan) -> str:
    """Assert that the source of a plan makes it again, and return the source."""
    text = plan.to_python()
    again = made_by(text)
    assert again.to_json() == plan.to_json()
    assert again.to_python() == text
    assert "from_json" not in text
    return text


BY_CLASS = ("list.ordinal_encode", "list.explode", "str.replace")
"""Operators that are printed with the replacement as it is kept, or built of nodes of lists."""


@pytest.mark.parametrize("family", [*families(learnt=True), *families(learnt=False)])
def test_the_source_of_every_operator_makes_it_again(family: str) -> None:
    by_class = [line for line in check(plan_of(family)).splitlines() if "Call(" in line]
    assert all(any(name in line for name in BY_CLASS) for line in by_class), by_class


@settings(max_examples=settings().max_examples * 2)
@given(st.data())
def test_the_source_of_random_plans_makes_them_again(data: Any) -> None:
    kinds = data.draw(st.lists(st.sampled_from(KINDS), min_size=1, max_size=3))
    features = {
        f"f{k}": data.draw(expressions(kind, data.draw(st.integers(0, 5))))
        for k, kind in enumerate(kinds)
    }
    check(ff.Plan(features))


def test_operators_stand_as_users_write_them() -> None:
    plan = ff.Plan(
        {
            "size": col("size").log1p().standard_scale(),
            "turn": col("t").dt.hour().cyclical(24),
            "spent": col("x").mean(over=WEEK),
            "risk": col("city").target_encode("y", folds=5),
        },
        label={"y": col("late") > 15},
        outcomes={"paid": "2h"},
        label_delay="1h",
        keep=["id"],
    )
    text = check(plan)
    for line in (
        "'size': col('size').log1p().standard_scale(),",
        "'turn': col('t').dt.hour().cyclical(24),",
        "'spent': col('x').mean(over=ff.window('7d', by='card', time='t')),",
        "outcomes={'paid': '2h'},",
    ):
        assert line in text


HOSTILE = (
    *(
        '"]; import os; ["',
        "'",
        '"""',
        "\\",
        "\n",
        "#",
        "col",
        "x1",
        "plan",
        "{}",
        "%s",
        "é",
        "\x00",
    ),
    *("', __import__('os').abort(), '", " ", "class", "\u202e", "\u2028"),
)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_is_only_text(name: str) -> None:
    window = ff.window("7d", by=name, time=name + "t")
    plan = ff.Plan(
        {
            name: col(name).fill_null(0) + 1,
            name + "2": col(name + "s").is_in([name]),
            name + "3": col(name).mean(over=window),
            name + "4": ff.lookup(name + "table", by=name).col(name + "v"),
        },
        label=name + "y",
        keep=[name + "id"],
        row_id=name + "id",
    )
    check(plan)


@pytest.mark.parametrize(
    "feature",
    [
        col("x") + float("inf"),
        col("x") * -0.0,
        lit(1) + col("x"),
        lit(2) - lit(3) + col("x"),
        col("x").cast(ff.DType("timestamp", "us", "UTC")),
        col("t") > lit(datetime.datetime(2024, 3, 31, 12, tzinfo=datetime.UTC)),
        col("t") - datetime.timedelta(days=-3, microseconds=5),
        col("s").replace_strict({"a": 1.5, "b": float("inf")}, default=None),
        ff.when(col("b")).then(float("-inf")).otherwise(2**63),
        ff.coalesce(col("x"), None, True),
        col("x").mean(by=["k", col("s").str.len_chars()]),
        ff.count(over=WEEK),
        (col("code") == 3).sum(over=SEEN),
        (col("x") - col("x").mean()) / col("x").std(ddof=0),
        ff.asof("prices", by="k", time="t", right_time="at").col("p"),
    ],
)
def test_the_source_of_one_feature_makes_it_again(feature: ff.Expr) -> None:
    check(ff.Plan({"f": feature}))


@pytest.mark.parametrize("step", [lambda x: x + 1, lambda x: x * x, lambda x: x.log1p()])
def test_the_source_of_a_long_chain_grows_with_its_length(step: Callable[[Any], Any]) -> None:
    made = col("x")
    for _ in range(1000):
        made = step(made)
    assert len(check(ff.Plan({"f": made}))) < 100_000


def test_a_plan_that_an_earlier_version_recorded_is_written_as_its_json() -> None:
    text = ff.Plan({"a": col("x") + 1}).to_json()
    recorded = text[:-1] + ',"params":{"steps":[],"values":{}}}'
    plan = ff.Plan.from_json(recorded)
    assert made_by(plan.to_python()) == plan
