"""How much history a plan needs: how far back its windows see of each entity."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from fastfeat.errors import counted
from fastfeat.ir.durations import duration_text
from fastfeat.ir.node import Call, Column, Node
from fastfeat.ir.scope import (
    OVER,
    asking_of,
    is_over_window,
    order_of,
    row_order,
    window_nodes,
    window_of,
)
from fastfeat.ir.show import show


def history_needed(roots: Iterable[Node]) -> dict[str, str]:
    """Return how far back windows see, by the entity; see `Plan.history_needed`.

    A window over what windows see of each row looks back from the first of its rows.
    """
    asked: dict[str, list[tuple[Call, float]]] = {}
    for over, before in _asked_before(roots).items():
        order = order_of(over)
        keys = asking_of(order)[1:]
        shown = [key.name if isinstance(key, Column) else show(key) for key in keys]
        entity = ", ".join(shown) or "all rows"
        asked.setdefault(entity, []).append((over, before))
    return {entity: _needed_by(functions) for entity, functions in asked.items()}


def _asked_before(roots: Iterable[Node]) -> dict[Call, float]:
    """Return how long before a row the earliest row is that asks for each function over a window.

    That is 0 where no other window reads the function, and infinite where one reads it of all rows.
    """
    calls = window_nodes(roots)
    before: dict[Call, float] = dict.fromkeys(calls, 0)
    for over in reversed(calls):  # those that read others come first
        given = dict(window_of(over).params)
        bounded = given["last"] is not None
        begin = before[over] + given["last"] + given["offset"] if bounded else math.inf
        for read in row_order([over.args[0], *order_of(over).args]):
            if isinstance(read, Call) and is_over_window(read):
                same_unit = dict(window_of(read).params)["unit"] == given["unit"]
                same_time = order_of(read).args[0] is order_of(over).args[0]
                before[read] = max(before[read], begin if same_unit and same_time else math.inf)
    return before


def _needed_by(asked: Sequence[tuple[Call, float]]) -> str:
    """Return how far back functions over windows of one entity see together.

    Args:
        asked: each function, and how long before a row it is asked for.
    """
    times = {order_of(over).args[0] for over, _ in asked}
    windows = [(dict(window_of(over).params), before) for over, before in asked]
    spans = [before + w["last"] + w["offset"] for w, before in windows if w["last"] is not None]
    by_rows = [pair for pair in asked if dict(window_of(pair[0]).params)["last"] is None]
    rows = [_rows_read(*pair) for pair in by_rows]
    orders = {order_of(over) for over, _ in by_rows}  # which rows are the latest
    if len(times) > 1 or len(orders) > 1 or math.inf in spans or math.inf in rows:
        return "everything"
    is_time = any(w["unit"] == "time" for w, _ in windows)
    span = int(max(spans, default=0))
    texts = [duration_text(span) if is_time else str(span)] if spans else []
    return " and ".join([*texts, counted(int(max(rows)), "row")] if rows else texts)


def _rows_read(over: Call, before: float) -> float:
    """Return how many of an entity's latest rows before the data a function reads, at most.

    Those before a row of the past, or before an offset, may be any number of rows back.

    Args:
        over: the function, over a window that is not bounded in time.
        before: how long before a row it is asked for.
    """
    window = dict(window_of(over).params)
    if before or window["offset"]:
        return math.inf
    return min(_latest_read(over, window), window["rows"] or math.inf)


def _latest_read(over: Call, window: dict[str, Any]) -> float:
    """Return how many of the latest rows in its window a function reads; infinite for all."""
    if window["min_samples"]:  # for which the values of all rows are counted
        return math.inf
    match over.function.removeprefix(OVER):
        case "lag" | "time_since_lag":
            return dict(over.params)["n"]
        case "last" | "time_since" if over.args[0] is order_of(over).args[0]:
            return 1  # no row in a window lacks its time
        case _:
            return math.inf
