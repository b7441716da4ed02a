"""The history of a scikit-learn transformer: a table of all rows, so that no split hides rows.

Cross-validation passes only a part of the rows as X, but windows should see the others too.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fastfeat.api.plan import Plan
from fastfeat.backends import backend_named
from fastfeat.errors import (
    InvalidData,
    InvalidPlan,
    PurgeOff,
    TypeMismatch,
    UnknownColumn,
    counted,
    warn,
)
from fastfeat.execute.history import is_batch
from fastfeat.execute.inputs import read_columns
from fastfeat.execute.row_identity import match_rows_by_id
from fastfeat.integrations.held import Held, unwrap_held
from fastfeat.io.columns.decode import has_value
from fastfeat.ir.node import Node, postorder
from fastfeat.ir.scope import is_over_window
from fastfeat.ir.show import show
from fastfeat.learn.folds import Split
from fastfeat.learn.purge import moments_of, purge_training_rows, resolve_purging


def resolve_history(plan: Plan, given: Any) -> Any:
    """Return the history that the plan's windows see; None for a plan without windows.

    `given` is a `Held`, a path, "batch", or None if the user passed nothing.

    Raises:
        InvalidData: The plan has windows, and there is no history.
        InvalidPlan: The plan has no `row_id` to match the rows of a history and of a split.
        TypeMismatch: The history is data that is not wrapped in `Held`.
    """
    if (
        given is not None
        and not isinstance(given, (Held, str))
        and not hasattr(given, "__fspath__")
    ):
        raise TypeMismatch(
            f"history= is a {type(given).__name__}, which scikit-learn slices if it is as long as "
            "X. Protect it: history=Held(frame), or Features(plan, history=frame)"
        )
    past = unwrap_held(given)
    if not plan.declaration.training_past_columns or is_batch(past):
        return past
    if past is None:
        raise InvalidData(
            f"{show(_first_window(plan))} sees earlier rows, but a split of the rows, such as a "
            "fold, leaves some out. Pass all rows, Features(plan, history=all_rows), and name a "
            "column that identifies them, Plan(row_id='id'). Pass history='batch' only if X always "
            "has all earlier rows of its entities, which is not so in cross-validation"
        )
    if plan.row_id is None:
        raise InvalidPlan(
            "history= has rows of X too, which would count twice. Name the column that identifies "
            "rows: Plan(row_id='id')"
        )
    return past


def check_whole(plan: Plan, data: Any, past: Any) -> None:
    """Check that the history has all training rows; warn if labels overlap across a split.

    Raises:
        InvalidData: The history lacks training rows.
        UnknownColumn: The history lacks the column of ids.

    Warns:
        PurgeOff: Labels of training rows overlap in time with those of rows that a split leaves
            out.
    """
    if (
        past is None
        or is_batch(past)
        or plan.row_id is None
        or not plan.declaration.training_past_columns
    ):
        return
    rows = read_columns(data, [plan.row_id])
    try:
        history = read_columns(past, [plan.row_id])
    except UnknownColumn as error:
        raise UnknownColumn(f"history=: {error}") from None
    found = match_rows_by_id(plan.row_id, history, rows)
    own = found.places[found.rows[found.places] == found.of_history[found.places]]
    if len(own):
        raise InvalidData(
            f"history= lacks {counted(len(own), 'row')} of X, but must have all rows, because "
            "windows also see rows that a split leaves out. Add the rows of X to it"
        )
    train = found.of_history[found.places]
    _warn_unpurged(plan, past, Split(train, np.setdiff1d(found.of_history, train)))


def _warn_unpurged(plan: Plan, past: Any, split: Split) -> None:
    """Warn about training rows that `cross_fit` would remove, but scikit-learn's splitters keep."""
    purging = resolve_purging(plan.declaration, None, None)
    if not purging or not len(split.test):
        return
    table = read_columns(past, purging.columns, plan.declaration.label_sources)
    has_label = np.ones(table.num_rows, np.bool_)  # label and time: rows without are in no fold
    for column in table.columns:
        has_label &= has_value(column)
    split = Split(*(numbers[has_label[numbers]] for numbers in split))
    moments = moments_of(purging, table, [split], backend_named("cpu"))
    n_near = len(split.train) - len(purge_training_rows(moments, split))
    if n_near:
        warn(
            f"{n_near:,} of {counted(len(split.train), 'training row')} have a label that overlaps "
            "in time with the label of a row that this split leaves out: "
            f"{', and '.join(one.reach.told for one in moments)}. scikit-learn keeps such rows, so "
            "a model is tested on labels that it has partly learnt. Take the score from "
            "plan.cross_fit(data, cv), which removes them, or leave a gap: TimeSeriesSplit(gap=)",
            PurgeOff,
        )


def _first_window(plan: Plan) -> Node:
    return next(
        node for node in postorder(list(plan.declaration.nodes.values())) if is_over_window(node)
    )
