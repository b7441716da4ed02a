"""Fitting: a plan learns from a table of training rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastfeat.backends import backend_named
from fastfeat.errors import Told, TypeMismatch
from fastfeat.io.almost_numbers import almost_numbers
from fastfeat.ir.node import Column, Node
from fastfeat.ir.show import show
from fastfeat.plan.batch import Batch, chosen_rows
from fastfeat.plan.bind import Schemas, bind
from fastfeat.plan.border import check_place, used_schema, warn_absent
from fastfeat.plan.columns_read import columns_of
from fastfeat.plan.constants import constant_roots, evaluate_constants, warn_constants
from fastfeat.plan.expand import check_clash, check_width, expanded, is_one_hot, warn_empty
from fastfeat.plan.fitted import FittedPlan, InputSchema, fitted_label
from fastfeat.plan.fold_sizes import warn_of_folds
from fastfeat.plan.history import BATCH, with_past
from fastfeat.plan.key_state import check_given_vocabularies
from fastfeat.plan.label import labels_of, rows_with_label
from fastfeat.plan.leakage import check_leakage
from fastfeat.plan.lower import Types
from fastfeat.plan.order_warnings import warn_repeated, warn_ties
from fastfeat.plan.outputs import output_schema, output_types
from fastfeat.plan.tables import columns_of_tables, table_schemas, table_values
from fastfeat.plan.training import learn, warn_missing
from fastfeat.plan.training_rows import TrainingRows, for_later_rows
from fastfeat.scalars.zones import ZoneTable, using

if TYPE_CHECKING:
    from fastfeat.plan.plan import Plan


def fitted_on(
    plan: Plan,
    table: Any,
    data: Any,
    earlier: Any,
    history: Any,
    tables: Mapping[str, Any],
    backend: str,
    *,
    transforms: bool = False,
    wanted: NDArray[np.int64] | None = None,
) -> tuple[FittedPlan, TrainingRows]:
    """Return the plan fitted on a table, read from the data, and the rows, as fit left them.

    Args:
        plan: what is fitted.
        table: the training rows.
        data: what they were read from.
        earlier: rows before them, as a table; None where there are none.
        history: what these were read from.
        tables: lookup tables.
        backend: its name.
        transforms: whether the features of the rows are wanted too.
        wanted: the numbers of the rows that are learnt from, each once, shape (n_wanted,); None
            for all. Windows see all rows.
    """
    engine = backend_named(backend)
    check_place(table, backend)
    of_label = [] if plan.label_column else columns_of(plan.label_nodes.values())
    warn_absent(
        data,
        {"label=": of_label, "outcomes=": plan.outcomes}
        | {"keep=": plan.keep, "row_id=": [] if plan.row_id is None else [plan.row_id]},
    )
    schema, schemas = used_schema(table, plan.columns), table_schemas(tables)
    roots = list(plan.nodes.values())
    zones: dict[str, ZoneTable] = {}
    told = Told()
    with using(zones):
        types = _bound(roots, schema, table, schemas)
        check_clocks(plan, types)
        output_types(plan, _fixed(plan.nodes), types)
        check_given_vocabularies(roots, types)
        made = table_values({c: types[c] for c in plan.table_columns}, tables)
        rows = Batch(table, types, engine, {}, {**made}, training=True)
        rows = with_past(rows, earlier, plan.training_past_columns, plan.row_id)
        label = _bound_label(plan, table, schemas, zones)
        chosen = wanted
        if label is not None and plan.looks_ahead and table.num_rows:
            past = BATCH if earlier is None else earlier
            labels = labels_of(replace(label, told=told), table, past, tables, backend)
            chosen = rows_with_label(labels, wanted)
        batch = rows if chosen is None else chosen_rows(rows, chosen)
        learn(batch, plan.nodes, transforms=transforms)
        learnt = for_later_rows(batch.learnt)
        check_width(plan.nodes, learnt, types, table.num_rows)
        others = dict.fromkeys(plan.keep, "a column of keep=")
        others |= dict.fromkeys(plan.label_nodes, "the label")
        check_clash(expanded(plan.nodes, learnt, types), others)
        constants = evaluate_constants(constant_roots(roots), types, learnt)
        warn_missing(learnt)
        warn_of_folds(batch, roots)
        warn_empty(plan.nodes, learnt, types)
        warn_constants(roots, types, learnt)
        warn_ties(rows, roots, told)
        warn_repeated(rows, data, history, roots, told)
    known = {**learnt, **constants}
    n_wanted = table.num_rows if wanted is None else len(wanted)
    fitted = FittedPlan(
        plan,
        schema,
        known,
        batch.n_rows,
        zones,
        types,
        None if label is None else label.inputs,
        columns_of_tables(plan.table_columns, schemas),
        {} if label is None else label.tables,
        n_wanted - batch.n_rows,
        told,
    )
    return fitted, TrainingRows(rows, batch, chosen)


def check_clocks(plan: Plan, types: Types) -> None:
    """Raise Leakage where windows see labels too early by the zones and types of the times.

    Args:
        plan: declares what is late.
        types: of every node.
    """
    late = plan.known_late
    if late.columns:
        check_leakage(plan.nodes, late, types)


def _bound_label(
    plan: Plan, table: Any, tables: Schemas, zones: dict[str, ZoneTable]
) -> FittedPlan | None:
    """Return what computes the label, of the types of the training rows.

    None where it is a column itself, or where the training rows lack its columns.

    Raises:
        TypeMismatch: it is no number.
    """
    names = plan.label_columns
    if not names or not set(names) <= set(table.column_names):
        return None
    schemas = columns_of_tables(plan.label_table_columns, tables)
    label = fitted_label(plan, used_schema(table, names), schemas, table.num_rows, zones)
    for name, node in label.nodes.items():
        if label.types[node].holds_bytes:
            raise TypeMismatch(
                f"the label {name!r} is {label.types[node]}, {show(node)}: one that is computed is "
                "a number. Compare it, == 'text', or name a column as the label, label='y'"
            )
    output_schema(label.plan, label.nodes, label.types)
    return label


def _fixed(nodes: Mapping[str, Node]) -> dict[str, Node]:
    """Return the features whose columns are known before fit."""
    return {name: node for name, node in nodes.items() if not is_one_hot(node)}


def _bound(roots: list[Node], schema: InputSchema, table: Any, tables: Schemas) -> Types:
    """Return the type of every node; an error says which values make text of a column."""
    try:
        return bind(roots, schema, tables)
    except TypeMismatch as error:
        columns = [name for name in schema if show(Column(name)) in str(error)]
        odd = [almost_numbers(table.column(name), name) for name in columns]
        told = ". ".join([str(error), *filter(None, odd)])
        raise TypeMismatch(told) from error.__cause__
