"""Steps over the data: whole columns, computed between the programs over rows.

The steps below some expressions are run in the order of their nesting. Their arguments are columns,
what fit has learnt, other steps, or expressions over rows, which a program computes first.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from fastfeat.backends import run_task
from fastfeat.dtypes import COUNTS, TABLE, VOCABULARY, DType
from fastfeat.errors import InvalidData, counted
from fastfeat.io.arrow import pa
from fastfeat.io.columns.keys import repeated
from fastfeat.io.host_memory import host_memory
from fastfeat.ir.node import Aggregate, Call, Column, Literal, Node, TableColumn
from fastfeat.ir.scope import (
    is_of_table,
    is_over,
    is_over_rows_ahead,
    is_over_window,
    order_of,
    row_args,
    row_order,
)
from fastfeat.ir.show import show
from fastfeat.plan.lower.codes import given_vocabulary
from fastfeat.plan.run.batch import (
    Batch,
    Source,
    encoded,
    is_made_of_source,
    rows_at,
    take_columns_of_source,
)
from fastfeat.plan.run.inputs import column_in_host
from fastfeat.plan.run.values import compute_columns, key_values
from fastfeat.plan.run.windows import (
    check_history,
    in_table,
    naming_table,
    run_ahead,
    run_over,
    run_over_table,
)
from fastfeat.progress import is_telling, tell
from fastfeat.steps.registry import is_step, step_function
from fastfeat.steps.step import Argument, StepFailed, StepTask

_COUNT_BYTES = 4


def make(batch: Batch, roots: Sequence[Node]) -> None:
    """Run the steps that the rows of some expressions read, as far as they are not made yet.

    Args:
        batch: the rows; takes what is made of them.
        roots: expressions.
    """
    make_rounds(batch, rounds_of(batch, roots))


def make_rounds(batch: Batch, rounds: Sequence[Sequence[Node]]) -> None:
    """Run steps in rounds.

    Args:
        batch: the rows; takes what is made of them.
        rounds: as `rounds_of` gives them for these rows, or for others of which the same is made.
    """
    for ready in rounds:
        compute_columns(batch, [arg for step in ready for arg in row_args(step)])
        make_windows(batch, [step for step in ready if is_over_window(step)])
        make_over_tables(batch, [step for step in ready if _sees_table(step)])
        make_ahead(batch, [step for step in ready if is_over_rows_ahead(step)])
        for step in ready:
            if step not in batch.made:
                if is_telling():
                    tell(show(step))
                batch.made[step] = _run(batch, step)


def rounds_of(batch: Batch, roots: Sequence[Node]) -> list[list[Node]]:
    """Return the steps that are not made yet, those that read others of them after these.

    Args:
        batch: the rows; takes what is made of those that they were chosen of.
        roots: expressions that read the steps.
    """
    rounds: dict[int, list[Node]] = {}
    n_rounds: dict[Node, int] = {}  # after which a node is there
    order = nodes_to_make(batch, roots)
    take_columns_of_source(batch, order)
    for node in order:
        args = row_args(node, training=batch.training)
        n_rounds[node] = at = max([n_rounds.get(arg, 0) for arg in args], default=0)
        if _is_waiting(batch, node):
            n_rounds[node] = at + 1
            rounds.setdefault(at, []).append(node)
    return [rounds[at] for at in sorted(rounds)]


def nodes_to_make(batch: Batch, roots: Sequence[Node]) -> list[Node]:
    """Return the nodes that rows read for expressions, without those below what is made of them.

    Args:
        batch: the rows; what is made of those that they were chosen of counts.
        roots: the expressions.
    """
    if batch.source is None:
        return row_order(roots, training=batch.training)

    def is_there(node: Node) -> bool:
        known = node in batch.made or is_made_of_source(batch, node)
        return known and is_step(node, batch.types)

    return row_order(roots, training=batch.training, is_there=is_there)


def columns_of_chosen(batch: Batch, roots: Sequence[Node]) -> list[str]:
    """Return the columns that rows chosen of a batch read of themselves for expressions.

    Args:
        batch: the rows that they are chosen of, with what is made of them.
        roots: the expressions.
    """
    order = nodes_to_make(
        replace(batch, made={}, source=Source(batch, np.zeros(0, np.int64))), roots
    )
    return [node.name for node in order if isinstance(node, Column)]


def _is_waiting(batch: Batch, node: Node) -> bool:
    """Return whether a node is a step that can be made and is not yet."""
    is_known = not isinstance(node, Aggregate) or node in batch.learnt
    return is_known and node not in batch.made and is_step(node, batch.types)


def make_windows(batch: Batch, calls: Sequence[Node]) -> None:
    """Compute functions of the rows in windows, those over one order of the rows together.

    Args:
        batch: the rows; takes the columns.
        calls: the functions.
    """
    past, orders = batch.seen, _by_order(calls)
    make(past, _read_by(orders))
    compute_columns(past, [arg for order in orders for arg in order.args])
    has_history = batch.places is None and batch.first_place > 0
    for order, members in orders.items():
        lacking = [member for member in members if member not in past.made]
        if batch.n_earlier:
            check_history(batch, order)
        if lacking or has_history:  # without functions it is checked that it comes before the data
            if is_telling():
                tell(f"windows, {counted(past.n_rows, 'row')} with what came before")
            arrays = run_over(batch, order, lacking)
            batch.made.update(zip(lacking, map(_as_column, arrays), strict=True))
    _take_from_seen(batch, calls)


def _read_by(orders: Mapping[Call, Sequence[Call]]) -> list[Node]:
    """Return the expressions over the rows that orders, and the functions over each, read."""
    return [
        node
        for order, members in orders.items()
        for node in (*order.args, *(member.args[0] for member in members))
    ]


def _take_from_seen(batch: Batch, nodes: Sequence[Node]) -> None:
    """Take what is made of the rows that windows see, the batch's own among them, for its own."""
    made = batch.seen.made
    for node in nodes:
        if node in made and node not in batch.made:
            if batch.places is None:
                batch.made[node] = made[node].slice(batch.first_place, batch.n_rows)
            else:
                batch.made[node] = rows_at(made[node], batch.places, batch.backend)


