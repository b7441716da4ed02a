"""Fitting in passes over a data set, within a memory budget; the result equals a fit on all rows.

Each pass is a round of `learn.learning`: it reads all rows once and adds them to a state.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import gettempdir
from typing import NamedTuple

from fastfeat.aggregates.keys import Vocabulary
from fastfeat.engine.float_environment import with_ieee_arithmetic
from fastfeat.errors import InvalidData, OutOfMemory, StatesOnDisk, counted, warn
from fastfeat.execute.failures import infinite_value
from fastfeat.io.arrow import Table
from fastfeat.io.budget import Budget, enough_for, use_budget
from fastfeat.io.host_memory import as_bytes, free_memory
from fastfeat.io.sources.dataset import Dataset
from fastfeat.io.sources.scan import scan, with_place_in_errors
from fastfeat.io.sources.scratch import scratch_file
from fastfeat.io.temporary_files import explain_write_errors
from fastfeat.ir.show import show
from fastfeat.learn.learning import next_round
from fastfeat.learn.part_state import PartState, learner_of
from fastfeat.learn.room import check_room
from fastfeat.learn.round import LearningRound, name_of, readings_to_come
from fastfeat.learn.row_sample import RowSample, sample_for, start_from_sample
from fastfeat.learn.rows_in_passes import RowsInPasses
from fastfeat.progress import report_progress, show_progress


@contextmanager
def with_scratch(dataset: Dataset) -> Generator[Dataset]:
    """Yield the data set, with a temporary copy on disk if it is read often enough to pay off."""
    if dataset.n_readings_to_pay_off is None:
        yield dataset
        return
    with scratch_file() as scratch:
        yield replace(dataset, scratch=scratch)


@with_ieee_arithmetic
def learn_in_passes(
    learning: LearningRound, rows: RowsInPasses, budget: Budget, then: Sequence[str] = ()
) -> LearningRound:
    """Return a fit's progress record after its last round; each round reads all rows once.

    `rows` are the rows with the columns that come with them. `budget` is for tables and states.
    `then` are columns that are read once more after the last round.

    Raises InvalidData if rows cannot be read as often as needed, OutOfMemory if states exceed the
    budget, and FastfeatError as `Plan.fit` does. Warns StatesOnDisk if states went to disk.
    """
    dataset, on_disk = rows.dataset, Counter[str]()
    dataset.check_passes(learning.n_passes + learning.n_function_passes)
    folder = Path(gettempdir())
    with use_budget(budget):
        sample = sample_for(learning)
        while learning.round is not None:
            if learning.doubts and dataset.is_one_shot:
                raise infinite_value(learning.doubts[0], None, None)
            own = sample if learning.n_rows is None else None
            with explain_write_errors(folder, "states of the rows"):
                state = _pass(learning, rows, StateRoom(budget, folder, on_disk), then, own)
                _check_rows(learning, rows.dataset, state)
                _drop_indices(learning)
                learning = start_from_sample(next_round(learning, state), sample)
    if on_disk:
        names = " and ".join(on_disk) if len(on_disk) < 3 else f"{len(on_disk)} learnt values"
        warn(
            f"memory={as_bytes(budget.n_bytes)} had no room for {names}: "
            f"{as_bytes(on_disk.total())} went to temporary files in {folder}, which are deleted "
            "again. The result is the same, but more memory is faster",
            StatesOnDisk,
        )
    return learning


class StateRoom(NamedTuple):
    """Memory and disk space for the states of a round.

    Args:
        budget: Memory budget.
        folder: Folder for the unnamed files of states that exceed the budget.
        on_disk: Receives the bytes of states written to disk, by the value that they learn.
    """

    budget: Budget
    folder: Path
    on_disk: Counter[str]


def _drop_indices(learning: LearningRound) -> None:
    """Free the vocabularies' lookup indexes, in which rows of the last pass found their codes."""
    for value in learning.learnt.values():
        if isinstance(value, Vocabulary):
            value.cache.clear()


def _check_rows(learning: LearningRound, dataset: Dataset, state: PartState) -> None:
    """Raise InvalidData if a source gave another number of rows than in earlier passes."""
    if learning.n_rows not in (None, state.n_rows):
        raise InvalidData(
            f"{dataset.parts[-1].name} gave {counted(learning.n_rows, 'row')} at first, and "
            f"{state.n_rows:,} in pass {learning.round}. It must give the same rows each time: "
            "open a new reader, or make new tables, at each call"
        )


