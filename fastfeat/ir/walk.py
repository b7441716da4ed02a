"""Iterative walks over interned graphs: long chains must not meet Python's recursion limit."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol, TypeVar


class HasArgs(Protocol):
    """A node of a graph without cycles."""

    @property
    def args(self) -> tuple[HasArgs, ...]:
        """The nodes that this one is computed from."""
        ...


N = TypeVar("N", bound=HasArgs)
R = TypeVar("R")


def postorder(roots: Iterable[N], at_most: int | None = None) -> list[N]:
    """Return every node reachable from the roots once, arguments before users.

    Args:
        roots: where to begin.
        at_most: return nothing where there are more nodes than that, without walking them all.
    """
    seen: set[N] = set()
    order: list[N] = []
    stack: list[N | None] = [*reversed(list(roots))]
    while stack:
        node = stack.pop()
        if node is None:  # the arguments of the node below it are done
            order.append(stack.pop())  # type: ignore[arg-type]  # pyright: ignore
        elif node not in seen:
            seen.add(node)
            if at_most is not None and len(seen) > at_most:
                return []
            if node.args:
                stack += (node, None, *node.args[::-1])  # type: ignore[arg-type]  # pyright: ignore
            else:
                order.append(node)
    return order


def fold(roots: Iterable[N], visit: Callable[[N, list[R]], R]) -> dict[N, R]:
    """Return visit(node, results of its arguments) for every reachable node."""
    results: dict[N, R] = {}
    for node in postorder(roots):
        results[node] = visit(node, [results[argument] for argument in node.args])  # type: ignore[index]  # pyright: ignore
    return results
