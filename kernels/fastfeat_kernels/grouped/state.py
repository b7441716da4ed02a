"""Moments of groups: found by the kernel over chunks and threads, merged, subtracted, taken."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fastfeat_kernels.column import ELEMENTS, Call, Chunk, Rows, Run, split_rows
from fastfeat_kernels.grouped import layout
from fastfeat_kernels.grouped.lines import align_lines, integers_of
from fastfeat_kernels.grouped.wide import (
    Left,
    add_left,
    left_of_rows,
    negated,
    no_left,
    scaled,
    take_left,
)
from fastfeat_kernels.moments.state import (
    NO_MAX_KEY,
    NO_MIN_KEY,
    NO_ROW,
    Level,
    Moments,
    scale_of,
)

Words = npt.NDArray[np.int64]
Groups = npt.NDArray[np.int32]

MAX_ADDED = 1 << 20  # carried limbs are below 2**41
LOWEST_EXPONENT = -layout.EXPONENT_BIAS
OUTLIER_BITS = 12  # a few blocks so far above all others do not set the window


class GroupedMoments(NamedTuple):
    """What is known of each group of rows, in exact integers.

    An array of no elements stands for zeros, or, of the keys, for what is not known.

    Args:
        element: type of the values, of `column.ELEMENTS`.
        level: 0 has neither sum, 1 no sum of squares.
        exponent: of the window of floats.
        n_added: how many carried lines add up to each line, so how far its limbs reach.
        lines: shape (n_groups, `layout.LINE_WORDS[level]`): counts of values and limbs.
        n_missing: shape (n_groups,) or (0,): rows without a value.
        n_positive_infinite: shape (n_groups,) or (0,): values +inf.
        n_negative_infinite: shape (n_groups,) or (0,): values -inf.
        extremes: shape (n_groups, 2) or (0, 2): `column.key_of` the least and the greatest value;
            NO_MIN_KEY and NO_MAX_KEY if there is none.
        left: what the window does not hold of the sums.
    """

    element: str
    level: Level
    exponent: int
    n_added: int
    lines: Words
    n_missing: Words
    n_positive_infinite: Words
    n_negative_infinite: Words
    extremes: Words
    left: Left

    @property
    def n_groups(self) -> int:
        """Return the number of groups."""
        return len(self.lines)


NONE = np.zeros(0, np.int64)
NO_EXTREMES = np.zeros((0, 2), np.int64)


def no_moments(element: str, n_groups: int, level: Level, extremes: bool = True) -> GroupedMoments:
    """Return the moments of no rows: what changes nothing when merged."""
    lines = np.zeros((n_groups, layout.LINE_WORDS[level]), np.int64)
    keys = _no_keys(n_groups) if extremes else NO_EXTREMES
    return GroupedMoments(
        element, level, LOWEST_EXPONENT, 1, lines, NONE, NONE, NONE, keys, no_left()
    )


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
    groups = np.ascontiguousarray(groups, np.int32)
    parts = split_rows(chunks, n_parts)
    exponent = LOWEST_EXPONENT
    if element.startswith("float") and level > 0:
        exponent = _look(element, parts, run)
    targets = [
        _new_target(n_groups, level, extremes, sum(rows.n for rows in part)) for part in parts
    ]
    calls = [
        [_call(element, rows, groups, target, level, exponent) for rows in part]
        for part, target in zip(parts, targets, strict=True)
    ]
    run("rows", calls)
    tables = [calls_of_part[0] for calls_of_part in calls]
    run("normalize", [[Call(call.table, 0, n_groups, call.owners)] for call in tables])
    found = [_read(element, level, exponent, target) for target in targets]
    return reduce(merge, found) if found else no_moments(element, n_groups, level, extremes)


def merge(a: GroupedMoments, b: GroupedMoments) -> GroupedMoments:
    """Return the moments of the rows of both, group by group."""
    a, b = _alike(a, b)
    extremes = NO_EXTREMES
    if len(a.extremes) and len(b.extremes):
        extremes = np.empty_like(a.extremes)
        np.minimum(a.extremes[:, 0], b.extremes[:, 0], out=extremes[:, 0])
        np.maximum(a.extremes[:, 1], b.extremes[:, 1], out=extremes[:, 1])
    return a._replace(
        n_added=a.n_added + b.n_added,
        lines=a.lines + b.lines,
        n_missing=_added(a.n_missing, b.n_missing),
        n_positive_infinite=_added(a.n_positive_infinite, b.n_positive_infinite),
        n_negative_infinite=_added(a.n_negative_infinite, b.n_negative_infinite),
        extremes=extremes,
        left=add_left(a.left, b.left),
    )


def subtract(a: GroupedMoments, b: GroupedMoments) -> GroupedMoments:
    """Return the moments of the rows of a that are not among those of b, which are all in a.

    Least and greatest values are not known then.
    """
    a, b = _alike(a, b)
    return a._replace(
        n_added=a.n_added + b.n_added,
        lines=a.lines - b.lines,
        n_missing=_added(a.n_missing, -b.n_missing),
        n_positive_infinite=_added(a.n_positive_infinite, -b.n_positive_infinite),
        n_negative_infinite=_added(a.n_negative_infinite, -b.n_negative_infinite),
        extremes=NO_EXTREMES,
        left=add_left(a.left, negated(b.left)),
    )


def take(moments: GroupedMoments, indices: npt.NDArray[Any]) -> GroupedMoments:
    """Return groups by number, in any order and any number of times; -1 is a group of no rows."""
    indices = np.ascontiguousarray(indices, np.int64)
    absent = indices < 0
    extremes = NO_EXTREMES
    if len(moments.extremes) or moments.n_groups == 0:
        extremes = _taken(moments.extremes, indices, absent)
        extremes[absent] = NO_MIN_KEY, NO_MAX_KEY
    return moments._replace(
        lines=_taken(moments.lines, indices, absent),
        n_missing=_taken_or_none(moments.n_missing, indices, absent),
        n_positive_infinite=_taken_or_none(moments.n_positive_infinite, indices, absent),
        n_negative_infinite=_taken_or_none(moments.n_negative_infinite, indices, absent),
        extremes=extremes,
        left=take_left(moments.left, indices),
    )


def sum_over_folds(moments: GroupedMoments, n_folds: int) -> GroupedMoments:
    """Return the moments of keys, from those of cells: group fold * n_keys + key."""
    n_keys = moments.n_groups // n_folds
    extremes = NO_EXTREMES
    if len(moments.extremes):
        keys = moments.extremes.reshape(n_folds, n_keys, 2)
        extremes = np.stack([keys[:, :, 0].min(axis=0), keys[:, :, 1].max(axis=0)], axis=1)
    moments = _carried_for(moments, n_folds)
    groups, sums, squares = moments.left
    return moments._replace(
        n_added=moments.n_added * n_folds,
        lines=moments.lines.reshape(n_folds, n_keys, -1).sum(axis=0),
        n_missing=_folded(moments.n_missing, n_folds),
        n_positive_infinite=_folded(moments.n_positive_infinite, n_folds),
        n_negative_infinite=_folded(moments.n_negative_infinite, n_folds),
        extremes=extremes,
        left=add_left(Left(groups % max(n_keys, 1), sums, squares), no_left()),
    )


def outside_folds(moments: GroupedMoments, n_folds: int) -> GroupedMoments:
    """Return for each cell, group fold * n_keys + key, the moments of its key in other folds."""
    total = sum_over_folds(moments, n_folds)
    return subtract(take(total, np.tile(np.arange(total.n_groups), n_folds)), moments)


def counts_of(moments: GroupedMoments) -> Words:
    """Return the number of values of each group, infinities included."""
    return moments.lines[:, layout.COUNT].copy()


def n_rows_of(moments: GroupedMoments) -> Words:
    """Return the number of rows of each group, with or without a value."""
    return _added(counts_of(moments), moments.n_missing)


def moments_of(moments: GroupedMoments, group: int) -> Moments:
    """Return what is known of one group as if it were a column; the first infinity is not known."""
    scale = scale_of(moments.element)
    line = moments.lines[group : group + 1]
    exact = integers_of(line, moments.level)
    units = layout.units_of(moments.element, moments.exponent)
    sums = [
        scaled(int(total[0]), unit + power * scale)
        for power, (total, unit) in enumerate(zip(exact, units, strict=False), 1)
    ]
    total, squares = [*sums, 0, 0][:2]
    at = int(np.searchsorted(moments.left.groups, group))
    if at < len(moments.left.groups) and moments.left.groups[at] == group:
        total += moments.left.sums[at]
        squares += moments.left.squares[at]
    count = int(line[0, layout.COUNT])
    keys = moments.extremes[group] if len(moments.extremes) else (NO_MIN_KEY, NO_MAX_KEY)
    return Moments(
        count + _at(moments.n_missing, group),
        count,
        _at(moments.n_positive_infinite, group),
        _at(moments.n_negative_infinite, group),
        NO_ROW,
        int(keys[0]),
        int(keys[1]),
        total,
        squares,
        scale,
    )


class _Target(NamedTuple):
    """Memory that the calls of one part add to."""

    state: Words
    lines: Words
    extremes: Words
    missing: Words
    positive_infinite: Words
    negative_infinite: Words
    left_values: npt.NDArray[np.float64]
    left_groups: Groups
    scratch: Words


def _new_target(n_groups: int, level: Level, extremes: bool, n_rows: int) -> _Target:
    """Return memory without anything in it; what is never touched costs nothing."""
    return _Target(
        np.zeros(layout.N_STATE_WORDS, np.int64),
        np.zeros((n_groups, layout.LINE_WORDS[level]), np.int64),
        _no_keys(n_groups) if extremes else NO_EXTREMES,
        np.zeros(n_groups, np.int64),
        np.zeros(n_groups, np.int64),
        np.zeros(n_groups, np.int64),
        np.empty(n_rows, np.float64),
        np.empty(n_rows, np.int32),
        np.empty(layout.N_SCRATCH_WORDS, np.int64),
    )


def _no_keys(n_groups: int) -> Words:
    keys = np.empty((n_groups, 2), np.int64)
    keys[:] = NO_MIN_KEY, NO_MAX_KEY
    return keys


def column_table(element: str, chunk: Chunk) -> Words:
    """Return a table of a column, which must outlive it, and of nothing else."""
    table = np.zeros(layout.N_TABLE_WORDS, np.int64)
    table[layout.TABLE_VALUES] = chunk.values
    table[layout.TABLE_VALUE_BIT_OFFSET] = chunk.value_bit_offset
    table[layout.TABLE_VALIDITY] = chunk.validity
    table[layout.TABLE_BIT_OFFSET] = chunk.bit_offset
    table[layout.TABLE_ELEMENT] = ELEMENTS.index(element)
    return table


def _call(
    element: str, rows: Rows, groups: Groups, target: _Target, level: Level, exponent: int
) -> Call:
    table = column_table(element, rows.chunk)
    table[layout.TABLE_GROUPS] = groups.ctypes.data + 4 * rows.chunk_start
    table[layout.TABLE_STATE] = target.state.ctypes.data
    table[layout.TABLE_LEVEL] = level
    table[layout.TABLE_EXPONENT] = exponent
    table[layout.TABLE_LINES] = target.lines.ctypes.data
    table[layout.TABLE_EXTREMES] = target.extremes.ctypes.data if len(target.extremes) else 0
    table[layout.TABLE_MISSING] = target.missing.ctypes.data
    table[layout.TABLE_POSITIVE_INFINITE] = target.positive_infinite.ctypes.data
    table[layout.TABLE_NEGATIVE_INFINITE] = target.negative_infinite.ctypes.data
    table[layout.TABLE_LEFT_VALUES] = target.left_values.ctypes.data
    table[layout.TABLE_LEFT_GROUPS] = target.left_groups.ctypes.data
    table[layout.TABLE_N_GROUPS] = len(target.lines)
    table[layout.TABLE_SCRATCH] = target.scratch.ctypes.data
    return Call(table, rows.first, rows.n, (rows.chunk, groups, target))


def _look(element: str, parts: Sequence[Sequence[Rows]], run: Run) -> int:
    """Return the exponent of the window, from the greatest magnitude of each block of rows."""
    counters = np.zeros((len(parts), layout.N_EXPONENTS), np.int64)
    scratch = np.empty((len(parts), layout.N_SCRATCH_WORDS), np.int64)
    calls: list[list[Call]] = []
    for k, part in enumerate(parts):
        calls.append([])
        for rows in part:
            table = column_table(element, rows.chunk)
            table[layout.TABLE_EXPONENTS] = counters[k].ctypes.data
            table[layout.TABLE_SCRATCH] = scratch[k].ctypes.data
            calls[-1].append(Call(table, rows.first, rows.n, (rows.chunk, counters, scratch)))
    run("look", calls)
    return _exponent_of(counters.sum(axis=0))


def _exponent_of(counters: Words) -> int:
    """Return the greatest exponent, or one that all but a sixty-fourth of the blocks stay below."""
    found = np.flatnonzero(counters)
    if len(found) == 0:
        return LOWEST_EXPONENT
    highest = int(found[-1])
    below = np.cumsum(counters)
    typical = int(np.searchsorted(below, below[-1] - below[-1] // 64)) + 2
    return (typical if highest - typical > OUTLIER_BITS else highest) - layout.EXPONENT_BIAS


def _read(element: str, level: Level, exponent: int, target: _Target) -> GroupedMoments:
    state = target.state
    n_left = int(state[layout.N_LEFT])
    infinite = bool(state[layout.N_INFINITE])
    return GroupedMoments(
        element,
        level,
        exponent,
        1,
        target.lines,
        target.missing if state[layout.N_MISSING] else NONE,
        target.positive_infinite if infinite else NONE,
        target.negative_infinite if infinite else NONE,
        target.extremes,
        left_of_rows(target.left_values[:n_left], target.left_groups[:n_left], level),
    )


def _alike(a: GroupedMoments, b: GroupedMoments) -> tuple[GroupedMoments, GroupedMoments]:
    """Return both with one window, and limbs that can be added."""
    if (a.element, a.level, a.n_groups) != (b.element, b.level, b.n_groups):
        raise ValueError("moments of different groups, types or levels do not merge")
    exponent = max(a.exponent, b.exponent)
    a, b = _aligned(a, exponent), _aligned(b, exponent)
    if a.n_added + b.n_added > MAX_ADDED:
        return _carried_for(a, MAX_ADDED), _carried_for(b, MAX_ADDED)
    return a, b


def _aligned(moments: GroupedMoments, exponent: int) -> GroupedMoments:
    """Return the moments in a window at least as high; what falls out of it is left over."""
    if moments.exponent == exponent:
        return moments
    if not moments.element.startswith("float") or not moments.lines[:, 1:].any():
        return moments._replace(exponent=exponent)
    lines, fallen = align_lines(moments.lines, moments.level, exponent - moments.exponent)
    groups = np.unique(np.concatenate([np.flatnonzero(low) for low in fallen]))
    units = layout.units_of(moments.element, moments.exponent)
    scale, sums = scale_of(moments.element), list[Any]()
    for power, (low, unit) in enumerate(zip(fallen, units, strict=False), 1):
        values: list[int] = low[groups].tolist()
        sums.append(np.array([scaled(x, unit + power * scale) for x in values], object))
    zeros = np.zeros(len(groups), object)
    total, squares = [*sums, zeros][:2]
    left = add_left(moments.left, Left(groups, total, squares))
    return moments._replace(exponent=exponent, n_added=1, lines=lines, left=left)


def carried(moments: GroupedMoments) -> GroupedMoments:
    """Return the moments with lines in one piece of memory, whose limbs are below 2**61."""
    moments = _carried_for(moments, 1)
    return moments._replace(lines=np.ascontiguousarray(moments.lines))


def _carried_for(moments: GroupedMoments, n: int) -> GroupedMoments:
    """Return the moments with limbs of which n can be added."""
    if moments.n_added * n <= MAX_ADDED:
        return moments
    return moments._replace(n_added=1, lines=align_lines(moments.lines, moments.level, 0)[0])


def _added(a: Words, b: Words) -> Words:
    if len(a) and len(b):
        return a + b
    return a if len(a) else b


def _taken(array: Words, indices: Words, absent: npt.NDArray[np.bool_]) -> Words:
    if len(array) == 0:
        return np.zeros((len(indices), *array.shape[1:]), array.dtype)
    found = array[indices]
    found[absent] = 0
    return found


def _taken_or_none(array: Words, indices: Words, absent: npt.NDArray[np.bool_]) -> Words:
    return _taken(array, indices, absent) if len(array) else NONE


def _folded(array: Words, n_folds: int) -> Words:
    return array.reshape(n_folds, -1).sum(axis=0) if len(array) else NONE


def _at(array: Words, group: int) -> int:
    return int(array[group]) if len(array) else 0
