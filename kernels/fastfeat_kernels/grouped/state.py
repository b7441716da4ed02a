"""Moments of groups as arrays: merging, subtracting, selecting groups, reading as integers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fastfeat_kernels.arrays import Int64Array
from fastfeat_kernels.grouped import layout
from fastfeat_kernels.grouped.layout import NO_MAX_KEY, NO_MIN_KEY
from fastfeat_kernels.grouped.lines import align_lines, integers_of
from fastfeat_kernels.grouped.wide import (
    Integers,
    Left,
    add_left,
    negated,
    no_left,
    scaled,
    take_left,
)
from fastfeat_kernels.moments.state import (
    NO_ROW,
    Level,
    Moments,
    scale_of,
)

MAX_ADDED = 1 << 20  # carried limbs are below 2**41
LOWEST_EXPONENT = -layout.EXPONENT_BIAS


class GroupedMoments(NamedTuple):
    """Moments of each group of rows, in exact integers.

    An empty array stands for zeros or, for the extremes, for unknown values.

    Args:
        element: Type of the values, of `column.ELEMENTS`.
        level: 0 has neither sum, 1 no sum of squares.
        exponent: Exponent of the window of floats.
        n_added: Number of carried lines added into each line, which bounds its limbs.
        lines: Shape (n_groups, `layout.LINE_WORDS[level]`): counts of values and limbs.
        n_missing: Shape (n_groups,) or (0,): rows without a value.
        n_positive_infinite: Shape (n_groups,) or (0,): +inf values.
        n_negative_infinite: Shape (n_groups,) or (0,): -inf values.
        extremes: Shape (n_groups, 2) or (0, 2): `column.key_of` the minimum and the maximum;
            NO_MIN_KEY and NO_MAX_KEY without values.
        left: Parts of the sums that the window does not hold.
    """

    element: str
    level: Level
    exponent: int
    n_added: int
    lines: Int64Array
    n_missing: Int64Array
    n_positive_infinite: Int64Array
    n_negative_infinite: Int64Array
    extremes: Int64Array
    left: Left

    @property
    def n_groups(self) -> int:
        """Return the number of groups."""
        return len(self.lines)


NONE = np.zeros(0, np.int64)
NO_EXTREMES = np.zeros((0, 2), np.int64)


def no_moments(element: str, n_groups: int, level: Level, extremes: bool = True) -> GroupedMoments:
    """Return the moments of no rows: the neutral element of `merge`."""
    lines = np.zeros((n_groups, layout.LINE_WORDS[level]), np.int64)
    keys = _no_keys(n_groups) if extremes else NO_EXTREMES
    return GroupedMoments(
        element, level, LOWEST_EXPONENT, 1, lines, NONE, NONE, NONE, keys, no_left()
    )


def merge(a: GroupedMoments, b: GroupedMoments, into_first: bool = False) -> GroupedMoments:
    """Return the moments of the rows of both, group by group.

    With `into_first` the memory of the first may be reused.
    """
    a, b = _alike(a, b)
    extremes = NO_EXTREMES
    if len(a.extremes) and len(b.extremes):
        extremes = np.empty_like(a.extremes)
        np.minimum(a.extremes[:, 0], b.extremes[:, 0], out=extremes[:, 0])
        np.maximum(a.extremes[:, 1], b.extremes[:, 1], out=extremes[:, 1])
    return a._replace(
        n_added=a.n_added + b.n_added,
        lines=np.add(a.lines, b.lines, out=a.lines if into_first else None),
        n_missing=_added(a.n_missing, b.n_missing),
        n_positive_infinite=_added(a.n_positive_infinite, b.n_positive_infinite),
        n_negative_infinite=_added(a.n_negative_infinite, b.n_negative_infinite),
        extremes=extremes,
        left=add_left(a.left, b.left),
    )


def subtract(a: GroupedMoments, b: GroupedMoments) -> GroupedMoments:
    """Return the moments of the rows of a without the rows of b, which must all be in a.

    The extremes of the result are unknown.
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
    """Return groups by number, in any order and any number of times; -1 is a group without rows."""
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


