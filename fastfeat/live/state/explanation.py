"""Explanations: the rows, tables and learnt values from which features of one row were computed.

The rows in each window are found by the definition of the window, not by the kernels that compute
features. `Explained.recompute` gives the kernels these rows only, and must return the same bits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Any

import numpy as np
from fastfeat_kernels.arrays import BoolArray, Int64Array
from fastfeat_kernels.records import dataclass

from fastfeat.backends import backend_named
from fastfeat.engine.float_environment import with_ieee_arithmetic
from fastfeat.execute.batch import Batch
from fastfeat.execute.history import as_type
from fastfeat.execute.lookup_tables import table_values
from fastfeat.execute.steps import make
from fastfeat.execute.values import compute_columns
from fastfeat.execute.windows import past_of
from fastfeat.io.arrow import Table, pa
from fastfeat.ir.node import Call, Node
from fastfeat.live.ask.features import (
    AnsweredRows,
    Batches,
    LogView,
    answer,
    begin,
    kept_arrays,
    make_stage,
)
from fastfeat.live.lower.live_plan import LivePlan, lower
from fastfeat.live.lower.row_orders import log_rows
from fastfeat.live.lower.row_tables import given_type
from fastfeat.live.state.call_rows import PlacedRows
from fastfeat.live.state.feature_origins import FeatureExplained, explained_html
from fastfeat.live.state.memory import StateMemory
from fastfeat.live.state.source_rows import NUMBER, SourceRows, explain_column
from fastfeat.scalars.zones import use_zone_tables
from fastfeat.steps.windows.rows import SortedRows, sort_rows
from fastfeat.steps.windows.tasks import ordering


@dataclass(frozen=True, slots=True, repr=False)
class Explained:
    """The origins of one row's features; prints as text, and as a table in notebooks.

    Args:
        features: One record per feature.
        lowered: The plan, merged into the orders and columns of a log.
        row: Table with the explained row.
        rows: Rows of the state that its windows could see, in order of arrival.
        hidden: Per order, flags of those `rows` that the explained row does not see.
        tables: Lookup tables, by name.
    """

    features: tuple[FeatureExplained, ...]
    lowered: LivePlan = field(compare=False)
    row: Table = field(compare=False)
    rows: Table = field(compare=False)
    hidden: Sequence[BoolArray] = field(compare=False)
    tables: Mapping[str, Any] = field(compare=False)

    def __getitem__(self, name: str) -> FeatureExplained:
        """Return a feature by its name."""
        return next(feature for feature in self.features if feature.name == name)

    def recompute(self) -> Table:
        """Return the features again, each computed only from the rows listed for it."""
        columns: dict[str, Any] = {}
        known: dict[Any, Table] = {}
        for feature in self.features:
            of_tables = tuple((name, n.tobytes()) for name, n in feature.tables.items())
            read = feature.rows.tobytes(), of_tables
            if read not in known:  # features that read the same rows are computed together
                known[read] = self._from(feature)
            columns[feature.name] = known[read].column(feature.name)
        return pa.table(columns)

    def _from(self, feature: FeatureExplained) -> Table:
        """Return the row's features, computed only from the rows that one feature read."""
        rows = self.rows.take(pa.array(feature.rows))
        hidden = [flags[feature.rows] for flags in self.hidden]
        tables = {
            name: _taken(self.tables[name], numbers) for name, numbers in feature.tables.items()
        }
        return _features(self.lowered, self.row, rows, hidden, tables)

    def __repr__(self) -> str:
        """Return one paragraph per feature."""
        return "\n".join(map(repr, self.features))

    def _repr_html_(self) -> str:
        """Return a table of the features, in which each row opens to show its origins."""
        return explained_html(self.features)


def _taken(table: Any, numbers: Int64Array) -> Any:
    return table.take(pa.array(numbers))


