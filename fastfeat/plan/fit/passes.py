"""Fitting in passes over a data set, within a budget of memory: what fit gives on all rows."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from fastfeat.engine.float_environment import in_ieee
from fastfeat.errors import OutOfMemory, counted
from fastfeat.io.arrow import Table
from fastfeat.io.budget import Budget, within
from fastfeat.io.host_memory import as_bytes
from fastfeat.io.sources.dataset import Dataset
from fastfeat.io.sources.scan import scan, telling_place
from fastfeat.io.sources.scratch import scratch_file
from fastfeat.ir.show import show
from fastfeat.plan.fit.learning import add_part, next_round
from fastfeat.plan.fit.part_state import PartState, learner_of
from fastfeat.plan.fit.round import Learning, name_of, readings_to_come
from fastfeat.plan.run.failures import infinite_value
from fastfeat.progress import doing, tell


@contextmanager
def with_scratch(dataset: Dataset) -> Generator[Dataset]:
    """Give a data set with a scratch copy, where one may pay and there is a disk for it."""
    if dataset.readings_that_pay is None:
        yield dataset
        return
    with scratch_file() as scratch:
        yield replace(dataset, scratch=scratch)


@in_ieee
def learned_within(
    learning: Learning, dataset: Dataset, budget: Budget, then: Sequence[str] = ()
) -> Learning:
    """Return the learning after its last round, of a data set that is read once a round.

    Args:
        learning: before its first round.
        dataset: the rows.
        budget: for tables and states.
        then: columns that are read once more after the last round.

    Raises:
        InvalidData: rows are read more often than they can be.
        OutOfMemory: states take more than the budget.
        FastfeatError: as `Plan.fit`.
    """
    dataset.check_passes(learning.most_rounds)
    with (
        within(budget),
        TemporaryDirectory(prefix="fastfeat-", ignore_cleanup_errors=True) as folder,
    ):
        while learning.round is not None:
            if learning.doubts and dataset.is_once:
                raise infinite_value(learning.doubts[0], None, None)
            state = _pass(learning, dataset, budget, Path(folder), then)
            learning = next_round(learning, state)
    return learning


def _pass(
    learning: Learning, dataset: Dataset, budget: Budget, folder: Path, then: Sequence[str]
) -> PartState:
    """Return the state of all rows in one round."""
    state = add_part(learning, learning.prepared.table, range(0), None)
    n_rows = learning.n_rows or dataset.n_rows or 0
    told = f"fitting, pass {learning.round} of at most {learning.most_rounds}"
    keep = _read_again(learning, dataset, then)
    tables = scan(dataset, learning.columns, budget.table_bytes, keep=keep)
    with doing(told, n_rows) as step, closing(tables):
        for scanned in tables:
            first = 0
            while first < scanned.table.num_rows:
                n = _rows_at_once(scanned.table, state, budget)
                some = scanned.table.slice(first, n)
                numbers = range(
                    scanned.first_row + first, scanned.first_row + first + some.num_rows
                )
                with telling_place(scanned):
                    state = add_part(learning, some, numbers, state)
                step(state.n_rows)
                _spill(state, budget, folder)
                if budget.is_exceeded():
                    raise _exceeded(learning, state, budget)
                first += n
    return state


def _rows_at_once(table: Table, state: PartState, budget: Budget) -> int:
    """Return how many rows of a table are worked on at a time, for states grow after it is read."""
    most = budget.table_bytes(sum(_sizes(state).values()))
    return max(_FEWEST_ROWS, table.num_rows * most // max(table.nbytes, 1))


def _read_again(learning: Learning, dataset: Dataset, then: Sequence[str]) -> list[str]:
    """Return the columns of the round that are read so often again that a copy of them pays."""
    if dataset.scratch is None or dataset.readings_that_pay is None:
        return []
    to_come = readings_to_come(learning)
    to_come.update(then)
    return [name for name in learning.columns if to_come[name] >= dataset.readings_that_pay]


def _spill(state: PartState, budget: Budget, folder: Path) -> None:
    """Write states to disk that would not have room to grow to four times their size."""
    for name, n_bytes in _sizes(state).items():
        learner = learner_of(name)
        if learner.spill is not None and n_bytes > max(_WORTH_WRITING, budget.room() // 4):
            tell(f"writing {as_bytes(n_bytes)} of a state to disk")
            learner.spill(state.states[name], folder)


def _sizes(state: PartState) -> dict[str, int]:
    """Return the bytes that the state of each task takes."""
    return {name: learner_of(name).size(own) for name, own in state.states.items()}


def _exceeded(learning: Learning, state: PartState, budget: Budget) -> OutOfMemory:
    """Return the error of more memory than the budget, which names the largest state."""
    sizes = _sizes(state)
    tasks = [task for task in learning.schedule.tasks if task.learns and name_of(task) in sizes]
    largest = max(tasks, key=lambda task: sizes[name_of(task)], default=None)
    most = ""
    if largest is not None:
        what = show(learning.schedule.values[largest.learns[0]].origin)
        most = f", of which {what} takes {as_bytes(sizes[name_of(largest)])}"
    return OutOfMemory(
        f"memory={as_bytes(budget.n_bytes)} is exceeded after {counted(state.n_rows, 'row')} of "
        f"pass {learning.round}: the process has {as_bytes(budget.n_bytes - budget.room())} in "
        f"memory{most}. Give more, or learn less at a time"
    )


_WORTH_WRITING = 1 << 22
_FEWEST_ROWS = 1 << 12
