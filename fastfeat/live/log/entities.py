"""Index of one order of a log: the rows of each entity, sorted by time and then by arrival.

A place is the position of a row in the columns of the log. One array holds the places of all rows,
entity by entity: the stretch of an entity is a range of this array with some room at its end, and a
slot is an index into the array. A full stretch moves to the end of the array and grows, so rows are
added in amortized constant time, and found in constant time. Entities are numbered from 0 by
`Numbering`; a negative number stands for no entity.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from fastfeat_kernels.arrays import Int64Array
from numpy.typing import NDArray

from fastfeat.live.log.columns import GrowingArray, Places, ranges
from fastfeat.live.log.numbering import Numbering

_BULK = 1 << 18
_FEW = 16  # entities that are looked at one by one
NEVER = int(np.iinfo(np.int64).min)
"""Stands for the latest time of an entity without rows."""


class RowPlaces(NamedTuple):
    """The time and the entity of rows in one order.

    Args:
        times: Time of each row in ticks, shape (n_rows,).
        entities: Entity number of each row, shape (n_rows,); negative for none.
    """

    times: Int64Array
    entities: NDArray[np.int32]


class EntityIndex:
    """The index of one order: its entities, and the places of their rows by time."""

    def __init__(self, numbering: Numbering | None = None) -> None:
        """Begin without rows; `numbering` has the numbers of entity keys, None for a new one."""
        self.numbering = numbering or Numbering()
        self.times = GrowingArray(np.empty(0, np.int64))  # one per place
        self.entity = GrowingArray(np.empty(0, np.int32))  # one per place
        self._places = GrowingArray(np.empty(0, np.int32))  # stretch by stretch
        self._start = GrowingArray(np.empty(0, np.int64))  # one per entity
        self._count = GrowingArray(np.empty(0, np.int32))
        self._room = GrowingArray(np.empty(0, np.int32))
        self._n_unused = 0  # slots of abandoned stretches

    @property
    def n_entities(self) -> int:
        """The size of the range of entity numbers, including entities without rows."""
        return self._count.n

    def stretch(self, entity: int) -> Places:
        """Return the places of the rows of one entity, sorted by time, as a view."""
        start = int(self._start.values[entity])
        return self._places.values[start : start + int(self._count.values[entity])]

    def stretches(self, entities: NDArray[Any]) -> tuple[Int64Array, Int64Array]:
        """Return the first slot of each entity's stretch, and the slot after its last row.

        Entity numbers must not be negative.
        """
        starts = self._start.values.take(entities)
        return starts, starts + self._count.values.take(entities)

    def with_rows(self) -> NDArray[np.int64]:
        """Return the numbers of the entities that have rows, ascending."""
        return np.flatnonzero(self._count.values)

    def places(self, slots: Int64Array) -> NDArray[np.int32]:
        """Return the place of the row in each slot."""
        return self._places.values.take(slots)  # indexing with an array takes three times as long

    def times_at(self, slots: Int64Array) -> Int64Array:
        """Return the time of the row in each slot, in ticks."""
        return self.times.values.take(self._places.values.take(slots))

    def latest(self, entities: NDArray[Any]) -> Int64Array:
        """Return the latest time of each entity in ticks; `NEVER` if it has no rows."""
        found = np.full(len(entities), NEVER, np.int64)
        known = np.flatnonzero((entities >= 0) & (entities < self.n_entities))
        starts, ends = self.stretches(entities[known])
        filled = ends > starts
        found[known[filled]] = self.times_at(ends[filled] - 1)
        return found

    def search(
        self, first: Int64Array, end: Int64Array, times: Int64Array, *, after: bool = False
    ) -> Int64Array:
        """Return, for each stretch, the first slot whose row has a time at or after `times`.

        The search is between `first` and `end`, shape (n,); the result is `end` if there is no such
        row. With `after`, only rows later than `times` count. Binary search over all stretches at
        once.
        """
        found = end.copy()
        active = np.flatnonzero(first < end)
        if len(active) == 0:
            return found
        behind = self._is_before(end[active] - 1, times[active], after)
        active = active[~behind]  # the others have no such time, as is usual for asking rows
        low, high, wanted = first[active], end[active] - 1, times[active]
        ahead = self._is_before(low, wanted, after)
        found[active] = low
        left = np.flatnonzero(ahead)
        low, high, wanted, active = low[left] + 1, high[left], wanted[left], active[left]
        while len(active):
            middle = (low + high) >> 1
            before = self._is_before(middle, wanted, after)
            low = np.where(before, middle + 1, low)
            high = np.where(before, high, middle)
            is_open = low < high
            if not is_open.all():
                found[active] = low
                low, high, wanted = low[is_open], high[is_open], wanted[is_open]
                active = active[is_open]
        return found

    def _is_before(self, slots: Int64Array, times: Int64Array, after: bool) -> NDArray[np.bool_]:
        found = self.times_at(slots)
        return found <= times if after else found < times

    def append(self, placed: RowPlaces) -> None:
        """Append rows at the next places, and sort them into the stretches of their entities."""
        first, n_rows = self.times.n, len(placed.times)
        assert first + n_rows < 2**31, "places are numbers of 32 bits"
        self.times.more(n_rows)[:] = placed.times
        self.entity.more(n_rows)[:] = placed.entities
        self._know(self.numbering.n_numbers)
        if n_rows == 1:
            self._stand(first, int(placed.entities[0]), int(placed.times[0]))
            return
        step = max(n_rows, 1)
        if n_rows > _BULK and (placed.times[1:] >= placed.times[:-1]).all():
            step = _BULK  # half the time, and less memory meanwhile
            for entities, counts in _counted(placed.entities):
                self._make_room(entities, counts)
        for begin in range(0, n_rows, step):
            entities = placed.entities[begin : begin + step]
            times = placed.times[begin : begin + step]
            if entities.min(initial=0) < 0:
                rows = np.flatnonzero(entities >= 0)
                self._append_many(rows + (first + begin), entities[rows], times[rows])
            else:
                places = np.arange(first + begin, first + begin + len(entities))
                self._append_many(places, entities, times)

    def _know(self, n_entities: int) -> None:
        more = n_entities - self.n_entities
        if more > 0:
            for of_each in (self._start, self._count, self._room):
                of_each.more(more)[:] = 0

    def add(self, entity: int, time: int) -> None:
        """Append one row at the next place; a negative entity stands for no entity."""
        place = self.times.n
        self.times.more(1)[0] = time
        self.entity.more(1)[0] = entity
        self._know(self.numbering.n_numbers)
        self._stand(place, entity, time)

    def _stand(self, place: int, entity: int, time: int) -> None:
        """Sort one row into the stretch of its entity."""
        if entity < 0:
            return
        count = int(self._count.values[entity])
        if count == self._room.values[entity]:
            self._make_room(np.array([entity]), np.array([1]))
        start = int(self._start.values[entity])
        places = self._places.values
        at = start + count
        if count and time < self.times.values[places[at - 1]]:
            before = self.times.values[places[start:at]]
            self._insert(start, at, start + int(before.searchsorted(time, "right")), place)
        else:
            places[at] = place
        self._count.values[entity] += 1

    def _insert(self, start: int, end: int, at: int, place: int) -> None:
        """Insert a row's place at slot `at` of a stretch, which must have room at its end."""
        places = self._places.values
        places[at + 1 : end + 1] = places[at:end].copy()
        places[at] = place

    def _append_many(self, places: Places, entities: NDArray[np.int32], times: Int64Array) -> None:
        if not len(places):
            return
        in_order = bool((times[1:] >= times[:-1]).all())
        order = np.argsort(entities, kind="stable") if in_order else np.lexsort((times, entities))
        places, entities, times = places[order], entities[order], times[order]
        begins = np.flatnonzero(np.append(True, entities[1:] != entities[:-1]))
        who, counts = entities[begins], np.diff(np.append(begins, len(entities)))
        latest = self.latest(who)
        self._make_room(who, counts)
        at = self._start.values[who] + self._count.values[who]
        self._places.values[ranges(at, counts)] = places
        self._count.values[who] += counts.astype(np.int32)
        is_late = times[begins] < latest
        late = who[is_late]
        if len(late) > _FEW:
            self._sort(late)
        else:
            for entity in late.tolist():
                self._merge(entity)

    def _merge(self, entity: int) -> None:
        """Sort the rows of one entity after newer rows were put at the end of its stretch.

        A stable sort of two sorted runs takes linear time.
        """
        places = self.stretch(entity)
        places[:] = places[np.argsort(self.times.values[places], kind="stable")]

    def _sort(self, entities: NDArray[Any]) -> None:
        """Sort the rows of each entity by time, and by arrival if their times are equal."""
        starts, ends = self.stretches(entities)
        counts = ends - starts
        slots = ranges(starts, counts)
        places = self._places.values[slots]
        whose = np.repeat(np.arange(len(entities)), counts)
        order = np.lexsort((places, self.times.values[places], whose))
        self._places.values[slots] = places[order]

    def _make_room(self, who: NDArray[Any], more: NDArray[Any]) -> None:
        """Make room for `more` further rows at the end of each entity's stretch.

        `who` has the entity numbers, without repetitions.
        """
        counts = self._count.values[who]
        needed = counts + more
        is_full = needed > self._room.values[who]
        if not is_full.any():
            return
        if self._n_unused > 4096 and self._n_unused > self._places.n // 2:
            self._pack(self._room.values)
        who, counts, needed = who[is_full], counts[is_full], needed[is_full]
        is_new = counts == 0
        room = needed + np.where(is_new, 0, np.maximum(needed >> 1, 2))
        begins = self._places.n + np.cumsum(room) - room
        self._places.more(int(room.sum()))
        places = self._places.values
        places[ranges(begins, counts)] = places[ranges(self._start.values[who], counts)]
        self._n_unused += int(self._room.values[who].sum())
        self._start.values[who], self._room.values[who] = begins, room

    def _pack(self, room: NDArray[Any]) -> None:
        """Rewrite the array of places without gaps, each stretch with the given room."""
        counts = self._count.values
        begins = np.cumsum(room, dtype=np.int64) - room
        places = np.empty(int(room.sum(dtype=np.int64)), np.int32)
        places[ranges(begins, counts)] = self._places.values[ranges(self._start.values, counts)]
        self._places, self._n_unused = GrowingArray(places), 0
        self._start = GrowingArray(begins)
        self._room = GrowingArray(np.array(room, np.int32))

    def trim(self, entities: NDArray[Any], begins: Int64Array) -> None:
        """Remove the rows of each entity before slot `begins`; `entities` has no repetitions.

        The removed rows have no entity afterwards.
        """
        starts = self._start.values[entities]
        dropped = (begins - starts).astype(np.int32)
        self.entity.values[self.places(ranges(starts, dropped))] = -1
        self._start.values[entities] = begins
        self._count.values[entities] -= dropped
        self._room.values[entities] -= dropped
        self._n_unused += int(dropped.sum())

    def drop(self, is_dropped: NDArray[np.bool_], places: Places) -> None:
        """Remove rows from the stretches of their entities; the places of other rows stay.

        `is_dropped` has a flag per place, and `places` are the flagged places.
        """
        entities = np.unique(self.entity.values[places])
        for entity in entities[entities >= 0].tolist():
            stretch = self.stretch(entity)
            kept = stretch[~is_dropped[stretch]]
            stretch[: len(kept)] = kept
            self._count.values[entity] = len(kept)

    def cut(self, n_rows: int) -> None:
        """Keep the rows at the first `n_rows` places, and drop all later ones."""
        is_dropped = np.arange(self.times.n) >= n_rows
        self.drop(is_dropped, np.flatnonzero(is_dropped))
        self.times.cut(n_rows)
        self.entity.cut(n_rows)

    def move(self, place: int, time: int, entity: int) -> None:
        """Change the time and the entity of the row at a place."""
        before = int(self.entity.values[place])
        if before >= 0:
            stretch = self.stretch(before)
            kept = stretch[stretch != place]
            stretch[: len(kept)] = kept
            self._count.values[before] = len(kept)
        self._know(self.numbering.n_numbers)
        self.times.values[place], self.entity.values[place] = time, entity
        if entity >= 0:
            self._make_room(np.array([entity]), np.array([1]))
            end = int(self._start.values[entity]) + int(self._count.values[entity])
            self._places.values[end] = place
            self._count.values[entity] += 1
            self._sort(np.array([entity]))

    def only(
        self,
        held: tuple[NDArray[Any], Int64Array, Int64Array],
        places: Places,
        place_of: NDArray[np.int32],
    ) -> EntityIndex:
        """Return a new index with the remaining rows at new places; this one does not change.

        Args:
            held: Entity numbers in ascending order, and the first slot and the end of their
                remaining rows.
            places: Old places that remain, in ascending order; among them places of rows that only
                another order needs: these rows have no entity in this order.
            place_of: New place of each old place.
        """
        entities, begins, ends = held
        lengths = (ends - begins).astype(np.int32)
        counts = np.zeros(self.n_entities, np.int32)
        counts[entities] = lengths
        rows = self.places(ranges(begins, lengths))
        entity = np.full(self.times.n, -1, np.int32)
        entity[rows] = np.repeat(entities.astype(np.int32), lengths)
        found = EntityIndex(self.numbering)
        found.times = GrowingArray(self.times.values.take(places))
        found.entity = GrowingArray(entity.take(places))
        found._places = GrowingArray(place_of.take(rows))
        found._start = GrowingArray(np.cumsum(counts, dtype=np.int64) - counts)
        found._count, found._room = GrowingArray(counts), GrowingArray(counts.copy())
        return found

    def release(self) -> None:
        """Free the numbers of entities that have no rows."""
        is_free = np.zeros(self.numbering.n_numbers, np.bool_)
        is_free[self.numbering.free] = True
        is_free[self.with_rows()] = True
        self.numbering.release(np.flatnonzero(~is_free))


def _counted(entities: NDArray[np.int32]) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
    """Yield entity numbers without repetitions, and the number of rows of each, chunk by chunk."""
    counts = np.bincount(entities[entities >= 0]).astype(np.int32)
    for begin in range(0, len(counts), _BULK):
        some = counts[begin : begin + _BULK]
        there = np.flatnonzero(some)
        yield there + begin, some[there]
