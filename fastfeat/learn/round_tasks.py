"""The learning tasks of a round: add a part of the rows to a task's state, read its result."""

from __future__ import annotations

from typing import Any

from fastfeat.aggregates import is_target
from fastfeat.engine.learner import LearntResult, NextRound
from fastfeat.engine.program import RowFailed
from fastfeat.errors import FastfeatError
from fastfeat.execute.batch import Batch
from fastfeat.execute.failures import infinite_value
from fastfeat.ir.node import Aggregate
from fastfeat.ir.show import show
from fastfeat.learn import infinite
from fastfeat.learn.keys import infinite_target
from fastfeat.learn.kinds import KINDS, LearningTask, learning_task
from fastfeat.learn.part_state import LearnerInput, PartState, learner_of, sum_of, task_learner
from fastfeat.learn.round import PURPOSE, LearningRound, name_of
from fastfeat.plan.lower.lower import LearntConstant
from fastfeat.plan.lower.schedule import ScheduledTask


def look_for_infinite(
    batch: Batch, task: ScheduledTask, learning: LearningRound, state: PartState
) -> None:
    """Search a part of the rows for the first infinite input of each aggregate in `doubts`.

    These are aggregates with a learned value that is not finite.
    """
    one = _task_of(learning, task)
    for place, aggregate in zip(task.learns, one.origins, strict=True):
        if not isinstance(aggregate, Aggregate) or aggregate not in learning.doubts:
            continue
        values = KINDS[task.kind].argument(batch, one, aggregate)
        own = _start_learner(state, f"{infinite.LEARNER.kind} {place}", LearnerInput(None, None))
        assert batch.numbers is not None
        infinite.LEARNER.add(own, {infinite.VALUES: values}, batch.numbers)


def add_rows(batch: Batch, task: ScheduledTask, learning: LearningRound, state: PartState) -> None:
    """Add the rows of a part to a task's state, which is inside `state`."""
    name, kind, one = name_of(task), KINDS[task.kind], _task_of(learning, task)
    record = kind.record(batch, one)
    how = task_learner(task.kind)
    spec, columns = how.told(record)
    own = _start_learner(state, name, LearnerInput(spec, learning.hints.get(name)))
    try:
        how.learner.add(own, columns, range(batch.n_rows))
    except RowFailed as failure:
        assert kind.blame is not None
        raise kind.blame.row(batch, one, failure) from None
    if kind.fold_sizes is not None:
        counts = kind.fold_sizes(batch, one, record)
        state.sizes[name] = sum_of(counts, state.sizes.get(name, counts[:0]))


def _start_learner(state: PartState, name: str, told: LearnerInput) -> Any:
    """Return the state of a task; at its first use, a new state without rows."""
    if name not in state.states:
        state.told = {**(state.told or {}), name: told}
        state.states[name] = learner_of(name).start(*told)
    return state.states[name]


def _task_of(learning: LearningRound, task: ScheduledTask) -> LearningTask:
    prepared = learning.prepared
    return learning_task(learning.schedule, task, prepared.typed, PURPOSE, prepared.held)


def end_of_round(
    task: ScheduledTask, learning: LearningRound, state: PartState
) -> LearntResult | NextRound:
    """Return a task's learned values from the merged state; `NextRound` if it needs another round.

    A FastfeatError for a value that cannot be computed names the first feature that reads it.
    """
    how, own = task_learner(task.kind), state.states.pop(name_of(task))
    try:
        return how.learner.next(own)
    except FastfeatError as error:
        failed = None if how.failed is None else how.failed(own)
        blame = KINDS[task.kind].blame
        if failed is None or blame is None:
            raise
        raise blame.value(_task_of(learning, task), failed) from error


def values_learnt(
    task: ScheduledTask, learning: LearningRound, found: LearntResult
) -> dict[Any, LearntConstant]:
    """Return the values that a task has learned, by aggregate, or by the step of folds by time."""
    return KINDS[task.kind].values(_task_of(learning, task), found, learning.learnt)


def is_of_infinite(task: ScheduledTask, node: Aggregate, value: Any) -> bool:
    """Return whether a learnt value is not finite, and a search of the rows may find the cause."""
    return KINDS[task.kind].is_in_doubt(node, value)


def check_doubts(learning: LearningRound, state: PartState) -> None:
    """Raise for the first aggregate that is not finite because of an infinite input value."""
    values = learning.schedule.values
    place_of = {value.origin: place for place, value in enumerate(values)}
    for doubt in learning.doubts:
        first: infinite.FirstInfinite = state.states[f"{infinite.LEARNER.kind} {place_of[doubt]}"]
        if not is_target(doubt):
            raise infinite_value(doubt, first.value, first.row)
        if first.row is not None:
            raise infinite_target(show(doubt), first.value, first.row)
