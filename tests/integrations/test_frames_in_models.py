"""Frames of pandas with categories, in the models that take them: missing values and new ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

import fastfeat as ff
from fastfeat import col

N_ROWS = 400
_rng = np.random.default_rng(9)
TRAIN = pd.DataFrame(
    {
        "city": _rng.choice(np.array(["Bonn", "Lyon", "Oslo", None]), N_ROWS),
        "zip": _rng.integers(0, 6, N_ROWS).astype("float64"),
        "x": np.where(_rng.random(N_ROWS) < 0.1, np.nan, _rng.normal(size=N_ROWS)),
        "n": pd.array(_rng.integers(0, 9, N_ROWS), dtype="Int64"),
    }
)
TRAIN.loc[3, "n"] = pd.NA
LABEL = (TRAIN["city"].eq("Oslo") ^ (TRAIN["x"] > 0)).astype(int).to_numpy()
LATER = pd.DataFrame(
    {"city": ["Oslo", "Rome", None], "zip": [1.0, 99.0, 2.0], "x": [0.5, 1.0, np.nan], "n": [1] * 3}
)
PLAN = ff.Plan(
    {
        "city": col("city").ordinal_encode(),
        "zip": col("zip").ordinal_encode(),
        "x": col("x").standard_scale(),
        "n": col("n"),
        "above": (col("x") > 1).fill_null(False),
        "is_high": col("x") > 1,
    },
    dtype="float32",
)


def scikit_learn(features: Any) -> Any:
    """Return how a forest of scikit-learn predicts."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    model = HistGradientBoostingClassifier(max_iter=8, categorical_features="from_dtype")
    return model.fit(features, LABEL).predict_proba


def xgboost(features: Any) -> Any:
    """Return how one of XGBoost predicts."""
    library: Any = pytest.importorskip("xgboost")
    data = library.QuantileDMatrix(features, label=LABEL, enable_categorical=True)
    model = library.train({"objective": "binary:logistic"}, data, 8)
    return lambda rows: model.predict(library.DMatrix(rows, enable_categorical=True))


def lightgbm(features: Any) -> Any:
    """Return how one of LightGBM predicts."""
    library: Any = pytest.importorskip("lightgbm")
    data = library.Dataset(features, label=LABEL)
    return library.train({"objective": "binary", "verbose": -1}, data, 8).predict


def catboost(features: Any) -> Any:
    """Return how one of CatBoost predicts; it takes no missing category, and no missing bool."""
    library: Any = pytest.importorskip("catboost")
    names = ["city", "zip"]

    def without_missing(rows: Any) -> Any:
        filled = {
            name: rows[name].cat.add_categories("missing").fillna("missing") for name in names
        }
        return rows.assign(**filled, is_high=rows["is_high"].astype("Int8"))

    options = {"iterations": 8, "verbose": 0, "allow_writing_files": False}
    model = library.CatBoostClassifier(cat_features=names, **options)
    model.fit(without_missing(features), LABEL)
    return lambda rows: model.predict_proba(without_missing(rows))


@pytest.mark.parametrize(
    "trained",
    [
        scikit_learn,
        *(pytest.param(f, marks=pytest.mark.large) for f in (xgboost, lightgbm, catboost)),
    ],
)
def test_a_model_takes_the_frame_of_training_and_of_later_rows(trained):
    fitted, features = PLAN.fit_transform(TRAIN, to="pandas", categories=True)
    predict = trained(features)
    whole = np.asarray(predict(fitted.transform(TRAIN, to="pandas", categories=True)))
    scores = whole[:, 1] if whole.ndim == 2 else whole
    assert np.corrcoef(scores, LABEL)[0, 1] > 0.5
    part = np.asarray(predict(fitted.transform(TRAIN[5:9], to="pandas", categories=True)))
    np.testing.assert_array_equal(part, whole[5:9])
    later = fitted.transform(LATER, to="pandas", categories=True)
    assert np.isfinite(predict(later)).all()
