"""Running the tasks of a schedule in order; each makes whole columns in memory.

The arguments of a step are columns, learned values, or expressions over rows, which a compiled
program computes first. A column is freed once no later task reads it. A space is a set of rows that
columns belong to: the rows of the call, the rows that windows see, the rows of a lookup table, or
list elements.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from fastfeat_kernels.records import dataclass

from fastfeat.aggregates import is_fold_by_number
from fastfeat.backends import run_task
from fastfeat.errors import InvalidData, counted
from fastfeat.execute import failures, step_costs, windows
from fastfeat.execute import values as row_values
from fastfeat.execute.batch import (
    Batch,
    Orders,
    SelectionSource,
    encode_selected,
    is_computed_at_source,
    rows_at,
    take_columns_of_source,
)
from fastfeat.execute.inputs import column_in_host
from fastfeat.io import host_memory as memory_of_host
from fastfeat.io.arrow import pa
from fastfeat.io.columns import keys as column_keys
from fastfeat.ir.dtypes import COUNTS, TABLE, VOCABULARY, DType
from fastfeat.ir.node import Aggregate, Call, Column, Literal, Node, TableColumn
from fastfeat.ir.scope import table_of
from fastfeat.ir.show import show
from fastfeat.plan.lower import codes as code_plans
from fastfeat.plan.lower.draft import of_table, type_in_table
from fastfeat.plan.lower.schedule import ROWS, SEEN, Schedule, ScheduledTask, SpaceOf
from fastfeat.plan.lower.schedule import ScheduledColumn as Made
from fastfeat.plan.lower.scheduling import schedule_of_columns
from fastfeat.plan.lower.task_graph import drop_computed, orders_of
from fastfeat.progress import is_progress_shown, report_progress
from fastfeat.steps import step as step_records
from fastfeat.steps.registry import step_function

if TYPE_CHECKING:
    from fastfeat.steps.step import Argument

_COUNT_BYTES = 4
_NOTHING = nullcontext()


@dataclass(frozen=True, slots=True)
class Running:
    """The state of a schedule while it runs over some rows.

    Args:
        schedule: The tasks whose columns are not computed yet.
        batch: The rows.
        spaces: The rows of each space (set of rows); those of tables are added when first read.
        frees: Whether to free columns that no later task reads.
        orders: Data that backends cache for each order (time column and entity keys), for later
            tasks.
    """

    schedule: Schedule
    batch: Batch
    spaces: dict[SpaceOf, Batch]
    frees: bool
    orders: Orders = field(default_factory=dict[Call, dict[Any, Any]])


def make(batch: Batch, roots: Sequence[Node]) -> None:
    """Run the steps that `roots` read and that are still missing; `batch` gets their columns."""
    run(batch, schedule_of_columns(roots, batch.types, training=batch.training))


def run(batch: Batch, schedule: Schedule, *, frees: bool = False) -> None:
    """Run the tasks of a schedule that make missing columns, and add the columns to `batch`.

    `frees` tells whether to free columns that no later task reads.
    """
    running = start_schedule(batch, schedule, frees=frees)
    for task in running.schedule.tasks:
        run_columns(running, task)


def start_schedule(batch: Batch, schedule: Schedule, *, frees: bool = False) -> Running:
    """Return the state of a schedule before its first task; see `run` for the arguments."""
    lacking = without_computed_tasks(batch, schedule)
    if batch.source is not None:
        read = [place for task in lacking.tasks for place in task.reads]
        places = dict.fromkeys((*read, *lacking.outputs))
        columns = (schedule.columns[place] for place in places)
        take_columns_of_source(batch, [c.origin for c in columns if c.space == ROWS])
    known, orders = batch.seen.orders, dict[Call, dict[Any, Any]]()
    for order in orders_of(lacking) if known else ():
        if order in known:
            orders[order] = known.pop(order)
    return Running(lacking, batch, {ROWS: batch, SEEN: batch.seen}, frees, orders)


def run_columns(running: Running, task: ScheduledTask) -> None:
    """Run one task that makes columns, and free the columns that no later task reads."""
    kind = _KINDS.get(task.kind)
    if kind is not None:
        space = running.schedule.columns[task.gives[0]].space
        with _naming(running, space):
            rows = _rows_of(running, space)
            with step_costs.measure_step(task.kind, task.nodes, rows.n_rows, task.order):
                kind(running, rows, task)
    if running.frees:
        _free(running, task)


def without_computed_tasks(batch: Batch, schedule: Schedule) -> Schedule:
    """Return the schedule without the tasks whose columns are all computed for the batch."""
    own, seen = batch.made, batch.seen.made
    if batch.source is None and _is_nothing(own) and _is_nothing(seen):
        return schedule

    def is_there(column: Made) -> bool:
        match schedule.spaces[column.space].kind:
            case "rows":
                return column.origin in own or is_computed_at_source(batch, column.origin)
            case "seen":
                return column.origin in seen
            case "elements":
                return column.origin in own
            case "table":
                return False

    known = {place for place, column in enumerate(schedule.columns) if is_there(column)}
    return drop_computed(schedule, known)


def _is_nothing(made: Mapping[Node, Any]) -> bool:
    """Return whether no column has been computed yet; columns of lookup tables do not count."""
    return all(isinstance(node, TableColumn) for node in made)


def columns_of_chosen(batch: Batch, schedules: Sequence[Schedule]) -> list[str]:
    """Return the data columns that rows selected from `batch` must have to run `schedules`.

    Columns already computed on `batch` are selected instead of being computed again.
    """
    chosen = replace(batch, made={}, source=SelectionSource(batch, np.zeros(0, np.int64)))
    names: dict[str, None] = {}
    for schedule in schedules:
        for task in without_computed_tasks(chosen, schedule).tasks:
            columns = (schedule.columns[place] for place in task.reads)
            own = [c.origin for c in columns if c.space == ROWS]
            names.update(dict.fromkeys(node.name for node in own if isinstance(node, Column)))
    return list(names)


def _rows_of(running: Running, space: SpaceOf) -> Batch:
    """Return the batch of rows to which the columns of a space belong.

    Rows of a lookup table get the columns that its tasks read. Columns of list elements are stored
    with the rows that have the lists.
    """
    rows = running.spaces.get(space)
    if rows is None:
        schedule, wanted = running.schedule, running.schedule.spaces[space]
        if wanted.kind == "elements":
            running.spaces[space] = running.batch
            return running.batch
        read = [c.origin for c in schedule.columns if c.space == space]
        names = [node.name for node in read if isinstance(node, Column)]
        assert isinstance(wanted.of, str)
        columns = [TableColumn(wanted.of, name) for name in names]
        rows = running.spaces[space] = windows.table_rows(running.batch, columns, wanted.types)
    return rows


def _naming(running: Running, space: SpaceOf) -> AbstractContextManager[object]:
    """Return a context that prefixes errors about the rows of a table with its name."""
    name = running.schedule.spaces[space].of
    return windows.naming_table(name) if isinstance(name, str) else _NOTHING


def _free(running: Running, task: ScheduledTask) -> None:
    """Free the columns that `task` is the last to read.

    Columns of the rows that windows see are kept if another selection of rows may read them.
    """
    for place in task.frees:
        column = running.schedule.columns[place]
        rows = running.spaces.get(column.space)
        if rows is not None and not (column.space == SEEN and running.batch.source is not None):
            rows.made.pop(column.origin, None)


def _program(running: Running, rows: Batch, task: ScheduledTask) -> None:
    row_values.compute_columns(rows, task.nodes)


def _step(running: Running, rows: Batch, task: ScheduledTask) -> None:
    (step,) = task.nodes
    if step not in rows.made:
        if is_progress_shown():
            report_progress(show(step))
        rows.made[step] = _run(rows, step)


def _windows(running: Running, rows: Batch, task: ScheduledTask) -> None:
    """Compute window functions that share an order (time column and entity keys) of the rows.

    Functions already computed for the rows that windows see, which include these rows, are reused.
    """
    past, order = rows.seen, task.order
    assert isinstance(order, Call)
    has_history = rows.places is None and rows.first_place > 0
    lacking = [node for node in task.nodes if node not in past.made and node not in rows.made]
    kept = running.orders.pop(order, {}) if past is running.batch.seen else {}
    if rows.n_earlier:
        windows.check_history(rows, order, kept)
    if lacking or has_history:  # without functions, checks the order of the history
        if is_progress_shown():
            report_progress(f"windows over {counted(past.n_rows, 'row')}, history included")
        arrays = windows.run_over(rows, order, lacking, kept)
        rows.made.update(zip(lacking, map(_as_column, arrays), strict=True))
    if task.keeps_order:
        running.orders[order] = kept
    _take_from_seen(rows, task.nodes)


def _take_from_seen(rows: Batch, nodes: Sequence[Node]) -> None:
    """Copy computed columns from the rows that windows see, which include these rows."""
    made = rows.seen.made
    for node in nodes:
        if node in made and node not in rows.made:
            if rows.places is None:
                rows.made[node] = made[node].slice(rows.first_place, rows.n_rows)
            else:
                rows.made[node] = rows_at(made[node], rows.places, rows.backend)


def _as_column(made: Any) -> Any:
    """Return a host array as a column, and a device array unchanged."""
    return pa.chunked_array([made]) if isinstance(made, pa.Array) else made


def _over_table(running: Running, rows: Batch, task: ScheduledTask) -> None:
    """Compute window functions over the rows of a lookup table that share an order of its rows."""
    _take_from_seen(rows, task.nodes)
    order, schedule = task.order, running.schedule
    assert isinstance(order, Call)
    lacking = [node for node in task.nodes if node not in rows.made]
    if lacking:
        renamed = schedule.kept.get((order, task.nodes))
        if renamed is None:
            renamed = of_table(order, [node.args[0] for node in task.nodes])
            schedule.kept[order, task.nodes] = renamed
        space = _space_of_table(schedule, order)
        values = [renamed[node.args[0]] for node in lacking]
        arrays = windows.run_over_table(rows, order, lacking, _rows_of(running, space), values)
        rows.made.update(zip(lacking, map(_as_column, arrays), strict=True))


def _space_of_table(schedule: Schedule, order: Call) -> SpaceOf:
    """Return the index, in `schedule.spaces`, of the rows of the table that an order sorts."""
    name = table_of(order)
    return next(k for k, space in enumerate(schedule.spaces) if space.of == name)


def _ahead(running: Running, rows: Batch, task: ScheduledTask) -> None:
    """Compute functions over later rows of the data that share an order of the rows."""
    assert isinstance(task.order, Call)
    lacking = [node for node in task.nodes if node not in rows.made]
    if lacking:
        arrays = windows.run_ahead(rows, task.order, lacking)
        rows.made.update(zip(lacking, map(_as_column, arrays), strict=True))


_KINDS: dict[str, Callable[[Running, Batch, ScheduledTask], None]] = {
    "program": _program,
    "step": _step,
    "windows": _windows,
    "windows over a table": _over_table,
    "ahead": _ahead,
}
"""Functions that run a task and add its columns to the batch, by kind of task."""


def table_with(batch: Batch, order: Call, calls: Sequence[Node]) -> tuple[Batch, list[Node]]:
    """Return a table's rows with all inputs of `calls` computed, and the input of each call.

    `batch` holds the columns of the table; `calls` are window functions over it.
    """
    renamed = of_table(order, [call.args[0] for call in calls])
    types = {new: type_in_table(old, batch.types[old]) for old, new in renamed.items()}
    columns = [node for node in renamed if isinstance(node, TableColumn)]
    table, values = (
        windows.table_rows(batch, columns, types),
        [renamed[call.args[0]] for call in calls],
    )
    with windows.naming_table(table_of(order)):
        make(table, values)
    return table, values


def _run(batch: Batch, step: Node) -> Any:
    """Return the column that one step computes."""
    types = batch.types
    if isinstance(step, Aggregate):
        return pa.chunked_array(
            [column_keys.repeat_key(batch.learnt[step], types[step], batch.n_rows)]
        )
    assert isinstance(step, Call)
    codes = encode_selected(batch, step)
    if codes is not None:
        return _as_column(codes)
    if is_fold_by_number(step) and batch.source is not None:
        return _folds_by_number(batch, batch.source.rows, step)
    narrow = step_function(step).narrow
    args = [_argument(batch, arg, types[step.args[0]], narrow=narrow) for arg in step.args]
    learning = step_function(step).learning
    if learning is not None:
        args.append(step_records.Argument(batch.learnt[learning.origin(step)], TABLE))
    if types[step] == COUNTS:
        _check_counts(step, batch.n_rows)
    try:
        task = step_records.StepTask(step, args, types[step], batch.n_rows)
        array = run_task(batch.backend, task)
    except step_records.StepFailed as failure:
        row, *why = failure.args
        number = None if row is None else batch.number_of(row)
        raise failures.failed_step(step, number, *why) from None
    return _as_column(array)


def _folds_by_number(batch: Batch, source: Batch, step: Call) -> Any:
    """Return the folds of selected rows, when folds depend on row numbers alone.

    The selected rows are numbered from 0, so they get the folds of the first rows of the source.
    """
    folds = source.shared.get(step)
    if folds is None or len(folds) < batch.n_rows:
        n_rows = max(batch.n_rows, source.n_rows)  # a row may be chosen several times
        array = run_task(batch.backend, step_records.StepTask(step, [], batch.types[step], n_rows))
        folds = column_in_host(_as_column(array), batch.backend)
        source.shared[step] = folds
    return folds.slice(0, batch.n_rows)


def _check_counts(step: Call, n_rows: int) -> None:
    """Raise InvalidData if a step's bucket counts would take more memory than this machine has."""
    n_buckets, room = dict(step.params)["n_buckets"], memory_of_host.host_memory()
    n_bytes = 2 * n_buckets * n_rows * _COUNT_BYTES  # the counts, and the columns of them
    if room is not None and n_bytes > room:
        raise InvalidData(
            f"{show(step)}: {n_buckets:,} buckets for {n_rows:,} rows take about {n_bytes:,} "
            f"bytes, but this machine has {room:,}. Use fewer buckets, or fewer rows at once"
        )


def _argument(batch: Batch, node: Node, key_dtype: DType, *, narrow: bool) -> Argument:
    dtype = batch.types[node]
    match node:
        case _ if dtype == VOCABULARY:
            return step_records.Argument(batch.learnt[node], dtype)
        case TableColumn():
            return step_records.Argument(batch.made[node], dtype)
        case Literal() if dtype == TABLE:
            return step_records.Argument(code_plans.listed_vocabulary(node, key_dtype), dtype)
        case _ if dtype == COUNTS:
            return step_records.Argument(batch.made[node], dtype)
        case _:
            return step_records.Argument(row_values.key_values(batch, node, narrow=narrow), dtype)
