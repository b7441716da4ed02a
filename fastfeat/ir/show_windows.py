"""Printing windows, and what is over them, as the code of a user."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastfeat.ir.durations import length_text, moment_text
from fastfeat.ir.node import Call, Column, Literal, Node, TableColumn
from fastfeat.ir.scope import OVER, seen_of
from fastfeat.ir.show_keys import shown_pairs
from fastfeat.ir.show_signs import bare


def show_of_windows(node: Node, texts: Mapping[Node, str]) -> str | None:
    """Return the text of a node that has to do with windows; None for any other.

    Args:
        node: what is shown.
        texts: those of the nodes below it.
    """
    match node:
        case Call("window", (Call("order" | "table_order" as kind, parts, order),), params):
            shown = [texts[part] for part in parts]
            show_order = _order if kind == "order" else _table_order
            written = _window(show_order(parts, shown, dict(order)), dict(params))
            return f"ff.window({', '.join(written)})"
        case Call("over.sum", (Call("fill_null", (begins, _)), over)) if _is_session(begins, over):
            return _session(begins, over, texts)
        case Call("ahead", (Call("order" | "table_order" as kind, parts, order),), params):
            shown = [texts[part] for part in parts]
            show_order = _order if kind == "order" else _table_order
            written = _ahead(show_order(parts, shown, dict(order)), dict(params))
            return f"ff.ahead({', '.join(written)})"
        case Call("order" | "table_order", parts):
            return ", ".join(texts[part] for part in parts)
        case Call("over.ewm_mean_by", (x, Call(_, _, window) as over), (("half_life", half_life),)):
            reach = length_text(half_life, dict(window)["unit"])
            return f"{texts[x]}.ewm_mean(half_life={reach}, over={texts[over]})"
        case Call("over.time_since", (moment, Call("window") as over)):
            return _time_since(moment, over, texts)
        case Call("over.time_since_lag", (_, over), (("n", n),)):
            return f"time_since_lag(n={n!r}, over={texts[over]})"
        case Call(function, (x, over), params) if function.startswith(OVER):
            given = [*(f"{name}={value!r}" for name, value in params), f"over={texts[over]}"]
            return f"{texts[x]}.{function.removeprefix(OVER)}({', '.join(given)})"
        case _:
            return None


def _time_since(moment: Node, window: Call, texts: Mapping[Node, str]) -> str:
    """Return the text of the time since the latest of some moments."""
    match moment:
        case _ if _is_time(moment, window):
            return f"ff.time_since_last(over={texts[window]})"
        case Call("when", (held, time, Literal(None))) if _is_time(time, window):
            return f"ff.time_since({bare(held, texts[held])}, over={texts[window]})"
        case _:  # of a plan that someone has altered
            return f"time_since({texts[moment]}, over={texts[window]})"


def _is_session(begins: Node, over: Node) -> bool:
    """Return whether a row is asked whether it begins a session, in all rows up to itself."""
    match begins:
        case Call("gt", (Call("over.time_since_lag", (_, since), (("n", 2),)), Literal(limit))):
            return since is over and isinstance(limit, int | float)
        case _:
            return False


def _session(begins: Node, over: Node, texts: Mapping[Node, str]) -> str:
    """Return the text of the number of a session, which counts the rows that begin one."""
    match begins.args[1], over:
        case Literal(limit), Call("window", _, params):
            unit = dict(params)["unit"]
            gap = length_text(round(limit * 10**9) if unit == "time" else limit, unit)
            entity = texts[over].replace(", closed='right'", "")
            return f"ff.session_id({gap}, over={entity})"
        case _:  # of a plan that someone has altered
            return f"{texts[begins]}.sum(over={texts[over]})"


def _is_time(moment: Node, window: Call) -> bool:
    """Return whether an expression is the time of the rows in a window."""
    match window.args:
        case (Call("order", (time, *_)),):
            return moment is time
        case (Call("table_order") as order,):
            return moment is seen_of(order)[0]
        case _:
            return False


def _order(parts: tuple[Node, ...], texts: list[str], order: dict[str, Any]) -> dict[str, str]:
    """Return what orders the data's own rows, by the parameter that it is written as."""
    shown = [
        repr(part.name) if isinstance(part, Column) else text
        for part, text in zip(parts, texts, strict=True)
    ]
    keys = shown[1 : 1 + order["n_keys"]]
    by = {"by": keys[0] if len(keys) == 1 else f"[{', '.join(keys)}]"} if keys else {}
    tie = {"tie": shown[-1]} if order["has_tie"] else {}
    return {**by, "time": shown[0], **tie}


def _table_order(
    parts: tuple[Node, ...], texts: list[str], order: dict[str, Any]
) -> dict[str, str]:
    """Return what orders the rows of a table, and by what the data's rows ask for them."""
    n, columns = 1 + order["n_keys"], [part for part in parts if isinstance(part, TableColumn)]
    time, right = parts[0], columns[0]
    own, other = repr(time.name) if isinstance(time, Column) else texts[0], repr(right.name)
    keys = *parts[1:n], *parts[n + 1 : 2 * n]
    names = [*texts[1:n], *texts[n + 1 : 2 * n]]
    shown = {"by": shown_pairs(keys, names)} if keys else {}
    shown["time"] = own
    if order["has_tie"]:
        shown["tie"] = repr(columns[-1].name)
    shown["table"] = repr(right.table)
    return shown if own == other else {**shown, "right_time": other}


def _window(order: dict[str, str], given: dict[str, Any]) -> list[str]:
    """Return the parameters of a window as they are written."""
    unit = given["unit"]
    written = [] if given["last"] is None else [length_text(given["last"], unit)]
    if given["rows"] is not None:
        written.append(f"rows={given['rows']}")
    written += [f"{name}={order[name]}" for name in ("by", "time") if name in order]
    if given["offset"]:
        written.append(f"offset={length_text(given['offset'], unit)}")
    if given["closed"] != "left":
        written.append(f"closed={given['closed']!r}")
    if given["min_samples"]:
        written.append(f"min_samples={given['min_samples']}")
    after = ("tie", "table", "right_time")
    return [*written, *(f"{name}={order[name]}" for name in after if name in order)]


def _ahead(order: dict[str, str], given: dict[str, Any]) -> list[str]:
    """Return the parameters of a window ahead as they are written."""
    unit, end = given["unit"], given["end"]
    written = [length_text(given["next"], unit)]
    written += [f"{name}={order[name]}" for name in ("by", "time") if name in order]
    if given["gap"]:
        written.append(f"gap={length_text(given['gap'], unit)}")
    after = ("tie", "table", "right_time")
    written += [f"{name}={order[name]}" for name in after if name in order]
    if end is not None:
        written.append(f"end={moment_text(end)!r}" if unit == "time" else f"end={end}")
    return written
