"""LightGBM on the features of plans: by Arrow and by matrix; categories, and no dictionaries."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import fastfeat as ff
from fastfeat import col
from fastfeat.errors import InvalidData, InvalidPlan, TypeMismatch
from fastfeat_tests.integrations.training_rows import CODED, N_ROWS, PLAN, TEST, TRAIN, label_of

pytestmark = pytest.mark.large
lightgbm: Any = pytest.importorskip("lightgbm")
ours: Any = pytest.importorskip("fastfeat.integrations.lightgbm")

FITTED, FEATURES = PLAN.fit_transform(TRAIN)
MATRIX = PLAN.fit_transform(TRAIN, to="numpy")[1]
Y = label_of(TRAIN)
PARAMS = {
    "objective": "binary",
    "deterministic": True,
    "num_threads": 1,
    "min_data_per_group": 5,
    "cat_smooth": 1.0,
    "max_cat_to_onehot": 1,
    "verbose": -1,
}


def training(**options: Any) -> Any:
    """Return the training rows, by Arrow."""
    given = {"features": FEATURES, "label": Y, "params": PARAMS}
    return ours.dataset(FITTED, **{**given, **options})


def booster(data: Any, **options: Any) -> Any:
    return lightgbm.train(PARAMS, data, options.pop("rounds", 5), **options)


def test_trees_by_arrow_are_those_by_matrix() -> None:
    model = booster(training(label=FITTED.label(TRAIN)))
    expected = booster(
        lightgbm.Dataset(
            MATRIX,
            Y,
            feature_name=FITTED.feature_names,
            categorical_feature=CODED,
            params=PARAMS,
        )
    )
    assert model.model_to_string() == expected.model_to_string()
    assert model.feature_name() == FITTED.feature_names
    of_arrow = model.predict(ours.features(FITTED, TEST.drop_columns("id")))
    assert np.array_equal(of_arrow, expected.predict(FITTED.transform(TEST, to="numpy")))
    assert 0.75 < ((of_arrow > 0.5) == label_of(TEST)).mean() < 0.95


def test_features_may_come_as_a_matrix_or_a_frame() -> None:
    expected = booster(training()).model_to_string()
    for features in (MATRIX, np.ascontiguousarray(MATRIX), FEATURES.to_pandas()):
        assert booster(training(features=features)).model_to_string() == expected


def splits(model: Any, feature: str) -> list[dict[str, Any]]:
    """Return the nodes that split on a feature."""
    place = model.feature_name().index(feature)
    found: list[dict[str, Any]] = []

    def visit(node: dict[str, Any]) -> None:
        if node.get("split_feature") == place:
            found.append(node)
        for side in ("left_child", "right_child"):
            if side in node:
                visit(node[side])

    for tree in model.dump_model()["tree_info"]:
        visit(tree["tree_structure"])
    return found


def test_missing_and_rare_categories_arrive_as_categories() -> None:
    """The rows without a city have a mean of their own, which a split on category 0 tells."""
    model = booster(training(), rounds=20)
    of_city = splits(model, "city")
    assert {node["decision_type"] for node in of_city} == {"=="}
    named = {int(code) for node in of_city for code in node["threshold"].split("||")}
    assert 0 in named
    assert named <= set(range(FITTED.encoding("city").n_codes))
    cities: list[Any] = [None, "Rome", "Paris", "Bern"]
    alike = {name: [TEST.column(name)[3].as_py()] * 4 for name in TEST.column_names}
    data = {**alike, "city": cities}
    missing, rare, unseen, bern = model.predict(ours.features(FITTED, data))
    assert rare == unseen
    assert len({missing, rare, bern}) == 3


def test_codes_are_numbers_where_that_is_asked_for() -> None:
    model = booster(training(categories=["street"]))
    assert {node["decision_type"] for node in splits(model, "city")} == {"<="}
    assert {node["decision_type"] for node in splits(model, "street")} == {"=="}


def test_missing_floats_are_missing_to_lightgbm() -> None:
    model = booster(training())
    kinds = {node["missing_type"] for node in splits(model, "size")}
    assert kinds == {"NaN"}


def test_training_stops_early_on_validation_rows() -> None:
    known = training(weight=TRAIN.column("weight"))
    validation = ours.dataset(FITTED, TEST, reference=known)
    model = booster(
        known,
        rounds=300,
        valid_sets=[validation],
        callbacks=[lightgbm.early_stopping(3, verbose=False)],
    )
    assert 0 < model.best_iteration < 200
    assert np.array_equal(known.get_weight(), TRAIN.column("weight").to_numpy())
    assert validation.reference is known
    assert validation.num_data() == TEST.num_rows


def test_groups_pass_on() -> None:
    by_ten = ours.dataset(FITTED, TEST, group=[10] * 100, params=PARAMS)
    model = lightgbm.train({**PARAMS, "objective": "lambdarank"}, by_ten, 2)
    assert model.num_trees() == 2


def test_the_classifier_takes_the_matrix_and_the_table() -> None:
    model = lightgbm.LGBMClassifier(n_estimators=5, **PARAMS)
    model.fit(FEATURES.select(FITTED.feature_names), Y, categorical_feature=CODED)
    expected = booster(training())
    data = ours.features(FITTED, TEST)
    assert np.array_equal(model.predict_proba(data)[:, 1], expected.predict(data))


DICTIONARY = """
import pyarrow as pa
import fastfeat as ff
from fastfeat import col
from fastfeat.integrations import lightgbm as ours

