"""CatBoost: the features of a fitted plan as its Pool, by way of pandas.

Feature names are passed on, and codes of categories become categorical features (missing is
category 0, unseen and rare values are category 1). Missing floats become NaN. CatBoost identifies a
category by the text of its code, so the same model accepts integers in `predict`.

    from fastfeat.integrations import catboost as ff_catboost

    fitted, features = plan.fit_transform(train)  # encodings of the label out of fold
    training = ff_catboost.pool(fitted, features=features, label=fitted.label(train))
    model = catboost.CatBoostClassifier().fit(training, eval_set=ff_catboost.pool(fitted, test))
    model.predict_proba(ff_catboost.pool(fitted, later, label=False))
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastfeat.api.plan import FittedPlan
from fastfeat.calls.arguments import with_argument_errors_as
from fastfeat.execute.call_rows import CallRows
from fastfeat.integrations.library import library
from fastfeat.integrations.library_data import LabelArgument, hand_over
from fastfeat.io.arrow import Table, pa

__all__ = ["pool"]

_catboost = library("catboost")
_pandas = library("pandas", "catboost")


@with_argument_errors_as("catboost.", {})
def pool(
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
    """Return the features of rows as a Pool of CatBoost, with names and categories.

    Args:
        fitted: The fitted plan.
        data: The rows, in any form that `FittedPlan.transform` takes, such as a DataFrame, an Arrow
            table, a dict of arrays or a path. To train on rows whose label `fit` used in an
            encoding, pass the output of `fit_transform` as `features` instead.
        features: Computed features to use instead of `data`, such as those of `fit_transform` or of
            a fold: a table, or a matrix of shape (n_rows, n_features).
        label: One number or text per row, shape (n_rows,). None computes the label of the plan, if
            it has one; False means no label.
        categories: The features that CatBoost should treat as categories. None for all features
            with codes, [] for none: codes are then numbers.
        history: Earlier rows of the same entities, which windows see, with late columns if windows
            read them. "batch" declares that `data` contains its own past. Without either, a plan
            with windows warns.
        tables: Lookup tables by name, in any form that `data` may have. Tables and columns that the
            plan does not read are ignored.
        rows: The rows of `data` to compute: a bool for each row, or row numbers; None for all rows.
            Windows and lookups still see all rows of the data.
        **options: Further arguments of the Pool: weight, group_id, baseline, timestamp,
            thread_count.

    Raises:
        InvalidData: Labels are missing, or their number differs from the number of rows.
        TypeMismatch: A feature is not a number, or the label is neither number nor text.
        FastfeatError: Any error of `FittedPlan.transform`.
    """
    given = CallRows(data, rows, history, tables)
    hand = hand_over(fitted, given, features, label, categories, text_label=True)
    frame = _frame(hand.features, {name: fitted.record.n_codes[name] for name in hand.categorical})
    return _catboost.Pool(frame, hand.label, cat_features=list(hand.categorical), **options)


def _frame(features: Table, n_codes: dict[str, int]) -> Any:
    """Return features as a pandas DataFrame; a missing value is NaN.

    Features in `n_codes` (their numbers of codes, by name) become categories.
    """
    columns: dict[str, Any] = {}
    for name, column in zip(features.column_names, features.columns, strict=True):
        if name in n_codes:
            codes = column.cast(pa.int32()).to_numpy()
            columns[name] = _pandas.Categorical.from_codes(codes, categories=range(n_codes[name]))
            continue
        if pa.types.is_boolean(column.type):  # with missing values NumPy would get objects
            column = column.cast(pa.uint8())
        columns[name] = column.to_numpy()
    return _pandas.DataFrame(columns, copy=False)
