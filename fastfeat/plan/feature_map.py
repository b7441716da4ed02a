"""What each column of the output is made of: its feature in the plan, and the columns of the data.

Importances and SHAP values are grouped by it.
"""

from __future__ import annotations

from collections.abc import Iterator

from fastfeat.aggregates import is_target
from fastfeat.io.arrow import Table, pa
from fastfeat.ir.node import Column, Node, TableColumn
from fastfeat.ir.walk import fold
from fastfeat.plan.expand import expanded
from fastfeat.plan.fitted import Fitted

_SCHEMA = pa.schema(
    [("column", pa.string()), ("feature", pa.string()), ("sources", pa.list_(pa.string()))]
)


def feature_map(fitted: Fitted) -> Table:
    """Return a table of the output columns; see `FittedPlan.feature_map`."""
    sources = sources_of(list(fitted.nodes.values()))
    rows = [(name, of, sources[fitted.nodes[name]]) for name, of in _features_of(fitted)]
    columns = [list(column) for column in zip(*rows, strict=True)] or [[], [], []]
    return pa.table(columns, schema=_SCHEMA)


def sources_of(roots: list[Node]) -> dict[Node, list[str]]:
    """Return the columns that each root is made of, in order of first use.

    What encoders learn from, and the folds by which, is not among them: no row is made of it.
    """

    def visit(node: Node, args: list[dict[str, None]]) -> dict[str, None]:
        match node:
            case Column(name):
                return {name: None}
            case TableColumn(table, name):
                return {f"{table}.{name}": None}
            case _:
                read = args[1:2] if is_target(node) else args
                return {name: None for names in read for name in names}

    found = fold(roots, visit)
    return {root: list(found[root]) for root in roots}


def _features_of(fitted: Fitted) -> Iterator[tuple[str, str]]:
    """Yield each column of the output and the feature of the plan that it is of."""
    plan = fitted.declaration
    for feature, expression in plan.features.items():
        written = {feature + suffix: plan.nodes[feature + suffix] for suffix in expression.suffixes}
        for column in expanded(written, fitted.constants, fitted.types):
            yield column, feature
