"""What fit has learnt, as users read it: values, categories, and what codes stand for."""

from __future__ import annotations

from typing import Any

from fastfeat.aggregates.groups import Groups
from fastfeat.aggregates.vocabulary import Vocabulary
from fastfeat.io.arrow import Table
from fastfeat.io.times import python_value
from fastfeat.ir.node import Aggregate, Call, Node
from fastfeat.ir.show import show_all
from fastfeat.plan.fitted import Fitted
from fastfeat.plan.state import aggregates_of
from fastfeat.plan.vocabularies import (
    categories_of_codes,
    encoder_of,
    learnt_table,
    vocabulary_table,
)


def learnt_values(fitted: Fitted) -> dict[str, Any]:
    """Return what fit has learnt, by the text of the aggregate; see `FittedPlan.learnt`."""
    aggregates = aggregates_of(fitted.declaration.nodes.values())
    values: dict[str, Any] = {}
    for aggregate, text in show_all(aggregates).items():
        # texts that were shortened may be the same
        name = text if text not in values else f"{text} #{len(values)}"
        value = fitted.constants[aggregate]
        if isinstance(aggregate, Aggregate) and isinstance(value, Vocabulary | Groups):
            values[name] = learnt_table(aggregate, value, fitted.constants, fitted.types)
        else:
            values[name] = python_value(value, fitted.types[aggregate])
    return values


def vocabulary(fitted: Fitted, feature: str) -> Table:
    """Return the categories of an encoder; see `FittedPlan.vocabulary`."""
    return vocabulary_table(_encoder(fitted, feature), fitted.constants, fitted.types)


def inverse(fitted: Fitted, feature: str, codes: Any) -> Any:
    """Return the categories that codes of an encoder stand for; see `FittedPlan.inverse`."""
    encoder = _encoder(fitted, feature)
    return categories_of_codes(encoder, codes, fitted.constants, fitted.types)


def _encoder(fitted: Fitted, feature: str) -> Call:
    """Return the first encoder of an output column, or of a feature of the plan."""
    plan = fitted.declaration
    of_plan: dict[str, list[Node]] = {
        name: [plan.nodes[name + suffix] for suffix in expression.suffixes]
        for name, expression in plan.features.items()
    }
    return encoder_of({name: [node] for name, node in fitted.nodes.items()} | of_plan, feature)
