"""One row of a fitted plan, computed by the kernel that each thread keeps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from numpy.typing import NDArray

from fastfeat.errors import FastfeatError
from fastfeat.execute.fitted import Fitted
from fastfeat.execute.lookup_tables import TableReader, Tables, table_reader

OneRowFunction = Callable[[Mapping[Any, Any]], NDArray[Any]]


def transform_row(fitted: Fitted, row: Mapping[str, Any], *, tables: Tables = None) -> NDArray[Any]:
    """Return the features of one row, shape (n_features,).

    Raises the errors of `FittedPlan.transform_row`.
    """
    local = fitted.row_kernels
    try:
        free: list[OneRowFunction] = local.free
    except AttributeError:
        free = local.free = []
    kernel = free.pop() if free else _new_kernel(fitted)
    try:  # its buffers are in use: a call from an interrupt makes its own
        features = kernel(_with_tables(fitted, row, tables) if fitted.table_columns else row)
    except FastfeatError:
        free.append(kernel)
        raise
    free.append(kernel)
    return features


def _new_kernel(fitted: Fitted) -> OneRowFunction:
    from fastfeat.execute.row.kernel import row_kernel  # imports the CPU backend

    return row_kernel(fitted)


def _with_tables(fitted: Fitted, row: Mapping[str, Any], tables: Tables) -> Mapping[Any, Any]:
    """Return the row, extended by the columns of lookup tables that the plan reads."""
    from fastfeat.execute.row.kernel import joined

    local = fitted.row_kernels
    read: TableReader | None = getattr(local, "read_tables", None)
    if read is None:
        read = local.read_tables = table_reader(fitted.table_columns)
    return joined(row, read(tables))
