"""The values of an expression over rows, in the form that steps, aggregates and windows read."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from fastfeat_kernels.arrays import BoolArray
from numpy.typing import NDArray

from fastfeat.aggregates import is_fold_by_number
from fastfeat.engine.program import Output
from fastfeat.execute.batch import Batch, compute_nodes, take_columns_of_source
from fastfeat.execute.inputs import column_in_host, device_type_error
from fastfeat.io.arrow import pa
from fastfeat.io.columns import conform, keys, lists, row_values, times
from fastfeat.io.columns.bits import array_of_values
from fastfeat.io.columns.types import arrow_type, storage_type
from fastfeat.io.device import DeviceArray
from fastfeat.ir.dtypes import BOOL, FLOAT64, NEVER_COLUMNS, DType
from fastfeat.ir.node import Call, Column, Literal, Node, TableColumn
from fastfeat.ir.show import show
from fastfeat.plan.lower.lower import output_of
from fastfeat.scalars import choice
from fastfeat.scalars.value import Value
from fastfeat.steps.registry import is_step

if TYPE_CHECKING:
    from fastfeat.engine.learner import Rows

_COMPUTED = partial(output_of, dtype=FLOAT64)


def compute_columns(batch: Batch, nodes: Iterable[Node]) -> None:
    """Compute expressions over rows, and add them to `batch` as columns. Data columns are skipped.

    The steps that the expressions read must have been run.
    """
    nodes = [*dict.fromkeys(nodes)]
    take_columns_of_source(batch, nodes)
    wanted = [node for node in nodes if _is_computed(node, batch)]
    if not wanted:
        return
    _, arrays = compute_nodes(batch, wanted, _COMPUTED)
    for node, array in zip(wanted, arrays, strict=True):
        batch.made[node] = pa.chunked_array([array])


def place_folds(batch: Batch, rows: Rows, nodes: Iterable[Node]) -> None:
    """Compute the folds that depend on row numbers alone, and add them to `batch` as columns.

    `rows` are the numbers of the batch's rows in the whole data. Other expressions in `nodes` are
    ignored.
    """
    from fastfeat.steps.targets.cpu import fold_of_rows  # imports the CPU backend

    for node in filter(is_fold_by_number, nodes):
        assert isinstance(node, Call)
        folds = fold_of_rows(rows, dict(node.params)["n_folds"])
        batch.made[node] = pa.chunked_array([array_of_values(folds, None, pa.int32())])


def _is_computed(node: Node, batch: Batch) -> bool:
    """Return whether an expression must be computed: it is not a column and not yet computed."""
    return (
        not isinstance(node, Column | Literal | TableColumn)
        and node not in batch.made
        and not is_step(node, batch.types)
        and batch.types[node] not in NEVER_COLUMNS
    )


def key_values(batch: Batch, node: Node, *, narrow: bool) -> Any:
    """Return the values of an expression in the storage type of keys; see `io.columns.keys`.

    Numbers and times in the memory of a device stay there, unchanged.
    """
    dtype = batch.types[node]
    if isinstance(node, Literal):
        stored = keys.repeat_key(row_values.stored_literal(node.value, dtype), dtype, batch.n_rows)
        return pa.chunked_array([stored])
    is_column = isinstance(node, Column)
    column = batch.table.column(node.name) if is_column else batch.made[node]
    name = node.name if is_column else show(node)
    if isinstance(column, DeviceArray):
        return _device_keys(batch, node, column, name)
    if dtype.is_list:
        return lists.list_column(column, name, dtype) if is_column else column
    return keys.key_column(column, name, dtype, narrow=narrow)


def _device_keys(batch: Batch, node: Node, column: DeviceArray, name: str) -> Any:
    """Return a device column in the storage type of keys.

    The column stays on the device if it has the type seen in fit.
    """
    dtype = batch.types[node]
    if column.dtype == dtype:
        return replace(column, name=name)
    if dtype.holds_bytes or dtype.is_list:
        raise device_type_error(name, "text" if dtype.holds_bytes else str(dtype), column)
    _, (array,) = compute_nodes(batch, [node], _COMPUTED, name)
    return keys.key_column(pa.chunked_array([array]), name, dtype)


def values_of(batch: Batch, node: Node) -> tuple[DType, Any]:
    """Return the type and the values of an expression, as input for aggregates and windows.

    A column of numbers, dates or times is read in place, and NaN in it means missing.
    """
    dtype = batch.types[node]
    if isinstance(node, Column) and (dtype.is_number or dtype.is_temporal):
        column = batch.table.column(node.name)
        if isinstance(column, DeviceArray):
            if column.dtype == dtype:
                return dtype, column
        elif column.type in (storage_type(dtype), arrow_type(dtype)):
            return dtype, conform.conform(column, node.name, dtype)
    return computed_values(batch, node)


def computed_values(batch: Batch, node: Node) -> tuple[DType, Any]:
    """Return the type and the values of an expression, computed by a program over the rows."""
    (output,), (array,) = compute_nodes(batch, [node], argument_output)
    return output.dtype, array


def argument_output(name: str, value: Value) -> Output:
    """Return the program output for an argument of an aggregate or a window.

    A column keeps its type; a computed float is float64. Floats are rounded to a narrower type when
    they leave a plan, not before an aggregate.
    """
    counted = _counted(value)
    return output_of(name, counted, None if counted.op.name == "input" else FLOAT64)


def _counted(value: Value) -> Value:
    """Return the value that an aggregate counts; text becomes a bool, missing where the text is."""
    if not value.dtype.holds_bytes:
        return value
    present = choice.presence_of_text(value)
    return Value(BOOL, present, present)


def times_in_ticks(
    batch: Batch, dtype: DType, moments: Any
) -> tuple[NDArray[np.int64], BoolArray, DType]:
    """Return times in integer ticks (0 if missing), flags of present times, and the time's type.

    `moments` is a column from `values_of`; a device column is copied to the host.
    """
    return *times.ticks_of(times.ticks_column(column_in_host(moments, batch.backend), dtype)), dtype
