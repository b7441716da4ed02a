"""`Features` in scikit-learn's folds: rows of one `row_id` stay on one side."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, KFold, cross_validate
from sklearn.pipeline import make_pipeline

import fastfeat as ff
from fastfeat import col
from fastfeat.errors import InvalidData
from fastfeat.integrations.sklearn import Features

pytestmark = pytest.mark.filterwarnings("ignore::fastfeat.errors.RowsRepeated")
PLAN = ff.Plan({"risk": col("k").target_encode("y")}, label="y", row_id="id")
N = 400


def rows_of(numbers: Any) -> tuple[pd.DataFrame, Any]:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"id": np.arange(N), "k": rng.integers(0, 80, N)})
    return frame.iloc[numbers].reset_index(drop=True), rng.integers(0, 2, N)[numbers]


def scores(X: Any, y: Any, cv: Any, groups: Any = None) -> Any:
    model = make_pipeline(Features(PLAN), LogisticRegression())
    options: Any = {"scoring": "roc_auc", "error_score": "raise", "return_train_score": True}
    return cross_validate(model, X, y, cv=cv, groups=groups, **options)


def test_a_splitter_that_splits_rows_of_one_id_is_refused() -> None:
    X, y = rows_of(np.random.default_rng(1).integers(0, N, N))
    with pytest.raises(InvalidData, match=r"rows of X have the 'id' of a training row.*GroupKFold"):
        scores(X, y, KFold(4))


def test_groups_of_the_id_keep_its_rows_together() -> None:
    X, y = rows_of(np.random.default_rng(1).integers(0, N, N))
    found = scores(X, y, GroupKFold(4), X["id"])
    assert abs(found["test_score"].mean() - 0.5) < 0.1


def test_rows_of_fit_and_new_ones_are_no_split() -> None:
    X, y = rows_of(np.arange(N))
    features = Features(PLAN)
    features.fit_transform(X[:300], y[:300])
    assert features.transform(X).shape == (N, 1)
    assert features.transform(X[:100]).shape == (100, 1)
    assert features.transform(X[300:].drop(columns="id")).shape == (100, 1)
    with pytest.raises(InvalidData, match="50 of 150 rows of X"):
        features.transform(X[250:])
