"""The aggregates: what each accumulates, and how its value comes from exact integers.

`engine` and what stands above import them.
"""

from __future__ import annotations

from typing import TypeGuard

from fastfeat.aggregates.function import (
    AggregateFunction,
    Summary,
    level_of,
    needs_order,
    ranks_of,
    result_per_key,
)
from fastfeat.aggregates.keys import MODE, N_UNIQUE, VOCABULARY_OF
from fastfeat.aggregates.moments import (
    COUNT,
    KURTOSIS,
    MAX,
    MEAN,
    MIN,
    NULL_COUNT,
    SKEW,
    STD,
    SUM,
    VAR,
)
from fastfeat.aggregates.order import EVEN_QUANTILES, EVENLY_SPACED, QUANTILE, QUANTILES
from fastfeat.aggregates.power import BOX_COX_LAMBDA, YEO_JOHNSON_LAMBDA
from fastfeat.aggregates.target import TARGET_FUNCTIONS
from fastfeat.ir.node import Aggregate, Node

AGGREGATES: dict[str, AggregateFunction] = {
    function.name: function
    for function in (
        COUNT,
        NULL_COUNT,
        SUM,
        MEAN,
        VAR,
        STD,
        SKEW,
        KURTOSIS,
        MIN,
        MAX,
        QUANTILE,
        QUANTILES,
        EVEN_QUANTILES,
        MODE,
        N_UNIQUE,
        VOCABULARY_OF,
        *TARGET_FUNCTIONS,
        EVENLY_SPACED,
        YEO_JOHNSON_LAMBDA,
        BOX_COX_LAMBDA,
    )
}


def is_target(node: Node) -> TypeGuard[Aggregate]:
    """Return whether a node is a statistic of an encoder's target, out of fold in training."""
    return isinstance(node, Aggregate) and "target" in AGGREGATES[node.function].primitives


__all__ = [
    "AGGREGATES",
    "AggregateFunction",
    "Summary",
    "is_target",
    "level_of",
    "needs_order",
    "ranks_of",
    "result_per_key",
]