def part(moments: GroupedMoments, first: int, end: int) -> GroupedMoments:
    """Return the groups [first, end), in the same memory."""
    rows, (groups, sums, squares) = slice(first, end), moments.left
    kept = (groups >= first) & (groups < end)
    return moments._replace(
        lines=moments.lines[rows],
        n_missing=moments.n_missing[rows],
        n_positive_infinite=moments.n_positive_infinite[rows],
        n_negative_infinite=moments.n_negative_infinite[rows],
        extremes=moments.extremes[rows],
        left=Left(groups[kept] - first, sums[kept], squares[kept]),
    )


def sum_over_keys(moments: GroupedMoments, n_folds: int) -> GroupedMoments:
    """Return the moments of folds, from cells: group fold * n_keys + key; without extremes."""
    n_keys = moments.n_groups // n_folds
    moments = _carried_for(moments, MAX_ADDED)
    lines = moments.lines.reshape(n_folds, n_keys, -1)
    sums = [lines[:, k : k + MAX_ADDED].sum(axis=1) for k in range(0, n_keys, MAX_ADDED)]
    carried = [align_lines(one, moments.level, 0)[0] for one in sums]
    groups, *left = moments.left
    return moments._replace(
        n_added=max(len(carried), 1),
        lines=np.sum(carried, axis=0, dtype=np.int64) if carried else lines.sum(axis=1),
        n_missing=_summed(moments.n_missing, n_folds),
        n_positive_infinite=_summed(moments.n_positive_infinite, n_folds),
        n_negative_infinite=_summed(moments.n_negative_infinite, n_folds),
        extremes=NO_EXTREMES,
        left=add_left(Left(groups // max(n_keys, 1), *left), no_left()),
    )


def sum_over_folds(moments: GroupedMoments, n_folds: int) -> GroupedMoments:
    """Return the moments of keys, from cells: group fold * n_keys + key."""
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


def outside_folds(
    moments: GroupedMoments, total: GroupedMoments, n_folds: int
) -> Iterator[GroupedMoments]:
    """Yield for each fold the moments of the keys in all other folds.

    The groups of `moments` are cells: fold * n_keys + key. `total` is the result of
    `sum_over_folds`.
    """
    n_keys = total.n_groups
    for fold in range(n_folds):
        yield subtract(total, part(moments, fold * n_keys, (fold + 1) * n_keys))


def counts_of(moments: GroupedMoments) -> Int64Array:
    """Return the number of values in each group, infinities included."""
    return moments.lines[:, layout.COUNT].copy()


def n_rows_of(moments: GroupedMoments) -> Int64Array:
    """Return the number of rows in each group, with or without a value."""
    return _added(counts_of(moments), moments.n_missing)


def moments_of(moments: GroupedMoments, group: int) -> Moments:
    """Return the moments of one group as a column's moments, without a first infinity."""
    return all_moments_of(moments, np.array([group]))[0]


def all_moments_of(moments: GroupedMoments, groups: npt.NDArray[Any]) -> list[Moments]:
    """Return the moments of some groups, each as a column's moments."""
    scale = scale_of(moments.element)
    lines = moments.lines[groups]
    left = take_left(moments.left, groups.astype(np.int64))
    sums = [[0] * len(groups), [0] * len(groups)]
    units = layout.units_of(moments.element, moments.exponent)
    for power, exact in enumerate(integers_of(lines, moments.level)):
        n_bits = units[power] + (power + 1) * scale
        total = exact << n_bits if n_bits >= 0 else exact >> -n_bits
        total[left.groups] += (left.sums, left.squares)[power]
        sums[power] = total.tolist()
    infinite = moments.n_positive_infinite, moments.n_negative_infinite
    counts = lines[:, layout.COUNT]
    keys = moments.extremes[groups] if len(moments.extremes) else _no_keys(len(groups))
    columns = (
        (counts + _at(moments.n_missing, groups)).tolist(),
        counts.tolist(),
        *(_at(x, groups).tolist() for x in infinite),
        [NO_ROW] * len(groups),
        *keys.T.tolist(),
        *sums,
        [scale] * len(groups),
    )
    return [Moments(*row) for row in zip(*columns, strict=True)]


def _no_keys(n_groups: int) -> Int64Array:
    keys = np.empty((n_groups, 2), np.int64)
    keys[:] = NO_MIN_KEY, NO_MAX_KEY
    return keys


def _alike(a: GroupedMoments, b: GroupedMoments) -> tuple[GroupedMoments, GroupedMoments]:
    """Return both moments with one window, and limbs that can be added."""
    if (a.element, a.level, a.n_groups) != (b.element, b.level, b.n_groups):
        raise ValueError("cannot merge moments of different groups, types or levels")
    exponent = max(a.exponent, b.exponent)
    a, b = aligned(a, exponent), aligned(b, exponent)
    if a.n_added + b.n_added > MAX_ADDED:
        return _carried_for(a, MAX_ADDED), _carried_for(b, MAX_ADDED)
    return a, b


def aligned(moments: GroupedMoments, exponent: int) -> GroupedMoments:
    """Return the moments in a window at least as high; bits that fall out are left over."""
    if moments.exponent == exponent:
        return moments
    if not moments.element.startswith("float") or not moments.lines[:, 1:].any():
        return moments._replace(exponent=exponent)
    lines, fallen = align_lines(moments.lines, moments.level, exponent - moments.exponent)
    groups = np.unique(np.concatenate([np.flatnonzero(low) for low in fallen]))
    left = add_left(moments.left, _left_of(moments, groups, [low[groups] for low in fallen]))
    return moments._replace(exponent=exponent, n_added=1, lines=lines, left=left)


def left_of_lines(moments: GroupedMoments, groups: Int64Array) -> Left:
    """Return the sums of some groups' lines, in the order of `groups`, as integers of any width."""
    return _left_of(moments, groups, integers_of(moments.lines[groups], moments.level))


def _left_of(moments: GroupedMoments, groups: Int64Array, sums: Sequence[Integers]) -> Left:
    """Return sums in units of a window's lowest bit as integers of any width."""
    units = layout.units_of(moments.element, moments.exponent)
    scale, found = scale_of(moments.element), list[Any]()
    for power, (low, unit) in enumerate(zip(sums, units, strict=False), 1):
        values: list[int] = low.tolist()
        found.append(np.array([scaled(x, unit + power * scale) for x in values], object))
    zeros = np.zeros(len(groups), object)
    total, squares = [*found, zeros][:2]
    return Left(groups.astype(np.int64), total, squares)


def carried(moments: GroupedMoments) -> GroupedMoments:
    """Return the moments with contiguous lines and limbs below 2**61."""
    moments = _carried_for(moments, 1)
    return moments._replace(lines=np.ascontiguousarray(moments.lines))


def _carried_for(moments: GroupedMoments, n: int) -> GroupedMoments:
    """Return the moments with limbs small enough to add `n` of them."""
    if moments.n_added * n <= MAX_ADDED:
        return moments
    return moments._replace(n_added=1, lines=align_lines(moments.lines, moments.level, 0)[0])


def _added(a: Int64Array, b: Int64Array) -> Int64Array:
    if len(a) and len(b):
        return a + b
    return a if len(a) else b


def _taken(array: Int64Array, indices: Int64Array, absent: npt.NDArray[np.bool_]) -> Int64Array:
    if len(array) == 0:
        return np.zeros((len(indices), *array.shape[1:]), array.dtype)
    found = array[indices]
    found[absent] = 0
    return found


def _taken_or_none(
    array: Int64Array, indices: Int64Array, absent: npt.NDArray[np.bool_]
) -> Int64Array:
    return _taken(array, indices, absent) if len(array) else NONE


def _folded(array: Int64Array, n_folds: int) -> Int64Array:
    return array.reshape(n_folds, -1).sum(axis=0) if len(array) else NONE


def _summed(array: Int64Array, n_folds: int) -> Int64Array:
    return array.reshape(n_folds, -1).sum(axis=1) if len(array) else NONE


def _at(array: Int64Array, groups: npt.NDArray[Any]) -> Int64Array:
    return array[groups] if len(array) else np.zeros(len(groups), np.int64)
