"""The smallest integer types of features that are codes: categories, bins, buckets and so on.

A function that returns codes has a rule for the largest code in its entry of `SCALARS` or `STEPS`.
The size of a vocabulary is known only after learning: types never change for an artifact, but
another fit may have others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal as Word

from fastfeat.aggregates.keys import Vocabulary
from fastfeat.errors import InvalidPlan
from fastfeat.ir.dtypes import INT16, INT32, UINT8, DType
from fastfeat.ir.node import Aggregate, Call, Literal, Node, fold
from fastfeat.ir.show import show
from fastfeat.plan.lower.lower import LearntConstant
from fastfeat.scalars import SCALARS
from fastfeat.steps.registry import STEPS

CodeTypes = Word["smallest"]
_TYPES = ((255, UINT8), (32_767, INT16), (2_147_483_647, INT32))
"""Types by the largest code that they hold, without uint16, which few libraries support."""


def code_types(
    nodes: Mapping[str, Node], learnt: Mapping[Node, LearntConstant] | None
) -> dict[str, DType]:
    """Return the smallest type for each feature that is a code, by feature name.

    Raises:
        InvalidPlan: A code belongs to a vocabulary that is not learned yet.
    """
    found = _largest_codes(list(nodes.values()), learnt)
    types: dict[str, DType] = {}
    for name, node in nodes.items():
        largest = found[node] if isinstance(node, Call) else None
        if largest is not None:
            types[name] = next(dtype for most, dtype in _TYPES if largest <= most)
        elif learnt is None and _is_code(node):
            raise InvalidPlan(
                f"feature {name!r}: the smallest type of {show(node)} is known once the plan is "
                "fitted. Use fitted.schema"
            )
    return types


def _largest_codes(
    roots: Sequence[Node], learnt: Mapping[Node, LearntConstant] | None
) -> dict[Node, int | None]:
    """Return the largest code of each node; None if it is not a code or unknown."""

    def visit(node: Node, parts: list[int | None]) -> int | None:
        match node:
            case Literal(value):
                return _of_literal(value)
            case Aggregate("vocabulary"):
                known = None if learnt is None else learnt.get(node)
                return len(known) if isinstance(known, Vocabulary) else None
            case Call(function):
                row = SCALARS.get(function) or STEPS.get(function)
                rule = None if row is None else row.largest
                return None if rule is None else rule(node, parts)
            case _:
                return None

    return fold(roots, visit)


def _of_literal(value: object) -> int | None:
    """Return the largest code of a literal: the length of a list, 0 for a missing value."""
    if isinstance(value, tuple):
        return len(value)  # pyright: ignore[reportUnknownArgumentType]  # any values
    if value is None:
        return 0
    return value if type(value) is int and value >= 0 else None


def _is_code(node: Node) -> bool:
    """Return whether a feature is a code from a vocabulary, or a choice between such codes."""
    if not isinstance(node, Call):
        return False
    if node.function == "encode":
        return True
    row = SCALARS.get(node.function)
    return row is not None and row.largest is not None and any(map(_is_code, node.args))
