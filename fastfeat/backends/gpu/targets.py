"""Statistics of a target per category on a device: exact moments of cells there, the rest here."""

from __future__ import annotations

from functools import partial
from typing import Any

from fastfeat_kernels.grouped import cuda

from fastfeat.aggregates.target import FoldedGroups
from fastfeat.backends.cpu import targets
from fastfeat.backends.gpu.groups import Wanted, group_moments
from fastfeat.backends.gpu.in_host import column_in_host
from fastfeat.backends.gpu.runtime import Runtime
from fastfeat.backends.storage import storage
from fastfeat.dtypes import INT32, DType
from fastfeat.ir.node import Params


def learn_target(
    runtime: Runtime,
    function: str,
    params: Params,
    values: Any,
    dtype: DType,
    codes: Any,
    folds: Any,
    n_codes: int,
    n_folds: int,
) -> FoldedGroups:
    """Return a statistic of the target per category; see `reference.steps.learn_target`.

    Args:
        runtime: where to run; quantiles are found on the host.
        function: one of `aggregates.target.TARGET_FUNCTIONS`.
        params: its parameters.
        values: the target, an Arrow array or a DeviceArray.
        dtype: its type.
        codes: the category of each row, int32, the same.
        folds: the fold of each row, int32, the same.
        n_codes: how many categories there are.
        n_folds: how many folds.

    Raises:
        OutOfDeviceMemory: what is kept of all cells and 64 rows do not fit.
    """
    columns = {"values": (values, dtype), "codes": (codes, INT32), "folds": (folds, INT32)}
    if function == "target_quantile":
        target, groups, numbers = [
            column_in_host(runtime, column) for column, _ in columns.values()
        ]
        return targets.learn_target(
            function, params, target, dtype, groups, numbers, n_codes, n_folds
        )
    level = targets.target_level(function, params)
    task = partial(cuda.Task, storage(dtype), level=level, extremes=False, n_rows=len(codes))
    of_cells = Wanted(task(n_groups=n_folds * n_codes), (1, 2), n_codes)
    of_folds = Wanted(task(n_groups=n_folds), (2,))
    by_category, by_fold = group_moments(runtime, [of_cells, of_folds], columns)
    found = targets.by_moments(by_category, by_fold, n_folds, function, params)
    return targets.folded(found, function, params)
