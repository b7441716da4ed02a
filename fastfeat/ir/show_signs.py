"""Printing functions that Python has signs for, and what stands in parentheses of its own."""

from __future__ import annotations

from fastfeat.ir.node import Call, Node

INFIX = {
    "add": "+", "sub": "-", "mul": "*", "div": "/", "floordiv": "//", "mod": "%", "pow": "**",
    "eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">=",
    "and": "&", "or": "|", "xor": "^",
}  # fmt: skip
PREFIX = {"neg": "-", "not": "~"}


def show_of_signs(node: Node, args: list[str]) -> str | None:
    """Return the text of a function that has a sign, in parentheses; None for any other node.

    Args:
        node: what is shown.
        args: the texts of its arguments.
    """
    match node:
        case Call(function) if function in INFIX and len(args) == 2:
            left = f"({args[0]})" if function == "pow" and args[0].startswith("-") else args[0]
            return f"({left} {INFIX[function]} {args[1]})"
        case Call(function) if function in PREFIX and len(args) == 1:
            return f"({PREFIX[function]}{args[0]})"
        case _:
            return None


def bare(node: Node, text: str) -> str:
    """Return the text of an argument without the parentheses that it has as an operand of a sign.

    Args:
        node: the argument.
        text: what it is shown as.
    """
    has_sign = isinstance(node, Call) and (node.function in INFIX or node.function in PREFIX)
    return text[1:-1] if has_sign and text[0] == "(" and text[-1] == ")" else text
