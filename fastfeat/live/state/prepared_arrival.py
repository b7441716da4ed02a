"""Fast path for calls with a few new rows that are in time: each row is computed by itself.

It uses prepared one-row kernels, see `live.ask.prepared`. The rows enter the log just as
`StateMemory.append` would add them. If any row or the state is unusual, or an error occurs, the
general path computes all rows of the call; until then nothing has changed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastfeat.execute.fitted import Fitted
from fastfeat.execute.results import computed_form
from fastfeat.execute.row.prepared import InputReaders, prepare_readers, read_stored_values
from fastfeat.io.arrow import Array, DataType, Schema, Table, pa
from fastfeat.io.columns.bits import array_of_values
from fastfeat.ir.dtypes import BFLOAT16, DType
from fastfeat.ir.node import Column
from fastfeat.live.ask.prepared import (
    UNREADABLE,
    PreparedAnswer,
    PreparedAsk,
    RowWithHistory,
    prepared_ask,
)
from fastfeat.live.ask.prepared_windows import CannotBePrepared
from fastfeat.live.ask.results import Results
from fastfeat.live.lower.live_plan import LivePlan
from fastfeat.live.lower.row_tables import array_of_stored, given_type, table_of_stored
from fastfeat.live.state.changes import ChangeResults, StateChange, StoredRow
from fastfeat.live.state.memory import StateMemory
from fastfeat.live.state.order_clocks import TimeLimits
from fastfeat.plan.lower.outputs import MATRIX_ORDERS

FEW = 32
"""Maximum number of rows of a call that are computed one by one; for more, a table costs less."""
ArrivalAnswer = tuple[RowWithHistory, PreparedAnswer]
"""An arriving row, and its features."""


class PreparedAsks:
    """A pool of prepared one-row kernels for a state's plans; one thread at a time uses each."""

    def __init__(self, lowered: LivePlan) -> None:
        self._lowered = lowered
        self._free: list[PreparedAsk] = []
        self.schemas = {name: fitted.schema for name, fitted in lowered.plans.items()}
        """A dict of plan name to the schema of its features."""
        self._can_be = all(map(_is_of_numbers, lowered.plans.values()))
        self._row: tuple[DType | None, dict[str, DType], Schema] | None = None

    def take(self) -> PreparedAsk | None:
        """Take a free kernel from the pool, or prepare a new one.

        None if the plans need the general path.
        """
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

    def row_of(self, memory: StateMemory) -> tuple[dict[str, DType], Schema]:
        """Return the columns that plans read from rows: a dict of name to type, and a schema.

        The objects are the same at each call, so that callers can cache by identity.
        """
        known = self._row
        if known is None or known[0] is not memory.id_type:
            types = {**memory.columns, **self._lowered.asked}
            schema = pa.schema([(name, given_type(dtype)) for name, dtype in types.items()])
            known = self._row = memory.id_type, types, schema
        return known[1:]

    def results_of(self, answers: Sequence[PreparedAnswer], to: str) -> Results:
        """Return a dict of plan name to features, as a matrix or table for the form `to`.

        It is empty if `to` is "".
        """
        found: dict[str, Any] = {}
        for name, fitted in self._lowered.plans.items() if to else ():
            lines, form = [one.features[name] for one in answers], computed_form(fitted, to)
            if form in MATRIX_ORDERS:
                found[name] = np.array(lines, order=MATRIX_ORDERS[form])
            else:
                found[name] = _table_of(lines, self.schemas[name])
        return found

    def give(self, ask: PreparedAsk) -> None:
        """Give back a kernel, once its buffers are no longer in use."""
        self._free.append(ask)


def gather_arrival(
    memory: StateMemory, ask: PreparedAsk, row: Mapping[str, Any], limits: TimeLimits, now_ns: int
) -> RowWithHistory | None:
    """Return an arriving row in stored form with the rows that it sees, if it is new and in time.

    None if the general path is needed. `limits` and the current time `now_ns` bound how far its
    times may be ahead.
    """
    found = gather_row(memory, ask, row)
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
    if value is None or not memory.log.lacks_id(value):
        return None
    return found._replace(values={**found.values, row_id: value})


