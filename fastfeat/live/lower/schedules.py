"""Schedules of a plan that is asked, made once: functions in rounds, steps in schedules."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fastfeat.backends import backend_named
from fastfeat.execute.batch import Batch, Programs
from fastfeat.execute.fitted import Fitted
from fastfeat.execute.steps import lacking_of
from fastfeat.execute.windows import reads_text
from fastfeat.ir.node import Call, Column, Node
from fastfeat.ir.scope import OVER, row_order, window_of
from fastfeat.plan.declare.window_reach import Function, windows_read
from fastfeat.plan.lower.schedule import Schedule
from fastfeat.plan.lower.scheduling import schedule_of_columns
from fastfeat.scalars.zones import using
from fastfeat.steps.windows.rows import window_params


@dataclass(frozen=True, slots=True)
class Statistic:
    """A function over a window, as a backend is asked for it.

    Args:
        call: the function.
        function: its name, without "over.".
        params: its parameters.
        window: those of the window.
        value: what it is of, an expression over the rows.
        is_of_text: whether it reads text itself, as codes.
        is_kept: whether other windows read it.
        kept: what backends make of all this.
    """

    call: Call
    function: str
    params: Mapping[str, Any]
    window: Mapping[str, Any]
    value: Node
    is_of_text: bool
    is_kept: bool
    kept: dict[Any, Any] = field(default_factory=dict[Any, Any])


@dataclass(frozen=True, slots=True)
class Round:
    """Functions over windows of one order of the rows, which are computed together.

    Args:
        stage: that of `LivePlan.stages` in which they are computed.
        order: the place of the order in `LivePlan.orders`.
        time: what is ordered by.
        tie: what orders rows of one instant; None for nothing.
        statistics: the functions; what windows inside them give is known before.
        columns: those of the log that are read.
        kept: by the name of a column of the log, the functions that are read.
        schedule: the steps that are made of the rows before.
        expressions: those that order rows, as far as they are computed.
    """

    stage: int
    order: int
    time: Node
    tie: Node | None
    statistics: tuple[Statistic, ...]
    columns: tuple[str, ...]
    kept: Mapping[str, Call]
    schedule: Schedule
    expressions: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Placing:
    """The steps that put rows into an order.

    Args:
        kept: by the name of a column of the log, the functions over windows that are read.
        schedule: the steps that are made for the time, the keys and the tie.
    """

    kept: Mapping[str, Call]
    schedule: Schedule


@dataclass(frozen=True, slots=True)
class PlanSchedules:
    """The rounds and schedules by which a plan is asked.

    Args:
        fitted: the plan.
        rounds: its functions over windows.
        schedule: the steps that are made after these.
        programs: what computes expressions over rows, kept as they are met.
        local: what a thread keeps of it: a kernel over one row.
        placing: by the order that the plan places rows in, what that needs.
    """

    fitted: Fitted
    rounds: tuple[Round, ...]
    schedule: Schedule
    placing: Mapping[int, Placing]
    programs: Programs = field(default_factory=dict[Any, Any])
    local: threading.local = field(default_factory=threading.local, repr=False)

    def batch(self, table: Any, made: dict[Node, Any], backend: str, first_number: int) -> Batch:
        """Return rows on their way through the plan.

        Args:
            table: the rows.
            made: what is made of them; running steps adds to it.
            backend: its name.
            first_number: the number that the caller knows the first row by.
        """
        fitted = self.fitted
        return Batch(
            table,
            fitted.types,
            backend_named(backend),
            dict(fitted.constants),
            made,
            first_number=first_number,
            programs=self.programs,
        )


def prepare(
    fitted: Fitted,
    grouped: Sequence[tuple[int, int, Sequence[Function]]],
    kept: Mapping[str, Call],
    placed: Mapping[int, Sequence[Node]],
) -> PlanSchedules:
    """Return the rounds and schedules by which a plan is asked.

    Args:
        fitted: the plan.
        grouped: its functions over windows, those of one stage, order and round of nesting
            together, with the stage and the place of the order.
        kept: those that windows read, by the name of their column of the log.
        placed: what times and keys are made of, by the place of each order that it places rows in.
    """
    with using(fitted.zones):
        rounds = tuple(_round(fitted, *one, kept) for one in grouped)
        calls = [function.call for *_, own in grouped for function in own]
        schedule = _schedule(fitted, list(fitted.nodes.values()), calls)
        placing = {order: _placing(fitted, roots, kept) for order, roots in placed.items()}
    return PlanSchedules(fitted, rounds, schedule, placing)


def _placing(fitted: Fitted, values: Sequence[Node], kept: Mapping[str, Call]) -> Placing:
    inner = windows_read(values)
    return Placing(_read_of(kept, inner), _schedule(fitted, values, inner))


def _read_of(kept: Mapping[str, Call], inner: Sequence[Call]) -> dict[str, Call]:
    """Return the columns of the log that are functions over windows which are read."""
    return {name: call for name, call in kept.items() if call in inner}


def _round(
    fitted: Fitted,
    stage: int,
    order: int,
    functions: Sequence[Function],
    kept: Mapping[str, Call],
) -> Round:
    time, *_ = functions[0].order.args
    tie = functions[0].order.args[-1] if dict(functions[0].order.params)["has_tie"] else None
    statistics = tuple(_statistic(fitted, function) for function in functions)
    ordering = [time, *([] if tie is None else [tie])]
    read = [*ordering, *(one.value for one in statistics)]
    inner = windows_read(read)
    nodes = row_order(read)
    return Round(
        stage,
        order,
        time,
        tie,
        statistics,
        tuple(dict.fromkeys(node.name for node in nodes if isinstance(node, Column))),
        _read_of(kept, inner),
        _schedule(fitted, read, inner),
        tuple(node for node in ordering if not isinstance(node, Column)),
    )


def _statistic(fitted: Fitted, one: Function) -> Statistic:
    call = one.call
    value, window = call.args[0], window_params(window_of(call))
    function, is_of_text = call.function.removeprefix(OVER), reads_text(fitted.types, call, value)
    return Statistic(call, function, dict(call.params), window, value, is_of_text, one.is_kept)


def _schedule(fitted: Fitted, roots: Sequence[Node], known: Sequence[Node]) -> Schedule:
    """Return the schedule of the steps that rows read for expressions, but those that are known."""
    made: dict[Node, Any] = dict.fromkeys(known)
    rows = Batch(None, fitted.types, backend_named("cpu"), dict(fitted.constants), made)
    return lacking_of(rows, schedule_of_columns(roots, fitted.types))
