"""What a row itself reads of an expression, and what it only learns from all training rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from fastfeat.ir.node import Aggregate, GroupFrame, Node

R = TypeVar("R")


def row_args(node: Node, *, training: bool = False) -> tuple[Node, ...]:
    """Return the arguments of a node that are computed for the row that it is computed for.

    Args:
        node: of a plan. An aggregate over all rows has none; of one per group it is the group.
        training: whether the row is one of those that are learnt from: then the fold that it is in
            counts too.
    """
    match node:
        case Aggregate(_, args, _, GroupFrame()):
            return args[1:] if training else args[1:2]
        case Aggregate():
            return ()
        case _:
            return node.args


def row_order(roots: Iterable[Node], *, training: bool = False) -> list[Node]:
    """Return every node that the row of the roots reads once, arguments before users."""
    seen: set[Node] = set()
    order: list[Node] = []
    stack: list[Node | None] = [*reversed(list(roots))]
    while stack:
        node = stack.pop()
        if node is None:  # the arguments of the node below it are done
            done = stack.pop()
            assert done is not None
            order.append(done)
        elif node not in seen:
            seen.add(node)
            args = row_args(node, training=training)
            if args:
                stack += (node, None, *args[::-1])
            else:
                order.append(node)
    return order


def row_fold(
    roots: Iterable[Node], visit: Callable[[Node, list[R]], R], *, training: bool = False
) -> dict[Node, R]:
    """Return visit(node, results of the arguments that the row reads) for every node it reads."""
    results: dict[Node, R] = {}
    for node in row_order(roots, training=training):
        args = row_args(node, training=training)
        results[node] = visit(node, [results[argument] for argument in args])
    return results
