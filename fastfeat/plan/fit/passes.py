"""Fitting in passes over a data set, within a budget of memory: what fit gives on all rows."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

from fastfeat.engine.float_environment import in_ieee
from fastfeat.errors import OutOfMemory, counted
from fastfeat.io.arrow import Table
from fastfeat.io.budget import Budget
from fastfeat.io.host_memory import as_bytes
from fastfeat.io.sources.dataset import Dataset
from fastfeat.io.sources.scan import scan, telling_place
from fastfeat.ir.show import show
from fastfeat.plan.fit.learning import add_part, next_round
from fastfeat.plan.fit.part_state import PartState, learner_of
from fastfeat.plan.fit.round import Learning, name_of
from fastfeat.plan.run.failures import infinite_value
from fastfeat.progress import doing, tell


@in_ieee
def learned_within(learning: Learning, dataset: Dataset, budget: Budget) -> Learning:
    """Return the learning after its last round, of a data set that is read once a round.

    Args:
        learning: before its first round.
        dataset: the rows.
        budget: for tables and states.

    Raises:
        InvalidData: rows are read more often than they can be.
        OutOfMemory: states take more than the budget.
        FastfeatError: as `Plan.fit`.
    """
    dataset.check_passes(learning.most_rounds)
    with TemporaryDirectory(prefix="fastfeat-", ignore_cleanup_errors=True) as folder:
        while learning.round is not None:
            if learning.doubts and dataset.is_once:
                raise infinite_value(learning.doubts[0], None, None)
            state = _pass(learning, dataset, budget, Path(folder))
            learning = next_round(learning, state)
    return learning


def _pass(learning: Learning, dataset: Dataset, budget: Budget, folder: Path) -> PartState:
    """Return the state of all rows in one round."""
    state = add_part(learning, learning.prepared.table, range(0), None)
    n_rows = learning.n_rows or dataset.n_rows or 0
    told = f"fitting, pass {learning.round} of at most {learning.most_rounds}"
    tables = scan(dataset, learning.columns, budget.table_bytes)
    with doing(told, n_rows) as step, closing(tables):
        for scanned in tables:
            first = 0
            while first < scanned.table.num_rows:
                n = _rows_at_once(scanned.table, budget)
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


def _rows_at_once(table: Table, budget: Budget) -> int:
    """Return how many rows of a table are worked on at a time, for states grow after it is read."""
    return max(_FEWEST_ROWS, table.num_rows * budget.table_bytes() // max(table.nbytes, 1))


def _spill(state: PartState, budget: Budget, folder: Path) -> None:
    """Write states to disk that would not have room to grow to four times their size."""
    for name, own in state.states.items():
        learner = learner_of(name)
        n_bytes = 0 if learner.spill is None else learner.size(own)
        if learner.spill is not None and n_bytes > max(_WORTH_WRITING, budget.room() // 3):
            tell(f"writing {as_bytes(n_bytes)} of a state to disk")
            learner.spill(own, folder)


def _exceeded(learning: Learning, state: PartState, budget: Budget) -> OutOfMemory:
    """Return the error of more memory than the budget, which names the largest state."""
    sizes = {name: learner_of(name).size(own) for name, own in state.states.items()}
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
