"""One row of a fitted plan, by the kernel that each thread keeps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from fastfeat.errors import FastfeatError
from fastfeat.plan.run.fitted import Fitted
from fastfeat.plan.run.lookup_tables import Tables, table_values


def transform_row(fitted: Fitted, row: Mapping[str, Any], *, tables: Tables = None) -> NDArray[Any]:
    """Return the features of one row; arguments and errors as of `FittedPlan.transform_row`."""
    local = fitted.row_kernels
    kernel = getattr(local, "kernel", None)
    if kernel is None:
        from fastfeat.online.row.kernel import row_kernel  # imports the CPU backend

        kernel = row_kernel(fitted)
    if fitted.table_columns:
        from fastfeat.online.row.kernel import joined

        row = joined(row, table_values(fitted.table_columns, tables))
    local.kernel = None  # its buffers are in use: what an interrupt runs makes its own
    try:
        features = kernel(row)
    except FastfeatError:
        local.kernel = kernel
        raise
    local.kernel = kernel
    return features
