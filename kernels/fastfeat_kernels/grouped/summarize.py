"""Moments of the groups of a column: the kernel over chunks and threads.

Few groups: every part of the rows has lines of its own, which are merged. Many: the rows are first
sorted into partitions, whose lines stay in the cache, and no two calls add to the same line.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from fastfeat_kernels.column import ELEMENTS, Call, Chunk, Rows, Run, split_rows
from fastfeat_kernels.grouped import layout
from fastfeat_kernels.grouped.state import (
    LOWEST_EXPONENT,
    NO_EXTREMES,
    NONE,
    GroupedMoments,
    merge,
    no_moments,
)
from fastfeat_kernels.grouped.tables import (
    SEQUENCES_PER_PART,
    Groups,
    Partitions,
    Words,
    aligned_zeros,
    column_table,
    rows_call,
    scratch,
    split_groups,
)
from fastfeat_kernels.grouped.wide import left_of_rows, no_left
from fastfeat_kernels.moments.state import Level

MIN_BYTES_PARTITIONED = 8 << 20  # of lines; 180,000 groups: 11 ns a row and core, 13 directly
N_EXTREMES_BYTES = 64  # extremes of a group cost as much as a line of it
PARTITION_SHIFT = 13  # a partition of 2**13 groups has 512 kB of lines
MAX_HEADROOM = 8  # bits above the greatest magnitude that was looked at


def summarize(
    element: str,
    chunks: Sequence[Chunk],
    groups: Groups,
    n_groups: int,
    level: Level,
    run: Run,
    n_parts: int = 1,
    extremes: bool = True,
) -> GroupedMoments:
    """Return the moments of the groups of a column.

    Args:
        element: type of the values, of `column.ELEMENTS`.
        chunks: the column.
        groups: shape (n_rows,): number of the group of each row, in [0, n_groups); negative where
            a row is in none.
        n_groups: how many groups there are.
        level: 0 computes neither sum, 1 no sum of squares, 2 everything.
        run: runs sequences of calls of `cpu.ENTRIES`.
        n_parts: into how many runs of rows to divide the work; the result does not depend on it.
        extremes: whether to find the least and greatest value.
    """
    parts = split_rows(chunks, n_parts)
    if not parts:
        return no_moments(element, n_groups, level, extremes)
    if is_partitioned(n_groups, level, extremes):
        task, partitions = split_task(element, parts, groups, n_groups, level, run, extremes)
        which = range(len(partitions.starts) - 1)
        return summarize_partitions(task, partitions, which, n_parts, run)
    task = _new_task(element, parts, n_groups, level, run, extremes)
    return _summarize_parts(task, parts, np.ascontiguousarray(groups, np.int32), run)


class Task(NamedTuple):
    """A request for the moments of groups."""

    element: str
    n_groups: int
    level: Level
    exponent: int
    extremes: bool
    headroom: int


def is_partitioned(n_groups: int, level: Level, extremes: bool) -> bool:
    """Return whether the lines of so many groups are too many for the cache."""
    n_bytes = 8 * layout.LINE_WORDS[level] + (N_EXTREMES_BYTES if extremes else 0)
    return n_groups * n_bytes >= MIN_BYTES_PARTITIONED


def _new_task(
    element: str,
    parts: Sequence[Sequence[Rows[Chunk]]],
    n_groups: int,
    level: Level,
    run: Run,
    extremes: bool,
) -> Task:
    exponent = LOWEST_EXPONENT
    headroom = layout.headroom_of(sum(rows.n for part in parts for rows in part))
    if element.startswith("float") and level > 0:
        exponent = _look(element, level, parts, headroom, run)
    return Task(element, n_groups, level, exponent, extremes, headroom)


def split_task(
    element: str,
    parts: Sequence[Sequence[Rows[Chunk]]],
    groups: Groups,
    n_groups: int,
    level: Level,
    run: Run,
    extremes: bool = False,
) -> tuple[Task, Partitions]:
    """Return the task, and the rows in partitions; the arguments are of `summarize`."""
    groups = np.ascontiguousarray(groups, np.int32)
    task = _new_task(element, parts, n_groups, level, run, extremes)
    return task, split_groups(element, parts, groups, n_groups, PARTITION_SHIFT, run)


class Target(NamedTuple):
    """Memory that calls add to."""

    lines: Words
    extremes: Words
    missing: Words
    positive_infinite: Words
    negative_infinite: Words
    left_values: npt.NDArray[np.float64]
    left_groups: Groups


def new_target(task: Task, n_rows: int) -> Target:
    """Return memory; what is never touched costs nothing."""
    n_groups = task.n_groups
    return Target(
        aligned_zeros(n_groups, layout.LINE_WORDS[task.level]),
        np.empty((n_groups, 2), np.int64) if task.extremes else NO_EXTREMES,
        np.zeros(n_groups, np.int64),
        np.zeros(n_groups, np.int64),
        np.zeros(n_groups, np.int64),
        np.empty(n_rows, np.float64),
        np.empty(n_rows, np.int32),
    )


def _words_of(task: Task, target: Target, state: Words, space: Words) -> dict[int, int]:
    """Return the words of a table that say what to add to."""
    return {
        layout.TABLE_STATE: state.ctypes.data,
        layout.TABLE_LEVEL: task.level,
        layout.TABLE_EXPONENT: task.exponent,
        layout.TABLE_HEADROOM: task.headroom,
        layout.TABLE_LINES: target.lines.ctypes.data,
        layout.TABLE_EXTREMES: target.extremes.ctypes.data if task.extremes else 0,
        layout.TABLE_MISSING: target.missing.ctypes.data,
        layout.TABLE_POSITIVE_INFINITE: target.positive_infinite.ctypes.data,
        layout.TABLE_NEGATIVE_INFINITE: target.negative_infinite.ctypes.data,
        layout.TABLE_LEFT_VALUES: target.left_values.ctypes.data,
        layout.TABLE_LEFT_GROUPS: target.left_groups.ctypes.data,
        layout.TABLE_N_GROUPS: task.n_groups,
        layout.TABLE_SCRATCH: space.ctypes.data,
    }


def _summarize_parts(
    task: Task, parts: Sequence[Sequence[Rows[Chunk]]], groups: Groups, run: Run
) -> GroupedMoments:
    states = np.zeros((len(parts), layout.N_STATE_WORDS), np.int64)
    targets = [new_target(task, sum(rows.n for rows in part)) for part in parts]
    calls: list[list[Call]] = []
    for part, target, state in zip(parts, targets, states, strict=True):
        space = scratch()
        words, owner = _words_of(task, target, state, space), (target, states, space)
        calls.append([rows_call(task.element, rows, groups, words, owner) for rows in part])
        calls[-1][0].table[layout.TABLE_STAGE] |= layout.FIRST_CALL
        calls[-1][-1].table[layout.TABLE_STAGE] |= layout.LAST_CALL
    run("rows", calls)
    found: list[GroupedMoments] = []
    for target, state in zip(targets, states, strict=True):
        n_left = int(state[layout.N_LEFT])
        left = target.left_values[:n_left], target.left_groups[:n_left]
        found.append(_read(task, target, state, *left, run))
    return reduce(merge, found)


def partition_calls(
    task: Task, partitions: Partitions, which: Sequence[int], target: Target, states: Words, n: int
) -> list[list[Call]]:
    """Return n sequences of calls, one call for each partition."""
    starts, size = partitions.starts, 1 << partitions.shift
    calls: list[list[Call]] = []
    for k in range(min(len(which), n)):
        space = scratch()
        common = np.zeros(layout.N_TABLE_WORDS, np.int64)
        for place, word in _words_of(task, target, states[0], space).items():
            common[place] = word
        common[layout.TABLE_VALUES] = partitions.values.ctypes.data
        common[layout.TABLE_ELEMENT] = ELEMENTS.index(partitions.element)
        common[layout.TABLE_GROUPS] = partitions.groups.ctypes.data
        common[layout.TABLE_MARKED] = 1
        common[layout.TABLE_STAGE] = layout.FIRST_CALL | layout.LAST_CALL
        calls.append([])
        for p in which[k::n]:
            first, table = int(starts[p]), common.copy()
            table[layout.TABLE_STATE] = states[p].ctypes.data
            table[layout.TABLE_FIRST_GROUP] = p * size
            table[layout.TABLE_N_GROUPS] = min(size, task.n_groups - p * size)
            table[layout.TABLE_LEFT_VALUES] += 8 * first
            table[layout.TABLE_LEFT_GROUPS] += 4 * first
            owners = (partitions, target, states, space)
            calls[-1].append(Call(table, first, int(starts[p + 1]) - first, owners))
    return calls


def summarize_partitions(
    task: Task, partitions: Partitions, which: Sequence[int], n_parts: int, run: Run
) -> GroupedMoments:
    """Return the moments of all groups, those of other partitions as of no rows."""
    starts = partitions.starts
    n_partitions = len(starts) - 1
    states = np.zeros((n_partitions, layout.N_STATE_WORDS), np.int64)
    target = new_target(task, int(starts[-1]))
    n_sequences = SEQUENCES_PER_PART * n_parts
    run("rows", partition_calls(task, partitions, which, target, states, n_sequences))
    n_left = states[:, layout.N_LEFT]
    some = [slice(int(starts[p]), int(starts[p] + n_left[p])) for p in np.flatnonzero(n_left)]
    values = np.concatenate([np.zeros(0), *(target.left_values[rows] for rows in some)])
    numbers = np.concatenate([np.zeros(0, np.int32), *(target.left_groups[rows] for rows in some)])
    return _read(task, target, states.sum(axis=0), values, numbers, run)


def _read(
    task: Task,
    target: Target,
    state: Words,
    left_values: npt.NDArray[np.float64],
    left_groups: Groups,
    run: Run,
) -> GroupedMoments:
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
        left_of_rows(left_values, left_groups, task.level, run) if len(left_values) else no_left(),
    )


def _look(
    element: str,
    level: Level,
    parts: Sequence[Sequence[Rows[Chunk]]],
    headroom: int,
    run: Run,
) -> int:
    """Return the exponent of the window, from some of the blocks."""
    counters = np.zeros((len(parts), 2, layout.N_EXPONENTS), np.int64)
    calls: list[list[Call]] = []
    for part, own in zip(parts, counters, strict=True):
        space = scratch()
        calls.append([])
        for rows in part:
            table = column_table(element, rows.chunk)
            table[layout.TABLE_LEVEL] = level
            table[layout.TABLE_EXPONENTS] = own.ctypes.data
            table[layout.TABLE_HEADROOM] = headroom
            table[layout.TABLE_SCRATCH] = space.ctypes.data
            calls[-1].append(Call(table, rows.first, rows.n, (rows.chunk, counters, space)))
    run("look", calls)
    begins, ends = counters.sum(axis=0)
    return best_exponent(begins, ends)


def best_exponent(begins: Words, ends: Words) -> int:
    """Return the exponent whose window holds most floats; of several, the middle, or less.

    Args:
        begins: how many floats a window of each biased exponent is the first to hold.
        ends: how many it is the last to hold.
    """
    held = np.cumsum(begins) - np.cumsum(ends) + ends
    first = int(np.argmax(held))
    last = int(np.flatnonzero(held == held[first])[-1])
    return min((first + last) // 2, first + MAX_HEADROOM) - layout.EXPONENT_BIAS
