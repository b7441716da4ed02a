"""Moments of the groups of a column: rows are added to a persistent table of groups.

With few groups, each part of the rows except the first has lines of its own, which are merged. With
many groups, the rows are first sorted into partitions, so that lines stay in the cache and no two
calls add to the same line. If many floats are far from the window of the first ones, a further
table of lines gets a window for them; a few floats become integers of any width instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from fastfeat_kernels.arrays import Int32Array, Int64Array
from fastfeat_kernels.column import ArrowChunk, CallRunner, ChunkRows, KernelRowCall, split_rows
from fastfeat_kernels.grouped import layout
from fastfeat_kernels.grouped.calls import (
    MomentsMemory,
    MomentsRequest,
    common_exponent,
    held_by,
    look,
    new_target,
    partition_calls,
    words_of,
)
from fastfeat_kernels.grouped.growing import (
    MOST_OTHERS,
    Table,
    has_window,
    make_room,
    new_table,
)
from fastfeat_kernels.grouped.state import (
    LOWEST_EXPONENT,
    MAX_ADDED,
    NO_EXTREMES,
    NONE,
    GroupedMoments,
    merge,
    no_moments,
)
from fastfeat_kernels.grouped.tables import (
    SEQUENCES_PER_PART,
    Partitions,
    rows_call,
    scratch,
    split_groups,
)
from fastfeat_kernels.grouped.wide import add_left, left_of_rows, no_left
from fastfeat_kernels.moments.state import Level

MIN_BYTES_PARTITIONED = 8 << 20  # of lines; 180,000 groups: 11 ns a row and core, 13 directly
MIN_ROWS_PARTITIONED = 1 << 14  # for fewer, a call for each partition costs more than it saves
N_EXTREMES_BYTES = 64  # the extremes of a group cost as much as one of its lines
PARTITION_SHIFT = 13  # a partition of 2**13 groups has 512 kB of lines
FEWEST_LEFT = 16  # rows that fit no window become integers of any width at once, up to here
FEW_LEFT = 1 << 10  # a further window gets a table only for more rows than this


def summarize(
    element: str,
    chunks: Sequence[ArrowChunk],
    groups: Int32Array,
    n_groups: int,
    level: Level,
    run: CallRunner,
    n_parts: int = 1,
    extremes: bool = True,
) -> GroupedMoments:
    """Return the moments of the groups of a column."""
    table = new_table(element, n_groups, level, extremes)
    add(table, chunks, groups, run, n_parts)
    return moments_in(table, run)


class _LeftRows(NamedTuple):
    """Floats that do not fit a window, and their groups."""

    values: npt.NDArray[np.float64]
    groups: Int32Array


def moments_in(table: Table, run: CallRunner) -> GroupedMoments:
    """Return the moments of the rows of a table; more rows may follow, and memory is shared."""
    moments = table.moments
    if not table.has_rows:
        return no_moments(moments.element, moments.n_groups, moments.level, table.has_extremes)
    carry(table, run)
    if not table.others:
        return table.moments
    others = [
        one.moments._replace(element=moments.element, lines=one.moments.lines.copy())
        for one in table.others
    ]
    for one in others:
        one.lines[:, layout.COUNT] = 0
    sums = reduce(merge, others, table.moments._replace(extremes=NO_EXTREMES))
    return sums._replace(extremes=moments.extremes)


def carry(table: Table, run: CallRunner) -> None:
    """In the lines of a table, carry bits above 40 into the next limbs."""
    moments = table.moments
    if moments.n_added == 1:
        return
    words = np.zeros(layout.N_TABLE_WORDS, np.int64)
    state = np.zeros(layout.N_STATE_WORDS, np.int64)
    words[layout.TABLE_STATE] = state.ctypes.data
    words[layout.TABLE_STAGE] = layout.LAST_CALL
    words[layout.TABLE_LEVEL], words[layout.TABLE_N_GROUPS] = moments.level, moments.n_groups
    words[layout.TABLE_LINES] = moments.lines.ctypes.data
    run("rows", [[KernelRowCall(words, 0, 0, (moments, state))]])
    table.moments = moments._replace(n_added=1)


def add(
    table: Table,
    chunks: Sequence[ArrowChunk],
    groups: Int32Array,
    run: CallRunner,
    n_parts: int = 1,
) -> None:
    """Add rows to a table; the arguments are like those of `summarize`."""
    _keep_left(table, _add_to_window(table, chunks, groups, run, n_parts), run)


def add_partitions(
    table: Table, task: MomentsRequest, partitions: Partitions, run: CallRunner, n_parts: int = 1
) -> None:
    """Add rows to a table, partitioned by `split_task`."""
    if table.needs_window and not has_window(table):
        table.moments = table.moments._replace(exponent=task.exponent)
    n_rows = int(partitions.starts[-1])
    if n_rows:
        headroom = make_room(table, n_rows) if table.needs_window else 0
        exponent = table.moments.exponent
        task = task._replace(exponent=exponent, headroom=headroom, extremes=table.has_extremes)
        left = _add_partitions(table, task, partitions, n_parts, run)
        table.has_rows = True
        _keep_left(table, left, run)


def _keep_left(table: Table, left: _LeftRows, run: CallRunner) -> None:
    """Keep rows that do not fit the window: in further windows, or a few as integers."""
    while len(left.groups) > FEWEST_LEFT:
        n_left = len(left.groups)
        column = [_Column(left.values.ctypes.data, 0, 0, 0, n_left, left)]
        other = _window_for(table, column, run)
        if other is None:
            break
        left = _add_to_window(other, column, left.groups, run)
        if len(left.groups) > n_left * 7 // 8:
            break
    if len(left.groups):
        moments = table.moments
        integers = left_of_rows(*left, moments.level, run)
        table.moments = moments._replace(left=add_left(moments.left, integers))


class _Column(NamedTuple):
    """Floats in memory, with their layout for kernels."""

    values: int
    value_bit_offset: int
    validity: int
    bit_offset: int
    length: int
    owner: object


def _window_for(table: Table, column: Sequence[ArrowChunk], run: CallRunner) -> Table | None:
    """Return the table with the window that holds most of some floats, a new one if needed.

    None if they are few, or if a table of all groups would take more memory than integers.
    """
    moments, n_rows = table.moments, column[0].length
    task = MomentsRequest(moments.element, 0, moments.level, 0, False, layout.headroom_of(n_rows))
    begins, ends = look(task._replace(element="float64"), split_rows(column, 1), run)
    held = held_by(begins, ends)
    most = int(held.max())
    for other in table.others:
        if held[other.moments.exponent + layout.EXPONENT_BIAS] * 2 > most:
            return other
    is_full = len(table.others) >= MOST_OTHERS
    if is_full or n_rows <= FEW_LEFT or n_rows * 4 < moments.n_groups:
        return None
    table.others.append(new_table("float64", moments.n_groups, moments.level, extremes=False))
    return table.others[-1]


def _add_to_window(
    table: Table,
    chunks: Sequence[ArrowChunk],
    groups: Int32Array,
    run: CallRunner,
    n_parts: int = 1,
) -> _LeftRows:
    """Add rows to a table; return the floats that do not fit its window, which are counted."""
    moments = table.moments
    n_rows = sum(chunk.length for chunk in chunks)
    if n_rows == 0 or moments.n_groups == 0:
        return _LeftRows(np.zeros(0), np.zeros(0, np.int32))
    is_large = is_partitioned(moments.n_groups, moments.level, table.has_extremes)
    is_split = is_large and n_rows >= MIN_ROWS_PARTITIONED
    parts = split_rows(chunks, 1 if is_large and not is_split else n_parts)
    task = _task_of(table, parts, run)
    groups = np.ascontiguousarray(groups, np.int32)
    if is_split:
        shift = PARTITION_SHIFT
        partitions = split_groups(task.element, parts, groups, task.n_groups, shift, run)
        left = _add_partitions(table, task, partitions, n_parts, run)
    else:
        left = _add_parts(table, task, parts, groups, run)
    table.has_rows = True
    return left


def is_partitioned(n_groups: int, level: Level, extremes: bool) -> bool:
    """Return whether the lines of `n_groups` groups are too many for the cache."""
    n_bytes = 8 * layout.LINE_WORDS[level] + (N_EXTREMES_BYTES if extremes else 0)
    return n_groups * n_bytes >= MIN_BYTES_PARTITIONED


def new_task(
    element: str,
    parts: Sequence[Sequence[ChunkRows[ArrowChunk]]],
    n_groups: int,
    level: Level,
    run: CallRunner,
    extremes: bool,
) -> MomentsRequest:
    """Return the task of some rows alone; without floats it has the lowest window."""
    headroom = layout.headroom_of(sum(rows.n for part in parts for rows in part))
    task = MomentsRequest(element, n_groups, level, LOWEST_EXPONENT, extremes, headroom)
    if element.startswith("float") and level > 0:
        begins, ends = look(task, parts, run)
        if begins.any():
            return task._replace(exponent=common_exponent(begins, ends))
    return task


def _task_of(
    table: Table, parts: Sequence[Sequence[ChunkRows[ArrowChunk]]], run: CallRunner
) -> MomentsRequest:
    """Return the task of further rows of a table; the first floats determine its window."""
    moments = table.moments
    n_rows = sum(rows.n for part in parts for rows in part)
    if table.needs_window:
        if not has_window(table):
            task = new_task(moments.element, parts, 0, moments.level, run, False)
            table.moments = moments._replace(exponent=task.exponent)
        headroom = make_room(table, n_rows)
    else:
        headroom = 0
    return MomentsRequest(
        moments.element,
        moments.n_groups,
        moments.level,
        table.moments.exponent,
        table.has_extremes,
        headroom,
    )


def split_task(
    element: str,
    parts: Sequence[Sequence[ChunkRows[ArrowChunk]]],
    groups: Int32Array,
    n_groups: int,
    level: Level,
    run: CallRunner,
    extremes: bool = False,
) -> tuple[MomentsRequest, Partitions]:
    """Return the task, and the rows in partitions; the arguments are like those of `summarize`."""
    groups = np.ascontiguousarray(groups, np.int32)
    task = new_task(element, parts, n_groups, level, run, extremes)
    return task, split_groups(element, parts, groups, n_groups, PARTITION_SHIFT, run)


def _target_in(table: Table, n_rows: int) -> MomentsMemory:
    """Return the memory of a table, as the target for rows."""
    moments = table.moments

    def memory(column: Int64Array) -> Int64Array:
        return column if len(column) else np.zeros(moments.n_groups, np.int64)

    return MomentsMemory(
        moments.lines,
        moments.extremes,
        memory(moments.n_missing),
        memory(moments.n_positive_infinite),
        memory(moments.n_negative_infinite),
        np.empty(n_rows, np.float64),
        np.empty(n_rows, np.int32),
    )


def _stage_of(table: Table, n_rows: int) -> int:
    """Return the stage of these rows: are they a table's first, do they end in a carry."""
    moments = table.moments
    n_added = moments.n_added + 2 * n_rows
    is_carried = n_added > MAX_ADDED or not table.has_rows
    table.moments = moments._replace(n_added=1 if is_carried else n_added)
    first = 0 if table.has_rows else layout.FIRST_CALL
    return first | (layout.LAST_CALL if is_carried else 0)


