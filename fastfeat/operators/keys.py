"""Keys: the parts that tell rows apart, and the code of each row's key in the training rows."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from fastfeat.errors import InvalidPlan, TypeMismatch
from fastfeat.expr import Expr, call, col, vocabulary
from fastfeat.ir.node import Call

Keys = str | Expr | Iterable["str | Expr"]
"""One key or several: names of columns, or expressions."""


def keys_of(operator: str, by: Any) -> list[Expr]:
    """Return the parts of a key as a user gives them.

    Args:
        operator: what has the parameter `by`, for messages.
        by: a name, an expression, or a list of those.

    Raises:
        InvalidPlan: no part.
        TypeMismatch: something else.
    """
    given = [by] if isinstance(by, str | Expr) else by
    if not isinstance(given, Iterable):
        raise TypeMismatch(
            f"{operator}(by={by!r}): takes the name of a column, an expression, or a list of those"
        )
    parts: list[Expr] = []
    for part in given:
        if not isinstance(part, str | Expr):
            raise TypeMismatch(
                f"{operator}(by={by!r}): {part!r} is neither the name of a column nor an expression"
            )
        parts.append(col(part) if isinstance(part, str) else part)
    if not parts:
        raise InvalidPlan(f"{operator}(by={by!r}): names no key. Leave it out for all rows")
    return parts


def group_of(parts: list[Expr]) -> Expr:
    """Return the number of the group of a row: 0 of a missing key, 1 of one that fit has not seen.

    Args:
        parts: of the key; where one is missing, the key is.
    """
    return coded(parts, n_unseen=1, min_frequency=None, max_categories=None)


def coded(parts: list[Expr], *, n_unseen: int, **params: Any) -> Expr:
    """Return the code of the key of a row in the vocabulary of the training rows."""
    missing = "key"
    node = parts[0].node
    if len(parts) == 1 and isinstance(node, Call) and node.function == "cross":
        parts, missing = [Expr((arg,)) for arg in node.args], "value"
    learnt = vocabulary(parts, missing=missing, **params)
    return call("encode", *parts, learnt, missing=missing, n_unseen=n_unseen)
