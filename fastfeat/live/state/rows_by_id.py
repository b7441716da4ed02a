"""Rows of a log found by their id: for repeated rows, outcomes, corrections and forgotten rows.

Functions first check and find rows. Others, which begin with "put", change the log later, after the
journal has written the change.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from fastfeat_kernels.arrays import BoolArray, Int64Array
from numpy.typing import NDArray

from fastfeat.errors import InvalidData, LateOutcome
from fastfeat.execute.row_identity import first_unlike
from fastfeat.io.arrow import Table, call, index_in, pa
from fastfeat.io.columns.decode import has_value
from fastfeat.io.columns.keys import key_column
from fastfeat.live.log.log import Log
from fastfeat.live.state.call_rows import PlacedRows
from fastfeat.live.state.changes import ANSWERED, StateChange
from fastfeat.live.state.memory import StateMemory, first_of_each
from fastfeat.live.state.outcomes import (
    LateColumnWindow,
    OutcomeComparison,
    SortedLogRows,
    compare_outcomes,
    fill_outcomes,
    is_read,
)

LateColumnWindows = Sequence[Sequence[LateColumnWindow]]


def row_id_of(memory: StateMemory) -> str:
    """Return the name of the id column; `Live` has checked that there is one."""
    assert memory.lowered.row_id is not None
    return memory.lowered.row_id


def log_of(memory: StateMemory) -> Log:
    """Return the log; call it only after rows have come, since there is no log before."""
    assert memory.log is not None
    return memory.log


def check_repeated(
    memory: StateMemory, here: PlacedRows, again: Int64Array, is_repeated: NDArray[np.bool_]
) -> None:
    """Raise `InvalidData` for the first repeated row that differs from the earlier row of its id.

    Args:
        memory: The log and the lookup tables of the state.
        here: Rows of a call.
        again: For each row, the index of the first row of the call with its id.
        is_repeated: For each row, whether the log or an earlier row of the call has its id.
    """
    log, row_id = log_of(memory), row_id_of(memory)
    rows = np.flatnonzero(is_repeated)
    in_log = here.numbers[rows] >= 0
    names = [name for name in memory.columns if name != row_id]
    there = log.take(here.numbers[rows[in_log]], names)
    others: Int64Array = np.empty(len(rows), np.int64)
    others[in_log] = here.n_rows + np.arange(int(in_log.sum()))
    others[~in_log] = again[rows[~in_log]]
    for name in names:
        column = pa.chunked_array([*here.log.column(name).chunks, *there.column(name).chunks])
        left, right = rows, others
        if name in memory.lowered.late:  # a value that is not known yet differs from no other
            is_there = has_value(column)
            both = is_there[left] & is_there[right]
            left, right = left[both], right[both]
        at = first_unlike(column, left, right)
        if at is not None:
            row = int(left[at])
            raise InvalidData(
                f"row {row}: {row_id} = {here.rows.column(row_id)[row].as_py()!r} is the id of "
                f"an earlier row, but {name} is {column[row].as_py()!r} here and "
                f"{column[int(right[at])].as_py()!r} there. To change a wrong value, call "
                "live.correct(rows); a different row needs an id of its own"
            )


def drop_repeated_ids(rows: Table, row_id: str) -> Table:
    """Return the rows of a history, with the first row of each id only.

    Raises `InvalidData` if rows with one id differ.
    """
    first = first_of_each(rows.column(row_id))
    again = np.flatnonzero(first != np.arange(int(rows.num_rows)))
    if not len(again):
        return rows
    for name in rows.column_names:
        values = rows.column(name)
        at = first_unlike(values, again, first[again])
        if at is not None:
            row, other = int(again[at]), int(first[again[at]])
            raise InvalidData(
                f"history=, row {row}: {row_id} = {rows.column(row_id)[row].as_py()!r} is also the "
                f"id of row {other}, but {name} is {values[row].as_py()!r} here and "
                f"{values[other].as_py()!r} there. Ids must be unique: leave one of the rows out"
            )
    return rows.take(pa.array(np.setdiff1d(np.arange(int(rows.num_rows)), again)))


def find_log_rows(memory: StateMemory, rows: Table, told: str) -> Int64Array:
    """Return, for each row of a table, the number of the log row with its id.

    Raises `InvalidData` if the log lacks one of these rows; `told` names the rows in the message.
    """
    row_id = row_id_of(memory)
    if memory.log is None:
        numbers: Int64Array = np.full(int(rows.num_rows), -1, np.int64)
    else:
        numbers = memory.log.find(rows.column(row_id))
    if (numbers < 0).any():
        row = int(np.argmax(numbers < 0))
        raise InvalidData(
            f"row {row}: the state has no row with {row_id} = "
            f"{rows.column(row_id)[row].as_py()!r}: it never came, or no window can see it any "
            f"more. Leave it out of the {told}, or keep rows longer: online(keep=...)"
        )
    return numbers


def compare_with_log(memory: StateMemory, rows: Table, numbers: Int64Array) -> OutcomeComparison:
    """Return flags of the outcomes that add an unknown value, as `outcomes.compare_outcomes` does.

    `numbers` has the number of each outcome's log row.
    """
    row_id = row_id_of(memory)
    again = first_of_each(rows.column(row_id))
    if not len(numbers):
        return compare_outcomes(row_id, rows, rows, again)
    there = log_of(memory).take(numbers, [n for n in rows.column_names if n != row_id])
    return compare_outcomes(row_id, rows, there, again)


def late_outcomes(
    memory: StateMemory,
    readings: LateColumnWindows,
    rows: Table,
    numbers: Int64Array,
    new: Mapping[str, BoolArray],
) -> NDArray[np.bool_]:
    """Return flags of outcomes that come too late: an answered row would have read them.

    Args:
        memory: The log and the lookup tables of the state.
        readings: Ways in which windows read late columns, per order.
        rows: Outcomes.
        numbers: Number of each outcome's log row.
        new: Late column name to flags of the outcomes that add a value to it.
    """
    is_late: NDArray[np.bool_] = np.zeros(int(rows.num_rows), np.bool_)
    for order, of_order in enumerate(readings):
        read = [(reading, name) for reading in of_order for name in reading.columns & set(new)]
        wanted: NDArray[np.bool_] = np.zeros(int(rows.num_rows), np.bool_)
        for _, name in read:
            wanted = wanted | new[name]
        if wanted.any():
            standing, stands = _standing(memory, order, np.unique(numbers[wanted]))
            for reading, name in read:
                were_read = stands[is_read(standing, reading)]
                is_late = is_late | (new[name] & np.isin(numbers, were_read))
    return is_late


def too_late(row_id: str, rows: Table, is_late: NDArray[np.bool_]) -> LateOutcome:
    """Return the error for the first outcome that comes too late."""
    row = int(np.argmax(is_late))
    return LateOutcome(
        f"row {row}: the outcome of {row_id} = {rows.column(row_id)[row].as_py()!r} comes too "
        "late: the window of an answered row should have read it. Pass outcomes before such rows; "
        "say how late they are, Plan(label_delay=...), so that windows wait for them; or accept "
        "late outcomes: online(late='insert')"
    )


def _standing(
    memory: StateMemory, order: int, numbers: Int64Array
) -> tuple[SortedLogRows, Int64Array]:
    """Return log rows as one order sorts them, and their row numbers.

    They are the rows `numbers`, and all later rows of their entities.
    """
    log = log_of(memory)
    own = memory.place_log_rows(numbers)
    is_placed = own.entities[order] >= 0
    asked, begins = own.entities[order][is_placed], own.times[order][is_placed]
    ends = np.full(len(asked), np.iinfo(np.int64).max)
    seen = log.seen(
        order, np.concatenate([asked, asked]), np.concatenate([begins, ends]), alone=False
    )
    there = log.take(seen, [*memory.placed_by, *memory.marks])
    times = memory.times_of(order, there)
    keys: list[Any] = [seen.rows, times, seen.codes]
    if memory.lowered.orders[order].tie is not None:
        ties = memory.ties_of(order, there)
        ranks = {tie: rank for rank, tie in enumerate(sorted(set(ties)))}
        keys.insert(1, np.array([ranks[tie] for tie in ties], np.int64))
    by = np.lexsort(keys)
    is_answered = there.column(ANSWERED).to_numpy()[by].astype(np.bool_)
    tick = memory.clocks[order].tick_ns or 1
    return SortedLogRows(seen.codes[by].astype(np.int64), times[by], tick, is_answered), seen.rows[
        by
    ]


def put_outcomes(memory: StateMemory, rows: Table) -> None:
    """Fill outcomes into rows of the log; several outcomes of one id are filled in one by one."""
    log, row_id = log_of(memory), row_id_of(memory)
    again = first_of_each(rows.column(row_id))
    names = [name for name in rows.column_names if name != row_id]
    left: Int64Array = np.arange(int(rows.num_rows))
    while len(left):
        now: Int64Array = left[np.unique(again[left], return_index=True)[1]]
        numbers = log.find(rows.column(row_id).take(pa.array(now)))
        log.put(numbers, fill_outcomes(log.take(numbers, names), rows, row_id, now))
        left = np.setdiff1d(left, now)


def correct_rows(memory: StateMemory, rows: Table) -> PlacedRows:
    """Return log rows with corrected columns, and their new times and entities; the log stays.

    Each id occurs once in `rows`, beside the columns that change.
    """
    log, row_id = log_of(memory), row_id_of(memory)
    whole = log.take(log.find(rows.column(row_id)), memory.columns)
    for name in rows.column_names:
        if name != row_id:
            whole = whole.set_column(whole.column_names.index(name), name, rows.column(name))
    return memory.here(whole, add=True, has_ids=False)


def put_corrections(memory: StateMemory, rows: Table, here: PlacedRows) -> None:
    """Overwrite columns of log rows; `here` has new times and entities, from `correct_rows`."""
    log, row_id = log_of(memory), row_id_of(memory)
    numbers = log.find(rows.column(row_id))
    log.put(numbers, rows.drop_columns([row_id]), dict(enumerate(here.placed)))


def last_of_each(ids: Any) -> NDArray[np.bool_]:
    """Return flags of the rows that are the last row with their id."""
    backwards = ids.take(pa.array(np.arange(len(ids))[::-1]))
    first = first_of_each(backwards)
    return (first == np.arange(len(ids)))[::-1]


def find_rows_to_forget(memory: StateMemory, change: StateChange) -> Int64Array:
    """Return the numbers of the log rows to forget: those with the change's value in its column.

    Rows out of reach are dropped from memory first, so that no copy of them stays.
    """
    log, name = memory.log, change.name
    if log is None or not log.n_rows:
        return np.zeros(0, np.int64)
    log.tidy(now=True)
    dtype = memory.columns[name]
    there = key_column(log.table([name]).column(name), name, dtype)
    value = key_column(change.rows.column(name), name, dtype).combine_chunks()
    is_missing = value.null_count > 0
    found = call("is_null", there) if is_missing else call("is_valid", index_in(there, value))
    return log.rows()[found.to_numpy(zero_copy_only=False)]
