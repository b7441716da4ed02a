"""Some features of a fitted plan, as a fitted plan of their own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from fastfeat.aggregates import is_target
from fastfeat.errors import InvalidPlan, did_you_mean
from fastfeat.execute.encoded_rows import EncodedRows
from fastfeat.execute.fitted import Fitted
from fastfeat.expr import Expr
from fastfeat.ir.node import postorder
from fastfeat.plan.declare.bind import list_names
from fastfeat.plan.declare.declaration import Declaration, declare
from fastfeat.plan.declare.external_label import with_label_column
from fastfeat.plan.declare.rows_ahead import window_time_columns
from fastfeat.plan.declare.source_columns import table_columns_of


def select_features(
    fitted: Fitted,
    names: Sequence[str],
    *,
    keeps_ids: bool = True,
    dtype: str | None = None,
) -> Fitted:
    """Return a fitted plan with some of the features; see `FittedPlan.select`.

    Args:
        fitted: The plan to select from.
        names: Features, or single columns of features that have several.
        keeps_ids: Whether the plan keeps its `row_id`.
        dtype: Float type of the features; None to keep the plan's.

    Raises:
        InvalidPlan: A name is neither a feature nor a column.
    """
    # as the user wrote them: `nodes` has targets and folds filled in, which a new plan does itself
    columns = fitted.nodes | {
        name: node for name, node in fitted.declaration.written.items() if name in fitted.nodes
    }
    known = {name: Expr((node,)) for name, node in columns.items()} | dict(
        fitted.declaration.features
    )
    for name in names:
        if name not in known:
            hint = did_you_mean(str(name), known) or f" The features are: {list_names(known)}"
            raise InvalidPlan(f"there is no feature {name!r}.{hint}")
    chosen = {name: known[name] for name in names}
    read = {
        column.table for column in table_columns_of(n for e in chosen.values() for n in e.nodes)
    }
    clocks = window_time_columns(n for e in chosen.values() for n in e.nodes)
    declared = declare(
        chosen,
        label=fitted.declaration.label,
        outcomes=fitted.declaration.outcomes,
        dtype=fitted.declaration.dtype if dtype is None else dtype,
        label_delay=fitted.declaration.label_delay,
        known=fitted.declaration.known,
        known_tables={
            t: names for t, names in fitted.declaration.known_tables.items() if t in read
        },
        known_clocks=[c for c in fitted.declaration.known_clocks if c in clocks],
        row_id=fitted.declaration.row_id if keeps_ids else None,
        codes=fitted.declaration.codes,
    )
    declared = replace(declared, fold_id=fitted.declaration.fold_id)  # with row_id or without
    plan = with_label_column(declared, fitted.declaration.label_column)
    reached = set(postorder(list(plan.nodes.values())))
    return replace(
        fitted,
        declaration=plan,
        inputs={name: fitted.inputs[name] for name in plan.columns},
        constants={node: value for node, value in fitted.constants.items() if node in reached},
        bound=fitted.types,
        tables={c.table: fitted.tables[c.table] for c in plan.table_columns},
        encoded=_encoded(fitted, plan),
        golden=None,  # golden rows have all features
    )


def _encoded(fitted: Fitted, plan: Declaration) -> EncodedRows | None:
    """Return the record of encoded training rows for the selected features, or None.

    The record is kept if the selection has an encoding and rows are recognized by ids or files.
    Other rows are recognized by the values of columns that the selection may not read.
    """
    encoded = fitted.encoded
    by_id = encoded is not None and (encoded.row_id is not None or len(encoded.files) > 0)
    return encoded if by_id and any(map(is_target, postorder(list(plan.nodes.values())))) else None
