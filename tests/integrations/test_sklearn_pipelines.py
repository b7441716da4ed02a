"""`Features` inside of what scikit-learn builds of estimators: pipelines, searches, workers."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import sklearn
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.inspection import permutation_importance
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import (
    GridSearchCV,
    StratifiedKFold,
    cross_val_score,
    cross_validate,
    learning_curve,
)
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler, TargetEncoder

import fastfeat as ff
from fastfeat import col
from fastfeat.integrations.sklearn import Features, Held

pytestmark = pytest.mark.filterwarnings("ignore::fastfeat.errors.EncodedInFold")

cloned: Any = clone  # of an estimator, not of a list of them
N_ROWS = 400
RNG = np.random.default_rng(11)
FRAME: Any = pd.DataFrame(
    {
        "x": RNG.normal(size=N_ROWS),
        "city": RNG.choice(list("abcdefgh"), N_ROWS),
        "z": RNG.normal(size=N_ROWS),
    },
    index=np.arange(N_ROWS)[::-1],
)
Y: Any = ((FRAME["x"] + RNG.normal(size=N_ROWS)) > 0).astype(int)
TABLES = {"cities": pa.table({"city": list("abcdefgh"), "size": np.arange(8.0)})}


def plan_of(smooth: float) -> ff.Plan:
    """Return a plan that learns from the label."""
    features = {
        "x": col("x").standard_scale(),
        "rate": col("city").target_encode("y", folds=4, smooth=smooth),
    }
    return ff.Plan(features, label="y")


PLAN = plan_of(5.0)
LOOKS_UP = ff.Plan({"size": ff.lookup("cities", by="city").col("size"), "x": col("x")})
MODEL: Any = Pipeline([("features", Features(PLAN)), ("model", LogisticRegression())])


@pytest.fixture
def routing() -> Iterator[None]:
    """Route metadata, in this test alone."""
    with sklearn.config_context(enable_metadata_routing=True):
        yield


def test_a_model_of_a_pipeline_learns_from_features_out_of_fold() -> None:
    fitted, training = PLAN.fit_transform(FRAME.assign(y=Y), to="numpy")
    by_hand = LogisticRegression().fit(training, Y)
    wanted = by_hand.predict_proba(fitted.transform(FRAME, to="numpy"))
    assert np.array_equal(cloned(MODEL).fit(FRAME, Y).predict_proba(FRAME), wanted)


def test_a_fold_is_fitted_as_by_hand() -> None:
    scores = cross_val_score(MODEL, FRAME, Y, cv=2, scoring="roc_auc")
    for score, (train, test) in zip(scores, StratifiedKFold(2).split(FRAME, Y), strict=True):
        fitted, rows = PLAN.fit_transform(FRAME.assign(y=Y).iloc[train], to="numpy")
        model = LogisticRegression().fit(rows, Y.iloc[train])
        found = model.predict_proba(fitted.transform(FRAME.iloc[test], to="numpy"))[:, 1]
        assert score == roc_auc_score(Y.iloc[test], found)


@pytest.mark.parametrize(
    "rows",
    [FRAME, pl.from_pandas(FRAME), pa.Table.from_pandas(FRAME, preserve_index=False)],
    ids=["pandas", "polars", "arrow"],
)
def test_scores_are_equal_whatever_holds_the_rows(rows: Any) -> None:
    scores = cross_val_score(MODEL, rows, Y, cv=3)
    assert np.array_equal(scores, cross_val_score(MODEL, FRAME, Y, cv=3))


def test_scores_of_workers_are_those_of_one_process() -> None:
    search = GridSearchCV(MODEL, {"features__plan": [plan_of(0.0), plan_of(50.0)]}, cv=2)
    alone = search.fit(FRAME, Y).cv_results_["mean_test_score"]
    workers = cloned(search).set_params(n_jobs=2).fit(FRAME, Y).cv_results_["mean_test_score"]
    assert np.array_equal(alone, workers)
    by_name = Features(lambda names: ff.Plan({name: col(name) for name in names}))  # cloudpickle
    with_function = make_pipeline(by_name, LogisticRegression())
    numbers = FRAME[["x", "z"]]
    scores = cross_val_score(with_function, numbers, Y, cv=2, n_jobs=2)
    assert np.array_equal(scores, cross_val_score(with_function, numbers, Y, cv=2))


def test_columns_are_transformed_apart() -> None:
    parts = [("plan", Features(PLAN), ["city", "x"]), ("rest", StandardScaler(), ["z"])]
    both = ColumnTransformer(parts)
    names = ["plan__x", "plan__rate", "rest__z"]
    made: Any = both.fit_transform(FRAME, Y)
    assert both.get_feature_names_out().tolist() == names
    assert np.array_equal(made[:, :2], Features(PLAN).fit_transform(FRAME[["x", "city"]], Y))
    framed = cloned(both).set_output(transform="pandas").fit_transform(FRAME, Y)
    assert framed.columns.tolist() == names
    assert framed.index.equals(FRAME.index)
    assert np.array_equal(framed.to_numpy(), made)


def test_a_target_that_is_transformed_is_what_encoders_learn_from() -> None:
    positive = Y + 1.0
    model = TransformedTargetRegressor(
        make_pipeline(Features(PLAN), Ridge()), func=np.log, inverse_func=np.exp
    )
    fitted, rows = PLAN.fit_transform(FRAME.assign(y=np.log(positive)), to="numpy")
    wanted = Ridge().fit(rows, np.log(positive)).predict(fitted.transform(FRAME, to="numpy"))
    assert np.allclose(model.fit(FRAME, positive).predict(FRAME), np.exp(wanted), rtol=1e-12)


def test_a_calibrated_model_takes_the_pipeline() -> None:
    model = CalibratedClassifierCV(MODEL, cv=3).fit(FRAME, Y)
    assert roc_auc_score(Y, model.predict_proba(FRAME)[:, 1]) > 0.7


def test_importances_are_of_the_columns_of_the_data() -> None:
    model = cloned(MODEL).fit(FRAME, Y)
    importances: Any = permutation_importance(model, FRAME, Y, n_repeats=3, random_state=0)
    found = importances.importances_mean
    assert found[2] == 0  # z is not read
    assert found[0] > 0.1
    assert found[0] > found[1]


@pytest.mark.filterwarnings("error::fastfeat.errors.EncodedInFold")
def test_a_learning_curve_is_drawn() -> None:
    sizes, train, test, *_ = learning_curve(MODEL, FRAME, Y, cv=3, train_sizes=np.array([0.5, 1.0]))
    assert len(sizes) == len(train) == len(test) == 2
    assert np.isfinite(train).all()
    assert np.isfinite(test).all()


def test_weights_of_the_model_pass_by_the_features() -> None:
    weights = np.where(np.arange(N_ROWS) % 2, 1.0, 0.0)
    model = cloned(MODEL).fit(FRAME, Y, model__sample_weight=weights)
    rows = Features(PLAN).fit_transform(FRAME, Y)
    wanted = LogisticRegression().fit(rows, Y, sample_weight=weights)
    assert np.array_equal(model["model"].coef_, wanted.coef_)


@pytest.mark.usefixtures("routing")
def test_routed_weights_of_the_model_pass_by_the_features() -> None:
    weights = np.where(np.arange(N_ROWS) % 2, 1.0, 0.0)
    weighted = LogisticRegression().set_fit_request(sample_weight=True)
    model: Any = make_pipeline(Features(PLAN), weighted).fit(FRAME, Y, sample_weight=weights)
    rows = Features(PLAN).fit_transform(FRAME, Y)
    wanted = LogisticRegression().fit(rows, Y, sample_weight=weights)
    assert np.array_equal(model[-1].coef_, wanted.coef_)


@pytest.mark.usefixtures("routing")
def test_tables_are_routed_whole() -> None:
    asking = Features(LOOKS_UP).set_fit_request(tables=True).set_transform_request(tables=True)
    model = make_pipeline(asking, LogisticRegression())
    few = FRAME[: len(TABLES)]
    given = model.fit(FRAME, Y, tables=TABLES).predict_proba(few, tables=TABLES)
    own = make_pipeline(Features(LOOKS_UP, tables=TABLES), LogisticRegression())
    assert np.array_equal(own.fit(FRAME, Y).predict_proba(few), given)
    held = cross_val_score(model, FRAME, Y, cv=3, params={"tables": Held(TABLES)})
    assert np.array_equal(held, cross_val_score(own, FRAME, Y, cv=3))


def test_tables_of_the_transformer_reach_workers(tmp_path: Path) -> None:
    path = tmp_path / "cities.parquet"
    pd.DataFrame({"city": list("abcdefgh"), "size": np.arange(8.0)}).to_parquet(path)
    scores = [
        cross_val_score(
            make_pipeline(Features(LOOKS_UP, tables=tables), LogisticRegression()),
            FRAME, Y, cv=2, n_jobs=n_jobs,
        )
        for tables, n_jobs in [(TABLES, 1), (TABLES, 2), ({"cities": path}, 2)]
    ]  # fmt: skip
    assert np.array_equal(scores[0], scores[1])
    assert np.array_equal(scores[0], scores[2])


def test_copies_and_files_of_a_fitted_pipeline_predict_the_same(tmp_path: Path) -> None:
    model = make_pipeline(Features(LOOKS_UP, tables=TABLES), LogisticRegression()).fit(FRAME, Y)
    wanted = model.predict_proba(FRAME)
    joblib.dump(model, tmp_path / "model")
    copies: Any = (
        copy.deepcopy(model),
        pickle.loads(pickle.dumps(model)),
        joblib.load(tmp_path / "model"),
    )
    for again in copies:
        assert np.array_equal(again.predict_proba(FRAME), wanted)
        assert again[0].get_feature_names_out().tolist() == ["size", "x"]


def test_equal_transformers_have_one_hash() -> None:
    one = Features(PLAN, tables=TABLES)
    tables = {"cities": pa.table(TABLES["cities"].to_pydict())}
    for other in (cloned(one), copy.deepcopy(one), Features(plan_of(5.0), tables=tables)):
        assert joblib.hash(other) == joblib.hash(one)
    assert joblib.hash(Features(plan_of(6.0), tables=TABLES)) != joblib.hash(one)
    fewer = {"cities": TABLES["cities"][:7]}
    assert joblib.hash(Features(PLAN, tables=fewer)) != joblib.hash(one)


def test_a_pipeline_that_remembers_fits_once(tmp_path: Path) -> None:
    model = make_pipeline(Features(PLAN), LogisticRegression(), memory=str(tmp_path))
    wanted = cloned(MODEL).fit(FRAME, Y).predict_proba(FRAME)
    for _ in range(2):
        assert np.array_equal(cloned(model).fit(FRAME, Y).predict_proba(FRAME), wanted)


def test_a_pipeline_is_shown() -> None:
    shown = cloned(MODEL).fit(FRAME, Y)._repr_html_()
    assert "Features" in shown
    assert len(repr(Features(PLAN, tables=TABLES))) < 1000


def test_every_estimator_of_folds_may_be_kept() -> None:
    kept: Any = cross_validate(MODEL, FRAME, Y, cv=2, return_estimator=True, n_jobs=2)["estimator"]
    assert [model["features"].n_features_in_ for model in kept] == [3, 3]


N_OF_NOISE, N_KEYS = 6000, 1500


def of_noise(seed: int) -> tuple[pd.DataFrame, Any]:
    """Return rows of a key of many values, and a label that nothing tells of."""
    rng = np.random.default_rng(seed)
    rows = pd.DataFrame({"key": rng.integers(0, N_KEYS, N_OF_NOISE).astype(str)})
    return rows, rng.integers(0, 2, N_OF_NOISE)


def auc_in_training(made: Any, label: Any) -> float:
    """Return how well a model knows the rows that it has learnt from."""
    model = LogisticRegression().fit(made, label)
    return float(roc_auc_score(label, model.predict_proba(made)[:, 1]))


def test_models_find_nothing_in_a_label_of_noise() -> None:
    plan = ff.Plan({"rate": col("key").target_encode("y", smooth=0.0)}, label="y")
    found = [
        auc_in_training(Features(plan).fit_transform(*noise), noise[1])
        for noise in map(of_noise, range(4))
    ]
    error = np.sqrt(1 / (3 * N_OF_NOISE) / len(found))  # of their mean, where classes are equal
    assert abs(np.mean(found) - 0.5) < 4 * error
    rows, label = of_noise(0)
    assert auc_in_training(Features(plan).fit(rows, label).transform(rows), label) > 0.65


def test_a_category_of_many_values_is_scored_as_by_scikit_learn() -> None:
    rng = np.random.default_rng(8)
    values = {"k": rng.integers(0, 1500, 5000).astype(str), "x": rng.normal(size=5000)}
    rows = pd.DataFrame(values)
    label = rows["x"] + rng.normal(size=5000) > 0
    plan = ff.Plan({"k": col("k").target_encode("y"), "x": col("x")}, label="y")
    encoded = ColumnTransformer([("k", TargetEncoder(), ["k"]), ("x", "passthrough", ["x"])])

    def auc(features: Any) -> float:
        model = make_pipeline(features, LogisticRegression())
        return float(np.mean(cross_val_score(model, rows, label, cv=5, scoring="roc_auc")))

    assert abs(auc(Features(plan)) - auc(encoded)) < 0.002  # .0003 is what was seen
    assert auc(InFold(plan)) < auc(encoded) - 0.05


class InFold(Features):
    """What fits and then transforms the same rows."""

    def fit_transform(self, X: Any, y: Any = None, **beside: Any) -> Any:
        """Return encodings that hold a row's own label."""
        return self.fit(X, y, **beside).transform(X)
