"""What steps make of the data: whole columns, computed between the programs over rows.

The steps below some expressions are run in the order of their nesting. Their arguments are columns,
what fit has learnt, other steps, or expressions over rows, which a program computes first.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

from fastfeat.backends.program import Output
from fastfeat.dtypes import BOOL, COUNTS, FLOAT64, NEVER_COLUMNS, TABLE, VOCABULARY, DType
from fastfeat.errors import InvalidData
from fastfeat.io.arrow import pa
from fastfeat.io.conform import conform
from fastfeat.io.device import DeviceArray
from fastfeat.io.keys import key_column, repeated
from fastfeat.io.lists import list_column
from fastfeat.io.types import column_text, storage_type
from fastfeat.ir.node import Aggregate, Call, Column, Literal, Node, TableColumn
from fastfeat.ir.scope import OVER, is_over_window, row_args, row_order
from fastfeat.ir.show import show
from fastfeat.plan.batch import Batch, compute_nodes
from fastfeat.plan.key_state import given_vocabulary
from fastfeat.plan.lower import output_of
from fastfeat.plan.row_values import stored_literal
from fastfeat.scalars.choice import presence_of_text
from fastfeat.scalars.value import Value
from fastfeat.steps import Argument, StepFailed, is_step
from fastfeat.steps.windows import Asked, HistoryOverlaps, Past


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
        make_windows(batch, [step for step in ready if is_over_window(step)])
        for step in ready:
            if step not in batch.made:
                batch.made[step] = _run(batch, step)
        done = set(ready)
        waiting = [step for step in waiting if step not in done]


def _steps_below(batch: Batch, step: Node) -> bool:
    """Return whether a step reads one that is not made yet."""
    args = row_args(step, training=batch.training)
    below = row_order(args, training=batch.training)
    return any(is_step(node, batch.types) and node not in batch.made for node in below)


def make_windows(batch: Batch, calls: Sequence[Node]) -> None:
    """Compute functions of the rows in windows, those over one order of the rows together.

    Args:
        batch: the rows; takes the columns.
        calls: the functions.
    """
    past = batch.past or batch
    by_order: dict[Node, list[Node]] = {}
    for call in calls:
        by_order.setdefault(call.args[1].args[0], []).append(call)
    for order, members in by_order.items():
        read = [*order.args, *(member.args[0] for member in members)]
        make(past, read)
        compute_columns(past, order.args)
        asked = [_asked(past, member) for member in members]
        first_row = past.n_rows - batch.n_rows
        try:
            arrays = batch.backend.over(_past(past, order), asked, first_row)
        except HistoryOverlaps as failure:
            raise _overlap(past, order, failure.args[0]) from None
        for member, array in zip(members, arrays, strict=True):
            batch.made[member] = pa.chunked_array([array])


def _past(batch: Batch, order: Node) -> Past:
    """Return the columns that order the rows of each entity."""
    assert isinstance(order, Call)
    params = dict(order.params)
    time, *others = order.args
    tie = others.pop() if params["has_tie"] else None
    dtype, times = values_of(batch, time)
    return Past(
        times,
        dtype,
        [key_values(batch, key, narrow=True) for key in others],
        [batch.types[key] for key in others],
        None if tie is None else key_values(batch, tie, narrow=False),
        None if tie is None else batch.types[tie],
    )


def _overlap(past: Batch, order: Node, row: int) -> InvalidData:
    """Return the error of a row of the history that is later than one of the data."""
    assert isinstance(order, Call)
    n_keys = dict(order.params)["n_keys"]
    values = [(show(node), _shown_value(past, node, row)) for node in order.args[: 1 + n_keys]]
    time, *keys = (f"{name} = {value!r}" for name, value in values)
    return InvalidData(
        f"history=, row {row}: {time} is later than a row of the data of its entity "
        f"({', '.join(keys) or 'all rows are one'}). Pass as history what came before the data"
    )


def _shown_value(batch: Batch, node: Node, row: int) -> object:
    column = batch.table.column(node.name) if isinstance(node, Column) else batch.made.get(node)
    return None if column is None else column[row].as_py()


def _asked(batch: Batch, call: Node) -> Asked:
    """Return what a backend is asked for of the rows in a window."""
    assert isinstance(call, Call)
    argument, window = call.args
    assert isinstance(window, Call)
    dtype, values = values_of(batch, argument)
    function = call.function.removeprefix(OVER)
    return Asked(function, dict(call.params), values, dtype, dict(window.params))


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
    narrow = step.function == "encode"  # looks text up in any form
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
        case Literal(value):
            stored = repeated(stored_literal(value, dtype), dtype, batch.n_rows)
            return Argument(pa.chunked_array([stored]), dtype)
        case _ if dtype == COUNTS:
            return Argument(batch.made[node], dtype)
        case _:
            return Argument(key_values(batch, node, narrow=narrow), dtype)


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
