"""What steps make of the data: whole columns, computed between the programs over rows.

The steps below some expressions are run in the order of their nesting. Their arguments are columns,
what fit has learnt, other steps, or expressions over rows, which a program computes first.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from fastfeat.dtypes import COUNTS, FLOAT64, NEVER_COLUMNS, TABLE, VOCABULARY, DType
from fastfeat.io.arrow import pa
from fastfeat.io.device import DeviceArray
from fastfeat.io.keys import key_column, repeated
from fastfeat.io.lists import list_column
from fastfeat.ir.node import Aggregate, Call, Column, Literal, Node, TableColumn
from fastfeat.ir.scope import row_args, row_order
from fastfeat.ir.show import show
from fastfeat.plan.batch import Batch, compute_nodes
from fastfeat.plan.border import unlike_on_device
from fastfeat.plan.key_state import given_vocabulary
from fastfeat.plan.lower import output_of
from fastfeat.plan.row_values import stored_literal
from fastfeat.steps import Argument, StepFailed, is_step, step_function


def make(batch: Batch, roots: Sequence[Node]) -> None:
    """Run the steps that the rows of some expressions read, as far as they are not made yet.

    Args:
        batch: the rows; takes what is made of them.
        roots: expressions.
    """
    order = row_order(roots, training=batch.training)
    waiting = [node for node in order if is_step(node, batch.types) and node not in batch.made]
    waiting = [n for n in waiting if not isinstance(n, Aggregate) or n in batch.learnt]
    while waiting:
        ready = [step for step in waiting if not _steps_below(batch, step)]
        compute_columns(batch, [arg for step in ready for arg in row_args(step)])
        for step in ready:
            batch.made[step] = _run(batch, step)
        done = set(ready)
        waiting = [step for step in waiting if step not in done]


def _steps_below(batch: Batch, step: Node) -> bool:
    """Return whether a step reads one that is not made yet."""
    args = row_args(step, training=batch.training)
    below = row_order(args, training=batch.training)
    return any(is_step(node, batch.types) and node not in batch.made for node in below)


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


def _run(batch: Batch, step: Node) -> Any:
    """Return the column that a step makes."""
    types = batch.types
    if isinstance(step, Aggregate):
        return pa.chunked_array([repeated(batch.learnt[step], types[step], batch.n_rows)])
    assert isinstance(step, Call)
    narrow = step_function(step).narrow
    args = [_argument(batch, arg, types[step.args[0]], narrow=narrow) for arg in step.args]
    try:
        array = batch.backend.run_step(step, args, types[step], batch.n_rows)
    except StepFailed as failure:
        row, text, kind = failure.args
        raise kind(f"{show(step)}, row {row}: {text}") from None
    return pa.chunked_array([array]) if isinstance(array, pa.Array) else array


def _argument(batch: Batch, node: Node, key_dtype: DType, *, narrow: bool) -> Argument:
    dtype = batch.types[node]
    match node:
        case _ if dtype == VOCABULARY:
            return Argument(batch.learnt[node], dtype)
        case TableColumn():
            return Argument(batch.made[node], dtype)
        case Literal() if dtype == TABLE:
            return Argument(given_vocabulary(node, key_dtype), dtype)
        case _ if dtype == COUNTS:
            return Argument(batch.made[node], dtype)
        case _:
            return Argument(key_values(batch, node, narrow=narrow), dtype)


def key_values(batch: Batch, node: Node, *, narrow: bool) -> Any:
    """Return the values of an expression as keys are stored; see `io.keys`.

    Numbers and times in the memory of a device stay there, as they are.

    Args:
        batch: the rows.
        node: a column of them, what is made, or a literal.
        narrow: as of `io.keys.key_column`.

    Raises:
        TypeMismatch, InvalidData: it is not of the type that fit saw, nor exactly convertible.
    """
    dtype = batch.types[node]
    if isinstance(node, Literal):
        stored = repeated(stored_literal(node.value, dtype), dtype, batch.n_rows)
        return pa.chunked_array([stored])
    is_column = isinstance(node, Column)
    column = batch.table.column(node.name) if is_column else batch.made[node]
    name = node.name if is_column else show(node)
    if isinstance(column, DeviceArray):
        return _device_keys(batch, node, column, name)
    if dtype.is_list:
        return list_column(column, name, dtype) if is_column else column
    return key_column(column, name, dtype, narrow=narrow)


def _device_keys(batch: Batch, node: Node, column: DeviceArray, name: str) -> Any:
    """Return a column of the memory of a device as keys: there, if it is of the type fit saw."""
    dtype = batch.types[node]
    if column.dtype == dtype:
        return replace(column, name=name)
    if dtype.holds_bytes or dtype.is_list:
        raise unlike_on_device(name, "text" if dtype.holds_bytes else str(dtype), column)
    make_output = partial(output_of, dtype=FLOAT64)
    _, (array,) = compute_nodes(batch, [(name, node)], make_output)
    return key_column(pa.chunked_array([array]), name, dtype)
