"""Rows that arrive, or ask: what is checked of them and what they give, before a state changes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastfeat.errors import LateRow
from fastfeat.io.arrow import Array, Table
from fastfeat.live.ask.results import Results, results_of, results_of_row
from fastfeat.live.state.call_rows import Here
from fastfeat.live.state.changes import Late
from fastfeat.live.state.lateness import ArrivalRuns, arrive, check_ahead, check_swept, too_early
from fastfeat.live.state.memory import Memory
from fastfeat.live.state.order_clocks import TimeLimits
from fastfeat.live.state.rows_by_id import check_repeated


@dataclass(frozen=True, slots=True)
class Wanted:
    """The features that a user wants of a call.

    Args:
        to: the form; "" for none.
        row: the one row as a user gave it, whose features are an array of floats; None for many.
    """

    to: str = ""
    row: Mapping[str, Any] | None = None


NOTHING = Wanted()
"""No features are wanted."""


@dataclass(frozen=True, slots=True)
class ArrivalResults:
    """The results of rows that arrive.

    Args:
        results: their features, by plan, as they are computed for the form that is wanted.
        features: the same as Arrow, where they are kept by a journal.
        kept: what functions over windows that others read gave for each row.
        here: the rows, in all orders of the log.
    """

    results: Results
    features: Mapping[str, Table]
    kept: Mapping[str, Array]
    here: Here


def results_of_arrival(
    memory: Memory,
    here: Here,
    wanted: Wanted,
    check: Callable[[Here], object],
    *,
    asks: bool,
    alone: bool,
    keeps: bool,
) -> ArrivalResults:
    """Return the results of rows that arrive.

    Args:
        memory: they arrive at.
        here: the rows.
        wanted: the form of their features.
        check: raises where something is wrong with where they stand in a further stage.
        asks: whether their features are wanted at all.
        alone: whether they do not see each other.
        keeps: whether a journal keeps features.
    """
    if not asks and not memory.lowered.kept:
        return ArrivalResults({}, {}, {}, here)
    sight = memory.sight(here, alone=alone, check=check)
    if asks and wanted.row is not None and not keeps:
        row = memory.answer_row(wanted.row, sight)
        return ArrivalResults(results_of_row(row), {}, row.kept, sight.here)
    answered = memory.answer(sight)
    to = "numpy" if wanted.row is not None else wanted.to
    results: Results = results_of(answered, to) if asks and to else {}
    features: Results = results_of(answered, "arrow") if asks and keeps else {}
    return ArrivalResults(results, features, answered.kept, sight.here)


def check_arrived(
    memory: Memory, here: Here, late: Late, limits: TimeLimits, time_ns: int, *, asks: bool
) -> ArrivalRuns:
    """Return the runs of rows that arrive, once all that may be wrong with them is checked.

    Args:
        memory: they arrive at.
        here: the rows, in the orders of one stage or more.
        late: what becomes of late ones.
        limits: how far times may be ahead.
        time_ns: the time by this clock.
        asks: whether rows are answered; one that came before is else no row at all.

    Raises:
        LateRow, FutureRow: a row whose time cannot be taken.
        InvalidData: one has the id of another, and other values.
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
        arrived = arrive(arriving, clocks, late, tell, answers=answers)
    except LateRow:
        is_known = arriving.known >= 0
        if is_known.any():  # that one has other values now is the nearer reason
            check_repeated(memory, here, arriving.again, is_known)
        raise
    if arrived.is_repeated.any():
        check_repeated(memory, here, arriving.again, arrived.is_repeated)
    return arrived


def check_early(memory: Memory, here: Here) -> None:
    """Raise where what windows of rows that ask see may have been dropped.

    Raises:
        LateRow: the first such row.
    """
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


def check_lowered(memory: Memory, here: Here) -> None:
    """Raise where a row asks for what was dropped before later rows were removed or moved."""
    for k, known in enumerate(memory.lowered_latest[: len(here.times)]):
        if known:
            is_early = memory.is_early(k, here)
            if is_early.any():
                told = memory.teller(here)(int(np.argmax(is_early)), k)
                raise LateRow(
                    f"{told} is earlier than a row of its entity that was forgotten or "
                    "corrected, and rows that its windows would see were dropped before that. "
                    "Keep rows longer: online(keep=...)"
                )