def _take(table: Table, target: MomentsMemory, state: Int64Array) -> None:
    """Keep the memory that rows were added to, unless it is all zeros."""
    moments = table.moments
    if state[layout.N_MISSING]:
        moments = moments._replace(n_missing=target.missing)
    if state[layout.N_INFINITE]:
        moments = moments._replace(
            n_positive_infinite=target.positive_infinite,
            n_negative_infinite=target.negative_infinite,
        )
    table.moments = moments


def _add_parts(
    table: Table,
    task: MomentsRequest,
    parts: Sequence[Sequence[ChunkRows[ArrowChunk]]],
    groups: Int32Array,
    run: CallRunner,
) -> _LeftRows:
    """Add parts of rows, the first to the table itself."""
    n_rows = [sum(rows.n for rows in part) for part in parts]
    states = np.zeros((len(parts), layout.N_STATE_WORDS), np.int64)
    states[0, layout.N_SINCE] = table.moments.n_added // 2 + 1
    targets = [_target_in(table, n_rows[0]), *(new_target(task, n) for n in n_rows[1:])]
    stages = [_stage_of(table, n_rows[0]), *[layout.FIRST_CALL | layout.LAST_CALL] * len(parts)]
    calls: list[list[KernelRowCall]] = []
    for part, target, state, stage in zip(parts, targets, states, stages, strict=False):
        space = scratch()
        words, owner = words_of(task, target, state, space), (target, states, space)
        calls.append([rows_call(task.element, rows, groups, words, owner) for rows in part])
        calls[-1][0].table[layout.TABLE_STAGE] |= stage & layout.FIRST_CALL
        calls[-1][-1].table[layout.TABLE_STAGE] |= stage & layout.LAST_CALL
    run("rows", calls)
    _take(table, targets[0], states[0])
    for target, state in zip(targets[1:], states[1:], strict=True):
        table.moments = merge(table.moments, _read(task, target, state), into_first=True)
    n_left = states[:, layout.N_LEFT].tolist()
    if len(parts) == 1:
        return _LeftRows(targets[0].left_values[: n_left[0]], targets[0].left_groups[: n_left[0]])
    return _LeftRows(
        np.concatenate([one.left_values[:n] for one, n in zip(targets, n_left, strict=True)]),
        np.concatenate([one.left_groups[:n] for one, n in zip(targets, n_left, strict=True)]),
    )