@with_ieee_arithmetic
def explain_row(
    lowered: LivePlan,
    row: Table,
    rows: Table,
    tables: Mapping[str, Table],
    numbers: Int64Array | None = None,
    hidden: Sequence[BoolArray] | None = None,
) -> Explained:
    """Return the origins of a row's features.

    Args:
        lowered: One plan, merged into the orders and columns of a log.
        row: Table with the one row.
        rows: Rows of the state that its windows may see, in order of arrival: columns of the log,
            stored window results, and the id.
        tables: Lookup tables, by name.
        numbers: Row number in the state for each of `rows`; None if they are all rows of the state.
        hidden: Per order, flags of those `rows` that the row does not see; None if it sees all.
    """
    hidden = hidden or [np.zeros(rows.num_rows, np.bool_)] * len(lowered.orders)
    ((name, fitted),) = lowered.plans.items()
    with use_zone_tables(fitted.zones):
        batch = _joined(lowered, name, row, rows, tables)
        orders, answered = _answered(lowered, batch, row, rows, hidden, tables)
        kept = {function.call: text for text, function in lowered.kept.items()}
        own, ids = answered.batches[name], _ids(lowered, row, rows, numbers)
        sight = SourceRows(fitted, own, batch, ids, tables, orders, kept)
        values = answered.features(name)
        found = tuple(explain_column(sight, column, values) for column in fitted.nodes)
    return Explained(found, lowered, row, rows, hidden, dict(tables))


def explain_in_memory(memory: StateMemory, here: PlacedRows) -> dict[str, Explained]:
    """Return a dict of plan name to the origins of one row's features, over a state in memory."""
    seen = [_seen_numbers(memory, here, k) for k in range(len(memory.lowered.orders))]
    numbers = np.unique(np.concatenate([*seen, np.zeros(0, np.int64)]))
    return {name: _explain_plan(memory, here, name, seen, numbers) for name in memory.lowered.plans}


def _explain_plan(
    memory: StateMemory,
    here: PlacedRows,
    name: str,
    seen: Sequence[Int64Array],
    numbers: Int64Array,
) -> Explained:
    """Return the origins of one plan's features.

    `seen` has, per order of all plans, the numbers of the log rows that the row sees; `numbers` are
    all of these numbers, ascending.
    """
    every = memory.lowered
    lowered = every if len(every.plans) == 1 else lower({name: every.plans[name]})
    hidden = [
        ~np.isin(numbers, seen[k])
        for order in lowered.orders
        for k in [_place_of(every, order.call, name)]
    ]
    types = {**lowered.columns, **lowered.kept_types}
    nothing = {name: pa.nulls(0, given_type(dtype)) for name, dtype in types.items()}
    rows = pa.table(
        {**{name: here.rows.column(name)[:0] for name in here.rows.column_names}, **nothing}
    )
    if memory.log is not None:
        names = {text: _name_of(every, kept.call) for text, kept in lowered.kept.items()}
        rows = memory.log.take(numbers, [*memory.columns, *names.values()])
        rows = rows.rename_columns([*memory.columns, *names])
    return explain_row(lowered, here.rows, rows, memory.tables, numbers, hidden)


def _place_of(lowered: LivePlan, order: Call, plan: str) -> int:
    """Return the index in `lowered.orders` of a plan's order.

    Plans may share an order; one with learnt values belongs to one plan.
    """
    same = [k for k, one in enumerate(lowered.orders) if one.call is order]
    return next((k for k in same if lowered.orders[k].plan == plan), same[0])


def _name_of(lowered: LivePlan, call: Call) -> str:
    return next(text for text, kept in lowered.kept.items() if kept.call is call)


def _seen_numbers(memory: StateMemory, here: PlacedRows, order: int) -> Int64Array:
    """Return the numbers of the log rows that a row sees in one order.

    A row of the log does not see itself, nor rows of the same time that came after it.
    """
    times, entities = here.times[order], here.entities[order]
    if memory.log is None:
        return np.zeros(0, np.int64)
    numbers = memory.log.seen(order, entities, times, alone=True).rows
    own = int(here.numbers[0])
    if own < 0:
        return numbers
    there = memory.log.take(numbers, memory.placed_by)
    is_later = (memory.times_of(order, there) == times[0]) & (numbers > own)
    if memory.lowered.orders[order].tie is not None:
        (tie,) = memory.ties_of(order, here.log)
        is_later &= np.array([other == tie for other in memory.ties_of(order, there)], np.bool_)
    return numbers[~is_later & (numbers != own)]


def _features(
    lowered: LivePlan,
    row: Table,
    rows: Table,
    hidden: Sequence[BoolArray],
    tables: Mapping[str, Table],
) -> Table:
    """Return one row's features, computed from `rows` and `tables` alone."""
    ((name, fitted),) = lowered.plans.items()
    with use_zone_tables(fitted.zones):
        batch = _joined(lowered, name, row, rows, tables)
        _, answered = _answered(lowered, batch, row, rows, hidden, tables)
    return answered.features(name)


