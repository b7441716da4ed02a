"""Memory of a live state: its log and tables, with functions that place and compute rows.

Placing finds the time and the entity of rows in each order. `lowered` is the merged plan. A latest
time is called lowered if the latest row of an entity was removed or moved, so that its latest row
is now an earlier one. Rows that were dropped because of the former latest time are then lacking.
This module neither locks nor journals: `LiveState` does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
from fastfeat_kernels.arrays import Int32Array, Int64Array
from numpy.typing import NDArray

from fastfeat.errors import InvalidData, TypeMismatch
from fastfeat.execute.lookup_tables import table_values
from fastfeat.execute.steps import make
from fastfeat.execute.values import compute_columns, key_values
from fastfeat.io.arrow import Table, call, pa
from fastfeat.io.columns.keys import key_column
from fastfeat.io.columns.types import column_text, dtype_of
from fastfeat.ir.dtypes import BOOL, DType
from fastfeat.ir.node import Column
from fastfeat.live.ask.features import (
    AnsweredRows,
    LogView,
    answer,
    begin,
    kept_arrays,
    make_stage,
)
from fastfeat.live.ask.one_row import AnsweredRow, answer_row
from fastfeat.live.log.entities import NEVER
from fastfeat.live.log.log import Log, RowsInReach
from fastfeat.live.log.retention import subtract_ticks
from fastfeat.live.lower.live_plan import LivePlan, LiveStage
from fastfeat.live.lower.row_orders import compute_order_values, load_stored_windows
from fastfeat.live.lower.row_tables import given_type, typed
from fastfeat.live.state.call_rows import PlacedRows, WindowRows
from fastfeat.live.state.changes import ANSWERED
from fastfeat.live.state.lateness import ArrivingRows, row_text
from fastfeat.live.state.order_clocks import OrderClock
from fastfeat.scalars.zones import use_zone_tables

_MOST_SEEN = 1 << 21
"""Number of visible rows that are gathered at once for rows that do not see each other.

