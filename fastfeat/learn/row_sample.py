"""A sample of the rows of the first pass, from which tasks of later rounds get a starting value.

A starting value narrows the search of a task that needs several passes, such as a quantile; without
it, the task takes one pass more. The sample affects only time, never the learned values.
"""

from __future__ import annotations

from dataclasses import field, replace
from typing import Any

import numpy as np
from fastfeat_kernels.records import dataclass
from numpy.typing import NDArray

from fastfeat.engine.float_environment import with_ieee_arithmetic
from fastfeat.errors import FastfeatError
from fastfeat.execute.steps import run_columns, start_schedule
from fastfeat.io.arrow import Table, pa
from fastfeat.learn.part_rows import batch_of_part
from fastfeat.learn.part_state import PartState, learner_of
from fastfeat.learn.round import PURPOSE, LearningRound, columns_read, name_of, needed
from fastfeat.learn.round_tasks import add_rows
from fastfeat.plan.lower.schedule import Schedule
from fastfeat.plan.lower.task_graph import functions_of_rows
from fastfeat.scalars.zones import use_zone_tables

MOST_ROWS = 1 << 15
"""Highest number of rows of a sample; it has at least half as many if there are enough rows."""

_AT_ONCE = 1 << 14  # numbers; they fit in the cache
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)  # 2**64 / golden ratio: spreads the numbers of rows


@dataclass(slots=True)
class RowSample:
    """A sample of rows that is taken while a pass reads them.

    Args:
        columns: The sampled columns; empty if no task needs them.
        stride: One row in `stride` is taken, by a hash of its number; a power of two.
        numbers: Row numbers, ascending.
        tables: The rows.
    """

    columns: list[str]
    stride: int = 1
    numbers: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    tables: list[Table] = field(default_factory=list[Table])

    def add(self, table: Table, first_row: int) -> None:
        """Add some of the next rows to the sample; `table` includes its columns."""
        if not self.columns:
            return
        numbers = np.arange(first_row, first_row + table.num_rows, dtype=np.int64)
        before, stride = self.numbers, self.stride
        numbers, kept = numbers[self._is_taken(numbers)], before
        # the number of rows is known before any value is copied
        while len(kept) + len(numbers) > MOST_ROWS:
            self.stride *= 2
            numbers, kept = numbers[self._is_taken(numbers)], kept[self._is_taken(kept)]
        if self.tables and self.stride > stride:
            taken = np.flatnonzero(self._is_taken(before))
            self.tables = [self.table().take(pa.array(taken))]
        self.tables.append(table.select(self.columns).take(pa.array(numbers - first_row)))
        self.numbers = np.concatenate([kept, numbers])

    def _is_taken(self, numbers: NDArray[np.int64]) -> NDArray[np.bool_]:
        return are_sampled(numbers, self.stride)

    def table(self) -> Table:
        """Return the sampled rows as one table."""
        return pa.concat_tables(self.tables)


def are_sampled(numbers: NDArray[np.int64], stride: int) -> NDArray[np.bool_]:
    """Return whether the rows with the given numbers are in a sample, shape (n_rows,).

    One row in `stride` is.
    """
    return numbers.astype(np.uint64) * _GOLDEN <= np.uint64((2**64 - 1) // stride)


def numbers_of_sample(n_rows: int, most_rows: int = MOST_ROWS) -> NDArray[np.int64]:
    """Return ascending row numbers of a sample of at most `most_rows` rows; see `RowSample`."""
    return _sample(n_rows, most_rows)[1]


def stride_of_sample(n_rows: int, most_rows: int = MOST_ROWS) -> int:
    """Return the stride of the sample that `numbers_of_sample` returns."""
    return _sample(n_rows, most_rows)[0]


def _sample(n_rows: int, most_rows: int) -> tuple[int, NDArray[np.int64]]:
    """Return the stride of a sample of at most `most_rows` rows, and the rows' numbers."""
    stride = 1
    while n_rows > most_rows * stride:
        stride *= 2
    at_once, most = min(n_rows, _AT_ONCE), np.uint64((2**64 - 1) // stride)
    words = np.arange(at_once, dtype=np.uint64) * _GOLDEN
    step, pieces = np.uint64(_AT_ONCE * int(_GOLDEN) % 2**64), list[NDArray[np.int64]]()
    for first in range(0, n_rows, _AT_ONCE):  # the same rows as `are_sampled`
        pieces.append(np.flatnonzero(words[: n_rows - first] <= most) + first)
        words += step
    found = np.concatenate([np.empty(0, np.int64), *pieces])
    while len(found) > most_rows:  # a wider stride takes a subset of the rows
        stride *= 2
        found = found[are_sampled(found, stride)]
    return stride, found


def sample_for(learning: LearningRound) -> RowSample:
    """Return an empty sample of the columns from which tasks of later rounds can start."""
    whole, read = learning.prepared.typed.schedule(PURPOSE), set(learning.columns)
    now = {task.learns for task in learning.schedule.tasks if task.learns}
    columns: dict[str, None] = {}
    for k, task in enumerate(whole.tasks):
        if task.learns not in now and (of := _columns_asked(whole, k)) and read.issuperset(of):
            columns |= dict.fromkeys(of)
    return RowSample(list(columns))


def _columns_asked(schedule: Schedule, k: int) -> list[str]:
    """Return the columns that the k-th task needs in a sample; empty if it cannot use one."""
    task = schedule.tasks[k]
    if not task.learns or task.n_rounds == 1 or learner_of(name_of(task)).of_sample is None:
        return []
    own = needed(schedule, {k})
    if functions_of_rows(own):  # they see rows that are not sampled
        return []
    return columns_read(own)


@with_ieee_arithmetic
def start_from_sample(learning: LearningRound, sample: RowSample) -> LearningRound:
    """Return the progress record with starting values that tasks computed from the sample.

    The learning is before a round that is not the first.
    """
    if learning.round is None or learning.n_rows is None or learning.doubts:
        return learning
    schedule, there = learning.schedule, set(sample.columns)
    asking = {
        k
        for k, task in enumerate(schedule.tasks)
        if task.learns
        and name_of(task) not in learning.hints
        and (of := _columns_asked(schedule, k))
        and there.issuperset(of)
    }
    if not asking or not len(sample.numbers):
        return learning
    try:
        hints = _hints(replace(learning, schedule=needed(schedule, asking), shared={}), sample)
    except FastfeatError:  # the pass over all rows raises it, with the first row at fault
        return learning
    return replace(learning, hints={**learning.hints, **hints}, shared={}) if hints else learning


def _hints(learning: LearningRound, sample: RowSample) -> dict[str, Any]:
    """Return the starting value of each learning task, computed from the sample, by task name."""
    assert learning.n_rows is not None
    state, found = PartState("", told={}), dict[str, Any]()
    table = sample.table().select(learning.columns)
    batch = batch_of_part(learning, table, sample.numbers, learning.schedule)
    with use_zone_tables(learning.prepared.zones):
        running = start_schedule(batch, learning.schedule, frees=True)
        for task in running.schedule.tasks:
            if task.learns:
                add_rows(running.batch, task, learning, state)
                of_sample = learner_of(name_of(task)).of_sample
                assert of_sample is not None
                found[name_of(task)] = of_sample(state.states[name_of(task)], learning.n_rows)
            run_columns(running, task)
    return {name: hint for name, hint in found.items() if hint is not None}
