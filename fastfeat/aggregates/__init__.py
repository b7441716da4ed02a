"""The aggregates: what each accumulates, and how its value comes from exact integers.

`engine` and what stands above import them.
"""

from __future__ import annotations

from typing import TypeGuard

from fastfeat.aggregates import keys, moments, order, power, target
from fastfeat.aggregates.function import (
    AggregateFunction,
    Summary,
    level_of,
    needs_order,
    ranks_of,
    result_per_key,
)
from fastfeat.ir.node import Aggregate, Call, Node

AGGREGATES: dict[str, AggregateFunction] = {
    row.name: row for module in (moments, order, keys, target, power) for row in module.FUNCTIONS
}


def is_fold_by_number(node: Node) -> bool:
    """Return whether a node is the fold of a row by its number."""
    return isinstance(node, Call) and node.function == "fold" and not node.args


def is_target(node: Node) -> TypeGuard[Aggregate]:
    """Return whether a node is a statistic of an encoder's target, out of fold in training."""
    return isinstance(node, Aggregate) and "target" in AGGREGATES[node.function].primitives


__all__ = [
    "AGGREGATES",
    "AggregateFunction",
    "Summary",
    "is_fold_by_number",
    "is_target",
    "level_of",
    "needs_order",
    "ranks_of",
    "result_per_key",
]
