"""Plans, and fitted plans, that are written and learnt alike are equal, and hash alike."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastfeat as ff
from fastfeat import col


def plan(smooth: float = 2, **options: Any) -> ff.Plan:
    """Return a plan that learns numbers and categories."""
    features = {
        "x": col("x").standard_scale(),
        "k": col("k").ordinal_encode(),
        "share": col("k").target_encode("y", folds=2, smooth=smooth),
    }
    return ff.Plan(features, label="y", **options)


ROWS = pa.table({"x": [1.0, 2.0, 4.0], "k": ["a", None, "a"], "y": [0, 1, 1]})
PLAN, FITTED = plan(), plan().fit(ROWS)
OTHERS = {
    "dtype": plan(dtype="float32"),
    "keep": plan(keep=["id"]),
    "a parameter": plan(smooth=3),
    "no parameter": ff.Plan({"x": col("x") + 1}),
    "a name": ff.Plan({"y": col("x") + 1}),
    "an order": ff.Plan({"a": col("x"), "b": col("y")}),
    "another order": ff.Plan({"b": col("y"), "a": col("x")}),
    "zero": ff.Plan({"x": col("x") + 0.0}),
    "minus zero": ff.Plan({"x": col("x") + -0.0}),
}


def test_plans_that_are_written_alike_are_equal() -> None:
    assert plan() == PLAN
    assert hash(plan()) == hash(PLAN)
    assert len({PLAN, plan(), *OTHERS.values()}) == 1 + len(OTHERS)
    assert plan(smooth=3) == OTHERS["a parameter"]


@pytest.mark.parametrize("name", OTHERS)
def test_plans_that_differ_are_not_equal(name: str) -> None:
    assert [*OTHERS.values()].count(OTHERS[name]) == 1
    assert OTHERS[name] != PLAN


def test_copies_are_equal(tmp_path: Path) -> None:
    assert copy.copy(PLAN) is copy.deepcopy(PLAN) is PLAN
    assert pickle.loads(pickle.dumps(PLAN)) == PLAN == ff.Plan.from_json(PLAN.to_json())
    FITTED.save(tmp_path / "plan.fastfeat")
    again = [
        copy.copy(FITTED),
        copy.deepcopy(FITTED),
        pickle.loads(pickle.dumps(FITTED)),
        ff.load(tmp_path / "plan.fastfeat"),
        plan().fit(ROWS),
        FITTED.select(["x", "k", "share"]),
    ]
    assert all(one == FITTED and hash(one) == hash(FITTED) for one in again)


def test_neither_equals_something_else() -> None:
    assert PLAN != FITTED
    assert FITTED != PLAN
    assert PLAN.__eq__(PLAN.to_json()) is NotImplemented
    assert FITTED.__eq__(1) is NotImplemented


@pytest.mark.parametrize(
    "column", [{"x": [1.0, 2.0, 5.0]}, {"k": ["a", "b", "a"]}, {"y": [1, 1, 1]}, {"x": [1, 2, 4]}]
)
def test_what_is_learnt_tells_apart(column: dict[str, Any]) -> None:
    other = PLAN.fit(ROWS.to_pydict() | column)
    assert other != FITTED
    assert len({other, FITTED, PLAN.fit(ROWS)}) == 2


def test_how_many_rows_were_learnt_from_does_not() -> None:
    one = ff.Plan({"x": col("x").max()})
    assert one.fit({"x": [1, 2]}) == one.fit({"x": [2, 1, 2]})


@pytest.mark.filterwarnings("ignore::fastfeat.errors.TooFewValues")
def test_missing_is_equal_to_missing() -> None:
    one = ff.Plan({"x": col("x").mean(), "q": col("x").quantile(0.5)})
    missing = [one.fit(pa.table({"x": pa.array([None] * n, pa.float64())})) for n in (1, 2)]
    assert missing[0] == missing[1]
    assert missing[0] != one.fit({"x": [0.0]})


@given(
    st.lists(st.floats(allow_nan=False, allow_infinity=False, width=16), min_size=1, max_size=4),
    st.randoms(),
)
def test_values_are_compared_by_their_bits(values: list[float], random: Any) -> None:
    one = ff.Plan({"x": col("x").max(), "y": col("x").min()})
    shuffled = random.sample(values, len(values))
    options: dict[str, Any] = {"backend": "reference"}
    fitted = one.fit({"x": values}, **options)
    assert fitted == one.fit({"x": shuffled}, **options)
    bits = [float(v).hex() for v in fitted.learnt().values()]
    assert (fitted == one.fit({"x": [0.0]}, **options)) == (bits == [(0.0).hex()] * 2)