def gather_row(
    memory: StateMemory, ask: PreparedAsk, row: Mapping[str, Any]
) -> RowWithHistory | None:
    """Return a row in stored form with the log rows that it sees.

    None if the general path is needed.
    """
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


def asked_id_is_new(memory: StateMemory, row: Mapping[str, Any]) -> bool:
    """Return whether a row certainly has no id that is in the log."""
    row_id = memory.lowered.row_id
    if row_id is None or row_id not in row:
        return True
    assert memory.log is not None
    value = _id_of(row, row_id, memory.log.types[row_id])
    return value is not None and memory.log.lacks_id(value)


def store_arrival(memory: StateMemory, row: RowWithHistory, answered: PreparedAnswer) -> None:
    """Append a row and its window results to the log."""
    assert memory.log is not None
    values = {**row.values, **answered.kept, **dict.fromkeys(memory.marks, True)}
    memory.log.add(values, list(zip(row.keys, row.times, strict=True)))
    memory.watermarks = list(map(max, memory.watermarks, row.times))


def encode_arrivals(
    asks: PreparedAsks,
    memory: StateMemory,
    arrived: Sequence[ArrivalAnswer],
    change: StateChange | None,
    now: int,
) -> tuple[StateChange, ChangeResults]:
    """Return arriving rows and their features as a change with its results, for the journal.

    `change` has the rows as a table, or is None if no table exists yet; `now` is the time in
    nanoseconds since 1970.
    """
    answers = [answer for _, answer in arrived]
    types, schema = asks.row_of(memory)
    lines = [[row.values[name] for name in types] for row, _ in arrived]
    if change is None:
        change = StateChange("process", table_of_stored(lines, types, schema), time_ns=now)
    kept = {
        name: array_of_stored([answer.kept[name] for answer in answers], dtype)
        for name, dtype in memory.lowered.kept_types.items()
    }
    is_stored = np.ones(len(arrived), np.bool_)
    if len(arrived) > 1:
        return change, ChangeResults(asks.results_of(answers, "arrow"), is_stored, kept)
    features = {
        name: StoredRow(asks.schemas[name], of_plan.tolist())
        for name, of_plan in answers[0].features.items()
    }
    return replace(change, row=StoredRow(schema, lines[0])), ChangeResults(
        features, is_stored, kept
    )


def _id_of(row: Mapping[str, Any], name: str, dtype: DType) -> Any:
    """Return a row's id in stored form; None if it is absent, or is neither text nor integer."""
    if not dtype.holds_bytes and not dtype.is_integer:
        return None
    reading = _reading_of_id(name, dtype)
    try:
        return read_stored_values(reading, row)[0]
    except UNREADABLE:
        return None


@lru_cache(maxsize=64)
def _reading_of_id(name: str, dtype: DType) -> InputReaders:
    node = Column(name)
    return prepare_readers([node], {node: dtype}, [node])


def _is_of_numbers(fitted: Fitted) -> bool:
    """Return whether all features of a plan are numbers or bools, so that floats can hold them."""
    kinds = pa.types
    if fitted.declaration.keep or fitted.matrix_dtype == BFLOAT16:
        return False
    return all(
        kinds.is_floating(one) or kinds.is_integer(one) or kinds.is_boolean(one)
        for one in fitted.schema.types
    )


def _table_of(lines: Sequence[NDArray[Any]], schema: Schema) -> Table:
    """Return one table of features, from a float array per row in which NaN means missing."""
    columns = np.array(lines).T.copy()
    flags = columns == columns
    is_whole = bool(flags.all())
    arrays: list[Array] = []
    for k, (kind, stored) in enumerate(_stored_types(schema)):
        values, present = columns[k], None if is_whole else flags[k]
        if values.dtype != stored:
            there = values if present is None else np.where(present, values, 0)
            values = there.astype(stored)
        arrays.append(array_of_values(values, present, kind))
    return pa.Table.from_arrays(arrays, schema=schema)


@lru_cache(maxsize=64)
def _stored_types(schema: Schema) -> tuple[tuple[DataType, np.dtype[Any]], ...]:
    return tuple((kind, np.dtype(kind.to_pandas_dtype())) for kind in schema.types)
