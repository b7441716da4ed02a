"""Learning in rounds: rows come in parts, whose states merge; what fit learns of them all at once.

The tasks of the schedule that learn run as soon as what they read is learnt, so that there are as
few passes over the rows as can be. A round is one pass: parts of the rows give states, which merge
in any order, and the state of all rows gives the next round.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastfeat.engine.float_environment import in_ieee
from fastfeat.engine.learner import Again, Rows, hint_to_bytes
from fastfeat.engine.program import RowFailed
from fastfeat.engine.tasks import Task as Record
from fastfeat.errors import GivenWarnings, InvalidData, InvalidPlan, counted
from fastfeat.io.arrow import pa
from fastfeat.io.columns.bits import array_of_values
from fastfeat.ir.node import Aggregate, Call, Column, Node
from fastfeat.ir.show import show
from fastfeat.plan.declare.declaration import Declaration
from fastfeat.plan.fit.fit import fitted_of, folded_encoders_of, known_of
from fastfeat.plan.fit.fold_warnings import n_large_folds, sizes_in
from fastfeat.plan.fit.keys import (
    groups_task,
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
    sum_of,
)
from fastfeat.plan.fit.scans import (
    check_any_rows,
    failed_scan,
    planned_scans,
    read_of,
    statistics_task,
)
from fastfeat.plan.fit.training_data import TrainingData, prepare
from fastfeat.plan.fit.training_features import training_features
from fastfeat.plan.lower.constants import Learnt as Values
from fastfeat.plan.lower.schedule import ROWS, SEEN, Schedule, Task
from fastfeat.plan.run.batch import Batch, TrainingRows
from fastfeat.plan.run.fitted import Fitted
from fastfeat.plan.run.inputs import read_columns
from fastfeat.plan.run.lookup_tables import Tables
from fastfeat.plan.run.steps import Running, begun, run_columns
from fastfeat.scalars.zones import using

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
) -> Learning:
    """Return the learning before the round of a number, of which there may be none; see there."""
    whole = prepared.typed.schedule("fit")
    known = {place for place, value in enumerate(whole.values) if value.origin in learnt}
    schedule = _of_round(whole, known)
    is_over = n_rows is not None and not any(task.learns for task in schedule.tasks)
    next_one = None if is_over else number
    return Learning(prepared, identity, learnt, next_one, hints, n_rows, folds, schedule)


def _of_round(schedule: Schedule, known: set[int]) -> Schedule:
    """Return the tasks that can learn, and those that make what they read.

    Args:
        schedule: of fit.
        known: the places of the values that are learnt.
    """
    giving = {place: k for k, task in enumerate(schedule.tasks) for place in task.gives}
    lacking: list[set[int]] = []
    for task in schedule.tasks:
        before = (lacking[giving[place]] for place in task.reads if place in giving)
        lacking.append(set(task.uses).union(*before) - known)
    wanted, left = set[int](), list[Task]()
    for task, own in reversed(list(zip(schedule.tasks, lacking, strict=True))):
        learns = not own and not known.issuperset(task.learns)
        if learns or not wanted.isdisjoint(task.gives):
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
            if task.learns:
                _add(running, task, learning, state)
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


def _add(running: Running, task: Task, learning: Learning, state: PartState) -> None:
    """Add the rows to the state of a task."""
    batch, name = running.batch, name_of(task)
    record = _record(batch, task, learning)
    how = batch.backend.learners[type(record)]
    spec, columns = how.told(record)
    if name not in state.states:
        told = Told(spec, learning.hints.get(name))
        state.told = {**(state.told or {}), name: told}
        state.states[name] = how.learner.start(*told)
    try:
        how.learner.add(state.states[name], columns, range(batch.n_rows))
    except RowFailed as failure:
        scan = learning.prepared.typed.once(planned_scans)[task.nodes]
        read, features = read_of(batch, scan), learning.prepared.plan.nodes
        raise failed_scan(batch, scan, read, features, failure) from None
    if task.kind == "target":
        counts = sizes_in(batch.made[task.nodes[0].args[2]])
        state.sizes[name] = sum_of(counts, state.sizes.get(name, counts[:0]))


def name_of(task: Task) -> str:
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
    learnt, hints = dict(learning.learnt), dict[str, Any]()
    folds, scans = dict(learning.folds), learning.prepared.typed.once(planned_scans)
    types = learning.prepared.typed.types
    with using(learning.prepared.zones):
        for task in learning.schedule.tasks:
            if not task.learns:
                continue
            name, aggregates = name_of(task), _aggregates(learning, task)
            found = learner_of(name).next(state.states.pop(name))
            if name in state.sizes:
                folds[task.nodes[0].args[2]] = state.sizes[name]
            if isinstance(found, Again):
                hints[name] = found.hint
                continue
            match task.kind:
                case "keys":
                    learnt.update((m, of_counts(m, found.values[0], types[m])) for m in aggregates)
                case "times":
                    learnt[_times_of(learning, task)] = found.values[0]
                case "target":
                    learnt[aggregates[0]] = found.values[0]
                case "groups":
                    learnt.update(learnt_groups(aggregates, found.values))
                case _:
                    groups = scans[task.nodes].aggregates
                    for group, values in zip(groups, found.values, strict=True):
                        learnt.update(zip(group, values, strict=True))
    return before_round(
        learning.prepared,
        learning.identity,
        learnt,
        learning.round + 1,
        hints,
        state.n_rows,
        folds,
    )


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


def learn_in_passes(learning: Learning, batches: Batches) -> Fitted:
    """Return the fitted plan of data that is read once a round, one table at a time.

    Args:
        learning: before its first round.
        batches: gives the rows anew at each call.

    Raises:
        FastfeatError: as `Plan.fit`; rows are named by their numbers in the whole data.
    """
    while learning.round is not None:
        state = add_part(learning, learning.prepared.table, range(0), None)
        for table, first in batches(learning.columns):
            state = add_part(learning, table, range(first, first + table.num_rows), state)
        learning = next_round(learning, state)
    return finished(learning)
