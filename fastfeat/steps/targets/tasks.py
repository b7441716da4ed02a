"""The task of targets: a request to a backend to learn a statistic of a target per category.

The functions below define the result, row by row; backends must return the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from fastfeat_kernels.records import dataclass

from fastfeat.aggregates import AGGREGATES
from fastfeat.aggregates.target import CategoryStatistics, FoldedGroups, smooth_statistics
from fastfeat.engine.reference.run import stored_values
from fastfeat.engine.tasks import Task
from fastfeat.ir.dtypes import FLOAT64, DType
from fastfeat.ir.node import Params, params_of


@dataclass(frozen=True, slots=True)
class TargetTask(Task[FoldedGroups]):
    """A request for a statistic of a target per category, of all rows and outside of each fold.

    Args:
        function: One of `aggregates.target.FUNCTIONS`.
        params: Its parameters.
        values: The target, shape (n_rows,): an Arrow array, or a DeviceArray.
        dtype: Type of the target.
        codes: The category of each row, int32, shape (n_rows,), an array of the same kind.
        folds: The fold of each row, int32, shape (n_rows,), an array of the same kind.
        n_codes: Number of categories.
        n_folds: Number of folds.
    """

    function: str
    params: Params
    values: Any
    dtype: DType
    codes: Any
    folds: Any
    n_codes: int
    n_folds: int


def learn_target(task: TargetTask) -> FoldedGroups:
    """Return a statistic of the target per category, of all rows and outside of each fold."""
    given, values = dict(task.params), stored_values(task.values, task.dtype)
    rows = list(zip(values, task.codes.to_pylist(), task.folds.to_pylist(), strict=True))

    def of(seen: list[Any]) -> Any:
        statistics = _statistics(task.function, given, seen, task.dtype, task.n_codes)
        return smooth_statistics(task.function, statistics, task.params)

    whole = of(rows)
    outside = [
        of([row for row in rows if (row[2] < fold if given["ordered"] else row[2] != fold)])
        for fold in range(task.n_folds)
    ]
    return FoldedGroups(whole, whole == whole, np.concatenate(outside))


def _statistics(
    function: str, given: Mapping[str, Any], rows: list[Any], dtype: DType, n_codes: int
) -> CategoryStatistics:
    """Return the statistics of each category over the given rows, by the aggregate definitions."""
    members: list[list[Any]] = [[] for _ in range(n_codes)]
    for value, code, _ in rows:
        members[code].append(value)
    everything = [value for value, _, _ in rows]
    found = [_of_values(function, given, group, dtype) for group in [*members, everything]]
    count, total, statistic, variance = np.array(found[:-1], dtype=np.float64).T
    return CategoryStatistics(count, total, statistic, variance, *found[-1])


def _of_values(
    function: str, given: Mapping[str, Any], values: list[Any], dtype: DType
) -> tuple[float, float, float, float]:
    """Return count, sum, statistic and population variance of some values; NaN if missing."""
    named = {"target_var": "var", "target_quantile": "quantile"}.get(function, "mean")
    params = {
        "var": params_of(ddof=1),
        "quantile": params_of(q=given.get("q", 0.5), interpolation="linear"),
        "mean": (),
    }[named]
    count = AGGREGATES["count"].reference(values, (), dtype)
    total = AGGREGATES["sum"].reference(values, (), dtype if dtype.is_float else FLOAT64)
    statistic = AGGREGATES[named].reference(values, params, dtype)
    variance = AGGREGATES["var"].reference(values, params_of(ddof=0), dtype)
    found: tuple[Any, ...] = (count, total, statistic, variance)
    numbers = [float("nan") if value is None else float(value) for value in found]
    return numbers[0], numbers[1], numbers[2], numbers[3]
