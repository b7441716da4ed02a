"""Labels passed beside the data, as in `fit(X, y)`: they become a column of their own.

Encoders learn from that column; windows still read the label's columns in the data. The plan is
declared as before and all its rules hold: the new column is the label, and just as late.
"""

from __future__ import annotations

from dataclasses import replace

from fastfeat.errors import InvalidPlan
from fastfeat.ir.node import Column, Node
from fastfeat.plan.declare.declaration import Declaration
from fastfeat.plan.declare.leakage import check_leakage, learn_from_column
from fastfeat.plan.declare.source_columns import columns_of


def with_separate_label(plan: Declaration) -> Declaration:
    """Return the plan for a label passed beside the data: encoders learn from `label_column`.

    The column has the name of the label, unless something else reads a column of that name.

    Raises:
        InvalidPlan: The plan has no label, or its label looks ahead. Such a label is computed, and
            not every row has one.
    """
    if not plan.label_nodes:
        raise InvalidPlan(
            "a label was passed, but the plan has none. Declare it: Plan(..., label='y')"
        )
    ((name, label),) = plan.label_nodes.items()
    if plan.looks_ahead:
        raise InvalidPlan(
            f"the label {name!r} looks ahead: it is computed from later rows, and some rows have "
            "none, so it cannot be passed separately. To train a model, use "
            "plan.fit_transform(data) and fitted.label(data); to validate it, "
            "plan.cross_fit(data, cv)"
        )
    column = _free_name(plan, name, label)
    return with_label_column(plan, column)


def with_label_column(plan: Declaration, column: str | None) -> Declaration:
    """Return the plan with encoders that learn the label from `column`; unchanged if it is None.

    Raises:
        InvalidPlan: The plan has no label, or passes the column through.
        Leakage: A feature reads the column.
    """
    if column is None:
        return plan
    if not plan.label_nodes:
        raise InvalidPlan(f"label_column={column!r}: the plan has no label")
    if column in (*plan.keep, plan.row_id):
        option = "keep=" if column in plan.keep else "row_id="
        raise InvalidPlan(
            f"label_column={column!r}: {option} already names this column, and the label that "
            "you pass would replace it. Choose another name"
        )
    given = replace(plan, label_column=column)
    check_leakage(given.nodes, given.known_late)
    return given


def reads_label(plan: Declaration) -> bool:
    """Return whether encoders learn from the label of a plan."""
    return _others(plan, "") != columns_of(plan.nodes.values())


def _free_name(plan: Declaration, name: str, label: Node) -> str:
    """Return the label's name, changed if anything except encoders reads a column of that name."""
    of_label = [] if label == Column(name) else columns_of([label])
    taken = {*_others(plan, ""), *of_label, *plan.keep, *plan.outcomes, plan.row_id}
    while name in taken:
        name += " as given"
    return name


def _others(plan: Declaration, column: str) -> list[str]:
    """Return the columns that features read if encoders learn the label from `column` instead."""
    nodes = learn_from_column(list(plan.nodes.values()), plan.label_nodes, column)
    return columns_of(nodes)
