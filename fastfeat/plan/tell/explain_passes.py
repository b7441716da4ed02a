"""`explain("passes")`: how often fit reads rows that come in parts, and what it keeps of them."""

from __future__ import annotations

from collections.abc import Iterator

from fastfeat.ir.show import show
from fastfeat.plan.fit.part_state import task_learner
from fastfeat.plan.fit.round import columns_read, n_looks, needed
from fastfeat.plan.lower.schedule import Schedule, Task

_MOST = 3
"""Learnt values of a task that are named."""


def describe_passes(schedule: Schedule) -> str:
    """Return the passes of fit as text: the columns of each, and the memory of what it learns.

    Args:
        schedule: of fit where rows come in parts.
    """
    n_passes = max(schedule.n_rounds, 1)
    is_bound = any(task.n_rounds > 1 for task in schedule.tasks)
    passes = "pass" if n_passes == 1 else "passes"
    lines = [f"fit in passes: {'at most ' if is_bound else ''}{n_passes} {passes}"]
    looks = n_looks(schedule)
    if looks:
        more = "1 more looks" if looks == 1 else f"up to {looks} more look"
        lines[0] += f"; {more} for the first infinite value, where what is learnt is not finite"
    for number in range(1, n_passes + 1):
        active = {
            k
            for k, task in enumerate(schedule.tasks)
            if task.learns and task.round <= number < task.round + task.n_rounds
        }
        columns = ", ".join(columns_read(needed(schedule, active)))
        lines.append(f"  pass {number} reads {columns or 'how many rows there are'}")
        for k in sorted(active):
            lines += _task(schedule, schedule.tasks[k])
    return "\n".join(lines)


def _task(schedule: Schedule, task: Task) -> Iterator[str]:
    """Yield the lines of a task: what it learns, and the bytes that this may take."""
    named = [show(schedule.values[place].origin) for place in task.learns[:_MOST]]
    n_more = len(task.learns) - len(named)
    yield f"    {', '.join(named)}{f' and {n_more} more' if n_more else ''}"
    yield f"      {task_learner(task.kind).learner.takes}"
