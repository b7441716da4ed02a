"""Rows of a log that are seen, or kept: of many entities at once, or of the first rows that came.

Rows that are there for everybody begin at place 0; those from a limit on are of a call that is not
whole yet, and are left out, entity by entity.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastfeat.online.entities import NEVER, Entities, Ticks
from fastfeat.online.eviction import (
    Retention,
    kept_of_one,
    kept_slots,
    seen_of_one,
    seen_slots,
)
from fastfeat.online.growing import Places, ranges

Rows = NDArray[np.int64]
"""Numbers of rows in order of arrival, shape (n_rows,)."""
_FEW = 4  # entities that are looked at one by one


class Asked(NamedTuple):
    """Rows that ask.

    Args:
        entities: the entity of each; -1 for none.
        times: of each, in ticks.
        alone: whether they do not see each other.
    """

    entities: NDArray[Any]
    times: Ticks
    alone: bool


@dataclass(frozen=True, slots=True)
class Gathered:
    """The rows in reach of those that ask, in one order.

    Args:
        places: where they stand in memory: entity by entity, of each by time, and at one instant
            by arrival. Of rows that ask alone, those of each of them, one after the other.
        codes: the number of the entity of each, ascending from 0; of rows that ask alone, of the
            row.
        asking: the same of those that ask; -1 for none.
        numbers: of each place the number of its row.
    """

    places: Places
    codes: NDArray[np.int32]
    asking: NDArray[np.int32]
    numbers: NDArray[np.int64]

    @property
    def rows(self) -> Rows:
        """The numbers of the rows."""
        return self.numbers.take(self.places)


def gather(index: Entities, held: Retention, asked: Asked, numbers: Rows, limit: int) -> Gathered:
    """Return the rows in reach of those that ask.

    Args:
        index: the order.
        held: its reach.
        asked: the rows that ask.
        numbers: of each place the number of its row.
        limit: the place from which on rows are left out.
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
        begins, ends = seen_slots(index, held, who, first, last)
        counts = ends - begins
        places = index.places(ranges(begins, counts))
    return Gathered(places, np.repeat(known.astype(np.int32), counts), asking, numbers)


def _seen_by_few(
    index: Entities, held: Retention, limit: int, entities: NDArray[Any], first: Ticks, last: Ticks
) -> tuple[Places, NDArray[np.int64]]:
    """Return the places that are seen of each entity, and how many they are."""
    pieces: list[Places] = []
    asked = zip(entities.tolist(), first.tolist(), last.tolist(), strict=True)
    for entity, earliest, latest in asked:
        places = _first_places(index, entity, limit)
        begin, end = seen_of_one(index.times.values[places], held, earliest, latest)
        pieces.append(places[begin:end])
    counts = np.array([len(piece) for piece in pieces], np.int64)
    if len(pieces) == 1:
        return pieces[0].copy(), counts
    return np.concatenate([np.empty(0, np.int32), *pieces]), counts


def latest_before(index: Entities, entities: NDArray[Any], limit: int) -> Ticks:
    """Return the latest time of each entity of rows before a place; NEVER for none."""
    if limit >= index.times.n:
        return index.latest(entities)
    found = np.full(len(entities), NEVER, np.int64)
    for k in np.flatnonzero((entities >= 0) & (entities < index.n_entities)).tolist():
        places = _first_places(index, int(entities[k]), limit)
        if len(places):
            found[k] = index.times.values[places[-1]]
    return found


def kept_places(index: Entities, held: Retention, limit: int) -> Places:
    """Return the places of the rows in reach, of rows before a place."""
    entities, pieces = index.with_rows(), list[Places]()
    if limit < index.times.n:
        new = np.unique(index.entity.values[limit:])
        pieces = [_kept(index, held, limit, entity) for entity in new[new >= 0].tolist()]
        entities = np.setdiff1d(entities, new)
    begins, ends = kept_slots(index, held, entities)
    return np.concatenate([index.places(ranges(begins, ends - begins)), *pieces])


def are_kept(index: Entities, held: Retention, places: Places, limit: int) -> NDArray[np.bool_]:
    """Return which of some rows are in reach, of rows before a place."""
    entities, own = np.unique(index.entity.values.take(places), return_inverse=True)
    first = np.full(len(entities), -1, np.int64)  # the first place of each in reach
    if limit < index.times.n:
        for k in np.flatnonzero(entities >= 0).tolist():
            kept = _kept(index, held, limit, int(entities[k]))
            first[k] = kept[0] if len(kept) else -1
    else:
        known = np.flatnonzero(index.latest(entities) > NEVER)
        begins, _ = kept_slots(index, held, entities[known])
        first[known] = index.places(begins)
    begin = first.take(own)
    times, since = index.times.values.take(places), index.times.values.take(begin)
    return (begin >= 0) & ((times > since) | ((times == since) & (places >= begin)))


def _kept(index: Entities, held: Retention, limit: int, entity: int) -> Places:
    """Return the places of the rows of an entity in reach, of rows before a place."""
    places = _first_places(index, entity, limit)
    return places[kept_of_one(index.times.values[places], held) :]


def _first_places(index: Entities, entity: int, limit: int) -> Places:
    """Return the places of the rows of an entity before a place, by time."""
    places = index.stretch(entity)
    return places if limit >= index.times.n else places[places < limit]
