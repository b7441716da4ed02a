"""Where rows stand in the orders of a log: their times and the keys of their entities."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastfeat.backends import backend_named
from fastfeat.dtypes import DType
from fastfeat.errors import UnknownColumn
from fastfeat.io.arrow import Array, DataType, Table, call, pa
from fastfeat.io.decode import decoded
from fastfeat.io.keys import key_type
from fastfeat.io.types import arrow_type
from fastfeat.ir.node import Node
from fastfeat.online.lowering import LivePlan, Order
from fastfeat.plan.batch import Batch
from fastfeat.plan.environment import in_ieee
from fastfeat.plan.history import as_type
from fastfeat.plan.made import make
from fastfeat.plan.tables import table_values
from fastfeat.plan.values import compute_columns, key_values, times_in_ticks, values_of
from fastfeat.scalars.zones import using


@dataclass(frozen=True, slots=True)
class OrderValues:
    """Where rows stand in one order of a log.

    Args:
        times: in ticks of the type of the time, 0 where there is none, shape (n_rows,).
        is_placed: whether a row has a time and every part of the key, shape (n_rows,).
        keys: the parts of the key, an Arrow array each, as keys are stored: int64, uint64, float64
            without NaN and -0.0, large_string or large_binary; null where missing.
    """

    times: NDArray[np.int64]
    is_placed: NDArray[np.bool_]
    keys: tuple[Array, ...]


def log_type(dtype: DType) -> DataType:
    """Return the Arrow type that a column of a log has; text has offsets of 64 bits."""
    return key_type(dtype) if dtype.holds_bytes else arrow_type(dtype)


def log_rows(lowered: LivePlan, rows: Table) -> Table:
    """Return the columns of the log of some rows, of the types that fit saw.

    Args:
        lowered: what is asked of the log.
        rows: the rows; late columns may lack.

    Raises:
        UnknownColumn: a column that is not late lacks.
        TypeMismatch, InvalidData: one is not of the type that fit saw, nor exactly convertible.
    """
    there = set(rows.column_names)
    found: dict[str, Any] = {}
    for name, dtype in lowered.columns.items():
        if name in there:
            found[name] = as_type(rows.column(name), name, dtype)
        elif name in lowered.late:
            found[name] = pa.chunked_array([pa.nulls(rows.num_rows, log_type(dtype))])
        else:
            raise UnknownColumn(f"the rows lack the column {name!r}, which the plan reads")
    return pa.table(found)


@in_ieee
def place(lowered: LivePlan, rows: Table, tables: Mapping[str, Any]) -> list[OrderValues]:
    """Return where rows stand in each order of a log.

    Args:
        lowered: what is asked of the log.
        rows: the rows, with the columns that orders read.
        tables: the lookup tables.
    """
    log = log_rows(lowered, rows)
    batches: dict[str, Batch] = {}
    found: list[OrderValues] = []
    for order in lowered.orders:
        batch = batches.setdefault(order.plan, _batch(lowered, order.plan, log, tables))
        with using(lowered.plans[order.plan].zones):
            found.append(_values(batch, order))
    return found


def _batch(lowered: LivePlan, plan: str, log: Table, tables: Mapping[str, Any]) -> Batch:
    fitted = lowered.plans[plan]
    made: dict[Node, Any] = dict(table_values(fitted.table_columns, tables))
    return Batch(log, fitted.types, backend_named("cpu"), dict(fitted.constants), made)


def _values(batch: Batch, order: Order) -> OrderValues:
    make(batch, [order.time, *order.keys])
    compute_columns(batch, [order.time, *order.keys])
    ticks, is_placed, _ = times_in_ticks(batch, *values_of(batch, order.time))
    keys = [decoded(key_values(batch, key, narrow=False)).combine_chunks() for key in order.keys]
    for key in keys:
        if key.null_count:
            is_placed = is_placed & call("is_valid", key).to_numpy(zero_copy_only=False)
    return OrderValues(ticks, is_placed, tuple(map(_array, keys)))


def _array(key: Any) -> Array:
    return pa.concat_arrays(key.chunks) if isinstance(key, pa.ChunkedArray) else key
