"""What one call computes: the entities of a partition, or a slice of a long one.

A slice has the rows that ask and those that their windows reach, so long entities are divided
among threads, and their sums and keys stay small. Where a window reaches back without end, its
entity stays whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from fastfeat_kernels.windows.ordering import Ordered, Words, entities_of
from fastfeat_kernels.windows.requests import NO_BOUND, Wanted

LONG = 1 << 17  # rows of an entity: more of them are cut
SLICE = 1 << 15  # rows that ask in a slice, at least; half as many as are before them in it
_LOWEST, _HIGHEST = -(2**63), 2**63 - 1
# Of what a slice holds all that they read: that of a window, or of its latest rows.
_SLICED = (
    *("n_rows", "count", "sum", "mean", "whole_mean", "var", "std", "min", "max"),
    *("first", "last", "lag", "quantile", "whole_quantile", "n_unique", "mode"),
    *("rank", "percentile", "slope", "streak"),
)


class Unit(NamedTuple):
    """What one call computes.

    Args:
        partition: of its entities.
        first: the first entity.
        n: how many there are.
        first_place: the first place that asks.
        end_place: the end of those that do.
        n_rows: how many rows are prepared for those that ask.
        bounds: the first place and the end of a slice; None of whole entities.
    """

    partition: int
    first: int
    n: int
    first_place: int
    end_place: int
    n_rows: int
    bounds: tuple[int, int] | None


def units(
    rows: Ordered, wanted: Sequence[Wanted], asked: Words, asking: Ordered | None = None
) -> list[Unit]:
    """Return what the calls of a pass compute.

    Args:
        rows: the rows in the order of windows.
        wanted: the statistics of the pass.
        asked: shape (partitions,): how many rows of each ask.
        asking: other rows that ask, for which entities stay whole; None where these do.
    """
    long = np.flatnonzero(np.diff(rows.starts) > LONG)
    if len(long) and (asking is not None or not all(_is_sliced(one) for one in wanted)):
        long = long[:0]
    of_partition: dict[int, list[int]] = {}
    for entity in long.tolist():
        of_partition.setdefault(entity >> rows.shift, []).append(entity)
    return [
        unit
        for p in np.flatnonzero(asked).tolist()
        for unit in _units_of(rows, wanted, asking or rows, p, of_partition.get(p, []))
    ]


def has_long(rows: Ordered) -> bool:
    """Return whether entities are long: into what they are cut depends on what is asked for."""
    return bool((np.diff(rows.starts) > LONG).any())


def max_rows(rows: Ordered, computed: Sequence[Unit]) -> int:
    """Return how many rows of one entity, or slice, stand in scratch memory at a time, at most."""
    sizes = np.diff(rows.starts)
    whole = [sizes[u.first : u.first + u.n].max(initial=0) for u in computed if u.bounds is None]
    return max([0, *map(int, whole), *(unit.n_rows for unit in computed if unit.bounds)])


def _is_sliced(one: Wanted) -> bool:
    has_end = one.window.low != NO_BOUND or one.window.rows > 0 or _is_near(one)
    is_behind = one.window.own or one.window.high != NO_BOUND
    return one.statistic in _SLICED and has_end and is_behind


def _is_near(one: Wanted) -> bool:
    """Return whether the n latest rows say all of a statistic, however many the window has."""
    return one.statistic == "lag" and one.window.min_samples == 0


def _units_of(
    rows: Ordered,
    wanted: Sequence[Wanted],
    asking: Ordered,
    partition: int,
    long: Sequence[int],
) -> Iterator[Unit]:
    """Yield the units of a partition, of which some entities are long."""
    first, n = entities_of(rows, partition)
    for entity in [*long, first + n]:
        if entity > first:
            places = int(asking.starts[first]), int(asking.starts[entity])
            n_rows = int(rows.starts[entity] - rows.starts[first])
            yield Unit(partition, first, entity - first, *places, n_rows, None)
        if entity in long:
            yield from _slices(rows, wanted, partition, entity)
        first = entity + 1


def _slices(rows: Ordered, wanted: Sequence[Wanted], partition: int, entity: int) -> Iterator[Unit]:
    start, stop = int(rows.starts[entity]), int(rows.starts[entity + 1])
    times, at = rows.times[start:stop], 0
    while at < stop - start:
        base, _ = _reach(times, wanted, at)
        end = min(at + max(SLICE, (at - base) // 2), len(times))
        _, top = _reach(times, wanted, end - 1)
        bounds = start + base, start + top
        yield Unit(partition, 0, 1, start + at, start + end, top - base, bounds)
        at = end


def _reach(times: Words, wanted: Sequence[Wanted], at: int) -> tuple[int, int]:
    """Return the first of the places that the windows of a row reach, and itself, and the end."""
    time, base, top = int(times[at]), at, at + 1
    for one in dict.fromkeys(wanted):
        window, end = one.window, at + 1
        if not window.own:
            high = min(max(time + window.high, _LOWEST), _HIGHEST)
            end = int(np.searchsorted(times, high, "right"))
        begin = 0
        if window.low != NO_BOUND:
            low = max(time + window.low, _LOWEST)
            begin = len(times) if low > _HIGHEST else int(np.searchsorted(times, low, "left"))
        latest = min(window.rows or len(times), one.n if _is_near(one) else len(times))
        base, top = min(base, max(begin, end - latest)), max(top, end)
    return base, top
