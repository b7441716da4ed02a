"""The rows of a live state in memory, in order of arrival, with an index of each entity's rows.

A row keeps its number, counted in order of arrival. Its place, its position in memory, changes when
rows before it are dropped; only `Log.tidy` and `Log.remove` do that. A row is in reach if a window
of some order may still see it. Tidying takes amortized constant time per row. Entity numbers and
results of `Log.seen` are valid until the next `tidy` or `remove`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import numpy as np
from fastfeat_kernels.arrays import Int64Array
from numpy.typing import NDArray

from fastfeat.io.arrow import Array, ChunkedArray, Table, pa
from fastfeat.ir.dtypes import DType
from fastfeat.live.log.columns import (
    FixedColumn,
    GrowingArray,
    LogColumn,
    Places,
    column_of,
    ranges,
)
from fastfeat.live.log.entities import NEVER, EntityIndex, RowPlaces
from fastfeat.live.log.numbering import python_values
from fastfeat.live.log.retention import (
    AskingRows,
    Retention,
    RowsInReach,
    are_in_reach,
    find_reachable_slots,
    find_silent_slots,
    find_visible_range,
    gather,
    kept_places,
    latest_before,
    subtract_ticks,
)
from fastfeat.live.log.row_ids import Ids

_Held = tuple[NDArray[Any], NDArray[np.int64], NDArray[np.int64]]
_FEWEST = 4096  # fewest new rows before rows are dropped again


class EntityRows(NamedTuple):
    """The rows of one entity that the windows of one asking row can see.

    Args:
        entity: Entity number; negative if it has no rows.
        latest: Latest time of the entity's rows in ticks; `NEVER` for none.
        places: Places of the visible rows, by time; valid until the log changes.
        times: Times of the visible rows, in ticks.
    """

    entity: int
    latest: int
    places: Places
    times: Int64Array


NO_ROWS = EntityRows(-2, NEVER, np.empty(0, np.int32), np.empty(0, np.int64))


class Log:
    """Rows in order of arrival, with one index of entities per order, and an index of ids.

    It does not lock: the caller makes writers and readers take turns.

    Args:
        columns: Data column name to type.
        kept: Name to type of further columns: stored window results, and the flag of answered rows.
        orders: Per order, how far back its windows see and how long rows are kept.
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
        self._columns: dict[str, LogColumn] = {n: column_of(t) for n, t in self.types.items()}
        self._indexes: list[EntityIndex] = [EntityIndex() for _ in self.orders]
        self._numbers = GrowingArray(np.empty(0, np.int64))
        self._next = 0
        self._ids = None if row_id is None else Ids(row_id, self.types[row_id])
        self._n_tidy = 0  # rows that stayed when rows were last dropped

    @property
    def n_rows(self) -> int:
        """The number of rows that ever came, which is also the number of the next row."""
        return self._next

    @property
    def n_stored(self) -> int:
        """The number of rows in memory, with rows out of reach that are not dropped yet."""
        return self._numbers.n

    def n_entities(self, order: int) -> int:
        """Return the number of entities in the order number `order`."""
        return self._indexes[order].numbering.n_values

    def entities(
        self, order: int, keys: Sequence[Any], n_rows: int, *, add: bool
    ) -> NDArray[np.int32]:
        """Return the entity number of each row in one order, shape (n_rows,).

        `keys` has one array per part of the key, in the form of `io.columns.keys`, or none if all
        rows are one entity. A row with a missing part gets -1. With `add`, new keys get new
        numbers, for rows that will be appended. Without `add`, new keys get -2, -3 and so on; equal
        keys get equal numbers.
        """
        return self._indexes[order].numbering.numbers(keys, n_rows, add=add)

    def append(self, rows: Table, kept: Mapping[str, Any], placed: Sequence[RowPlaces]) -> None:
        """Append rows; after any error the log is as it was.

        `kept` has the further columns by name, `placed` the times and entities of the rows in each
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
            values: Column name to value in stored form; see `columns.LogColumn.add`.
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

    def lacks_id(self, row_id: Any) -> bool:
        """Return True if certainly no row has this id, given in stored form.

        False if a row may have this id, or if rows have no ids.
        """
        return self._ids is not None and self._ids.is_new(_as_key(row_id))

    def truncate(self, n_rows: int) -> None:
        """Take back the rows appended after the first `n_rows` rows that ever came.

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

    def latest(
        self, order: int, entities: NDArray[Any], *, n_rows: int | None = None
    ) -> Int64Array:
        """Return the latest time of each entity's rows in one order, in ticks; `NEVER` for no rows.

        Negative entity numbers have no rows. With `n_rows`, only the first `n_rows` rows that came
        count.
        """
        return latest_before(self._indexes[order], entities, self._limit(n_rows))

    def last(self, order: int) -> int:
        """Return the latest time of all rows in one order, in ticks; `NEVER` for no rows."""
        index = self._indexes[order]
        return int(index.latest(index.with_rows()).max(initial=NEVER))

    def too_late(
        self, order: int, entities: NDArray[Any], times: Int64Array, *, n_rows: int | None = None
    ) -> NDArray[np.bool_]:
        """Return flags of asking rows so old that rows in their windows may have been dropped.

        A row without an entity (-1) is never too old. With `n_rows`, only the first `n_rows` rows
        that came count.
        """
        held = self.orders[order]
        is_placed = entities != -1
        reach = subtract_ticks(times, held.span or 0)
        is_swept = is_placed & (reach <= self.swept[order]) & (self.swept[order] > NEVER)
        if held.kept is None or held.keep is None:
            return is_swept
        latest = self.latest(order, entities, n_rows=n_rows)
        return is_swept | (is_placed & (times < subtract_ticks(latest, held.keep)))

    def n_at_most(self, order: int, entities: NDArray[Any]) -> NDArray[np.int64]:
        """Return the number of rows that each entity has in memory, shape (n_entities,).

        An asking row of the entity sees at most so many.
        """
        index, found = self._indexes[order], np.zeros(len(entities), np.int64)
        known = np.flatnonzero((entities >= 0) & (entities < index.n_entities))
        starts, ends = index.stretches(entities[known])
        found[known] = ends - starts
        return found

    def seen(
        self,
        order: int,
        entities: NDArray[Any],
        times: Int64Array,
        *,
        alone: bool,
        n_rows: int | None = None,
    ) -> RowsInReach:
        """Return the rows that the windows of asking rows can see in one order.

        Args:
            order: Index of the order.
            entities: Entity number of each asking row; -1 for none.
            times: Time of each asking row, in ticks.
            alone: Whether asking rows do not see each other; then the visible rows are returned for
                each asking row. Otherwise they are returned once per entity, for all its asking
                rows together.
            n_rows: Only the first `n_rows` rows that came count; None for all.
        """
        asked = AskingRows(entities, times, alone)
        index, limit = self._indexes[order], self._limit(n_rows)
        return gather(index, self.orders[order], asked, self._numbers.values, limit)

    def visible_rows_of_key(self, order: int, key: Any, time: int) -> EntityRows | None:
        """Return the rows that the windows of one asking row can see in one order.

        None if some of them may have been dropped. `key` is the entity's key, as
        `Numbering.number_of` takes it; `time` is in ticks.
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
        begin, end = find_visible_range(times, held, time, time)
        return EntityRows(entity, latest, places[begin:end], times[begin:end])

    def fill(
        self, name: str, places: Places, target: NDArray[Any], present: NDArray[np.uint8] | None
    ) -> None:
        """Copy the values of a number or time column into an array.

        Args:
            name: Name of the column.
            places: Places from `seen_of_key`; the log must not have changed since then.
            target: Array that takes one value per place; a missing float is NaN.
            present: Array that takes 1 for each value that is there, else 0; None for floats.
        """
        column = self._columns[name]
        assert isinstance(column, FixedColumn), "it has numbers or times"
        column.fill(places, target, present)

    def take_one(self, name: str, places: Places) -> Array:
        """Return a copy of one column at places from `seen_of_key`, as an Arrow array."""
        return self._columns[name].take(places)

    def take(self, rows: RowsInReach | Int64Array, names: Iterable[str] | None = None) -> Table:
        """Return a copy of columns of some rows, as a table; `names` of None takes all columns.

        `rows` are row numbers, or the result of `seen`.
        """
        return self._taken(self._places(rows), self.types if names is None else names)

    def put(
        self, rows: Int64Array, table: Table, placed: Mapping[int, RowPlaces] | None = None
    ) -> None:
        """Overwrite columns of rows, and move the rows in the orders; any error changes nothing.

        Args:
            rows: Row numbers, without repetitions.
            table: The new values, one row per row number, for some of the columns.
            placed: Index of an order to the new times and entities of the rows, for orders in which
                they move.

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

    def remove(self, rows: Int64Array) -> None:
        """Remove rows by number, as if they had never come."""
        places = self._places(rows)
        is_dropped = np.zeros(self.n_stored, np.bool_)
        is_dropped[places] = True
        for order, index in enumerate(self._indexes):
            self._trim(order, index.with_rows())
            index.drop(is_dropped, places)
        held = [(e, *i.stretches(e)) for i in self._indexes for e in [i.with_rows()]]
        self._put_away(held, self._is_held(held), nullcontext())

    def find(self, ids: Any, *, n_rows: int | None = None) -> Int64Array:
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

    def rows(self, *, n_rows: int | None = None) -> Int64Array:
        """Return the numbers of all rows in reach, in order of arrival.

        With `n_rows`, only the first `n_rows` rows that came count.
        """
        return self._numbers.values[self._reached(n_rows)]

    def table(self, names: Iterable[str] | None = None, *, n_rows: int | None = None) -> Table:
        """Return all rows in reach as a table, in order of arrival.

        `names` of None takes all columns. With `n_rows`, only the first `n_rows` rows that came
        count.
        """
        return self._taken(self._reached(n_rows), self.types if names is None else names)

    def sweep(self, watermarks: Sequence[int | None]) -> int:
        """Drop rows of silent entities: entities to which no new row has come for long.

        Return the number of dropped rows, summed over orders. `watermarks` has the latest time of
        each order in ticks, or None for an order that drops none.
        """
        n_dropped = 0
        for k, (index, watermark) in enumerate(zip(self._indexes, watermarks, strict=True)):
            if watermark is None:
                continue
            silent, begins = find_silent_slots(index, self.orders[k], watermark)
            if len(silent):
                self.swept[k] = max(self.swept[k], int(index.latest(silent).max()))
                n_dropped += int((begins - index.stretches(silent)[0]).sum())
                index.trim(silent, begins)
        return n_dropped

    def tidy(self, *, now: bool = False, lock: AbstractContextManager[Any] | None = None) -> bool:
        """Drop rows out of reach from memory, if there are enough of them.

        Return whether places of rows have changed. `now` drops them in any case. `lock` is held
        only while the new columns replace the old ones; until then others may read.
        """
        if not now and self.n_stored - self._n_tidy < max(_FEWEST, self._n_tidy):
            return False
        held: list[_Held] = []
        for index, retention in zip(self._indexes, self.orders, strict=True):
            entities = index.with_rows()
            held.append((entities, *find_reachable_slots(index, retention, entities)))
        is_held = self._is_held(held)
        if not now and np.count_nonzero(is_held) > self.n_stored * 7 // 8:
            self._n_tidy = self.n_stored  # too few to justify a copy of the others
            return False
        self._put_away(held, is_held, lock or nullcontext())
        return True

    def _taken(self, places: Places, names: Iterable[str]) -> Table:
        names = list(names)
        return pa.Table.from_arrays([self._columns[n].take(places) for n in names], names=names)

    def _places(self, rows: RowsInReach | Int64Array) -> Places:
        """Return the places of rows, given by number or as the result of `seen`."""
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
        """Return the place after the first `n_rows` rows that came; None stands for all rows."""
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
        """Return, for each place, whether a window of some order may still see the row there."""
        found = np.zeros(len(places), np.bool_)
        limit = self._limit(n_rows)
        for index, held in zip(self._indexes, self.orders, strict=True):
            found |= are_in_reach(index, held, places, limit)
        return found

    def _move(self, order: int, places: Places, placed: RowPlaces) -> None:
        """Give the rows at `places` new times and entities in one order, where these differ."""
        index = self._indexes[order]

        def elsewhere() -> Places:
            times, entities = index.times.values.take(places), index.entity.values.take(places)
            wanted = np.maximum(placed.entities, -1)
            return np.flatnonzero((times != placed.times) | (entities != wanted))

        self._trim(order, np.unique(index.entity.values[places[elsewhere()]]))
        for k in elsewhere().tolist():  # rows that were trimmed move back in
            index.move(int(places[k]), int(placed.times[k]), int(placed.entities[k]))

    def _trim(self, order: int, entities: NDArray[Any]) -> None:
        """Remove from an order's index the rows that its windows can no longer see."""
        index = self._indexes[order]
        entities = entities[index.latest(entities) > NEVER]
        begins, _ = find_reachable_slots(index, self.orders[order], entities)
        index.trim(entities, begins)

    def _is_held(self, held: Sequence[_Held]) -> NDArray[np.bool_]:
        """Return a flag for each place: whether any order still needs the row at this place.

        `held` has, per order, its entities and the first slot and the end of their rows.
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
        """Rebuild columns and indexes with the rows flagged in `is_held` alone.

        The arguments are those of `_is_held` and `tidy`.
        """
        places = np.flatnonzero(is_held)
        place_of = np.cumsum(is_held, dtype=np.int32) - np.int32(1)
        pairs = zip(self._indexes, held, strict=True)
        indexes: list[EntityIndex] = [index.only(own, places, place_of) for index, own in pairs]
        columns, numbers, ids = self._columns, self._numbers, self._ids
        if len(places) < self.n_stored:
            numbers = GrowingArray(numbers.values.take(places))
            columns = {name: column.only(places) for name, column in columns.items()}
            ids = None if ids is None else ids.only(numbers.values)
        with lock:
            self._columns, self._numbers, self._indexes, self._ids = columns, numbers, indexes, ids
            for index in indexes:
                index.release()
        self._n_tidy = self.n_stored

    def _ids_of(self, rows: Int64Array) -> ChunkedArray:
        assert self._ids is not None
        taken = self._columns[self._ids.name].take(self._places(rows))
        return self._ids.read(pa.chunked_array([taken]))


def _as_key(value: Any) -> Any:
    """Return a value in the form in which `Numbering` and `Ids` compare it: text as bytes."""
    return value.encode() if isinstance(value, str) else value


def _chunked(column: Any) -> ChunkedArray:
    return column if isinstance(column, ChunkedArray) else pa.chunked_array([column])
