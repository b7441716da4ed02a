"""Checks and results of rows that arrive or only ask for features, before a state changes.

Arriving rows are those of `process` and `update`. A row is late if it is earlier than the latest
row of its entity. A run is a stretch of consecutive rows of a call that are computed together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from fastfeat_kernels.records import dataclass

from fastfeat.errors import LateRow
from fastfeat.io.arrow import Array, Table
from fastfeat.live.ask.results import Results, results_of, results_of_row
from fastfeat.live.state.call_rows import PlacedRows
from fastfeat.live.state.changes import LateRule
from fastfeat.live.state.lateness import (
    ArrivalRuns,
    check_ahead,
    check_swept,
    decide_runs,
    too_early,
)
from fastfeat.live.state.memory import StateMemory
from fastfeat.live.state.order_clocks import TimeLimits
from fastfeat.live.state.rows_by_id import check_repeated


@dataclass(frozen=True, slots=True)
class ArrivalRequest:
    """The form in which a call wants features.

    Args:
        to: Form of the features, such as "arrow" or "numpy"; "" for none.
        row: The row as the user passed it, if it is one dict; its features are a float array. None
            for many rows.
    """

    to: str = ""
    row: Mapping[str, Any] | None = None


NOTHING = ArrivalRequest()
"""Stands for a call that wants no features, such as `update`."""


@dataclass(frozen=True, slots=True)
class ArrivalResults:
    """The results of arriving rows, before they are stored.

    Args:
        results: Plan name to features, as computed for the wanted form.
        features: Plan name to the same features as an Arrow table, if a journal needs them; else
            empty.
        kept: Results of the window functions that other windows read, by column name in the log.
        here: The rows with their time and entity in all orders of the log.
    """

    results: Results
    features: Mapping[str, Table]
    kept: Mapping[str, Array]
    here: PlacedRows


def compute_arrival(
    memory: StateMemory,
    here: PlacedRows,
    wanted: ArrivalRequest,
    check: Callable[[PlacedRows], object],
    *,
    asks: bool,
    alone: bool,
    keeps: bool,
) -> ArrivalResults:
    """Return the features and the stored window results of arriving rows.

    Args:
        memory: The log and the lookup tables of the state.
        here: Rows with their time and entity in the orders of the first stage.
        wanted: Form of their features.
        check: Raises an error if the state does not accept a row's time in the orders of a further
            stage.
        asks: Whether features are wanted at all.
        alone: Whether the rows do not see each other.
        keeps: Whether a journal needs the features, too.
    """
    if not asks and not memory.lowered.kept:
        return ArrivalResults({}, {}, {}, here)
    sight = memory.find_window_rows(here, alone=alone, check=check)
    if asks and wanted.row is not None and not keeps:
        row = memory.answer_row(wanted.row, sight)
        return ArrivalResults(results_of_row(row), {}, row.kept, sight.here)
    answered = memory.answer(sight)
    to = "numpy" if wanted.row is not None else wanted.to
    results: Results = results_of(answered, to) if asks and to else {}
    features: Results = results_of(answered, "arrow") if asks and keeps else {}
    return ArrivalResults(results, features, answered.kept, sight.here)


def decide_arrivals(
    memory: StateMemory,
    here: PlacedRows,
    late: LateRule,
    limits: TimeLimits,
    time_ns: int,
    *,
    asks: bool,
) -> ArrivalRuns:
    """Return the runs in which arriving rows are computed, after all checks of times and ids.

    Args:
        memory: The log and the lookup tables of the state.
        here: Rows with their time and entity in the orders of one stage or more.
        late: Rule for late rows.
        limits: Limits on how far times may be ahead.
        time_ns: Time by this machine's clock, in nanoseconds since 1970.
        asks: Whether features are wanted; if not, a repeated row is ignored.

    Raises:
        LateRow, FutureRow: A row has a time that the state does not accept.
        InvalidData: A row has the id of another row, and different values.
    """
    tell, n_orders = memory.teller(here), len(here.times)
    clocks = memory.clocks[:n_orders]
    is_placed = [entities != -1 for entities in here.entities]
    check_ahead(here.times, is_placed, clocks, limits, memory.watermarks, time_ns, tell)
    if memory.log is not None:
        check_swept(here.times, here.entities, clocks, memory.log.swept[:n_orders], tell)
        check_lowered(memory, here)
    arriving = memory.arriving(here)
    answers = asks or bool(memory.lowered.kept)
    try:
        arrived = decide_runs(arriving, clocks, late, tell, answers=answers)
    except LateRow:
        is_known = arriving.known >= 0
        if is_known.any():  # that the row has other values now is the nearer reason
            check_repeated(memory, here, arriving.again, is_known)
        raise
    if arrived.is_repeated.any():
        check_repeated(memory, here, arriving.again, arrived.is_repeated)
    return arrived


def check_early(memory: StateMemory, here: PlacedRows) -> None:
    """Raise `LateRow` for the first row so old that rows in its windows may have been dropped."""
    log = memory.log
    if log is None:
        return
    for k, (times, entities) in enumerate(zip(here.times, here.entities, strict=True)):
        is_early = log.too_late(k, entities, times)
        if is_early.any():
            row = int(np.argmax(is_early))
            latest = int(log.latest(k, entities[row : row + 1])[0])
            told = memory.teller(here)(row, k)
            raise too_early(told, memory.clocks[k], int(times[row]), latest)
    check_lowered(memory, here)


def check_lowered(memory: StateMemory, here: PlacedRows) -> None:
    """Raise `LateRow` for a row that needs rows which were dropped because of a later row.

    Rows of an entity are dropped by the time of its latest row. If that latest row is then removed,
    or corrected to an earlier time, older rows would no longer be late, but rows in their windows
    are lost.
    """
    for k, known in enumerate(memory.lowered_latest[: len(here.times)]):
        if known:
            is_early = memory.is_early(k, here)
            if is_early.any():
                told = memory.teller(here)(int(np.argmax(is_early)), k)
                raise LateRow(
                    f"{told} is earlier than a row of its entity that was forgotten or corrected. "
                    "When that row came, older rows were dropped, which the windows of this "
                    "earlier row need. Keep rows longer: online(keep=...)"
                )