def _as_column(made: Any) -> Any:
    """Return an array of the host as a column, and one of a device as it is."""
    return pa.chunked_array([made]) if isinstance(made, pa.Array) else made


def make_over_tables(batch: Batch, calls: Sequence[Node]) -> None:
    """Compute functions of the rows of tables in windows, those over one order together.

    Args:
        batch: the rows that ask, of which times and keys are made; takes the columns.
        calls: the functions.
    """
    _take_from_seen(batch, calls)
    for order, members in _by_order(n for n in calls if n not in batch.made).items():
        table, values = table_with(batch, order, members)
        arrays = run_over_table(batch, order, members, table, values)
        for member, array in zip(members, arrays, strict=True):
            batch.made[member] = pa.chunked_array([array])


def make_ahead(batch: Batch, calls: Sequence[Node]) -> None:
    """Compute functions of the data's rows ahead, those over one order of the rows together.

    Args:
        batch: the rows that ask, of which times and keys are made; takes the columns.
        calls: the functions.
    """
    seen, orders = batch.seen, _by_order(calls)
    make(seen, _read_by(orders))
    compute_columns(seen, [arg for order in orders for arg in order.args])
    for order, members in orders.items():
        arrays = run_ahead(batch, order, members)
        batch.made.update(zip(members, map(_as_column, arrays), strict=True))


def table_with(batch: Batch, order: Call, calls: Sequence[Node]) -> tuple[Batch, list[Node]]:
    """Return the rows of a table with all that functions read of them, and what each is of."""
    table, values = in_table(batch, order, [call.args[0] for call in calls])
    with naming_table(order):
        make(table, values)
    return table, values


def _sees_table(step: Node) -> bool:
    """Return whether a step is a function of the rows of a table in a window, or of those ahead."""
    return is_over(step) and is_of_table(order_of(step))


def _by_order(calls: Iterable[Node]) -> dict[Call, list[Call]]:
    """Return functions over windows by what orders the rows that they read."""
    found: dict[Call, list[Call]] = {}
    for call in calls:
        assert isinstance(call, Call)
        found.setdefault(order_of(call), []).append(call)
    return found


def _run(batch: Batch, step: Node) -> Any:
    """Return the column that a step makes."""
    types = batch.types
    if isinstance(step, Aggregate):
        return pa.chunked_array([repeated(batch.learnt[step], types[step], batch.n_rows)])
    assert isinstance(step, Call)
    codes = encoded(batch, step)
    if codes is not None:
        return _as_column(codes)
    if step.function == "fold" and not step.args and batch.source is not None:
        return _folds_by_number(batch, batch.source.rows, step)
    narrow = step_function(step).narrow
    args = [_argument(batch, arg, types[step.args[0]], narrow=narrow) for arg in step.args]
    if types[step] == COUNTS:
        _check_counts(step, batch.n_rows)
    try:
        task = StepTask(step, args, types[step], batch.n_rows)
        array = run_task(batch.backend, task)
    except StepFailed as failure:
        row, text, kind = failure.args
        where = "" if row is None else f", row {batch.number_of(row)}"
        raise kind(f"{show(step)}{where}: {text}") from None
    return _as_column(array)


def _folds_by_number(batch: Batch, source: Batch, step: Call) -> Any:
    """Return the fold of each row by its number among some rows: those of the first of all rows."""
    folds = source.shared.get(step)
    if folds is None or len(folds) < batch.n_rows:
        n_rows = max(batch.n_rows, source.n_rows)  # a row may be chosen several times
        array = run_task(batch.backend, StepTask(step, [], batch.types[step], n_rows))
        folds = column_in_host(_as_column(array), batch.backend)
        source.shared[step] = folds
    return folds.slice(0, batch.n_rows)


def _check_counts(step: Call, n_rows: int) -> None:
    """Raise where counts in buckets take more memory than there is, before it is asked for."""
    n_buckets, room = dict(step.params)["n_buckets"], host_memory()
    n_bytes = 2 * n_buckets * n_rows * _COUNT_BYTES  # the counts, and the columns of them
    if room is not None and n_bytes > room:
        raise InvalidData(
            f"{show(step)}: {n_buckets:,} buckets of {n_rows:,} rows take about {n_bytes:,} bytes, "
            f"and this machine has {room:,}. Take fewer buckets, or fewer rows at once"
        )


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
