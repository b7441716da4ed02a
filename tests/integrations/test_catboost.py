"""CatBoost on the features of plans: by pandas with categories; what arrives, and what not."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import fastfeat as ff
from fastfeat import col
from fastfeat.errors import InvalidData, TypeMismatch
from fastfeat_tests.integrations.training_rows import CODED, PLAN, TEST, TRAIN, label_of

pytestmark = pytest.mark.large
catboost: Any = pytest.importorskip("catboost")
ours: Any = pytest.importorskip("fastfeat.integrations.catboost")

FITTED, FEATURES = PLAN.fit_transform(TRAIN)
MATRIX = PLAN.fit_transform(TRAIN, to="numpy")[1]
Y = label_of(TRAIN)


def training(**options: Any) -> Any:
    """Return the training rows, by pandas."""
    return ours.pool(FITTED, **{"features": FEATURES, "label": Y, **options})


def fitted_model(data: Any, folder: Path, **options: Any) -> Any:
    evaluated = options.pop("eval_set", None)
    model = catboost.CatBoostClassifier(
        **{
            "iterations": 5,
            "depth": 4,
            "random_seed": 0,
            "thread_count": 1,
            "verbose": False,
            "train_dir": str(folder / "catboost"),
            **options,
        }
    )
    return model.fit(data, eval_set=evaluated)


def trees(model: Any, folder: Path) -> dict[str, Any]:
    """Return the trees of a model, and the statistics of its categories."""
    model.save_model(str(folder / "model.json"), format="json")
    known = json.loads((folder / "model.json").read_text())
    return {name: known.get(name) for name in ("oblivious_trees", "ctr_data", "features_info")}


def frame_of(matrix: Any) -> pd.DataFrame:
    """Return what a user writes with a matrix: CatBoost takes no categories in one of floats."""
    frame = pd.DataFrame(matrix, columns=pd.Index(FITTED.feature_names))
    return frame.astype(dict.fromkeys(CODED, "int32"))


def test_trees_by_pool_are_those_by_matrix(tmp_path: Path) -> None:
    model = fitted_model(training(label=FITTED.label(TRAIN)), tmp_path)
    expected = fitted_model(catboost.Pool(frame_of(MATRIX), Y, cat_features=CODED), tmp_path)
    assert trees(model, tmp_path) == trees(expected, tmp_path)
    assert model.feature_names_ == FITTED.feature_names
    of_pool = model.predict_proba(ours.pool(FITTED, TEST.drop_columns("id"), label=False))[:, 1]
    of_matrix = frame_of(FITTED.transform(TEST, to="numpy"))
    assert np.array_equal(of_pool, expected.predict_proba(of_matrix)[:, 1])
    assert 0.7 < ((of_pool > 0.5) == label_of(TEST)).mean() < 0.95


def test_features_may_come_as_a_matrix_or_a_frame(tmp_path: Path) -> None:
    expected = trees(fitted_model(training(), tmp_path), tmp_path)
    for features in (MATRIX, np.ascontiguousarray(MATRIX), FEATURES.to_pandas()):
        assert trees(fitted_model(training(features=features), tmp_path), tmp_path) == expected


def test_names_and_categories_arrive() -> None:
    pool = training()
    assert pool.get_feature_names() == FITTED.feature_names
    places = [FITTED.feature_names.index(name) for name in CODED]
    assert pool.get_cat_feature_indices() == places
    assert pool.shape == MATRIX.shape


def test_missing_and_rare_categories_are_told_apart(tmp_path: Path) -> None:
    model = fitted_model(training(), tmp_path, iterations=60)
    cities: list[Any] = [None, "Rome", "Paris", "Bern"]
    alike = {name: [TEST.column(name)[3].as_py()] * 4 for name in TEST.column_names}
    given = ours.pool(FITTED, {**alike, "city": cities}, label=False)
    missing, rare, unseen, bern = model.predict_proba(given)[:, 1]
    assert rare == unseen
    assert len({missing, rare, bern}) == 3


def test_missing_numbers_are_missing_to_catboost(tmp_path: Path) -> None:
    model = fitted_model(training(), tmp_path, iterations=40)
    floats = trees(model, tmp_path)["features_info"]["float_features"]
    with_missing = {known["feature_id"] for known in floats if known["has_nans"]}
    assert with_missing == {"size", "is_new", "visits"}


def test_codes_are_numbers_where_that_is_asked_for() -> None:
    assert training(categories=[]).get_cat_feature_indices() == []


def test_training_stops_early_on_validation_rows(tmp_path: Path) -> None:
    model = fitted_model(
        training(weight=TRAIN.column("weight").to_numpy()),
        tmp_path,
        iterations=400,
        learning_rate=0.5,
        eval_set=ours.pool(FITTED, TEST),
        early_stopping_rounds=3,
    )
    assert 0 < model.tree_count_ < 200


def test_groups_and_text_labels_pass_on(tmp_path: Path) -> None:
    groups = np.arange(TEST.num_rows) // 10
    ranked = ours.pool(FITTED, TEST, group_id=groups)
    assert np.unique(ranked.get_group_id_hash()).size == 100
    names = np.where(label_of(TEST) > 0, "yes", "no")
    for label in (names, pd.Series(names).astype("category")):
        model = fitted_model(ours.pool(FITTED, TEST, label=label), tmp_path)
        assert list(model.classes_) == ["no", "yes"]


@pytest.mark.parametrize(
    ("call", "kind", "told"),
    [
        (
            lambda: ours.pool(FITTED, TEST, label=pa.array([None, *["a"] * 999])),
            InvalidData,
            "1 of 1,000 labels are missing",
        ),
        (
            lambda: ours.pool(FITTED, features=FEATURES.select(["city"]), label=Y),
            KeyError,
            "features= lack 'size', 'age'",
        ),
        (lambda: ours.pool(ff.Plan([col("age")]), TRAIN), TypeMismatch, "plan.fit(data) first"),
    ],
)
def test_what_cannot_be_handed_over_is_told(
    call: Callable[[], Any], kind: type[Exception], told: str
) -> None:
    with pytest.raises(kind, match=re.escape(told)):
        call()
