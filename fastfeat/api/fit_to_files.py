"""Fit in passes over data that is more than memory, and the features of its rows, out of fold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from fastfeat.errors import InvalidPlan
from fastfeat.io.budget import budget_of, budget_of_free
from fastfeat.io.host_memory import free_memory
from fastfeat.io.sinks.manifest import Manifest
from fastfeat.io.sources.dataset import dataset_of
from fastfeat.io.sources.scan import Scanned
from fastfeat.plan.declare.declaration import Declaration
from fastfeat.plan.fit.learning import finished, first_window, part_features
from fastfeat.plan.fit.passes import learned_within, with_scratch
from fastfeat.plan.fit.round import Learning
from fastfeat.plan.keep.artifact import fitted_digest
from fastfeat.plan.keep.learning import learning_record
from fastfeat.plan.run.encoded_rows import encoded_in_files
from fastfeat.plan.run.fitted import Fitted, FittedContract
from fastfeat.plan.run.layout import Layout, check_beside
from fastfeat.plan.run.lookup_tables import Tables, read_tables
from fastfeat.plan.run.pieces import MOST_BYTES, pieces_of
from fastfeat.plan.run.to_files import digest_of_tables, write_features


def fit_and_write(
    plan: Declaration,
    data: Any,
    layout: Layout,
    tables: Tables,
    memory: str | int | None,
    contract: FittedContract | None = None,
) -> tuple[Fitted, Manifest]:
    """Return the fitted plan, and the manifest of the features of its rows, which are written.

    Args:
        plan: what is fitted.
        data: the rows, as of `Plan.fit_transform_to`, as the following are.
        layout: where features go.
        tables: lookup tables; they are read here, once.
        memory: the budget; None for what the process has, and three quarters of what is free.
        contract: what the rows hold, which the plan keeps.

    Raises:
        FastfeatError: as `Plan.fit_transform_to`.
    """
    budget = budget_of_free(free_memory()) if memory is None else budget_of(memory)
    dataset = dataset_of(data)
    of_lookup = tables.values() if isinstance(tables, Mapping) else ()
    check_beside(layout, data, *of_lookup, read=(dataset,))
    dataset.check(plan.columns)
    dataset.check_folders(plan.columns)
    known = read_tables(tables, list(plan.table_columns))
    first = learning_record(plan, dataset.schema, known)
    _check_no_windows(first)
    dataset.check_passes(first.most_rounds + 1)
    with with_scratch(dataset) as copied:
        learning = learned_within(first, copied, budget, first.columns_of_features)
        fitted = replace(finished(learning), contract=contract)

        def features(piece: Scanned) -> Any:
            numbers = range(piece.first_row, piece.first_row + piece.table.num_rows)
            return part_features(learning, piece.table, numbers, "arrow")

        def most_bytes() -> int:
            return min(MOST_BYTES, budget.table_bytes())

        pieces = pieces_of(copied, learning.columns, (), features, fitted.schema, most_bytes)
        digest, of_tables = fitted_digest(fitted).hex(), digest_of_tables(known, plan.table_columns)
        manifest = write_features(pieces, layout, digest, of_tables, training=True)
    return replace(fitted, encoded=encoded_in_files(plan, dataset.identity)), manifest


def _check_no_windows(learning: Learning) -> None:
    """Raise where features see other rows, before any row is read.

    Raises:
        InvalidPlan: it names the first window, and the calls that bring its rows together.
    """
    window = first_window(learning.prepared.typed.schedule("training"))
    if window is not None:
        raise InvalidPlan(
            f"{window} sees the earlier rows of an entity, which fit_transform_to does not bring "
            "together. Where no encoding learns from the label, the features are those of "
            "plan.fit(data).transform_to(data, out, history='batch'); else take "
            "plan.fit_transform(data, history='batch'), in memory"
        )
