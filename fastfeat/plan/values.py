"""The values of an expression over rows: as keys, as what aggregates and windows read."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

from fastfeat.backends.program import Output
from fastfeat.dtypes import BOOL, FLOAT64, NEVER_COLUMNS, DType
from fastfeat.errors import InvalidData
from fastfeat.io.arrow import pa
from fastfeat.io.conform import conform
from fastfeat.io.device import DeviceArray
from fastfeat.io.keys import key_column
from fastfeat.io.lists import list_column
from fastfeat.io.types import column_text, storage_type
from fastfeat.ir.node import Column, Literal, Node, TableColumn
from fastfeat.ir.show import show
from fastfeat.plan.batch import Batch, compute_nodes
from fastfeat.plan.lower import output_of
from fastfeat.scalars.choice import presence_of_text
from fastfeat.scalars.value import Value
from fastfeat.steps import is_step


def compute_columns(batch: Batch, nodes: Iterable[Node]) -> None:
    """Compute expressions over rows as columns, those that are more than a column of the data.

    Args:
        batch: the rows, of which the steps that the expressions read are made; takes the columns.
        nodes: expressions.
    """
    wanted = [node for node in dict.fromkeys(nodes) if _is_computed(node, batch)]
    if not wanted:
        return
    make_output = partial(output_of, dtype=FLOAT64)
    _, arrays = compute_nodes(batch, [(show(node), node) for node in wanted], make_output)
    for node, array in zip(wanted, arrays, strict=True):
        batch.made[node] = pa.chunked_array([array])


def _is_computed(node: Node, batch: Batch) -> bool:
    """Return whether an expression is to be computed: it is no column, nor made."""
    return (
        not isinstance(node, Column | Literal | TableColumn)
        and node not in batch.made
        and not is_step(node, batch.types)
        and batch.types[node] not in NEVER_COLUMNS
    )


def key_values(batch: Batch, node: Node, *, narrow: bool) -> Any:
    """Return the values of an expression as keys are stored; see `io.keys`.

    Args:
        batch: the rows.
        node: a column of them, or what is made.
        narrow: as of `io.keys.key_column`.

    Raises:
        InvalidData: it is in the memory of a device.
    """
    dtype = batch.types[node]
    if dtype.is_list and not isinstance(node, Column):
        return batch.made[node]
    if isinstance(node, Column):
        column = batch.table.column(node.name)
        if isinstance(column, DeviceArray):
            raise InvalidData(
                f"{column_text(node.name)} is a key in the memory of a device: keys are looked up "
                "in the host's memory in this version. Bring it there first: cupy.asnumpy(x)"
            )
        if dtype.is_list:
            return list_column(column, node.name, dtype)
        return key_column(column, node.name, dtype, narrow=narrow)
    return key_column(batch.made[node], show(node), dtype, narrow=narrow)


def values_of(batch: Batch, node: Node) -> tuple[DType, Any]:
    """Return the values of an expression that aggregates and windows read, and their type.

    A column of numbers is read in place: NaN stands for missing in it.
    """
    dtype = batch.types[node]
    if isinstance(node, Column) and dtype.is_number:
        column = batch.table.column(node.name)
        if not isinstance(column, DeviceArray) and column.type == storage_type(dtype):
            return dtype, conform(column, node.name, dtype)
    return computed_values(batch, node)


def computed_values(batch: Batch, node: Node) -> tuple[DType, Any]:
    """Return the values of an expression over the rows, and their type."""
    (output,), (array,) = compute_nodes(batch, [(show(node), node)], argument_output)
    return output.dtype, array


def argument_output(name: str, value: Value) -> Output:
    """Return the output of an argument: a column as it is, a computed float as float64.

    Floats are rounded to a narrower type on the way out of a plan, not on the way to an aggregate.
    """
    counted = _counted(value)
    return output_of(name, counted, None if counted.op.name == "input" else FLOAT64)


def _counted(value: Value) -> Value:
    """Return what an aggregate of text counts: a bool that is missing where the text is."""
    if not value.dtype.holds_bytes:
        return value
    present = presence_of_text(value)
    return Value(BOOL, present, present)
