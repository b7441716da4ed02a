"""Printing windows, and what is over them, as the code of a user."""

from __future__ import annotations

from typing import Any

from fastfeat.ir.durations import duration_text
from fastfeat.ir.node import Call, Column, Node
from fastfeat.ir.scope import OVER


def show_of_windows(node: Node, args: list[str]) -> str | None:
    """Return the text of a node that has to do with windows; None for any other.

    Args:
        node: what is shown.
        args: the texts of its arguments.
    """
    match node:
        case Call("window", (Call("order", parts, order),), params):
            texts = _parts(args[0], parts)
            return f"ff.window({', '.join(_window(parts, texts, dict(order), dict(params)))})"
        case Call("order"):
            return "\x00".join(args)
        case Call("over.ewm_mean_by", (_, Call(_, _, window)), (("half_life", half_life),)):
            reach = _reach(half_life, dict(window)["unit"])
            return f"{args[0]}.ewm_mean(half_life={reach}, over={args[1]})"
        case Call(function, _, params) if function.startswith(OVER) and len(args) == 2:
            given = [*(f"{name}={value!r}" for name, value in params), f"over={args[1]}"]
            return f"{args[0]}.{function.removeprefix(OVER)}({', '.join(given)})"
        case _:
            return None


def _parts(text: str, parts: tuple[Node, ...]) -> list[str]:
    """Return the texts of what orders rows, from the text of the order."""
    texts = text.split("\x00")
    return texts if len(texts) == len(parts) else [text] * len(parts)


def _window(
    parts: tuple[Node, ...], texts: list[str], order: dict[str, Any], given: dict[str, Any]
) -> list[str]:
    """Return the parameters of a window as they are written."""
    shown = [
        repr(part.name) if isinstance(part, Column) else text
        for part, text in zip(parts, texts, strict=True)
    ]
    unit, n_keys = given["unit"], order["n_keys"]
    keys = shown[1 : 1 + n_keys]
    written = [] if given["last"] is None else [_reach(given["last"], unit)]
    if given["rows"] is not None:
        written.append(f"rows={given['rows']}")
    if keys:
        written.append(f"by={keys[0] if n_keys == 1 else '[' + ', '.join(keys) + ']'}")
    written.append(f"time={shown[0]}")
    if given["offset"]:
        written.append(f"offset={_reach(given['offset'], unit)}")
    if given["closed"] != "left":
        written.append(f"closed={given['closed']!r}")
    if given["min_samples"]:
        written.append(f"min_samples={given['min_samples']}")
    return [*written, f"tie={shown[-1]}"] if order["has_tie"] else written


def _reach(value: int, unit: str | None) -> str:
    return repr(duration_text(value)) if unit == "time" else str(value)
