"""Schedules: a dozen plans, as they are drafted and after each pass, as text in files.

`python tests/plan/lower/test_schedules.py` writes the files, on purpose.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fastfeat import col
from fastfeat.api.plan import Plan
from fastfeat.io.columns.types import schema_of
from fastfeat.ir.dtypes import FLOAT64
from fastfeat.plan.declare.bind import bind
from fastfeat.plan.lower.lower import NodeTypes
from fastfeat.plan.lower.passes import PASSES
from fastfeat.plan.lower.schedule import Purpose, Schedule, digest_of
from fastfeat.plan.lower.scheduling import draft_schedule, schedule_of
from fastfeat.tell.explain_schedule import describe_schedule
from fastfeat_tests.plan.scheduled_plans import CASES, rows, tables

FOLDER = Path(__file__).parent / "schedules"
LEARNING = ("keys", "times", "target", "groups", "statistics")
PURPOSES: tuple[Purpose, ...] = ("fit", "fit in parts", "fit_transform", "training", "apply")


def types_of(plan: Plan) -> NodeTypes:
    """Return the type of every node of a plan."""
    schemas = {name: schema_of(table) for name, table in tables().items()}
    return bind([*plan.declaration.nodes.values()], schema_of(rows(2)), schemas)


def stages(plan: Plan) -> Iterator[tuple[Purpose, str, Schedule]]:
    """Yield each schedule of a plan before and after each pass."""
    types = types_of(plan)
    for purpose in PURPOSES:
        schedule = draft_schedule(plan.declaration.nodes, types, purpose)
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


@pytest.mark.parametrize("name", CASES)
def test_a_task_begins_once_what_it_uses_is_learnt(name: str) -> None:
    plan = CASES[name]().plan
    for purpose in ("fit", "fit in parts", "fit_transform"):
        schedule = schedule_of(plan.declaration.nodes, types_of(plan), purpose)
        learnt = {v: task.round + task.n_rounds for task in schedule.tasks for v in task.learns}
        made = {place: task.round for task in schedule.tasks for place in task.gives}
        for task in schedule.tasks:
            assert task.round >= max((learnt[v] for v in task.uses if v in learnt), default=1)
            assert task.round >= max((made[p] for p in task.reads if p in made), default=1)
            assert task.round <= schedule.n_rounds + 1


def test_rounds_are_those_of_the_longest_way_and_not_of_all_depths() -> None:
    x, shop = col("amount"), col("shop")
    plan = Plan(
        {
            "imputed": x.impute("median").standard_scale(),
            "encoded": shop.target_encode("y", folds=3).standard_scale(),
        },
        label="y",
    )
    whole = schedule_of(plan.declaration.nodes, types_of(plan), "fit")
    assert whole.n_rounds == 3
    schedule = schedule_of(plan.declaration.nodes, types_of(plan), "fit in parts")
    rounds = {task.kind: task.round for task in schedule.tasks if task.kind != "statistics"}
    assert (rounds["keys"], rounds["target"]) == (1, 2)
    statistics = [(t.round, t.n_rounds) for t in schedule.tasks if t.kind == "statistics"]
    assert statistics == [(1, 3), (3, 1), (4, 1)]  # those of depth 3 do not wait for depth 2
    assert schedule.n_rounds == 4


def digests(plan: Plan, purpose: Purpose = "fit", types: NodeTypes | None = None) -> list[bytes]:
    schedule = schedule_of(plan.declaration.nodes, types or types_of(plan), purpose)
    return [digest_of(schedule, task) for task in schedule.tasks]


@pytest.mark.parametrize("name", CASES)
def test_tasks_have_digests_of_their_own_that_are_the_same_each_time(name: str) -> None:
    plan = CASES[name]().plan
    for purpose in PURPOSES:
        found = digests(plan, purpose)
        assert len({*found}) == len(found)
        assert digests(Plan.from_json(plan.to_json()), purpose) == found


def test_digests_tell_parameters_types_and_columns_apart_and_not_names() -> None:
    def of(**features: Any) -> bytes:
        (found,) = digests(Plan(features))
        return found

    x, n = col("amount"), col("n")
    assert of(a=x.standard_scale()) == of(b=x.standard_scale())
    others = [
        *(of(a=x.mean()), of(a=n.mean()), of(a=x.std()), of(a=x.std(ddof=0))),
        *(of(a=(x + 1).mean()), of(a=(x + 1.0).mean()), of(a=(x - 1).mean())),
        *(of(a=x.mean(), b=x.std()), of(a=x.std(), b=x.mean())),
        *(of(a=col("shop").n_unique()), of(a=col("card").n_unique())),
    ]
    assert len({*others}) == len(others)
    plan = Plan({"a": n.mean()})
    as_float = bind([*plan.declaration.nodes.values()], {"n": FLOAT64}, {})
    assert digests(plan, types=as_float) != digests(plan)


if __name__ == "__main__":
    for case, made in CASES.items():
        (FOLDER / f"{case}.txt").write_text(told(made().plan), encoding="utf-8")
