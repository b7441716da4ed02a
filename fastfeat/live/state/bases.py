"""Copies of a state's whole content (bases): taken from memory, and put into empty memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastfeat.io.arrow import Table
from fastfeat.live.log.entities import NEVER
from fastfeat.live.state.changes import ANSWERED, Base
from fastfeat.live.state.memory import StateMemory
from fastfeat.live.state.rows_by_id import drop_repeated_ids


def copy_to_base(memory: StateMemory, offsets: Mapping[str, int]) -> Base:
    """Return a copy of the content of memory, from which an equal state can begin."""
    log = memory.log
    if log is None:
        return Base(None, memory.tables, offsets)
    swept = [None if last == NEVER else last for last in log.swept]
    return Base(memory.lowered_columns(log.table()), memory.tables, offsets, swept)


def load(memory: StateMemory, base: Base) -> None:
    """Fill empty memory with the rows of a base, as they are; nothing is computed."""
    rows = base.rows
    if rows is None or not memory.lowered.orders:
        return
    rows = memory.with_ids(rows, begins=True)
    kept = {name: rows.column(name) for name in memory.lowered.kept}
    here = memory.place_stored_rows(rows, kept, add=True)
    if memory.log is None:
        return
    marks = {name: rows.column(name) for name in memory.marks}
    if here.n_rows:
        memory.log.append(here.log, {**kept, **marks}, here.placed)
        memory.load_lowered(rows, here)
    if base.swept:
        memory.log.swept = [NEVER if last is None else last for last in base.swept]
    memory.note_times(here)


def load_history(memory: StateMemory, history: Table) -> None:
    """Fill empty memory with a history of rows, all at once, and compute their window results.

    Rows with the same id count once. The column `ANSWERED` tells which rows a user was given
    features for; if it is absent, no row counts as answered. Raises `InvalidData` if rows of one id
    differ, or a row has no id.
    """
    rows = memory.with_ids(history, begins=True)
    row_id = memory.lowered.row_id
    if row_id is not None and memory.lowered.orders:
        rows = drop_repeated_ids(rows, row_id)
    here = memory.here(rows, add=True, has_ids=False)
    kept: Mapping[str, Any] = {}
    if memory.lowered.kept:
        sight = memory.find_window_rows(here, alone=False, check=lambda placed: None)
        here, kept = sight.here, memory.answer(sight).kept
    is_answered: NDArray[np.bool_] = np.zeros(int(rows.num_rows), np.bool_)
    if ANSWERED in rows.column_names:
        is_answered = rows.column(ANSWERED).to_numpy()
    memory.append(here, kept, is_answered=is_answered)
    memory.note_times(here)
