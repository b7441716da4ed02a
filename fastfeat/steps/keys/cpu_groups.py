"""Aggregates per group on the CPU: exact moments and order statistics of the rows of each group."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import numpy as np
from fastfeat_kernels.column import Chunk
from fastfeat_kernels.grouped import finalize
from fastfeat_kernels.grouped.order import (
    Interpolation,
    Ordered,
    modes_of,
    n_unique_of,
    order,
    quantiles_of,
    whole_quantiles_of,
)
from fastfeat_kernels.grouped.state import (
    GroupedMoments,
    counts_of,
    moments_of,
    n_rows_of,
)
from fastfeat_kernels.grouped.statistics import Statistic, statistics_of
from fastfeat_kernels.grouped.summarize import summarize
from fastfeat_kernels.powers import SHAPES, options_of
from fastfeat_kernels.powers.state import shapes_of
from numpy.typing import NDArray

from fastfeat.aggregates import AGGREGATES, Summary, level_of, needs_order
from fastfeat.aggregates.keys import Groups, groups_of
from fastfeat.dtypes import DType
from fastfeat.engine.cpu.kernels import n_parts, runner
from fastfeat.engine.storage import storage
from fastfeat.errors import Overflow
from fastfeat.io.arrow import Array, pa
from fastfeat.io.columns.column import physical_chunks
from fastfeat.io.columns.types import storage_type
from fastfeat.ir.node import Params
from fastfeat.steps.keys.tasks import GroupsTask

_RUN = "grouped"


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows that aggregates per group are learnt from.

    Args:
        dtype: type of the argument.
        n_rows: how many rows there are.
        n_groups: how many groups.
        n_left_out: of how many groups, the first, nothing is wanted.
        moments: returns counts, sums and ends of each group.
        ordered: returns the values of each group in order.
        quantile: returns a quantile of each group, of `q` and `interpolation`.
    """

    dtype: DType
    n_rows: int
    n_groups: int
    n_left_out: int
    moments: Callable[[], GroupedMoments]
    ordered: Callable[[], Ordered]
    quantile: Callable[[float, Interpolation], Groups]

    @property
    def n_parts(self) -> int:
        """Into how many runs of rows the work is divided."""
        return n_parts(self.n_rows)


def learn_groups(task: GroupsTask) -> list[Groups]:
    """Return each wanted aggregate of each group."""
    wanted, dtype, n_groups = task.wanted, task.dtype, task.n_groups
    functions = [AGGREGATES[name] for name, _ in wanted]
    chunks, groups = plain_chunks(task.values, dtype), codes_of(task.codes)
    statistics = [_statistic(name, dict(params), dtype) for name, params in wanted]
    if all(statistics):
        asked = [one for one in statistics if one is not None]
        run, parts = runner(_RUN), n_parts(len(groups))
        found = statistics_of(storage(dtype), chunks, groups, n_groups, asked, run, parts)
        return [Groups(one, one == one) for one in found]
    column = storage(dtype), chunks, groups, n_groups
    run, parts = runner(_RUN), n_parts(len(groups))
    extremes, level = needs_extremes(wanted), level_of(functions)
    moments = cache(partial(summarize, *column, level, run, parts, extremes))
    ordered = cache(partial(order, *column, run, parts))
    rows = Rows(
        dtype,
        len(groups),
        n_groups,
        task.n_left_out,
        moments,
        ordered,
        lambda q, interpolation: _quantile_of(ordered(), dtype, q, interpolation),
    )
    return [learnt(rows, name, params) for name, params in wanted]


def needs_extremes(wanted: Sequence[tuple[str, Params]]) -> bool:
    """Return whether the least or the greatest value of groups is asked for."""
    return any(name in ("min", "max") for name, _ in wanted)


def _statistic(name: str, params: Mapping[str, Any], dtype: DType) -> Statistic | None:
    """Return an aggregate as the kernel names it that keeps nothing else; None of any other."""
    match name:
        case "sum" if dtype.physical == "f64":
            return Statistic("sum")
        case "mean" if dtype.name != "duration":
            return Statistic("mean")
        case "var" | "std":
            return Statistic(name, params["ddof"])
        case _:
            return None


def plain_chunks(values: Any, dtype: DType) -> list[Chunk]:
    """Return the pieces of an argument in the storage that kernels read."""
    pieces = values.chunks if isinstance(values, pa.ChunkedArray) else [values]
    plain = [piece.view(storage_type(dtype)) for piece in pieces]
    return list(physical_chunks(pa.chunked_array(plain, storage_type(dtype))))


