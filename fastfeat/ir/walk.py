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


def postorder(roots: Iterable[N]) -> list[N]:
    """Return every node reachable from the roots once, arguments before users."""
    seen: set[N] = set()
    order: list[N] = []
    for root in roots:
        stack: list[tuple[N, bool]] = [(root, False)]
        while stack:
            node, expanded = stack.pop()
            if expanded:
                order.append(node)
            elif node not in seen:
                seen.add(node)
                stack.append((node, True))
                stack.extend((argument, False) for argument in reversed(node.args))  # type: ignore[misc]  # pyright: ignore
    return order


def fold(roots: Iterable[N], visit: Callable[[N, list[R]], R]) -> dict[N, R]:
    """Return visit(node, results of its arguments) for every reachable node."""
    results: dict[N, R] = {}
    for node in postorder(roots):
        results[node] = visit(node, [results[argument] for argument in node.args])  # type: ignore[index]  # pyright: ignore
    return results