def _add_partitions(
    table: Table, task: MomentsRequest, partitions: Partitions, n_parts: int, run: CallRunner
) -> _LeftRows:
    starts = partitions.starts
    n_partitions, n_rows = len(starts) - 1, int(starts[-1])
    states = np.zeros((n_partitions, layout.N_STATE_WORDS), np.int64)
    states[:, layout.N_SINCE] = table.moments.n_added // 2 + 1
    target, stage = _target_in(table, n_rows), _stage_of(table, n_rows)
    n_sequences = SEQUENCES_PER_PART * n_parts
    which = range(n_partitions)
    run("rows", partition_calls(task, partitions, which, target, states, n_sequences, stage))
    state = states.sum(axis=0)
    _take(table, target, state)
    return _left_in(partitions, target, states)


def _left_in(partitions: Partitions, target: MomentsMemory, states: Int64Array) -> _LeftRows:
    starts, n_left = partitions.starts, states[:, layout.N_LEFT]
    some = [slice(int(starts[p]), int(starts[p] + n_left[p])) for p in np.flatnonzero(n_left)]
    return _LeftRows(
        np.concatenate([np.zeros(0), *(target.left_values[rows] for rows in some)]),
        np.concatenate([np.zeros(0, np.int32), *(target.left_groups[rows] for rows in some)]),
    )


