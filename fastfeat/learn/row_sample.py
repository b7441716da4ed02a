"""A sample of the rows of the first pass, by which tasks of later rounds know where to look.

What such a task would sample of all rows in a pass of its own, it takes of these, with what is
learnt by then. Only time depends on them, not what is learnt.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastfeat.engine.float_environment import in_ieee
from fastfeat.errors import FastfeatError
from fastfeat.execute.steps import begun, run_columns
from fastfeat.io.arrow import Table, pa
from fastfeat.learn.part_rows import batch_of_part
from fastfeat.learn.part_state import PartState, learner_of
from fastfeat.learn.round import PURPOSE, Learning, columns_read, name_of, needed
from fastfeat.learn.round_tasks import add_rows
from fastfeat.plan.lower.schedule import Schedule
from fastfeat.plan.lower.task_graph import functions_of_rows
from fastfeat.scalars.zones import using

MOST_ROWS = 1 << 15
"""Of a sample, which has half as many at least where there are so many."""

_AT_ONCE = 1 << 14  # numbers, in the cache
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)  # 2**64 / golden ratio: spreads the numbers of rows


@dataclass(slots=True)
class RowSample:
    """A sample of rows.

    Args:
        columns: that are sampled; none where no task asks for them.
        stride: rows are one of so many; a power of two.
        numbers: those of the rows, ascending.
        tables: the rows.
    """

    columns: list[str]
    stride: int = 1
    numbers: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    tables: list[Table] = field(default_factory=list[Table])

    def add(self, table: Table, first_row: int) -> None:
        """Take some of the next rows.

        Args:
            table: the rows, with the columns of the sample among theirs.
            first_row: number of the first one.
        """
        if not self.columns:
            return
        numbers = np.arange(first_row, first_row + table.num_rows, dtype=np.int64)
        before, stride = self.numbers, self.stride
        numbers, kept = numbers[self._is_taken(numbers)], before
        while len(kept) + len(numbers) > MOST_ROWS:  # known before any value is taken
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
        """Return the rows as one table."""
        return pa.concat_tables(self.tables)


def are_sampled(numbers: NDArray[np.int64], stride: int) -> NDArray[np.bool_]:
    """Return whether rows are among one of so many, shape (n_rows,).

    Args:
        numbers: of the rows, shape (n_rows,).
        stride: a power of two.
    """
    return numbers.astype(np.uint64) * _GOLDEN <= np.uint64((2**64 - 1) // stride)


def numbers_of_sample(n_rows: int, most_rows: int = MOST_ROWS) -> NDArray[np.int64]:
    """Return the numbers of the rows of a sample, ascending: of all up to so many, as `RowSample`.

    Args:
        n_rows: how many rows there are.
        most_rows: of the sample.
    """
    return _sample(n_rows, most_rows)[1]


def stride_of_sample(n_rows: int, most_rows: int = MOST_ROWS) -> int:
    """Return the stride of that sample: `are_sampled` says then which rows are in it.

    Args:
        n_rows: how many rows there are.
        most_rows: of the sample.
    """
    return _sample(n_rows, most_rows)[0]


def _sample(n_rows: int, most_rows: int) -> tuple[int, NDArray[np.int64]]:
    """Return the stride of a sample, and the numbers of its rows."""
    stride = 1
    while n_rows > most_rows * stride:
        stride *= 2
    at_once, most = min(n_rows, _AT_ONCE), np.uint64((2**64 - 1) // stride)
    words = np.arange(at_once, dtype=np.uint64) * _GOLDEN
    step, pieces = np.uint64(_AT_ONCE * int(_GOLDEN) % 2**64), list[NDArray[np.int64]]()
    for first in range(0, n_rows, _AT_ONCE):  # those of `are_sampled`
        pieces.append(np.flatnonzero(words[: n_rows - first] <= most) + first)
        words += step
    found = np.concatenate([np.empty(0, np.int64), *pieces])
    while len(found) > most_rows:  # the rows of a wider stride are among those of a narrower
        stride *= 2
        found = found[are_sampled(found, stride)]
    return stride, found


def sample_for(learning: Learning) -> RowSample:
    """Return a sample without rows, of the columns that tasks of later rounds ask for.

    Args:
        learning: before its first round.
    """
    whole, read = learning.prepared.typed.schedule(PURPOSE), set(learning.columns)
    now = {task.learns for task in learning.schedule.tasks if task.learns}
    columns: dict[str, None] = {}
    for k, task in enumerate(whole.tasks):
        if task.learns not in now and (of := _columns_asked(whole, k)) and read.issuperset(of):
            columns |= dict.fromkeys(of)
    return RowSample(list(columns))


def _columns_asked(schedule: Schedule, k: int) -> list[str]:
    """Return the columns of which a task asks for a sample, none if it has no use for one."""
    task = schedule.tasks[k]
    if not task.learns or task.n_rounds == 1 or learner_of(name_of(task)).of_sample is None:
        return []
    own = needed(schedule, {k})
    if functions_of_rows(own):  # they see rows that are not sampled
        return []
    return columns_read(own)


@in_ieee
def begun_by_sample(learning: Learning, sample: RowSample) -> Learning:
    """Return a learning whose tasks begin with what a sample of the rows tells them.

    Args:
        learning: before a round that is not the first.
        sample: of the rows.
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
    except FastfeatError:  # the pass over all rows tells it, with the first row that is at fault
        return learning
    return replace(learning, hints={**learning.hints, **hints}, shared={}) if hints else learning


def _hints(learning: Learning, sample: RowSample) -> dict[str, Any]:
    """Return the beginnings of the tasks of a schedule, by their names."""
    assert learning.n_rows is not None
    state, found = PartState("", told={}), dict[str, Any]()
    table = sample.table().select(learning.columns)
    batch = batch_of_part(learning, table, sample.numbers, learning.schedule)
    with using(learning.prepared.zones):
        running = begun(batch, learning.schedule, frees=True)
        for task in running.schedule.tasks:
            if task.learns:
                add_rows(running.batch, task, learning, state)
                of_sample = learner_of(name_of(task)).of_sample
                assert of_sample is not None
                found[name_of(task)] = of_sample(state.states[name_of(task)], learning.n_rows)
            run_columns(running, task)
    return {name: hint for name, hint in found.items() if hint is not None}
