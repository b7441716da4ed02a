"""Schedules as text: the tasks of each round, in order, with the sets of rows that they run on.

A schedule is the list of tasks that run a plan. A round is a pass over the training rows. A space
is a set of rows: the rows of the data, the history followed by the rows of the data, the rows of a
table, or the elements of lists.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby

from fastfeat_kernels.records import dataclass

from fastfeat.errors import counted
from fastfeat.ir.node import Call, Column, Node, TableColumn
from fastfeat.ir.show import show_all
from fastfeat.plan.lower.schedule import ColumnOf, Schedule, ScheduledTask, ValueOf
from fastfeat.tell.explain_live import order_text

_TITLES = {
    "apply": "features of later rows",
    "training": "features of the training rows",
    "fit": "fit",
    "fit in parts": "fit over data in parts",
    "fit_transform": "fit, followed by features of the training rows",
    "columns": "columns",
}
_KEPT = {
    "artifact": "",
    "artifact and fit": ", also outside of each fold",
    "fit": ", for training rows only",
}
_MOST = 12
"""Limit on the columns or values on a line."""
_MOST_LEARNT = 3


@dataclass(frozen=True, slots=True)
class _NamedSchedule:
    """A schedule with a name for each of its columns and values.

    The name is the number of the task that makes the column or value, such as "[3]". If no task
    makes it, the name is its expression.
    """

    schedule: Schedule
    shown: dict[Node, str]
    columns: dict[ColumnOf, str]
    values: dict[ValueOf, str]


def describe_schedule(schedule: Schedule) -> str:
    """Return a schedule as text: the numbered tasks of each round.

    Each task is shown with its space. A column or value that a task makes is called by the task's
    number: [3], or [3.2] for the second of several.
    """
    named = _name_results(schedule)
    read = {
        schedule.columns[place].space for task in schedule.tasks for place in _columns_of_task(task)
    }
    spaces = ", ".join(schedule.spaces[space].name for space in sorted(read)) or "rows"
    title = f"{_TITLES[schedule.purpose]}: {counted(len(schedule.tasks), 'task')} over {spaces}"
    if schedule.n_rounds:
        bound = "at most " if any(task.n_rounds > 1 for task in schedule.tasks) else ""
        title += f", {bound}{counted(schedule.n_rounds, 'round')}"
    lines = [title]
    numbered = enumerate(schedule.tasks, 1)
    for number, members in groupby(numbered, key=lambda pair: pair[1].round):
        if schedule.n_rounds:
            lines.append(f"  round {number}:")
        indent = "    " if schedule.n_rounds else "  "
        for k, task in members:
            lines += (f"{indent}{line}" for line in _task(named, k, task))
    return "\n".join(lines)


def _columns_of_task(task: ScheduledTask) -> tuple[ColumnOf, ...]:
    return (*task.reads, *task.gives)


def _name_results(schedule: Schedule) -> _NamedSchedule:
    nodes = [*(c.origin for c in schedule.columns), *(v.origin for v in schedule.values)]
    shown = show_all(nodes) | {n: n.name for n in nodes if isinstance(n, Column | TableColumn)}
    columns = {place: shown[column.origin] for place, column in enumerate(schedule.columns)}
    values = {place: shown[value.origin] for place, value in enumerate(schedule.values)}
    for number, task in enumerate(schedule.tasks, 1):
        for names, places in ((columns, task.gives), (values, task.learns)):
            for k, place in enumerate(places, 1):
                names[place] = f"[{number}.{k}]" if len(places) > 1 else f"[{number}]"
    return _NamedSchedule(schedule, shown, columns, values)


def _task(named: _NamedSchedule, number: int, task: ScheduledTask) -> Iterator[str]:
    """Yield the lines that describe a task; `number` counts tasks from 1."""
    schedule = named.schedule
    places = task.gives or task.reads
    own = schedule.columns[places[0]].space if places else 0
    order = f", {order_text(task.order)}" if isinstance(task.order, Call) else ""
    rounds = f", at most {task.n_rounds} rounds" if task.n_rounds > 1 else ""
    yield f"{number}. {task.kind} of {schedule.spaces[own].name}{order}{rounds}"
    yield from _line("reads", (_column(named, place, own) for place in task.reads))
    yield from _line("uses", _used_value_names(named, task))
    if task.kind != "features":
        yield from _result_lines("gives", [_column_text(named, place) for place in task.gives])
        yield from _result_lines("learns", [_learnt(named, value) for value in task.learns])
    yield from _line("may also give", (_column(named, place, own) for place in task.free))
    if task.keeps_order:
        yield "   keeps the order of its rows"
    yield from _line("frees", (_column(named, place, own) for place in task.frees))


def _used_value_names(named: _NamedSchedule, task: ScheduledTask) -> list[str]:
    """Return the names of the learnt values that a task uses.

    If the task uses many values of earlier schedules, only their number is given.
    """
    learnt = {value for other in named.schedule.tasks for value in other.learns}
    before = [value for value in task.uses if value not in learnt]
    if len(before) <= _MOST_LEARNT:
        return [named.values[value] for value in task.uses]
    own = [named.values[value] for value in task.uses if value in learnt]
    return [*own, counted(len(before), "learnt value")]


def _column(named: _NamedSchedule, place: ColumnOf, own: int) -> str:
    """Return the name of a column, with its space if this differs from `own`, the task's space."""
    space = named.schedule.columns[place].space
    name = named.columns[place]
    return name if space == own else f"{named.schedule.spaces[space].name}: {name}"


def _column_text(named: _NamedSchedule, place: ColumnOf) -> str:
    column = named.schedule.columns[place]
    width = ""
    if column.width is not None:
        width = f", one column per key of {named.values[column.width]}"
    return f"{named.shown[column.origin]}: {column.dtype}{width}"


def _learnt(named: _NamedSchedule, place: ValueOf) -> str:
    value = named.schedule.values[place]
    return f"{named.shown[value.origin]}{_KEPT[value.keep]}"


def _line(word: str, texts: Iterable[str]) -> Iterator[str]:
    """Yield `word` followed by names, of which only the first are listed; nothing without names."""
    found = [*dict.fromkeys(texts)]
    if found:
        more = f" and {len(found) - _MOST} more" if len(found) > _MOST else ""
        yield f"   {word} {', '.join(found[:_MOST])}{more}"


def _result_lines(word: str, texts: list[str]) -> Iterator[str]:
    """Yield `word` followed by the results of a task, numbered if there are several."""
    if len(texts) == 1:
        yield f"   {word} {texts[0]}"
    elif texts:
        yield f"   {word}"
        yield from (f"     {k}. {text}" for k, text in enumerate(texts, 1))
