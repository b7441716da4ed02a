"""Every case of every operator as a feature, one plan a family, for the generic tests."""

from __future__ import annotations

from functools import cache

import fastfeat as ff
from fastfeat.ir.node import Aggregate, postorder
from fastfeat.trust.selfcheck import plans
from fastfeat.trust.selfcheck.plans import Feature, operator_features


@cache
def _families() -> dict[str, dict[str, Feature]]:
    return operator_features()


def features_of(family: str) -> dict[str, Feature]:
    """Return the features of a family's operators, by name."""
    return _families()[family]


@cache
def plan_of(family: str) -> ff.Plan:
    """Return one plan with all features of a family."""
    return plans.plan_of(features_of(family))


def families(*, learnt: bool) -> list[str]:
    """Return the families whose operators learn, or do not learn, in `fit`."""
    return [family for family in _families() if learnt == _learns(family)]


def _learns(family: str) -> bool:
    roots = [node for f in features_of(family).values() for node in f.expression.nodes]
    return any(isinstance(node, Aggregate) for node in postorder(roots))
