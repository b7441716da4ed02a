"""The graph of a schedule's tasks: the tasks that each one reads from, their order, and subsets.

"Functions of other rows" are window functions and functions over later rows.
"""

from __future__ import annotations

from collections.abc import Set
from dataclasses import replace
from heapq import heapify, heappop, heappush

from fastfeat.ir.node import Call, Column
from fastfeat.ir.scope import is_of_other_rows
from fastfeat.plan.lower.schedule import ROWS, SEEN, ColumnOf, Schedule, ScheduledTask


def drop_computed(schedule: Schedule, known: Set[ColumnOf]) -> Schedule:
    """Return the schedule without the tasks that only serve to make the columns `known`."""
    if not known:
        return schedule
    wanted, left = set(schedule.outputs) - known, list[ScheduledTask]()
    for task in reversed(schedule.tasks):
        if task.learns or task.kind == "features" or not wanted.isdisjoint(task.gives):
            wanted |= set(task.reads) - known
            left.append(task)
    return replace(schedule, tasks=tuple(reversed(left)))


def columns_read(schedule: Schedule) -> list[str]:
    """Return the names of the data columns that the tasks of a schedule read."""
    read = dict.fromkeys(place for task in schedule.tasks for place in task.reads)
    columns = (schedule.columns[place] for place in read)
    own = dict.fromkeys(c.origin for c in columns if c.space in (ROWS, SEEN))
    return [node.name for node in own if isinstance(node, Column)]


def functions_of_rows(schedule: Schedule) -> list[Call]:
    """Return the functions of other rows with results that other tasks read as columns."""
    others = [task for task in schedule.tasks if task.kind not in ("windows", "ahead")]
    places = dict.fromkeys(place for task in others for place in task.reads)
    columns = (schedule.columns[place] for place in places)
    return [c.origin for c in columns if c.space == ROWS and is_of_other_rows(c.origin)]


def without_functions(schedule: Schedule) -> Schedule:
    """Return the schedule for data that comes with its functions of other rows as columns."""
    columns = enumerate(schedule.columns)
    known = {k for k, c in columns if c.space == ROWS and is_of_other_rows(c.origin)}
    return drop_computed(schedule, known)


def in_order(schedule: Schedule) -> Schedule:
    """Return the schedule with its tasks sorted: each one stands after the tasks it reads from.

    Tasks that do not depend on each other keep their order.
    """
    readers, n_before = readers_of(schedule)
    ready = [k for k, n in enumerate(n_before) if not n]
    heapify(ready)
    order: list[ScheduledTask] = []
    while ready:
        k = heappop(ready)
        order.append(schedule.tasks[k])
        for reader in readers[k]:
            n_before[reader] -= 1
            if not n_before[reader]:
                heappush(ready, reader)
    assert len(order) == len(schedule.tasks), "tasks depend on each other in a cycle"
    return replace(schedule, tasks=tuple(order))


def readers_of(schedule: Schedule) -> tuple[list[list[int]], list[int]]:
    """Return for each task the indices of its readers, and the number of tasks it reads from."""
    giving = {place: k for k, task in enumerate(schedule.tasks) for place in task.gives}
    learning = {value: k for k, task in enumerate(schedule.tasks) for value in task.learns}
    readers: list[list[int]] = [[] for _ in schedule.tasks]
    n_before: list[int] = []
    for k, task in enumerate(schedule.tasks):
        before = {giving[place] for place in task.reads if place in giving}
        before |= {learning[value] for value in task.uses if value in learning}
        for other in before:
            readers[other].append(k)
        n_before.append(len(before))
    return readers, n_before


def heights_of(schedule: Schedule) -> list[int]:
    """Return for each task the length of the longest chain of window tasks that read from it."""
    readers, _ = readers_of(schedule)
    heights = [0] * len(schedule.tasks)
    for k in reversed(range(len(schedule.tasks))):
        above = (heights[r] + (schedule.tasks[r].kind == "windows") for r in readers[k])
        heights[k] = max(above, default=0)
    return heights


def levels_of(schedule: Schedule) -> list[int]:
    """Return for each task the length of the longest chain of tasks before it.

    Program tasks do not count. Tasks over the rows of tables read from no other tasks, and come
    first.
    """
    readers, _ = readers_of(schedule)
    own = [
        int(task.kind != "program" and not is_of_table(schedule, task)) for task in schedule.tasks
    ]
    levels = list(own)
    for k in range(len(levels)):
        for reader in readers[k]:
            levels[reader] = max(levels[reader], levels[k] + own[reader])
    return levels


def orders_of(schedule: Schedule) -> list[Call]:
    """Return the orders (time column and entity keys) that the window tasks over the data use."""
    tasks = [t for t in schedule.tasks if t.kind == "windows" and not is_of_table(schedule, t)]
    return list(dict.fromkeys(task.order for task in tasks if isinstance(task.order, Call)))


def is_of_table(schedule: Schedule, task: ScheduledTask) -> bool:
    """Return whether a task makes a column of a table's rows."""
    spaces = {schedule.columns[place].space for place in task.gives}
    return any(schedule.spaces[space].kind == "table" for space in spaces)
