"""The passes of fit over a data set, as text: the values learnt and the columns read in each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from tempfile import gettempdir

from fastfeat.errors import counted
from fastfeat.io.host_memory import as_bytes
from fastfeat.io.sources.dataset import Dataset
from fastfeat.io.sources.file_parts import FilePart
from fastfeat.io.sources.scratch import room_for_copy
from fastfeat.learn.part_state import task_learner
from fastfeat.learn.round import PURPOSE, LearningRound, columns_read, needed
from fastfeat.plan.lower.schedule import Schedule

_MOST_NAMES = 8


def describe_passes(learning: LearningRound, dataset: Dataset) -> str:
    """Return lines on the passes of a fit over data in parts, and on the pass for its features.

    The number of passes is an upper limit, since some tasks finish early, depending on the rows.
    """
    schedule = learning.prepared.typed.schedule(PURPOSE)
    n_passes, n_looks = learning.n_passes, learning.most_rounds - learning.n_passes
    passes = "1 pass" if n_passes == 1 else f"at most {n_passes} passes"
    lines = [_data(dataset, learning), "", f"fit over data in parts: {passes}"]
    if n_looks:
        lines[-1] += f"; if a learnt value is not finite, {_more(n_looks)} to find its row"
    read_by_pass: list[list[str]] = []
    for number in range(1, n_passes + 1):
        active = {
            k
            for k, task in enumerate(schedule.tasks)
            if task.learns and task.round <= number < task.round + task.n_rounds
        }
        columns = columns_read(needed(schedule, active))
        read_by_pass.append(columns)
        lines.append(f"  pass {number} reads {_columns_text(dataset, columns)}")
        lines += (f"    {line}" for line in _learnt_lines(schedule, active))
    if n_before := learning.n_function_passes:
        lines.append(f"  {_more(n_before)} over the rows that windows or labels ahead combine")
    lines += _copy_lines(dataset, read_by_pass)
    columns = learning.columns_of_features
    read = f"  1 more pass reads {_columns_text(dataset, columns)}"
    kinds = dict.fromkeys(task.kind for task in schedule.tasks if task.learns)
    states = [f"  {kind}: {task_learner(kind).learner.takes}" for kind in kinds]
    if states:
        lines += ["", "memory for intermediate results, by kind of task", *states]
    return "\n".join([*lines, "", "features of the training rows, if they are requested", read])


def _copy_lines(dataset: Dataset, read_by_pass: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yield a line on the copy on disk of columns that later passes read again.

    Yields nothing if no column is read often enough for a copy to save time.
    """
    pays = dataset.n_readings_to_pay_off if dataset.parts else None
    n_read = Counter(name for columns in read_by_pass for name in columns)
    again = [name for name, n in n_read.items() if pays is not None and n - 1 >= pays]
    if not again:
        return
    folder, n_bytes, room = gettempdir(), dataset.bytes_of(again), 0
    with suppress(OSError):
        room = room_for_copy(folder)
    told = f"a copy of {_columns_text(dataset, again)} in {folder}"
    if not room:
        why = "the folder is in memory or not writable; set TMPDIR to another folder"
        yield f"  no pass reads {told}: {why}"
    elif n_bytes > room:
        yield f"  no pass reads {told}: it is larger than {as_bytes(room)}, half of the free space"
    else:
        yield f"  later passes read {told}, which may take up to {as_bytes(room)}"


def _more(n: int) -> str:
    return "1 more pass" if n == 1 else f"{n} more passes"


def _data(dataset: Dataset, learning: LearningRound) -> str:
    """Return a line on the numbers of rows, files and columns, as far as known before reading."""
    n_rows, parts = dataset.n_rows, dataset.parts
    told = "an unknown number of rows" if n_rows is None or not parts else counted(n_rows, "row")
    if parts and all(isinstance(part, FilePart) for part in parts):
        told += f" in {counted(len(parts), 'file')}"
    read = {*columns_read(learning.prepared.typed.schedule(PURPOSE)), *learning.columns_of_features}
    n_bytes = dataset.bytes_of(list(read))
    size = f", about {as_bytes(n_bytes)} in memory" if n_bytes else ""
    n_columns = counted(len(dataset.schema), "column")
    return f"data: {told}; the plan reads {len(read)} of {n_columns}{size}"


def _columns_text(dataset: Dataset, columns: Sequence[str]) -> str:
    """Return names and number of columns as text, with their size in memory if known."""
    if not columns:
        return "no columns and only counts rows"
    n_bytes = dataset.bytes_of(columns)
    names = ", ".join(columns[:_MOST_NAMES])
    more = f" and {len(columns) - _MOST_NAMES} more" if len(columns) > _MOST_NAMES else ""
    size = f", about {as_bytes(n_bytes)}" if n_bytes else ""
    return f"{names}{more}: {counted(len(columns), 'column')}{size}"


def _learnt_lines(schedule: Schedule, active: set[int]) -> Iterator[str]:
    """Yield a line per kind of task with the number of values it learns in a pass.

    `active` has the numbers of the tasks that learn in this pass.
    """
    n_values = dict[str, int]()
    for k in sorted(active):
        task = schedule.tasks[k]
        n_values[task.kind] = n_values.get(task.kind, 0) + len(task.learns)
    for kind, n in n_values.items():
        yield f"{kind}: {counted(n, 'value')}"
