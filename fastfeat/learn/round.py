"""The progress record of a fit in passes: values learned so far, and tasks of the next pass.

A round is one pass over all rows. A task learns as soon as its inputs are learned, which gives the
fewest passes. Tasks and values are named by their index ("place") in the schedule.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import field, replace
from typing import Any

import numpy as np
from fastfeat_kernels.records import dataclass
from numpy.typing import NDArray

from fastfeat.aggregates.keys import Groups, Vocabulary
from fastfeat.aggregates.target import FoldedGroups
from fastfeat.engine.state_bytes import hint_to_bytes
from fastfeat.execute.entities import stages_of
from fastfeat.io.arrow import pa
from fastfeat.io.temporary_files import drop_pages
from fastfeat.ir.node import Aggregate, Call, Node, postorder
from fastfeat.ir.show import show
from fastfeat.learn.training_data import TrainingData
from fastfeat.plan.lower.constants import LearntValues as Values
from fastfeat.plan.lower.lower import LearntConstant
from fastfeat.plan.lower.schedule import Purpose, Schedule, ScheduledTask, digest_of
from fastfeat.plan.lower.task_graph import columns_read, functions_of_rows, without_functions
from fastfeat.steps.targets.time_folds import TimeFolds

FoldCounts = Mapping[Node, "NDArray[np.int64]"]
"""Number of rows per fold, by the column of folds."""

PURPOSE: Purpose = "fit in parts"
_COLUMNS, _DIGEST = "columns", "digest"
_N_AT_ONCE = 1 << 16


@dataclass(frozen=True, slots=True, eq=False)
class LearningRound:
    """The progress of a fit between two passes over the rows.

    Args:
        prepared: The plan, bound to the types of the rows, but without rows.
        empty: An Arrow table without rows, with the columns of the data.
        identity: A hash of the plan and of the types of the columns.
        schedule: The tasks of the round.
        learnt: The values learnt so far, by aggregate.
        round: Number of the next pass, from 1 on; None if everything is learnt.
        hints: Starting values of tasks that take several rounds, by the name of the task.
        n_rows: Number of rows; None before the first pass.
        folds: Number of rows per fold, for the columns of folds read so far.
        keys: Expressions of rows; rows with equal values of all of them are in one part. Empty if
            rows are divided into parts freely.
        has_functions: Whether window functions and functions over later rows come with the rows, as
            columns.
        n_unlearnt: Number of rows given to fit that it does not learn from.
        doubts: Learnt aggregates that are not finite. The round searches the input of each for its
            first infinite value, for the error message.
        programs: Compiled programs of expressions, shared by the parts of a round.
        shared: Other shared values: the fitted plan at the end, and programs of its features.
    """

    prepared: TrainingData
    empty: Any
    identity: str
    schedule: Schedule
    learnt: Values = field(default_factory=dict[Node, LearntConstant])
    round: int | None = 1
    hints: Mapping[str, Any] = field(default_factory=dict[str, Any])
    n_rows: int | None = None
    folds: FoldCounts = field(default_factory=dict[Node, "NDArray[np.int64]"])
    keys: frozenset[Node] = frozenset()
    has_functions: bool = False
    n_unlearnt: int = 0
    doubts: tuple[Aggregate, ...] = ()
    programs: dict[Any, Any] = field(default_factory=dict[Any, Any], repr=False)
    shared: dict[Any, Any] = field(default_factory=dict[Any, Any], repr=False)

    @property
    def columns(self) -> list[str]:
        """The data columns that the next round reads; after the last round, those of the features.

        There is at least one, because the number of rows comes from a column.
        """
        if _COLUMNS not in self.shared:
            self.shared[_COLUMNS] = self._columns()
        return self.shared[_COLUMNS]

    def _columns(self) -> list[str]:
        read = self.columns_of_features if self.round is None else columns_read(self.schedule)
        return read or self.prepared.plan.columns[:1] or self.empty.column_names[:1]

    @property
    def columns_of_features(self) -> list[str]:
        """The columns that features of training rows read, and the columns that the plan keeps."""
        return [*dict.fromkeys((*columns_read(self.training_schedule), *self.prepared.plan.keep))]

    @property
    def training_schedule(self) -> Schedule:
        """The schedule of the features of the training rows."""
        schedule = self.prepared.typed.schedule("training")
        return without_functions(schedule) if self.has_functions else schedule

    @property
    def functions(self) -> list[Call]:
        """The functions of other rows that come as columns of the rows in the next round.

        After the last round, the functions that features read. Empty if the rounds compute them.
        """
        if not self.has_functions:
            return []
        return functions_of_rows(self.training_schedule if self.round is None else self.schedule)

    @property
    def ready_functions(self) -> list[Call]:
        """The functions of other rows for this or a later round that need no more learned values.

        They are computed together, so that one pass over the data serves several functions of an
        entity.
        """
        if not self.has_functions:
            return []
        whole = functions_of_rows(self.prepared.typed.schedule(PURPOSE))
        return [one for one in whole if self.learnt.keys() >= _learnt_below(one)]

    @property
    def n_function_passes(self) -> int:
        """Highest number of passes that compute functions of other rows."""
        if not self.has_functions:
            return 0
        by_learnt: dict[frozenset[Node], list[Call]] = {}
        for one in functions_of_rows(self.prepared.typed.schedule(PURPOSE)):
            by_learnt.setdefault(_learnt_below(one), []).append(one)
        return sum(len(stages_of(functions)) for functions in by_learnt.values())

    @property
    def n_passes(self) -> int:
        """Highest number of rounds that learn; learnt values may reduce it."""
        return max(self.prepared.typed.schedule(PURPOSE).n_rounds, 1)

    @property
    def most_rounds(self) -> int:
        """Highest number of rounds, from the first on.

        Learnt values may reduce it. If a learnt value is not finite, one more round searches for
        the first infinite value.
        """
        return self.n_passes + n_looks(self.prepared.typed.schedule(PURPOSE))

    @property
    def digest(self) -> str:
        """The hash that all states of a round carry, so that states of other rounds are rejected.

        It covers the tasks of the round and the values learned before. It differs for states of
        another plan, schema, round, data or version.
        """
        if _DIGEST not in self.shared:
            self.shared[_DIGEST] = self._digest()
        return self.shared[_DIGEST]

    def _digest(self) -> str:
        content = hashlib.sha256(f"{self.identity} {self.round} {self.n_rows}".encode())
        for task in self.schedule.tasks:
            if task.learns:
                content.update(digest_of(self.schedule, task))
        for value in self.schedule.values:
            if value.origin in self.learnt:
                for piece in _pieces_of(self.learnt[value.origin]):
                    content.update(piece)
        for doubt in self.doubts:
            content.update(show(doubt).encode())
        for name, hint in self.hints.items():
            content.update(name.encode() + hint_to_bytes(hint))
        return content.hexdigest()


def _pieces_of(value: LearntConstant) -> Iterator[Any]:
    """Yield buffers of bytes to hash for a learned value; equal values give equal bytes."""
    match value:
        case Vocabulary(parts=parts, counts=counts):
            keys = pa.record_batch(list(parts), [str(k) for k in range(len(parts))])
            yield f"{keys.schema} {value.n_missing} {value.n_rare}".encode()
            for first in range(0, len(counts), _N_AT_ONCE):
                yield keys.slice(first, _N_AT_ONCE).serialize()
                yield counts[first : first + _N_AT_ONCE].tobytes()
        case Groups(values=values, present=present):
            for first in range(0, len(values), _N_AT_ONCE):
                there, some = (one[first : first + _N_AT_ONCE] for one in (present, values))
                yield there.tobytes()
                yield np.where(there, some, np.zeros(1, some.dtype)).tobytes()
            if isinstance(value, FoldedGroups):
                for first in range(0, len(value.of_folds), _N_AT_ONCE):
                    yield np.ascontiguousarray(value.of_folds[first : first + _N_AT_ONCE])
                    drop_pages()
        case TimeFolds():
            yield f"{value.n_folds} {value.last}".encode()
            yield from (one.tobytes() for one in (value.ends, value.begins, value.used))
        case _:
            yield repr(value).encode()


def _learnt_below(node: Node) -> frozenset[Node]:
    """Return the aggregates that an expression reads."""
    return frozenset(one for one in postorder([node]) if isinstance(one, Aggregate))


def before_round(learning: LearningRound) -> LearningRound:
    """Return the progress record with the tasks of its next round; without tasks, `round` is None.

    `learning` has the values known now, and the number of that round.
    """
    whole, learnt = learning.prepared.typed.schedule(PURPOSE), learning.learnt
    origins = [value.origin for value in whole.values]
    known = {place for place, origin in enumerate(origins) if origin in learnt}
    again = {place for place, origin in enumerate(origins) if origin in learning.doubts}
    schedule = needed(whole, _in_doubt(whole, again) if again else _ready(whole, known))
    if learning.has_functions:
        schedule = without_functions(schedule)
    is_over = learning.n_rows is not None and not any(task.learns for task in schedule.tasks)
    return replace(
        learning,
        schedule=schedule,
        round=None if is_over else learning.round,
        programs={},
        shared={},
    )


def _ready(schedule: Schedule, known: set[int]) -> set[int]:
    """Return the indices of the tasks that can learn; `known` are indices of learned values."""
    lacking = _lacking(schedule, known)
    return {
        k
        for k, task in enumerate(schedule.tasks)
        if not lacking[k] and not known.issuperset(task.learns)
    }


def readings_to_come(learning: LearningRound) -> Counter[str]:
    """Return how many later rounds will read each column, approximately.

    Tasks may need fewer rounds than planned. A column with an infinite value is read once more.
    """
    whole, now = learning.prepared.typed.schedule(PURPOSE), learning.round or 0
    values = whole.values
    coming = [
        (k, max(task.round, now), max(task.round, now) + task.n_rounds)
        for k, task in enumerate(whole.tasks)
        if any(values[place].origin not in learning.learnt for place in task.learns)
    ]
    found = Counter[str]()
    for of in range(now + 1, max((stop for _, _, stop in coming), default=0)):
        active = {k for k, first, stop in coming if first <= of < stop}
        own = needed(whole, active)
        found.update(columns_read(without_functions(own) if learning.has_functions else own))
    return found


def _lacking(schedule: Schedule, known: set[int]) -> list[set[int]]:
    """Return for each task the indices of the values that must be learned before it."""
    giving = {place: k for k, task in enumerate(schedule.tasks) for place in task.gives}
    lacking: list[set[int]] = []
    for task in schedule.tasks:
        before = (lacking[giving[place]] for place in task.reads if place in giving)
        lacking.append(set(task.uses).union(*before) - known)
    return lacking


def n_looks(schedule: Schedule) -> int:
    """Return the highest number of rounds that search for an infinite value.

    A search for a statistic always finds a value and is the last. A target may instead have no
    values at all; targets that are learnt at the same time are searched in one round.
    """
    lacking = _lacking(schedule, set())
    of_targets = {
        frozenset(lacking[k]) for k, task in enumerate(schedule.tasks) if task.kind == "target"
    }
    return len(of_targets) + any(task.kind == "statistics" for task in schedule.tasks)


def _in_doubt(schedule: Schedule, values: set[int]) -> set[int]:
    """Return the indices of the tasks that learn any of the values with indices `values`."""
    return {k for k, task in enumerate(schedule.tasks) if not values.isdisjoint(task.learns)}


def needed(schedule: Schedule, learning: set[int]) -> Schedule:
    """Return a schedule of the tasks with indices `learning` and of the tasks they depend on."""
    wanted, left = set[int](), list[ScheduledTask]()
    for k, task in reversed(list(enumerate(schedule.tasks))):
        if k in learning or not wanted.isdisjoint(task.gives):
            wanted.update(task.reads)
            left.append(task)
    return replace(schedule, tasks=tuple(reversed(left)), outputs=())


def name_of(task: ScheduledTask) -> str:
    """Return the name of a task, its kind and an index: the key of its state and starting value."""
    return f"{task.kind} {task.learns[0]}"
