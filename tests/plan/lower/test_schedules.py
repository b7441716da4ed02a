"""Schedules: a dozen plans, as they are drafted and after each pass, as text in files.

`PYTHONPATH=.:tests/plan python tests/plan/lower/test_schedules.py` writes the files, on purpose.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from scheduled_plans import CASES, rows, tables

from fastfeat.api.plan import Plan
from fastfeat.io.columns.types import schema_of
from fastfeat.plan.declare.bind import bind
from fastfeat.plan.lower.lower import Types
from fastfeat.plan.lower.passes import PASSES
from fastfeat.plan.lower.schedule import LEARNING, Purpose, Schedule
from fastfeat.plan.lower.scheduling import drafted, schedule_of
from fastfeat.plan.tell.explain_schedule import describe_schedule

FOLDER = Path(__file__).parent / "schedules"
PURPOSES: tuple[Purpose, ...] = ("fit", "fit_transform", "training", "apply")


def types_of(plan: Plan) -> Types:
    """Return the type of every node of a plan."""
    schemas = {name: schema_of(table) for name, table in tables().items()}
    return bind([*plan.declaration.nodes.values()], schema_of(rows(2)), schemas)


def stages(plan: Plan) -> Iterator[tuple[Purpose, str, Schedule]]:
    """Yield each schedule of a plan before and after each pass."""
    types = types_of(plan)
    for purpose in PURPOSES:
        schedule = drafted(plan.declaration.nodes, types, purpose)
        yield purpose, "as it is drafted", schedule
        for improve in PASSES:
            schedule = improve(schedule)
            yield purpose, f"after {improve.__name__}", schedule


def told(plan: Plan) -> str:
    """Return the schedules of a plan as text; those that a pass does not change stand once."""
    lines: list[str] = []
    before: str | None = None
    for purpose, stage, schedule in stages(plan):
        text = describe_schedule(schedule)
        if text != before:
            lines += [f"== {purpose}, {stage} ==", text, ""]
        before = text
    return "\n".join(lines)


@pytest.mark.parametrize("name", CASES)
def test_schedules_are_those_of_the_files(name: str) -> None:
    assert told(CASES[name]().plan) == (FOLDER / f"{name}.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", CASES)
def test_what_a_task_reads_is_made_before_by_one_task(name: str) -> None:
    for purpose, stage, schedule in stages(CASES[name]().plan):
        made: set[int] = set()
        learnt: set[int] = set()
        left = stage in ("after leave_features", "after mark_last_readers")
        giving = [place for task in schedule.tasks for place in task.gives]
        learning = [value for task in schedule.tasks for value in task.learns]
        assert len({*giving}) == len(giving), (purpose, stage)
        assert len({*learning}) == len(learning), (purpose, stage)
        for task in schedule.tasks:
            assert made.issuperset({*task.reads} & {*giving}), (purpose, stage, task)
            assert learnt.issuperset({*task.uses} & {*learning}), (purpose, stage, task)
            assert bool(task.learns) == (task.kind in LEARNING)
            made.update(task.gives)
            learnt.update(task.learns)
        if not left or purpose != "fit_transform":
            assert made.issuperset({*schedule.outputs} & {*giving})


@pytest.mark.parametrize("name", CASES)
def test_columns_are_freed_once_and_read_no_more_after(name: str) -> None:
    plan = CASES[name]().plan
    for purpose in PURPOSES:
        schedule = schedule_of(plan.declaration.nodes, types_of(plan), purpose)
        gone: set[int] = set()
        for task in schedule.tasks:
            assert gone.isdisjoint(task.reads)
            assert gone.isdisjoint(task.frees)
            gone.update(task.frees)
        assert gone.isdisjoint(schedule.outputs)


def test_one_vocabulary_of_a_column_is_counted_once() -> None:
    plan = CASES["codes"]().plan
    schedule = schedule_of(plan.declaration.nodes, types_of(plan), "fit")
    counting = [task for task in schedule.tasks if task.kind == "keys"]
    assert [len(task.learns) for task in counting] == [3]


def test_windows_of_one_order_are_one_task_a_depth() -> None:
    plan = CASES["nested_windows"]().plan
    schedule = schedule_of(plan.declaration.nodes, types_of(plan), "apply")
    orders = [task.order for task in schedule.tasks if task.kind == "windows"]
    n_windows = sum(len(task.nodes) for task in schedule.tasks if task.kind == "windows")
    assert len(orders) < n_windows


if __name__ == "__main__":
    for case, made in CASES.items():
        (FOLDER / f"{case}.txt").write_text(told(made().plan), encoding="utf-8")
