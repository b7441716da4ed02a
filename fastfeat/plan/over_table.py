"""Functions of rows in windows that other rows ask for: of a table, and of the data's rows ahead.

Inside of its table a column of it is a column of rows: expressions are computed there as those over
the data are. The rows that a row sees ahead are asked for as those of a table are.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from fastfeat.dtypes import FLOAT64, DType
from fastfeat.errors import InvalidData, Overflow, TypeMismatch
from fastfeat.io.arrow import pa
from fastfeat.io.decode import decoded
from fastfeat.io.device import DeviceArray
from fastfeat.io.keys import comparable, key_column, keys_as
from fastfeat.io.types import arrow_type
from fastfeat.ir.node import Call, Column, Node, TableColumn
from fastfeat.ir.rewrite import with_args
from fastfeat.ir.scope import query_of, seen_of, table_of
from fastfeat.ir.walk import fold
from fastfeat.plan.batch import Batch
from fastfeat.plan.border import column_in_host
from fastfeat.plan.over import arrays_of, asked_of, past_of
from fastfeat.plan.values import key_values, values_of
from fastfeat.steps.lookup import TableValues
from fastfeat.steps.windows import RowOrder, WindowRequest


def in_table(batch: Batch, order: Call, values: Sequence[Node]) -> tuple[Batch, list[Node]]:
    """Return the rows of a table, and expressions over them.

    Args:
        batch: the rows of the data, with the columns of the table.
        order: what orders the rows of the table.
        values: expressions over it, of columns of the table.
    """
    nodes = [*values, seen_of(order)[0]]
    found = fold(nodes, _as_row)
    types = {found[node]: batch.types[node] for node in found}
    read = {node: batch.made[node] for node in found if isinstance(node, TableColumn)}
    types |= {found[node]: _stored_as(batch.types[node]) for node in read}
    columns = {c.name: _column(values, types[found[c]]) for c, values in read.items()}
    table = Batch(pa.table(columns), types, batch.backend, {}, {})
    return table, [found[node] for node in values]


def _as_row(node: Node, args: list[Node]) -> Node:
    return Column(node.name) if isinstance(node, TableColumn) else with_args(node, tuple(args))


def _stored_as(dtype: DType) -> DType:
    """Return the type of a column of a table as it is kept: what is read as float64 is one."""
    return FLOAT64 if dtype.name in ("decimal", "float16") else dtype


def _column(values: TableValues, dtype: DType) -> Any:
    """Return a column of a table as data has it."""
    array, wanted = values.array, arrow_type(dtype)
    return array.view(wanted) if dtype.is_temporal else array


def run_over_table(
    batch: Batch, order: Call, calls: Sequence[Node], table: Batch, values: Sequence[Node]
) -> list[Any]:
    """Return the column of each of some functions over windows of one order of a table's rows.

    Args:
        batch: the rows that ask, of which their times and keys are made.
        order: what orders the rows of the table, and by what rows ask for them.
        calls: the functions.
        table: the rows of the table, of which all that the functions read is made.
        values: what each function is of, as an expression over the table.
    """
    past, query = past_of_table(batch, order), query_columns(batch, order)

    def compute(asked: Sequence[WindowRequest]) -> list[Any]:
        return batch.backend.over_table(past, asked, query)

    with naming_table(order):
        asked, texts = asked_of(table, calls, values)
    return arrays_of(calls, asked, texts, batch.types, compute)


def run_ahead(batch: Batch, order: Call, calls: Sequence[Node]) -> list[Any]:
    """Return the column of each of some functions of the data's rows ahead, of one order of them.

    Args:
        batch: the rows that ask, of which their times and keys are made.
        order: what orders the rows that are seen; all that the functions read of these is made.
        calls: the functions.
    """
    seen, query = batch.seen, query_columns(batch, order)
    past = past_of(seen, order)
    keys = [_key_of_table(seen, *pair) for pair in zip(past.keys, past.key_dtypes, strict=True)]
    times = column_in_host(past.times, seen.backend)
    tie = None if past.tie is None else column_in_host(past.tie, seen.backend)
    past = replace(past, times=times, keys=keys, tie=tie)

    def compute(asked: Sequence[WindowRequest]) -> list[Any]:
        return batch.backend.over_table(past, asked, query)

    asked, texts = asked_of(seen, calls, [call.args[0] for call in calls])
    return arrays_of(calls, asked, texts, batch.types, compute)


def _key_of_table(seen: Batch, values: Any, dtype: DType) -> Any:
    """Return a part of the key of the data's rows as a table has it: in one piece, no codes."""
    here = column_in_host(values, seen.backend)
    if dtype.holds_bytes or isinstance(values, DeviceArray):
        here = key_column(here, "key", dtype)
    return decoded(here).combine_chunks()


def query_columns(batch: Batch, order: Call) -> RowOrder:
    """Return the time and the keys by which rows of the data ask."""
    time, *keys = query_of(order)
    dtype, times = values_of(batch, time)
    parts = [key_values(batch, key, narrow=True) for key in keys]
    return RowOrder(times, dtype, parts, [batch.types[key] for key in keys])


def past_of_table(batch: Batch, order: Call) -> RowOrder:
    """Return the columns that order the rows of a table."""
    params, (time, *others) = dict(order.params), seen_of(order)
    tie = others.pop() if params["has_tie"] else None
    names = tuple((column.name, batch.types[column]) for column in seen_of(order)[1:])
    times: TableValues = batch.made[time]
    cache: dict[Any, Any] = times.cache.setdefault(("order", params["n_keys"], names), {})
    tie_dtype = None if tie is None else comparable(batch.types[tie])
    return RowOrder(
        times.array,
        batch.types[time],
        [batch.made[key].array for key in others],
        [batch.types[key] for key in others],
        None if tie is None else _tie(batch.made[tie], tie_dtype),
        tie_dtype,
        cache,
    )


def _tie(values: TableValues, dtype: Any) -> Any:
    """Return what orders rows of one instant as keys are stored."""
    return pa.chunked_array([keys_as(values.array, dtype, dtype)])


@contextmanager
def naming_table(order: Call) -> Generator[None]:
    """Say in what is wrong with the rows of a table that they are a table's."""
    try:
        yield
    except (InvalidData, Overflow, TypeMismatch) as error:
        raise type(error)(f"the table {table_of(order)!r}: {error}") from None
