"""Tables of groups that rows are added to: their window, its free room, their memory.

The first floats determine the window. It is moved up before the highest limbs could overflow.
"""

from __future__ import annotations

from dataclasses import field

import numpy as np

from fastfeat_kernels.grouped import layout
from fastfeat_kernels.grouped.state import (
    LOWEST_EXPONENT,
    NO_EXTREMES,
    NONE,
    GroupedMoments,
    aligned,
)
from fastfeat_kernels.grouped.tables import aligned_zeros
from fastfeat_kernels.grouped.wide import no_left
from fastfeat_kernels.moments.state import Level
from fastfeat_kernels.records import dataclass

MOST_REACH = 1 << 62  # of the highest limbs
N_LEFT_BYTES = 1 << 10  # size of the widest integers of a group
MOST_OTHERS = 3  # further windows that a memory budget must have room for
MAX_ROOM = 8  # bits of a window that are left free for more rows, before it is moved up
MOVED_UP = 16  # bits


@dataclass(slots=True)
class Table:
    """The groups of a column, to which rows are added.

    Args:
        moments: Moments of the rows so far, without the sums in `others`; updated in place.
        others: Sums of rows that do not fit the window, by the window that holds them. A group is
            in a table if its count is not 0.
        reach: Upper bound of the total of the highest limbs of all groups.
        has_rows: Whether any rows were added; the extremes are unwritten before.
        has_extremes: Whether the minimum and maximum of each group are kept.
    """

    moments: GroupedMoments
    others: list[Table] = field(default_factory=list["Table"])
    reach: int = 0
    has_rows: bool = False
    has_extremes: bool = False

    @property
    def needs_window(self) -> bool:
        """Whether the values are floats and their sums are requested."""
        return self.moments.element.startswith("float") and self.moments.level > 0


def new_table(element: str, n_groups: int, level: Level, extremes: bool = True) -> Table:
    """Return the table of no rows; memory that is never touched costs nothing."""
    lines = aligned_zeros(n_groups, layout.LINE_WORDS[level])
    keys = np.empty((n_groups, 2), np.int64) if extremes else NO_EXTREMES
    moments = GroupedMoments(
        element, level, LOWEST_EXPONENT, 1, lines, NONE, NONE, NONE, keys, no_left()
    )
    return Table(moments, has_extremes=extremes)


def has_window(table: Table) -> bool:
    """Return whether nonzero floats were added."""
    moments = table.moments
    is_lowest = moments.exponent == LOWEST_EXPONENT
    return table.has_rows and (not is_lowest or bool(moments.lines[:, layout.SUM :].any()))


def make_room(table: Table, n_rows: int) -> int:
    """Make room for `n_rows` more rows in the highest limbs; return the free bits of the window."""
    room = _room(table.reach, n_rows)
    if room > MAX_ROOM // 2:
        table.reach = reach_of(table.moments)
        room = _room(table.reach, n_rows)
    if room > MAX_ROOM and table.reach:
        move_up(table)
        room = _room(table.reach, n_rows)
    table.reach += (n_rows << layout.LIMB_BITS) >> room
    return room


def move_up(table: Table) -> None:
    """Move the window of a table up, so that its highest limbs have more room."""
    moments = table.moments
    table.moments = aligned(moments, moments.exponent + MOVED_UP)
    table.reach = reach_of(table.moments)


def _room(reach: int, n_rows: int) -> int:
    room, most = layout.headroom_of(n_rows), n_rows << layout.LIMB_BITS
    while reach + (most >> room) > MOST_REACH and room < layout.LIMB_BITS:
        room += 1
    return room


def reach_of(moments: GroupedMoments) -> int:
    """Return an upper bound of the total of the highest limbs of all groups."""
    highest = [layout.SUM, layout.SQUARES][: moments.level]
    carries = 2 * moments.n_added * moments.n_groups  # from the limbs below
    sums = [float(np.abs(moments.lines[:, k]).sum(dtype=np.float64)) for k in highest]
    return int(1.001 * max(sums)) + carries


def n_bytes_of(table: Table) -> int:
    """Return the bytes that a table takes; lines without rows take none."""
    moments = table.moments
    if not table.has_rows:
        return 0
    arrays = moments.lines, moments.n_missing, moments.n_positive_infinite
    n_bytes = sum(array.nbytes for array in (*arrays, moments.n_negative_infinite))
    left = len(moments.left.groups) * N_LEFT_BYTES
    return n_bytes + moments.extremes.nbytes + left + sum(map(n_bytes_of, table.others))


def most_bytes(element: str, n_groups: int, level: Level, extremes: bool, n_rows: int) -> int:
    """Return the most bytes that a table of `n_rows` rows takes."""
    has_window = element.startswith("float") and level > 0
    n_windows = 1 + (MOST_OTHERS if has_window else 0)  # even with few rows there may be others
    n_bytes = n_windows * (8 * layout.LINE_WORDS[level] + 3 * 8) + (16 if extremes else 0)
    n_left = min(n_rows, n_groups) if has_window else 0
    return n_groups * n_bytes + n_left * N_LEFT_BYTES