def codes_of(column: Any) -> NDArray[np.int32]:
    """Return codes that are never missing as one array."""
    pieces = [_codes(chunk) for chunk in column.chunks]
    return pieces[0] if len(pieces) == 1 else np.concatenate([*pieces, np.zeros(0, np.int32)])


def _codes(chunk: Array) -> NDArray[np.int32]:
    return np.frombuffer(chunk.buffers()[1], np.int32, len(chunk), chunk.offset * 4)


def learnt(rows: Rows, name: str, params: Params) -> Groups:
    """Return one aggregate of each group."""
    given = dict(params)
    match name:
        case "count":
            return _whole(counts_of(rows.moments()))
        case "null_count":
            return _whole(n_rows_of(rows.moments()) - counts_of(rows.moments()))
        case "sum" if rows.dtype.physical == "f64":
            return _floats(partial(finalize.sums_of, rows.moments()), rows)
        case "sum" if rows.dtype.name != "uint64":
            sums, overflow = finalize.integer_sums_of(rows.moments())
            if overflow[rows.n_left_out :].any():
                raise Overflow(
                    "the sum of a group does not fit into int64. Cast to float64 first: "
                    ".cast('float64')"
                )
            return _whole(sums)
        case "mean" if rows.dtype.name == "duration":
            return _of_values(finalize.truncated_means_of(rows.moments()), rows)
        case "mean":
            return _floats(partial(finalize.means_of, rows.moments()), rows)
        case "var":
            return _floats(partial(finalize.variances_of, rows.moments(), given["ddof"]), rows)
        case "std":
            return _floats(partial(finalize.deviations_of, rows.moments(), given["ddof"]), rows)
        case "min":
            return _of_values(finalize.minima_of(rows.moments()), rows)
        case "max":
            return _of_values(finalize.maxima_of(rows.moments()), rows)
        case "quantile":
            return rows.quantile(given["q"], given["interpolation"])
        case "mode":
            return _of_ordered(modes_of(rows.ordered(), runner(_RUN), rows.n_parts), rows)
        case _ if name in SHAPES:
            read = partial(shapes_of, rows.ordered(), name, options_of(**given))
            return _floats(read, rows, "powers")
        case "n_unique":
            return _whole(n_unique_of(rows.ordered(), runner(_RUN), rows.n_parts))
        case _:
            return _one_by_one(rows, name, params)


def _quantile_of(ordered: Ordered, dtype: DType, q: float, interpolation: Interpolation) -> Groups:
    """Return a quantile of each group: an integer of times, which have no floats between them."""
    if dtype.is_temporal:
        return Groups(whole_quantiles_of(ordered, q, interpolation), ordered.counts > 0)
    found = quantiles_of(ordered, [q], interpolation)[:, 0]
    return Groups(found, found == found)


def _whole(values: NDArray[np.int64]) -> Groups:
    return Groups(values, np.ones(len(values), np.bool_))


def _floats(read: Callable[..., NDArray[np.float64]], rows: Rows, folder: str = _RUN) -> Groups:
    values = read(runner(folder), n_parts(rows.n_groups))
    return Groups(values, values == values)


def _of_values(values: NDArray[Any], rows: Rows) -> Groups:
    """Return the values as groups, present where a group has a value."""
    return _stored(values, counts_of(rows.moments()) > 0)


def _of_ordered(values: NDArray[Any], rows: Rows) -> Groups:
    return _stored(values, rows.ordered().counts > 0)


def _stored(values: NDArray[Any], present: NDArray[np.bool_]) -> Groups:
    """Return values of the groups as they are learnt: float64 or int64."""
    if values.dtype.kind == "f":
        return Groups(values, present)
    wide = values.view(np.int64) if values.dtype == np.uint64 else values.astype(np.int64)
    return Groups(wide, present)


def _one_by_one(rows: Rows, name: str, params: Params) -> Groups:
    """Return an aggregate that is made from the exact moments of one group after the other."""
    function = AGGREGATES[name]
    assert not needs_order([function])
    values = [
        function.finalize(Summary(rows.dtype, moments_of(rows.moments(), group), {}), params)
        for group in range(rows.n_left_out, rows.n_groups)
    ]
    return groups_of([None] * rows.n_left_out + values, function.result(rows.dtype, params))
