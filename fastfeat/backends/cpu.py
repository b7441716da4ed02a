"""The CPU backend: programs and steps, by kernels, and by the definition where there is none."""

from __future__ import annotations

from typing import Any

from fastfeat.backends import Backend, step_kernels
from fastfeat.backends.reference import run_step as run_by_definition
from fastfeat.engine.cpu.arrays import compute, compute_matrix
from fastfeat.engine.cpu.learn import learn
from fastfeat.engine.tasks import LearnTask, MatrixTask, RowTask
from fastfeat.steps.keys.cpu_groups import learn_groups
from fastfeat.steps.keys.cpu_vocabulary import count_keys
from fastfeat.steps.keys.tasks import GroupsTask, KeysTask
from fastfeat.steps.registry import step_function
from fastfeat.steps.step import StepTask
from fastfeat.steps.targets.cpu import learn_target
from fastfeat.steps.targets.tasks import TargetTask
from fastfeat.steps.windows.cpu import over
from fastfeat.steps.windows.cpu_tables import over_table
from fastfeat.steps.windows.tasks import TableWindowTask, WindowTask


def run_step(task: StepTask) -> Any:
    """Return the column that a step makes."""
    call = task.call
    kernel = step_kernels("cpu").get(call.function)
    if kernel is None or step_function(call).host is not None:
        return run_by_definition(task)
    return kernel(task.args, dict(call.params), task.n_rows)


BACKEND = Backend(
    "cpu",
    {
        RowTask: compute,
        MatrixTask: compute_matrix,
        LearnTask: learn,
        StepTask: run_step,
        KeysTask: count_keys,
        GroupsTask: learn_groups,
        TargetTask: learn_target,
        WindowTask: lambda task: over(task.past, task.asked, task.first_row),
        TableWindowTask: lambda task: over_table(task.past, task.asked, task.query),
    },
)
