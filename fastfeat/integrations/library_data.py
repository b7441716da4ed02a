"""Features as Arrow columns, and the label, for XGBoost, LightGBM and CatBoost.

Codes of categories are the codes of the plan, in every form: 0 is missing, 1 unseen or rare, then
the vocabulary. A model therefore gets the same input from Arrow, from a matrix and from one row.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, Literal, cast

import numpy as np
from fastfeat_kernels.records import dataclass
from numpy.typing import NDArray

from fastfeat.api.plan import FittedPlan, as_fitted_plan
from fastfeat.errors import (
    InvalidData,
    InvalidPlan,
    TypeMismatch,
    UnknownColumn,
    counted,
    did_you_mean,
    shortened,
)
from fastfeat.execute.call_rows import CallRows
from fastfeat.execute.feature_subset import select_features
from fastfeat.integrations.labels import label_column
from fastfeat.io.arrow import Table, pa
from fastfeat.io.columns.decode import has_value
from fastfeat.io.sources.read import read_table
from fastfeat.plan.declare.arguments import resolve_names

LabelArgument = Any | Literal[False] | None
"""One value per row; None for the label of the plan, if it has one; False for no label."""


@dataclass(frozen=True, slots=True)
class LibraryData:
    """The features and the label of some rows, ready for a library.

    Args:
        features: The features, in the order of the plan: numbers and bools.
        label: One float or text per row, shape (n_rows,); None without a label.
        categorical: The names of features that are codes of categories.
    """

    features: Table
    label: NDArray[Any] | None
    categorical: tuple[str, ...]


def hand_over(
    fitted: FittedPlan,
    rows: CallRows,
    features: Any,
    label: LabelArgument,
    categories: Sequence[str] | None,
    *,
    text_label: bool = False,
) -> LibraryData:
    """Return the features, the label and the categories of some rows, ready for a tree library.

    Pass either rows with data, or `features` that are computed already. `categories` are the
    features that are codes of categories; None for all of them. `text_label`: whether the library
    accepts text as a label.
    """
    check_fitted(fitted)
    if (rows.data is None) == (features is None):
        raise TypeMismatch(
            "pass either data or features=, got "
            f"{'neither' if features is None else 'both'}. features= are computed already, such as "
            "the out-of-fold features of plan.fit_transform(data)"
        )
    if rows.data is None and any(of is not None for of in (rows.rows, *rows.beside.values())):
        raise TypeMismatch(
            "rows=, history= and tables= are for data, not for features=, which are computed "
            "already. Leave them out"
        )
    if features is None:
        table = without_kept(fitted).transform(rows.data, rows=rows.rows, **rows.beside)
    else:
        table = _given_features(fitted, features)
    check_types(table)
    values = _label(fitted, rows, label)
    numbers = None if values is None else label_values(values, table.num_rows, text=text_label)
    return LibraryData(table, numbers, categorical(fitted, categories))


def check_fitted(fitted: object) -> None:
    """Raise `TypeMismatch` unless the argument is a fitted plan."""
    if not isinstance(fitted, FittedPlan):
        raise TypeMismatch(
            f"got {type(fitted).__name__}, not a fitted plan: call fitted = plan.fit(data) first"
        )


def without_kept(fitted: FittedPlan) -> FittedPlan:
    """Return the fitted plan without kept columns, because models learn from features only."""
    if not fitted.plan.keep:
        return fitted
    # a selection forgets its encoded rows, because it may not read the columns that identify them
    bare = select_features(fitted.record, fitted.feature_names)
    return as_fitted_plan(replace(bare, encoded=fitted.record.encoded))


def _given_features(fitted: FittedPlan, features: Any) -> Table:
    """Return computed features as a table; the columns of a matrix are not copied."""
    names = fitted.feature_names
    if isinstance(features, np.ndarray):
        return _of_matrix(cast("NDArray[Any]", features), names)
    table = read_table(features, names)
    lacking = [name for name in names if name not in table.column_names]
    if lacking:
        raise UnknownColumn(
            f"features= lack {shortened(lacking)}, which the plan has."
            f"{did_you_mean(lacking[0], table.column_names)}"
        )
    return table


def _of_matrix(features: NDArray[Any], names: list[str]) -> Table:
    """Return a matrix of shape (n_rows, n_features) as a table with these column names."""
    if features.ndim != 2 or features.shape[1] != len(names):
        raise InvalidData(
            f"features= have shape {features.shape}, but the plan has "
            f"{counted(len(names), 'feature')}: pass shape (n_rows, {len(names)})"
        )
    return read_table({name: features[:, k] for k, name in enumerate(names)})


def check_types(features: Table) -> None:
    """Raise if a feature is not a number.

    Some libraries end the process if they get a dictionary-encoded Arrow column.

    Raises:
        TypeMismatch: The first such feature.
    """
    for field in features.schema:
        kind = field.type
        if pa.types.is_dictionary(kind):
            raise TypeMismatch(
                f"the feature {field.name!r} is a dictionary of categories. Pass its codes, as "
                "fitted.transform(data) returns them: they become categories"
            )
        if not (pa.types.is_boolean(kind) or pa.types.is_integer(kind) or is_float(kind)):
            raise TypeMismatch(
                f"the feature {field.name!r} is {kind}, but trees need numbers: encode it in the "
                "plan, or leave it out with fitted.select([...])"
            )


def is_float(kind: Any) -> bool:
    """Return whether an Arrow type is float32 or float64."""
    return pa.types.is_float32(kind) or pa.types.is_float64(kind)


def categorical(fitted: FittedPlan, categories: Sequence[str] | None) -> tuple[str, ...]:
    """Return the names of the features that the library should treat as categories.

    `categories` selects some of them, None all; the other codes are numbers to the library.

    Raises:
        InvalidPlan: One of `categories` is not a feature, or has no codes.
    """
    if categories is None:
        return tuple(fitted.record.n_codes)
    categories = resolve_names(categories, "categories")
    for name in categories:
        if name not in fitted.record.n_codes:
            raise InvalidPlan(
                f"categories={list(categories)}: {name!r} is not a feature with codes."
                f"{did_you_mean(name, fitted.record.n_codes)} Features of ordinal_encode() have "
                f"codes: {shortened(fitted.record.n_codes) or 'none in this plan'}"
            )
    return tuple(name for name in fitted.record.n_codes if name in set(categories))


def check_names(names: Iterable[str], refused: str, library: str) -> None:
    """Raise if a feature name contains a character that a library refuses.

    Raises:
        InvalidPlan: The names with such a character.
    """
    found = [name for name in names if any(sign in name for sign in refused)]
    if found:
        raise InvalidPlan(
            f"{library} refuses feature names that contain one of "
            f"{' '.join(map(_sign, refused))}: {shortened(found)}. Rename the features in the "
            "plan, or pass a matrix, fitted.transform(data, to='numpy'), with names of your own"
        )


def _sign(sign: str) -> str:
    return sign if sign.isprintable() else repr(sign)


def _label(fitted: FittedPlan, rows: CallRows, label: LabelArgument) -> Any:
    """Return the label of rows, given or computed by the plan; None without one."""
    if label is False or (label is None and fitted.plan.label is None):
        return None
    if label is not None:
        return label
    if rows.data is None:
        raise TypeMismatch(
            "features= do not have the columns that the label is computed from: pass label= too, "
            "such as fitted.label(data), or label=False for rows to predict"
        )
    try:
        return fitted.label(rows.data, rows=rows.rows, **rows.beside)
    except UnknownColumn as error:
        raise UnknownColumn(f"{error} Pass label=False for rows to predict") from None


def count_missing(column: Any) -> int:
    """Return the number of missing values of a column, including NaN."""
    return len(column) - int(np.count_nonzero(has_value(column)))


def label_values(label: Any, n_rows: int, *, text: bool) -> NDArray[Any]:
    """Return a label as a NumPy array for the library: floats, or text if `text` is true.

    Raises:
        InvalidData: Values are missing, do not fit a float, or are not `n_rows` in number.
        TypeMismatch: The label is neither numbers nor accepted text.
    """
    column = label_column(label)
    if len(column) != n_rows:
        raise InvalidData(
            f"the label has {counted(len(column), 'value')}, but the features have "
            f"{counted(n_rows, 'row')}"
        )
    if n_missing := count_missing(column):
        raise InvalidData(
            f"{n_missing:,} of {counted(n_rows, 'label')} are missing. Leave those rows out: a "
            "model cannot learn from them. With has_label = fitted.label(data).is_valid(), pass "
            "data and rows=has_label, so that windows still see all rows; or, if they are already "
            "computed, features.filter(has_label) and label.filter(has_label). For rows to "
            "predict, pass label=False"
        )
    if text and (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        return column.to_numpy(zero_copy_only=False)
    try:
        return column.cast(pa.float64()).to_numpy(zero_copy_only=False)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        if pa.types.is_integer(column.type):
            raise InvalidData(
                "the label has integers beyond 2**53, which floats cannot store exactly. Number "
                "its classes 0, 1, ..., or pass floats"
            ) from None
        raise TypeMismatch(
            f"the label is {column.type}, but must be a number, for classes 0, 1, ... Write "
            "label={'is_late': col('state') == 'late'} in the plan, or pass label= here"
        ) from None
