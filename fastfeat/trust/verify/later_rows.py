"""The check that features see no later rows: they are computed with and without them.

Plans are built by rules against leakage; this check runs the fitted plan. It removes all rows after
a moment, from the data and from tables, and the features at or before that moment must keep their
bits. It does so at several moments. Learnt values stay as they are. A run is the check of all
features with the same clock, which is the time that tells what is later.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field
from typing import Any, NamedTuple

import numpy as np
from fastfeat_kernels.arrays import BoolArray, Int64Array
from fastfeat_kernels.records import dataclass

from fastfeat.backends import backend_named
from fastfeat.errors import counted
from fastfeat.execute.batch import Batch
from fastfeat.execute.call_rows import CallRows
from fastfeat.execute.fitted import Fitted
from fastfeat.execute.history import BATCH, id_columns
from fastfeat.execute.inputs import used_schema
from fastfeat.execute.lookup_tables import read_tables, table_values
from fastfeat.execute.steps import make
from fastfeat.execute.values import times_in_ticks, values_of
from fastfeat.io.arrow import call, options_of, pa
from fastfeat.io.columns.decode import plain_table
from fastfeat.io.columns.differences import bits_text, first_difference
from fastfeat.io.columns.times import ticks_column, ticks_of, time_text
from fastfeat.io.columns.types import tick_ns
from fastfeat.ir.dtypes import DType
from fastfeat.ir.node import Node
from fastfeat.ir.scope import window_nodes
from fastfeat.ir.show import show
from fastfeat.plan.declare.bind import bind
from fastfeat.plan.declare.clocks import clock_of
from fastfeat.plan.declare.source_columns import columns_of
from fastfeat.progress import ProgressStep
from fastfeat.scalars.zones import use_zone_tables
from fastfeat.trust.verify.clocks import ClockRun, ClockRuns, TableTime, runs_of
from fastfeat.trust.verify.comparison import Check
from fastfeat.trust.verify.orders import (
    WindowRowOrder,
    latest_before,
    orders_of,
    sample_rows,
    take_rows,
)
from fastfeat.trust.verify.rows import SideInputs, rows_in_memory

MOMENTS = 50
"""Number of moments to judge, over all clocks."""
FEWEST_MOMENTS = 10
"""Least number of moments per clock."""
TABLE_ROWS = 2_000_000
"""Rows of tables to index again, over all moments of a clock."""
CANNOT_SEE = (
    "values that fit has learnt from later rows, such as counts per key or the order of codes",
    "out-of-fold features of training rows: features are computed here as for later rows",
    "later rows in tables that have no time",
)


class LaterRowChange(NamedTuple):
    """An output column that changes without later rows.

    Args:
        column: Name of the column.
        row: Number in the data of the first row with another value.
        moment: Rows after this moment are removed; as text.
        values: The value with all rows, and without the later ones, as text.
        n_moments: Number of moments at which the column changes.
    """

    column: str
    row: int
    moment: str
    values: tuple[str, str]
    n_moments: int


@dataclass(frozen=True, slots=True)
class LaterRows:
    """The results of the check: which features changed when later rows were removed.

    Args:
        checks: One comparison per clock.
        changes: The output columns that change.
        on_word: Features and tables that were left out: the user declared them known, or a feature
            has several clocks.
    """

    checks: tuple[Check, ...] = ()
    changes: tuple[LaterRowChange, ...] = ()
    on_word: tuple[str, ...] = ()

    @property
    def cannot_see(self) -> tuple[str, ...]:
        """The leaks that removing rows cannot detect, as text."""
        return CANNOT_SEE if self.checks or self.on_word else ()


class VerifySample(NamedTuple):
    """The rows that the check uses, with their tables and history.

    Args:
        rows: The rows as a table.
        side: The lookup tables and the history.
        numbers: Number of each row in the data, shape `(n_rows,)`.
    """

    rows: Any
    side: SideInputs
    numbers: Int64Array


def later_rows_of(fitted: Fitted, rows: CallRows, n_rows: int) -> LaterRows:
    """Return the results of the check on a sample of about `n_rows` rows of the data.

    `rows` must cover the whole data.
    """
    plan, runs = fitted.declaration, runs_of(fitted)
    ids = id_columns(plan.row_id, rows.history, plan.past_columns)
    read = read_tables(rows.tables, plan.row_table_columns)
    wanted = [*plan.row_columns, *ids]
    found = rows_in_memory(fitted, rows, wanted, n_rows, clock_columns(runs))
    side = SideInputs(read, BATCH if found.earlier is None else found.earlier)
    many = plain_table(found.many)
    orders = []
    if window_nodes(fitted.nodes.values()):
        orders = orders_of(fitted, many, found.earlier, read)
    sample = sample_of(orders, many, found.earlier, side, n_rows)
    return check_later_rows(fitted, runs, sample, lambda _: None)


def clock_columns(runs: ClockRuns) -> list[str]:
    """Return the names of the columns of the data that contain the times of the runs."""
    return columns_of(run.clock for run in runs.runs)


def sample_of(
    orders: Sequence[WindowRowOrder], many: Any, earlier: Any, side: SideInputs, n_rows: int
) -> VerifySample:
    """Return a sample of about `n_rows` rows: whole entities for windows, else evenly spaced.

    `orders` are the row orders of the plan's windows, over the history followed by the rows `many`;
    empty without windows. `earlier` is the history as a table, or None.
    """
    if not orders:
        n_all: int = many.num_rows
        places = np.linspace(0, max(n_all - 1, 0), min(n_rows, n_all))
        numbers: Int64Array = np.unique(places.astype(np.int64))
        return VerifySample(take_rows(many, numbers), side, numbers)
    n_earlier = len(orders[0].times) - many.num_rows
    chosen = sample_rows(orders, n_earlier, n_rows)
    if earlier is not None:
        side = side._replace(history=take_rows(earlier, latest_before(orders, n_earlier, chosen)))
    return VerifySample(take_rows(many, chosen), side, chosen)


def check_later_rows(
    fitted: Fitted, runs: ClockRuns, sample: VerifySample, step: ProgressStep
) -> LaterRows:
    """Return the results of the check on a sample; `step` is called with the name of each run."""
    if not runs.runs:
        return LaterRows(on_word=runs.on_word)
    features = sample.side.transform(fitted, sample.rows)
    most = max(FEWEST_MOMENTS, MOMENTS // len(runs.runs))
    found = [_check_clock(fitted, run, sample, features, most, step) for run in runs.runs]
    return LaterRows(
        tuple(one.check for one in found),
        tuple(change for one in found for change in one.changes),
        (*runs.on_word, *dict.fromkeys(word for one in found for word in one.on_word)),
    )


@dataclass(slots=True)
class _ClockResult:
    check: Check
    changes: tuple[LaterRowChange, ...] = ()
    on_word: list[str] = field(default_factory=list[str])


def _check_clock(
    fitted: Fitted,
    run: ClockRun,
    sample: VerifySample,
    features: Any,
    most: int,
    step: ProgressStep,
) -> _ClockResult:
    """Return the results of one run, which removes the rows after each of up to `most` moments.

    `features` are the features of the sample with all its rows.
    """
    name = f"all rows = without later rows, by {show(run.clock)}"
    step(f"verifying {name}")
    times = _times_of(fitted, run.clock, sample.rows, sample.side.tables)
    if times is None:
        lacking = [n for n in columns_of([run.clock]) if n not in sample.rows.column_names]
        return _ClockResult(Check(name, 0, None, f"the data lacks {lacking[0]!r}"))
    removal = _removal_of(fitted, run, sample, times)
    changes: dict[str, LaterRowChange] = {}
    n_rows = n_moments = 0
    for moment in times.spread(removal.at_most(most)):
        kept = removal.rows_at(moment)
        if kept is None:
            continue
        n_rows, n_moments = max(n_rows, len(kept.judged)), n_moments + 1
        alone = kept.side.transform(fitted, kept.rows).select(run.columns)
        alone = take_rows(alone, np.searchsorted(kept.numbers, kept.judged))
        expected = take_rows(features.select(run.columns), kept.judged)
        for column, row, values in _differences(expected, alone):
            first = LaterRowChange(
                column, int(sample.numbers[kept.judged[row]]), times.text(moment), values, 0
            )
            found = changes.get(column, first)
            changes[column] = found._replace(n_moments=found.n_moments + 1)
    if not n_moments:
        check = Check(name, 0, None, "no row is later than another")
    else:
        told = _change_text(list(changes.values()), n_moments)
        check = Check(name, n_rows, told, note=f", at {counted(n_moments, 'moment')}")
    return _ClockResult(check, tuple(changes.values()), removal.on_word)


def _change_text(changes: Sequence[LaterRowChange], n_moments: int) -> str | None:
    """Return a sentence on the first change and the number of other columns that change.

    None if there is no change.
    """
    if not changes:
        return None
    column, row, moment, (with_all, without), n_changed = changes[0]
    more = f". Other columns that change: {len(changes) - 1:,}" if len(changes) > 1 else ""
    return (
        f"feature {column!r}, row {row}: {with_all} with all rows, but {without} without the rows "
        f"after {moment}; it changes at {n_changed} of {counted(n_moments, 'moment')}{more}"
    )


def _differences(one: Any, other: Any) -> Iterator[tuple[str, int, tuple[str, str]]]:
    """Yield each column that differs between two tables.

    Each is a tuple: its name, the first row that differs, and both values there as text.
    """
    for name, left, right in zip(one.column_names, one.columns, other.columns, strict=True):
        pair = left.combine_chunks(), right.combine_chunks()
        row = first_difference(*pair)
        if row is not None:
            yield name, row, (bits_text(pair[0], row), bits_text(pair[1], row))


class _Times(NamedTuple):
    """The times of rows, as integers.

    Args:
        ticks: Time of each row, 0 if missing, shape `(n_rows,)`.
        is_there: Whether each row has a time, shape `(n_rows,)`.
        dtype: Type of the times.
        tick: Nanoseconds per tick; None for whole numbers without a unit.
    """

    ticks: Int64Array
    is_there: BoolArray
    dtype: DType
    tick: int | None

    def spread(self, most: int) -> list[int]:
        """Return up to `most` of the distinct times, evenly spread, as integers (ticks)."""
        distinct = np.unique(self.ticks[self.is_there])
        places = np.linspace(0, max(len(distinct) - 1, 0), min(most, len(distinct)))
        return [int(tick) for tick in distinct[np.unique(places.astype(np.int64))]]

    def are_after(self, moment: int, tick: int | None) -> BoolArray:
        """Return whether each row is later than a moment, shape `(n_rows,)`; false without a time.

        `tick` is the unit of the moment in nanoseconds.
        """
        limit = moment * (tick or 1) // (self.tick or 1)
        return self.is_there & (self.ticks > limit)

    def text(self, moment: int) -> str:
        """Return a time, given in ticks, as text."""
        return time_text(moment, self.dtype) if self.dtype.is_temporal else str(moment)


def _times_of(fitted: Fitted, clock: Node, rows: Any, tables: Any) -> _Times | None:
    """Return the times of rows by a clock; None if the rows lack a column that the clock reads."""
    names = columns_of([clock])
    if not set(names) <= set(rows.column_names):
        return None
    types = fitted.types
    if clock not in types:
        types = bind([clock], used_schema(rows, names))
    made = table_values(fitted.table_columns, tables)
    batch = Batch(rows, types, backend_named("cpu"), dict(fitted.constants), {**made})
    with use_zone_tables(fitted.zones):
        make(batch, [clock])
        ticks, is_there, dtype = times_in_ticks(batch, *values_of(batch, clock))
        known = clock_of(clock, types)
    return _Times(ticks, is_there, dtype, _tick(dtype, None if known is None else known.step))


def _tick(dtype: DType, step: int | None) -> int | None:
    return tick_ns(dtype) if dtype.is_temporal else step


class _EarlierRows(NamedTuple):
    """The rows that remain after the rows later than a moment are removed.

    Args:
        rows: The remaining rows as a table.
        numbers: Number of each remaining row in the sample, ascending, shape `(n_rows,)`.
        judged: Numbers in the sample of the remaining rows with a time, which are compared.
        side: The tables and the history, without later rows.
    """

    rows: Any
    numbers: Int64Array
    judged: Int64Array
    side: SideInputs


@dataclass(slots=True)
class _Removal:
    """A sample, with the times by which later rows are removed from it, its history and tables.

    Args:
        sample: The rows.
        times: Times of the rows.
        of_history: Times of the history's rows; None if none of them is ever removed.
        of_tables: Times of each table's rows, once per column by which features see them; without
            the tables that keep all rows.
        row_id: Column that identifies rows in both the history and the sample, or None.
        on_word: Lines of text on the tables and the history that keep all rows.
    """

    sample: VerifySample
    times: _Times
    of_history: _Times | None
    of_tables: Mapping[str, Sequence[_Times]]
    row_id: str | None
    on_word: list[str]

    def at_most(self, wanted: int) -> int:
        """Return the number of moments to judge: `wanted`, or fewer if tables are large."""
        n_rows = sum(len(times[0].ticks) for times in self.of_tables.values())
        return max(min(wanted, TABLE_ROWS // max(n_rows, 1)), FEWEST_MOMENTS // 2)

    def rows_at(self, moment: int) -> _EarlierRows | None:
        """Return the rows that are not later than a moment; None if no row is later."""
        rows, side, _ = self.sample
        is_later = self.times.are_after(moment, self.times.tick)
        tables, n_removed = self._tables_at(moment)
        history, is_late = side.history, None
        if self.of_history is not None:
            is_late = self.of_history.are_after(moment, self.times.tick)
            is_late |= self._are_removed(history, rows, is_later)
            n_removed += int(is_late.sum())
        if not n_removed and not is_later.any():
            return None
        if is_late is not None:
            history = take_rows(history, np.flatnonzero(~is_late))
        kept = np.flatnonzero(~is_later)
        judged = np.flatnonzero(~is_later & self.times.is_there)
        return _EarlierRows(take_rows(rows, kept), kept, judged, SideInputs(tables, history))

    def _tables_at(self, moment: int) -> tuple[dict[str, Any], int]:
        """Return the tables without the rows that are later than a moment, and the number removed.

        If features see a table by several columns, a row is removed if it is later by all of them.
        """
        tables, n_removed = dict(self.sample.side.tables or {}), 0
        for name, times in self.of_tables.items():
            is_later = np.logical_and.reduce(
                [one.are_after(moment, self.times.tick) for one in times]
            )
            if is_later.any():
                tables[name] = take_rows(tables[name], np.flatnonzero(~is_later))
                n_removed += int(is_later.sum())
        return tables, n_removed

    def _are_removed(self, history: Any, rows: Any, is_later: BoolArray) -> BoolArray:
        """Return whether each row of the history has the id of a removed row of the sample."""
        if self.row_id is None:
            n_rows: int = history.num_rows
            return np.zeros(n_rows, np.bool_)
        removed = rows.column(self.row_id).filter(pa.array(is_later)).combine_chunks()
        ids = history.column(self.row_id)
        of_removed = options_of("SetLookupOptions", value_set=removed)
        found: BoolArray = np.asarray(call("is_in", ids, options=of_removed))
        return found


def _removal_of(fitted: Fitted, run: ClockRun, sample: VerifySample, times: _Times) -> _Removal:
    """Return a sample with the times by which a run removes rows; `times` are those of its rows."""
    history = sample.side.history
    has_history = not isinstance(history, str)
    of_history = _times_of(fitted, run.clock, history, sample.side.tables) if has_history else None
    lacks = f"the history, which lacks the columns of {show(run.clock)}"
    on_word = [] if of_history or not has_history else [lacks]
    columns = {one.column for seen in run.tables.values() for one in seen}
    read = table_values({c: fitted.table_columns[c] for c in columns}, sample.side.tables)
    of_tables: dict[str, list[_Times]] = {}
    for name, seen in run.tables.items():
        found = [_times_of_table(one, read, fitted) for one in seen]
        if any((one.tick is None) != (times.tick is None) for one in found):
            on_word.append(
                f"the table {name!r}, because its time cannot be compared with {show(run.clock)}"
            )
        elif found:
            of_tables[name] = found
    row_id = fitted.declaration.row_id if of_history is not None else None
    return _Removal(sample, times, of_history, of_tables, row_id, on_word)


def _times_of_table(time: TableTime, read: Mapping[Node, Any], fitted: Fitted) -> _Times:
    """Return the times of a table's rows from one of its columns.

    `read` has the values of these columns.
    """
    dtype = fitted.table_columns[time.column]
    ticks, is_there = ticks_of(ticks_column(read[time.column].array, dtype))
    return _Times(ticks, is_there, dtype, _tick(dtype, time.step))
