"""What steps make of the data: whole columns, computed between the programs over rows.

The steps below some expressions are run in the order of their nesting. Their arguments are columns,
what fit has learnt, other steps, or expressions over rows, which a program computes first.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from fastfeat.backends import Backend
from fastfeat.backends.program import RowFailed, program_of
from fastfeat.dtypes import COUNTS, FLOAT64, NEVER_COLUMNS, TABLE, VOCABULARY, DType
from fastfeat.errors import InvalidData
from fastfeat.io.arrow import pa
from fastfeat.io.device import DeviceArray
from fastfeat.io.keys import key_column, repeated
from fastfeat.io.lists import list_column
from fastfeat.io.types import column_text
from fastfeat.ir.node import Aggregate, Call, Column, Literal, Node, TableColumn
from fastfeat.ir.scope import row_args, row_order
from fastfeat.ir.show import show
from fastfeat.plan.alike import outputs_of
from fastfeat.plan.border import slot_columns
from fastfeat.plan.constants import bind, constant_roots, evaluate_constants
from fastfeat.plan.failures import failed_row
from fastfeat.plan.key_state import given_vocabulary
from fastfeat.plan.lower import Constant, Types, output_of
from fastfeat.plan.row_values import stored_literal
from fastfeat.steps import Argument, StepFailed, is_step

Made = dict[Node, Any]
"""The column that each step has made, each expression that a step needed, columns of tables."""


def make(
    roots: Sequence[Node],
    types: Types,
    learnt: Mapping[Node, Constant],
    table: Any,
    engine: Backend,
    made: Made,
    *,
    training: bool = False,
) -> None:
    """Run the steps that the rows of some expressions read, as far as they are not made yet.

    Args:
        roots: expressions.
        types: type of every node.
        learnt: what fit has learnt so far.
        table: the data.
        engine: the backend.
        made: what is made already; the new columns are added.
        training: whether the rows are those that are learnt from.
    """
    order = row_order(roots, training=training)
    waiting = [node for node in order if is_step(node, types) and node not in made]
    waiting = [n for n in waiting if not isinstance(n, Aggregate) or n in learnt]
    while waiting:
        ready = [step for step in waiting if not _steps_below(step, types, made, training)]
        compute_columns(
            [arg for step in ready for arg in row_args(step)],
            types, learnt, table, engine, made, training=training,
        )  # fmt: skip
        for step in ready:
            made[step] = _run(step, types, learnt, table, engine, made)
        done = set(ready)
        waiting = [step for step in waiting if step not in done]


def _steps_below(step: Node, types: Types, made: Made, training: bool) -> bool:
    """Return whether a step reads one that is not made yet."""
    below = row_order(row_args(step, training=training), training=training)
    return any(is_step(node, types) and node not in made for node in below)


def compute_columns(
    nodes: Iterable[Node],
    types: Types,
    learnt: Mapping[Node, Constant],
    table: Any,
    engine: Backend,
    made: Made,
    *,
    training: bool = False,
) -> None:
    """Compute expressions over rows as columns, those that are more than a column of the data.

    The steps that they read are made. Arguments as of `make`.
    """
    wanted = [
        node
        for node in dict.fromkeys(nodes)
        if not isinstance(node, Column | Literal | TableColumn)
        and node not in made
        and not is_step(node, types)
        and types[node] not in NEVER_COLUMNS
    ]
    if not wanted:
        return
    make_output = partial(output_of, dtype=FLOAT64)
    named = [(show(node), node) for node in wanted]
    program = program_of(outputs_of(named, types, make_output, hoist=True, training=training))
    constants = bind(program, evaluate_constants(constant_roots(wanted), types, learnt))
    columns = slot_columns(program, table, made)
    try:
        arrays = engine.compute(program, columns, table.num_rows, constants)
    except RowFailed as failure:
        row = failure.args[0]
        raise failed_row(program, row, columns, constants, table, engine) from None
    for node, array in zip(wanted, arrays, strict=True):
        made[node] = pa.chunked_array([array])


def _run(
    step: Node,
    types: Types,
    learnt: Mapping[Node, Constant],
    table: Any,
    engine: Backend,
    made: Made,
) -> Any:
    """Return the column that a step makes."""
    n_rows = table.num_rows
    if isinstance(step, Aggregate):
        return pa.chunked_array([repeated(learnt[step], types[step], n_rows)])
    assert isinstance(step, Call)
    narrow = step.function == "encode"  # looks text up in any form
    args = [
        _argument(arg, types[arg], types[step.args[0]], learnt, table, made, narrow=narrow)
        for arg in step.args
    ]
    try:
        array = engine.run_step(step, args, types[step], n_rows)
    except StepFailed as failure:
        row, text, kind = failure.args
        raise kind(f"{show(step)}, row {row}: {text}") from None
    return pa.chunked_array([array]) if isinstance(array, pa.Array) else array


def _argument(
    node: Node,
    dtype: DType,
    key_dtype: DType,
    learnt: Mapping[Node, Constant],
    table: Any,
    made: Made,
    *,
    narrow: bool,
) -> Argument:
    match node:
        case _ if dtype == VOCABULARY:
            return Argument(learnt[node], dtype)
        case TableColumn():
            return Argument(made[node], dtype)
        case Literal() if dtype == TABLE:
            return Argument(given_vocabulary(node, key_dtype), dtype)
        case Literal(value):
            stored = repeated(stored_literal(value, dtype), dtype, table.num_rows)
            return Argument(pa.chunked_array([stored]), dtype)
        case _ if dtype == COUNTS:
            return Argument(made[node], dtype)
        case _:
            return Argument(key_values(node, dtype, table, made, narrow=narrow), dtype)


def key_values(
    node: Node, dtype: DType, table: Any, made: Mapping[Node, Any], *, narrow: bool
) -> Any:
    """Return the values of an expression as keys are stored; see `io.keys`.

    Args:
        node: a column of the data, or what is made.
        dtype: its type.
        table: the data.
        made: as of `make`.
        narrow: as of `io.keys.key_column`.

    Raises:
        InvalidData: it is in the memory of a device.
    """
    if dtype.is_list and not isinstance(node, Column):
        return made[node]
    if isinstance(node, Column):
        column = table.column(node.name)
        if isinstance(column, DeviceArray):
            raise InvalidData(
                f"{column_text(node.name)} is a key in the memory of a device: keys are looked up "
                "in the host's memory in this version. Bring it there first: cupy.asnumpy(x)"
            )
        if dtype.is_list:
            return list_column(column, node.name, dtype)
        return key_column(column, node.name, dtype, narrow=narrow)
    return key_column(made[node], show(node), dtype, narrow=narrow)
