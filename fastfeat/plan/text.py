"""Text of a plan that no table can hold: Arrow's text is UTF-8, which has no lone surrogates."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, cast

from fastfeat.errors import InvalidPlan
from fastfeat.ir.node import Column, Literal, Node


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
    match node:
        case Column(name):
            yield name
        case Literal(value):
            yield from _texts_in(value)
        case _:
            for _, value in node.params:
                yield from _texts_in(value)


def _texts_in(value: Any) -> Iterator[str]:
    parts = cast("tuple[Any, ...]", value) if isinstance(value, tuple) else (value,)
    return (part for part in parts if isinstance(part, str))
