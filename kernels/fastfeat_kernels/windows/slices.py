"""Units of work, one per call: the entities of a partition, or a slice of a long entity.

A slice has its asking rows and the rows that their windows reach. So threads share long entities,
and their sums and keys stay small. If a window reaches back without end, the first place of a slice
stands for all rows up to that place; their counts, sums, keys, first and last values are known
(`carries`). No other window includes that place. Statistics that need more keep an entity whole.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from fastfeat_kernels.arrays import Int64Array
from fastfeat_kernels.windows.ordering import WindowOrder, entities_of
from fastfeat_kernels.windows.requests import NO_BOUND, WantedStatistic, WindowBounds
from fastfeat_kernels.windows.statistics import STATISTICS

LONG = 1 << 17  # rows: entities with more are cut
SHARE = 16  # an entity with less than this part of all rows stays whole if a cut costs a survey
SLICE = 1 << 15  # least asking rows of a slice; half as many as the earlier rows in it
_LOWEST, _HIGHEST = -(2**63), 2**63 - 1


class WorkUnit(NamedTuple):
    """The work of one call.

    Args:
        partition: Partition of its entities.
        first: First entity.
        n: Number of entities.
        first_place: First asking place.
        end_place: End of the asking places.
        n_rows: Number of rows to prepare for the asking rows.
        bounds: First place and end of a slice; None for whole entities.
        n_carried: Number of rows that the first place of a slice stands for; 0 for itself alone.
    """

    partition: int
    first: int
    n: int
    first_place: int
    end_place: int
    n_rows: int
    bounds: tuple[int, int] | None
    n_carried: int = 0


def units(
    rows: WindowOrder,
    wanted: Sequence[WantedStatistic],
    asked: Int64Array,
    query: WindowOrder | None = None,
    whole: Collection[int] = (),
) -> list[WorkUnit]:
    """Return the units that the calls of a pass compute."""
    long = np.empty(0, np.int64)
    if rows.n_placed > LONG:
        long = np.flatnonzero(np.diff(rows.starts) > _longest_whole(rows, wanted))
    if len(long) and (query is not None or not all(map(is_sliced, wanted))):
        long = long[:0]
    of_partition: dict[int, list[int]] = {}
    for entity in long.tolist():
        if entity not in whole:
            of_partition.setdefault(entity >> rows.shift, []).append(entity)
    return [
        unit
        for p in np.flatnonzero(asked).tolist()
        for unit in _units_of(rows, wanted, query or rows, p, of_partition.get(p, []))
    ]


def one_unit(rows: WindowOrder, asked: Int64Array) -> WorkUnit | None:
    """Return the unit for one partition without long entities, with some asking rows; else None.

    `asked`, shape (partitions,), is the number of asking rows; the rows ask for themselves.
    """
    if len(asked) != 1 or not asked[0] or rows.n_placed > LONG:
        return None
    return WorkUnit(0, 0, rows.n_entities, 0, rows.n_placed, rows.n_placed, None)


def _longest_whole(rows: WindowOrder, wanted: Sequence[WantedStatistic]) -> int:
    """Return the number of rows up to which entities are not cut."""
    return max(LONG, rows.n_placed // SHARE) if any(map(is_carried, wanted)) else LONG


def has_long(rows: WindowOrder) -> bool:
    """Return whether there are long entities; their cuts depend on the request."""
    return rows.n_placed > LONG and bool((np.diff(rows.starts) > LONG).any())


def max_rows(rows: WindowOrder, computed: Sequence[WorkUnit]) -> int:
    """Return the largest number of rows of one entity, or slice, in scratch memory at a time."""
    sizes = np.diff(rows.starts)
    whole = [sizes[u.first : u.first + u.n].max(initial=0) for u in computed if u.bounds is None]
    return max([0, *map(int, whole), *(unit.n_rows for unit in computed if unit.bounds)])


def is_sliced(one: WantedStatistic) -> bool:
    """Return whether entities are cut for a statistic: a slice holds all rows that it reads."""
    row = STATISTICS[one.statistic]
    has_beginning = not one.window.is_open or row.family.is_carried
    is_behind = one.window.own or one.window.high != NO_BOUND
    return not row.of_all_past and has_beginning and is_behind


def is_carried(one: WantedStatistic) -> bool:
    """Return whether a summary of all rows before the window's end determines a statistic."""
    return one.window.is_open and STATISTICS[one.statistic].family.is_carried and not _is_near(one)


def _is_near(one: WantedStatistic) -> bool:
    """Return whether the n latest rows determine a statistic, however long the window is."""
    return STATISTICS[one.statistic].picks == "n-th" and one.window.min_samples == 0


def _n_latest(one: WantedStatistic, n_rows: int) -> int:
    """Return the number of latest rows of a window that are read one by one, at most `n_rows`."""
    n_most = one.window.rows or n_rows
    if STATISTICS[one.statistic].picks == "n-th" and (_is_near(one) or is_carried(one)):
        return min(n_most, one.n)
    return 0 if is_carried(one) else n_most


def _units_of(
    rows: WindowOrder,
    wanted: Sequence[WantedStatistic],
    query: WindowOrder,
    partition: int,
    long: Sequence[int],
) -> Iterator[WorkUnit]:
    """Yield the units of a partition that has long entities."""
    first, n = entities_of(rows, partition)
    for entity in [*long, first + n]:
        if entity > first:
            places = int(query.starts[first]), int(query.starts[entity])
            n_rows = int(rows.starts[entity] - rows.starts[first])
            yield WorkUnit(partition, first, entity - first, *places, n_rows, None)
        if entity in long:
            yield from _slices(rows, wanted, partition, entity)
        first = entity + 1


def _slices(
    rows: WindowOrder, wanted: Sequence[WantedStatistic], partition: int, entity: int
) -> Iterator[WorkUnit]:
    start, stop = int(rows.starts[entity]), int(rows.starts[entity + 1])
    times, at = rows.times[start:stop], 0
    read = list(dict.fromkeys((one.window, _n_latest(one, stop - start)) for one in wanted))
    has_carries = any(map(is_carried, wanted))
    while at < stop - start:
        base, top = _reach(times, read, at)
        if has_carries:
            base = max(base - 1, 0)
        end = min(at + max(SLICE, (max(at, top) - base) // 2), stop - start)
        _, top = _reach(times, read, end - 1)
        bounds, n_carried = (start + base, start + top), base + 1 if has_carries and base else 0
        yield WorkUnit(partition, 0, 1, start + at, start + end, top - base, bounds, n_carried)
        at = end


def _reach(times: Int64Array, read: Sequence[tuple[WindowBounds, int]], at: int) -> tuple[int, int]:
    """Return the first place that is read for a row or is the row, and the end.

    `read` has windows, each with its number of latest rows that are read one by one.
    """
    time, base, top = int(times[at]), at, at + 1
    for window, n_latest in read:
        begin, end = 0, at + 1
        if not window.own:
            high = min(time + window.high, _HIGHEST)
            end = 0 if high < _LOWEST else int(np.searchsorted(times, high, "right"))
        if window.low != NO_BOUND and n_latest:
            low = max(time + window.low, _LOWEST)
            begin = len(times) if low > _HIGHEST else int(np.searchsorted(times, low, "left"))
        base, top = min(base, max(begin, end - n_latest)), max(top, end)
    return base, top
