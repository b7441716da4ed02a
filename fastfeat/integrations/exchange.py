"""Exchange of rows between the workers of an engine (Ray, Spark), so that each has whole entities.

Windows see the earlier rows of an entity. So all rows of an entity must be on one worker. A share
is a group of entities, chosen by a hash of their keys. Each worker numbers its rows, and computes
the share of each. Another worker then collects all rows of a share, in the order of their numbers,
after the history rows of these entities. One exchange serves all passes of fit.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import nullcontext
from typing import Any, NamedTuple

import numpy as np
from fastfeat_kernels.records import dataclass
from numpy.typing import NDArray

from fastfeat import pickles
from fastfeat.api.learning import Learning
from fastfeat.api.plan import FittedPlan, Plan
from fastfeat.engine.cpu import threads
from fastfeat.errors import HistoryMissing, InvalidPlan, warn
from fastfeat.execute.entities import SHARE, keys_in_common, share_plan
from fastfeat.execute.fitted import Fitted
from fastfeat.execute.history import is_batch, naming_history
from fastfeat.execute.inputs import read_columns
from fastfeat.execute.lookup_tables import Tables, read_tables
from fastfeat.execute.row_identity import type_of_id
from fastfeat.io.arrow import Schema, Table, call, pa, schema_with
from fastfeat.io.columns.common_types import cast_to_schema
from fastfeat.io.columns.types import schema_of
from fastfeat.ir.node import Column, postorder
from fastfeat.ir.scope import is_over_window, window_nodes
from fastfeat.keep.artifact import artifact_bytes

_ROW_BITS = 40
"""The low bits of a row's number are its place in its part; the high bits are the part."""
_EARLIER = -(1 << 62)
"""The first number of history rows, so that they sort before the others."""


class RowsWithHistory(NamedTuple):
    """Some rows on a worker, and the history rows of their entities.

    Args:
        table: The rows; after an exchange, whole entities.
        history: The history rows of these entities; None without a history.
    """

    table: Table
    history: Table | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Exchange:
    """A description of an exchange of rows, to be sent to workers: data only, without code.

    Args:
        artifact: The artifact, as bytes, of the plan that computes the share of each row.
        tables: The lookup tables that this plan reads.
        n_shares: The number of shares.
        rows: The names and types of the columns of rows that are sent.
        history: The names and types of the columns of history rows that are sent, or None.
    """

    artifact: bytes
    tables: dict[str, Table]
    n_shares: int
    rows: Schema
    history: Schema | None

    @property
    def sent(self) -> Schema:
        """The schema in which rows are sent: their columns, then "number" and "share".

        The columns have generated names, because the data may use any name.
        """
        fields = dict(zip(self._names, self._fields, strict=True))
        return pa.schema([*fields.items(), ("number", pa.int64()), ("share", pa.int32())])

    @property
    def _fields(self) -> list[Any]:
        """The type of each column of rows and history."""
        return [field.type for field in _joined(self.rows, self.history)]

    @property
    def _names(self) -> list[str]:
        return [f"_{at}" for at in range(len(self._fields))]


def _joined(rows: Schema, history: Schema | None) -> Schema:
    """Return the columns of rows, followed by those that only the history has, as one schema."""
    more = [field for field in history or () if field.name not in rows.names]
    return pa.schema([*rows, *more])


def has_windows(plan: Plan) -> bool:
    """Return whether features of the plan see other rows than their own."""
    return len(window_nodes(plan.declaration.nodes.values())) > 0


def exchange_of_learning(
    learning: Learning[Any], rows: Schema, history: Schema | None, n_shares: int
) -> Exchange:
    """Return the exchange of training rows; `learning` must have been made for whole entities."""
    record = learning.record
    prepared = record.prepared
    types = prepared.schema, prepared.schemas, prepared.zones
    return _exchange(
        share_plan(record.keys, n_shares, *types, {}), prepared.tables, rows, history, n_shares
    )


def exchange_of_fitted(
    fitted: FittedPlan, tables: Tables, rows: Schema, past: Schema | None, n_shares: int
) -> Exchange:
    """Return the exchange of rows before a fitted plan computes their features.

    Raises:
        InvalidPlan: Windows see rows of entities that have no key in common.
    """
    record = fitted.record
    nodes = postorder(list(record.declaration.nodes.values()))
    keys = keys_in_common([node for node in nodes if is_over_window(node)])
    shares = share_plan(keys, n_shares, record.inputs, record.tables, record.zones, {})
    return _exchange(shares, tables, rows, past, n_shares)


