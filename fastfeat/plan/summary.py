"""A plan in a few lines, as a notebook shows it: a line a feature, no more than fit a screen."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import TYPE_CHECKING

from fastfeat.errors import counted, shortened
from fastfeat.ir.node import Aggregate, Column, Node, TableColumn
from fastfeat.ir.scope import window_nodes
from fastfeat.ir.walk import postorder

if TYPE_CHECKING:
    from fastfeat.expr import Expr
    from fastfeat.plan.fitted import FittedPlan
    from fastfeat.plan.plan import Plan

MOST_LINES = 20
_MOST_COLUMNS = 3
_LONGEST_NAME = 60


def plan_summary(plan: Plan) -> str:
    """Return what a plan is, and a line for each of its first features."""
    options = {
        "label": shortened(plan.label_nodes),
        "dtype": plan.dtype and repr(plan.dtype),
        "keep": plan.keep and f"[{shortened(plan.keep, _MOST_COLUMNS)}]",
    }
    told = "".join(f", {name}={value}" for name, value in options.items() if value)
    return _listed(f"Plan of {counted(len(plan.expressions), 'feature')}{told}", plan.expressions)


def fitted_summary(fitted: FittedPlan) -> str:
    """Return what a plan was fitted on, and a line for each of its first features."""
    features, n_columns = fitted.plan.expressions, len(fitted.nodes)
    columns = "" if n_columns == len(features) else f" in {n_columns:,} columns"
    head = f"FittedPlan of {counted(len(features), 'feature')}{columns}"
    return _listed(f"{head}, fitted on {counted(fitted.n_rows, 'row')}", features)


def _of_feature(nodes: tuple[Node, ...]) -> str:
    """Return what a feature reads, and what it needs for that."""
    every = postorder(list(nodes))
    read = [_short(node.name) for node in every if isinstance(node, Column)]
    tables = dict.fromkeys(node.table for node in every if isinstance(node, TableColumn))
    parts = [f"reads {shortened(dict.fromkeys(read), _MOST_COLUMNS)}" if read else "reads nothing"]
    if tables:
        parts.append(f"table {shortened(tables, _MOST_COLUMNS)}")
    if any(isinstance(node, Aggregate) for node in every):
        parts.append("learnt in fit")
    if window_nodes(nodes):
        parts.append("sees earlier rows")
    return ", ".join(parts)


def _listed(head: str, features: Mapping[str, Expr]) -> str:
    n_shown = len(features) if len(features) < MOST_LINES else MOST_LINES - 2
    shown = islice(features.items(), n_shown)
    lines = [f"  {_short(name)}: {_of_feature(expression.nodes)}" for name, expression in shown]
    if n_shown < len(features):
        lines.append(f"  ... and {len(features) - n_shown:,} more. explain() says how each is made")
    return "\n".join([head, *lines])


def _short(name: str) -> str:
    """Return a name that may be very long, or have a line break, as a part of a line."""
    written = name if name.isprintable() else repr(name)
    return written if len(written) <= _LONGEST_NAME else f"{written[:_LONGEST_NAME]}..."