def _answered(
    lowered: LivePlan,
    batch: Batch,
    row: Table,
    rows: Table,
    hidden: Sequence[BoolArray],
    tables: Mapping[str, Table],
) -> tuple[dict[Call, SortedRows], AnsweredRows]:
    """Return the rows in each order, and the row with all columns that its features need.

    `batch` holds the rows followed by the row, and receives window results of the row that other
    windows read. `hidden` has, per order, flags of those `rows` that `row` does not see.
    """
    orders: dict[Call, SortedRows] = {}
    seen: list[LogView] = []
    begun, log = begin(lowered, row, tables), log_rows(lowered, row)
    *before, last = lowered.stages
    for stage in [*before, last]:
        for k in stage.orders:
            call = lowered.orders[k].call
            orders[call] = _order(batch, call, hidden[k])
            seen.append(_seen(rows, orders[call]))
        if stage is not last:
            make_stage(lowered, stage, begun, log, seen)
            _take_own(lowered, batch, begun)
    return orders, answer(lowered, row, seen, tables, log=log, begun=begun)


def _seen(rows: Table, order: SortedRows) -> LogView:
    """Return the log rows that the last row of an order sees: the earlier rows of its entity."""
    *others, own = order.entity
    codes = [0 if e is not None and own is not None and e[0] == own[0] else -1 for e in others]
    asking = np.array([-1 if own is None else 0], np.int32)
    return LogView(rows, np.array(codes, np.int32), asking)


def _take_own(lowered: LivePlan, batch: Batch, begun: Batches) -> None:
    """Put the row's results of windows that other windows read into the last row of the batch."""
    made = [name for name, one in lowered.kept.items() if one.call in begun[one.plans[0]].made]
    for name, own in kept_arrays(lowered, begun, made).items():
        call = lowered.kept[name].call
        known = batch.made[call].slice(0, batch.n_rows - 1)
        batch.made[call] = pa.chunked_array([*known.chunks, own.cast(known.type)], known.type)


def _joined(
    lowered: LivePlan, name: str, row: Table, rows: Table, tables: Mapping[str, Table]
) -> Batch:
    """Return a batch of the rows that a row may see, followed by the row itself.

    It has the stored window results; the row itself has nulls in their columns.
    """
    fitted, own = lowered.plans[name], log_rows(lowered, row)
    columns: dict[str, Any] = {}
    for column, dtype in lowered.columns.items():
        parts = [as_type(part.column(column), column, dtype) for part in (rows, own)]
        columns[column] = pa.chunked_array([c for part in parts for c in part.chunks])
    made: dict[Node, Any] = dict(table_values(fitted.table_columns, tables))
    for text, function in lowered.kept.items():
        known = as_type(rows.column(text), text, function.dtype)
        made[function.call] = pa.chunked_array([*known.chunks, pa.nulls(1, known.type)])
    table = pa.table(columns) if columns else pa.table({"": pa.nulls(rows.num_rows + 1)})
    return Batch(table, fitted.types, backend_named("cpu"), dict(fitted.constants), made)


def _order(batch: Batch, order: Call, hidden: BoolArray) -> SortedRows:
    """Return the rows of a batch as one order sorts them within each entity.

    Rows flagged in `hidden` are left out.
    """
    make(batch, order.args)
    compute_columns(batch, order.args)
    past = past_of(batch, order, is_mixed=True)
    times, keys, tie = ordering(past)
    for place in np.flatnonzero(hidden).tolist():
        times[place] = None
    return sort_rows(times, past.dtype, keys, tie, len(times))


def _ids(
    lowered: LivePlan, row: Table, rows: Table, numbers: Int64Array | None
) -> tuple[str, Sequence[Any]]:
    row_id = lowered.row_id
    if row_id is not None and row_id in rows.column_names:
        own = row.column(row_id).to_pylist() if row_id in row.column_names else [None]
        return row_id, [*rows.column(row_id).to_pylist(), *own]
    known: list[int] = list(range(rows.num_rows)) if numbers is None else numbers.tolist()
    return NUMBER, [*known, None]
