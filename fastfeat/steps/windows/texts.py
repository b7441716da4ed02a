"""Windows as Python text: a window, the order of its rows, and the functions over it."""

from __future__ import annotations

from typing import Any

from fastfeat.ir.durations import length_text, moment_text
from fastfeat.ir.node import Call, Node, TableColumn
from fastfeat.ir.scope import OVER
from fastfeat.ir.writing import Texts, column_text, pairs_text

BY_TIME = "_by"
"""Suffix of functions with weights that fall with time; the method's name lacks it."""
_AFTER = ("tie", "table", "right_time")
"""Parameters of an order that are written after the window's own parameters."""


def window_text(node: Call, texts: Texts) -> str | None:
    """Return a window as Python text; None if the node has no order of rows."""
    order = _order(node, texts)
    if order is None:
        return None
    given = dict(node.params)
    unit = given["unit"]
    written = [] if given["last"] is None else [length_text(given["last"], unit)]
    if given["rows"] is not None:
        written.append(f"rows={given['rows']}")
    written += _named(order, "by", "time")
    if given["offset"]:
        written.append(f"offset={length_text(given['offset'], unit)}")
    if given["closed"] != "left":
        written.append(f"closed={given['closed']!r}")
    if given["min_samples"]:
        written.append(f"min_samples={given['min_samples']}")
    return f"ff.window({', '.join([*written, *_named(order, *_AFTER)])})"


def ahead_text(node: Call, texts: Texts) -> str | None:
    """Return a window over later rows as Python text; None if the node has no order of rows."""
    order = _order(node, texts)
    if order is None:
        return None
    given = dict(node.params)
    unit, end = given["unit"], given["end"]
    written = [length_text(given["next"], unit), *_named(order, "by", "time")]
    if given["gap"]:
        written.append(f"gap={length_text(given['gap'], unit)}")
    written += _named(order, *_AFTER)
    if end is not None:
        written.append(f"end={moment_text(end)!r}" if unit == "time" else f"end={end}")
    return f"ff.ahead({', '.join(written)})"


def order_text(node: Call, texts: Texts) -> str:
    """Return an order of rows as text; users write it only as part of a window."""
    return ", ".join(texts[part] for part in node.args)


def over_text(node: Call, texts: Texts) -> str | None:
    """Return a function over a window as Python text: a method of its values."""
    match node.args:
        case (x, over):
            given = [f"{name}={value!r}" for name, value in node.params]
            function = node.function.removeprefix(OVER)
            return f"{texts[x]}.{function}({', '.join([*given, f'over={texts[over]}'])})"
        case _:
            return None


def by_time_text(node: Call, texts: Texts) -> str | None:
    """Return a function with weights that decay with time as Python text."""
    match node.args, node.params:
        case (x, Call(_, _, window) as over), (("half_life", half_life),):
            length = length_text(half_life, dict(window)["unit"])
            method = node.function.removeprefix(OVER).removesuffix(BY_TIME)
            return f"{texts[x]}.{method}(half_life={length}, over={texts[over]})"
        case _:
            return over_text(node, texts)


def since_lag_text(node: Call, texts: Texts) -> str | None:
    """Return "time since an earlier row" as Python text; sessions are built from it."""
    match node.args, node.params:
        case (_, over), (("n", n),):
            return f"time_since_lag(n={n!r}, over={texts[over]})"
        case _:
            return over_text(node, texts)


def _named(order: dict[str, str], *names: str) -> list[str]:
    return [f"{name}={order[name]}" for name in names if name in order]


def _order(window: Call, texts: Texts) -> dict[str, str] | None:
    """Return the arguments that order a window's rows, as text by parameter name.

    The result is None if the window has no order.
    """
    match window.args:
        case (Call("order", parts, order),):
            return _order_of_rows(parts, dict(order), texts)
        case (Call("table_order", parts, order),):
            return _order_of_table(parts, dict(order), texts)
        case _:
            return None


def _order_of_rows(parts: tuple[Node, ...], order: dict[str, Any], texts: Texts) -> dict[str, str]:
    shown = [column_text(part, texts) for part in parts]
    keys = shown[1 : 1 + order["n_keys"]]
    by = {"by": keys[0] if len(keys) == 1 else f"[{', '.join(keys)}]"} if keys else {}
    tie = {"tie": shown[-1]} if order["has_tie"] else {}
    return {**by, "time": shown[0], **tie}


def _order_of_table(parts: tuple[Node, ...], order: dict[str, Any], texts: Texts) -> dict[str, str]:
    """Return the arguments that order a table's rows, as text, with the data's time and keys."""
    n, columns = 1 + order["n_keys"], [part for part in parts if isinstance(part, TableColumn)]
    right, own = columns[0], column_text(parts[0], texts)
    keys = *parts[1:n], *parts[n + 1 : 2 * n]
    shown = {"by": pairs_text(keys, texts)} if keys else {}
    shown["time"] = own
    if order["has_tie"]:
        shown["tie"] = repr(columns[-1].name)
    shown["table"] = repr(right.table)
    other = repr(right.name)
    return shown if own == other else {**shown, "right_time": other}
