"""One row that arrives as most do, new and in time: checked and put into the log without a table.

It stands in the log as `Memory.append` would put it there. What is not as usual, of the row or of
the state, is left to the general way, and so is each error: until then nothing has changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from fastfeat.dtypes import DType
from fastfeat.ir.node import Column
from fastfeat.online.ask.prepared import UNREADABLE, AnsweredRow, PreparedAsk, SeenRow
from fastfeat.online.row.prepared import Reading, reading_of, values_as_stored
from fastfeat.online.state.memory import Memory

Ahead = int | None
"""How far a time may be ahead of this machine's clock, in nanoseconds; None for any."""


def seen_on_arrival(
    memory: Memory, ask: PreparedAsk, row: Mapping[str, Any], ahead_ns: Ahead, now_ns: int
) -> SeenRow | None:
    """Return a row that arrives, with what it sees; None where the general way is needed.

    Args:
        memory: it arrives at.
        ask: takes what it sees.
        row: as a user gave it.
        ahead_ns: how far its times may be ahead.
        now_ns: the time by this machine's clock.
    """
    found = seen_in(memory, ask, row)
    if found is None or memory.log is None:
        return None
    for clock, time, one in zip(memory.clocks, found.times, found.seen, strict=True):
        if time < one.latest:
            return None
        tick = clock.tick_ns if clock.is_timestamp else None
        if ahead_ns is not None and tick is not None and time > (now_ns + ahead_ns) // tick:
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


def put(memory: Memory, row: SeenRow, answered: AnsweredRow) -> None:
    """Put a row into the log, at its end, whose features a user is given."""
    assert memory.log is not None
    values = {**row.values, **answered.kept, **dict.fromkeys(memory.marks, True)}
    memory.log.add(values, list(zip(row.keys, row.times, strict=True)))


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
