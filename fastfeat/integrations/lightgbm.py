"""LightGBM: the features of a fitted plan as its Dataset, by way of Arrow.

Feature names are passed on, and codes of categories become categorical features (missing is
category 0, unseen and rare values are category 1). Other missing values are missing in LightGBM. A
category that LightGBM was not trained on takes the branch of categories that a split does not list.
LightGBM ends the process if an Arrow column is a dictionary, so none is passed.

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
from fastfeat.calls.arguments import with_argument_errors_as
from fastfeat.errors import InvalidData
from fastfeat.execute.call_rows import CallRows
from fastfeat.integrations.library import library
from fastfeat.integrations.library_data import LabelArgument, check_names, hand_over
from fastfeat.io.arrow import Table

__all__ = ["dataset", "features"]

_lightgbm = library("lightgbm")
_REFUSED = '",:[]{}\n\0'


@with_argument_errors_as("lightgbm.", {})
def dataset(
    fitted: FittedPlan,
    data: Any = None,
    *,
    features: Any = None,
    label: LabelArgument = None,
    categories: Sequence[str] | None = None,
    history: Any = None,
    tables: Any = None,
    rows: Any = None,
    **options: Any,
) -> Any:
    """Return the features of rows as a Dataset of LightGBM, with names and categories.

    Args:
        fitted: The fitted plan.
        data: The rows, in any form that `FittedPlan.transform` takes, such as a DataFrame, an Arrow
            table, a dict of arrays or a path. To train on rows whose label `fit` used in an
            encoding, pass the output of `fit_transform` as `features` instead.
        features: Computed features to use instead of `data`, such as those of `fit_transform` or of
            a fold: a table, or a matrix of shape (n_rows, n_features).
        label: One number per row, shape (n_rows,). None computes the label of the plan.
        categories: The features that LightGBM should treat as categories. None for all features
            with codes, [] for none: codes are then numbers.
        history: Earlier rows of the same entities, which windows see, with late columns if windows
            read them. "batch" declares that `data` contains its own past. Without either, a plan
            with windows warns.
        tables: Lookup tables by name, in any form that `data` may have. Tables and columns that the
            plan does not read are ignored.
        rows: The rows of `data` to compute: a bool for each row, or row numbers; None for all rows.
            Windows and lookups still see all rows of the data.
        **options: Further arguments of the Dataset: weight, group, init_score, params,
            free_raw_data, and for validation rows reference, the training Dataset.

    Raises:
        InvalidData: There is no label, labels are missing, or their number differs from the number
            of rows.
        InvalidPlan: LightGBM does not accept the name of a feature.
        TypeMismatch: A feature or the label is not a number.
        FastfeatError: Any error of `FittedPlan.transform`.
    """
    rows_of_call = CallRows(data, rows, history, tables)
    given = hand_over(fitted, rows_of_call, features, label, categories)
    if given.label is None:
        raise InvalidData(
            "a Dataset needs a label: pass label=, or give the plan one, Plan(..., label='y'). To "
            "predict rows without one, use booster.predict(features(fitted, data))"
        )
    check_names(given.features.column_names, _REFUSED, "LightGBM")
    return _lightgbm.Dataset(
        given.features,
        given.label,
        feature_name=given.features.column_names,
        categorical_feature=list(given.categorical),
        **options,
    )


@with_argument_errors_as("lightgbm.", {})
def features(
    fitted: FittedPlan, data: Any, *, history: Any = None, tables: Any = None, rows: Any = None
) -> Table:
    """Return the features of rows as an Arrow table that `booster.predict` accepts.

    Args:
        fitted: The fitted plan.
        data: The rows, in any form that `FittedPlan.transform` takes, such as a DataFrame, an Arrow
            table, a dict of arrays or a path.
        history: Earlier rows of the same entities, which windows see, with late columns if windows
            read them. "batch" declares that `data` contains its own past. Without either, a plan
            with windows warns.
        tables: Lookup tables by name, in any form that `data` may have. Tables and columns that the
            plan does not read are ignored.
        rows: The rows of `data` to compute: a bool for each row, or row numbers; None for all rows.
            Windows and lookups still see all rows of the data.

    Raises:
        TypeMismatch: A feature is not a number.
        FastfeatError: Any error of `FittedPlan.transform`.

    Example:
        >>> fitted = ff.Plan({"city": col("city").ordinal_encode()}).fit({"city": ["Bern", "Bonn"]})
        >>> features(fitted, {"city": ["Bern", "Rome", None]}).to_pydict()
        {'city': [2, 1, 0]}
    """
    given = CallRows(data, rows, history, tables)
    return hand_over(fitted, given, None, False, None).features
