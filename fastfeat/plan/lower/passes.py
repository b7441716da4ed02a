"""Rewrites of schedules ("passes"): they combine tasks that can run together and mark what to free.

Each is a function from a schedule to an equivalent one; `PASSES` lists them in order. A task's
round is the pass over the training rows in which it runs.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import replace

from fastfeat.ir.node import Aggregate, Call, Node
from fastfeat.ir.parameters import MAX_MEMORY
from fastfeat.plan.lower.schedule import ROWS, SEEN, ColumnOf, Schedule, ScheduledTask
from fastfeat.plan.lower.task_graph import heights_of, in_order, is_of_table, levels_of, readers_of

Pass = Callable[[Schedule], Schedule]

KeyOf = tuple[tuple[Node, ...], str, int]
"""Expressions of a key, its treatment of missing parts, and the most bytes for all its keys."""

_ALIKE = ("program", "windows over a table", "ahead")


def share_vocabularies(schedule: Schedule) -> Schedule:
    """Return the schedule with tasks merged that count the same key in the same round."""

    def key(_: int, task: ScheduledTask) -> Hashable:
        first = task.nodes[0]
        if task.kind != "keys" or not isinstance(first, Aggregate):
            return None
        return task.kind, task.round, key_of(first)

    return _joined(schedule, key)


def learn_together(schedule: Schedule) -> Schedule:
    """Return the schedule with statistics of one round merged, and aggregates over equal groups.

    For rows in parts, statistics that take several passes stay apart from others: statistics of one
    pass are known sooner, and their columns need not be read again.
    """

    def key(_: int, task: ScheduledTask) -> Hashable:
        match task.kind:
            case "statistics":
                return task.kind, task.round, task.n_rounds
            case "groups":
                return task.kind, task.round, task.nodes[0].args[:2]
            case _:
                return None

    return _joined(schedule, key)


def begin_early(schedule: Schedule) -> Schedule:
    """Return the schedule with each task moved to the first pass over the rows in which it can run.

    A learning task starts as soon as everything it uses is learned. A task that makes columns runs
    when the first task that reads them does.
    """
    if not schedule.n_rounds:
        return schedule
    readers, _ = readers_of(schedule)
    tasks, rounds = schedule.tasks, [1] * len(schedule.tasks)
    for k, task in enumerate(tasks):  # as early as possible
        after = rounds[k] + (task.n_rounds if task.learns else 0)
        for reader in readers[k]:
            rounds[reader] = max(rounds[reader], after)
    last = max(rounds[k] + task.n_rounds - 1 for k, task in enumerate(tasks) if task.learns)
    for k in reversed(range(len(tasks))):
        if tasks[k].kind == "features":
            rounds[k] = last + 1
        elif not tasks[k].learns:
            rounds[k] = min((rounds[reader] for reader in readers[k]), default=rounds[k])
    begun = [replace(task, round=rounds[k]) for k, task in enumerate(tasks)]
    return replace(schedule, tasks=tuple(sorted(begun, key=lambda task: task.round)))


def merge_windows(schedule: Schedule) -> Schedule:
    """Return the schedule with window functions merged that sort rows by the same order.

    Functions that others read, directly or not, stay apart from these: rows are sorted once per
    depth of nesting.
    """
    heights = heights_of(schedule)

    def key(place: int, task: ScheduledTask) -> Hashable:
        if task.kind != "windows":
            return None
        space = schedule.columns[task.gives[0]].space
        return task.order, space, heights[place], task.round

    return _joined(schedule, key)


def fuse_programs(schedule: Schedule) -> Schedule:
    """Return the schedule with expressions merged that one program can compute together.

    Functions over later rows, and window functions over a lookup table, are combined if they have
    the same order.
    """
    levels = levels_of(schedule)

    def key(place: int, task: ScheduledTask) -> Hashable:
        if task.kind not in _ALIKE:
            return None
        space = schedule.columns[task.gives[0]].space
        return task.kind, task.order, space, levels[place], task.round

    return _joined(schedule, key)


def take_counted_codes(schedule: Schedule) -> Schedule:
    """Return the schedule with `ScheduledTask.free` set for tasks that count keys.

    `free` lists the code columns of encoding steps that counting the keys can make as a by-product.
    """
    tasks = list(schedule.tasks)
    counting = {
        value: k for k, task in enumerate(tasks) if task.kind == "keys" for value in task.learns
    }
    for task in schedule.tasks:
        step = task.nodes[0]
        if task.kind != "step" or not isinstance(step, Call) or step.function != "encode":
            continue
        *parts, known = step.args
        if not isinstance(known, Aggregate) or known.args != tuple(parts):
            continue
        place = next((counting[value] for value in task.uses if value in counting), None)
        if place is not None:  # both treat missing alike, or the plan was rejected
            tasks[place] = replace(tasks[place], free=(*tasks[place].free, *task.gives))
    return replace(schedule, tasks=tuple(tasks))


def leave_features(schedule: Schedule) -> Schedule:
    """Return a "fit_transform" schedule without the tasks of features, which run after learning.

    Other schedules are unchanged. The columns that the removed tasks read become outputs.
    """
    if schedule.purpose != "fit_transform":
        return schedule
    after = schedule.n_rounds + 1
    left = [task for task in schedule.tasks if task.round < after]
    read = [place for task in schedule.tasks if task.round == after for place in task.reads]
    outputs = tuple(dict.fromkeys((*schedule.outputs, *read)))
    return replace(schedule, tasks=tuple(left), outputs=outputs)


def keep_orders(schedule: Schedule) -> Schedule:
    """Return the schedule with `keeps_order` set for window tasks whose sorted rows are used again.

    The rows of the data are among the rows that windows see, so they share one order.
    """
    tasks, later = list(schedule.tasks), set[Node | None]()
    for k in reversed(range(len(tasks))):
        task = tasks[k]
        if task.kind == "windows" and not is_of_table(schedule, task):
            tasks[k] = replace(task, keeps_order=task.order in later)
            later.add(task.order)
    return replace(schedule, tasks=tuple(tasks))


def mark_last_readers(schedule: Schedule) -> Schedule:
    """Return the schedule with `ScheduledTask.frees` set: the columns that no later task reads.

    A column of visible rows may share memory with a column of the rows: both are freed together.
    """
    alike = _alike(schedule)
    kept = {alike[place] for place in schedule.outputs}
    made = [place for task in schedule.tasks for place in (*task.gives, *task.free)]
    last: dict[ColumnOf, int] = {}
    for k, task in enumerate(schedule.tasks):
        last.update(dict.fromkeys((alike[place] for place in (*task.reads, *task.gives)), k))
    freed: dict[int, list[ColumnOf]] = {}
    for place in dict.fromkeys(made):
        if alike[place] not in kept and alike[place] in last:
            freed.setdefault(last[alike[place]], []).append(place)
    tasks = [replace(task, frees=tuple(freed.get(k, ()))) for k, task in enumerate(schedule.tasks)]
    return replace(schedule, tasks=tuple(tasks))


def _alike(schedule: Schedule) -> list[ColumnOf]:
    """Return for each column the index of the first column with the same expression.

    Rows of the data and rows that windows see count as one space.
    """
    first: dict[Hashable, ColumnOf] = {}
    found: list[ColumnOf] = []
    for place, column in enumerate(schedule.columns):
        space = ROWS if column.space == SEEN else column.space
        found.append(first.setdefault((space, column.origin), place))
    return found


PASSES: tuple[Pass, ...] = (
    share_vocabularies,
    learn_together,
    begin_early,
    merge_windows,
    fuse_programs,
    take_counted_codes,
    leave_features,
    keep_orders,
    mark_last_readers,
)
"""The rewrites, in the order in which they are applied."""


def key_of(aggregate: Aggregate) -> KeyOf:
    """Return the key expressions that an aggregate counts, with their options."""
    params = dict(aggregate.params)
    room = params.get("max_memory", MAX_MEMORY)
    return tuple(aggregate.args), params.get("missing", "key"), room


def _joined(schedule: Schedule, key: Callable[[int, ScheduledTask], Hashable]) -> Schedule:
    """Return the schedule with tasks combined for which `key` returns the same value.

    `key` gets a task's index and the task, and returns None for a task that stays alone. Combined
    tasks stand in the place of the first of them.
    """
    groups: dict[Hashable, list[ScheduledTask]] = {}
    for place, task in enumerate(schedule.tasks):
        own = key(place, task)
        groups.setdefault(("alone", place) if own is None else own, []).append(task)
    if len(groups) == len(schedule.tasks):
        return schedule
    return in_order(replace(schedule, tasks=tuple(map(_as_one, groups.values()))))


def _as_one(tasks: Sequence[ScheduledTask]) -> ScheduledTask:
    """Return one task that does the work of all given ones, with learned values in their order."""
    if len(tasks) == 1:
        return tasks[0]
    tasks = sorted(tasks, key=lambda task: task.learns)

    def all_of(places: Iterable[Iterable[int]]) -> tuple[int, ...]:
        return tuple(dict.fromkeys(_chained(places)))

    return replace(
        tasks[0],
        nodes=tuple(node for task in tasks for node in task.nodes),
        reads=all_of(task.reads for task in tasks),
        uses=all_of(task.uses for task in tasks),
        gives=all_of(task.gives for task in tasks),
        learns=all_of(task.learns for task in tasks),
        n_rounds=max(task.n_rounds for task in tasks),
    )


def _chained(parts: Iterable[Iterable[int]]) -> Iterator[int]:
    for part in parts:
        yield from part
