"""Schedules of one plan over a log, made once: which window functions and steps run when.

A step is a computation in Python or NumPy that the plan needs beside compiled programs. A round is
a group of window functions of one order that are computed together. Kept window functions are those
that other windows read; the log stores their results in columns.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Any

from fastfeat_kernels.records import dataclass

from fastfeat.backends import backend_named
from fastfeat.execute.batch import Batch, Programs
from fastfeat.execute.fitted import Fitted
from fastfeat.execute.steps import without_computed_tasks
from fastfeat.execute.windows import reads_text
from fastfeat.ir.node import Call, Column, Node
from fastfeat.ir.scope import OVER, row_order, window_of
from fastfeat.plan.declare.window_reach import LiveFunction, windows_read
from fastfeat.plan.lower.schedule import Schedule
from fastfeat.plan.lower.scheduling import schedule_of_columns
from fastfeat.scalars.zones import use_zone_tables
from fastfeat.steps.windows.rows import window_params


@dataclass(frozen=True, slots=True)
class WindowStatisticCall:
    """A window function, in the form in which backends compute it.

    Args:
        call: Node of the function.
        function: Name of the function, without "over.".
        params: Parameters of the function.
        window: Parameters of the window.
        value: Expression that the function aggregates over the rows.
        is_of_text: Whether the function reads text, which backends take as integer codes.
        is_kept: Whether other windows read its results.
        kept: Cache in which backends keep prepared data.
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
class WindowRound:
    """A group of window functions of one order that are computed together.

    Args:
        stage: Index of the stage in `LivePlan.stages`.
        order: Index of the order in `LivePlan.orders`.
        time: Expression by which rows are sorted.
        tie: Expression that sorts rows with equal times; None for none.
        statistics: The functions; results of window functions that they read are already known.
        columns: Names of the log columns that they read.
        kept: Log column name to window function, for the stored window results that they read.
        schedule: Steps that compute their inputs from the rows.
        expressions: The time and the tie, if they are no plain columns.
    """

    stage: int
    order: int
    time: Node
    tie: Node | None
    statistics: tuple[WindowStatisticCall, ...]
    columns: tuple[str, ...]
    kept: Mapping[str, Call]
    schedule: Schedule
    expressions: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class OrderSchedule:
    """The computation of the time, the keys and the tie of rows in one order.

    Args:
        kept: Log column name to window function, for the stored window results that it reads.
        schedule: Steps to run.
    """

    kept: Mapping[str, Call]
    schedule: Schedule


@dataclass(frozen=True, slots=True)
class PlanSchedules:
    """Everything that is needed to compute one plan over a log.

    Args:
        fitted: The plan.
        rounds: Groups of window functions, in order of computation.
        schedule: Steps to run after all rounds.
        programs: Cache of compiled programs for expressions over rows.
        local: Cache of each thread: the kernel that computes one row.
        placing: Index of an order that the plan places rows in, to the computation of its time and
            keys.
    """

    fitted: Fitted
    rounds: tuple[WindowRound, ...]
    schedule: Schedule
    placing: Mapping[int, OrderSchedule]
    programs: Programs = field(default_factory=dict[Any, Any])
    local: threading.local = field(default_factory=threading.local, repr=False)

    def batch(self, table: Any, made: dict[Node, Any], backend: str, first_number: int) -> Batch:
        """Return a new batch of rows, in which the plan's columns can be computed.

        Args:
            table: The rows.
            made: Known values by node, such as table columns; running steps adds to it.
            backend: Name of the backend.
            first_number: Number of the first row in error messages.
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
    grouped: Sequence[tuple[int, int, Sequence[LiveFunction]]],
    kept: Mapping[str, Call],
    placed: Mapping[int, Sequence[Node]],
) -> PlanSchedules:
    """Return the schedules of one plan.

    Args:
        fitted: The plan.
        grouped: For each group of window functions: index of the stage, index of the order, and the
            functions.
        kept: Log column name to window function that other windows read.
        placed: Index of each order that the plan places rows in, to the expressions for its time
            and keys.
    """
    with use_zone_tables(fitted.zones):
        rounds = tuple(_round(fitted, *one, kept) for one in grouped)
        calls = [function.call for *_, own in grouped for function in own]
        schedule = _schedule(fitted, list(fitted.nodes.values()), calls)
        placing = {order: _placing(fitted, roots, kept) for order, roots in placed.items()}
    return PlanSchedules(fitted, rounds, schedule, placing)


def _placing(fitted: Fitted, values: Sequence[Node], kept: Mapping[str, Call]) -> OrderSchedule:
    inner = windows_read(values)
    return OrderSchedule(_read_of(kept, inner), _schedule(fitted, values, inner))


def _read_of(kept: Mapping[str, Call], inner: Sequence[Call]) -> dict[str, Call]:
    """Return the part of `kept` with the functions in `inner`."""
    return {name: call for name, call in kept.items() if call in inner}


def _round(
    fitted: Fitted,
    stage: int,
    order: int,
    functions: Sequence[LiveFunction],
    kept: Mapping[str, Call],
) -> WindowRound:
    time, *_ = functions[0].order.args
    tie = functions[0].order.args[-1] if dict(functions[0].order.params)["has_tie"] else None
    statistics = tuple(_statistic(fitted, function) for function in functions)
    ordering = [time, *([] if tie is None else [tie])]
    read = [*ordering, *(one.value for one in statistics)]
    inner = windows_read(read)
    nodes = row_order(read)
    return WindowRound(
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


def _statistic(fitted: Fitted, one: LiveFunction) -> WindowStatisticCall:
    call = one.call
    value, window = call.args[0], window_params(window_of(call))
    function, is_of_text = call.function.removeprefix(OVER), reads_text(fitted.types, call, value)
    return WindowStatisticCall(
        call, function, dict(call.params), window, value, is_of_text, one.is_kept
    )


def _schedule(fitted: Fitted, roots: Sequence[Node], known: Sequence[Node]) -> Schedule:
    """Return the steps that the expressions `roots` need; the nodes `known` need no step."""
    made: dict[Node, Any] = dict.fromkeys(known)
    rows = Batch(None, fitted.types, backend_named("cpu"), dict(fitted.constants), made)
    return without_computed_tasks(rows, schedule_of_columns(roots, fitted.types))
