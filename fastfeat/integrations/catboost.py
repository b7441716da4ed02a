"""CatBoost: the features of a fitted plan as its Pool, by pandas.

Names arrive, codes of categories as categorical features (missing is category 0, unseen and rare
ones category 1), and floats that are missing as NaN. CatBoost knows a category by the text of its
code, so that the same model takes integers in `predict`.

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
from fastfeat.calls.arguments import explaining_as
from fastfeat.execute.call_rows import call_rows
from fastfeat.integrations.handover import Label, hand_over
from fastfeat.integrations.library import library
from fastfeat.io.arrow import Table, pa

__all__ = ["pool"]

_catboost = library("catboost")
_pandas = library("pandas", "catboost")


@explaining_as("catboost.", {})
def pool(
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
    """Return the features of rows as a Pool of CatBoost, with names and categories.

    Args:
        fitted: the plan.
        data: the rows, as in `FittedPlan.transform`. Those that `fit` has put into an encoding of
            the label are not for training: pass what `fit_transform` has given as `features`.
        features: instead of data, features that are computed already, such as those of
            `fit_transform` or of a fold: a table, or a matrix of shape (n_rows, n_features).
        label: one number or text a row; None for the label of the plan, False for none.
        categories: the features that are codes of categories to CatBoost; None for all that have
            codes, [] for none: codes are numbers then.
        history: as in `FittedPlan.transform`.
        tables: as in `FittedPlan.transform`.
        rows: as in `FittedPlan.transform`.
        **options: what a Pool takes beside: weight, group_id, baseline, timestamp, thread_count.

    Raises:
        InvalidData: labels are missing, or not as many as rows.
        TypeMismatch: a feature is no number, or the label neither number nor text.
        FastfeatError: as `FittedPlan.transform`.
    """
    given = call_rows(data, rows, history, tables)
    hand = hand_over(fitted, given, features, label, categories, text_label=True)
    frame = _frame(hand.features, {name: fitted.n_codes[name] for name in hand.categorical})
    return _catboost.Pool(frame, hand.label, cat_features=list(hand.categorical), **options)


def _frame(features: Table, n_codes: dict[str, int]) -> Any:
    """Return features as a pandas frame: NaN for what is missing, codes as categories.

    Args:
        features: numbers and booleans.
        n_codes: how many codes each feature has that is a category.
    """
    columns: dict[str, Any] = {}
    for name, column in zip(features.column_names, features.columns, strict=True):
        if name in n_codes:
            codes = column.cast(pa.int32()).to_numpy()
            columns[name] = _pandas.Categorical.from_codes(codes, categories=range(n_codes[name]))
            continue
        if pa.types.is_boolean(column.type):  # with missing ones an array of objects
            column = column.cast(pa.uint8())
        columns[name] = column.to_numpy()
    return _pandas.DataFrame(columns, copy=False)
