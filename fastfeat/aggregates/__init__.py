"""The registry of aggregates: the sums that kernels accumulate, and the formulas for values.

An aggregate is a statistic of training rows, such as a mean: learnt in `fit`, over all rows or per
group of rows with the same key. A new aggregate is an entry in the `FUNCTIONS` of a module, and its
name here. `engine` and the layers above it import the table.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeGuard

from fastfeat.first_use import LazyRows, is_a
from fastfeat.ir.node import Aggregate, Call, Node

if TYPE_CHECKING:
    from fastfeat.aggregates.function import AggregateFunction
    from fastfeat.aggregates.keys import Vocabulary

AGGREGATES: LazyRows[AggregateFunction] = LazyRows(
    "fastfeat.aggregates.{}:FUNCTIONS",
    {
        "moments": "count null_count sum mean var std skew kurtosis min max",
        "order": "quantile quantiles even_quantiles evenly_spaced",
        "keys": "vocabulary mode n_unique",
        "target": "target_mean target_var target_quantile target_odds",
        "power": "yeo_johnson_lambda box_cox_lambda",
    },
    lambda functions: {row.name: row for row in functions},
)
_TARGETS = AGGREGATES.addresses["target_mean"]


def is_vocabulary(learnt: object) -> TypeGuard[Vocabulary]:
    """Return whether a learned value is a vocabulary; does not import their module."""
    return is_a(learnt, "fastfeat.aggregates.keys:Vocabulary")


def is_fold_by_number(node: Node) -> bool:
    """Return whether a node is the call that assigns training rows to folds by row number."""
    return isinstance(node, Call) and node.function == "fold" and not node.args


def is_target(node: Node) -> TypeGuard[Aggregate]:
    """Return whether a node is a target statistic per category, as target encoders learn it."""
    return isinstance(node, Aggregate) and AGGREGATES.addresses[node.function] == _TARGETS
