"""The steps of a plan that a prepared call runs itself as kernel calls, for one schema.

A prepared call runs the steps that read unchanged columns of the data. All other tasks, and the
steps that these tasks read, run before the call, as for any rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from fastfeat_kernels.records import dataclass

from fastfeat.backends import step_calls
from fastfeat.execute import text_slots
from fastfeat.execute.fitted import Fitted
from fastfeat.io.arrow import Schema
from fastfeat.ir.dtypes import COUNTS, TABLE, VOCABULARY
from fastfeat.ir.node import Call, Column, Node
from fastfeat.plan.lower.schedule import ROWS, Schedule, ScheduledTask
from fastfeat.plan.lower.task_graph import drop_computed
from fastfeat.scalars.value import InputSlot
from fastfeat.steps import step as step_records
from fastfeat.steps.registry import host_step

if TYPE_CHECKING:
    from fastfeat.engine.cpu.step_calls import StepCalls

StepResult = Node | InputSlot
"""A result computed for a batch: the column of a step, or a program's input from text."""


@dataclass(frozen=True, slots=True)
class PreparedStep:
    """A step as kernel calls, with the names of the data columns that it reads."""

    calls: StepCalls
    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SchemaSteps:
    """The steps of a plan, divided into those that a prepared call runs and all others.

    Args:
        of_columns: Steps that a prepared call runs.
        schedule: All other tasks.
        is_any: Whether the call runs any steps, including those for a program's text inputs.
    """

    of_columns: Mapping[Node, PreparedStep]
    schedule: Schedule
    is_any: bool = True

    @property
    def has_others(self) -> bool:
        """Whether any task runs before a prepared call."""
        return any(task.kind != "features" for task in self.schedule.tasks)


def steps_of_schema(fitted: Fitted, schema: Schema) -> SchemaSteps:
    """Return the steps that a prepared call runs for tables of a schema, and the other tasks."""
    schedule, found = fitted.schedule, dict[Node, PreparedStep]()
    for task in schedule.tasks:
        if task.kind == "step" and schedule.columns[task.gives[0]].space == ROWS:
            (step,) = task.nodes
            one = _of_columns(fitted, step, schema, found)
            if one is not None:
                found[step] = one
    for place in _read_by_others(schedule, found):
        found.pop(schedule.columns[place].origin, None)
    places = {k for k, column in enumerate(schedule.columns) if column.origin in found}
    return SchemaSteps(found, drop_computed(schedule, places))


def _of_columns(
    fitted: Fitted, step: Node, schema: Schema, found: Mapping[Node, PreparedStep]
) -> PreparedStep | None:
    """Return a step as kernel calls; None if one of its inputs prevents that.

    Its inputs must be columns of the data, learned vocabularies, or counts of steps in `found`.
    """
    if not isinstance(step, Call) or step.function not in step_calls():
        return None
    if host_step(step) is not None:
        return None
    args, names = list[step_records.Argument](), list[str]()
    for arg in step.args:
        dtype = fitted.types[arg]
        match arg:
            case _ if dtype == VOCABULARY and arg in fitted.constants:
                args.append(step_records.Argument(fitted.constants[arg], dtype))
            case Call() if dtype == COUNTS and arg in found:
                args.append(step_records.Argument(found[arg].calls, dtype))
                names += found[arg].columns
            case Column() if dtype != TABLE:
                args.append(step_records.Argument(None, dtype))
                names.append(arg.name)
            case _:
                return None
    types = [schema.field(name).type for name in names]
    calls = step_calls()[step.function](args, types, dict(step.params))
    return None if calls is None else PreparedStep(calls, tuple(names))


def _read_by_others(schedule: Schedule, found: Mapping[Node, Any]) -> Iterable[int]:
    """Return the positions of the columns that tasks outside the prepared call read."""

    def is_other(task: ScheduledTask) -> bool:
        return task.kind != "features" and not all(node in found for node in task.nodes)

    return [place for task in schedule.tasks if is_other(task) for place in task.reads]


def slot_step(slot: InputSlot, steps: SchemaSteps, schema: Schema) -> PreparedStep | None:
    """Return the step that makes a program's input, as kernel calls; None if that is impossible."""
    source = slot.sources[0]
    if slot.kind == "column":
        return steps.of_columns.get(source)
    names = tuple(source.name for source in slot.sources if isinstance(source, Column))
    if not steps.is_any or len(names) < len(slot.sources):
        return None
    types = [schema.field(name).type for name in names]
    calls = text_slots.TEXT_SLOTS[slot.kind].calls(slot, types)
    return None if calls is None else PreparedStep(calls, names)
