"""The arguments X and y of scikit-learn's estimators, as data with column names for a plan.

Late columns are known only after the time of their row. A label looks ahead if it is computed from
later rows.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, cast

import numpy as np
import sklearn.utils.validation  # pyright: ignore[reportMissingTypeStubs]  # it has no stubs

from fastfeat.api.plan import Plan, plan_of
from fastfeat.errors import InvalidData, TypeMismatch, UnknownColumn, shortened
from fastfeat.execute.history import is_batch
from fastfeat.execute.inputs import read_columns, used_schema
from fastfeat.integrations.held import is_arrow
from fastfeat.integrations.labels import label_column
from fastfeat.io.arrow import Table, pa
from fastfeat.io.sources.arrays import column_array
from fastfeat.io.sources.frames import class_names
from fastfeat.io.sources.read import column_names, read_table
from fastfeat.io.sources.schema import read_schema
from fastfeat.ir.dtypes import BOOL, NULL, DType
from fastfeat.ir.show import show
from fastfeat.plan.declare.bind import bind
from fastfeat.plan.declare.external_label import reads_label, with_separate_label
from fastfeat.plan.declare.source_columns import columns_of, window_only_columns

validation: Any = sklearn.utils.validation
_FRAMES = frozenset({"pandas.DataFrame", "polars.DataFrame", "pyarrow.Table"})
_LIBRARIES = _FRAMES | {"polars.LazyFrame", "pyarrow.Dataset"}


_SEEN = ("n_features_in_", "feature_names_in_")


@contextmanager
def restore_names_on_error(estimator: Any) -> Generator[None]:
    """If the block raises, restore the input names that the estimator had recorded before."""
    attributes = cast("dict[str, Any]", vars(estimator))
    before = {name: attributes[name] for name in _SEEN if name in attributes}
    try:
        yield
    except BaseException:
        for name in _SEEN:
            attributes.pop(name, None)
        attributes.update(before)
        raise


def rows_of(estimator: Any, X: Any, *, reset: bool) -> tuple[Any, list[str]]:
    """Return X as data with column names (a table, or a dict of arrays), and the names.

    The columns of a matrix, or of a DataFrame with labels that are not text, get the names that fit
    has seen, or else `x0`, `x1` and so on. The estimator records the names and the number of
    columns. `reset`: whether X is the input of `fit`.

    Raises:
        ValueError, TypeError: The errors of scikit-learn unless X is a dense matrix of two
            dimensions or a table.
    """
    if not _is_table(X):
        is_numeric = estimator.plan is None
        matrix = validation.validate_data(
            estimator,
            X,
            reset=reset,
            dtype="numeric" if is_numeric else None,
            ensure_all_finite=False,  # infinite values are values, as in a table
            ensure_min_samples=int(reset),
        )
        if isinstance(X, np.ma.MaskedArray):  # scikit-learn would read the values under the mask
            matrix = np.ma.masked_array(matrix, np.ma.getmaskarray(cast("Any", X)))
        names = _names_by_place(estimator, matrix.shape[1])
        return _columns_of_matrix(matrix, names), names
    table: Any = X if class_names(X) & _FRAMES else read_table(X)
    names: list[Any] = list(table.columns if hasattr(table, "iloc") else column_names(table) or ())
    is_named = all(isinstance(name, str) for name in names)
    if reset or not is_named or not hasattr(estimator, "feature_names_in_"):
        validation.validate_data(estimator, table, reset=reset, skip_check_array=True)
    if is_named and (reset or hasattr(estimator, "feature_names_in_")):
        return table, names
    by_place = _names_by_place(estimator, len(names))
    if not hasattr(table, "iloc"):
        table = read_table(table)
        return table.rename_columns(by_place), by_place
    return table.set_axis(by_place, axis=1), by_place


def numbers_of(data: Any) -> list[str]:
    """Return the names of the columns with numbers or bools."""
    if not hasattr(data, "iloc"):
        return [name for name, dtype in read_schema(data).items() if _is_number(dtype)]
    no_rows = data.iloc[:0]  # text is slow to read
    return [name for name in data.columns if _is_column_of_numbers(no_rows[[name]], name)]


def _is_column_of_numbers(frame: Any, name: str) -> bool:
    try:
        return _is_number(read_schema(frame)[name])
    except TypeMismatch:  # Arrow has no such type
        return False


def _is_number(dtype: Any) -> bool:
    return isinstance(dtype, DType) and dtype.is_number and dtype != NULL


def with_label(plan: Plan, data: Any, names: Sequence[str], y: Any, past: Any) -> tuple[Plan, Any]:
    """Return the plan and the data for a fit, with `y` as the column that encoders learn from.

    `y` is None if the data has the columns of the label. `names` are the columns of the data.
    `past` is the history that windows see; it may have late columns that the data lacks.

    Raises:
        UnknownColumn: Encoders learn from the label, and it is not given; or windows see late
            columns that neither the data nor a history has.
        InvalidPlan: `y` is given, and the label looks ahead.
        InvalidData: `y` has numbers, and the label is a condition.
        ValueError: `y` has another length than the data, or several columns.
    """
    if y is None:
        _check_has_label(plan, names)
        return plan, data
    _check_length(data, y)
    if not plan.declaration.label_nodes:
        return plan, data
    given = with_separate_label(plan.declaration)
    of_past = window_only_columns(given.nodes.values(), given.late)
    if past is None or is_batch(past):
        _check_has_late(of_past, names)
    column = cast("str", given.label_column)
    if column not in given.columns:
        return plan_of(given), data
    others = [name for name in given.columns if name != column and name not in of_past]
    declared = [*plan.keep, *columns_of(plan.declaration.label_nodes.values()), *plan.outcomes]
    if_there = [name for name in [*of_past, *declared, *plan.declaration.row_ids] if name != column]
    table = read_columns(data, others, if_there, features=given.nodes, label=given.label_nodes)
    label = label_column(y, column)
    _check_classes(plan, table, label)
    return plan_of(given), table.append_column(column, label)


def _check_classes(plan: Plan, table: Table, label: Any) -> None:
    """Raise if the label is a condition, such as delay > 15, and `y` has the delays themselves.

    Raises:
        InvalidData: `y` has a number other than 0 and 1.
    """
    if not plan.declaration.label_columns or not set(plan.declaration.label_columns) <= set(
        table.column_names
    ):
        return
    ((name, node),) = plan.declaration.label_nodes.items()
    if bind([node], used_schema(table, plan.declaration.label_columns))[node] != BOOL:
        return
    if not (pa.types.is_integer(label.type) or pa.types.is_floating(label.type)):
        return
    values = label.cast(pa.float64()).to_numpy(zero_copy_only=False)
    others = values[~np.isnan(values) & (values != 0) & (values != 1)]
    if len(others):
        raise InvalidData(
            f"y must be the label {name!r} itself, {show(node)}, which is true or false, but y has "
            f"the value {others[0]:g}. Pass the condition, such as y > 15, instead of its input"
        )


def _is_table(X: Any) -> bool:
    """Return whether X is a table with column names, not a matrix."""
    match X:
        case [Mapping(), *_]:  # rows
            return True
        case _:
            return type(X) is dict or is_arrow(X) or bool(class_names(X) & _LIBRARIES)


def _names_by_place(estimator: Any, n_columns: int) -> list[str]:
    seen = getattr(estimator, "feature_names_in_", None)
    return [f"x{k}" for k in range(n_columns)] if seen is None else list(seen)


def _columns_of_matrix(matrix: Any, names: Sequence[str]) -> dict[str, Any]:
    """Return the columns of a matrix by name; Python objects become arrays of their own type."""
    columns: dict[str, Any] = {name: matrix[:, k] for k, name in enumerate(names)}
    if matrix.dtype != object:
        return columns
    try:
        return {name: column_array(column, name) for name, column in columns.items()}
    except TypeMismatch:
        np.asarray(matrix, np.float64)  # raises scikit-learn's own error for non-numbers
        raise


def _check_length(data: Any, y: Any) -> None:
    is_matrix = type(data) is dict
    columns = cast("dict[str, Any]", data).values() if is_matrix else [data]
    validation.check_consistent_length(*columns, y)


def _check_has_label(plan: Plan, names: Sequence[str]) -> None:
    """Raise if encoders learn from a label that the data lacks."""
    if not reads_label(plan.declaration):
        return
    of_label = set(columns_of(plan.declaration.label_nodes.values())).intersection(plan.columns)
    lacking = sorted(of_label - set(names))
    if lacking:
        (label,) = plan.declaration.label_nodes
        raise UnknownColumn(
            f"Features requires y to be passed, but the target y is None: encoders learn from the "
            f"label {label!r} of the plan, and X lacks {shortened(lacking)}. Write fit(X, y)"
        )


def _check_has_late(of_past: Sequence[str], names: Sequence[str]) -> None:
    """Raise if the data lacks one of these late columns, which windows see."""
    for name in of_past:
        if name not in names:
            raise UnknownColumn(
                f"windows see {name!r} of earlier rows, but X lacks it, and y does not replace it, "
                "because only encoders use y. Put the column into X, where rows do not see their "
                "own value, or pass history= with it"
            )
