"""The tasks of a round of learning: add a part of the rows to each, and read the learnt values."""

from __future__ import annotations

from typing import Any

from fastfeat.aggregates import is_target
from fastfeat.aggregates.target import UNSEEN
from fastfeat.engine.learner import Again, Learnt
from fastfeat.engine.program import RowFailed
from fastfeat.engine.tasks import Task as Record
from fastfeat.errors import FastfeatError
from fastfeat.execute.batch import Batch
from fastfeat.execute.failures import infinite_value, is_infinite
from fastfeat.execute.values import values_of
from fastfeat.ir.node import Aggregate, Call
from fastfeat.ir.show import show
from fastfeat.learn import infinite
from fastfeat.learn.fold_warnings import sizes_in
from fastfeat.learn.keys import (
    check_classes,
    groups_task,
    infinite_target,
    is_in_doubt,
    keys_task,
    learnt_groups,
    of_counts,
    target_task,
    times_task,
)
from fastfeat.learn.part_state import (
    PartState,
    Told,
    learner_of,
    sum_of,
    task_learner,
)
from fastfeat.learn.round import Learning, name_of
from fastfeat.learn.scans import (
    argument_values,
    failed_scan,
    named_failure,
    read_of,
    scans_of_parts,
    statistics_task,
)
from fastfeat.plan.lower.lower import Constant
from fastfeat.plan.lower.schedule import Task
from fastfeat.steps.targets.tasks import TargetTask


def look_for_infinite(batch: Batch, task: Task, learning: Learning, state: PartState) -> None:
    """Search a part for the first infinite input of each aggregate in doubt."""
    scans = learning.prepared.typed.once(scans_of_parts)
    for place in task.learns:
        aggregate = learning.schedule.values[place].origin
        if aggregate not in learning.doubts:
            continue
        if task.kind == "statistics":
            scan = scans[task.nodes]
            argument = scan.arguments.index(aggregate.args[0])
            values = argument_values(batch, scan, read_of(batch, scan), argument)
        else:
            values = values_of(batch, aggregate.args[0])[1]
        own = _begun(state, f"{infinite.LEARNER.kind} {place}", Told(None, None))
        assert batch.numbers is not None
        infinite.LEARNER.add(own, {infinite.VALUES: values}, batch.numbers)


def add_rows(batch: Batch, task: Task, learning: Learning, state: PartState) -> None:
    """Add the rows to the state of a task."""
    name = name_of(task)
    record = _record(batch, task, learning)
    how = task_learner(task.kind)
    spec, columns = how.told(record)
    own = _begun(state, name, Told(spec, learning.hints.get(name)))
    try:
        how.learner.add(own, columns, range(batch.n_rows))
    except RowFailed as failure:
        scan = learning.prepared.typed.once(scans_of_parts)[task.nodes]
        read, features = read_of(batch, scan), learning.prepared.plan.nodes
        raise failed_scan(batch, scan, read, features, failure) from None
    if isinstance(record, TargetTask):
        if record.function == "target_odds":
            check_classes(show(task.nodes[0]), record.values)
        counts = sizes_in(batch.made[task.nodes[0].args[2]])
        state.sizes[name] = sum_of(counts, state.sizes.get(name, counts[:0]))


def _begun(state: PartState, name: str, told: Told) -> Any:
    """Return the state of a task, started without rows on first use."""
    if name not in state.states:
        state.told = {**(state.told or {}), name: told}
        state.states[name] = learner_of(name).start(*told)
    return state.states[name]


def _record(batch: Batch, task: Task, learning: Learning) -> Record[Any]:
    """Return the record of a task that learns, for a backend."""
    aggregates = _aggregates(learning, task)
    match task.kind:
        case "keys":
            return keys_task(batch, aggregates[0])
        case "times":
            return times_task(batch, _times_of(learning, task), task.nodes)
        case "target":
            return target_task(batch, aggregates[0])
        case "groups":
            return groups_task(batch, aggregates)
        case _:
            scan = learning.prepared.typed.once(scans_of_parts)[task.nodes]
            return statistics_task(batch, scan, read_of(batch, scan))


def _aggregates(learning: Learning, task: Task) -> list[Aggregate]:
    """Return the aggregates that a task learns."""
    origins = (learning.schedule.values[place].origin for place in task.learns)
    return [origin for origin in origins if isinstance(origin, Aggregate)]


def _times_of(learning: Learning, task: Task) -> Call:
    """Return the step under which the folds that a task learns are stored."""
    origin = learning.schedule.values[task.learns[0]].origin
    assert isinstance(origin, Call)
    return origin


def end_of_round(task: Task, learning: Learning, state: PartState) -> Learnt | Again:
    """Return the result of a task's round.

    A FastfeatError for a value that cannot be computed names the first feature that reads it.
    """
    how, own = task_learner(task.kind), state.states.pop(name_of(task))
    try:
        return how.learner.next(own)
    except FastfeatError as error:
        failed = None if how.failed is None else how.failed(own)
        if failed is None:
            raise
        scan = learning.prepared.typed.once(scans_of_parts)[task.nodes]
        k, j, first = failed
        features = learning.prepared.plan.nodes
        raise named_failure(scan.aggregates[k][j], features, first) from error


def values_learnt(task: Task, learning: Learning, found: Learnt) -> dict[Any, Constant]:
    """Return the values that a task has learnt, by aggregate or step."""
    aggregates, typed = _aggregates(learning, task), learning.prepared.typed
    match task.kind:
        case "keys":
            return {
                m: of_counts(m, found.values[0], typed.types[m], learning.prepared.held)
                for m in aggregates
            }
        case "times":
            return {_times_of(learning, task): found.values[0]}
        case "target":
            return {aggregates[0]: found.values[0]}
        case "groups":
            return learnt_groups(aggregates, found.values, learning.learnt)
        case _:
            groups = typed.once(scans_of_parts)[task.nodes].aggregates
            pairs = zip(groups, found.values, strict=True)
            return {a: v for group, own in pairs for a, v in zip(group, own, strict=True)}


def is_of_infinite(task: Task, node: Aggregate, value: Any) -> bool:
    """Return whether a learnt value is not finite, and a search of the rows may find the cause."""
    match task.kind:
        case "statistics":
            return is_infinite(value)
        case "target":
            return is_in_doubt(node.function, float(value.values[UNSEEN]))
        case _:
            return False


def check_doubts(learning: Learning, state: PartState) -> None:
    """Raise for the first aggregate in doubt; a target is at fault only if a value is infinite."""
    values = learning.schedule.values
    place_of = {value.origin: place for place, value in enumerate(values)}
    for doubt in learning.doubts:
        first: infinite.First = state.states[f"{infinite.LEARNER.kind} {place_of[doubt]}"]
        if not is_target(doubt):
            raise infinite_value(doubt, first.value, first.row)
        if first.row is not None:
            raise infinite_target(show(doubt), first.value, first.row)
