"""Leakage: what is known only after the moment of prediction must not reach a feature."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from fastfeat.errors import Leakage
from fastfeat.ir.node import Aggregate, Column, Node, TableColumn
from fastfeat.ir.scope import row_args
from fastfeat.ir.show import show, show_all
from fastfeat.ir.walk import postorder


def columns_of(roots: Iterable[Node]) -> list[str]:
    """Return the names of the input columns that the roots read, in order of first use."""
    names = [node.name for node in postorder(list(roots)) if isinstance(node, Column)]
    return list(dict.fromkeys(names))


def own_row_columns(root: Node) -> list[str]:
    """Return the columns whose value in a feature's own row the feature sees."""
    reached: dict[Node, None] = {}
    pending = [root]
    while pending:
        node = pending.pop()
        if node not in reached:
            reached[node] = None
            pending.extend(reversed(row_args(node)))
    return [node.name for node in reached if isinstance(node, Column)]


def check_leakage(
    features: Mapping[str, Node], of_label: Iterable[str], outcomes: Iterable[str]
) -> None:
    """Raise Leakage when a feature reads a late column, in its own row or through fit.

    Args:
        features: their expressions, by name.
        of_label: the columns that the label is computed from.
        outcomes: further columns that are late.
    """
    in_label, in_outcomes = set(of_label), set(outcomes)
    declared = in_label | in_outcomes
    for name, root in features.items():
        seen = [column for column in columns_of([root]) if column in declared]
        if not seen:
            continue
        own = set(own_row_columns(root))
        how = "in its own row" if seen[0] in own else "through what fit learns from all rows"
        option = "label=" if seen[0] in in_label else "outcomes="
        instead = "" if seen[0] in in_label else ", or the column from outcomes="
        raise Leakage(
            f"feature {name!r} reads {seen[0]!r} {how}, which is known only after the prediction "
            f"({option}): {show(root)}. Take the feature out{instead}"
        )


def describe_leakage(features: Mapping[str, Node], late: Iterable[str]) -> str:
    """Return what each feature can see: columns of its own row, and what is learnt in fit."""
    declared = sorted(set(late))
    lines = [f"late columns (label, outcomes): {', '.join(declared) or 'none declared'}", ""]
    undeclared: dict[str, None] = {}
    tables: dict[str, None] = {}
    for name, root in features.items():
        own = own_row_columns(root)
        undeclared.update(dict.fromkeys(own))
        learnt = [n for n in postorder([root]) if isinstance(n, Aggregate)]
        lines.append(f"{name}")
        lines.append(f"  own row: {', '.join(own) or 'nothing'}")
        looked_up = [n for n in postorder([root]) if isinstance(n, TableColumn)]
        if looked_up:
            lines.append(f"  lookup tables: {', '.join(show_all(looked_up).values())}")
            tables.update(dict.fromkeys(n.table for n in looked_up))
        if learnt:
            lines.append(f"  learnt from the training rows: {'; '.join(show_all(learnt).values())}")
    lines += ["", "read from the row itself, so they must be known at the moment of prediction:"]
    lines.append(f"  {', '.join(undeclared) or 'none'}")
    if tables:
        lines += ["", "lookup tables, whose content must be known then:", f"  {', '.join(tables)}"]
    return "\n".join(lines)
