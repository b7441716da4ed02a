"""The rows that one row's feature read: of its entity, of other entities, and of tables.

They follow from the definitions: the feature's expression is walked from its root, and for each
window the expressions are walked again for the rows in the window.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field
from typing import Any

import numpy as np
from fastfeat_kernels.records import dataclass

from fastfeat.execute.batch import Batch
from fastfeat.execute.fitted import Fitted
from fastfeat.execute.steps import make
from fastfeat.execute.values import compute_columns
from fastfeat.execute.windows import past_of_table, query_columns
from fastfeat.io.arrow import Table, pa
from fastfeat.io.columns.decode import decode_column
from fastfeat.ir.node import Call, Column, Node, TableColumn, postorder
from fastfeat.ir.scope import (
    is_of_table,
    is_over,
    is_over_window,
    order_of,
    query_of,
    row_order,
    table_of,
    window_of,
)
from fastfeat.ir.show import show, show_all
from fastfeat.keep.state import aggregates_of
from fastfeat.live.state.feature_origins import FeatureExplained, RowsSeen
from fastfeat.plan.declare.source_columns import reads_own_row
from fastfeat.steps.tables.rows import instants
from fastfeat.steps.windows.rows import SortedRows
from fastfeat.steps.windows.rows import window_of as rows_in_window
from fastfeat.steps.windows.table_rows import moments_of, places_in_window, rows_of_table
from fastfeat.steps.windows.tasks import ordering
from fastfeat.tell.html import learnt_text

NUMBER = "row number"
"""Name of the column with row numbers, which identifies rows of the state without `row_id`."""


@dataclass(frozen=True, slots=True)
class SourceRows:
    """The explained row and the log rows that it may see, with all computed values.

    Args:
        fitted: The plan.
        own: Batch of the explained row alone, with all computed columns.
        batch: Batch of the log rows, followed by the explained row.
        ids: Name of the identifying column, and its value for each row of `batch`; None for the
            explained row if it has no id.
        tables: Lookup tables, by name.
        orders: Node of each order to the rows of `batch`, sorted by this order.
        kept: Window function to the name of the log column that stores its results.
    """

    fitted: Fitted
    own: Batch
    batch: Batch
    ids: tuple[str, Sequence[Any]]
    tables: Mapping[str, Table]
    orders: Mapping[Call, SortedRows]
    kept: Mapping[Call, str]

    @property
    def last(self) -> int:
        """The index of the explained row in `batch`."""
        return self.batch.n_rows - 1


@dataclass(frozen=True, slots=True)
class _RowCollector:
    """Collects the rows that one feature read.

    Args:
        rows: Indices into `SourceRows.batch`.
        tables: Lookup table name to row indices.
        seen: Window function, lookup or as-of join to the record of the rows that it read.
    """

    rows: set[int] = field(default_factory=set[int])
    tables: dict[str, set[int]] = field(default_factory=dict[str, set[int]])
    seen: dict[Node, RowsSeen] = field(default_factory=dict[Node, RowsSeen])


def explain_column(sight: SourceRows, column: str, values: Table) -> FeatureExplained:
    """Return the origins of one feature column; `values` has the features of the row."""
    fitted = sight.fitted
    node, read = fitted.nodes[column], _RowCollector()
    _collect_rows(sight, sight.own, [node], [0], read)
    asked = [arg for n in row_order([node]) if is_over_window(n) for arg in query_of(order_of(n))]
    own = dict.fromkeys(n.name for n in row_order([node, *asked]) if isinstance(n, Column))
    learnt = show_all(aggregates_of([node]))
    return FeatureExplained(
        column,
        values.column(column)[0].as_py(),
        show(fitted.declaration.nodes.get(column, node)),
        {name: sight.own.table.column(name)[0].as_py() for name in own},
        {
            text: learnt_text(fitted.constants[one], fitted.bound[one])
            for one, text in learnt.items()
        },
        tuple(read.seen.values()),
        np.array(sorted(read.rows - {sight.last}), np.int64),
        {
            name: np.array(sorted(read.tables.get(name, ())), np.int64)
            for name in dict.fromkeys(c.table for c in fitted.table_columns)
        },
    )


def _collect_rows(
    sight: SourceRows,
    batch: Batch,
    roots: Sequence[Node],
    places: Sequence[int],
    read: _RowCollector,
) -> None:
    """Add the rows of the state and of tables from which expressions of some rows are computed.

    Args:
        sight: The explained row and the rows that it may see.
        batch: Either `sight.own` or `sight.batch`.
        roots: Expressions.
        places: Indices of the reading rows in the batch.
        read: Collects the rows that are read.
    """
    is_own = batch is sight.own or sight.last in places
    nodes = row_order(roots)
    for node in nodes:
        match node:
            case Call() if is_over_window(node):
                if is_own and node not in read.seen:  # results of the other rows are stored
                    _collect_window_rows(sight, node, read)
            case Call() if is_over(node) and is_of_table(order_of(node)):
                _collect_table_rows(sight, read, node, _find_table_rows(batch, node, places))
            case Call("lookup_row" | "asof_row"):
                if node not in batch.made:
                    make(batch, [node])
                numbers = (
                    batch.made[node].take(pa.array(places, pa.int64())).drop_null().to_pylist()
                )
                looked_up = [n.args[1] for n in nodes if _is_value_of(n, node)]
                _collect_table_rows(sight, read, node, numbers, looked_up)
            case _:
                pass


def _is_value_of(node: Node, row: Call) -> bool:
    return isinstance(node, Call) and node.function == "lookup_value" and node.args[0] is row


def _collect_window_rows(sight: SourceRows, over: Call, read: _RowCollector) -> None:
    """Add the rows in a window of the explained row, and all rows that these rows have read."""
    order, last = order_of(over), sight.last
    inside = rows_in_window(sight.orders[order], last, dict(window_of(over).params)) or []
    read.rows.update(inside)
    value = over.args[0]
    columns = [n for n in row_order([order.args[0], value]) if isinstance(n, Column)]
    kept = [n for n in row_order([order.args[0], value]) if isinstance(n, Call) and n in sight.kept]
    table = sight.batch.table.select([*dict.fromkeys(c.name for c in columns)])
    for node in kept:
        before, own = sight.batch.made[node].slice(0, last), decode_column(sight.own.made[node])
        values = pa.chunked_array([*before.chunks, *own.cast(before.type).chunks], before.type)
        table = table.append_column(sight.kept[node], values)
    name, ids = sight.ids
    if last in inside and name == NUMBER:
        name, ids = "row", [*map(str, ids[:-1]), "itself"]
    if name not in table.column_names:
        table = table.add_column(0, name, pa.array(ids))
    rows = table.take(pa.array(inside, pa.int64()))
    read.seen[over] = RowsSeen(show(over), "", rows, int(last in inside))
    for_value = [*inside, *([last] if reads_own_row(over) and last not in inside else [])]
    _collect_rows(sight, sight.batch, [value], for_value, read)
    _collect_rows(sight, sight.batch, order.args, sorted({*inside, last}), read)


def _find_table_rows(batch: Batch, over: Call, places: Sequence[int]) -> list[int]:
    """Return the row indices of a lookup table that are in the window of some rows of a batch.

    `places` are the indices of these rows; a table row may occur several times.
    """
    order = order_of(over)
    make(batch, [over])
    compute_columns(batch, query_of(order))
    past, asking = past_of_table(batch, order), query_columns(batch, order)
    times, keys, tie = ordering(past)
    table = rows_of_table(times, past.dtype, keys, past.key_dtypes, tie)
    own, own_keys, _ = ordering(asking)
    moments = moments_of(own, asking.dtype, own_keys, asking.key_dtypes)
    when, window = instants(moments.times, moments.dtype), dict(window_of(over).params)
    found: list[int] = []
    for place in places:
        key, moment = moments.keys[place], when[place]
        if key is not None and moment is not None:
            at, rows = table.get(key, ((), ()))
            found += rows[places_in_window(at, moment, window)]
    return found


def _collect_table_rows(
    sight: SourceRows,
    read: _RowCollector,
    step: Call,
    numbers: Sequence[int],
    others: Iterable[Node] = (),
) -> None:
    """Add rows of a lookup table that a function read.

    Args:
        sight: The explained row and the rows that it may see.
        read: Collects the rows.
        step: The window function, lookup or as-of join.
        numbers: Indices of the table rows; one may occur several times.
        others: Further nodes, from which the table columns that were read are taken.
    """
    columns = [n for n in (*postorder([step]), *others) if isinstance(n, TableColumn)]
    own = [n for n in columns if n.table == _table_of(step)]
    name, once = own[0].table, list(dict.fromkeys(numbers))
    read.tables.setdefault(name, set()).update(once)
    table = sight.tables[name].select([*dict.fromkeys(n.name for n in own)])
    if step in read.seen:
        return
    read.seen[step] = RowsSeen(show(step), name, table.take(pa.array(once, pa.int64())))


def _table_of(step: Call) -> str:
    """Return the name of the table that a lookup, as-of join or window function reads."""
    if is_over(step):
        return table_of(order_of(step))
    return next(arg.table for arg in reversed(step.args) if isinstance(arg, TableColumn))
