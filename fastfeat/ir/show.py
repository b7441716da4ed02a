"""Printing nodes as text that reads like the code of a user: for error messages and `explain`."""

from __future__ import annotations

from collections.abc import Sequence
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
    return show_all([node])[node]


def show_all(nodes: Sequence[Node]) -> dict[Node, str]:
    """Return the text of each expression, as `show` does, from one walk for all."""
    texts = fold(nodes, _show_one)
    return {node: _within(texts[node], LONGEST) for node in nodes}


def _show_one(node: Node, args: list[str]) -> str:
    args = [_within(text, 2 * LONGEST) for text in args]
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


def _within(text: str, length: int) -> str:
    """Return text of bounded length, so that a chain of 5,000 operators prints in linear time."""
    half = length // 2
    return text if len(text) <= length else f"{text[:half]} ... {text[-half:]}"
