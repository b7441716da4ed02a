"""Parameters of a plan as parameters of the transformer: what a grid search turns."""

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


def plan_of(smooth: Any, n_bins: Any) -> ff.Plan:
    """Return a plan of two values, which may be parameters."""
    features = {"rate": col("k").target_encode("y", smooth=smooth), "bin": col("x").qcut(n_bins)}
    return ff.Plan(features, label="y")


PLAN = plan_of(ff.param("smooth", 20.0), ff.param("n_bins", 4))


def test_parameters_of_the_plan_are_among_the_deep_ones() -> None:
    features = Features(PLAN)
    own = ["plan", "history", "tables", "output", "categories", "profile"]
    assert list(features.get_params(deep=False)) == own
    assert features.get_params()["smooth"] == 20
    assert features.get_params()["n_bins"] == 4
    assert Features().get_params() == Features().get_params(deep=False)


def test_a_parameter_that_is_set_puts_another_plan_in_the_place() -> None:
    features = Features(PLAN)
    assert features.set_params(smooth=3.0) is features
    assert features.plan.params() == {"smooth": 3.0, "n_bins": 4}
    assert PLAN.params()["smooth"] == 20
    wanted = plan_of(3.0, 4).fit_transform(X.assign(y=Y), to="numpy")[1]
    assert np.array_equal(features.fit_transform(X, Y), wanted)
    assert cloned(features).get_params()["smooth"] == 3.0
    other = plan_of(1.0, ff.param("n_bins", 9))
    assert features.set_params(n_bins=2, plan=other, output="pandas").plan == plan_of(
        1.0, ff.param("n_bins", 2)
    )
    assert features.output == "pandas"


def test_a_search_turns_parameters_of_the_plan() -> None:
    pipeline = Pipeline([("features", Features(PLAN)), ("model", LogisticRegression())])
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
    features = Features(PLAN)
    assert joblib.hash(copy.deepcopy(features)) == joblib.hash(features)
    assert joblib.hash(cloned(features).set_params(smooth=21.0)) != joblib.hash(features)


def test_a_plan_whose_label_was_given_keeps_its_parameters() -> None:
    rate = col("k").target_encode("is_high", smooth=ff.param("smooth", 20.0))
    plan = ff.Plan({"rate": rate}, label={"is_high": col("x") > 1})
    fitted = Features(plan).fit(X, Y).fitted_
    assert fitted.plan.declaration.label_column == "is_high"
    again = fitted.plan.with_params(smooth=1.0)
    assert again.params() == {"smooth": 1.0}
    data = X.drop(columns="x").assign(is_high=Y)
    wanted = Features(plan).set_params(smooth=1.0).fit_transform(X, Y)
    assert np.array_equal(again.fit_transform(data, to="numpy")[1], wanted)


CLASH = ff.Plan({"bin": col("x").qcut(ff.param("output", 4))})
REFUSED: list[tuple[Callable[[], Any], type[FastfeatError], str]] = [
    (lambda: Features(PLAN).set_params(smoth=1), InvalidPlan, "parameter 'smoth' .* Did you"),
    (lambda: Features().set_params(smooth=1), InvalidPlan, "Parameters: plan, history, tables"),
    (lambda: Features(PLAN).set_params(smooth="many"), FastfeatError, "smooth"),
    (lambda: Features(CLASH).get_params(), InvalidPlan, "both have a parameter 'output'"),
    (lambda: Features(CLASH).set_params(output="numpy"), InvalidPlan, "Rename the plan's"),
    (lambda: Features(CLASH).fit(X), InvalidPlan, "Rename the plan's"),
    (lambda: Features(PLAN).get_params(3, 4), TypeMismatch, "too many positional"),  # type: ignore[call-arg]  # pyright: ignore
]  # fmt: skip


@pytest.mark.parametrize(("call", "error", "told"), REFUSED)
def test_parameters_that_are_none_are_told(
    call: Callable[[], Any], error: type[Exception], told: str
) -> None:
    with pytest.raises(error, match=told):
        call()


def test_nothing_is_set_where_one_parameter_is_wrong() -> None:
    features = Features(PLAN)
    with pytest.raises(InvalidPlan):
        features.set_params(output="pandas", smooth=1.0, other=2)
    assert features.output == "numpy"
    assert features.plan is PLAN
