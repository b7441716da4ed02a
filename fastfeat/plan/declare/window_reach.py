"""How far the windows of a plan look back in each entity: for a history, and for a live state.

A history holds the rows before some given rows, and everything that windows see is computed again.
A window over the results of another window therefore reaches back from the first of its own rows.
A live state stores, beside each row, the results that other windows read, so there each function
reaches back alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from fastfeat_kernels.records import dataclass

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
    """How far windows look back in an entity: a time span, a number of rows, or both.

    Args:
        span: Greatest age of rows, in nanoseconds or in steps of an integer clock; None if no
            window is bounded by time.
        n_rows: Number of latest rows that are needed in addition; None for all rows.
        unit: Unit of the span, "time" or "steps".
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
class LiveFunction:
    """A window function in the schedule of a live state.

    Args:
        call: The function.
        reach: How far it sees back into the entity, from the entity's latest row.
        at: Nesting depth, from 0; greater than that of all functions that it reads.
        placed: Number, from 0, of the stage in which rows are sorted for it; after the stages of
            all functions that compute its time, key or tie.
        stage: Number of the stage in which it is computed: rows are sorted, inputs are ready.
        is_kept: Whether another window reads it, so that the state stores it beside each row.
        features: Names of the features that read it, directly or not.
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
        """The order (time column and entity keys) of the rows that it reads."""
        return order_of(self.call)


def history_needed(roots: Iterable[Node]) -> dict[str, str]:
    """Return how far windows look back, as text by entity; see `Plan.history_needed`."""
    return {entity: str(reach) for entity, reach in history_reach(roots).items()}


def history_reach(roots: Iterable[Node]) -> dict[str, Reach]:
    """Return how far windows look back before given rows, by entity."""
    asked: dict[str, list[tuple[Call, float]]] = {}
    for over, before in _asked_before(roots).items():
        asked.setdefault(entity_text(order_of(over)), []).append((over, before))
    return {entity: _needed_by(functions) for entity, functions in asked.items()}


def entity_text(order: Call) -> str:
    """Return the entity keys of an order as text: "user, shop", or "all rows"."""
    keys = query_of(order)[1:]
    shown = [key.name if isinstance(key, Column) else show(key) for key in keys]
    return ", ".join(shown) or "all rows"


def live_functions(named: Iterable[tuple[str, Node]]) -> list[LiveFunction]:
    """Return the window functions that features read, each after the functions that it reads."""
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
        LiveFunction(
            *(over, live_reach(over), at[over], placed[over], stage[over]),
            is_kept=over in kept,
            features=tuple(features[over]),
        )
        for over in ordered
    ]


def _inner_first(calls: Iterable[Call]) -> list[Call]:
    """Return the window functions, each after the functions that it reads."""
    return window_nodes(list(calls))


def windows_read(roots: Sequence[Node]) -> list[Call]:
    """Return the window functions that expressions read directly, without nested ones."""
    return [node for node in row_order(roots) if isinstance(node, Call) and is_over_window(node)]


def live_reach(over: Call) -> Reach:
    """Return how far a window function looks back from the latest row of an entity.

    The live state stores the results that windows read beside the rows. A window with an offset and
    no limit in time sees the latest rows before the offset.
    """
    window = dict(window_of(over).params)
    offset, unit = window["offset"], window["unit"] or "time"
    if window["last"] is not None:
        return Reach(window["last"] + offset, 0, unit)
    n_rows = _rows_of_window(over, window)
    span = offset if offset else None
    return Reach(None, None, unit) if n_rows == math.inf else Reach(span, int(n_rows), unit)


def merge_reaches(reaches: Sequence[Reach]) -> Reach:
    """Return the smallest reach that covers all of the given ones, for functions of one order."""
    spans = [reach.span for reach in reaches if reach.span is not None]
    n_rows = [math.inf if reach.n_rows is None else reach.n_rows for reach in reaches]
    unit = next((reach.unit for reach in reaches if reach.span is not None), "time")
    if math.inf in n_rows:
        return Reach(None, None, unit)
    return Reach(max(spans, default=None), int(max(n_rows, default=0)), unit)


def _asked_before(roots: Iterable[Node]) -> dict[Call, float]:
    """Return for each window function how long before a row another window may read its result.

    It is 0 if no other window reads the function, and infinite if one reads it for all rows.
    """
    calls = window_nodes(roots)
    before: dict[Call, float] = dict.fromkeys(calls, 0)
    for over in reversed(calls):  # functions that read others come first
        given = dict(window_of(over).params)
        bounded = given["last"] is not None
        begin = before[over] + given["last"] + given["offset"] if bounded else math.inf
        for read in windows_read([over.args[0], *order_of(over).args]):
            same_unit = dict(window_of(read).params)["unit"] == given["unit"]
            same_time = order_of(read).args[0] is order_of(over).args[0]
            before[read] = max(before[read], begin if same_unit and same_time else math.inf)
    return before


def _needed_by(asked: Sequence[tuple[Call, float]]) -> Reach:
    """Return how far the window functions of one entity look back together.

    `asked` holds each function, and how long before a row its result is needed.
    """
    times = {order_of(over).args[0] for over, _ in asked}
    windows = [(dict(window_of(over).params), before) for over, before in asked]
    spans = [before + w["last"] + w["offset"] for w, before in windows if w["last"] is not None]
    by_rows = [pair for pair in asked if dict(window_of(pair[0]).params)["last"] is None]
    rows = [_rows_read(*pair) for pair in by_rows]
    orders = {order_of(over) for over, _ in by_rows}  # the order decides which rows are the latest
    unit = "time" if any(w["unit"] == "time" for w, _ in windows) else "steps"
    if len(times) > 1 or len(orders) > 1 or math.inf in spans or math.inf in rows:
        return Reach(None, None, unit)
    return Reach(int(max(spans)) if spans else None, int(max(rows, default=0)), unit)


def _rows_read(over: Call, before: float) -> float:
    """Return the number of latest rows before the data that a function reads, at most, per entity.

    `over` has a window that is not bounded in time. If its result is needed `before` a row, or it
    has an offset, the rows may lie any number of rows back.
    """
    window = dict(window_of(over).params)
    return math.inf if before or window["offset"] else _rows_of_window(over, window)


def _rows_of_window(over: Call, window: dict[str, Any]) -> float:
    """Return the number of latest rows that a window unbounded in time reads; infinite for all."""
    return min(_latest_read(over, window), window["rows"] or math.inf)


def _latest_read(over: Call, window: dict[str, Any]) -> float:
    """Return the number of latest rows in its window that a function reads; infinite for all."""
    if window["min_samples"]:  # min_samples counts the values of all rows
        return math.inf
    match function_over(over).picks:
        case "n-th":
            return dict(over.params)["n"]
        case "latest" if over.args[0] is order_of(over).args[0]:
            return 1  # every row in a window has its time
        case _:
            return math.inf
