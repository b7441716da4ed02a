"""Learning from rows that are all in memory: the tasks of a schedule, in its number of scans.

A scan is a pass over the training rows. Tasks that make columns run between the learning tasks.
Statistics that wait for the same learned values share a scan.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby
from types import MappingProxyType
from typing import TYPE_CHECKING, cast

from fastfeat.errors import TooFewValues, counted, warn
from fastfeat.execute.batch import Batch
from fastfeat.execute.steps import run_columns, start_schedule
from fastfeat.first_use import is_a
from fastfeat.ir.node import Aggregate, Node
from fastfeat.ir.show import show
from fastfeat.learn import kinds
from fastfeat.learn.training_data import check_any_rows
from fastfeat.plan.lower.lower import LearntConstant
from fastfeat.plan.lower.typed import TypedPlan
from fastfeat.progress import show_progress

if TYPE_CHECKING:
    from fastfeat.aggregates.keys import Groups
    from fastfeat.learn.keys import StableVocabularies

_GROUPS = "fastfeat.aggregates.keys:Groups", "fastfeat.aggregates.target:FoldedGroups"


def learn(
    batch: Batch,
    typed: TypedPlan,
    *,
    transforms: bool = False,
    held: StableVocabularies = MappingProxyType({}),
) -> None:
    """Learn the value of every aggregate below the features."""
    schedule = typed.schedule("fit_transform" if transforms else "fit")
    n_scans = schedule.n_rounds
    with show_progress(f"learning from {counted(batch.n_rows, 'row')}", n_scans, "scans") as step:
        check_any_rows(typed, batch.n_rows)
        running = start_schedule(batch, schedule, frees=True)
        for number, tasks in groupby(running.schedule.tasks, key=lambda task: task.round):
            step(number - 1)
            for task in tasks:
                if task.learns:
                    one = kinds.learning_task(running.schedule, task, typed, "fit", held)
                    kinds.KINDS[task.kind].learn(running.batch, one)
                run_columns(running, task)


def warn_missing(learnt: Mapping[Node, LearntConstant]) -> None:
    """Warn about learned values that are missing, because the training rows have too few values."""
    missing: dict[Node, list[Aggregate]] = {}
    for node, value in learnt.items():
        nowhere = is_a(value, *_GROUPS) and not cast("Groups", value).present.any()
        if isinstance(node, Aggregate) and (nowhere or value is None or value == ()):
            missing.setdefault(node.args[0], []).append(node)
    for argument, aggregates in missing.items():
        more = f" and {len(aggregates) - 1} more" if len(aggregates) > 1 else ""
        warn(
            f"{show(argument)} has too few values in the training data to learn "
            f"{show(aggregates[0])}{more}: features computed from it are missing",
            TooFewValues,
        )
