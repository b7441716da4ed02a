"""Fit of data that is larger than memory: chosen by `memory=`, or by the size of the files."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from fastfeat.errors import InvalidPlan, LargerThanMemory, warn
from fastfeat.io.budget import Budget, budget_of, budget_of_free
from fastfeat.io.host_memory import as_bytes, free_memory
from fastfeat.io.sources.dataset import Dataset, dataset_of
from fastfeat.plan.declare.declaration import Declaration
from fastfeat.plan.fit.learning import finished
from fastfeat.plan.fit.passes import learned_within, with_scratch
from fastfeat.plan.keep.learning import learning_record
from fastfeat.plan.run.encoded_rows import encoded_in_files
from fastfeat.plan.run.fitted import Fitted
from fastfeat.plan.run.lookup_tables import Tables


def fit_within(plan: Declaration, data: Any, tables: Tables, memory: str | int) -> Fitted:
    """Return the plan fitted on data that is read in passes, within a budget of memory.

    Args:
        plan: what is fitted.
        data: as of `Plan.fit`.
        tables: lookup tables.
        memory: the budget.

    Raises:
        FastfeatError: as `Plan.fit`.
    """
    return _in_passes(plan, dataset_of(data), tables, budget_of(memory))


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
    if plan.past_columns or plan.looks_ahead:  # rows see others, which are in other parts
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
    return _in_passes(plan, dataset, tables, budget)


def check_all_in_parts(rows: Any, history: Any, backend: str) -> None:
    """Raise where an argument of fit needs all rows in memory.

    Raises:
        InvalidPlan: the first of them.
    """
    if rows is not None or history is not None or backend != "cpu":
        name = "rows=" if rows is not None else "history=" if history is not None else "backend="
        raise InvalidPlan(
            f"memory= reads the rows a little at a time, and {name} needs all of them in memory: "
            f"leave one of the two out"
        )


def _in_passes(plan: Declaration, dataset: Dataset, tables: Tables, budget: Budget) -> Fitted:
    dataset.check(plan.columns)
    dataset.check_folders(plan.columns)
    learning = learning_record(plan, dataset.schema, tables)
    with with_scratch(dataset) as copied:
        fitted = finished(learned_within(learning, copied, budget))
    return replace(fitted, encoded=encoded_in_files(plan, dataset.identity))
