"""Learn aggregates per group on the CPU, from rows that come in batches and states that merge.

The state has the moments (count, sums, extremes) of each group, or the rows themselves for
aggregates that need sorted values, such as quantiles. The rows of the first batch may be held back:
if no others follow, some statistics are faster from the rows than from sums of all groups.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from fastfeat_kernels.column import split_rows
from fastfeat_kernels.grouped import joining
from fastfeat_kernels.grouped.calls import MomentsRequest
from fastfeat_kernels.grouped.growing import Table, most_bytes, n_bytes_of, new_table
from fastfeat_kernels.grouped.state import GroupedMoments
from fastfeat_kernels.grouped.statistics import GroupStatistic, level_of, statistics_in
from fastfeat_kernels.grouped.summarize import (
    add,
    add_partitions,
    is_partitioned,
    moments_in,
    split_task,
)
from fastfeat_kernels.grouped.tables import Partitions
from fastfeat_kernels.moments.state import Level
from fastfeat_kernels.records import dataclass

from fastfeat.aggregates import AGGREGATES
from fastfeat.aggregates.function import level_of as level_of_functions
from fastfeat.aggregates.keys import Groups
from fastfeat.engine.cpu.kernels import n_parts, n_tables, runner
from fastfeat.engine.learner import Learner, LearntResult, PackedState, Rows, TaskLearner
from fastfeat.engine.storage import storage
from fastfeat.io.budget import has_room
from fastfeat.io.columns.column import plain_chunks
from fastfeat.ir.dtypes import DType
from fastfeat.ir.node import Params
from fastfeat.steps.keys import cpu_group_rows as keeping
from fastfeat.steps.keys import cpu_ordered, cpu_packed
from fastfeat.steps.keys import cpu_ordered as ordering
from fastfeat.steps.keys.cpu_groups import (
    ORDER_BYTES,
    TAKES,
    bytes_of_moments,
    codes_of,
    learn_aggregate,
    needs_extremes,
    quantile_of,
    reads_order,
    statistic_of,
)
from fastfeat.steps.keys.cpu_groups import (
    GroupSummaries as RowsOfGroups,
)
from fastfeat.steps.keys.tasks import GroupsTask

if TYPE_CHECKING:
    from fastfeat_kernels.grouped.order import SortedGroups

    from fastfeat.steps.keys.cpu_group_rows import GroupRows
    from fastfeat.steps.keys.cpu_ordered import OrderedRows

VALUES, CODES = "values", "codes"
"""The columns that the task reads: the argument, and the group of each row, int32."""

_Kept = TypeVar("_Kept")

_RUN = "grouped"
_ROWS = "rows"


@dataclass(frozen=True, slots=True)
class GroupsSpec:
    """The aggregates per group to learn.

    Args:
        wanted: The aggregates, by name and parameters.
        dtype: Type of the argument.
        n_groups: Number of groups.
        n_left_out: The results of the first `n_left_out` groups are ignored and may be anything.
    """

    wanted: Sequence[tuple[str, Params]]
    dtype: DType
    n_groups: int
    n_left_out: int = 0


@dataclass(frozen=True, slots=True)
class Needs:
    """The data about rows that the wanted aggregates are computed from.

    Args:
        level: Highest power that moments sum up (see `Level`); None if no moments are needed.
        extremes: Whether the least and greatest values are kept.
        order: Whether the values of each group are needed in sorted order.
        statistics: The aggregates in a form that a kernel computes directly from rows, without
            keeping moments; None if that is impossible for one of them.
    """

    level: Level | None
    extremes: bool
    order: bool
    statistics: list[GroupStatistic] | None


@dataclass(slots=True)
class GroupsState:
    """The summary of all rows added so far, group by group.

    Args:
        spec: The aggregates to learn.
        needs: The data that they are computed from.
        n_rows: Number of rows added.
        first: The rows of the first batch in partitions, until more rows arrive. Statistics of many
            groups are computed partition by partition. If the rows take less memory than the sums
            of all groups, a merge adds them to the sums of the other state.
        table: Moments of all rows but the first batch.
        kept: All rows, if moments or sorted values of all groups would exceed the memory budget.
        rows: The rows to be sorted by group and value, if sorted values are needed.
    """

    spec: GroupsSpec
    needs: Needs
    n_rows: int
    first: tuple[MomentsRequest, Partitions] | None
    table: Table | None
    kept: GroupRows | None
    rows: OrderedRows | None


def learn_groups(task: GroupsTask) -> list[Groups]:
    """Return the values of each wanted aggregate, one value per group."""
    spec, columns = learner_input(task)
    state = _start(spec, None)
    _add(state, columns, range(len(task.codes)))
    return list(_next(state).values)


def learner_input(task: GroupsTask) -> tuple[GroupsSpec, Mapping[Any, Any]]:
    """Return a task's settings as `GroupsSpec`, and the columns that it reads, by name."""
    spec = GroupsSpec(task.wanted, task.dtype, task.n_groups, task.n_left_out)
    return spec, {VALUES: task.values, CODES: task.codes}


