"""Search for the rows that windows see now, and for rows that later windows could still see.

An asking row is a row whose windows are computed. Visible rows are the rows that its windows see. A
row is in reach while any row that may still be accepted could see it; rows out of reach may be
dropped. Places are positions in memory; the rows at places from `limit` on belong to an unfinished
call, and are left out. Slots index an array in which each entity's rows are sorted by time, see
`live.log.entities`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from fastfeat_kernels.arrays import Int64Array
from fastfeat_kernels.records import dataclass
from numpy.typing import NDArray

from fastfeat.live.log.columns import Places, ranges
from fastfeat.live.log.entities import NEVER, EntityIndex
from fastfeat.live.lower.live_plan import Reach

_LONGEST = int(np.iinfo(np.int64).max)


class Retention(NamedTuple):
    """How far back the windows of one order see, and how much longer rows are kept, in ticks.

    Args:
        span: Rows not older than this, relative to the asking row, are visible; None if no window
            has a time limit.
        n_rows: Number of rows just before those of `span` that are visible, too; None for all.
        keep: How much older than the latest row of its entity an asking row may be; rows are kept
            so much longer than windows see them. None for any age.
        kept: Age, relative to the latest row of their entity, up to which rows are kept; None for
            all rows.
        silent: Age of an entity's latest row, relative to the latest row of all, from which on a
            sweep drops rows of the entity; None for never.
        has_tie: Whether rows with equal times are sorted by a further column, the tie, and only
            then by arrival.
    """

    span: int | None
    n_rows: int | None
    keep: int | None
    kept: int | None
    silent: int | None
    has_tie: bool


def retention(reach: Reach, keep: int | None, tick: int, *, has_tie: bool) -> Retention:
    """Return a reach in nanoseconds or steps as a `Retention` in ticks.

    Args:
        reach: Reach of the windows, in nanoseconds or steps.
        keep: How much longer rows are kept than windows see them, in the unit of `reach`; None to
            keep all rows.
        tick: Nanoseconds per tick; 1 for steps.
        has_tie: Whether the order has a tie.
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


def subtract_ticks(times: Int64Array, ticks: int) -> Int64Array:
    """Return times minus `ticks`, without wrapping around below the earliest time."""
    before = times - ticks  # integers wrap around
    return np.where(before > times, np.int64(NEVER), before)


def find_visible_slots(
    index: EntityIndex, held: Retention, entities: NDArray[Any], first: Int64Array, last: Int64Array
) -> tuple[Int64Array, Int64Array]:
    """Return the first slot and the end of the rows that asking rows of each entity see.

    `first` and `last` are the times of the earliest and the latest asking row of each entity.
    """
    starts, ends = index.stretches(entities)
    ends = index.search(starts, ends, last, after=True)
    if held.n_rows is None:
        return starts, ends
    return _begins(index, held, starts, ends, subtract_ticks(first, held.span or 0)), ends


def find_reachable_slots(
    index: EntityIndex, held: Retention, entities: NDArray[Any]
) -> tuple[Int64Array, Int64Array]:
    """Return the first slot and the end of the rows in reach, for entities that have rows."""
    starts, ends = index.stretches(entities)
    if held.kept is None:
        return starts, ends
    cut = subtract_ticks(index.times_at(ends - 1), held.kept)
    return _begins(index, held, starts, ends, cut), ends


def find_silent_slots(
    index: EntityIndex, held: Retention, watermark: int
) -> tuple[NDArray[np.int64], Int64Array]:
    """Return the entities that a sweep takes rows from, and each entity's first slot that stays.

    `watermark` is the latest time of all rows in the order, in ticks. Entities without a row for
    longer than `held.silent` before that are swept; they keep the latest `held.n_rows` rows.
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


def _begins(
    index: EntityIndex, held: Retention, starts: Int64Array, ends: Int64Array, times: Int64Array
) -> Int64Array:
    """Return the first slot of each entity at or after a time, or some rows before that.

    The slot is moved back to include the `held.n_rows` latest rows before that time.
    """
    begins = index.search(starts, ends, times)
    if not held.n_rows:
        return begins
    latest = np.maximum(starts, begins - held.n_rows)
    if held.has_tie:
        whole = np.flatnonzero(latest < ends)
        instants = index.times_at(latest[whole])
        latest[whole] = index.search(starts[whole], ends[whole], instants)
    return np.minimum(begins, latest)


def find_visible_range(
    times: Int64Array, held: Retention, first: int, last: int
) -> tuple[int, int]:
    """Return the begin and the end, as indices into `times`, of the rows that asking rows see.

    `times` has the times of one entity's rows, ascending; `first` and `last` are the times of the
    earliest and the latest asking row.
    """
    end = int(times.searchsorted(last, "right"))
    if held.n_rows is None:
        return 0, end
    return _begin(times[:end], held, first - (held.span or 0)), end


def find_first_reachable(times: Int64Array, held: Retention) -> int:
    """Return the index of the first row in reach, given one entity's times, ascending."""
    if held.kept is None or not len(times):
        return 0
    return _begin(times, held, int(times[-1]) - held.kept)


def _begin(times: Int64Array, held: Retention, time: int) -> int:
    """Return the first index at or after `time`, or some rows before that.

    The index is moved back to include the `held.n_rows` latest rows before that time.
    """
    begin = int(times.searchsorted(max(time, NEVER)))
    if not held.n_rows:
        return begin
    latest = max(0, begin - held.n_rows)
    if held.has_tie and latest < len(times):
        latest = int(times.searchsorted(int(times[latest])))
    return min(begin, latest)


_FEW = 4  # entities that are looked at one by one