def exchange_of_ids(row_id: str, rows: Schema, n_shares: int) -> Exchange:
    """Return the exchange that brings rows with the same id to the same worker.

    Raises:
        TypeMismatch: The column's type cannot be an id.
    """
    types = {row_id: type_of_id(row_id, schema_of(rows))}
    shares = share_plan([Column(row_id)], n_shares, types, {}, {}, {})
    return _exchange(shares, None, rows, None, n_shares)


def _exchange(
    shares: Fitted, tables: Tables, rows: Schema, past: Schema | None, n_shares: int
) -> Exchange:
    columns = list(shares.table_columns)
    known: Any = read_tables(tables, columns) if columns else {}
    return Exchange(artifact_bytes(shares), dict(known), n_shares, rows, past)


def history_schema(plan: Plan, given: Schema, *, training: bool) -> Schema:
    """Return the names and types of the history columns that windows read.

    `training` says whether the history is for `fit`; otherwise it is for `transform`.

    Raises:
        UnknownColumn: The history lacks a column; the message names the history.
        InvalidPlan: The plan has a `row_id`, and fit would have to find its rows in the history.
    """
    declared = plan.declaration
    names = declared.training_past_columns if training else declared.past_columns
    ids = [] if declared.row_id is None else [declared.row_id]
    if ids and training:
        raise InvalidPlan(
            "in this version, fit on Ray or Spark does not support history= for a plan with "
            "row_id=. Fit on files, plan.fit(files, history=...), or leave out history= or row_id="
        )
    wanted = list(dict.fromkeys([*names, *ids]))
    with naming_history():
        read_columns(given.empty_table(), wanted)
    return schema_with(given, wanted)


def past_of_data(history: Any) -> str | None:
    """Return "batch" if `history=` is "batch"; otherwise warn, and return None.

    Warns:
        HistoryMissing: There is no history.
    """
    if is_batch(history):
        return history
    warn(
        "windows see only the rows of the data. Pass the earlier rows, history=earlier, or "
        "history='batch' if the data contains its own past",
        HistoryMissing,
    )
    return None


# The functions that workers run.


def sent_rows(
    exchange: Exchange, table: Table, part: int, first: int, *, is_history: bool = False
) -> Table:
    """Return rows of a worker in the schema `exchange.sent`, with their numbers and shares.

    `part` is the number of the part that the rows belong to, `first` the number of the first row in
    it.

    Raises:
        TypeMismatch: A history value does not have the type of the rows' column.
        FastfeatError: A key cannot be computed.
    """
    read = exchange.history if is_history else exchange.rows
    assert read is not None
    table = table.select(read.names)
    with threads.using_threads(1), naming_history() if is_history else nullcontext():
        shares = pickles.fitted_of(exchange.artifact).transform(table, tables=exchange.tables)
        columns = [
            cast_to_schema(table.select([field.name]), pa.schema([field]), "the data").column(0)
            if field.name in read.names
            else pa.nulls(table.num_rows, field.type)
            for field in _joined(exchange.rows, exchange.history)
        ]
    begin = (_EARLIER if is_history else 0) + (part << _ROW_BITS) + first
    numbers = pa.array(np.arange(begin, begin + table.num_rows, dtype=np.int64))
    of_row = call("coalesce", shares.column(SHARE), pa.scalar(0, pa.uint32())).cast(pa.int32())
    return pa.Table.from_arrays([*columns, numbers, of_row], schema=exchange.sent)


def by_share(exchange: Exchange, sent: Table) -> list[Table]:
    """Return one table per share, with the rows of `sent` in it; runs on a worker."""
    of_row: NDArray[np.int32] = sent.column("share").to_numpy()
    order = np.argsort(of_row, kind="stable")
    ends = np.cumsum(np.bincount(of_row, minlength=exchange.n_shares)).tolist()
    taken = sent.take(pa.array(order))
    return [taken.slice(a, b - a) for a, b in zip([0, *ends], ends, strict=False)]


def restore_order(exchange: Exchange, sent: Iterable[Table]) -> RowsWithHistory:
    """Return the rows and the history of whole shares, in the order of their row numbers.

    `sent` are the tables that `sent_rows` returned on other workers, in any order.
    """
    table = pa.concat_tables([exchange.sent.empty_table(), *sent]).combine_chunks()
    numbers: NDArray[np.int64] = table.column("number").to_numpy()
    if (np.diff(numbers) < 0).any():
        order = np.argsort(numbers)
        table, numbers = table.take(pa.array(order)), numbers[order]
    n_history = int(np.searchsorted(numbers, 0))
    named = table.select(exchange.sent.names[:-2])
    named = named.rename_columns(_joined(exchange.rows, exchange.history).names)
    rows = named.slice(n_history).select(exchange.rows.names)
    if exchange.history is None:
        return RowsWithHistory(rows)
    return RowsWithHistory(rows, named.slice(0, n_history).select(exchange.history.names))
