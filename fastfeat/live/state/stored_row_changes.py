"""Changes to stored rows and tables: outcomes, corrections, removals, new table rows.

For each change a function checks everything, and finds the rows, without changing memory. It
returns a function that puts the change into memory, which is called after the journal has written
the change.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from fastfeat_kernels.arrays import Int64Array

from fastfeat.errors import InvalidPlan
from fastfeat.io.arrow import Table, pa
from fastfeat.live.log.entities import NEVER
from fastfeat.live.state.call_rows import PlacedRows
from fastfeat.live.state.changes import ChangeResults, LateRule, StateChange
from fastfeat.live.state.lateness import check_ahead
from fastfeat.live.state.memory import StateMemory
from fastfeat.live.state.order_clocks import TimeLimits, check_forgotten, describe_stored_window
from fastfeat.live.state.rows_by_id import (
    LateColumnWindows,
    compare_with_log,
    correct_rows,
    find_log_rows,
    find_rows_to_forget,
    last_of_each,
    late_outcomes,
    log_of,
    put_corrections,
    put_outcomes,
    row_id_of,
    too_late,
)
from fastfeat.live.state.table_updates import update_lookup_table

REMOVED_LATEST = "removed_latest"
"""The key in `Live.counts` for removed rows that were the latest row of their entity."""
Lock = AbstractContextManager[Any]
"""Lock that is held while new entities get numbers, because readers run at the same time."""


class CheckedChange(NamedTuple):
    """A change that passed all checks, but is not in memory yet.

    Args:
        change: The change as the journal writes it, with ids in the type of the log.
        results: Its results.
        put: Function that puts the change into memory.
    """

    change: StateChange
    results: ChangeResults
    put: Callable[[], None]


def check_outcomes(
    memory: StateMemory, change: StateChange, late: LateRule, readings: LateColumnWindows
) -> CheckedChange:
    """Return outcomes as a checked change.

    Raises `LateOutcome` if an outcome comes after the answer to a row that would have read it,
    unless `late` is "insert"; and `InvalidData` if it differs from a known value or has an unknown
    id.
    """
    rows = memory.with_ids(change.rows)
    numbers = find_log_rows(memory, rows, "outcomes")
    known = compare_with_log(memory, rows, numbers)
    is_late = late_outcomes(memory, readings, rows, numbers, known.columns)
    if is_late.any() and late != "insert":
        raise too_late(row_id_of(memory), rows, is_late)
    counts = {
        "outcomes": int(known.is_new.sum()),
        "repeated": int((~known.is_new).sum()),
        "late_outcomes": int(is_late.sum()),
    }
    there = {name: n for name, n in counts.items() if n}
    results = ChangeResults({}, known.is_new, counts=there)
    given = replace(change, rows=rows)
    return CheckedChange(given, results, partial(apply_checked, memory, given, results))


def check_corrections(
    memory: StateMemory, change: StateChange, limits: TimeLimits, lock: Lock
) -> CheckedChange:
    """Return corrections as a checked change.

    Raises `InvalidPlan` if windows read the stored results of other windows, `InvalidData` for an
    unknown id, and `FutureRow` for a time that is too far ahead.
    """
    if memory.lowered.kept:
        raise InvalidPlan(f"correct: {describe_stored_window(memory.lowered)}")
    rows = memory.with_ids(change.rows)
    find_log_rows(memory, rows, "corrections")
    is_last = last_of_each(rows.column(row_id_of(memory)))
    results = ChangeResults({}, is_last, counts={"corrected": int(is_last.sum())})
    last, here = rows.filter(pa.array(is_last)), None
    if is_last.any():
        with lock:
            here = correct_rows(memory, last)
        is_placed = [entities != -1 for entities in here.entities]
        tell = memory.teller(here)
        limits = TimeLimits(limits.ahead_ns)  # a correction comes after the row that it changes
        marks = memory.watermarks
        check_ahead(here.times, is_placed, memory.clocks, limits, marks, change.time_ns, tell)
    return CheckedChange(
        replace(change, rows=rows), results, partial(_put_corrected, memory, last, here)
    )


def check_forgetting(memory: StateMemory, change: StateChange, lock: Lock) -> CheckedChange:
    """Return the removal of all rows with a value in a column, as a checked change.

    Raises `InvalidPlan` as `check_forgotten` does.
    """
    check_forgotten(memory.lowered, change.name)
    with lock:
        numbers = find_rows_to_forget(memory, change)
    results = ChangeResults({}, np.ones(1, np.bool_), counts={"forgotten": len(numbers)})
    return CheckedChange(change, results, partial(_remove, memory, numbers, change.name))


def check_removal(memory: StateMemory, change: StateChange) -> CheckedChange:
    """Return the removal of one row, as a checked change.

    Raises `InvalidPlan` if windows read the stored results of other windows, and `InvalidData` for
    an unknown id.
    """
    if memory.lowered.kept:
        raise InvalidPlan(f"remove: {describe_stored_window(memory.lowered)}")
    rows = memory.with_ids(change.rows)
    numbers = find_log_rows(memory, rows, "removals")
    row, log = memory.place_log_rows(numbers), log_of(memory)
    is_latest = any(
        memory.clocks[k].held.kept is not None and bool((log.latest(k, entities) == times).any())
        for k, (entities, times) in enumerate(zip(row.entities, row.times, strict=True))
    )
    counts = {"removed": 1, **({REMOVED_LATEST: 1} if is_latest else {})}
    results = ChangeResults({}, np.ones(1, np.bool_), counts=counts)
    given = replace(change, rows=rows)
    return CheckedChange(given, results, partial(_take_out, memory, numbers))


def check_table_update(memory: StateMemory, change: StateChange) -> CheckedChange:
    """Return new rows of a lookup table, as a checked change."""
    table = update_lookup_table(
        memory.lowered, change.name, memory.tables.get(change.name), change.rows
    )

    def put() -> None:
        memory.tables = {**memory.tables, change.name: table}

    return CheckedChange(
        change, ChangeResults({}, np.ones(int(change.rows.num_rows), np.bool_)), put
    )


def apply_checked(memory: StateMemory, change: StateChange, results: ChangeResults) -> None:
    """Put a checked or recorded change into memory: outcomes, corrections, removals, table rows."""
    match change.kind:
        case "outcomes" | "correct":
            rows = memory.with_ids(change.rows).filter(pa.array(results.stored))
            if not rows.num_rows:
                return
            if change.kind == "outcomes":
                put_outcomes(memory, rows)
            else:
                _put_corrected(memory, rows, correct_rows(memory, rows))
        case "remove":
            rows = memory.with_ids(change.rows)
            _take_out(memory, find_log_rows(memory, rows, "removals"))
        case "forget":
            _remove(memory, find_rows_to_forget(memory, change), change.name)
        case _:
            check_table_update(memory, change).put()


def _put_corrected(memory: StateMemory, rows: Table, here: PlacedRows | None) -> None:
    """Overwrite columns of log rows, and note entities with a latest row that is now earlier.

    `here` has the new times and entities; None if there are no rows.
    """
    if here is None:
        return
    with _lowering(memory, log_of(memory).find(rows.column(row_id_of(memory)))):
        put_corrections(memory, rows, here)
        memory.note_times(here)


def _remove(memory: StateMemory, numbers: Int64Array, column: str) -> None:
    """Remove forgotten log rows, and note the entities that have an earlier latest row now.

    `column` is the name of the column by which they were forgotten.
    """
    log = memory.log
    if log is not None and len(numbers):
        with _lowering(memory, numbers, column):
            log.remove(numbers)


def _take_out(memory: StateMemory, numbers: Int64Array) -> None:
    """Remove one row from the log; rows that were dropped because of it stay dropped.

    Its entity may again have rows before the time of the row: making that possible is why a user
    removes a row.
    """
    log = log_of(memory)
    before = memory.place_log_rows(numbers)
    log.remove(numbers)
    for k, entities in enumerate(before.entities):
        for entity in entities[log.latest(k, entities) == NEVER].tolist():
            memory.lowered_latest[k].pop(entity, None)  # its number may be reused
        memory.watermarks[k] = log.last(k)


@contextmanager
def _lowering(memory: StateMemory, numbers: Int64Array, forgotten: str = "") -> Generator[None]:
    """Note the entities that lose or change their latest row in the `with` block.

    See `StateMemory.note_latest`.
    """
    log = log_of(memory)
    before = memory.place_log_rows(numbers)
    latest = [log.latest(k, entities) for k, entities in enumerate(before.entities)]
    yield
    memory.note_latest(before, latest, forgotten)
