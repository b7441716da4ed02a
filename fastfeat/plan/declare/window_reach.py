"""Reach of the windows of a plan back into each entity: for a history, and in a live state.

A history is what comes before some rows, and all that windows see of it is computed anew: a window
over what windows see of each row looks back from the first of its rows. In a live state, what a
function that windows read gave for a row stands beside the row: each function looks back alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from fastfeat.errors import counted
from fastfeat.ir.durations import duration_text
from fastfeat.ir.node import Call, Column, Node
from fastfeat.ir.scope import (
    is_over_window,
    order_of,
    query_of,
    row_order,
    window_nodes,
    window_of,
)
from fastfeat.ir.show import show
from fastfeat.steps.windows.rows import function_over


@dataclass(frozen=True, slots=True)
class Reach:
    """The reach of windows back into an entity.

    Args:
        span: rows not older than this, in nanoseconds or in steps of an integer clock; None where
            no window is bounded by time.
        n_rows: beside these, so many latest rows before them; None for all rows.
        unit: of the span, "time" or "steps".
    """

    span: int | None
    n_rows: int | None
    unit: str = "time"

    @property
    def is_everything(self) -> bool:
        """Whether all rows of the entity are seen."""
        return self.n_rows is None

    def __str__(self) -> str:
        """Return the reach as text: "7d", "28 rows", "7d and 1 row" or "everything"."""
        if self.n_rows is None:
            return "everything"
        span = self.span or 0
        by_time = duration_text(span) if self.unit == "time" else str(span)
        by_rows = [counted(self.n_rows, "row")] if self.n_rows else []
        return " and ".join([*([] if self.span is None else [by_time]), *by_rows])


@dataclass(frozen=True, slots=True)
class Function:
    """A function of the rows in a window, as a live state computes it.

    Args:
        call: the function.
        reach: how far back it sees of the entity, from the entity's latest row.
        at: the round in which it is computed, from 0: after all functions that it reads.
        placed: the stage in which rows are put into its order, from 0: after that of all functions
            that make its time, its key or its tie.
        stage: that in which it is computed: once its order is there, and all that it reads.
        is_kept: whether another window reads it, so that it stands in the state beside each row.
        features: the names of those that read it, by whichever way.
    """

    call: Call
    reach: Reach
    at: int
    placed: int
    stage: int
    is_kept: bool
    features: tuple[str, ...]

    @property
    def order(self) -> Call:
        """The order of the rows that it reads."""
        return order_of(self.call)


def history_needed(roots: Iterable[Node]) -> dict[str, str]:
    """Return the reach of windows as text, by the entity; see `Plan.history_needed`."""
    return {entity: str(reach) for entity, reach in history_reach(roots).items()}


def history_reach(roots: Iterable[Node]) -> dict[str, Reach]:
    """Return the reach of windows before some rows, by the entity; see `Plan.reach`."""
    asked: dict[str, list[tuple[Call, float]]] = {}
    for over, before in _asked_before(roots).items():
        asked.setdefault(entity_text(order_of(over)), []).append((over, before))
    return {entity: _needed_by(functions) for entity, functions in asked.items()}


def entity_text(order: Call) -> str:
    """Return the keys that tell the entities of an order apart, as text."""
    keys = query_of(order)[1:]
    shown = [key.name if isinstance(key, Column) else show(key) for key in keys]
    return ", ".join(shown) or "all rows"


def live_functions(named: Iterable[tuple[str, Node]]) -> list[Function]:
    """Return the functions over windows of some features, those that others read first.

    Args:
        named: the features.
    """
    features: dict[Call, dict[str, None]] = {}
    for name, root in named:
        for over in window_nodes([root]):
            features.setdefault(over, {})[name] = None
    at: dict[Node, int] = {}
    placed: dict[Node, int] = {}
    stage: dict[Node, int] = {}
    kept: set[Node] = set()
    for over in _inner_first(features):
        of_value, of_order = windows_read([over.args[0]]), windows_read(order_of(over).args)
        kept.update(of_value, of_order)
        at[over] = 1 + max((at[inner] for inner in [*of_value, *of_order]), default=-1)
        placed[over] = 1 + max((stage[inner] for inner in of_order), default=-1)
        stage[over] = max([placed[over], *(stage[inner] for inner in of_value)])
    ordered = sorted(features, key=at.__getitem__)
    return [
        Function(
            *(over, live_reach(over), at[over], placed[over], stage[over]),
            is_kept=over in kept,
            features=tuple(features[over]),
        )
        for over in ordered
    ]


def _inner_first(calls: Iterable[Call]) -> list[Call]:
    """Return functions over windows, each after those that it reads."""
    return window_nodes(list(calls))


def windows_read(roots: Sequence[Node]) -> list[Call]:
    """Return the functions over windows that a row reads for expressions, none below those."""
    return [node for node in row_order(roots) if isinstance(node, Call) and is_over_window(node)]


def live_reach(over: Call) -> Reach:
    """Return the reach of a function over a window, back from the latest row of an entity.

    All that windows read stands beside the rows. With an offset, the latest rows of a window that
    is not bounded in time are those before the offset.
    """
    window = dict(window_of(over).params)
    offset, unit = window["offset"], window["unit"] or "time"
    if window["last"] is not None:
        return Reach(window["last"] + offset, 0, unit)
    n_rows = _rows_of_window(over, window)
    span = offset if offset else None
    return Reach(None, None, unit) if n_rows == math.inf else Reach(span, int(n_rows), unit)


def together(reaches: Sequence[Reach]) -> Reach:
    """Return the common reach of functions over one order of the rows."""
    spans = [reach.span for reach in reaches if reach.span is not None]
    n_rows = [math.inf if reach.n_rows is None else reach.n_rows for reach in reaches]
    unit = next((reach.unit for reach in reaches if reach.span is not None), "time")
    if math.inf in n_rows:
        return Reach(None, None, unit)
    return Reach(max(spans, default=None), int(max(n_rows, default=0)), unit)


def _asked_before(roots: Iterable[Node]) -> dict[Call, float]:
    """Return the time from the earliest row that asks for it to a row, by function over a window.

    That is 0 where no other window reads the function, and infinite where one reads it of all rows.
    """
    calls = window_nodes(roots)
    before: dict[Call, float] = dict.fromkeys(calls, 0)
    for over in reversed(calls):  # those that read others come first
        given = dict(window_of(over).params)
        bounded = given["last"] is not None
        begin = before[over] + given["last"] + given["offset"] if bounded else math.inf
        for read in windows_read([over.args[0], *order_of(over).args]):
            same_unit = dict(window_of(read).params)["unit"] == given["unit"]
            same_time = order_of(read).args[0] is order_of(over).args[0]
            before[read] = max(before[read], begin if same_unit and same_time else math.inf)
    return before


def _needed_by(asked: Sequence[tuple[Call, float]]) -> Reach:
    """Return the common reach of functions over windows of one entity.

    Args:
        asked: each function, and how long before a row it is asked for.
    """
    times = {order_of(over).args[0] for over, _ in asked}
    windows = [(dict(window_of(over).params), before) for over, before in asked]
    spans = [before + w["last"] + w["offset"] for w, before in windows if w["last"] is not None]
    by_rows = [pair for pair in asked if dict(window_of(pair[0]).params)["last"] is None]
    rows = [_rows_read(*pair) for pair in by_rows]
    orders = {order_of(over) for over, _ in by_rows}  # which rows are the latest
    unit = "time" if any(w["unit"] == "time" for w, _ in windows) else "steps"
    if len(times) > 1 or len(orders) > 1 or math.inf in spans or math.inf in rows:
        return Reach(None, None, unit)
    return Reach(int(max(spans)) if spans else None, int(max(rows, default=0)), unit)


def _rows_read(over: Call, before: float) -> float:
    """Return the number of an entity's latest rows before the data that a function reads, at most.

    Those before a row of the past, or before an offset, may be any number of rows back.

    Args:
        over: the function, over a window that is not bounded in time.
        before: how long before a row it is asked for.
    """
    window = dict(window_of(over).params)
    return math.inf if before or window["offset"] else _rows_of_window(over, window)


def _rows_of_window(over: Call, window: dict[str, Any]) -> float:
    """Return the number of latest rows before its end that a function reads; infinite for all.

    Args:
        over: the function, over a window that is not bounded in time.
        window: the parameters of the window.
    """
    return min(_latest_read(over, window), window["rows"] or math.inf)


def _latest_read(over: Call, window: dict[str, Any]) -> float:
    """Return the number of latest rows in its window that a function reads; infinite for all."""
    if window["min_samples"]:  # for which the values of all rows are counted
        return math.inf
    match function_over(over).picks:
        case "n-th":
            return dict(over.params)["n"]
        case "latest" if over.args[0] is order_of(over).args[0]:
            return 1  # no row in a window lacks its time
        case _:
            return math.inf
