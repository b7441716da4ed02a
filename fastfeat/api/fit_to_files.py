"""Fit a plan in passes over data larger than memory, and write the features of its training rows.

Target encodings are out of fold: the encoding of a row is learned from the rows of other folds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from fastfeat.api.out_of_core import needs_of_fit, record_training_files, start_passes
from fastfeat.execute.call_rows import CallRows
from fastfeat.execute.fitted import Fitted, FittedContract
from fastfeat.execute.layout import Layout, check_beside
from fastfeat.execute.lookup_tables import read_tables
from fastfeat.execute.pieces import MOST_BYTES, pieces_of
from fastfeat.execute.to_files import digest_of_tables, write_features
from fastfeat.execute.window_columns import history_of
from fastfeat.io.budget import budget_of, budget_of_free, use_budget
from fastfeat.io.host_memory import free_memory
from fastfeat.io.sinks.manifest import Manifest
from fastfeat.io.sources.dataset import dataset_of
from fastfeat.io.sources.scan import ScannedTable
from fastfeat.keep.artifact import fitted_digest
from fastfeat.learn.learning import finish_learning
from fastfeat.learn.passes import learn_in_passes, with_scratch
from fastfeat.plan.declare.declaration import Declaration
from fastfeat.trust.quality.profiling import ProfileChoice, checked_choice
from fastfeat.trust.quality.profiling_in_passes import N_PASSES, profiled_in_passes


def fit_and_write(
    plan: Declaration,
    rows: CallRows,
    layout: Layout,
    contract: FittedContract | None = None,
    stable: Fitted | None = None,
    profile: ProfileChoice = False,
    *,
    check_ids: bool = False,
) -> tuple[Fitted, Manifest]:
    """Fit a plan and write the features of its training rows to files.

    Returns the fitted plan and the manifest, which lists the files. Lookup tables are read here,
    once. If `rows.memory` is None, the process may use the memory that it has plus three quarters
    of the free memory. `check_ids` and a profile read the rows again.

    Raises:
        FastfeatError: Any error of `Plan.fit_transform_to`.
    """
    choice = checked_choice(profile)
    dataset = dataset_of(rows.data)
    needs = needs_of_fit(plan, dataset, rows.tables)
    if rows.memory is None:
        budget = budget_of_free(free_memory(), needs)
    else:
        budget = budget_of(rows.memory, needs)
    earlier = history_of(rows.history) if plan.history_columns else None
    of_lookup = rows.tables.values() if isinstance(rows.tables, Mapping) else ()
    check_beside(layout, rows.data, rows.history, *of_lookup, read=(dataset, earlier))
    known = read_tables(rows.tables, [*plan.table_columns, *plan.label_table_columns])
    parent = layout.target.parent
    folder = parent if parent.is_dir() else None
    with with_scratch(dataset) as copied:
        again = rows._replace(history=earlier, tables=known)
        first, read = start_passes(plan, again, copied, budget, folder, stable, check_ids=check_ids)
        n_passes = first.n_passes + first.n_function_passes + 1
        dataset.check_passes(n_passes + N_PASSES if choice else n_passes)
        chosen, then = read.chosen, first.columns_of_features
        if chosen is not None:
            then = [*dict.fromkeys((*then, *plan.row_columns))]
        learning = learn_in_passes(first, read, budget, then)
        fitted = replace(finish_learning(learning), contract=contract)

        def features(piece: ScannedTable) -> Any:
            return read.features(learning, piece)

        def most_bytes() -> int:
            return min(MOST_BYTES, budget.table_bytes())

        pieces = pieces_of(
            copied,
            learning.columns if chosen is None else then,
            (),
            features,
            fitted.schema,
            most_bytes,
        )
        if chosen is not None:
            pieces = replace(pieces, row_of=chosen.row_of_given)
        digest, of_tables = fitted_digest(fitted).hex(), digest_of_tables(known, plan.table_columns)
        given = "" if chosen is None else chosen.digest_of_given
        with use_budget(budget):
            manifest = write_features(
                pieces, layout, digest, of_tables, earlier, training=True, given=given
            )
        fitted = profiled_in_passes(fitted, learning, read, budget, choice)
    return record_training_files(fitted, read), manifest
