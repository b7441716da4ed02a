"""History: earlier rows of the same entities, which windows see before the rows of a batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from fastfeat.dtypes import DType
from fastfeat.errors import InvalidData
from fastfeat.io.arrow import ChunkedArray, pa
from fastfeat.io.conform import conform
from fastfeat.io.decode import decoded
from fastfeat.io.device import DeviceTable
from fastfeat.io.keys import key_column
from fastfeat.io.types import arrow_type
from fastfeat.ir.node import Column, TableColumn
from fastfeat.plan.batch import Batch
from fastfeat.plan.border import check_place, read_columns

if TYPE_CHECKING:
    from fastfeat.plan.plan import Plan

BATCH = "batch"
"""Says that a batch holds its own past."""


def history_table(plan: Plan, history: Any, backend: str) -> Any:
    """Return earlier rows as a table of the columns that windows read; None where there are none.

    Args:
        plan: the plan.
        history: as a user gives it.
        backend: its name.

    Raises:
        UnknownColumn: a column that windows read is not there.
    """
    if history is None or (isinstance(history, str) and history == BATCH) or not plan.past_columns:
        return None
    table = read_columns(history, plan.past_columns)
    check_place(table, backend)
    if isinstance(table, DeviceTable):
        raise InvalidData(
            "history= is in the memory of a device: earlier rows are read from the host's in this "
            "version. Bring them there first: cupy.asnumpy(x)"
        )
    return table


def with_past(batch: Batch, earlier: Any, columns: Sequence[str]) -> Batch:
    """Return rows with those that windows see: the earlier ones, and after them the rows.

    Args:
        batch: the rows.
        earlier: a table of earlier rows; None where there are none.
        columns: what windows read. Late columns may lack in the rows: there they are missing.
    """
    there = set(batch.table.column_names)
    if not columns or (earlier is None and there.issuperset(columns)):
        return batch
    joined = {name: _joined(batch, earlier, name) for name in columns}
    of_tables = {node: made for node, made in batch.made.items() if isinstance(node, TableColumn)}
    past = replace(batch, table=pa.table(joined), made=of_tables)
    return replace(batch, past=past)


def _joined(batch: Batch, earlier: Any, name: str) -> ChunkedArray:
    """Return a column of the earlier rows and, after them, of the rows."""
    dtype = batch.types[Column(name)]
    given = [] if earlier is None else [earlier.column(name)]
    if name in batch.table.column_names:
        given.append(batch.table.column(name))
    else:
        given.append(pa.chunked_array([pa.nulls(batch.n_rows, arrow_type(dtype))]))
    if len({column.type for column in given}) == 1:
        return _concatenated(given)
    return _concatenated([_as_type(column, name, dtype) for column in given])


def _concatenated(columns: Sequence[ChunkedArray]) -> ChunkedArray:
    chunks = [chunk for column in columns for chunk in column.chunks]
    return pa.chunked_array(chunks, columns[0].type)


def _as_type(column: ChunkedArray, name: str, dtype: DType) -> ChunkedArray:
    """Return a column in the one Arrow type that values of its type are given out in."""
    if dtype.holds_bytes:
        return decoded(key_column(column, name, dtype))
    plain, wanted = conform(column, name, dtype), arrow_type(dtype)
    chunks = [c if c.type == wanted else c.view(wanted) for c in plain.chunks]
    return pa.chunked_array(chunks, wanted)
