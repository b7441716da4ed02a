"""Statistics of a target per category on a device, from exact moments or quantiles; and folds.

A cell is one fold of one category.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from fastfeat_kernels import hashing
from fastfeat_kernels.arrays import Float64Array, Int64Array
from fastfeat_kernels.grouped import cuda as grouped_cuda
from fastfeat_kernels.grouped.state import counts_of
from fastfeat_kernels.hashing import cuda as hashing_cuda

from fastfeat.aggregates.target import CategoryStatistics, FoldedGroups
from fastfeat.engine.gpu.columns.kernels import launch_rows
from fastfeat.engine.gpu.learn.scan import EachPiece
from fastfeat.engine.gpu.pieces.column_groups import NamedColumns, over_rows
from fastfeat.engine.gpu.programs.launch import settle_on_error
from fastfeat.engine.gpu.runtime import Runtime
from fastfeat.engine.storage import storage
from fastfeat.ir.dtypes import INT32
from fastfeat.steps.keys.gpu import grouped_ranks
from fastfeat.steps.keys.gpu.columns import hash_cross, numbers_by
from fastfeat.steps.keys.gpu.grouped_ranks import ExcludedRows, Quantile, RankSearch, find_quantile
from fastfeat.steps.keys.gpu.groups import group_moments
from fastfeat.steps.on_device import DeviceKernel
from fastfeat.steps.step import Argument
from fastfeat.steps.targets import cpu as targets
from fastfeat.steps.targets.tasks import TargetTask


def learn_target(runtime: Runtime, task: TargetTask) -> FoldedGroups:
    """Return a statistic of the target per category, of all rows and outside of each fold.

    Raises OutOfDeviceMemory if the state of all cells and 64 rows do not fit.
    """
    function, params, dtype = task.function, task.params, task.dtype
    n_codes, n_folds = task.n_codes, task.n_folds
    columns = {
        "values": (task.values, dtype),
        "codes": (task.codes, INT32),
        "folds": (task.folds, INT32),
    }
    is_quantile = function == "target_quantile"
    level = 0 if is_quantile else targets.target_level(function, params)
    of_cells = grouped_cuda.DeviceMomentsRequest(
        storage(dtype), n_folds * n_codes, level, False, len(task.codes)
    )
    cells = group_moments(runtime, of_cells, columns, (1, 2), n_codes)
    if is_quantile:
        counts = counts_of(cells).reshape(n_folds, n_codes)
        found = _by_quantiles(runtime, columns, counts, dict(params))
        return targets.smoothed_statistics(found, function, params)
    statistics = targets.by_moments(cells, n_folds, function, params)
    return targets.smoothed_statistics(statistics, function, params)


def _by_quantiles(
    runtime: Runtime, columns: NamedColumns, counts: Int64Array, params: Mapping[str, Any]
) -> Sequence[CategoryStatistics]:
    """Return the quantiles per category: of all rows, then of the rows outside of each fold.

    `columns` are the target, the code of each row's category, and its fold. `counts` has the number
    of values of each cell, shape (n_folds, n_codes).
    """
    quantile: Quantile = (float(params["q"]), "linear")
    is_ordered, total = bool(params["ordered"]), counts.sum(axis=0)
    outside = np.cumsum(counts, axis=0) - counts if is_ordered else total - counts
    (_, dtype), *_ = columns.values()

    def work(each_piece: EachPiece) -> list[CategoryStatistics]:
        found: list[CategoryStatistics] = []
        for fold, n in enumerate([total, *outside], -1):
            left_out = None if fold < 0 else ExcludedRows(fold, is_ordered)
            by_category = RankSearch(storage(dtype), n, left_out=left_out)
            of_all = RankSearch(storage(dtype), n.sum(keepdims=True), True, left_out)
            statistic, prior = (
                find_quantile(runtime, search, each_piece, quantile)
                for search in (by_category, of_all)
            )
            found.append(_statistics(n, statistic, float(prior[0])))
        return found

    return over_rows(runtime, columns, grouped_ranks.scratch_bytes(counts.shape[1], 2), work)


def _statistics(counts: Int64Array, statistic: Float64Array, prior: float) -> CategoryStatistics:
    """Return quantiles as `CategoryStatistics`: of each category, and as the prior of all rows."""
    n, n_all = counts.astype(np.float64), float(counts.sum())
    return CategoryStatistics(n, statistic, statistic, statistic, n_all, prior, prior, prior)


FOLD_BYTES = 4


def fold(runtime: Runtime, args: Sequence[Argument], params: Mapping[str, Any], n_rows: int) -> Any:
    """Return the fold of each row, int32: by a hash of the row number, or of a key."""
    n_folds = params["n_folds"]
    if args:
        return hash_cross(runtime, args, {"seed": 0, "n_buckets": n_folds}, n_rows)
    module = runtime.module(hashing_cuda.text(runtime.geometry.block))

    def write(start: int, n: int, target: int) -> None:
        words = np.zeros(hashing.N_HEADER_WORDS, np.int64)
        words[hashing.HASHES], words[hashing_cuda.N_BUCKETS] = target - FOLD_BYTES * start, n_folds
        launch_rows(runtime, module, hashing_cuda.ROW_NUMBERS, words, start, n)

    with settle_on_error(runtime):
        return numbers_by(runtime, [], [], INT32, n_rows, write)


KERNELS = {"fold": DeviceKernel(fold)}
"""The steps of targets that run on the device; the others run on the host."""