data = pa.table({"city": ["Bern", "Bonn"] * 50, "y": [0, 1] * 50})
plan = ff.Plan({"city": col("city").ordinal_encode()}, label="y")
fitted, codes = plan.fit_transform(data)
given = pa.table({"city": data.column("city").dictionary_encode()})
try:
    ours.dataset(fitted, features=given, label=data.column("y")).construct()
except ff.errors.TypeMismatch as error:
    print(error)
"""


def test_a_dictionary_does_not_reach_lightgbm() -> None:
    """In a process of its own, which LightGBM ends where it is given one."""
    done = subprocess.run(
        [sys.executable, "-c", DICTIONARY], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "the feature 'city' is a dictionary of categories. Pass its codes" in done.stdout


def test_kept_columns_are_no_features() -> None:
    assert "id" in FEATURES.column_names
    assert ours.features(FITTED, TEST).column_names == FITTED.feature_names


@pytest.mark.parametrize(
    ("call", "kind", "told"),
    [
        (lambda: ours.dataset(FITTED, TEST, label=False), InvalidData, "a Dataset needs a label"),
        (
            lambda: ours.dataset(ff.Plan([col("age")]).fit(TRAIN), TRAIN),
            InvalidData,
            "or give the plan one, Plan(..., label='y')",
        ),
        (
            lambda: ours.dataset(ff.Plan({"a:b": col("age")}, label="spent").fit(TRAIN), TRAIN),
            InvalidPlan,
            "LightGBM refuses feature names that contain one of",
        ),
        (
            lambda: ours.dataset(ff.Plan({"a\nb": col("age")}, label="spent").fit(TRAIN), TRAIN),
            InvalidPlan,
            r"""one of " , : [ ] { } '\n' '\x00': 'a\nb'""",
        ),
        (lambda: ours.features(PLAN, TEST), TypeMismatch, "fitted = plan.fit(data) first"),
        (
            lambda: ours.dataset(FITTED, TEST, label=pa.nulls(1_000, pa.float64())),
            InvalidData,
            "1,000 of 1,000 labels are missing",
        ),
        (
            lambda: ours.dataset(FITTED, features=FEATURES, label=Y[:5]),
            InvalidData,
            f"{N_ROWS:,} r",
        ),
    ],
)
def test_what_cannot_be_handed_over_is_told(
    call: Callable[[], Any], kind: type[Exception], told: str
) -> None:
    with pytest.raises(kind, match=re.escape(told)):
        call()
