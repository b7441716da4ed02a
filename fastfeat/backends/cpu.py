"""The CPU backend: programs and steps, by kernels, and by the definition where there is none.

An output of a program that is a column of a step, unchanged, is given out as the step made it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import lru_cache
from typing import Any

from fastfeat.backends import Backend, step_kernels
from fastfeat.backends.reference import run_step as run_by_definition
from fastfeat.engine.cpu import learn as statistics
from fastfeat.engine.cpu import run
from fastfeat.engine.cpu.compiled import compiled
from fastfeat.engine.cpu.learn import learn
from fastfeat.engine.cpu.run import compute_matrix
from fastfeat.engine.kernel_cache import is_observed
from fastfeat.engine.program import Output, Program, program_of
from fastfeat.engine.storage import column_of
from fastfeat.engine.tasks import LearnTask, MatrixTask, RowTask
from fastfeat.io.columns.types import arrow_type
from fastfeat.ir.node import Call, Column, Node
from fastfeat.ir.scope import is_over_window
from fastfeat.scalars.value import InputSlot
from fastfeat.steps.keys import cpu_group_states, cpu_learner
from fastfeat.steps.keys.cpu_group_states import learn_groups
from fastfeat.steps.keys.cpu_learner import count_distinct, count_keys
from fastfeat.steps.keys.cpu_vocabulary import literal_codes
from fastfeat.steps.keys.tasks import DistinctTask, GroupsTask, KeysTask
from fastfeat.steps.registry import step_function
from fastfeat.steps.step import StepTask
from fastfeat.steps.targets import cpu_states, cpu_time_folds
from fastfeat.steps.targets.cpu_states import learn_target
from fastfeat.steps.targets.cpu_time_folds import learn_times
from fastfeat.steps.targets.tasks import TargetTask
from fastfeat.steps.targets.time_folds import TimesTask
from fastfeat.steps.windows.cpu import n_tied, over
from fastfeat.steps.windows.cpu_tables import over_table
from fastfeat.steps.windows.tasks import TableWindowTask, TiesTask, WindowTask


def compute(task: RowTask) -> list[Any]:
    """Return an Arrow array for each output: that the kernel wrote, or that a step made."""
    program, columns = task.program, task.columns
    made, rest = parts_of(program)
    if is_observed():  # where columns of steps come in pieces, or in no form that holds them
        compiled(program).loops_address()
    found = {k: as_made(columns[slot], program.outputs[k]) for k, slot in made.items()}
    if not found or any(array is None for array in found.values()):
        return run.compute(task)
    others = RowTask(rest, columns, task.n_rows, task.constants)
    computed = iter(run.compute(others) if rest.outputs else ())
    return [found[k] if k in found else next(computed) for k in range(len(program.outputs))]


def outputs_of_steps(program: Program) -> Collection[int]:
    """Return the places of outputs that may be arrays of a step, which others may refer to, too."""
    return parts_of(program)[0].keys()


@lru_cache(maxsize=128)
def parts_of(program: Program) -> tuple[Mapping[int, InputSlot], Program]:
    """Return the outputs that are columns of steps, unchanged, and the program of all others.

    Floats are not given out as they are made, for a NaN in them is missing; but those of windows
    and of lookup tables are null there.
    """
    made: dict[int, InputSlot] = {}
    for k, output in enumerate(program.outputs):
        slot = column_of(output)
        if slot is None or isinstance(slot.sources[0], Column):
            continue
        if output.dtype.physical != "f64" or _is_without_nan(slot.sources[0]):
            made[k] = slot
    return made, program_of([o for k, o in enumerate(program.outputs) if k not in made])


def _is_without_nan(step: Node) -> bool:
    return isinstance(step, Call) and (is_over_window(step) or step_function(step).without_nan)


def as_made(column: Any, output: Output) -> Any:
    """Return the column of a step as the array that the output is; None where it is in pieces."""
    same_type = column.type == arrow_type(output.dtype)
    return column.chunk(0) if same_type and column.num_chunks == 1 else None


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
        DistinctTask: count_distinct,
        GroupsTask: learn_groups,
        TargetTask: learn_target,
        TimesTask: learn_times,
        WindowTask: lambda task: over(task.past, task.asked, task.first_row),
        TiesTask: lambda task: n_tied(task.past, task.first_row),
        TableWindowTask: lambda task: over_table(task.past, task.asked, task.query),
    },
    shared_outputs=outputs_of_steps,
    reads_codes=True,
    learners={
        LearnTask: statistics.OF_TASKS,
        KeysTask: cpu_learner.OF_TASKS,
        GroupsTask: cpu_group_states.OF_TASKS,
        TargetTask: cpu_states.OF_TASKS,
        TimesTask: cpu_time_folds.OF_TASKS,
    },
    literal_codes=literal_codes,
)
