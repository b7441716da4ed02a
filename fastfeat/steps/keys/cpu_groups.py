"""Aggregates per group on the CPU, from exact moments (counts, sums, extremes) or sorted values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from fastfeat_kernels.grouped import finalize, layout, order, statistics
from fastfeat_kernels.grouped.state import (
    GroupedMoments,
    counts_of,
    moments_of,
    n_rows_of,
)
from fastfeat_kernels.moments.state import Level
from fastfeat_kernels.powers import SHAPES, options_of
from fastfeat_kernels.powers import state as powers
from fastfeat_kernels.records import dataclass
from fastfeat_kernels.words import Interpolation
from numpy.typing import NDArray

from fastfeat.aggregates import AGGREGATES
from fastfeat.aggregates.function import ColumnSummary, needs_order
from fastfeat.aggregates.keys import Groups, groups_of
from fastfeat.engine.cpu.kernels import n_parts, runner
from fastfeat.errors import Overflow
from fastfeat.io.arrow import Array
from fastfeat.ir.dtypes import DType
from fastfeat.ir.node import Params
from fastfeat.ir.parameters import ParameterValues

if TYPE_CHECKING:
    from fastfeat_kernels.grouped.order import SortedGroups
    from fastfeat_kernels.grouped.statistics import GroupStatistic

_RUN = "grouped"
ORDER_BYTES = 16
"""Bytes per group for the order of its values."""
TAKES = (  # by states that keep rows because states of all groups would not fit
    f"per {{of}} {8 * layout.LINE_WORDS[1]} bytes for sums, {8 * layout.LINE_WORDS[2]} with "
    f"squares{{more}}; {ORDER_BYTES} for an order, plus 12 per row. If they do not fit in memory, "
    "12 bytes per row go to disk, and 9 per {stays} stay in memory"
)

"""Parameters of an aggregate."""


@dataclass(frozen=True, slots=True)
class GroupSummaries:
    """The rows from which aggregates per group are computed, summarized per group.

    Args:
        dtype: Type of the argument.
        n_rows: Number of rows.
        n_groups: Number of groups.
        n_left_out: The results of the first `n_left_out` groups are ignored.
        moments: Returns counts, sums and extremes of each group.
        ordered: Returns the values of each group in sorted order.
        quantile: `(q, interpolation) -> quantile of each group`.
    """

    dtype: DType
    n_rows: int
    n_groups: int
    n_left_out: int
    moments: Callable[[], GroupedMoments]
    ordered: Callable[[], SortedGroups]
    quantile: Callable[[float, Interpolation], Groups]

    @property
    def n_parts(self) -> int:
        """Number of row ranges to split parallel work into."""
        return n_parts(self.n_rows)


def reads_order(name: str) -> bool:
    """Return whether an aggregate needs the sorted values of a group instead of its moments."""
    return _reading(name).of_order


def statistic_of(name: str, dtype: DType, params: Params) -> GroupStatistic | None:
    """Return the kernel statistic that gives an aggregate directly from rows, or None."""
    return _reading(name).statistic(dtype, dict(params))


def needs_extremes(wanted: Sequence[tuple[str, Params]]) -> bool:
    """Return whether the least or the greatest value of groups is requested."""
    return any({"min", "max"} & AGGREGATES[name].primitives for name, _ in wanted)


def codes_of(column: Any) -> NDArray[np.int32]:
    """Return a column of int32 codes without missing values as one NumPy array."""
    pieces = [_codes(chunk) for chunk in column.chunks]
    return pieces[0] if len(pieces) == 1 else np.concatenate([*pieces, np.zeros(0, np.int32)])


def _codes(chunk: Array) -> NDArray[np.int32]:
    return np.frombuffer(chunk.buffers()[1], np.int32, len(chunk), chunk.offset * 4)


def learn_aggregate(rows: GroupSummaries, name: str, params: Params) -> Groups:
    """Return the value of an aggregate in each group."""
    return _reading(name).read(rows, dict(params))


def quantile_of(
    ordered: SortedGroups, dtype: DType, q: float, interpolation: Interpolation
) -> Groups:
    """Return a quantile of each group from its sorted values: ticks for times, else floats."""
    if dtype.is_temporal:
        return Groups(order.whole_quantiles_of(ordered, q, interpolation), ordered.counts > 0)
    found = order.quantiles_of(ordered, [q], interpolation)[:, 0]
    return Groups(found, found == found)


def _whole(values: NDArray[np.int64]) -> Groups:
    return Groups(values, np.ones(len(values), np.bool_))


def _floats(
    read: Callable[..., NDArray[np.float64]], rows: GroupSummaries, folder: str = _RUN
) -> Groups:
    values = read(runner(folder), n_parts(rows.n_groups))
    return Groups(values, values == values)


def _of_values(values: NDArray[Any], rows: GroupSummaries) -> Groups:
    """Return one value per group, marked missing for groups without a value."""
    return _stored(values, counts_of(rows.moments()) > 0)


def _of_ordered(values: NDArray[Any], rows: GroupSummaries) -> Groups:
    return _stored(values, rows.ordered().counts > 0)


def _stored(values: NDArray[Any], present: NDArray[np.bool_]) -> Groups:
    """Return values per group in the form in which a fitted plan keeps them: float64 or int64."""
    if values.dtype.kind == "f":
        return Groups(values, present)
    wide = values.view(np.int64) if values.dtype == np.uint64 else values.astype(np.int64)
    return Groups(wide, present)


def _one_by_one(name: str, rows: GroupSummaries, params: ParameterValues) -> Groups:
    """Return an aggregate by its own definition, applied to the moments of each group in turn."""
    function, given = AGGREGATES[name], tuple(params.items())
    assert not needs_order([function])
    values = [
        function.finalize(ColumnSummary(rows.dtype, moments_of(rows.moments(), group), {}), given)
        for group in range(rows.n_left_out, rows.n_groups)
    ]
    return groups_of([None] * rows.n_left_out + values, function.result(rows.dtype, given))


def _counts(rows: GroupSummaries, params: ParameterValues) -> Groups:
    return _whole(counts_of(rows.moments()))


def _null_counts(rows: GroupSummaries, params: ParameterValues) -> Groups:
    return _whole(n_rows_of(rows.moments()) - counts_of(rows.moments()))


def _sums(rows: GroupSummaries, params: ParameterValues) -> Groups:
    """Return the sum of each group, floats rounded once; raise Overflow beyond int64."""
    if rows.dtype.physical == "f64":
        return _floats(partial(finalize.sums_of, rows.moments()), rows)
    if rows.dtype.name == "uint64":
        return _one_by_one("sum", rows, params)
    sums, overflow = finalize.integer_sums_of(rows.moments())
    if overflow[rows.n_left_out :].any():
        raise Overflow(
            "the sum of a group does not fit into int64. Cast to float64 first: .cast('float64')"
        )
    return _whole(sums)


def _means(rows: GroupSummaries, params: ParameterValues) -> Groups:
    if rows.dtype.name == "duration":
        return _of_values(finalize.truncated_means_of(rows.moments()), rows)
    return _floats(partial(finalize.means_of, rows.moments()), rows)


def _variances(rows: GroupSummaries, params: ParameterValues) -> Groups:
    return _floats(partial(finalize.variances_of, rows.moments(), params["ddof"]), rows)


def _deviations(rows: GroupSummaries, params: ParameterValues) -> Groups:
    return _floats(partial(finalize.deviations_of, rows.moments(), params["ddof"]), rows)


def _minima(rows: GroupSummaries, params: ParameterValues) -> Groups:
    return _of_values(finalize.minima_of(rows.moments()), rows)


def _maxima(rows: GroupSummaries, params: ParameterValues) -> Groups:
    return _of_values(finalize.maxima_of(rows.moments()), rows)


def _quantiles(rows: GroupSummaries, params: ParameterValues) -> Groups:
    return rows.quantile(params["q"], params["interpolation"])


def _modes(rows: GroupSummaries, params: ParameterValues) -> Groups:
    return _of_ordered(order.modes_of(rows.ordered(), runner(_RUN), rows.n_parts), rows)


def _n_unique(rows: GroupSummaries, params: ParameterValues) -> Groups:
    return _whole(order.n_unique_of(rows.ordered(), runner(_RUN), rows.n_parts))


def _shapes(name: str, rows: GroupSummaries, params: ParameterValues) -> Groups:
    read = partial(powers.shapes_of, rows.ordered(), name, options_of(**params))
    return _floats(read, rows, "powers")


def _no_statistic(dtype: DType, params: ParameterValues) -> GroupStatistic | None:
    """Return None: no kernel computes the aggregate directly from rows."""
    return None


def _sum_of_floats(dtype: DType, params: ParameterValues) -> GroupStatistic | None:
    return statistics.GroupStatistic("sum") if dtype.physical == "f64" else None


def _mean_of_numbers(dtype: DType, params: ParameterValues) -> GroupStatistic | None:
    return statistics.GroupStatistic("mean") if dtype.name != "duration" else None


@dataclass(frozen=True, slots=True)
class _Reading:
    """A row of the table `_READINGS`: how an aggregate per group is computed.

    Args:
        read: Computes it from the moments or the sorted values of the groups.
        statistic: Returns the kernel statistic that gives it directly from rows; None if there is
            none.
        of_order: Whether it needs sorted values instead of moments.
    """

    read: Callable[[GroupSummaries, ParameterValues], Groups]
    statistic: Callable[[DType, ParameterValues], GroupStatistic | None] = _no_statistic
    of_order: bool = False


_READINGS = {
    "count": _Reading(_counts),
    "null_count": _Reading(_null_counts),
    "sum": _Reading(_sums, _sum_of_floats),
    "mean": _Reading(_means, _mean_of_numbers),
    "var": _Reading(
        _variances, lambda dtype, params: statistics.GroupStatistic("var", params["ddof"])
    ),
    "std": _Reading(
        _deviations, lambda dtype, params: statistics.GroupStatistic("std", params["ddof"])
    ),
    "min": _Reading(_minima),
    "max": _Reading(_maxima),
    "quantile": _Reading(_quantiles, of_order=True),
    "mode": _Reading(_modes, of_order=True),
    "n_unique": _Reading(_n_unique, of_order=True),
    **{name: _Reading(partial(_shapes, name), of_order=True) for name in SHAPES},
}


def _reading(name: str) -> _Reading:
    """Return the table row of an aggregate; without one, it is computed by its own definition."""
    return _READINGS.get(name) or _Reading(partial(_one_by_one, name))


def bytes_of_moments(n_groups: int, level: Level, extremes: bool) -> int:
    """Return about how many bytes the moments of `n_groups` groups take."""
    return n_groups * 8 * (layout.LINE_WORDS[level] + (2 if extremes else 0))
