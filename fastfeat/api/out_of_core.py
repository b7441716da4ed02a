"""Fit of data that is larger than memory: chosen by `memory=`, or by the size of the files."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from fastfeat.api.learning import learning_record
from fastfeat.errors import InvalidPlan, LargerThanMemory, warn
from fastfeat.io.budget import Budget, budget_of, budget_of_free
from fastfeat.io.host_memory import as_bytes, free_memory
from fastfeat.io.sources.dataset import Dataset, dataset_of
from fastfeat.plan.declare.declaration import Declaration
from fastfeat.plan.fit.learning import finished
from fastfeat.plan.fit.passes import learned_within
from fastfeat.plan.fit.round import Learning
from fastfeat.plan.fit.rows_in_passes import RowsInPasses, rows_in_passes
from fastfeat.plan.run.encoded_rows import encoded_in_files
from fastfeat.plan.run.fitted import Fitted
from fastfeat.plan.run.lookup_tables import Tables
from fastfeat.plan.run.window_columns import check_shared, history_of, is_shared


def fit_within(
    plan: Declaration, data: Any, history: Any, tables: Tables, memory: str | int
) -> Fitted:
    """Return the plan fitted on data that is read in passes, within a budget of memory.

    Args:
        plan: what is fitted.
        data: as of `Plan.fit`.
        history: as of `Plan.fit`.
        tables: lookup tables.
        memory: the budget.

    Raises:
        FastfeatError: as `Plan.fit`.
    """
    budget = budget_of(memory)
    learning, rows = begun(plan, dataset_of(data), history, tables, budget)
    return _in_passes(learning, rows, budget)


def fit_if_large(plan: Declaration, files: Any, tables: Tables) -> Fitted | None:
    """Return the plan fitted in passes on files that are larger than free memory, else None.

    Args:
        plan: what is fitted.
        files: paths, of files that may be large.
        tables: lookup tables.

    Raises:
        FastfeatError: as `Plan.fit`.

    Warns:
        LargerThanMemory: they are.
    """
    if plan.row_id is not None and plan.past_columns:
        return None
    if plan.looks_ahead or not is_shared([*plan.nodes.values()]):
        return None
    dataset, free = dataset_of(files), free_memory()
    n_bytes = dataset.bytes_of(plan.columns)
    if free is None or n_bytes < free:
        return None
    budget = budget_of_free(free)
    warn(
        f"the data takes about {as_bytes(n_bytes)} in memory, of which {as_bytes(free)} are free: "
        f"it is read in passes, within {as_bytes(budget.n_bytes)}. memory= says how much to take",
        LargerThanMemory,
    )
    return _in_passes(*begun(plan, dataset, None, tables, budget), budget)


def check_all_in_parts(rows: Any, backend: str) -> None:
    """Raise where an argument of fit needs all rows in memory.

    Raises:
        InvalidPlan: the first of them.
    """
    if rows is not None or backend != "cpu":
        name = "rows=" if rows is not None else "backend="
        raise InvalidPlan(
            f"memory= reads the rows a little at a time, and {name} needs all of them in memory: "
            f"leave one of the two out"
        )


def begun(
    plan: Declaration, dataset: Dataset, history: Any, tables: Tables, budget: Budget
) -> tuple[Learning, RowsInPasses]:
    """Return the learning of a plan before its first pass, and the rows that it learns from.

    Args:
        plan: what is fitted.
        dataset: the rows.
        history: as of `Plan.fit`.
        tables: lookup tables.
        budget: of memory.

    Raises:
        FastfeatError: as `Plan.fit`, of what does not depend on the rows.
    """
    dataset.check(plan.columns)
    earlier = history_of(history) if plan.history_columns else None
    check_shared({**plan.nodes, **plan.label_nodes})
    if plan.row_id is not None and plan.history_columns:
        raise InvalidPlan(
            "row_id= of a plan with windows is not looked at where data is read in passes, in this "
            "version. Fit on the whole data, without memory="
        )
    if plan.looks_ahead:
        raise InvalidPlan(
            "rows are read in parts, and the label looks ahead of its row: a part lacks the rows "
            "that it sees. Fit on the whole data, or give the label as a column"
        )
    of_history = earlier.schema if isinstance(earlier, Dataset) else None
    learning = learning_record(plan, dataset.schema, tables, history=of_history, has_functions=True)
    return learning, rows_in_passes(dataset, earlier, budget)


def _in_passes(learning: Learning, rows: RowsInPasses, budget: Budget) -> Fitted:
    fitted = finished(learned_within(learning, rows, budget))
    plan = learning.prepared.plan
    return replace(fitted, encoded=encoded_in_files(plan, rows.dataset.identity))
