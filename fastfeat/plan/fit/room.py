"""The memory that a round takes whatever goes to disk: refused before its rows are read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from fastfeat.aggregates.keys import Vocabulary
from fastfeat.errors import OutOfMemory, counted
from fastfeat.io.budget import Budget
from fastfeat.io.host_memory import as_bytes
from fastfeat.ir.node import Aggregate, Node
from fastfeat.ir.show import show
from fastfeat.plan.fit.part_state import PartState, task_learner
from fastfeat.plan.fit.round import Learning, name_of
from fastfeat.plan.lower.codes import n_codes
from fastfeat.plan.lower.schedule import Task

GROUP_BYTES = 9
"""Of the value of a group, and whether it has one."""
_INDEX_BYTES = 8
"""Of a key, in the smallest index that rows find their keys in."""
_FEW_ROWS = 1 << 16
"""Of so few rows, maps of quantiles take less than they may."""


class Held(NamedTuple):
    """Memory that a task holds.

    Args:
        learnt: the first value that it learns.
        n_bytes: about how many.
        why: what takes them, and what would make it less.
        is_of_groups: whether it is made after the last row, when no row looks a key up any more.
    """

    learnt: Node
    n_bytes: int
    why: str
    is_of_groups: bool


def check_room(learning: Learning, state: PartState, budget: Budget, n_rows: int | None) -> None:
    """Raise where a budget has no room for what tasks of a round hold, though the rest is on disk.

    Args:
        learning: the round.
        state: of no rows.
        budget: of memory.
        n_rows: how many rows there are; None where only reading them tells.

    Raises:
        OutOfMemory: it has none; the largest task is named.
    """
    held = list(_held(learning, state, n_rows))
    of_groups = sum(one.n_bytes for one in held if one.is_of_groups)
    total = sum(one.n_bytes for one in held)
    needed = total - min(of_groups, _freed(learning))
    if not held or not budget.lacks(needed):
        return
    room = budget.room()
    largest = max(held, key=lambda one: one.n_bytes)
    least = (budget.n_bytes - room + needed) * 9 // 8
    raise OutOfMemory(
        f"memory={as_bytes(budget.n_bytes)} has no room for {show(largest.learnt)} in pass "
        f"{learning.round}: {largest.why} about {as_bytes(largest.n_bytes)}, all that the pass "
        f"learns {as_bytes(total)}, and the process has {as_bytes(budget.n_bytes - room)} in "
        f'memory. Give memory="{-(-least >> 20)}MiB" or more, or learn less of it at a time: leave '
        "features out, or let fewer keys count, by min_frequency= or max_categories="
    )


def _freed(learning: Learning) -> int:
    """Return the bytes of indices of keys, at least, which are freed before groups are made."""
    found = (value for value in learning.learnt.values() if isinstance(value, Vocabulary))
    return sum(_INDEX_BYTES * len(one) for one in found if one.cache)


def _held(learning: Learning, state: PartState, n_rows: int | None) -> Iterator[Held]:
    """Yield the memory of each task of a round."""
    told, are_few = state.told or {}, n_rows is not None and n_rows <= _FEW_ROWS
    for task in learning.schedule.tasks:
        if task.kind in ("groups", "target"):
            yield from _of_groups(learning, task)
        elif task.kind == "statistics" and name_of(task) in told and not are_few:
            first = learning.schedule.values[task.learns[0]].origin
            n_bytes = task_learner(task.kind).learner.bound(told[name_of(task)].spec, 0)
            yield Held(
                first, n_bytes, f"{counted(len(task.learns), 'statistic')} like it hold", False
            )


def _of_groups(learning: Learning, task: Task) -> Iterator[Held]:
    """Yield the memory of aggregates of groups."""
    for place in task.learns:
        node = learning.schedule.values[place].origin
        if isinstance(node, Aggregate):
            n = n_codes(node.args[1], learning.learnt)
            yield Held(node, GROUP_BYTES * n, f"{counted(n, 'group')} hold", True)
