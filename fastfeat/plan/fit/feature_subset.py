"""Some features of a fitted plan, as a fitted plan of their own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from fastfeat.aggregates import is_target
from fastfeat.api.plan import Plan
from fastfeat.errors import InvalidPlan, did_you_mean
from fastfeat.expr import Expr
from fastfeat.ir.walk import postorder
from fastfeat.plan.declare.bind import listed
from fastfeat.plan.declare.external_label import with_label_column
from fastfeat.plan.run.encoded_rows import EncodedRows
from fastfeat.plan.run.lookup_tables import table_columns_of

if TYPE_CHECKING:
    from fastfeat.api.fitted import FittedPlan


def selected(
    fitted: FittedPlan,
    names: Sequence[str],
    *,
    keeps_ids: bool = True,
    dtype: str | None = None,
) -> FittedPlan:
    """Return a fitted plan of some features; see `FittedPlan.select`.

    Args:
        fitted: what is selected from.
        names: features, or single columns of those that have several.
        keeps_ids: whether the plan has its `row_id` still.
        dtype: the float type of the features; None for that of the plan.

    Raises:
        InvalidPlan: a name that is neither.
    """
    # what a user wrote: in `nodes` targets and folds are completed, which a plan does by itself
    columns = fitted.nodes | {
        name: node for name, node in fitted.plan.written.items() if name in fitted.nodes
    }
    known = {name: Expr((node,)) for name, node in columns.items()} | dict(fitted.plan.expressions)
    for name in names:
        if name not in known:
            hint = did_you_mean(str(name), known) or f" There are: {listed(known)}"
            raise InvalidPlan(f"there is no feature {name!r}.{hint}")
    chosen = {name: known[name] for name in names}
    read = {
        column.table for column in table_columns_of(n for e in chosen.values() for n in e.nodes)
    }
    declared = Plan(
        chosen,
        label=fitted.plan.label,
        outcomes=fitted.plan.outcomes,
        dtype=fitted.plan.dtype if dtype is None else dtype,
        label_delay=fitted.plan.label_delay,
        known=fitted.plan.known,
        known_tables={t: names for t, names in fitted.plan.known_tables.items() if t in read},
        row_id=fitted.plan.row_id if keeps_ids else None,
    )
    plan = with_label_column(declared, fitted.plan.label_column)
    reached = set(postorder(list(plan.nodes.values())))
    return replace(
        fitted,
        plan=plan,
        inputs={name: fitted.inputs[name] for name in plan.columns},
        constants={node: value for node, value in fitted.constants.items() if node in reached},
        bound=fitted.types,
        tables={c.table: fitted.tables[c.table] for c in plan.table_columns},
        encoded=_encoded(fitted, plan),
    )


def _encoded(fitted: FittedPlan, plan: Plan) -> EncodedRows | None:
    """Return the rows that encodings know, where a selection has some, and rows have ids.

    Without, they are known by columns that the selection may not read.
    """
    encoded = fitted.encoded
    by_id = encoded is not None and encoded.row_id is not None
    return encoded if by_id and any(map(is_target, postorder(list(plan.nodes.values())))) else None
