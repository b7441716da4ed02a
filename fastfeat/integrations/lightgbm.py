"""LightGBM: the features of a fitted plan as its Dataset, by Arrow.

Names arrive, codes of categories as categorical features (missing is category 0, unseen and rare
ones category 1), and what is missing otherwise is missing to LightGBM. A category that it has not
trained on goes with those that a split does not name. It ends the process where an Arrow column is
a dictionary, so that none is handed over.

    from fastfeat.integrations import lightgbm as ff_lightgbm

    fitted, features = plan.fit_transform(train)  # encodings of the label out of fold
    training = ff_lightgbm.dataset(fitted, features=features, label=fitted.label(train))
    validation = ff_lightgbm.dataset(fitted, test, reference=training)
    booster = lightgbm.train({"objective": "binary"}, training, valid_sets=[validation])
    booster.predict(ff_lightgbm.features(fitted, later))
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastfeat.api.plan import FittedPlan
from fastfeat.calls.arguments import explaining_as
from fastfeat.errors import InvalidData
from fastfeat.execute.call_rows import call_rows
from fastfeat.integrations.handover import Label, check_names, hand_over
from fastfeat.integrations.library import library
from fastfeat.io.arrow import Table

__all__ = ["dataset", "features"]

_lightgbm = library("lightgbm")
_REFUSED = '",:[]{}\n\0'


@explaining_as("lightgbm.", {})
def dataset(
    fitted: FittedPlan,
    data: Any = None,
    *,
    features: Any = None,
    label: Label = None,
    categories: Sequence[str] | None = None,
    history: Any = None,
    tables: Any = None,
    rows: Any = None,
    **options: Any,
) -> Any:
    """Return the features of rows as a Dataset of LightGBM, by Arrow, with names and categories.

    Args:
        fitted: the plan.
        data: the rows, as in `FittedPlan.transform`. Those that `fit` has put into an encoding of
            the label are not for training: pass what `fit_transform` has given as `features`.
        features: instead of data, features that are computed already, such as those of
            `fit_transform` or of a fold: a table, or a matrix of shape (n_rows, n_features).
        label: one number a row; None for the label of the plan.
        categories: the features that are codes of categories to LightGBM; None for all that have
            codes, [] for none: codes are numbers then.
        history: as in `FittedPlan.transform`.
        tables: as in `FittedPlan.transform`.
        rows: as in `FittedPlan.transform`.
        **options: what a Dataset takes beside: weight, group, init_score, params, free_raw_data,
            and reference, the training Dataset, for rows to validate with.

    Raises:
        InvalidData: there is no label, labels are missing, or not as many as rows.
        InvalidPlan: LightGBM does not take the name of a feature.
        TypeMismatch: a feature or the label is no number.
        FastfeatError: as `FittedPlan.transform`.
    """
    rows_of_call = call_rows(data, rows, history, tables)
    given = hand_over(fitted, rows_of_call, features, label, categories)
    if given.label is None:
        raise InvalidData(
            "a Dataset needs a label: pass label=, or give the plan one, Plan(..., label='y'). To "
            "predict, booster.predict(features(fitted, data)) takes rows without"
        )
    check_names(given.features.column_names, _REFUSED, "LightGBM")
    return _lightgbm.Dataset(
        given.features,
        given.label,
        feature_name=given.features.column_names,
        categorical_feature=list(given.categorical),
        **options,
    )


@explaining_as("lightgbm.", {})
def features(
    fitted: FittedPlan, data: Any, *, history: Any = None, tables: Any = None, rows: Any = None
) -> Table:
    """Return the features of rows as a table that `booster.predict` takes.

    Args:
        fitted: the plan.
        data: the rows, as in `FittedPlan.transform`.
        history: as in `FittedPlan.transform`.
        tables: as in `FittedPlan.transform`.
        rows: as in `FittedPlan.transform`.

    Raises:
        TypeMismatch: a feature is no number.
        FastfeatError: as `FittedPlan.transform`.

    Example:
        >>> fitted = ff.Plan({"city": col("city").ordinal_encode()}).fit({"city": ["Bern", "Bonn"]})
        >>> features(fitted, {"city": ["Bern", "Rome", None]}).to_pydict()
        {'city': [2, 1, 0]}
    """
    given = call_rows(data, rows, history, tables)
    return hand_over(fitted, given, None, False, None).features
