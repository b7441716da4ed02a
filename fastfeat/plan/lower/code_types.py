"""The smallest types of codes: of vocabularies, bins, buckets and calendar parts.

A function whose results are codes says in its row how large they get. That of a vocabulary is known
once it is learnt: types stay for the life of an artifact, and another fit may have others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal as Word

from fastfeat.aggregates.keys import Vocabulary
from fastfeat.errors import InvalidPlan
from fastfeat.ir.dtypes import INT16, INT32, UINT8, DType
from fastfeat.ir.node import Aggregate, Call, Literal, Node, fold
from fastfeat.ir.show import show
from fastfeat.plan.lower.lower import Constant
from fastfeat.scalars import SCALARS
from fastfeat.steps.registry import STEPS

CodeTypes = Word["smallest"]
_TYPES = ((255, UINT8), (32_767, INT16), (2_147_483_647, INT32))
"""By the largest code that they hold; no uint16, which few libraries compute with."""


def code_types(
    nodes: Mapping[str, Node], learnt: Mapping[Node, Constant] | None
) -> dict[str, DType]:
    """Return the smallest type of each feature that is a code, by its name.

    Args:
        nodes: the features, by name.
        learnt: what fit has learnt; None before.

    Raises:
        InvalidPlan: a code counts in a vocabulary that is not learnt yet.
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
                "fitted. Take fitted.schema"
            )
    return types


def _largest_codes(
    roots: Sequence[Node], learnt: Mapping[Node, Constant] | None
) -> dict[Node, int | None]:
    """Return the largest code of each node; None where it is none, or not known."""

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
    """Return the largest code of a literal: of a list its length, of what is missing 0."""
    if isinstance(value, tuple):
        return len(value)  # pyright: ignore[reportUnknownArgumentType]  # of any values
    if value is None:
        return 0
    return value if type(value) is int and value >= 0 else None


def _is_code(node: Node) -> bool:
    """Return whether a feature is a code in a vocabulary, or a choice between some."""
    if not isinstance(node, Call):
        return False
    if node.function == "encode":
        return True
    row = SCALARS.get(node.function)
    return row is not None and row.largest is not None and any(map(_is_code, node.args))
