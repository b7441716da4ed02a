"""Text of a plan that no table can hold: Arrow's text is UTF-8, which has no lone surrogates."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, cast

from fastfeat.errors import InvalidPlan
from fastfeat.ir.node import Column, Literal, Node, TableColumn


def check_text(names: Iterable[str], nodes: Iterable[Node]) -> None:
    """Raise for a name, a column or a literal that is no text in Unicode.

    Args:
        names: of features and options.
        nodes: of all expressions.

    Raises:
        InvalidPlan: the first such text.
    """
    for text in (*names, *(text for node in nodes for text in _texts(node))):
        try:
            text.encode()
        except UnicodeEncodeError:
            raise InvalidPlan(
                f"{text!r} holds a lone surrogate, which is no character: no table can have it. "
                "Decode the text again, with its right encoding"
            ) from None


def _texts(node: Node) -> Iterator[str]:
    """Yield each text of a node, those in nested tuples too."""
    match node:
        case Column(name):
            pending: list[Any] = [name]
        case TableColumn(table, name):
            pending = [table, name]
        case Literal(value):
            pending = [value]
        case _:
            pending = [value for _, value in node.params]
    while pending:
        found = pending.pop()
        match found:
            case str():
                yield found
            case tuple():
                pending += cast("tuple[Any, ...]", found)
            case _:
                pass
