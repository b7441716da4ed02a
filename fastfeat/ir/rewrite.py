"""Rewriting a graph: a node is rebuilt where a rule, or an argument of its own, changes it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import assert_never

from fastfeat.ir.node import Aggregate, Call, Column, Literal, Node, TableColumn
from fastfeat.ir.walk import fold

Rule = Callable[[Node], Node]


def rewritten(roots: Sequence[Node], rule: Rule) -> list[Node]:
    """Return the roots with `rule` applied to every node, once its arguments are rewritten.

    Args:
        roots: expressions.
        rule: returns what stands for a node; itself, mostly.
    """
    found = fold(roots, lambda node, args: rule(with_args(node, tuple(args))))
    return [found[root] for root in roots]


def with_args(node: Node, args: tuple[Node, ...]) -> Node:
    """Return the node with other arguments."""
    if args == node.args:
        return node
    match node:
        case Call(function, _, params):
            return Call(function, args, params)
        case Aggregate(function, _, params, frame):
            return Aggregate(function, args, params, frame)
        case Column() | TableColumn() | Literal():
            return node
        case _:
            assert_never(node)