def _needs(spec: GroupsSpec) -> Needs:
    of_moments = [name for name, _ in spec.wanted if not reads_order(name)]
    known = [statistic_of(name, spec.dtype, params) for name, params in spec.wanted]
    statistics = [one for one in known if one is not None]
    if len(statistics) == len(known) and statistics:
        return Needs(level_of(statistics), False, False, statistics)
    level = level_of_functions(AGGREGATES[name] for name in of_moments) if of_moments else None
    order = len(of_moments) < len(spec.wanted)
    return Needs(level, needs_extremes(spec.wanted), order, None)


def _start(spec: GroupsSpec, hint: None) -> GroupsState:
    needs, element = _needs(spec), storage(spec.dtype)
    n_bytes = ORDER_BYTES * spec.n_groups if needs.order else 0
    if needs.level is not None:
        n_bytes += bytes_of_moments(spec.n_groups, needs.level, needs.extremes)
    if not has_room(n_bytes):
        kept = keeping.no_rows(element, spec.n_groups)
        return GroupsState(spec, needs, 0, None, None, kept, None)
    table = rows = None
    if needs.level is not None:
        table = new_table(element, spec.n_groups, needs.level, needs.extremes)
    if needs.order:
        rows = cpu_ordered.OrderedRows(element, spec.n_groups)
    return GroupsState(spec, needs, 0, None, table, None, rows)


def _add(state: GroupsState, columns: Mapping[Any, Any], rows: Rows) -> None:
    spec = state.spec
    chunks, groups = plain_chunks(columns[VALUES], spec.dtype), codes_of(columns[CODES])
    run, parts = runner(_RUN), n_parts(len(groups))
    if not _is_large(state):
        parts = n_tables(len(groups))
    if state.rows is not None:
        ordering.keep(state.rows, chunks, groups)
    if state.kept is not None:
        keeping.keep(state.kept, chunks, groups)
    if state.table is not None and len(groups):
        level = state.table.moments.level
        if state.n_rows == 0 and _is_kept(state, len(groups)):
            split = split_rows(chunks, parts)
            element = storage(spec.dtype)
            state.first = split_task(element, split, groups, spec.n_groups, level, run)
        else:
            add(_summed(state), chunks, groups, run, parts)
    state.n_rows += len(groups)


def _is_kept(state: GroupsState, n_rows: int) -> bool:
    """Return whether to hold back the first batch as rows, instead of adding it to sums now."""
    return _is_large(state) and (
        state.needs.statistics is not None or n_rows <= state.spec.n_groups
    )


def _is_large(state: GroupsState) -> bool:
    """Return whether the moments of all groups exceed the cache of the CPU."""
    needs, n_groups = state.needs, state.spec.n_groups
    return needs.level is not None and is_partitioned(n_groups, needs.level, needs.extremes)


