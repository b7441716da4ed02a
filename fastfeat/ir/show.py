"""Printing nodes as the Python text that would build them: for error messages and `explain`."""

from __future__ import annotations

from typing import Any, assert_never

from fastfeat.dtypes import DType
from fastfeat.ir.node import Aggregate, Call, Column, Literal, Node
from fastfeat.ir.walk import fold

_INFIX = {
    "add": "+", "sub": "-", "mul": "*", "div": "/", "floordiv": "//", "mod": "%", "pow": "**",
    "eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">=",
    "and": "&", "or": "|", "xor": "^",
}  # fmt: skip
LONGEST = 400


def show(node: Node) -> str:
    """Return the text of an expression, shortened in the middle when it is very long."""
    text = fold([node], _show_one)[node]
    return text if len(text) <= LONGEST else f"{text[: LONGEST // 2]} ... {text[-LONGEST // 2 :]}"


def _show_one(node: Node, args: list[str]) -> str:
    args = [_shorten(text) for text in args]
    match node:
        case Column(name):
            return f"col({name!r})"
        case Literal(value):
            return repr(value)
        case Call(function) if function in _INFIX and len(args) == 2:
            return f"({args[0]} {_INFIX[function]} {args[1]})"
        case Call(function, _, params) | Aggregate(function, _, params, _):
            shown = [*args[1:], *(f"{name}={_shown(value)}" for name, value in params)]
            return f"{args[0] if args else ''}.{function}({', '.join(shown)})"
        case _:
            assert_never(node)


def _shown(value: Any) -> str:
    """Return a parameter as it would be written; a type as text."""
    return repr(str(value) if isinstance(value, DType) else value)


def _shorten(text: str) -> str:
    """Return text of bounded length, so that a chain of 5,000 operators prints in linear time."""
    return text if len(text) <= 2 * LONGEST else f"{text[:LONGEST]} ... {text[-LONGEST:]}"
