"""The rows of a live state in memory, in order of arrival, with an index of each entity's rows.

A row keeps its number in order of arrival. Its place, its position in memory, changes when rows out
of reach are dropped from memory; only `Log.tidy` and `Log.remove` do that. Tidying takes amortized
constant time per row. Entity numbers and results of `Log.seen` are valid until then.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastfeat.io.arrow import Array, ChunkedArray, Table, pa
from fastfeat.ir.dtypes import DType
from fastfeat.live.log.columns import Column, FixedColumn, Growing, Places, column_of, ranges
from fastfeat.live.log.entities import NEVER, Entities, RowPlaces, Ticks
from fastfeat.live.log.numbering import python_values
from fastfeat.live.log.retention import (
    AskingRows,
    Retention,
    Rows,
    RowsInReach,
    are_kept,
    earlier,
    gather,
    kept_places,
    kept_slots,
    latest_before,
    seen_of_one,
    silent_slots,
)
from fastfeat.live.log.row_ids import Ids

_Held = tuple[NDArray[Any], NDArray[np.int64], NDArray[np.int64]]
_FEWEST = 4096  # fewest new rows before rows are dropped again


class RowsOfOne(NamedTuple):
    """The rows of one entity that an asking row can reach.

    Args:
        entity: Entity number; negative if it has no rows.
        latest: Latest time of its rows in ticks; NEVER for none.
        places: Places of the rows in reach, in order; valid until the log changes.
        times: Times of these rows, in ticks.
    """

    entity: int
    latest: int
    places: Places
    times: Ticks


NO_ROWS = RowsOfOne(-2, NEVER, np.empty(0, np.int32), np.empty(0, np.int64))


class Log:
    """Rows in order of arrival, with their orders and ids.

    It does not lock: the caller makes writers and readers take turns.

    Args:
        columns: Data column name to type.
        kept: Name to type of the columns that are stored beside the data.
        orders: Reach of the windows of each order.
        row_id: Name of the id column; None without one.
    """

    def __init__(
        self,
        columns: Mapping[str, DType],
        kept: Mapping[str, DType],
        orders: Sequence[Retention],
        row_id: str | None = None,
    ) -> None:
        self.types = {**columns, **kept}
        self.orders = tuple(orders)
        self.swept = [NEVER] * len(self.orders)
        self._columns: dict[str, Column] = {n: column_of(t) for n, t in self.types.items()}
        self._indexes: list[Entities] = [Entities() for _ in self.orders]
        self._numbers = Growing(np.empty(0, np.int64))
        self._next = 0
        self._ids = None if row_id is None else Ids(row_id, self.types[row_id])
        self._n_tidy = 0  # rows that stayed when rows were last dropped

    @property
    def n_rows(self) -> int:
        """The number of rows that have come, which is also the number of the next one."""
        return self._next

    @property
    def n_stored(self) -> int:
        """The number of rows in memory."""
        return self._numbers.n

    def n_entities(self, order: int) -> int:
        """Return the number of entities that an order has in memory."""
        return self._indexes[order].numbering.n_values

    def entities(
        self, order: int, keys: Sequence[Any], n_rows: int, *, add: bool
    ) -> NDArray[np.int32]:
        """Return the entity number of each row, shape (n_rows,).

        `keys` has one array per part of the key, as `io.columns.keys` stores them, or none if all
        rows are one entity. A row with a missing part gets -1. With `add`, new keys get new
        numbers, for rows that will be appended; without it they get -2 and less, equal for equal
        keys.
        """
        return self._indexes[order].numbering.numbers(keys, n_rows, add=add)

    def append(self, rows: Table, kept: Mapping[str, Any], placed: Sequence[RowPlaces]) -> None:
        """Append rows; after any error the log is as it was.

        `kept` has the columns stored beside the data, `placed` the places of the rows in each
        order. Raises `TypeMismatch` or `InvalidData` if a column cannot be converted exactly to its
        type.
        """
        n_rows = rows.num_rows
        given = {
            name: _chunked(kept[name] if name in kept else rows.column(name)) for name in self.types
        }
        assert all(len(column) == n_rows for column in given.values()), "columns are of all rows"
        assert len(placed) == len(self.orders), "rows stand in each order"
        pieces = {name: self._columns[name].read(column, name) for name, column in given.items()}
        ids = None if self._ids is None else self._ids.read(given[self._ids.name])
        for name, piece in pieces.items():
            self._columns[name].append(piece, n_rows)
        numbers = self._next + np.arange(n_rows, dtype=np.int64)
        if self._ids is not None and ids is not None:
            self._ids.add(ids, numbers)
        self._numbers.more(n_rows)[:] = numbers
        for index, own in zip(self._indexes, placed, strict=True):
            index.append(own)
        self._next += n_rows

    def add(self, values: Mapping[str, Any], placed: Sequence[tuple[Any, int]]) -> None:
        """Append one row.

        Args:
            values: Column name to value as stored; see `columns.Column.add`.
            placed: Per order, the entity's key as `Numbering.number_of` takes it, and the time in
                ticks.
        """
        number = self._next
        for name, column in self._columns.items():
            column.add(values[name])
        if self._ids is not None:
            self._ids.add_one(_as_key(values[self._ids.name]), number)
        self._numbers.more(1)[0] = number
        for index, (key, time) in zip(self._indexes, placed, strict=True):
            index.add(index.numbering.added(key), time)
        self._next = number + 1

    def has_not(self, row_id: Any) -> bool:
        """Return whether it is certain that no row has an id, given as stored."""
        return self._ids is not None and self._ids.is_new(_as_key(row_id))

    def truncate(self, n_rows: int) -> None:
        """Take back the rows appended after the first `n_rows`.

        `tidy` must not have dropped rows since.
        """
        place = self._limit(n_rows)
        if self._ids is not None and place < self.n_stored:
            taken = self._numbers.values[place:]
            self._ids.remove(self._ids_of(taken), taken)
        for index in self._indexes:
            index.cut(place)
        for column in self._columns.values():
            column.cut(place)
        self._numbers.cut(place)
        self._next = min(self._next, n_rows)

    def latest(self, order: int, entities: NDArray[Any], *, n_rows: int | None = None) -> Ticks:
        """Return the latest time of each entity in ticks; NEVER, the least int64, for none.

        Negative entity numbers have no rows. With `n_rows`, only the first `n_rows` rows that came
        count.
        """
        return latest_before(self._indexes[order], entities, self._limit(n_rows))

    def last(self, order: int) -> int:
        """Return the latest time of an order in ticks; NEVER, the least int64, for none."""
        index = self._indexes[order]
        return int(index.latest(index.with_rows()).max(initial=NEVER))

    def too_late(
        self, order: int, entities: NDArray[Any], times: Ticks, *, n_rows: int | None = None
    ) -> NDArray[np.bool_]:
        """Return flags of asking rows that are too old: rows that they see may have been dropped.

        Entity -1 is never too old. With `n_rows`, only the first `n_rows` rows that came count.
        """
        held = self.orders[order]
        is_placed = entities != -1
        reach = earlier(times, held.span or 0)
        is_swept = is_placed & (reach <= self.swept[order]) & (self.swept[order] > NEVER)
        if held.kept is None or held.keep is None:
            return is_swept
        latest = self.latest(order, entities, n_rows=n_rows)
        return is_swept | (is_placed & (times < earlier(latest, held.keep)))

    def n_at_most(self, order: int, entities: NDArray[Any]) -> NDArray[np.int64]:
        """Return each entity's number of rows in memory: an upper bound of the rows it sees."""
        index, found = self._indexes[order], np.zeros(len(entities), np.int64)
        known = np.flatnonzero((entities >= 0) & (entities < index.n_entities))
        starts, ends = index.stretches(entities[known])
        found[known] = ends - starts
        return found

    def seen(
        self,
        order: int,
        entities: NDArray[Any],
        times: Ticks,
        *,
        alone: bool,
        n_rows: int | None = None,
    ) -> RowsInReach:
        """Return the rows that asking rows can reach.

        Args:
            order: Index of the order.
            entities: Entity number of each asking row; -1 for none.
            times: Time of each asking row, in ticks.
            alone: Whether asking rows do not see each other; then reachable rows are returned for
                each of them. Otherwise rows reachable by any row of an entity are returned once.
            n_rows: Only the first `n_rows` rows that came count; None for all.
        """
        asked = AskingRows(entities, times, alone)
        index, limit = self._indexes[order], self._limit(n_rows)
        return gather(index, self.orders[order], asked, self._numbers.values, limit)

    def seen_of_key(self, order: int, key: Any, time: int) -> RowsOfOne | None:
        """Return the rows that one asking row can reach, for `fill`.

        None if some may have been dropped. `key` is the entity's key, as `Numbering.number_of`
        takes it; `time` is in ticks.
        """
        index, held, swept = self._indexes[order], self.orders[order], self.swept[order]
        if swept > NEVER and time - (held.span or 0) <= swept:
            return None
        entity = index.numbering.number_of(key)
        if not 0 <= entity < index.n_entities:
            return NO_ROWS
        places = index.stretch(entity)
        times = index.times.values.take(places)
        latest = int(times[-1]) if len(times) else NEVER
        is_known = held.kept is not None and held.keep is not None and len(times) > 0
        if is_known and time < latest - (held.keep or 0):
            return None
        begin, end = seen_of_one(times, held, time, time)
        return RowsOfOne(entity, latest, places[begin:end], times[begin:end])

    def fill(
        self, name: str, places: Places, target: NDArray[Any], present: NDArray[np.uint8] | None
    ) -> None:
        """Write the values of a column of numbers or times into an array.

        Args:
            name: Name of the column.
            places: Places from `seen_of_key`; the log must not have changed since.
            target: Array that takes one value per place; a missing float is NaN.
            present: Array that takes 1 for each value that is there, else 0; None for floats.
        """
        column = self._columns[name]
        assert isinstance(column, FixedColumn), "it has numbers or times"
        column.fill(places, target, present)

    def take_one(self, name: str, places: Places) -> Array:
        """Return a column at places from `seen_of_key`, as a copy."""
        return self._columns[name].take(places)

    def take(self, rows: RowsInReach | Rows, names: Iterable[str] | None = None) -> Table:
        """Return columns of rows as a copy; `rows` are row numbers, or the result of `seen`."""
        return self._taken(self._places(rows), self.types if names is None else names)

    def put(self, rows: Rows, table: Table, placed: Mapping[int, RowPlaces] | None = None) -> None:
        """Replace columns of rows; after any error the log is as it was.

        Args:
            rows: Row numbers, without repetitions.
            table: The new columns.
            placed: Index of each order to the new places of the rows in it.

        Raises:
            TypeMismatch, InvalidData: A column cannot be converted exactly to its type.
        """
        places = self._places(rows)
        pieces = {
            name: self._columns[name].read(table.column(name), name) for name in table.column_names
        }
        for name, piece in pieces.items():
            self._columns[name].put(places, piece)
        for order, own in (placed or {}).items():
            self._move(order, places, own)

    def remove(self, rows: Rows) -> None:
        """Remove rows completely, as if they had never come."""
        places = self._places(rows)
        is_dropped = np.zeros(self.n_stored, np.bool_)
        is_dropped[places] = True
        for order, index in enumerate(self._indexes):
            self._trim(order, index.with_rows())
            index.drop(is_dropped, places)
        held = [(e, *i.stretches(e)) for i in self._indexes for e in [i.with_rows()]]
        self._put_away(held, self._is_held(held), nullcontext())

    def find(self, ids: Any, *, n_rows: int | None = None) -> Rows:
        """Return the number of the row with each id; -1 if no row in reach has it.

        With `n_rows`, only the first `n_rows` rows that came count.
        """
        assert self._ids is not None, "rows have ids"
        found = self._ids.find(
            self._ids.read(_chunked(ids)), lambda rows: python_values(self._ids_of(rows))
        )
        limit = self._next if n_rows is None else n_rows
        found[found >= limit] = -1
        known = np.flatnonzero(found >= 0)
        if len(known):
            places = self._places(found[known])
            found[known[~self._in_reach(places, n_rows)]] = -1
        return found

    def rows(self, *, n_rows: int | None = None) -> Rows:
        """Return the numbers of the rows in reach of some order, in order of arrival.

        With `n_rows`, only the first `n_rows` rows that came count.
        """
        return self._numbers.values[self._reached(n_rows)]

    def table(self, names: Iterable[str] | None = None, *, n_rows: int | None = None) -> Table:
        """Return the rows in reach of some order, in order of arrival.

        With `n_rows`, only the first `n_rows` rows that came count.
        """
        return self._taken(self._reached(n_rows), self.types if names is None else names)

    def sweep(self, watermarks: Sequence[int | None]) -> int:
        """Drop rows of silent entities; return the number of dropped rows, summed over orders.

        `watermarks` has the latest time of each order in ticks, or None for no sweep of the order.
        """
        n_dropped = 0
        for k, (index, watermark) in enumerate(zip(self._indexes, watermarks, strict=True)):
            if watermark is None:
                continue
            silent, begins = silent_slots(index, self.orders[k], watermark)
            if len(silent):
                self.swept[k] = max(self.swept[k], int(index.latest(silent).max()))
                n_dropped += int((begins - index.stretches(silent)[0]).sum())
                index.trim(silent, begins)
        return n_dropped

    def tidy(self, *, now: bool = False, lock: AbstractContextManager[Any] | None = None) -> bool:
        """Drop rows out of reach from memory, if that is due; return whether places have changed.

        `now` forces it. `lock` is held only while the new columns replace the old ones; until then
        others may read.
        """
        if not now and self.n_stored - self._n_tidy < max(_FEWEST, self._n_tidy):
            return False
        held: list[_Held] = []
        for index, retention in zip(self._indexes, self.orders, strict=True):
            entities = index.with_rows()
            held.append((entities, *kept_slots(index, retention, entities)))
        is_held = self._is_held(held)
        if not now and np.count_nonzero(is_held) > self.n_stored * 7 // 8:
            self._n_tidy = self.n_stored  # too few to justify a copy of the others
            return False
        self._put_away(held, is_held, lock or nullcontext())
        return True

    def _taken(self, places: Places, names: Iterable[str]) -> Table:
        names = list(names)
        return pa.Table.from_arrays([self._columns[n].take(places) for n in names], names=names)

    def _places(self, rows: RowsInReach | Rows) -> Places:
        """Return the places of rows."""
        numbers = self._numbers.values
        if isinstance(rows, RowsInReach):
            if rows.numbers.base is numbers.base:
                return rows.places
            rows = rows.rows
        if len(rows) == 0:
            return rows
        assert len(numbers) > 0, "rows are there"
        first, last = int(numbers[0]), int(numbers[-1])
        assert first <= int(rows.min()) <= int(rows.max()) <= last, "rows are there"
        if last - first + 1 == len(numbers):
            return rows - first
        places = numbers.searchsorted(rows)
        assert bool((numbers.take(places) == rows).all()), "rows are there"
        return places

    def _limit(self, n_rows: int | None) -> int:
        """Return the place behind the first `n_rows` rows that came."""
        if n_rows is None or n_rows >= self._next:
            return self.n_stored
        return int(self._numbers.values.searchsorted(n_rows))

    def _reached(self, n_rows: int | None) -> Places:
        is_reached = np.zeros(self.n_stored, np.bool_)
        limit = self._limit(n_rows)
        for index, held in zip(self._indexes, self.orders, strict=True):
            is_reached[kept_places(index, held, limit)] = True
        return np.flatnonzero(is_reached)

    def _in_reach(self, places: Places, n_rows: int | None) -> NDArray[np.bool_]:
        """Return flags of the rows that are in reach of some order."""
        found = np.zeros(len(places), np.bool_)
        limit = self._limit(n_rows)
        for index, held in zip(self._indexes, self.orders, strict=True):
            found |= are_kept(index, held, places, limit)
        return found

    def _move(self, order: int, places: Places, placed: RowPlaces) -> None:
        """Move rows to their new places in an order, if they differ."""
        index = self._indexes[order]

        def elsewhere() -> Places:
            times, entities = index.times.values.take(places), index.entity.values.take(places)
            wanted = np.maximum(placed.entities, -1)
            return np.flatnonzero((times != placed.times) | (entities != wanted))

        self._trim(order, np.unique(index.entity.values[places[elsewhere()]]))
        for k in elsewhere().tolist():  # rows that were trimmed move back in
            index.move(int(places[k]), int(placed.times[k]), int(placed.entities[k]))

    def _trim(self, order: int, entities: NDArray[Any]) -> None:
        """Remove rows out of reach of their entity from an order."""
        index = self._indexes[order]
        entities = entities[index.latest(entities) > NEVER]
        begins, _ = kept_slots(index, self.orders[order], entities)
        index.trim(entities, begins)

    def _is_held(self, held: Sequence[_Held]) -> NDArray[np.bool_]:
        """Return flags of the places that some order holds.

        `held` has, per order, its entities and the begins and ends of their rows.
        """
        is_held = np.zeros(self.n_stored, np.bool_)
        for index, (_, begins, ends) in zip(self._indexes, held, strict=True):
            is_held[index.places(ranges(begins, ends - begins))] = True
        return is_held

    def _put_away(
        self,
        held: Sequence[_Held],
        is_held: NDArray[np.bool_],
        lock: AbstractContextManager[Any],
    ) -> None:
        """Keep only the places that some order holds; arguments as in `_is_held` and `tidy`."""
        places = np.flatnonzero(is_held)
        place_of = np.cumsum(is_held, dtype=np.int32) - np.int32(1)
        pairs = zip(self._indexes, held, strict=True)
        indexes: list[Entities] = [index.only(own, places, place_of) for index, own in pairs]
        columns, numbers, ids = self._columns, self._numbers, self._ids
        if len(places) < self.n_stored:
            numbers = Growing(numbers.values.take(places))
            columns = {name: column.only(places) for name, column in columns.items()}
            ids = None if ids is None else ids.only(numbers.values)
        with lock:
            self._columns, self._numbers, self._indexes, self._ids = columns, numbers, indexes, ids
            for index in indexes:
                index.release()
        self._n_tidy = self.n_stored

    def _ids_of(self, rows: Rows) -> ChunkedArray:
        assert self._ids is not None
        taken = self._columns[self._ids.name].take(self._places(rows))
        return self._ids.read(pa.chunked_array([taken]))


def _as_key(value: Any) -> Any:
    """Return a value in the form in which `Numbering` and `Ids` compare it: text as bytes."""
    return value.encode() if isinstance(value, str) else value


def _chunked(column: Any) -> ChunkedArray:
    return column if isinstance(column, ChunkedArray) else pa.chunked_array([column])