def _summed(state: GroupsState) -> Table:
    """Return the table of moments, after adding any rows held back from the first batch."""
    assert state.table is not None
    if state.first is not None:
        _, partitions = state.first
        add_partitions(state.table, *state.first, runner(_RUN), n_parts(len(partitions.values)))
        state.first = None
    return state.table


def _merge(a: GroupsState, b: GroupsState) -> GroupsState:
    if a.kept is not None and b.kept is not None and a.spec.n_groups == b.spec.n_groups:
        a.kept = keeping.join(a.kept, b.kept)
    else:
        _unkept(a)
        _unkept(b)
    if a.table is not None:
        a.table = _joined_tables(a, b)
    if a.rows is not None and b.rows is not None:
        a.rows = ordering.join(a.rows, b.rows)
    a.n_rows += b.n_rows
    return a


def _unkept(state: GroupsState) -> None:
    """Replace the rows in `state.kept` by moments or sorted values of all groups."""
    kept, needs = state.kept, state.needs
    if kept is None:
        return
    if needs.level is not None:
        state.table = keeping.table_of(kept, needs.level, needs.extremes)
    if needs.order:
        state.rows = cpu_ordered.OrderedRows(kept.element, kept.n_groups)
        for some in keeping.ranges(kept):
            keys, groups = keeping.keys_of(kept, some)
            ordering.append(state.rows, ordering.KeyPiece(keys, groups + np.int32(some.first)))
    state.kept = None


def _joined_tables(a: GroupsState, b: GroupsState) -> Table:
    """Return one table with the moments of both states, including rows held back so far."""
    run, are_alike = runner(_RUN), a.spec.n_groups == b.spec.n_groups
    kept, other = (a, b) if b.first is None else (b, a)
    if kept.first is None or not are_alike:
        return joining.join_tables(_summed(a), _summed(b), run, n_parts(a.spec.n_groups))
    table, (task, partitions) = _summed(other), kept.first
    add_partitions(table, task, partitions, run, n_parts(len(partitions.values)))
    kept.first = None
    return table


def _next(state: GroupsState) -> LearntResult:
    spec, statistics = state.spec, state.needs.statistics
    if state.first is not None and statistics is not None:
        parts = n_parts(state.n_rows)
        read = statistics_in(*state.first, statistics, runner(_RUN), parts)
        return LearntResult(tuple(Groups(one, one == one) for one in read))
    found: dict[int, Groups] = {}
    for places, ranges in _ranges(state):
        for first, rows in ranges:
            for k in places:
                name, params = spec.wanted[k]
                _put(found, k, learn_aggregate(rows, name, params), first, spec.n_groups)
    return LearntResult(tuple(found[k] for k in range(len(spec.wanted))))


_Ranges = Iterator[tuple[int, RowsOfGroups]]
"""Neighbouring groups, each set with the number of its first group."""


def _ranges(state: GroupsState) -> Iterator[tuple[list[int], _Ranges]]:
    """Yield (indices of some wanted aggregates, iterator over the groups to compute them from)."""
    names = [name for name, _ in state.spec.wanted]
    if state.kept is not None:
        yield list(range(len(names))), _ranges_kept(state, state.kept)
        return
    if state.table is not None:
        moments = moments_in(_summed(state), runner(_RUN))
        rows = _rows_of(state, 0, state.spec.n_groups, moments)
        yield [k for k, name in enumerate(names) if not reads_order(name)], iter([(0, rows)])
    if state.rows is not None:
        ranges = (
            (first, _rows_of(state, first, len(ordered.counts), None, ordered))
            for first, ordered in ordering.ranges_in_order(state.rows)
        )
        yield [k for k, name in enumerate(names) if reads_order(name)], ranges


