"""One row that arrives as most do, new and in time: checked and put into the log without a table.

It stands in the log as `Memory.append` would put it there. What is not as usual, of the row or of
the state, is left to the general way, and so is each error: until then nothing has changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np

from fastfeat.dtypes import DType
from fastfeat.io.arrow import Schema, pa
from fastfeat.ir.node import Column
from fastfeat.online.ask.prepared import (
    UNREADABLE,
    PreparedAnswer,
    PreparedAsk,
    SeenRow,
    prepared_ask,
)
from fastfeat.online.ask.prepared_windows import CannotBePrepared
from fastfeat.online.lower.live_plan import LivePlan
from fastfeat.online.lower.row_tables import array_of_one, given_type, table_of_one
from fastfeat.online.row.prepared import Reading, reading_of, values_as_stored
from fastfeat.online.state.changes import Change, ChangeResults, StoredRow
from fastfeat.online.state.memory import Memory
from fastfeat.online.state.order_clocks import TimeLimits


class PreparedAsks:
    """The prepared askers of a state, of which each thread takes one that is free.

    Args:
        lowered: what is asked.
    """

    def __init__(self, lowered: LivePlan) -> None:
        self._lowered = lowered
        self._free: list[PreparedAsk] = []
        self.schemas = {name: fitted.schema for name, fitted in lowered.plans.items()}
        """Of the features of each plan, by its name."""
        self._can_be = all(map(_are_numbers, self.schemas.values()))
        self._row: tuple[DType | None, dict[str, DType], Schema] | None = None

    def take(self) -> PreparedAsk | None:
        """Return one that nobody else has then; None where plans need the general way."""
        if not self._can_be:
            return None
        try:
            return self._free.pop()
        except IndexError:
            pass
        try:
            return prepared_ask(self._lowered)
        except CannotBePrepared:
            self._can_be = False
            return None

    def row_of(self, memory: Memory) -> tuple[dict[str, DType], Schema]:
        """Return the types of the columns that are read of rows, and their schema as a table.

        They are the same objects each time: of them others know what they have made of them.

        Args:
            memory: knows the type of the id.
        """
        known = self._row
        if known is None or known[0] is not memory.id_type:
            types = {**memory.columns, **self._lowered.asked}
            schema = pa.schema([(name, given_type(dtype)) for name, dtype in types.items()])
            known = self._row = memory.id_type, types, schema
        return known[1:]

    def give(self, ask: PreparedAsk) -> None:
        """Give one back, whose memory is not in use any more."""
        self._free.append(ask)


def seen_on_arrival(
    memory: Memory, ask: PreparedAsk, row: Mapping[str, Any], limits: TimeLimits, now_ns: int
) -> SeenRow | None:
    """Return a row that arrives, with what it sees; None where the general way is needed.

    Args:
        memory: it arrives at.
        ask: takes what it sees.
        row: as a user gave it.
        limits: how far its times may be ahead.
        now_ns: the time by this machine's clock.
    """
    found = seen_in(memory, ask, row)
    if found is None or memory.log is None:
        return None
    for time, one in zip(found.times, found.seen, strict=True):
        if time < one.latest:
            return None
    if limits.ahead_ns is not None or limits.jump is not None:
        for clock, time, before in zip(memory.clocks, found.times, memory.watermarks, strict=True):
            latest = limits.latest(clock, now_ns, before)
            if latest is not None and time > latest:
                return None
    row_id = memory.lowered.row_id
    if row_id is None:
        return found
    value = _id_of(row, row_id, memory.log.types[row_id])
    if value is None or not memory.log.has_not(value):
        return None
    return found._replace(values={**found.values, row_id: value})


def seen_in(memory: Memory, ask: PreparedAsk, row: Mapping[str, Any]) -> SeenRow | None:
    """Return a row that asks, with what it sees; None where the general way is needed."""
    log = memory.log
    if log is None:
        return None
    found = ask.gather(row, log)
    if found is None:
        return None
    for one, lowered in zip(found.seen, memory.lowered_latest, strict=True):
        if one.entity in lowered:  # rows that it would see may have been put away
            return None
    return found


def put(memory: Memory, row: SeenRow, answered: PreparedAnswer) -> None:
    """Put a row into the log, at its end, whose features a user is given."""
    assert memory.log is not None
    values = {**row.values, **answered.kept, **dict.fromkeys(memory.marks, True)}
    memory.log.add(values, list(zip(row.keys, row.times, strict=True)))
    memory.watermarks = list(map(max, memory.watermarks, row.times))


def written(
    asks: PreparedAsks, memory: Memory, row: SeenRow, answered: PreparedAnswer, now_ns: int
) -> tuple[Change, ChangeResults]:
    """Return a row that arrives as a change, and what that gave, as a journal writes them."""
    lowered = memory.lowered
    features = {
        name: StoredRow(asks.schemas[name], of_plan.tolist())
        for name, of_plan in answered.features.items()
    }
    kept = {
        name: array_of_one(answered.kept[name], dtype) for name, dtype in lowered.kept_types.items()
    }
    types, schema = asks.row_of(memory)
    stored = StoredRow(schema, [row.values[name] for name in types])
    change = Change(
        "process", table_of_one(stored.values, types, schema), time_ns=now_ns, row=stored
    )
    return change, ChangeResults(features, np.ones(1, np.bool_), kept)


def _id_of(row: Mapping[str, Any], name: str, dtype: DType) -> Any:
    """Return the id of a row as it is stored; None where it lacks, or is no text or integer."""
    if not dtype.holds_bytes and not dtype.is_integer:
        return None
    reading = _reading_of_id(name, dtype)
    try:
        return values_as_stored(reading, row)[0]
    except UNREADABLE:
        return None


@lru_cache(maxsize=64)
def _reading_of_id(name: str, dtype: DType) -> Reading:
    node = Column(name)
    return reading_of([node], {node: dtype}, [node])


def _are_numbers(schema: Schema) -> bool:
    """Return whether all features are numbers or bools, which a row of floats holds."""
    kinds = pa.types
    return all(
        kinds.is_floating(one) or kinds.is_integer(one) or kinds.is_boolean(one)
        for one in schema.types
    )
