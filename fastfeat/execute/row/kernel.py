"""The function that computes one row: a dict in, an array out, with the same bits as a batch.

Most rows use functions that were prepared for each column and step; see `prepared`. Rows that do
not fit those, and every error, come from the plain definitions; see `definitions`.
"""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from fastfeat.errors import InvalidPlan, TypeMismatch
from fastfeat.execute.fitted import Fitted
from fastfeat.execute.inputs import FIT_ON_VALUES, ONLY_MISSING
from fastfeat.execute.row.definitions import (
    RowKernel,
    defined_row,
    read_row_values,
    wrong_row_error,
)
from fastfeat.execute.row.prepared import prepared_row
from fastfeat.execute.row.readers import getter
from fastfeat.io.columns.row_values import is_missing, plain_value
from fastfeat.ir.node import Node
from fastfeat.ir.scope import window_nodes


def row_kernel(fitted: Fitted) -> RowKernel:
    """Return a function that computes the features of one row, for the calling thread only.

    Raises `InvalidPlan` if a feature reads earlier rows.
    """
    if fitted.declaration.past_columns:
        name = next(name for name, node in fitted.nodes.items() if window_nodes([node]))
        raise InvalidPlan(
            f"transform_row takes one row, but the feature {name!r} reads earlier rows. Keep them "
            "in a live state: live = fitted.online(history=earlier), then live.process(row); or "
            "pass them: transform([row], history=earlier)"
        )
    return row_kernel_after_windows(fitted)


def row_kernel_after_windows(fitted: Fitted) -> RowKernel:
    """Return a function like that of `row_kernel`, for rows with window results already computed.

    Besides its columns, such a row holds the stored value of each window function, under the
    function's node, and the columns of lookup tables.
    """
    compute = _with_tables(fitted) if fitted.table_columns else prepared_row(fitted, {})
    defined: list[RowKernel] = []

    def features(row: Mapping[Any, Any]) -> NDArray[Any]:
        try:
            return compute(row)
        except Exception:  # raised again below, with its message
            if not defined:
                defined.append(defined_row(fitted))
        return defined[0](row)

    return _checked(features, fitted.never_seen)


def _with_tables(fitted: Fitted) -> RowKernel:
    """Return a function that computes one row of a plan that reads lookup tables.

    Preparing takes long, so the function is prepared when the same table columns come a second
    time; before, it raises `LookupError`. It does not keep the columns alive.
    """
    pick = getter([*fitted.table_columns])
    seen, prepared = list[weakref.ref[Any]](), list[RowKernel]()

    def forget(_: Any) -> None:
        seen.clear()
        prepared.clear()

    def compute(row: Mapping[Any, Any]) -> NDArray[Any]:
        columns = pick(row)
        if [known() for known in seen] != [*columns]:
            forget(None)
            seen.extend(weakref.ref(column, forget) for column in columns)
            raise LookupError("new tables")
        if not prepared:
            tables: dict[Node, Any] = dict(zip(fitted.table_columns, columns, strict=True))
            prepared.append(prepared_row(fitted, tables))
        return prepared[0](row)

    return compute


def joined(row: Mapping[str, Any], made: Mapping[Any, Any]) -> Mapping[Any, Any]:
    """Return a row with computed values added; raise `TypeMismatch` if it is no row."""
    try:
        return {**row, **made}
    except TypeError:
        raise wrong_row_error(row) from None


def _checked(compute: RowKernel, never_seen: tuple[str, ...]) -> RowKernel:
    """Return a kernel that also checks the columns in which fit saw only missing values.

    It raises `TypeMismatch` if such a column has a value.
    """
    if not never_seen:
        return compute

    def checked(row: Mapping[str, Any]) -> NDArray[Any]:
        for name, value in zip(never_seen, read_row_values(row, never_seen), strict=True):
            if not is_missing(plain_value(value)):
                raise TypeMismatch(
                    f"column {name!r}: fit saw {ONLY_MISSING}, got {value!r}. {FIT_ON_VALUES}"
                )
        return compute(row)

    return checked
