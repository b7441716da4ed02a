"""Joined tables of groups: the moments of the rows of both, in the memory of one of them."""

from __future__ import annotations

import numpy as np

from fastfeat_kernels.arrays import Int32Array, Int64Array
from fastfeat_kernels.column import CallRunner, KernelRowCall
from fastfeat_kernels.grouped import layout
from fastfeat_kernels.grouped.growing import (
    MOST_OTHERS,
    MOST_REACH,
    Table,
    has_window,
    move_up,
    reach_of,
)
from fastfeat_kernels.grouped.state import NO_EXTREMES, NONE, GroupedMoments, left_of_lines
from fastfeat_kernels.grouped.tables import aligned_zeros
from fastfeat_kernels.grouped.wide import add_left, no_left

MANY_FALLEN = 32  # if one group in so many loses bits in a join, it keeps sums in its own window


def join_tables(a: Table, b: Table, run: CallRunner, n_parts: int = 1) -> Table:
    """Return the table of the rows of both tables, and consume both.

    The tables have the same groups, type and level. `n_parts` is the number of group ranges for the
    work.
    """
    known = [(one.moments.element, one.moments.level, one.has_extremes) for one in (a, b)]
    if known[0] != known[1]:
        raise ValueError("cannot join tables of different types or levels")
    n_groups = max(a.moments.n_groups, b.moments.n_groups)
    for table in (a, b):
        grow(table, n_groups)
    if not (a.has_rows and b.has_rows):
        return a if a.has_rows else b
    target, source = _by_window(a, b)
    others = [*target.others, *source.others]
    target.others = []
    for other in [*others, *_join(target, source, run, n_parts)]:
        _join_other(target, other, run, n_parts)
    return target


def grow(table: Table, n_groups: int) -> None:
    """Grow a table to `n_groups` groups; the new ones have no rows yet."""
    moments = table.moments
    n_more = n_groups - moments.n_groups
    if n_more <= 0:
        return
    lines = aligned_zeros(n_groups, moments.lines.shape[1])
    lines[: moments.n_groups] = moments.lines
    nothing = np.empty((n_more if table.has_extremes else 0, 2), np.int64)
    nothing[:] = layout.NO_MIN_KEY, layout.NO_MAX_KEY
    table.moments = moments._replace(
        lines=lines,
        n_missing=_grown(moments.n_missing, n_more),
        n_positive_infinite=_grown(moments.n_positive_infinite, n_more),
        n_negative_infinite=_grown(moments.n_negative_infinite, n_more),
        extremes=np.concatenate([moments.extremes, nothing]),
    )
    for other in table.others:
        grow(other, n_groups)


def _grown(column: Int64Array, n_more: int) -> Int64Array:
    return np.concatenate([column, np.zeros(n_more, np.int64)]) if len(column) else NONE


def _by_window(a: Table, b: Table) -> tuple[Table, Table]:
    """Return two tables, the one with the higher window first; without sums any window will do."""
    for one, other in ((a, b), (b, a)):
        if not one.needs_window:
            return a, b
        if not has_window(one):
            one.moments = one.moments._replace(exponent=other.moments.exponent)
            return one, other
    return (a, b) if a.moments.exponent >= b.moments.exponent else (b, a)


def _join(
    target: Table, source: Table, run: CallRunner, n_parts: int, is_last: bool = False
) -> list[Table]:
    """Join a table to one of a window as high or higher; return sums that do not fit that window.

    With `is_last` all such sums become integers, however many.
    """
    _make_room(target, source)
    up = target.moments.exponent - source.moments.exponent
    target.reach += source.reach >> up
    hard = _join_lines(target.moments, source.moments, up, run, n_parts)
    a, b = target.moments, source.moments
    target.moments = a._replace(
        n_missing=_added(a.n_missing, b.n_missing),
        n_positive_infinite=_added(a.n_positive_infinite, b.n_positive_infinite),
        n_negative_infinite=_added(a.n_negative_infinite, b.n_negative_infinite),
        left=add_left(a.left, b.left),
    )
    if len(hard) * MANY_FALLEN > a.n_groups and not is_last:
        sums = b._replace(
            element="float64", n_missing=NONE, n_positive_infinite=NONE, n_negative_infinite=NONE,
            extremes=NO_EXTREMES, left=no_left(), n_added=1,
        )  # fmt: skip
        return [Table(sums, [], source.reach, True)]
    if len(hard):
        left = add_left(target.moments.left, left_of_lines(b, np.sort(hard).astype(np.int64)))
        target.moments = target.moments._replace(left=left)
    return []


def _join_other(table: Table, other: Table, run: CallRunner, n_parts: int) -> None:
    """Join sums to the table of their window, if there is one, or else add it to `others`."""
    for known in table.others:
        if known.moments.exponent == other.moments.exponent:
            _join(known, other, run, n_parts)
            return
    table.others.append(other)
    if len(table.others) > MOST_OTHERS:
        table.others.sort(key=lambda one: one.moments.exponent)
        source, target = table.others[:2]
        _join(target, source, run, n_parts, is_last=True)
        del table.others[0]
        left = add_left(table.moments.left, target.moments.left)
        table.moments = table.moments._replace(left=left)
        target.moments = target.moments._replace(left=no_left())


def _make_room(target: Table, source: Table) -> None:
    """Make sure that the highest limbs hold the rows of both."""
    up = target.moments.exponent - source.moments.exponent
    if not target.needs_window or target.reach + (source.reach >> up) <= MOST_REACH:
        return
    target.reach, source.reach = reach_of(target.moments), reach_of(source.moments)
    if target.reach + (source.reach >> up) > MOST_REACH:
        move_up(target)


def _join_lines(
    a: GroupedMoments, b: GroupedMoments, up: int, run: CallRunner, n_parts: int
) -> Int32Array:
    """Add lines to lines of a window `up` bits higher; return the groups that lose bits there."""
    share, calls = -(-a.n_groups // n_parts) or 1, list[list[KernelRowCall]]()
    found: list[tuple[Int64Array, Int32Array]] = []
    for first in range(0, a.n_groups, share):
        n = min(share, a.n_groups - first)
        state = np.zeros(layout.N_STATE_WORDS, np.int64)
        hard = np.empty(n if up else 0, np.int32)
        words = np.zeros(layout.N_TABLE_WORDS, np.int64)
        words[layout.TABLE_LEVEL], words[layout.TABLE_SHIFT] = a.level, up
        words[layout.TABLE_STATE] = state.ctypes.data
        words[layout.TABLE_HARD] = hard.ctypes.data
        words[layout.TABLE_LINES] = a.lines.ctypes.data
        words[layout.TABLE_OTHER_LINES] = b.lines.ctypes.data
        if len(a.extremes):
            words[layout.TABLE_EXTREMES] = a.extremes.ctypes.data
            words[layout.TABLE_OTHER_EXTREMES] = b.extremes.ctypes.data
        found.append((state, hard))
        calls.append([KernelRowCall(words, first, n, (a, b, state, hard))])
    run("join", calls)
    return np.concatenate(
        [np.zeros(0, np.int32), *(hard[: int(state[layout.N_HARD])] for state, hard in found)]
    )


def _added(a: Int64Array, b: Int64Array) -> Int64Array:
    if len(a) and len(b):
        return np.add(a, b, out=a)
    return a if len(a) else b
