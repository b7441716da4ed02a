"""Learning in rounds: rows come in parts, whose states merge; what fit learns of them all at once.

The tasks of the schedule that learn run as soon as what they read is learnt, so that there are as
few passes over the rows as can be. A round is one pass: parts of the rows give states, which merge
in any order, and the state of all rows gives the next round.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastfeat.aggregates import is_target
from fastfeat.aggregates.target import UNSEEN
from fastfeat.engine.float_environment import in_ieee
from fastfeat.engine.learner import Again, Learnt, Rows, hint_to_bytes
from fastfeat.engine.program import RowFailed
from fastfeat.engine.tasks import Task as Record
from fastfeat.errors import FastfeatError, GivenWarnings, InvalidData, InvalidPlan, counted
from fastfeat.io.arrow import pa
from fastfeat.io.columns.bits import array_of_values
from fastfeat.ir.node import Aggregate, Call, Column, Node
from fastfeat.ir.show import show
from fastfeat.plan.declare.declaration import Declaration
from fastfeat.plan.fit import infinite
from fastfeat.plan.fit.fit import fitted_of, folded_encoders_of, known_of
from fastfeat.plan.fit.fold_warnings import n_large_folds, sizes_in
from fastfeat.plan.fit.keys import (
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
from fastfeat.plan.fit.part_state import (
    PartState,
    Told,
    check_whole,
    learner_of,
    open_with,
    spill,
    sum_of,
    task_learner,
)
from fastfeat.plan.fit.scans import (
    argument_values,
    check_any_rows,
    failed_scan,
    named_failure,
    planned_scans,
    read_of,
    statistics_task,
)
from fastfeat.plan.fit.training_data import TrainingData, prepare
from fastfeat.plan.fit.training_features import training_features
from fastfeat.plan.lower.constants import Learnt as Values
from fastfeat.plan.lower.lower import Constant
from fastfeat.plan.lower.schedule import ROWS, SEEN, Schedule, Task
from fastfeat.plan.run.batch import Batch, TrainingRows
from fastfeat.plan.run.failures import infinite_value, is_infinite
from fastfeat.plan.run.fitted import Fitted
from fastfeat.plan.run.inputs import read_columns
from fastfeat.plan.run.lookup_tables import Tables
from fastfeat.plan.run.steps import begun, run_columns
from fastfeat.plan.run.values import values_of
from fastfeat.scalars.zones import using
from fastfeat.steps.targets.tasks import TargetTask

FoldCounts = Mapping[Node, "NDArray[np.int64]"]
"""How many rows each fold has, by the column of folds."""
_FITTED = "fitted plan"


@dataclass(frozen=True, slots=True, eq=False)
class Learning:
    """A plan on its way to be fitted, between two passes over the rows.

    Args:
        prepared: the plan, bound to the types of the rows; it has none of them.
        identity: a digest of the plan and of the types of the rows.
        learnt: the value of each aggregate that is learnt so far.
        round: the number of the next pass, from 1 on; None where nothing is left to learn.
        hints: what tasks that read the rows again begin with, by their names.
        n_rows: how many rows there are; None before the first pass.
        folds: how many rows each fold has, of the columns of folds that were read.
        doubts: aggregates that are learnt, and are not finite: the round looks for the first
            infinite value that each is learnt from, which its error tells.
        schedule: the tasks of the round.
        programs: of expressions, kept from one part to the next.
        shared: what else is: the fitted plan, once all is learnt, and programs of its features.
    """

    prepared: TrainingData
    identity: str
    learnt: Values
    round: int | None
    hints: Mapping[str, Any]
    n_rows: int | None
    folds: FoldCounts
    doubts: tuple[Aggregate, ...]
    schedule: Schedule
    programs: dict[Any, Any] = field(default_factory=dict[Any, Any], repr=False)
    shared: dict[Any, Any] = field(default_factory=dict[Any, Any], repr=False)

    @property
    def columns(self) -> list[str]:
        """The columns that the round reads, or once all is learnt those of features."""
        if self.round is not None:
            return _columns_read(self.schedule)
        fitted = finished(self)
        return [
            *dict.fromkeys((*_columns_read(fitted.training_schedule), *self.prepared.plan.keep))
        ]

    @property
    def most_rounds(self) -> int:
        """The number of rounds from the first on, at most: what is learnt may make it less."""
        return max(self.prepared.typed.schedule("fit").n_rounds, 1)

    @property
    def digest(self) -> str:
        """The digest that the states of a round share."""
        content = hashlib.sha256(f"{self.identity} {self.round} {self.n_rows}".encode())
        for doubt in self.doubts:
            content.update(show(doubt).encode())
        for name, hint in self.hints.items():
            content.update(name.encode() + hint_to_bytes(hint))
        return content.hexdigest()


def _columns_read(schedule: Schedule) -> list[str]:
    """Return the columns of the data that tasks read."""
    read = dict.fromkeys(place for task in schedule.tasks for place in task.reads)
    columns = (schedule.columns[place] for place in read)
    own = dict.fromkeys(c.origin for c in columns if c.space in (ROWS, SEEN))
    return [node.name for node in own if isinstance(node, Column)]


def begin(plan: Declaration, empty: Any, tables: Tables, identity: str) -> Learning:
    """Return the learning of a plan before its first round.

    Args:
        plan: what is fitted.
        empty: an Arrow table of no rows, with the columns of the data.
        tables: lookup tables, as of `Plan.fit`.
        identity: a digest of the plan and of the types of the columns.

    Raises:
        InvalidPlan: the label looks ahead: which rows are learnt from is not known of parts.
        FastfeatError: as `Plan.fit`, but for what is learnt.
    """
    if plan.looks_ahead:
        raise InvalidPlan(
            "learning() reads rows in parts, and the label looks ahead of its row: a part does not "
            "have the rows that it sees. Fit on the whole data, or give the label as a column"
        )
    prepared = prepare(plan, empty, history=None, tables=tables, backend="cpu")
    return before_round(prepared, identity, {}, 1, {}, None, {})


def before_round(
    prepared: TrainingData,
    identity: str,
    learnt: Values,
    number: int,
    hints: Mapping[str, Any],
    n_rows: int | None,
    folds: FoldCounts,
    doubts: tuple[Aggregate, ...] = (),
) -> Learning:
    """Return the learning before the round of a number, of which there may be none; see there."""
    whole = prepared.typed.schedule("fit")
    origins = [value.origin for value in whole.values]
    known = {place for place, origin in enumerate(origins) if origin in learnt}
    again = {place for place, origin in enumerate(origins) if origin in doubts}
    schedule = _needed(whole, _in_doubt(whole, again) if again else _ready(whole, known))
    is_over = n_rows is not None and not any(task.learns for task in schedule.tasks)
    next_one = None if is_over else number
    return Learning(prepared, identity, learnt, next_one, hints, n_rows, folds, doubts, schedule)


def _ready(schedule: Schedule, known: set[int]) -> set[int]:
    """Return the places of the tasks that can learn.

    Args:
        schedule: of fit.
        known: the places of the values that are learnt.
    """
    giving = {place: k for k, task in enumerate(schedule.tasks) for place in task.gives}
    lacking: list[set[int]] = []
    for task in schedule.tasks:
        before = (lacking[giving[place]] for place in task.reads if place in giving)
        lacking.append(set(task.uses).union(*before) - known)
    return {
        k
        for k, task in enumerate(schedule.tasks)
        if not lacking[k] and not known.issuperset(task.learns)
    }


def _in_doubt(schedule: Schedule, values: set[int]) -> set[int]:
    """Return the places of the tasks that have learnt some values."""
    return {k for k, task in enumerate(schedule.tasks) if not values.isdisjoint(task.learns)}


def _needed(schedule: Schedule, learning: set[int]) -> Schedule:
    """Return some tasks that learn, and those that make what they read."""
    wanted, left = set[int](), list[Task]()
    for k, task in reversed(list(enumerate(schedule.tasks))):
        if k in learning or not wanted.isdisjoint(task.gives):
            wanted.update(task.reads)
            left.append(task)
    return replace(schedule, tasks=tuple(reversed(left)), outputs=())


@in_ieee
def add_part(learning: Learning, data: Any, rows: Rows, state: PartState | None) -> PartState:
    """Return the state of a part of the rows.

    Args:
        learning: the round.
        data: the rows, with the columns that the round reads.
        rows: their numbers in the whole data, ascending.
        state: that of other rows, which these are added to; None for a new one.

    Raises:
        InvalidPlan: all is learnt.
        FastfeatError: as `Plan.fit`; rows are named by their numbers in the whole data.
    """
    if learning.round is None:
        raise InvalidPlan("all is learnt: no round reads rows any more. learning.finish() ends it")
    batch = _batch(learning, data, rows, learning.schedule)
    if state is None:
        state = PartState(learning.digest, told={}, whole=_first_window(learning.schedule))
    check_whole(state, batch.n_rows)
    with using(learning.prepared.zones):
        running = begun(batch, learning.schedule, frees=True)
        for task in running.schedule.tasks:
            if task.learns and learning.doubts:
                _look(running.batch, task, learning, state)
            elif task.learns:
                _add(running.batch, task, learning, state)
            run_columns(running, task)
    state.n_rows += batch.n_rows
    return state


def _batch(learning: Learning, data: Any, rows: Rows, schedule: Schedule) -> Batch:
    """Return a part of the rows for some tasks; nothing is made of it but the folds by number."""
    prepared = learning.prepared
    table = read_columns(data, learning.columns, features=prepared.plan.nodes)
    if table.num_rows != len(rows):
        raise InvalidData(
            f"rows= numbers {counted(len(rows), 'row')}, and the part has {table.num_rows:,}. Give "
            "the number of each row, such as range(first, first + n_rows)"
        )
    batch = replace(
        prepared.rows,
        table=table,
        learnt=dict(learning.learnt),
        made=dict(prepared.rows.made),
        first_number=int(rows[0]) if len(rows) else 0,
        numbers=rows,
        programs=learning.programs,
        shared=learning.shared,
    )
    _place_folds(batch, (column.origin for column in schedule.columns))
    return batch


def _first_window(schedule: Schedule) -> str | None:
    """Return the first function of windows over the rows that tasks compute, as text."""
    windows = (task.nodes[0] for task in schedule.tasks if task.kind == "windows")
    first = next(windows, None)
    return None if first is None else show(first)


def _place_folds(batch: Batch, nodes: Iterable[Node]) -> None:
    """Make the folds that rows of a part have by their number in the whole data.

    Args:
        batch: the part; takes the columns.
        nodes: expressions, such folds among them.
    """
    from fastfeat.steps.targets.cpu import fold_of_rows  # imports the CPU backend

    assert batch.numbers is not None
    for node in nodes:
        if isinstance(node, Call) and node.function == "fold" and not node.args:
            folds = fold_of_rows(batch.numbers, dict(node.params)["n_folds"])
            batch.made[node] = pa.chunked_array([array_of_values(folds, None, pa.int32())])


def _look(batch: Batch, task: Task, learning: Learning, state: PartState) -> None:
    """Look for the first infinite value that aggregates in doubt are learnt from."""
    scans = learning.prepared.typed.once(planned_scans)
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


def _add(batch: Batch, task: Task, learning: Learning, state: PartState) -> None:
    """Add the rows to the state of a task."""
    name = _name_of(task)
    record = _record(batch, task, learning)
    how = task_learner(task.kind)
    spec, columns = how.told(record)
    own = _begun(state, name, Told(spec, learning.hints.get(name)))
    try:
        how.learner.add(own, columns, range(batch.n_rows))
    except RowFailed as failure:
        scan = learning.prepared.typed.once(planned_scans)[task.nodes]
        read, features = read_of(batch, scan), learning.prepared.plan.nodes
        raise failed_scan(batch, scan, read, features, failure) from None
    if isinstance(record, TargetTask):
        if record.function == "target_odds":
            check_classes(show(task.nodes[0]), record.values)
        counts = sizes_in(batch.made[task.nodes[0].args[2]])
        state.sizes[name] = sum_of(counts, state.sizes.get(name, counts[:0]))


def _begun(state: PartState, name: str, told: Told) -> Any:
    """Return the state of a task, which is that of no rows where there was none yet."""
    if name not in state.states:
        state.told = {**(state.told or {}), name: told}
        state.states[name] = learner_of(name).start(*told)
    return state.states[name]


def _name_of(task: Task) -> str:
    """Return the name that a task has in states and hints."""
    return f"{task.kind} {task.learns[0]}"


def _record(batch: Batch, task: Task, learning: Learning) -> Record[Any]:
    """Return a task that learns, as a backend is asked it."""
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
            scan = learning.prepared.typed.once(planned_scans)[task.nodes]
            return statistics_task(batch, scan, read_of(batch, scan))


def _aggregates(learning: Learning, task: Task) -> list[Aggregate]:
    """Return the aggregates that a task learns."""
    origins = (learning.schedule.values[place].origin for place in task.learns)
    return [origin for origin in origins if isinstance(origin, Aggregate)]


def _times_of(learning: Learning, task: Task) -> Call:
    """Return the step by which the folds that a task learns are known."""
    origin = learning.schedule.values[task.learns[0]].origin
    assert isinstance(origin, Call)
    return origin


@in_ieee
def next_round(learning: Learning, state: PartState) -> Learning:
    """Return the learning before the next round.

    Args:
        learning: before the round of the state.
        state: of all rows; used up.

    Raises:
        InvalidData: there are no rows, or not as many as in other rounds, the state is of another
            round, or a value that is learnt is not finite.
        FastfeatError: as `Plan.fit`.
    """
    if learning.round is None:
        raise InvalidPlan("all is learnt: there is no next round. learning.finish() ends it")
    state = _checked(learning, state)
    if learning.doubts:
        _check_doubts(learning, state)
        return _after(learning, dict(learning.learnt), dict(learning.hints), state, ())
    learnt, hints = dict(learning.learnt), dict[str, Any]()
    doubts: list[Aggregate] = []
    with using(learning.prepared.zones):
        for task in learning.schedule.tasks:
            if task.learns:
                found = _end_of(task, learning, state)
                if isinstance(found, Again):
                    hints[_name_of(task)] = found.hint
                else:
                    own = _values_of(task, learning, found)
                    learnt |= own
                    doubts += [node for node in own if _is_in_doubt(task, node, own[node])]
    return _after(learning, learnt, hints, state, tuple(doubts))


def _after(
    learning: Learning,
    learnt: Values,
    hints: Mapping[str, Any],
    state: PartState,
    doubts: tuple[Aggregate, ...],
) -> Learning:
    """Return the learning after a round, of what is known by now."""
    nodes = {_name_of(task): task.nodes[0] for task in learning.schedule.tasks if task.learns}
    folds = {nodes[name].args[2]: counts for name, counts in state.sizes.items()}
    assert learning.round is not None
    return before_round(
        *(learning.prepared, learning.identity, learnt, learning.round + 1, hints),
        state.n_rows,
        {**learning.folds, **folds},
        doubts,
    )


def _end_of(task: Task, learning: Learning, state: PartState) -> Learnt | Again:
    """Return the end of a task's round.

    Raises:
        FastfeatError: a value cannot be told; the first feature that reads it is named.
    """
    how, own = task_learner(task.kind), state.states.pop(_name_of(task))
    try:
        return how.learner.next(own)
    except FastfeatError as error:
        failed = None if how.failed is None else how.failed(own)
        if failed is None:
            raise
        scan = learning.prepared.typed.once(planned_scans)[task.nodes]
        k, j, first = failed
        features = learning.prepared.plan.nodes
        raise named_failure(scan.aggregates[k][j], features, first) from error


def _values_of(task: Task, learning: Learning, found: Learnt) -> dict[Any, Constant]:
    """Return the values that a task has learnt, by what they are of."""
    aggregates, typed = _aggregates(learning, task), learning.prepared.typed
    match task.kind:
        case "keys":
            return {m: of_counts(m, found.values[0], typed.types[m]) for m in aggregates}
        case "times":
            return {_times_of(learning, task): found.values[0]}
        case "target":
            return {aggregates[0]: found.values[0]}
        case "groups":
            return dict(learnt_groups(aggregates, found.values))
        case _:
            groups = typed.once(planned_scans)[task.nodes].aggregates
            pairs = zip(groups, found.values, strict=True)
            return {a: v for group, own in pairs for a, v in zip(group, own, strict=True)}


def _is_in_doubt(task: Task, node: Aggregate, value: Any) -> bool:
    """Return whether a learnt value is not finite, of which rows may tell why."""
    match task.kind:
        case "statistics":
            return is_infinite(value)
        case "target":
            return is_in_doubt(node.function, float(value.values[UNSEEN]))
        case _:
            return False


def _check_doubts(learning: Learning, state: PartState) -> None:
    """Raise for the first aggregate in doubt: one of a target is none if no target is infinite."""
    values = learning.schedule.values
    place_of = {value.origin: place for place, value in enumerate(values)}
    for doubt in learning.doubts:
        first: infinite.First = state.states[f"{infinite.LEARNER.kind} {place_of[doubt]}"]
        if not is_target(doubt):
            raise infinite_value(doubt, first.value, first.row)
        if first.row is not None:
            raise infinite_target(show(doubt), first.value, first.row)


def _checked(learning: Learning, state: PartState) -> PartState:
    """Return the state of all rows, open, once it is known to be of the round."""
    if state.digest != learning.digest:
        raise InvalidData(
            "the state is of another plan, schema, or round than the learning: give the state of "
            "all rows that learning.partial() made in this round"
        )
    if learning.n_rows not in (None, state.n_rows):
        raise InvalidData(
            f"the state is of {counted(state.n_rows, 'row')}, and the rounds before have read "
            f"{learning.n_rows:,}. Each round reads all rows of the same data"
        )
    check_any_rows(learning.prepared.typed, state.n_rows)
    if state.told is None:
        none = add_part(learning, learning.prepared.table, range(0), None)
        state = open_with(state, none.told or {})
    return state


@in_ieee
def finished(learning: Learning) -> Fitted:
    """Return the fitted plan.

    Raises:
        InvalidPlan: not all is learnt yet.
        FastfeatError: as `Plan.fit`.
    """
    if learning.round is not None or learning.n_rows is None:
        raise InvalidPlan(
            f"round {learning.round} is not over: all rows are read once more. Go on while "
            "learning.round is not None"
        )
    if _FITTED not in learning.shared:
        learning.shared[_FITTED] = _fitted(learning, learning.n_rows)
    return learning.shared[_FITTED]


def _fitted(learning: Learning, n_rows: int) -> Fitted:
    prepared = learning.prepared
    told = GivenWarnings(set(prepared.told.kinds))
    sizes: dict[Node, Any] = {}
    for node in prepared.typed.once(folded_encoders_of):
        n_folds = n_large_folds(node, n_rows)
        sizes[node] = learning.folds[node] if n_folds is None else n_folds
    with using(prepared.zones):
        known = known_of(prepared, learning.learnt, n_rows, sizes)
    return fitted_of(prepared, known, told, n_rows, 0)


@in_ieee
def part_features(
    learning: Learning, data: Any, rows: Rows, to: str, *, categories: bool = False
) -> Any:
    """Return the features of a part of the rows that were learnt from: out of fold.

    Args:
        learning: once all is learnt.
        data: the rows, with the columns that features read.
        rows: their numbers in the whole data, ascending.
        to: as of `FittedPlan.transform`.
        categories: as of `FittedPlan.transform`.

    Raises:
        InvalidData: windows see rows that may be in other parts.
        FastfeatError: as `Plan.fit_transform`.
    """
    fitted = finished(learning)
    schedule, first = fitted.training_schedule, _first_window(fitted.training_schedule)
    if first is not None and len(rows) != learning.n_rows:
        raise InvalidData(
            f"{first} sees the earlier rows of an entity, which may be in another part. Give all "
            "rows in one part"
        )
    batch = _batch(learning, data, rows, schedule)
    return training_features(
        fitted, TrainingRows(batch, batch, None, None, len(rows)), to, categories=categories
    )


Batches = Callable[[Sequence[str]], Iterable[tuple[Any, int]]]
"""Gives, of some columns, all rows of the data as tables, each with the number of its first row."""


@dataclass(frozen=True, slots=True)
class Room:
    """The memory that a state may take, and where what has no room in it goes.

    Args:
        most_bytes: that a state may take in memory.
        folder: of the files that it is written to beyond that.
        tell: is called when files were written.
    """

    most_bytes: int
    folder: Path
    tell: Callable[[], None] = lambda: None


def learn_in_passes(learning: Learning, batches: Batches, room: Room | None = None) -> Learning:
    """Return the learning after its last round, of data that is read once a round.

    Args:
        learning: before its first round.
        batches: gives the rows anew at each call, one table at a time.
        room: of states; None where they may take all there is.

    Raises:
        FastfeatError: as `Plan.fit`; rows are named by their numbers in the whole data.
    """
    while learning.round is not None:
        state = add_part(learning, learning.prepared.table, range(0), None)
        for table, first in batches(learning.columns):
            state = add_part(learning, table, range(first, first + table.num_rows), state)
            if room is not None and spill(state, room.folder, room.most_bytes):
                room.tell()
        learning = next_round(learning, state)
    return learning