def _ranges_kept(state: GroupsState, kept: GroupRows) -> _Ranges:
    """Yield neighbouring groups, with moments or sorted values computed from the kept rows."""
    needs = state.needs
    for some in keeping.ranges(kept):
        moments = ordered = None
        if needs.level is not None:
            table = new_table(kept.element, some.n_groups, needs.level, needs.extremes)
            keeping.add_range(table, kept, some)
            moments = moments_in(table, runner(_RUN))
        if needs.order:
            ordered = keeping.in_order(kept, some)
        yield some.first, _rows_of(state, some.first, some.n_groups, moments, ordered)


def _put(found: dict[int, Groups], k: int, of: Groups, first: int, n_groups: int) -> None:
    """Copy the values of groups `first` and following into result `k`, which covers all groups."""
    n = len(of.values)
    if n == n_groups:
        found[k] = of
        return
    if k not in found:
        values = np.zeros(n_groups, of.values.dtype)
        found[k] = Groups(values, np.zeros(n_groups, np.bool_))
    found[k].values[first : first + n] = of.values
    found[k].present[first : first + n] = of.present


def _rows_of(
    state: GroupsState,
    first: int,
    n_groups: int,
    moments: GroupedMoments | None,
    ordered: SortedGroups | None = None,
) -> RowsOfGroups:
    """Return the input of aggregate functions for `n_groups` groups: moments, or sorted values."""
    spec = state.spec
    return RowsOfGroups(
        spec.dtype,
        state.n_rows,
        n_groups,
        max(spec.n_left_out - first, 0),
        lambda: _there(moments),
        lambda: _there(ordered),
        lambda q, interpolation: quantile_of(_there(ordered), spec.dtype, q, interpolation),
    )


def _there(kept: _Kept | None) -> _Kept:
    """Return `kept`, which is never None where it is read, because `Needs` asked for it."""
    assert kept is not None
    return kept


def _pack(state: GroupsState) -> PackedState:
    _unkept(state)
    numbers: dict[str, Any] = {"n_rows": state.n_rows}
    tables: dict[str, Any] = {}
    if state.table is not None:
        packed = cpu_packed.packed_table(_summed(state))
        numbers |= packed.numbers
        tables |= packed.tables
    if state.rows is not None:
        tables[_ROWS] = ordering.table_of(state.rows)
    return PackedState(numbers, tables)


def _unpack(spec: GroupsSpec, hint: None, packed: PackedState) -> GroupsState:
    state = _start(spec, hint)
    _unkept(state)
    state.n_rows = packed.numbers["n_rows"]
    if state.table is not None:
        state.table = cpu_packed.unpacked_table(packed)
    if state.rows is not None:
        ordering.keep_table(state.rows, packed.tables[_ROWS])
    return state


def _size(state: GroupsState) -> int:
    n_bytes = 0 if state.table is None else n_bytes_of(state.table)
    if state.first is not None:
        n_bytes += sum(array.nbytes for array in state.first[1][2:])
    n_bytes += 0 if state.kept is None else state.kept.n_bytes
    return n_bytes + (0 if state.rows is None else ordering.n_bytes_of(state.rows))


def _bound(spec: GroupsSpec, n_rows: int) -> int:
    needs, n_bytes = _needs(spec), 0
    if needs.level is not None:
        element = storage(spec.dtype)
        n_bytes += most_bytes(element, spec.n_groups, needs.level, needs.extremes, n_rows)
        n_bytes += ordering.most_bytes(0, n_rows)
    return n_bytes + (ordering.most_bytes(spec.n_groups, n_rows) if needs.order else 0)


def _spill(state: GroupsState, folder: Path) -> None:
    if state.kept is not None:
        keeping.spill(state.kept, folder)
    if state.rows is not None:
        ordering.spill(state.rows, folder)


LEARNER = Learner(
    "groups",
    start=_start,
    add=_add,
    merge=_merge,
    next=_next,
    pack=_pack,
    unpack=_unpack,
    size=_size,
    bound=_bound,
    spill=_spill,
    takes=TAKES.format(of="group", more=", 16 for extremes", stays="group"),
)
OF_TASKS = TaskLearner(LEARNER, learner_input)
