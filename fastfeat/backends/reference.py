"""The reference backend: slow, clear Python code that all other backends must equal bit for bit."""

from __future__ import annotations

from typing import Any

from fastfeat.backends import Backend
from fastfeat.engine.reference.run import column_of_values, compute, learn
from fastfeat.engine.tasks import LearnTask, RowTask
from fastfeat.io.columns.lists import list_array_of
from fastfeat.io.columns.strings import contents_of
from fastfeat.ir.dtypes import COUNTS
from fastfeat.steps.keys.tasks import (
    DistinctTask,
    GroupsTask,
    KeysTask,
    count_distinct,
    count_keys,
    learn_groups,
)
from fastfeat.steps.registry import host_step, step_function
from fastfeat.steps.step import Argument, StepTask
from fastfeat.steps.targets.tasks import TargetTask, learn_target
from fastfeat.steps.targets.time_folds import TimesTask, learn_times
from fastfeat.steps.windows.tasks import (
    TableWindowTask,
    TiesTask,
    WindowTask,
    n_tied,
    over,
    over_table,
)


def run_step(task: StepTask) -> Any:
    """Return the column that a step computes, by its reference function on Python lists."""
    step, params = step_function(task.call), dict(task.call.params)
    if host := host_step(task.call):
        return host(task.args, params, task.n_rows)
    lists = [Argument(_values(argument), argument.dtype) for argument in task.args]
    values = step.reference(lists, params, task.n_rows)
    if task.dtype == COUNTS:
        return values
    if task.dtype.of is not None:
        return list_array_of(values, task.dtype)
    return column_of_values(values, task.dtype)


def _values(argument: Argument) -> Any:
    """Return the values of a column argument as a list, and any other argument unchanged."""
    is_column = hasattr(argument.values, "to_pylist")
    return contents_of(argument.values) if is_column else argument.values


BACKEND = Backend(
    "reference",
    {
        RowTask: compute,
        LearnTask: learn,
        StepTask: run_step,
        KeysTask: count_keys,
        DistinctTask: count_distinct,
        GroupsTask: learn_groups,
        TargetTask: learn_target,
        TimesTask: learn_times,
        WindowTask: lambda task: over(task.past, task.asked, task.first_row),
        TiesTask: lambda task: n_tied(task.past, task.first_row),
        TableWindowTask: lambda task: over_table(task.past, task.asked, task.query),
    },
    is_slow=True,
)
