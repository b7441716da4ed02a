"""The CPU backend: row programs and steps run in compiled kernels.

A program computes features row by row from columns; a step computes a whole column, for example
from text or by a lookup. A step without a CPU kernel runs its reference function. If an output of a
program is just a step's column, that column itself is returned, not a copy.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import lru_cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

from fastfeat.backends import Backend, reference, step_kernels
from fastfeat.engine.cpu import compiled as programs
from fastfeat.engine.cpu import run
from fastfeat.engine.kernel_cache import is_observed
from fastfeat.engine.program import Output, Program, program_of
from fastfeat.engine.storage import column_of
from fastfeat.engine.tasks import RowTask
from fastfeat.first_use import LazyTypeTable
from fastfeat.io.columns.types import arrow_type
from fastfeat.ir.node import Call, Column, Node
from fastfeat.ir.scope import is_over_window
from fastfeat.scalars.value import InputSlot
from fastfeat.steps.keys import cpu_vocabulary
from fastfeat.steps.registry import host_step, step_function
from fastfeat.steps.windows import cpu as windows
from fastfeat.steps.windows import cpu_tables as table_windows

if TYPE_CHECKING:
    from fastfeat.steps.step import StepTask
    from fastfeat.steps.windows.tasks import TableWindowTask, TiesTask, WindowTask

import_module("concurrent.futures.thread")  # Numba needs it, and it cannot be imported at exit


def compute(task: RowTask) -> list[Any]:
    """Return an Arrow array for each output of a row program.

    Each array is written by the kernel, or is the column of a step.
    """
    program, columns = task.program, task.columns
    made, rest = split_program(program)
    if is_observed():  # needed if step columns come in chunks or in another type
        programs.compiled(program).loops_address()
    found = {k: as_output(columns[slot], program.outputs[k]) for k, slot in made.items()}
    if not found or any(array is None for array in found.values()):
        return run.compute(task)
    others = RowTask(rest, columns, task.n_rows, task.constants)
    computed = iter(run.compute(others) if rest.outputs else ())
    return [found[k] if k in found else next(computed) for k in range(len(program.outputs))]


def outputs_of_steps(program: Program) -> Collection[int]:
    """Return the indices of outputs whose arrays may be step columns, which others may share."""
    return split_program(program)[0].keys()


@lru_cache(maxsize=128)
def split_program(program: Program) -> tuple[Mapping[int, InputSlot], Program]:
    """Return the outputs that are unchanged step columns, and a program of all other outputs.

    The former are a mapping from output index to the step's input slot. Float columns usually need
    the program, because it turns NaN into missing. Windows and lookup tables already use null for
    missing, so their floats are returned unchanged.
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


def as_output(column: Any, output: Output) -> Any:
    """Return the single chunk of a step's column, to serve as the output itself.

    None if the column has another type than the output, or several chunks.
    """
    same_type = column.type == arrow_type(output.dtype)
    return column.chunk(0) if same_type and column.num_chunks == 1 else None


def run_step(task: StepTask) -> Any:
    """Return the column that a step computes, by its CPU kernel or its reference function."""
    call = task.call
    kernel = step_kernels("cpu").get(call.function)
    if kernel is None or host_step(call) is not None:
        return reference.run_step(task)
    return kernel(task.args, dict(call.params), task.n_rows)


def run_windows(task: WindowTask) -> Any:
    """Return the results of window functions over the data's rows."""
    return windows.over(task.past, task.asked, task.first_row)


def count_ties(task: TiesTask) -> Any:
    """Return the number of rows that have the same entity and time as another row."""
    return windows.n_tied(task.past, task.first_row)


def run_table_windows(task: TableWindowTask) -> Any:
    """Return the results of window functions over the rows of a table."""
    return table_windows.over_table(task.past, task.asked, task.query)


def literal_codes(column: Any, name: str, literals: tuple[str, ...]) -> Any:
    """Return the position of each text of a column among literals; -1 if it is not one of them."""
    return cpu_vocabulary.literal_codes(column, name, literals)


BACKEND = Backend(
    "cpu",
    LazyTypeTable(
        {
            "fastfeat.engine.tasks:RowTask": "fastfeat.backends.cpu:compute",
            "fastfeat.engine.tasks:MatrixTask": "fastfeat.engine.cpu.run:compute_matrix",
            "fastfeat.engine.tasks:LearnTask": "fastfeat.engine.cpu.learn:learn",
            "fastfeat.steps.step:StepTask": "fastfeat.backends.cpu:run_step",
            "fastfeat.steps.keys.tasks:KeysTask": "fastfeat.steps.keys.cpu_learner:count_keys",
            "fastfeat.steps.keys.tasks:DistinctTask": (
                "fastfeat.steps.keys.cpu_learner:count_distinct"
            ),
            "fastfeat.steps.keys.tasks:GroupsTask": (
                "fastfeat.steps.keys.cpu_group_states:learn_groups"
            ),
            "fastfeat.steps.targets.tasks:TargetTask": (
                "fastfeat.steps.targets.cpu_states:learn_target"
            ),
            "fastfeat.steps.targets.time_folds:TimesTask": (
                "fastfeat.steps.targets.cpu_time_folds:learn_times"
            ),
            "fastfeat.steps.windows.tasks:WindowTask": "fastfeat.backends.cpu:run_windows",
            "fastfeat.steps.windows.tasks:TiesTask": "fastfeat.backends.cpu:count_ties",
            "fastfeat.steps.windows.tasks:TableWindowTask": (
                "fastfeat.backends.cpu:run_table_windows"
            ),
        }
    ),
    shared_outputs=outputs_of_steps,
    reads_codes=True,
    learners=LazyTypeTable(
        {
            "fastfeat.engine.tasks:LearnTask": "fastfeat.engine.cpu.learn:OF_TASKS",
            "fastfeat.steps.keys.tasks:KeysTask": "fastfeat.steps.keys.cpu_learner:OF_TASKS",
            "fastfeat.steps.keys.tasks:GroupsTask": "fastfeat.steps.keys.cpu_group_states:OF_TASKS",
            "fastfeat.steps.targets.tasks:TargetTask": "fastfeat.steps.targets.cpu_states:OF_TASKS",
            "fastfeat.steps.targets.time_folds:TimesTask": (
                "fastfeat.steps.targets.cpu_time_folds:OF_TASKS"
            ),
        }
    ),
    literal_codes=literal_codes,
)
