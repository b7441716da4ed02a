"""Which rows of an entity are in reach: of those that ask, and of those that may ask yet.

Times are ticks; a reach, in nanoseconds or steps, is converted once. A row that asks at t sees the
rows from t - span on, and the n_rows latest before these: what is not bounded in time sees those
before its offset, which is part of the span. What asks later asks from the latest time of the
entity less `keep` on.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastfeat.online.entities import NEVER, Entities, Slots, Ticks
from fastfeat.online.lowering import Reach

_LONGEST = int(np.iinfo(np.int64).max)


class Retention(NamedTuple):
    """How far back windows of one order see, and how long rows are kept beyond, in ticks.

    Args:
        span: rows not older than this are seen; None where no window is bounded by time.
        n_rows: beside these, so many latest rows before them; None for all.
        keep: how much older than the latest row of its entity one that asks may be; None for any.
        kept: how much older than the latest one rows are kept; None for all.
        silent: how much older than the watermark an entity is that is swept; None for never.
        has_tie: whether more than arrival tells which of the rows of an instant come first.
    """

    span: int | None
    n_rows: int | None
    keep: int | None
    kept: int | None
    silent: int | None
    has_tie: bool


def retention(reach: Reach, keep: int | None, tick: int, *, has_tie: bool) -> Retention:
    """Return a reach in ticks.

    Args:
        reach: in nanoseconds or steps, as `keep` is.
        keep: how long rows are kept beyond the reach; None for ever.
        tick: nanoseconds of a tick; 1 for steps.
        has_tie: whether the order has a tie.
    """
    span, longer = reach.span or 0, keep or 0
    is_kept = keep is None or reach.n_rows is None
    return Retention(
        None if reach.span is None else min(span // tick, _LONGEST),
        reach.n_rows,
        None if keep is None else min(longer // tick, _LONGEST),
        None if is_kept else min((span + longer) // tick, _LONGEST),
        None if is_kept or not span else min(-(-(2 * span + longer) // tick), _LONGEST),
        has_tie,
    )


def earlier(times: Ticks, ticks: int) -> Ticks:
    """Return times less some ticks, the earliest time where there is none."""
    before = times - ticks  # integers wrap around
    return np.where(before > times, np.int64(NEVER), before)


def seen_slots(
    index: Entities, held: Retention, entities: NDArray[Any], first: Ticks, last: Ticks
) -> tuple[Slots, Slots]:
    """Return where what is seen of entities begins and ends.

    Args:
        index: the rows of the entities.
        held: the reach.
        entities: their numbers.
        first: the time of the first row that asks, of each.
        last: that of the last one.
    """
    starts, ends = index.stretches(entities)
    ends = index.search(starts, ends, last, after=True)
    if held.n_rows is None:
        return starts, ends
    return _begins(index, held, starts, ends, earlier(first, held.span or 0)), ends


def kept_slots(index: Entities, held: Retention, entities: NDArray[Any]) -> tuple[Slots, Slots]:
    """Return where what is in reach of entities that have rows begins, and ends."""
    starts, ends = index.stretches(entities)
    if held.kept is None:
        return starts, ends
    cut = earlier(index.times_at(ends - 1), held.kept)
    return _begins(index, held, starts, ends, cut), ends


def silent_slots(
    index: Entities, held: Retention, watermark: int
) -> tuple[NDArray[np.int64], Slots]:
    """Return the entities that a sweep takes rows from, and the first slot of each that stays.

    Args:
        index: the rows of the entities.
        held: the reach.
        watermark: the latest time of the order, in ticks.
    """
    none = np.empty(0, np.int64)
    if held.silent is None or held.n_rows is None:
        return none, none
    entities = index.with_rows()
    entities = entities[index.latest(entities) < int(watermark) - held.silent]
    starts, ends = index.stretches(entities)
    begins = np.maximum(starts, ends - held.n_rows)
    if held.has_tie and held.n_rows:
        begins = index.search(starts, ends, index.times_at(begins))
    taken = begins > starts
    return entities[taken], begins[taken]


def _begins(index: Entities, held: Retention, starts: Slots, ends: Slots, times: Ticks) -> Slots:
    """Return the first slot with a time from another on, or of the n latest before that."""
    begins = index.search(starts, ends, times)
    if not held.n_rows:
        return begins
    latest = np.maximum(starts, begins - held.n_rows)
    if held.has_tie:
        whole = np.flatnonzero(latest < ends)
        instants = index.times_at(latest[whole])
        latest[whole] = index.search(starts[whole], ends[whole], instants)
    return np.minimum(begins, latest)


def seen_of_one(times: Ticks, held: Retention, first: int, last: int) -> tuple[int, int]:
    """Return which rows of one entity are seen: where they begin, and end.

    Args:
        times: of its rows, in order.
        held: the reach.
        first: the time of the first row that asks.
        last: that of the last one.
    """
    end = int(times.searchsorted(last, "right"))
    if held.n_rows is None:
        return 0, end
    return _begin(times[:end], held, first - (held.span or 0)), end


def kept_of_one(times: Ticks, held: Retention) -> int:
    """Return from which row on those of one entity are in reach.

    Args:
        times: of its rows, in order.
        held: the reach.
    """
    if held.kept is None or not len(times):
        return 0
    return _begin(times, held, int(times[-1]) - held.kept)


def _begin(times: Ticks, held: Retention, time: int) -> int:
    """Return the first row with a time from another on, or of the n latest before that."""
    begin = int(times.searchsorted(max(time, NEVER)))
    if not held.n_rows:
        return begin
    latest = max(0, begin - held.n_rows)
    if held.has_tie and latest < len(times):
        latest = int(times.searchsorted(int(times[latest])))
    return min(begin, latest)
