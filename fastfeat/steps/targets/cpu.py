"""Statistics of a target per category on the CPU, of all rows and outside of each fold; and folds.

The visible rows of a fold are those from which its statistic is computed: the rows of all other
folds, or only of earlier folds if folds are ordered. A prior is the statistic of all categories
together, towards which the values of small categories are smoothed. The category of a row is a
code; a cell is one fold of one category.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from fastfeat_kernels.arrays import Float64Array
from fastfeat_kernels.grouped import finalize
from fastfeat_kernels.grouped.order import order, quantiles_of
from fastfeat_kernels.grouped.state import (
    GroupedMoments,
    counts_of,
    merge,
    no_moments,
    outside_folds,
    part,
    sum_over_folds,
    sum_over_keys,
)
from fastfeat_kernels.moments.state import Level
from numpy.typing import NDArray

from fastfeat.aggregates.target import (
    CategoryStatistics,
    FoldedGroups,
    needs_squares,
    smooth_statistics,
)
from fastfeat.engine.cpu.kernels import n_parts, runner
from fastfeat.engine.learner import Rows
from fastfeat.io.arrow import pa
from fastfeat.io.columns.bits import array_of_values
from fastfeat.ir.dtypes import INT64
from fastfeat.ir.node import Params
from fastfeat.steps.keys.cpu_hashing import buckets, key_hashes
from fastfeat.steps.keys.cpu_ordered import chunks_of
from fastfeat.steps.step import Argument
from fastfeat.steps.targets.cpu_time_folds import time_fold, time_fold_known

_RUN = "grouped"


VisibleFolds = Callable[[NDArray[np.int32]], NDArray[np.bool_]]

Prior = tuple[float, float]
"""Number of visible rows of all categories, and their quantile."""


class Cells(NamedTuple):
    """The rows of some categories, with their target values and folds.

    Args:
        element: Type of the target, from `fastfeat_kernels.column.ELEMENTS`.
        keys: Sort key (`column.key_of`) of the target, for each row that has one.
        codes: The category of each row.
        folds: The fold of each row.
        n_codes: Number of categories.
    """

    element: str
    keys: NDArray[np.int64]
    codes: NDArray[np.int32]
    folds: NDArray[np.int32]
    n_codes: int


def smoothed_statistics(
    found: Iterable[CategoryStatistics], function: str, params: Params
) -> FoldedGroups:
    """Return a smoothed statistic per category: of all rows, and of each fold's visible rows."""
    whole, *outside = [smooth_statistics(function, s, params) for s in found]
    return FoldedGroups(whole, whole == whole, np.concatenate(outside))


def target_level(function: str, params: Params) -> Level:
    """Return the highest power that moments must sum up for a statistic."""
    return 2 if needs_squares(function, params) else 1


def by_moments(
    by_category: GroupedMoments,
    n_folds: int,
    function: str,
    params: Params,
    by_fold: GroupedMoments | None = None,
) -> Iterator[CategoryStatistics]:
    """Yield the statistics per category: of all rows, then of the visible rows of each fold.

    `by_category` has the moments of cells; the cell of a fold and a code is group fold * n_codes +
    code. `by_fold` has the moments of folds. It is needed if `by_category` lacks some categories,
    and None otherwise. `function` is not a quantile.
    """
    read = _reader(function)
    by_fold = sum_over_keys(by_category, n_folds) if by_fold is None else by_fold
    total, prior = (sum_over_folds(m, n_folds) for m in (by_category, by_fold))
    yield _statistics(total, prior, read)
    outside = _earlier if dict(params)["ordered"] else outside_folds
    pairs = zip(outside(by_category, total, n_folds), outside(by_fold, prior, n_folds), strict=True)
    for group, all_rows in pairs:
        yield _statistics(group, all_rows, read)


def _earlier(
    moments: GroupedMoments, total: GroupedMoments, n_folds: int
) -> Iterator[GroupedMoments]:
    """Yield, for each fold, the moments of each category in the folds before it."""
    n = total.n_groups
    before = no_moments(moments.element, n, moments.level, extremes=False)
    for fold in range(n_folds):
        yield before
        before = merge(before, part(moments, fold * n, (fold + 1) * n))


MomentsStatistic = Callable[[GroupedMoments], Float64Array]