About: a larger call is cut into parts.
"""
_NEVER_CAUGHT = 1 << 63
"""Stands for a time later than any other."""
Tie = tuple[bool, Any]
"""Sort key of a tie: whether a row has a tie value, and that value."""


class StateMemory:
    """The log of the rows that windows can still see, and the lookup tables.

    Args:
        lowered: Columns, orders and window functions that the plans need.
        clocks: Clock of each order.
        tables: Lookup tables, by name.
    """

    def __init__(
        self, lowered: LivePlan, clocks: Sequence[OrderClock], tables: Mapping[str, Table]
    ) -> None:
        self.lowered = lowered
        self.clocks = clocks
        self.tables = dict(tables)
        self.log: Log | None = None
        self.lowered_latest: list[dict[int, int]] = [{} for _ in lowered.orders]
        """Per order, entity number to its former latest time, if its latest time was lowered."""
        self.watermarks = [NEVER] * len(lowered.orders)
        """Per order, the latest time of all rows that ever came, in ticks."""
        self._read = [_columns_read(lowered, k) for k in range(len(lowered.orders))]
        self._placed_by = lowered.placed_by
        self.marks: dict[str, DType] = {ANSWERED: BOOL} if lowered.late else {}
        row_id = lowered.row_id
        if lowered.orders and (row_id is None or row_id in lowered.columns):
            self._begin(lowered.columns)

    @property
    def id_type(self) -> DType | None:
        """The type of the id column; None while it is unknown, or without such a column."""
        row_id = self.lowered.row_id
        return None if self.log is None or row_id is None else self.log.types[row_id]

    @property
    def columns(self) -> dict[str, DType]:
        """A dict of column name to type, for the data columns of the log and the id."""
        row_id, known = self.lowered.row_id, self.id_type
        more = {} if row_id is None or known is None else {row_id: known}
        return {**self.lowered.columns, **more}

    @property
    def placed_by(self) -> list[str]:
        """The names of the log columns from which the times and entities of rows are computed.

        They include the id.
        """
        return [*self.columns, *self._placed_by]

    @property
    def kept_types(self) -> dict[str, DType]:
        """A dict of column name to type, for stored window results and flags of answered rows."""
        return {**self.lowered.kept_types, **self.marks}

    def create_log(self, dtype: DType) -> None:
        """Create the log, with ids of a type."""
        assert self.lowered.row_id is not None
        self._begin({**self.lowered.columns, self.lowered.row_id: dtype})

    def _begin(self, columns: Mapping[str, DType]) -> None:
        held = [clock.held for clock in self.clocks]
        self.log = Log(columns, self.kept_types, held, self.lowered.row_id)

    def with_ids(self, rows: Table, *, begins: bool = False) -> Table:
        """Return rows with their ids converted to the type of ids in the log.

        With `begins`, the first rows set that type. Raises `TypeMismatch` for ids of another type,
        or lists, and `InvalidData` if a row has no id.
        """
        row_id = self.lowered.row_id
        if row_id is None or not self.lowered.orders:
            return rows
        column = rows.column(row_id)
        if self.log is None and begins:
            dtype = dtype_of(column.type)
            if dtype.is_list:
                raise TypeMismatch(f"row_id={row_id!r}: an id must be a single value, got {dtype}")
            if column.null_count < len(column):
                self.create_log(dtype)
        known = self.id_type
        if known is not None:
            try:
                column = typed(column, row_id, known)
            except (TypeMismatch, InvalidData) as error:
                told = str(error).replace("which fit saw", "the type of the ids in the state")
                raise type(error)(told.replace("fit saw", "the ids in the state are")) from None
        keys = column if known is None else key_column(column, row_id, known)
        if keys.null_count:
            row = int(np.argmin(call("is_valid", keys).to_numpy(zero_copy_only=False)))
            raise InvalidData(
                f"row {row}: {column_text(row_id)} is missing, but it is the row_id= of the plan. "
                "Give each row an id"
            )
        return rows.set_column(rows.column_names.index(row_id), row_id, column)

    def here(self, rows: Table, *, add: bool, has_ids: bool = True, first: int = 0) -> PlacedRows:
        """Return rows with their times and entities in the orders of the first stage.

        In most plans these are all orders.

        Args:
            rows: Rows with the columns that plans read, in the types of the log.
            add: Whether they will become rows of the log; new entities then get numbers.
            has_ids: Whether they have the id column; then the log rows with their ids are looked
                up.
            first: Number of the first row in error messages.
        """
        nobody: Int64Array = np.full(int(rows.num_rows), -1, np.int64)
        names = [name for name in self.columns if name in rows.column_names]
        log = rows.select(names)
        times, entities = self._placed(log, self.lowered.stages[0], add=add)
        row_id = self.lowered.row_id
        if self.log is None or row_id is None or not has_ids:
            return PlacedRows(rows, log, times, entities, nobody, self.tables, first)
        numbers = self.log.find(rows.column(row_id))
        return PlacedRows(rows, log, times, entities, numbers, self.tables, first)

    def place_stored_rows(self, rows: Table, kept: Mapping[str, Any], *, add: bool) -> PlacedRows:
        """Return rows with their times and entities in all orders, from known window results.

        `kept` has those results by column name. With `add`, new entities get numbers.
        """
        here = self.here(rows, add=add, has_ids=False)
        for stage in self.lowered.stages[1:]:
            here = self._further(here, stage, kept, add=add)
        return here

    def place_log_rows(self, numbers: Int64Array) -> PlacedRows:
        """Return the log rows with these numbers, and their times and entities in all orders."""
        assert self.log is not None
        rows = self.log.take(numbers, self.placed_by)
        kept = {name: rows.column(name) for name in self._placed_by}
        return self.place_stored_rows(rows, kept, add=False)

    def _further(
        self, here: PlacedRows, stage: LiveStage, kept: Mapping[str, Any], *, add: bool
    ) -> PlacedRows:
        """Return rows with their times and entities in the orders of one more stage.

        `kept` has the window results from which these orders are computed, by column name.
        """
        log = here.log
        for name in stage.kept:
            if name not in log.column_names:
                log = log.append_column(name, kept[name])
        times, entities = self._placed(log, stage, add=add)
        times, entities = [*here.times, *times], [*here.entities, *entities]
        return replace(here, log=log, times=times, entities=entities)

    def _placed(
        self, log: Table, stage: LiveStage, *, add: bool
    ) -> tuple[list[Int64Array], list[Int32Array]]:
        """Return, per order of a stage, the times and the entities of rows."""
        times: list[Int64Array] = []
        entities: list[Int32Array] = []
        placed = compute_order_values(self.lowered, log, self.tables, log, stage.orders)
        for k, values in zip(stage.orders, placed, strict=True):
            if self.log is None:  # no id was ever seen: each row is alone
                found = (-2 - np.arange(int(log.num_rows))).astype(np.int32)
            else:
                found = self.log.entities(k, values.keys, log.num_rows, add=add)
            if not values.is_placed.all():
                found = np.where(values.is_placed, found, np.int32(-1))
            times.append(values.times)
            entities.append(found)
        return times, entities

    def arriving(self, here: PlacedRows) -> ArrivingRows:
        """Return arriving rows with all that tells whether they are late or repeated."""
        log, row_id = self.log, self.lowered.row_id
        n_rows = here.n_rows
        if log is None:
            return ArrivingRows([], [], [], [], here.numbers, np.arange(n_rows))
        latest = [log.latest(k, entities) for k, entities in enumerate(here.entities)]
        ties = [self._ties(k, here, latest[k]) for k in range(len(latest))]
        again = np.arange(n_rows) if row_id is None else first_of_each(here.rows.column(row_id))
        return ArrivingRows(here.times, here.entities, latest, ties, here.numbers, again)

    def _ties(
        self, order: int, here: PlacedRows, latest: Int64Array
    ) -> Callable[[], tuple[Sequence[Tie], Mapping[int, Tie]]] | None:
        """Return a function that computes the ties of rows, and of the latest row of each entity.

        None if the order has no tie.
        """
        if self.lowered.orders[order].tie is None:
            return None

        def ties() -> tuple[Sequence[Tie], Mapping[int, Tie]]:
            assert self.log is not None
            times, entities = here.times[order], here.entities[order]
            known: dict[int, Tie] = {}
            who = np.unique(entities[(entities >= 0) & (times == latest)]).astype(np.int32)
            if len(who):
                last = self.log.latest(order, who)
                seen = self.log.seen(order, who, last, alone=False)
                there = self.log.take(seen, self.placed_by)
                at = self.times_of(order, there)
                for code, time, tie in zip(
                    seen.codes.tolist(), at.tolist(), self.ties_of(order, there), strict=True
                ):
                    entity = int(who[code])
                    if time == int(last[code]):
                        known[entity] = max(known.get(entity, tie), tie)
            return self.ties_of(order, here.log), known

        return ties

    def ties_of(self, order: int, log: Table) -> list[Tie]:
        """Return the ties of log rows in one order, which sort rows with equal times."""
        tie = self.lowered.orders[order].tie
        assert tie is not None
        prepared = self.lowered.prepared[self.lowered.orders[order].plan]
        made: dict[Any, Any] = dict(table_values(prepared.fitted.table_columns, self.tables))
        batch = prepared.batch(log, made, "cpu", 0)
        load_stored_windows(batch, prepared.placing[order])
        with use_zone_tables(prepared.fitted.zones):
            make(batch, [tie])
            compute_columns(batch, [tie])
            values = key_values(batch, tie, narrow=False).to_pylist()
        return [(value is not None, 0 if value is None else value) for value in values]

    def times_of(self, order: int, log: Table) -> Int64Array:
        """Return the times of log rows in one order, in ticks."""
        return compute_order_values(self.lowered, log, self.tables, log, [order])[0].times

    def find_window_rows(
        self, here: PlacedRows, *, alone: bool, check: Callable[[PlacedRows], object]
    ) -> WindowRows:
        """Return rows with their times and entities in all orders, and the log rows that they see.

        Args:
            here: Rows with times and entities in the orders of the first stage. A row with the id
                of a log row is computed as if it stood at the place of that row.
            alone: Whether the rows do not see each other; otherwise they will become rows of the
                log.
            check: Raises an error if the state does not accept a row's time in the orders of a
                further stage.
        """
        first, *further = self.lowered.stages
        seen = self._seen(here, first, alone=alone)
        if not further:
            return WindowRows(here, seen)
        begun = begin(self.lowered, here.rows, here.tables, first_number=here.first)
        for before, stage in pairwise(self.lowered.stages):
            make_stage(self.lowered, before, begun, here.log, seen)
            kept = kept_arrays(self.lowered, begun, stage.kept)
            here = self._further(here, stage, kept, add=not alone)
            check(here)
            seen += self._seen(here, stage, alone=alone)
        return WindowRows(here, seen, begun)

    def _seen(self, here: PlacedRows, stage: LiveStage, *, alone: bool) -> list[LogView]:
        """Return, per order of a stage, the log rows that the rows see."""
        if self.log is None:
            return [self._nothing(k, here.entities[k]) for k in stage.orders]
        found: list[LogView] = []
        for k in stage.orders:
            times, entities = here.times[k], here.entities[k]
            gathered = self.log.seen(k, entities, times, alone=alone)
            rows = self.log.take(gathered, self._read[k])
            seen = LogView(rows, gathered.codes, gathered.asking)
            if alone and bool((here.numbers >= 0).any()):
                seen = self._without_later(k, here, gathered, seen)
            found.append(seen)
        return found

    def at_once(self, here: PlacedRows) -> list[int]:
        """Return the row indices at which a call is cut into parts, with the first and the last.

        The log rows that each part sees fit into bounded memory. The rows of the call must not see
        each other.
        """
        if self.log is None or here.n_rows < 2:
            return [0, here.n_rows]
        n_seen: Int64Array = np.zeros(here.n_rows, np.int64)
        for k, entities in enumerate(here.entities):
            n_seen = np.maximum(n_seen, self.log.n_at_most(k, entities))
        turns = np.cumsum(n_seen) // _MOST_SEEN
        return [0, *(np.flatnonzero(np.diff(turns)) + 1).tolist(), here.n_rows]

    def _nothing(self, order: int, entities: Int32Array) -> LogView:
        """Return an empty view of the log in one order, for rows that see no log row."""
        types = {**self.lowered.columns, **self.lowered.kept_types}
        rows = pa.table({name: pa.nulls(0, given_type(types[name])) for name in self._read[order]})
        asking = np.where(entities == -1, -1, np.arange(len(entities)))
        return LogView(rows, np.zeros(0, np.int32), asking.astype(np.int32))

    def _without_later(
        self, order: int, here: PlacedRows, gathered: RowsInReach, seen: LogView
    ) -> LogView:
        """Return `seen` without the rows at or after an asking row's own place in the log.

        An asking row that is in the log sees neither itself nor later rows with the same time.
        `gathered` has the places and numbers of the rows in `seen`.
        """
        assert self.log is not None
        own: Int64Array = np.full(here.n_rows + 1, -1, np.int64)
        own_times: Int64Array = np.zeros(here.n_rows + 1, np.int64)
        is_asking = seen.asking >= 0
        own[seen.asking[is_asking]] = here.numbers[is_asking]
        own_times[seen.asking[is_asking]] = here.times[order][is_asking]
        asker = seen.codes
        numbers, there = gathered.rows, self.log.take(gathered, self.placed_by)
        is_same = self.times_of(order, there) == own_times[asker]
        if self.lowered.orders[order].tie is not None:
            asked = self.ties_of(order, here.log)
            by_code = dict(zip(seen.asking.tolist(), asked, strict=True))
            ties = zip(self.ties_of(order, there), asker.tolist(), strict=True)
            is_same &= np.array([tie == by_code[code] for tie, code in ties], np.bool_)
        is_known = own[asker] >= 0
        hidden = is_known & ((numbers == own[asker]) | (is_same & (numbers > own[asker])))
        stays = ~hidden
        return LogView(seen.rows.filter(pa.array(stays)), seen.codes[stays], seen.asking)

    def note_latest(self, before: PlacedRows, latest: Sequence[Int64Array], forgotten: str) -> None:
        """Note entities with a lowered latest time; `is_early` then tells rows that come too early.

        Rows of an entity were dropped relative to its latest row; an earlier latest row would have
        kept more. If an entity has no row left in its order, the loss is noted like swept rows, for
        all entities of the order. An entity that was forgotten by its key counts as if it never had
        a row.

        Args:
            before: Rows that were removed or moved, with their former entities.
            latest: Per order, the latest time of each row's entity before the change, in ticks.
            forgotten: Name of the column by which the rows were forgotten; "" if they were moved.
        """
        if self.log is None:
            return
        for k, (entities, times) in enumerate(zip(before.entities, latest, strict=True)):
            now, known = self.log.latest(k, entities), self.lowered_latest[k]
            is_lower = (now < times) & (now != NEVER)
            if known:
                for entity in entities[now == NEVER].tolist():  # the number may be reused
                    known.pop(entity, None)
            is_gone = (now == NEVER) & (times != NEVER)
            kept, is_key = (
                self.clocks[k].held.kept,
                Column(forgotten) in self.lowered.orders[k].keys,
            )
            if kept is not None and not is_key and is_gone.any():
                dropped = int(times[is_gone].max()) - kept - 1
                self.log.swept[k] = max(self.log.swept[k], dropped)
            if kept is not None and is_lower.any():
                for entity, time in zip(
                    entities[is_lower].tolist(), times[is_lower].tolist(), strict=True
                ):
                    known[entity] = max(time, known.get(entity, time))

    def is_early(self, order: int, here: PlacedRows) -> NDArray[np.bool_]:
        """Return flags of rows that would see dropped rows.

        Those were dropped before the latest time of their entity was lowered.
        """
        known, keep = self.lowered_latest[order], self.clocks[order].held.keep or 0
        before = [known.get(entity, NEVER) for entity in here.entities[order].tolist()]
        return here.times[order] < subtract_ticks(np.array(before, np.int64), keep)

    def answer(self, sight: WindowRows) -> AnsweredRows:
        """Return rows with all columns that their features are computed from."""
        here = sight.here
        return answer(
            *(self.lowered, here.rows, sight.seen, here.tables),
            first_number=here.first,
            log=here.log,
            begun=sight.begun,
        )

    def answer_row(self, row: Mapping[str, Any], sight: WindowRows) -> AnsweredRow:
        """Return one row's features, as one float array per plan."""
        if sight.begun is not None:  # the row is already a batch
            answered = self.answer(sight)
            features = {name: answered.features(name, to="numpy")[0] for name in self.lowered.plans}
            return AnsweredRow(features, answered.kept)
        return answer_row(self.lowered, row, sight.here.log, sight.seen, sight.here.tables)

    def append(
        self, here: PlacedRows, kept: Mapping[str, Any], *, is_answered: bool | NDArray[np.bool_]
    ) -> None:
        """Append rows to the log; `is_answered` tells whether a user was given their features."""
        if self.log is None or not here.n_rows:
            return
        marks = {name: pa.array(np.full(here.n_rows, is_answered)) for name in self.marks}
        self.log.append(here.log, {**kept, **marks}, here.placed)

    def note_times(self, here: PlacedRows) -> None:
        """Raise the watermark of each order, which is the latest time of all rows so far."""
        for k, (times, entities) in enumerate(zip(here.times, here.entities, strict=True)):
            latest = int(times.max(initial=NEVER, where=entities >= 0))
            self.watermarks[k] = max(self.watermarks[k], latest)

    def drop_lowered_latest(self, here: PlacedRows) -> None:
        """Forget the lowered latest times of entities that again have a row as late as before."""
        for known, times, entities in zip(
            self.lowered_latest, here.times, here.entities, strict=True
        ):
            if known:
                for entity, time in zip(entities.tolist(), times.tolist(), strict=True):
                    if time >= known.get(entity, _NEVER_CAUGHT):
                        del known[entity]

    def lowered_columns(self, rows: Table) -> Table:
        """Return all rows of the log, with columns for former latest times.

        An order gets such a column if it has an entity with a lowered latest time.
        """
        for order, known in enumerate(self.lowered_latest):
            if known:
                there = rows.select(self.placed_by)
                (values,) = compute_order_values(self.lowered, there, self.tables, there, [order])
                assert self.log is not None
                entities = self.log.entities(order, values.keys, rows.num_rows, add=False)
                times = [known.get(entity) for entity in entities.tolist()]
                rows = rows.append_column(lowered_name(order), pa.array(times, pa.int64()))
        return rows

    def load_lowered(self, rows: Table, here: PlacedRows) -> None:
        """Take former latest times over from the columns that `lowered_columns` added."""
        for order, known in enumerate(self.lowered_latest):
            name = lowered_name(order)
            if name in rows.column_names:
                pairs = zip(
                    here.entities[order].tolist(), rows.column(name).to_pylist(), strict=True
                )
                known.update((entity, time) for entity, time in pairs if time is not None)

    def teller(self, here: PlacedRows) -> Callable[[int, int], str]:
        """Return a function that gives a row's number, time and entity as text, for messages."""
        return lambda row, order: row_text(self.lowered.orders[order], here.log, row, here.first)


def lowered_name(order: int) -> str:
    """Return the name of the column that `StateMemory.lowered_columns` adds for an order."""
    return f"?lowered{order}"


def first_of_each(ids: Any) -> Int64Array:
    """Return, for each row, the index of the first row with the same id."""
    if pa.types.is_floating(ids.type):
        ids = call("add", ids, pa.scalar(0.0, ids.type))  # -0.0 is the id 0.0
    whole = ids.combine_chunks()
    coded = (
        whole if isinstance(whole, pa.Array) else pa.concat_arrays(whole.chunks or [])
    ).dictionary_encode()
    if len(coded.dictionary) == len(ids):
        return np.arange(len(ids))
    codes = coded.indices.to_numpy(zero_copy_only=False)
    return np.unique(codes, return_index=True)[1][codes].astype(np.int64)


def _columns_read(lowered: LivePlan, order: int) -> list[str]:
    """Return the names of the log columns that the window functions of an order read."""
    rounds = [one for p in lowered.prepared.values() for one in p.rounds if one.order == order]
    names = [name for one in rounds for name in (*one.columns, *one.kept)]
    return list(dict.fromkeys(names))
