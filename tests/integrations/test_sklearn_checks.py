"""Scikit-learn's own checks of an estimator, over plans of several kinds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from sklearn.utils.estimator_checks import (
    check_get_feature_names_out_error,
    check_global_output_transform_pandas,
    check_global_set_output_transform_polars,
    check_set_output_transform,
    check_set_output_transform_pandas,
    check_set_output_transform_polars,
    check_transformer_get_feature_names_out,
    check_transformer_get_feature_names_out_pandas,
    parametrize_with_checks,
)

import fastfeat as ff
from fastfeat.integrations.sklearn import Features

pytestmark = pytest.mark.filterwarnings("ignore::fastfeat.errors.EncodedInFold")


@dataclass(frozen=True)
class Made:
    """Makes a plan of the names of columns; its text has no address, for workers compare it."""

    of: str

    def __call__(self, names: Sequence[str]) -> ff.Plan:
        """Return the plan."""
        return PLANS[self.of](names)


def _scaled(names: Sequence[str]) -> ff.Plan:
    """Return a plan that learns from each column."""
    return ff.Plan({name: ff.col(name).standard_scale() for name in names}, dtype="float64")


def _encoded(names: Sequence[str]) -> ff.Plan:
    """Return a plan that learns from a label."""
    plan = {name: ff.col(name).target_encode("y") for name in names}
    return ff.Plan(plan, label="y")


def _of_the_first(names: Sequence[str]) -> ff.Plan:
    """Return a plan of one column of several types."""
    first = ff.col(names[0])
    return ff.Plan({"code": first.qcut(4), "is_high": first > 0, "x": first.impute("median")})


PLANS = {"scaled": _scaled, "encoded": _encoded, "first": _of_the_first}
scaled, encoded, of_the_first = Made("scaled"), Made("encoded"), Made("first")
ESTIMATORS = [Features(), Features(scaled), Features(of_the_first)]
OUT_OF_FOLD = "fit_transform is out of fold: fit and transform give training rows other encodings"


def expected_failures(estimator: Any) -> dict[str, str]:
    """Return the checks that compare `fit_transform` with `fit` and `transform`."""
    if estimator.plan != encoded:
        return {}
    return dict.fromkeys(
        ("check_transformer_general", "check_transformer_data_not_an_array"), OUT_OF_FOLD
    )


@parametrize_with_checks([*ESTIMATORS, Features(encoded)], expected_failed_checks=expected_failures)
def test_checks_of_scikit_learn_pass(estimator: Any, check: Any) -> None:
    check(estimator)


OF_OUTPUT = [
    check_get_feature_names_out_error,
    check_transformer_get_feature_names_out,
    check_transformer_get_feature_names_out_pandas,
    check_set_output_transform,
    check_set_output_transform_pandas,
    check_set_output_transform_polars,
    check_global_output_transform_pandas,
    check_global_set_output_transform_polars,
]


@pytest.mark.filterwarnings("ignore:X (has|does not have valid) feature names")
@pytest.mark.parametrize("check", OF_OUTPUT, ids=lambda check: check.__name__)
@pytest.mark.parametrize("estimator", [Features(), Features(scaled), Features(encoded)], ids=repr)
def test_checks_of_names_and_forms_pass(estimator: Any, check: Any) -> None:
    check("Features", estimator)