def _reader(function: str) -> MomentsStatistic:
    """Return a function that computes the statistic from the moments of groups."""
    run = runner(_RUN)
    if function == "target_var":
        return lambda moments: finalize.variances_of(moments, 1, run, n_parts(moments.n_groups))
    return lambda moments: finalize.means_of(moments, run, n_parts(moments.n_groups))


def _statistics(
    groups: GroupedMoments, all_rows: GroupedMoments, read: MomentsStatistic
) -> CategoryStatistics:
    run, parts = runner(_RUN), n_parts(groups.n_groups)
    counts = counts_of(groups).astype(np.float64)
    total, prior_total = finalize.sums_of(groups, run, parts), finalize.sums_of(all_rows, run)
    statistic, variance, prior_variance = total, total, prior_total  # not needed for sums alone
    if groups.level == 2:
        statistic, variance = read(groups), finalize.variances_of(groups, 0, run, parts)
        prior_variance = finalize.variances_of(all_rows, 0, run)
    return CategoryStatistics(
        counts,
        total,
        statistic,
        variance,
        float(counts_of(all_rows)[0]),
        float(prior_total[0]),
        float(read(all_rows)[0]),
        float(prior_variance[0]),
    )


def by_quantiles(
    ranges: Iterable[Cells], seen: Sequence[VisibleFolds], q: float, priors: Sequence[Prior]
) -> Iterator[CategoryStatistics]:
    """Yield the quantiles per category: of all rows, then of the visible rows of each fold.

    `ranges` yields the rows of all categories, some neighbouring categories at a time. `seen` has
    one function per yielded item: it maps the fold numbers of rows to flags of visible rows.
    `priors` has one prior of all categories per item.
    """
    found: list[list[tuple[Float64Array, Float64Array]]] = [[] for _ in seen]
    for cells in ranges:
        for known, is_seen in zip(found, seen, strict=True):
            known.append(_quantiles(cells, is_seen(cells.folds), q))
    for known, (n_all, prior) in zip(found, priors, strict=True):
        count, statistic = (np.concatenate(column) for column in zip(*known, strict=True))
        yield CategoryStatistics(count, statistic, statistic, statistic, n_all, prior, prior, prior)


def _quantiles(
    cells: Cells, is_seen: NDArray[np.bool_], q: float
) -> tuple[Float64Array, Float64Array]:
    """Return the number of visible rows of each category, and the quantile of their targets."""
    groups = np.where(is_seen, cells.codes, np.int32(-1))
    run, parts = runner(_RUN), n_parts(len(groups))
    found = order("int64", chunks_of(cells.keys), groups, cells.n_codes, run, parts)
    statistic = quantiles_of(found._replace(element=cells.element), [q])[:, 0]
    return found.counts.astype(np.float64), statistic


def visible_folds(n_folds: int, ordered: bool) -> list[VisibleFolds]:
    """Return functions that map the fold numbers of rows to flags of visible rows.

    The first is for the statistic of all rows; one per fold follows.
    """
    outside = np.less if ordered else np.not_equal
    seen: list[VisibleFolds] = [lambda folds: np.ones(len(folds), np.bool_)]
    return seen + [lambda folds, k=fold: outside(folds, k) for fold in range(n_folds)]


def fold(args: Sequence[Argument], params: Mapping[str, Any], n_rows: int) -> Any:
    """Return the fold of each row, int32: by a hash of the row number, or of a key."""
    n_folds = params["n_folds"]
    if not args:
        return array_of_values(fold_of_rows(range(n_rows), n_folds), None, pa.int32())
    hashes = key_hashes([a.values for a in args], [a.dtype for a in args], is_cross=True)
    return array_of_values(buckets(hashes, n_folds), None, pa.int32())


def fold_of_rows(rows: Rows, n_folds: int) -> NDArray[np.int32]:
    """Return the fold of rows by a hash of their numbers."""
    numbers = np.arange(rows.start, rows.stop) if isinstance(rows, range) else rows
    column = array_of_values(numbers.astype(np.int64, copy=False), None, pa.int64())
    return buckets(key_hashes([pa.chunked_array([column])], [INT64], is_cross=False), n_folds)


KERNELS = {"fold": fold, "time_fold": time_fold, "time_fold_known": time_fold_known}
