"""Outcomes: late values of rows, such as labels, and whether they come in time.

An outcome has the id of its row. It is in time if no answered row of the log could have read it in
its window. Results of windows that other windows read are stored for every row, so every row counts
as answered for these windows.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from fastfeat_kernels.arrays import BoolArray, Int64Array
from fastfeat_kernels.records import dataclass
from numpy.typing import NDArray

from fastfeat.errors import InvalidData
from fastfeat.execute.row_identity import first_unlike
from fastfeat.io.arrow import Table, call, pa
from fastfeat.io.columns.decode import has_value
from fastfeat.io.columns.types import column_text
from fastfeat.ir.node import Call, Column
from fastfeat.ir.scope import row_order, window_of
from fastfeat.live.lower.live_plan import LivePlan
from fastfeat.steps.windows.rows import function_over


@dataclass(frozen=True, slots=True)
class LateColumnWindow:
    """Late columns that window functions of one order read, all in windows of equal parameters.

    Args:
        columns: Names of the late columns.
        window: Parameters of their window.
        lag: For a function that reads one row of its window, the row's position counted from the
            end; None if it may read any row.
        is_kept: Whether other windows read their results, so that they are stored for every row.
    """

    columns: frozenset[str]
    window: Mapping[str, Any]
    lag: int | None
    is_kept: bool


def find_late_windows(lowered: LivePlan) -> tuple[tuple[LateColumnWindow, ...], ...]:
    """Return, per order, the ways in which windows read late columns."""
    found: list[dict[Any, LateColumnWindow]] = [{} for _ in lowered.orders]
    for plan, prepared in lowered.prepared.items():
        kept = {function.call for function in lowered.functions[plan] if function.is_kept}
        for one in prepared.rounds:
            of_order = found[one.order]
            for statistic in one.statistics:
                columns = _late_read(statistic.call, lowered.late)
                reading = _reading(statistic.call, columns, is_kept=statistic.call in kept)
                if columns:
                    key = (tuple(reading.window.items()), reading.lag, reading.is_kept)
                    more = of_order[key].columns if key in of_order else frozenset[str]()
                    of_order[key] = replace(reading, columns=columns | more)
    return tuple(tuple(of_order.values()) for of_order in found)


def _late_read(over: Call, late: Collection[str]) -> frozenset[str]:
    """Return the names of the late columns that a window function reads from rows in its window."""
    read = row_order([over.args[0]])
    return frozenset(n.name for n in read if isinstance(n, Column) and n.name in late)


def _reading(over: Call, columns: frozenset[str], *, is_kept: bool) -> LateColumnWindow:
    lag = dict(over.params)["n"] if function_over(over).picks == "n-th" else None
    return LateColumnWindow(columns, dict(window_of(over).params), lag, is_kept)


@dataclass(frozen=True, slots=True)
class SortedLogRows:
    """Rows of a log as one order sorts them: an entity's rows are adjacent, and sorted by time.

    Args:
        entities: Entity number of each row, from 0, ascending.
        times: Time of each row, in ticks.
        tick: Nanoseconds per tick; 1 for whole numbers.
        is_answered: Whether a user was given the features of each row.
    """

    entities: Int64Array
    times: Int64Array
    tick: int
    is_answered: NDArray[np.bool_]


def is_read(standing: SortedLogRows, reading: LateColumnWindow) -> NDArray[np.bool_]:
    """Return a flag for each row: whether an answered row could have read it in its window."""
    n_rows = len(standing.times)
    begins, ends = _windows(standing, reading)
    asks = np.ones(n_rows, np.bool_) if reading.is_kept else standing.is_answered
    asks = asks & (begins < ends)
    turns: Int64Array = np.zeros(n_rows + 1, np.int64)
    np.add.at(turns, begins[asks], 1)
    np.subtract.at(turns, ends[asks], 1)
    return np.cumsum(turns)[:n_rows] > 0


def _windows(standing: SortedLogRows, reading: LateColumnWindow) -> tuple[Int64Array, Int64Array]:
    """Return the begin and the end of each row's window, as indices of rows, shape (n_rows,)."""
    window, tick = reading.window, standing.tick
    offset, last, closed = window["offset"], window["last"], window["closed"]
    places: Int64Array = np.arange(len(standing.times))
    firsts = np.searchsorted(standing.entities, standing.entities)
    if closed in ("left", "neither"):
        ends = _places(standing, -(offset // tick), "left")
    elif offset:
        ends = _places(standing, offset // -tick, "right")
    else:
        ends = places + 1
    begins = firsts
    if last is not None:
        length = offset + last
        if closed in ("left", "both"):
            begins = _places(standing, -(length // tick), "left")
        else:
            begins = _places(standing, length // -tick, "right")
    if window["rows"] is not None:
        begins = np.maximum(begins, ends - window["rows"])
    if reading.lag is not None:
        at = ends - reading.lag
        return np.where(at >= begins, at, ends), np.where(at >= begins, at + 1, ends)
    return begins, ends


def _places(standing: SortedLogRows, shift: int, side: Any) -> Int64Array:
    """Return, for each row, the index of the first row of its entity at or after a moment.

    Args:
        standing: The rows.
        shift: Moment minus the row's own time, in ticks, at most 0.
        side: "left" for the first row at or after the moment, "right" for the first row after it.
    """
    least = np.iinfo(np.int64).min
    earliest = standing.times < least - shift
    moments = np.where(earliest, least, standing.times + np.where(earliest, 0, shift))
    known = np.unique(np.concatenate([standing.times, moments]))
    each = standing.entities * (len(known) + 1)
    of_rows = each + np.searchsorted(known, standing.times)
    asked = each + np.searchsorted(known, moments)
    return np.searchsorted(of_rows, asked, side).astype(np.int64)


@dataclass(frozen=True, slots=True)
class OutcomeComparison:
    """Outcomes, compared with the values that the state has already.

    Args:
        is_new: Whether each outcome adds a value that was unknown, shape (n_rows,).
        columns: Late column name to flags of the outcomes that add a value to it, shape (n_rows,).
    """

    is_new: NDArray[np.bool_]
    columns: Mapping[str, BoolArray]


def compare_outcomes(
    row_id: str, given: Table, there: Table, again: Int64Array
) -> OutcomeComparison:
    """Return flags of the outcomes that add a value that was unknown.

    Args:
        row_id: Name of the id column.
        given: Outcomes.
        there: For each outcome, the row of the state with its id.
        again: For each outcome, the index of the first outcome with its id, which may be itself.

    Raises:
        InvalidData: An outcome has a different value than the state, or than an earlier outcome of
            the same id.
    """
    columns: dict[str, BoolArray] = {}
    is_new: NDArray[np.bool_] = np.zeros(int(given.num_rows), np.bool_)
    for name in given.column_names:
        if name == row_id:
            continue
        said, known = has_value(given.column(name)), has_value(there.column(name))
        both = np.flatnonzero(said & known)
        _check_same(row_id, name, given, both, there, both, "the state has")
        news = np.flatnonzero(said & ~known)
        first = _first_said(news, again)
        _check_same(row_id, name, given, news, given, first, "an earlier outcome says")
        new: BoolArray = np.zeros(int(given.num_rows), np.bool_)
        new[np.unique(first)] = True
        columns[name] = new
        is_new |= new
    return OutcomeComparison(is_new, columns)


def _first_said(rows: Int64Array, again: Int64Array) -> Int64Array:
    """Return, for each of the outcomes `rows`, the first of them with the same id.

    `again` has the first outcome with each outcome's id.
    """
    first: dict[int, int] = {}
    pairs = zip(rows.tolist(), again[rows].tolist(), strict=True)
    return np.array([first.setdefault(key, row) for row, key in pairs], np.int64)


def _check_same(
    row_id: str,
    name: str,
    given: Table,
    rows: Int64Array,
    other: Table,
    others: Int64Array,
    told: str,
) -> None:
    if not len(rows) or (given is other and bool((rows == others).all())):
        return
    column = pa.chunked_array([*given.column(name).chunks, *other.column(name).chunks])
    at = first_unlike(column, rows, others + given.num_rows)
    if at is not None:
        row, value = int(rows[at]), other.column(name)[int(others[at])].as_py()
        raise InvalidData(
            f"row {row}: the outcome {column_text(name)} of {row_id} = "
            f"{given.column(row_id)[row].as_py()!r} is {given.column(name)[row].as_py()!r}, but "
            f"{told} {value!r}. To change a wrong value, call live.correct(rows)"
        )


def fill_outcomes(
    there: Table, given: Table, row_id: str, rows: Sequence[int] | Int64Array
) -> Table:
    """Return late columns of state rows, with the values of some outcomes filled in.

    `there` has the state row of each of the outcomes `rows`, which are indices into `given`.
    """
    columns: dict[str, Any] = {}
    for name in given.column_names:
        if name == row_id:
            continue
        said = given.column(name).take(pa.array(rows)).combine_chunks()
        known = there.column(name).combine_chunks()
        columns[name] = call("if_else", pa.array(has_value(said)), said, known)
    return pa.table(columns)
