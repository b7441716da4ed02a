"""Parameters of the function that makes a plan: what a grid search turns."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline

import fastfeat as ff
from fastfeat import col
from fastfeat.errors import FastfeatError, InvalidPlan, TypeMismatch
from fastfeat.integrations.sklearn import Features

pytestmark = pytest.mark.filterwarnings("ignore::fastfeat.errors.EncodedInFold")

RNG = np.random.default_rng(0)
cloned: Any = clone  # of an estimator, not of a list of them
X: Any = pd.DataFrame({"k": RNG.choice(list("abcdef"), 200), "x": RNG.normal(size=200)})
Y: Any = (X["x"] + RNG.normal(size=200) > 0).astype(int)


def plan_of(smooth: float = 20.0, n_bins: int = 4) -> ff.Plan:
    """Return a plan of two values."""
    features = {"rate": col("k").target_encode("y", smooth=smooth), "bin": col("x").qcut(n_bins)}
    return ff.Plan(features, label="y")


def test_parameters_of_the_function_are_those_of_the_transformer() -> None:
    own = ["plan", "history", "tables", "output", "categories", "profile"]
    assert list(Features().get_params()) == own
    assert list(Features(plan_of()).get_params(deep=False)) == own
    features = Features(plan_of, n_bins=8)
    assert list(features.get_params(deep=False)) == [*own, "smooth", "n_bins"]
    assert features.get_params() == features.get_params(deep=False)
    assert features.get_params()["smooth"] == 20
    assert features.get_params()["n_bins"] == 8


def test_a_parameter_that_is_set_makes_another_plan() -> None:
    features = Features(plan_of, n_bins=4)
    assert features.set_params(smooth=3.0) is features
    wanted = plan_of(3.0, 4).fit_transform(X.assign(y=Y), to="numpy")[1]
    assert np.array_equal(features.fit_transform(X, Y), wanted)
    declared = {"late_columns": features.fitted_.plan.late}
    assert declared == {"late_columns": ["y"]}
    assert cloned(features).get_params()["smooth"] == 3.0
    assert np.array_equal(cloned(features).fit_transform(X, Y), wanted)


def test_another_function_drops_the_values_of_the_one_before() -> None:
    features = Features(plan_of, n_bins=9)
    assert features.set_params(plan=lambda bins: plan_of(1.0, bins), bins=2, output="pandas")
    assert features.output == "pandas"
    assert features.get_params()["bins"] == 2
    assert "n_bins" not in features.get_params()
    wanted = plan_of(1.0, 2).fit_transform(X.assign(y=Y), to="numpy")[1]
    assert np.array_equal(features.fit_transform(X, Y).to_numpy(), wanted)
    assert features.set_params(plan=plan_of()).get_params()["plan"] == plan_of()


def test_a_function_takes_the_names_of_columns_and_any_parameter() -> None:
    def make_plan(names: list[str], power: int, **others: float) -> ff.Plan:
        return ff.Plan({name: col(name) ** power * others["times"] for name in names})

    features: Any = Features(make_plan, power=2, times=0.5)
    assert features.fit_transform({"x0": [1.0, 2.0], "x1": [4.0, 6.0]}).tolist() == [
        [0.5, 8.0],
        [2.0, 18.0],
    ]
    again: Any = cloned(features).set_params(times=2.0)
    assert again.fit_transform(np.array([[3.0]])).tolist() == [[18.0]]
    with pytest.raises(InvalidPlan, match="needs the parameter 'power'"):
        Features(make_plan, times=0.5).fit({"x": [1.0]})


def test_a_search_turns_parameters_of_the_plan() -> None:
    pipeline = Pipeline([("features", Features(plan_of)), ("model", LogisticRegression())])
    grid = {"features__smooth": [0.0, 50.0], "features__n_bins": [2, 8]}
    search: Any = GridSearchCV(pipeline, grid, cv=2, scoring="neg_log_loss").fit(X, Y)
    plans = [plan_of(s, n) for n in grid["features__n_bins"] for s in grid["features__smooth"]]
    by_hand: Any = GridSearchCV(
        pipeline, {"features__plan": plans}, cv=2, scoring="neg_log_loss"
    ).fit(X, Y)
    found, wanted = (s.cv_results_["mean_test_score"] for s in (search, by_hand))
    assert np.array_equal(found, wanted)
    assert len(set(found)) > 1
    best = search.best_estimator_["features"].get_params()
    assert {f"features__{name}": best[name] for name in ("smooth", "n_bins")} == search.best_params_


def test_a_transformer_of_other_parameters_has_another_hash() -> None:
    features = Features(plan_of, smooth=20.0)
    assert joblib.hash(copy.deepcopy(features)) == joblib.hash(features)
    assert joblib.hash(cloned(features).set_params(smooth=21.0)) != joblib.hash(features)


def of_output(output: int = 4) -> ff.Plan:
    return ff.Plan({"bin": col("x").qcut(output)})


REFUSED: list[tuple[Callable[[], Any], type[FastfeatError], str]] = [
    (lambda: Features(plan_of).set_params(smoth=1), InvalidPlan, "parameter 'smoth' .* Did you"),
    (lambda: Features(plan_of, smoth=1).fit(X, Y), InvalidPlan, "parameter 'smoth' .* Did you"),
    (lambda: Features().set_params(smooth=1), InvalidPlan, "Parameters: plan, history, tables"),
    (lambda: Features(plan_of(), smooth=1), TypeMismatch, "Only a function that makes the plan"),
    (lambda: Features(plan_of).set_params(smooth="many"), FastfeatError, "smooth"),
    (lambda: Features(of_output).get_params(), InvalidPlan, "both have a parameter 'output'"),
    (lambda: Features(of_output).set_params(output="numpy"), InvalidPlan, "Rename the function's"),
    (lambda: Features(of_output).fit(X), InvalidPlan, "Rename the function's"),
    (lambda: Features(plan_of).get_params(3, 4), TypeMismatch, "too many positional"),  # type: ignore[call-arg]  # pyright: ignore
]  # fmt: skip


@pytest.mark.parametrize(("call", "error", "told"), REFUSED)
def test_parameters_that_are_none_are_told(
    call: Callable[[], Any], error: type[Exception], told: str
) -> None:
    with pytest.raises(error, match=told):
        call()


@pytest.mark.parametrize("wrong", [{"other": 2}, {"n_bins": 0}])
def test_nothing_is_set_where_one_parameter_is_wrong(wrong: dict[str, Any]) -> None:
    features = Features(plan_of)
    before = features.get_params()
    with pytest.raises(InvalidPlan):
        features.set_params(output="pandas", smooth=1.0, **wrong)
    assert features.get_params() == before
