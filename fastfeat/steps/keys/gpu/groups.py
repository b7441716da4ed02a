"""Aggregates per group on a device: exact moments and quantiles; the host does all sorting."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, partial

from fastfeat_kernels.arrays import Int64Array
from fastfeat_kernels.grouped import cuda
from fastfeat_kernels.grouped.order import SortedGroups, order
from fastfeat_kernels.grouped.state import GroupedMoments, counts_of

from fastfeat.aggregates import AGGREGATES
from fastfeat.aggregates.function import level_of
from fastfeat.aggregates.keys import Groups
from fastfeat.engine.cpu.kernels import n_parts, runner
from fastfeat.engine.gpu.learn.scan import EachPiece
from fastfeat.engine.gpu.pieces.column_groups import NamedColumns, over_rows
from fastfeat.engine.gpu.runtime import Runtime
from fastfeat.engine.storage import storage
from fastfeat.io.columns.column import plain_chunks
from fastfeat.ir.dtypes import INT32
from fastfeat.ir.node import Params
from fastfeat.steps.keys.cpu_groups import GroupSummaries, codes_of, learn_aggregate, needs_extremes
from fastfeat.steps.keys.gpu import grouped_ranks
from fastfeat.steps.keys.gpu.grouped_ranks import Quantile
from fastfeat.steps.keys.gpu.grouped_scan import GroupedPass, find_groups, scratch_bytes
from fastfeat.steps.keys.tasks import GroupsTask
from fastfeat.steps.on_device import column_in_host


def is_found_on_device(function: str) -> bool:
    """Return whether the device itself computes an aggregate per group; otherwise the host sorts.

    Aggregates that compare values for equality, or add up powers, need sorted values.
    """
    return not {"keys", "powers"} & AGGREGATES[function].primitives


def learn_groups(runtime: Runtime, task: GroupsTask) -> list[Groups]:
    """Return the values of each wanted aggregate, one value per group.

    Raises OutOfDeviceMemory if the states of all groups and 64 rows do not fit.
    """
    wanted, dtype, n_groups, n_rows = task.wanted, task.dtype, task.n_groups, len(task.codes)
    level = level_of([AGGREGATES[name] for name, _ in wanted])
    of_cells = cuda.DeviceMomentsRequest(
        storage(dtype), n_groups, level, needs_extremes(wanted), n_rows
    )
    columns = {"values": (task.values, dtype), "codes": (task.codes, INT32)}
    moments = cache(lambda: group_moments(runtime, of_cells, columns))
    quantiles = cache(
        lambda: group_quantiles(runtime, columns, counts_of(moments()), _quantiles_in(wanted))
    )
    rows = GroupSummaries(
        dtype,
        n_rows,
        n_groups,
        task.n_left_out,
        moments,
        cache(lambda: _order(runtime, task)),
        lambda q, interpolation: quantiles()[q, interpolation],
    )
    return [learn_aggregate(rows, name, params) for name, params in wanted]


def _quantiles_in(wanted: Sequence[tuple[str, Params]]) -> list[Quantile]:
    """Return the distinct quantiles, as (q, interpolation), among the wanted aggregates."""
    given = [dict(params) for name, params in wanted if name == "quantile"]
    return list(dict.fromkeys((one["q"], one["interpolation"]) for one in given))


def _order(runtime: Runtime, task: GroupsTask) -> SortedGroups:
    """Return the sorted values of each group, sorted on the host."""
    chunks = plain_chunks(column_in_host(runtime, task.values), task.dtype)
    groups = codes_of(column_in_host(runtime, task.codes))
    parts = n_parts(len(groups))
    return order(storage(task.dtype), chunks, groups, task.n_groups, runner("grouped"), parts)


def group_moments(
    runtime: Runtime,
    task: cuda.DeviceMomentsRequest,
    columns: NamedColumns,
    groups: tuple[int, ...] = (1,),
    n_codes: int = 0,
) -> GroupedMoments:
    """Return the moments of each group: counts, sums and extremes.

    `groups` and `n_codes` are described in `grouped_scan.GroupedPass`. Raises OutOfDeviceMemory if
    the states of all groups and 64 rows do not fit.
    """
    work = partial(find_groups, GroupedPass(runtime, task, groups, n_codes))
    return over_rows(runtime, columns, scratch_bytes(task), work)


def group_quantiles(
    runtime: Runtime, columns: NamedColumns, counts: Int64Array, wanted: Sequence[Quantile]
) -> dict[Quantile, Groups]:
    """Return the values of each wanted quantile in each group: int64 ticks for times, else floats.

    `counts` has the number of values of each group, shape (n_groups,). Raises OutOfDeviceMemory if
    the states of all groups and 64 rows do not fit.
    """
    n_bytes = grouped_ranks.scratch_bytes(len(counts), 2)
    (_, dtype), *_ = columns.values()
    search = grouped_ranks.RankSearch(storage(dtype), counts)

    def find(each_piece: EachPiece, quantile: Quantile) -> Groups:
        if dtype.is_temporal:
            whole = grouped_ranks.find_whole_quantile(runtime, search, each_piece, quantile)
            return Groups(whole, counts > 0)
        found = grouped_ranks.find_quantile(runtime, search, each_piece, quantile)
        return Groups(found, found == found)

    def work(each_piece: EachPiece) -> dict[Quantile, Groups]:
        return {quantile: find(each_piece, quantile) for quantile in wanted}

    return over_rows(runtime, columns, n_bytes, work)
