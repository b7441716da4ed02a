"""Fit a plan on data larger than memory, in passes: if `memory=` is given, or files are large."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from fastfeat.errors import InvalidPlan, LargerThanMemory, warn
from fastfeat.execute.call_rows import CallRows
from fastfeat.execute.encoded_rows import record_encoded_files
from fastfeat.execute.fitted import Fitted
from fastfeat.execute.lookup_tables import Tables
from fastfeat.execute.memory_needs import needs_of_call
from fastfeat.execute.row_selection import flags_of_rows
from fastfeat.execute.window_columns import check_shared, history_of, is_shared
from fastfeat.io.arrow import pa
from fastfeat.io.budget import Budget, Need, budget_of, budget_of_free, use_budget
from fastfeat.io.host_memory import as_bytes, free_memory
from fastfeat.io.sources.dataset import Dataset, dataset_of
from fastfeat.io.sources.scan import n_rows_of, scan
from fastfeat.keep.learning import learning_record
from fastfeat.learn.ahead_warnings import MOST_ROWS, warn_ahead
from fastfeat.learn.duplicate_ids import warn_of_ids_in_passes
from fastfeat.learn.learning import finish_learning
from fastfeat.learn.passes import learn_in_passes, with_scratch
from fastfeat.learn.room import needs_of_quantiles
from fastfeat.learn.round import LearningRound
from fastfeat.learn.row_choice import choose_rows
from fastfeat.learn.rows_in_passes import RowsInPasses, rows_in_passes
from fastfeat.plan.declare.declaration import Declaration
from fastfeat.tell.explain_passes import describe_passes
from fastfeat.trust.quality.profiling import ProfileChoice, checked_choice
from fastfeat.trust.quality.profiling_in_passes import N_PASSES, profiled_in_passes


def fit_within(
    plan: Declaration,
    rows: CallRows,
    stable: Fitted | None = None,
    profile: ProfileChoice = False,
    *,
    check_ids: bool = False,
) -> Fitted:
    """Return the plan fitted in passes over the data, within the memory budget of `rows`.

    Raises:
        FastfeatError: Any error of `Plan.fit`.
    """
    assert rows.memory is not None
    dataset = dataset_of(rows.data)
    budget = budget_of(rows.memory, needs_of_fit(plan, dataset, rows.tables))
    return _in_passes(plan, rows, dataset, budget, stable, profile, check_ids=check_ids)


def fit_if_large(
    plan: Declaration,
    files: Any,
    tables: Tables,
    stable: Fitted | None = None,
    profile: ProfileChoice = False,
) -> Fitted | None:
    """Return the plan fitted in passes if the files are larger than free memory, otherwise None.

    Raises:
        FastfeatError: Any error of `Plan.fit`.

    Warns:
        LargerThanMemory: The files are larger than free memory.
    """
    if plan.row_id is not None and plan.past_columns:
        return None
    if not is_shared([*plan.nodes.values(), *plan.label_nodes.values()]):
        return None
    dataset, free = dataset_of(files), free_memory()
    n_bytes = dataset.bytes_of(plan.columns)
    if free is None or n_bytes < free:
        return None
    budget = budget_of_free(free, needs_of_fit(plan, dataset, tables))
    warn(
        f"the data needs about {as_bytes(n_bytes)} of memory, and {as_bytes(free)} are free: it "
        f"is read in passes, within {as_bytes(budget.n_bytes)}. Set this limit with memory=",
        LargerThanMemory,
    )
    return _in_passes(plan, CallRows(files, tables=tables), dataset, budget, stable, profile)


def explain_passes(plan: Declaration, data: Any, tables: Tables) -> str:
    """Return text about the columns that each pass of a fit would read. No rows are read here.

    Raises:
        FastfeatError: Any error of `Plan.fit` about columns and types.
    """
    dataset = Dataset(data, ()) if isinstance(data, pa.Schema) else dataset_of(data)
    dataset.check(plan.columns)
    learning = learning_record(plan, dataset.schema, tables, has_functions=True)
    return describe_passes(learning, dataset)


def needs_of_fit(plan: Declaration, dataset: Dataset, tables: Tables) -> list[Need]:
    """Return an estimate, part by part, of the memory that a fit needs, from types and row counts.

    No rows are read.
    """
    of_tables = [*plan.table_columns, *plan.label_table_columns]
    needs = needs_of_call(dataset, [*plan.columns, *plan.label_columns], tables, of_tables)
    return [*needs, *needs_of_quantiles(plan, dataset.n_rows)]


def start_passes(
    plan: Declaration,
    rows: CallRows,
    dataset: Dataset,
    budget: Budget,
    folder: Path | None = None,
    stable: Fitted | None = None,
    *,
    check_ids: bool = False,
) -> tuple[LearningRound, RowsInPasses]:
    """Return a plan's `LearningRound` before its first pass, and the rows that its passes read.

    A label that looks ahead (is computed from later rows) is computed here, before the first pass.
    Unnamed temporary files go to `folder`, by default to the system's folder for temporary files.

    Raises:
        FastfeatError: Any error of `Plan.fit` about labels or ids, or that does not depend on rows.
    """
    columns = [*plan.columns, *(plan.label_columns if plan.looks_ahead else ())]
    dataset.check(columns)
    dataset.check_folders(columns)
    earlier = history_of(rows.history) if plan.history_columns else None
    check_shared({**plan.nodes, **plan.label_nodes})
    if plan.row_id is not None and plan.history_columns:
        raise InvalidPlan(
            "a plan with windows and row_id= cannot be fitted in passes in this version. Fit on "
            "the whole data, without memory="
        )
    past = earlier.schema if isinstance(earlier, Dataset) else None
    learning = learning_record(
        plan, dataset.schema, rows.tables, past=past, has_functions=True, stable=stable
    )
    prepared, read = learning.prepared, rows_in_passes(dataset, earlier, budget, folder)
    label = prepared.label if plan.looks_ahead else None
    n_before = 3 * (label is not None) + check_ids
    n_before += rows.rows is not None and dataset.n_rows is None
    dataset.check_passes(n_before + learning.n_passes + learning.n_function_passes)
    given = None if rows.rows is None else flags_of_rows(rows.rows, n_rows_of(dataset))
    with use_budget(budget):
        if check_ids:
            warn_of_ids_in_passes(plan, dataset, budget, folder, prepared.told)
        chosen = choose_rows(label, read.functions, given, prepared.tables)
        if label is not None:
            _warn_ahead(plan, dataset, columns, budget)
    if chosen is None:
        return learning, read
    learning = replace(learning, n_unlearnt=chosen.n_given - chosen.n_learnt)
    return learning, replace(read, chosen=chosen)


def _warn_ahead(plan: Declaration, dataset: Dataset, columns: list[str], budget: Budget) -> None:
    """Give the warnings of `fit` about a label from later rows; read the first chunk of rows."""
    with closing(scan(dataset, columns, budget.table_bytes, stop=MOST_ROWS)) as tables:
        first = next(tables).table
    warn_ahead(plan, first, is_whole=first.num_rows == dataset.n_rows)


def _in_passes(
    plan: Declaration,
    rows: CallRows,
    dataset: Dataset,
    budget: Budget,
    stable: Fitted | None,
    profile: ProfileChoice,
    *,
    check_ids: bool = False,
) -> Fitted:
    choice = checked_choice(profile)
    with with_scratch(dataset) as copied:
        learning, read = start_passes(
            plan, rows, copied, budget, stable=stable, check_ids=check_ids
        )
        if choice:
            copied.check_passes(learning.n_passes + learning.n_function_passes + N_PASSES)
        then = [*dict.fromkeys((*learning.columns_of_features, *plan.columns))] if choice else []
        learning = learn_in_passes(learning, read, budget, then)
        fitted = profiled_in_passes(finish_learning(learning), learning, read, budget, choice)
    return record_training_files(fitted, read)


def record_training_files(fitted: Fitted, rows: RowsInPasses) -> Fitted:
    """Return the fitted plan with a record of its training files.

    With this record `transform` warns about rows from whose labels an encoding has learned. Files
    are not recorded if the plan learned from some of their rows only, because the other rows may be
    transformed.
    """
    if rows.chosen is not None and rows.chosen.given is not None:
        return fitted
    return replace(fitted, encoded=record_encoded_files(fitted.declaration, rows.dataset.identity))
