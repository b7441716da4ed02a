"""Rows exchanged between the workers of an engine, so that each has whole entities of windows.

Windows see the earlier rows of an entity. A worker numbers the rows that it has, and tells the
share of each, by a hash of its keys; another one brings those of a share together, in the order of
their numbers, behind the rows of a history that are in it. One exchange serves all passes of fit.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastfeat import pickles
from fastfeat.api.learning import Learning
from fastfeat.api.plan import FittedPlan, Plan
from fastfeat.engine.cpu.threads import using_threads
from fastfeat.errors import HistoryMissing, InvalidPlan, warn
from fastfeat.execute.entities import SHARE, keys_in_common, share_plan
from fastfeat.execute.fitted import Fitted
from fastfeat.execute.history import is_batch, naming_history
from fastfeat.execute.inputs import read_columns
from fastfeat.execute.lookup_tables import Tables, read_tables
from fastfeat.execute.row_identity import type_of_id
from fastfeat.io.arrow import Schema, Table, call, pa, schema_with
from fastfeat.io.columns.foreign import in_types
from fastfeat.io.columns.types import schema_of
from fastfeat.ir.node import Column, postorder
from fastfeat.ir.scope import is_over_window, window_nodes
from fastfeat.keep.artifact import artifact_bytes

_ROW_BITS = 40
"""Of a number: below them stands the row in its part, above them the part."""
_EARLIER = -(1 << 62)
"""What the numbers of rows of a history begin at, so that they come first."""


class Rows(NamedTuple):
    """Rows as a worker has them.

    Args:
        table: the rows; where they were exchanged, with whole entities.
        history: the rows of a history of these entities; None where there is none.
    """

    table: Table
    history: Table | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Exchange:
    """An exchange of rows on its way to workers: data alone, without code.

    Args:
        artifact: of the plan that tells the share of each row, as bytes.
        tables: lookup tables that it reads.
        n_shares: how many there are.
        rows: the schema of what is read of the rows.
        history: the same of a history; None without one.
    """

    artifact: bytes
    tables: dict[str, Table]
    n_shares: int
    rows: Schema
    history: Schema | None

    @property
    def sent(self) -> Schema:
        """The schema of rows that are sent: what is read of either, their numbers and shares.

        Of other names than those of the data, which may have any.
        """
        fields = dict(zip(self._names, self._fields, strict=True))
        return pa.schema([*fields.items(), ("number", pa.int64()), ("share", pa.int32())])

    @property
    def _fields(self) -> list[Any]:
        """The types of the columns of either."""
        return [field.type for field in _joined(self.rows, self.history)]

    @property
    def _names(self) -> list[str]:
        return [f"_{at}" for at in range(len(self._fields))]


def _joined(rows: Schema, history: Schema | None) -> Schema:
    """Return the columns of rows, and those that a history alone has."""
    more = [field for field in history or () if field.name not in rows.names]
    return pa.schema([*rows, *more])


def has_windows(plan: Plan) -> bool:
    """Return whether features see other rows than their own."""
    return len(window_nodes(plan.declaration.nodes.values())) > 0


def exchange_of_learning(
    learning: Learning[Any], rows: Schema, history: Schema | None, n_shares: int
) -> Exchange:
    """Return the exchange of rows that are learnt from.

    Args:
        learning: of whole entities.
        rows: the schema of what is read of them.
        history: the same of a history; None without one.
        n_shares: how many shares there are.
    """
    record = learning.record
    prepared = record.prepared
    types = prepared.schema, prepared.schemas, prepared.zones
    return _exchange(
        share_plan(record.keys, n_shares, *types, {}), prepared.tables, rows, history, n_shares
    )


def exchange_of_fitted(
    fitted: FittedPlan, tables: Tables, rows: Schema, past: Schema | None, n_shares: int
) -> Exchange:
    """Return the exchange of rows whose features are computed.

    Args:
        fitted: the plan.
        tables: lookup tables, as of `FittedPlan.transform`.
        rows: The schema of what is read of them.
        past: The same of a history; None without one.
        n_shares: how many shares there are.

    Raises:
        InvalidPlan: windows see rows of entities that have no key in common.
    """
    record = fitted.record
    nodes = postorder(list(record.declaration.nodes.values()))
    keys = keys_in_common([node for node in nodes if is_over_window(node)])
    shares = share_plan(keys, n_shares, record.inputs, record.tables, record.zones, {})
    return _exchange(shares, tables, rows, past, n_shares)


def exchange_of_ids(row_id: str, rows: Schema, n_shares: int) -> Exchange:
    """Return the exchange of rows by their id, so that those of one id meet.

    Args:
        row_id: the column of the ids.
        rows: the schema of what is read of them, with that column.
        n_shares: how many shares there are.

    Raises:
        TypeMismatch: values of the column are no ids.
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
    """Return the schema of what windows read of a history.

    Args:
        plan: the plan.
        given: the schema of the history.
        training: whether the rows behind it are learnt from.

    Raises:
        UnknownColumn: it lacks a column; the message says that it is of the history.
        InvalidPlan: fit finds rows of the history among its own, by `row_id`.
    """
    declared = plan.declaration
    names = declared.training_past_columns if training else declared.past_columns
    ids = [] if declared.row_id is None else [declared.row_id]
    if ids and training:
        raise InvalidPlan(
            "history= of a plan with row_id= is not learnt from on an engine in this version. Fit "
            "on files, plan.fit(files, history=...), or leave one of the two out"
        )
    wanted = list(dict.fromkeys([*names, *ids]))
    with naming_history():
        read_columns(given.empty_table(), wanted)
    return schema_with(given, wanted)