class AskingRows(NamedTuple):
    """Rows that ask for the log rows that their windows see, in one order.

    Args:
        entities: Entity number of each; -1 for none.
        times: Time of each, in ticks.
        alone: Whether asking rows do not see each other.
    """

    entities: NDArray[Any]
    times: Int64Array
    alone: bool


@dataclass(frozen=True, slots=True)
class RowsInReach:
    """The visible rows of asking rows, in one order.

    Args:
        places: Places of the visible rows, grouped by entity, then by time and arrival. If rows ask
            alone, grouped by asking row.
        codes: Group of each visible row: a number from 0, ascending.
        asking: Group of each asking row; -1 if it has no entity.
        numbers: Row number of every place in memory.
    """

    places: Places
    codes: NDArray[np.int32]
    asking: NDArray[np.int32]
    numbers: NDArray[np.int64]

    @property
    def rows(self) -> Int64Array:
        """The row numbers of the visible rows."""
        return self.numbers.take(self.places)


def gather(
    index: EntityIndex, held: Retention, asked: AskingRows, numbers: Int64Array, limit: int
) -> RowsInReach:
    """Return the visible rows of asking rows.

    Args:
        index: Index of the order.
        held: Reach of the order's windows.
        asked: The asking rows.
        numbers: Row number of every place in memory.
        limit: Rows at this place and later ones are left out.
    """
    is_placed = asked.entities != -1
    asking = np.full(len(is_placed), -1, np.int32)
    who, times = asked.entities[is_placed], asked.times[is_placed]
    if asked.alone or len(who) <= 1:
        asking[is_placed] = np.arange(len(who))
        first = last = times
    else:
        who, own = np.unique(who, return_inverse=True)
        asking[is_placed] = own
        first, last = np.full(len(who), np.iinfo(np.int64).max), np.full(len(who), NEVER)
        np.minimum.at(first, own, times)
        np.maximum.at(last, own, times)
    known = np.flatnonzero((who >= 0) & (who < index.n_entities))
    who, first, last = who[known], first[known], last[known]
    if limit < index.times.n or len(known) <= _FEW:
        places, counts = _seen_by_few(index, held, limit, who, first, last)
    else:
        begins, ends = find_visible_slots(index, held, who, first, last)
        counts = ends - begins
        places = index.places(ranges(begins, counts))
    return RowsInReach(places, np.repeat(known.astype(np.int32), counts), asking, numbers)


def _seen_by_few(
    index: EntityIndex,
    held: Retention,
    limit: int,
    entities: NDArray[Any],
    first: Int64Array,
    last: Int64Array,
) -> tuple[Places, NDArray[np.int64]]:
    """Return the places of visible rows, entity by entity, and the number of rows per entity."""
    pieces: list[Places] = []
    asked = zip(entities.tolist(), first.tolist(), last.tolist(), strict=True)
    for entity, earliest, latest in asked:
        places = _first_places(index, entity, limit)
        begin, end = find_visible_range(index.times.values[places], held, earliest, latest)
        pieces.append(places[begin:end])
    counts = np.array([len(piece) for piece in pieces], np.int64)
    if len(pieces) == 1:
        return pieces[0].copy(), counts
    return np.concatenate([np.empty(0, np.int32), *pieces]), counts


def latest_before(index: EntityIndex, entities: NDArray[Any], limit: int) -> Int64Array:
    """Return the latest time of each entity's rows at places below `limit`; `NEVER` for none."""
    if limit >= index.times.n:
        return index.latest(entities)
    found = np.full(len(entities), NEVER, np.int64)
    for k in np.flatnonzero((entities >= 0) & (entities < index.n_entities)).tolist():
        places = _first_places(index, int(entities[k]), limit)
        if len(places):
            found[k] = index.times.values[places[-1]]
    return found


def kept_places(index: EntityIndex, held: Retention, limit: int) -> Places:
    """Return the places below `limit` of all rows in reach."""
    entities, pieces = index.with_rows(), list[Places]()
    if limit < index.times.n:
        new = np.unique(index.entity.values[limit:])
        pieces = [_kept(index, held, limit, entity) for entity in new[new >= 0].tolist()]
        entities = np.setdiff1d(entities, new)
    begins, ends = find_reachable_slots(index, held, entities)
    return np.concatenate([index.places(ranges(begins, ends - begins)), *pieces])


def are_in_reach(
    index: EntityIndex, held: Retention, places: Places, limit: int
) -> NDArray[np.bool_]:
    """Return flags of the rows at `places` that are in reach, shape (n_places,).

    Only rows at places below `limit` count.
    """
    entities, own = np.unique(index.entity.values.take(places), return_inverse=True)
    first = np.full(len(entities), -1, np.int64)  # the first place in reach of each entity
    if limit < index.times.n:
        for k in np.flatnonzero(entities >= 0).tolist():
            kept = _kept(index, held, limit, int(entities[k]))
            first[k] = kept[0] if len(kept) else -1
    else:
        known = np.flatnonzero(index.latest(entities) > NEVER)
        begins, _ = find_reachable_slots(index, held, entities[known])
        first[known] = index.places(begins)
    begin = first.take(own)
    times, since = index.times.values.take(places), index.times.values.take(begin)
    return (begin >= 0) & ((times > since) | ((times == since) & (places >= begin)))


def _kept(index: EntityIndex, held: Retention, limit: int, entity: int) -> Places:
    """Return the places below `limit` of one entity's rows in reach, by time."""
    places = _first_places(index, entity, limit)
    return places[find_first_reachable(index.times.values[places], held) :]


def _first_places(index: EntityIndex, entity: int, limit: int) -> Places:
    """Return the places below `limit` of one entity's rows, by time."""
    places = index.stretch(entity)
    return places if limit >= index.times.n else places[places < limit]
