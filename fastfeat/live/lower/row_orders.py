"""The times, ties and entity keys of rows, in each order of a log."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from fastfeat_kernels.records import dataclass
from numpy.typing import NDArray

from fastfeat.engine.float_environment import with_ieee_arithmetic
from fastfeat.errors import UnknownColumn
from fastfeat.execute.batch import Batch
from fastfeat.execute.lookup_tables import table_values
from fastfeat.execute.steps import run
from fastfeat.execute.values import compute_columns, key_values, times_in_ticks, values_of
from fastfeat.io.arrow import Array, Table, call, pa
from fastfeat.io.columns.decode import decode_column
from fastfeat.io.columns.types import arrow_type
from fastfeat.io.sources.frames import columns_table
from fastfeat.ir.node import Node
from fastfeat.live.lower.live_plan import LivePlan, LogOrder
from fastfeat.live.lower.row_tables import typed
from fastfeat.live.lower.schedules import OrderSchedule
from fastfeat.scalars.zones import use_zone_tables


@dataclass(frozen=True, slots=True)
class OrderValues:
    """The times, ties and keys of rows in one order of a log.

    Args:
        times: Time of each row in ticks, 0 if it is missing, shape (n_rows,).
        is_placed: Whether a row has a time and every part of the key, shape (n_rows,).
        keys: One Arrow array per part of the key, in the form in which keys are stored: int64,
            uint64, float64 without NaN and -0.0, large_string or large_binary; null if missing.
        tie: Array that sorts rows with equal times, in the form of keys, missing values first; None
            if order of arrival decides. A row with a lower tie than an earlier row with the same
            time is late, like a row with an earlier time.
    """

    times: NDArray[np.int64]
    is_placed: NDArray[np.bool_]
    keys: tuple[Array, ...]
    tie: Array | None = None


def log_rows(lowered: LivePlan, rows: Table) -> Table:
    """Return the columns of rows that the log stores, in the types seen in fit.

    Late columns, which are filled in after a row is answered, may be absent.

    Raises:
        UnknownColumn: A column that is not late is absent.
        TypeMismatch, InvalidData: A column does not have the type seen in fit, and cannot be
            converted exactly.
    """
    there = set(rows.column_names)
    found: dict[str, Any] = {}
    for name, dtype in lowered.columns.items():
        if name in there:
            found[name] = typed(rows.column(name), name, dtype)
        elif name in lowered.late:
            found[name] = pa.chunked_array([pa.nulls(rows.num_rows, arrow_type(dtype))])
        else:
            raise UnknownColumn(f"the rows lack the column {name!r}, which the plan reads")
    return columns_table(found, rows.num_rows)


@with_ieee_arithmetic
def compute_order_values(
    lowered: LivePlan,
    rows: Table,
    tables: Mapping[str, Any],
    log: Table | None = None,
    orders: Iterable[int] | None = None,
) -> list[OrderValues]:
    """Return the times, ties and keys of rows, one record per order.

    Args:
        lowered: The plans.
        rows: Rows with the columns that the orders read.
        tables: Lookup tables, by name.
        log: Log columns of the rows, with the stored window results that the orders depend on; None
            to take the columns from `rows`.
        orders: Indices of the wanted orders; None for all.
    """
    log = log_rows(lowered, rows) if log is None else log
    batches: dict[str, Batch] = {}
    found: list[OrderValues] = []
    for k in range(len(lowered.orders)) if orders is None else orders:
        order = lowered.orders[k]
        prepared = lowered.prepared[order.plan]
        if order.plan not in batches:
            made = dict(table_values(prepared.fitted.table_columns, tables))
            batches[order.plan] = prepared.batch(log, made, "cpu", 0)
        with use_zone_tables(prepared.fitted.zones):
            found.append(_values(batches[order.plan], order, prepared.placing[k]))
    return found


def _values(batch: Batch, order: LogOrder, placing: OrderSchedule) -> OrderValues:
    load_stored_windows(batch, placing)
    run(batch, placing.schedule)
    compute_columns(batch, order.values)
    ticks, is_placed, _ = times_in_ticks(batch, *values_of(batch, order.time))
    keys = [_key(batch, key) for key in order.keys]
    for key in keys:
        if key.null_count:
            is_placed = is_placed & call("is_valid", key).to_numpy(zero_copy_only=False)
    tie = None if order.tie is None else _key(batch, order.tie)
    return OrderValues(ticks, is_placed, tuple(keys), tie)


def load_stored_windows(batch: Batch, placing: OrderSchedule) -> None:
    """Add the stored window results that an order needs to the computed values of a batch."""
    for name, function in placing.kept.items():
        batch.made[function] = typed(batch.table.column(name), name, batch.types[function])


def _key(batch: Batch, node: Node) -> Array:
    """Return the values of an expression as one Arrow array, in the form of keys."""
    found = decode_column(key_values(batch, node, narrow=False)).combine_chunks()
    return pa.concat_arrays(found.chunks) if isinstance(found, pa.ChunkedArray) else found