def past_of_data(history: Any) -> str | None:
    """Return a history that is no rows: "batch", or None, of which it is told what windows see.

    Warns:
        HistoryMissing: there is none.
    """
    if is_batch(history):
        return history
    warn(
        "windows see the rows of the data alone. Pass the earlier rows, history=earlier, or "
        "history='batch' where the data holds its past",
        HistoryMissing,
    )
    return None


# What workers run.


def sent_rows(
    exchange: Exchange, table: Table, part: int, first: int, *, is_history: bool = False
) -> Table:
    """Return rows with their numbers and shares, on a worker that has them.

    Args:
        exchange: what is read of them.
        table: the rows, with at least these columns.
        part: the number of the part that they are of.
        first: the number of the first of them in it.
        is_history: whether they are of a history.

    Raises:
        TypeMismatch: a value of a history is none of the type that the rows have.
        FastfeatError: a key cannot be computed.
    """
    read = exchange.history if is_history else exchange.rows
    assert read is not None
    table = table.select(read.names)
    with using_threads(1), naming_history() if is_history else nullcontext():
        shares = pickles.fitted_of(exchange.artifact).transform(table, tables=exchange.tables)
        columns = [
            in_types(table.select([field.name]), pa.schema([field]), "the data").column(0)
            if field.name in read.names
            else pa.nulls(table.num_rows, field.type)
            for field in _joined(exchange.rows, exchange.history)
        ]
    begin = (_EARLIER if is_history else 0) + (part << _ROW_BITS) + first
    numbers = pa.array(np.arange(begin, begin + table.num_rows, dtype=np.int64))
    of_row = call("coalesce", shares.column(SHARE), pa.scalar(0, pa.uint32())).cast(pa.int32())
    return pa.Table.from_arrays([*columns, numbers, of_row], schema=exchange.sent)


def by_share(exchange: Exchange, sent: Table) -> list[Table]:
    """Return the rows of each share, on a worker that has them."""
    of_row: NDArray[np.int32] = sent.column("share").to_numpy()
    order = np.argsort(of_row, kind="stable")
    ends = np.cumsum(np.bincount(of_row, minlength=exchange.n_shares)).tolist()
    taken = sent.take(pa.array(order))
    return [taken.slice(a, b - a) for a, b in zip([0, *ends], ends, strict=False)]


def in_order(exchange: Exchange, sent: Iterable[Table]) -> Rows:
    """Return rows that have come to a worker, whole shares of them, in the order of their numbers.

    Args:
        exchange: what is read of them.
        sent: as `sent_rows` gave them, in any order.
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
        return Rows(rows)
    return Rows(rows, named.slice(0, n_history).select(exchange.history.names))
