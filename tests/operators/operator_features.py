"""Every case of every operator as a feature, one plan a family, for the generic tests."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from operator_tables import KINDS

import fastfeat as ff
from fastfeat.ir.node import Aggregate
from fastfeat.ir.walk import postorder
from fastfeat.operators import OPERATORS
from fastfeat.operators.operator import Case, Operator


@dataclass(frozen=True)
class Feature:
    """One call of an operator: what it is given, and the names of the columns it comes out in."""

    operator: Operator
    case: Case
    columns: tuple[str, ...]
    expression: ff.Expr


def _column_choices(case: Case, *, first: bool) -> Iterator[tuple[str, ...]]:
    """Yield the columns for a case: each of its kind in turn, only two for further cases."""
    kinds = [KINDS[kind] for kind in case.on]
    choices = kinds[0] if first else kinds[0][:2]
    for turn in range(len(choices)):
        yield tuple(kind[(turn + place) % len(kind)] for place, kind in enumerate(kinds))


@cache
def features_of(family: str) -> dict[str, Feature]:
    """Return the features of a family's operators, by name."""
    features: dict[str, Feature] = {}
    for name, operator in OPERATORS.items():
        if operator.define.__module__.rpartition(".")[2] != family:
            continue
        for number, case in enumerate(operator.cases):
            for columns in _column_choices(case, first=number == 0):
                given_columns = [ff.col(column) for column in columns]
                expression = operator.define(*given_columns, **case.params)
                key = f"{name} {number} {' '.join(columns)}"
                features[key] = Feature(operator, case, columns, expression)
    return features


@cache
def plan_of(family: str) -> ff.Plan:
    """Return one plan with all features of a family."""
    return ff.Plan({name: feature.expression for name, feature in features_of(family).items()})


def families(*, learnt: bool) -> list[str]:
    """Return the families whose operators learn, or do not learn, in `fit`."""
    found = dict.fromkeys(op.define.__module__.rpartition(".")[2] for op in OPERATORS.values())
    return [family for family in found if learnt == _learns(family)]


def _learns(family: str) -> bool:
    roots = [node for f in features_of(family).values() for node in f.expression.nodes]
    return any(isinstance(node, Aggregate) for node in postorder(roots))