def _pass(
    learning: LearningRound,
    rows: RowsInPasses,
    room: StateRoom,
    then: Sequence[str],
    sample: RowSample | None,
) -> PartState:
    """Return the state of all rows after one more pass; `sample` collects some of the rows."""
    budget, state = room.budget, rows.begin(learning)
    n_rows = learning.n_rows or rows.dataset.n_rows
    check_room(learning, state, budget, n_rows, rows.dataset)
    most = max(learning.n_passes, learning.round or 0)
    told = f"fitting, pass {learning.round} of at most {most}"
    copy = rows.dataset.scratch
    if copy is not None and copy.pieces.keys() >= set(learning.columns):
        told += ", from a copy on disk"
    keep = _read_again(learning, rows.dataset, then)
    tables = scan(rows.dataset, learning.columns, budget.table_bytes, keep=keep)
    with show_progress(told, n_rows or 0) as step, closing(tables):
        for scanned in tables:
            if sample is not None:
                sample.add(scanned.table, scanned.first_row)
            first = 0
            while first < scanned.table.num_rows:
                n = _rows_at_once(scanned.table, state, budget)
                some = replace(
                    scanned,
                    table=scanned.table.slice(first, n),
                    first_row=scanned.first_row + first,
                )
                with with_place_in_errors(scanned):
                    state = rows.add(learning, some, state)
                step(state.n_rows)
                _spill(learning, state, room)
                if budget.is_exceeded():
                    raise _budget_error(learning, state, budget, n_rows)
                first += n
    return state


def _rows_at_once(table: Table, state: PartState, budget: Budget) -> int:
    """Return how many rows of a table to process at a time, since states grow after it is read."""
    n_growing = sum(_sizes(state).values())
    most = budget.table_bytes(n_growing) * table.num_rows // max(table.nbytes, 1)
    learners = [(learner_of(name).row_bytes, own.spec) for name, own in (state.told or {}).items()]
    row_bytes = sum(of_spec(spec) for of_spec, spec in learners if of_spec is not None)
    if row_bytes:
        most = min(most, (budget.spare() - 2 * n_growing) // (2 * row_bytes))
    return max(_FEWEST_ROWS, most)


def _read_again(learning: LearningRound, dataset: Dataset, then: Sequence[str]) -> list[str]:
    """Return the columns of the round that are read often enough later for a copy to pay off.

    One more reading is enough if the system can keep the copy in free memory: no one waits for a
    disk then.
    """
    if dataset.scratch is None or dataset.n_readings_to_pay_off is None:
        return []
    to_come = readings_to_come(learning)
    to_come.update(then)
    own = [name for name in learning.columns if to_come[name]]
    if dataset.bytes_of(own) <= (free_memory() or 0) // _SHARE_OF_FREE:
        return own
    return [name for name in own if to_come[name] >= dataset.n_readings_to_pay_off]


def _spill(learning: LearningRound, state: PartState, room: StateRoom) -> None:
    """Write the states of tasks to disk if memory has no room for four times their present size."""
    for name, n_bytes in _sizes(state).items():
        learner = learner_of(name)
        most = max(_WORTH_WRITING, room.budget.spare() // 4)
        if learner.spill is not None and n_bytes > most:
            report_progress(f"writing {as_bytes(n_bytes)} of a state to disk")
            learner.spill(state.states[name], room.folder)
            room.on_disk[_learnt_by(learning, name)] += n_bytes


def _learnt_by(learning: LearningRound, name: str) -> str:
    """Return the first value that a task learns, as text; `name` is the name of the task."""
    tasks = (task for task in learning.schedule.tasks if task.learns)
    task = next((task for task in tasks if name_of(task) == name), None)
    return name if task is None else show(learning.schedule.values[task.learns[0]].origin)


def _sizes(state: PartState) -> dict[str, int]:
    """Return the size in bytes of each task's state, by the name of the task."""
    return {name: learner_of(name).size(own) for name, own in state.states.items()}


def _budget_error(
    learning: LearningRound, state: PartState, budget: Budget, n_rows: int | None
) -> OutOfMemory:
    """Return the error for an exceeded memory budget; it names the largest state.

    The budget that it suggests leaves room for states that grow as fast in the rows to come.
    """
    sizes = _sizes(state)
    n_seen = max(1, state.n_rows)
    more = _TIMES_OF_GROWING * sum(sizes.values()) * (max(n_rows or 0, 2 * n_seen) - n_seen)
    taken = budget.n_bytes - budget.room()
    largest = max(sizes, key=sizes.__getitem__, default=None)
    most = ""
    if largest is not None:
        most = f", of which {_learnt_by(learning, largest)} takes {as_bytes(sizes[largest])}"
    return OutOfMemory(
        f"memory={as_bytes(budget.n_bytes)} is exceeded after {counted(state.n_rows, 'row')} of "
        f"pass {learning.round}: the process uses {as_bytes(taken)} of memory{most}. Give "
        f'memory="{enough_for(taken + more // n_seen)}" or more, or learn less at a time'
    )


_TIMES_OF_GROWING = 3
"""Tables of keys exist twice, and a third time while they grow."""
_WORTH_WRITING = 1 << 22
_FEWEST_ROWS = 1 << 12
_SHARE_OF_FREE = 4