def summarize_partitions(
    task: MomentsRequest,
    partitions: Partitions,
    which: Sequence[int],
    n_parts: int,
    run: CallRunner,
) -> GroupedMoments:
    """Return the moments of all groups; groups of partitions not in `which` have no rows."""
    states = np.zeros((len(partitions.starts) - 1, layout.N_STATE_WORDS), np.int64)
    target = new_target(task, int(partitions.starts[-1]))
    n_sequences = SEQUENCES_PER_PART * n_parts
    run("rows", partition_calls(task, partitions, which, target, states, n_sequences))
    left = _left_in(partitions, target, states)
    moments = _read(task, target, states.sum(axis=0))
    if len(left.groups):
        return moments._replace(left=left_of_rows(*left, task.level, run))
    return moments


def _read(task: MomentsRequest, target: MomentsMemory, state: Int64Array) -> GroupedMoments:
    """Return the moments of rows, without the values that do not fit the window."""
    infinite = bool(state[layout.N_INFINITE])
    return GroupedMoments(
        task.element,
        task.level,
        task.exponent,
        1,
        target.lines,
        target.missing if state[layout.N_MISSING] else NONE,
        target.positive_infinite if infinite else NONE,
        target.negative_infinite if infinite else NONE,
        target.extremes,
        no_left(),
    )
