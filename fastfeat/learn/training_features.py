"""The features of the training rows: target encodings are out of fold there.

Rows that fit did not learn from get features as `transform` computes them. Kept columns are columns
of the data that the plan passes through (`keep=`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from fastfeat.engine.program import Program
from fastfeat.execute import sparse
from fastfeat.execute.batch import (
    Batch,
    TrainingRows,
    known_constants,
    select_rows,
    take_rows_of_type,
)
from fastfeat.execute.fitted import Fitted
from fastfeat.execute.results import computed_form, convert_features
from fastfeat.execute.steps import columns_of_chosen, run
from fastfeat.execute.transform import read_out
from fastfeat.first_use import is_a
from fastfeat.io.arrow import Table, pa
from fastfeat.io.sinks import results as result_forms
from fastfeat.plan.lower.constants import bind
from fastfeat.plan.lower.outputs import (
    MATRIX_ORDERS,
    TABLES,
    arrays_program,
    arrow_program,
    matrix_program,
)
from fastfeat.plan.lower.schedule import Schedule
from fastfeat.scalars.zones import use_zone_tables

if TYPE_CHECKING:
    pass

_FOLDED = "fastfeat.aggregates.target:FoldedGroups"
_OF_TIMES = "fastfeat.steps.targets.time_folds:TimeFolds"


def has_folds(batch: Batch) -> bool:
    """Return whether training rows get out-of-fold values, unlike later rows."""
    return any(is_a(value, _FOLDED) for value in batch.learnt.values())


def training_features(
    fitted: Fitted, training: TrainingRows, to: str, *, categories: bool = False
) -> Any:
    """Return the features of the rows given to fit, in their order, out of fold.

    `to` and `categories` are described in `FittedPlan.transform`.
    """
    features = _training_features(fitted, training, computed_form(fitted, to))
    index = result_forms.rows_of_index(training.index, training.wanted)
    return convert_features(fitted, features, to, categories=categories, index=index)


def _training_features(fitted: Fitted, training: TrainingRows, form: str) -> Any:
    """Return the features of the rows given to fit, in the form `form` of `transform.read_out`."""
    own = _features(fitted, replace(training.learnt_from, types=fitted.types), form, training=True)
    if training.is_learnt is None:
        return own
    numbers = np.arange(training.n_rows) if training.wanted is None else training.wanted
    learnt, others = np.flatnonzero(training.is_learnt), np.flatnonzero(~training.is_learnt)
    parts = own, _later_features(fitted, training, numbers[others], form)
    if form in TABLES:  # the types of kept columns may not support taking rows in Arrow
        parts = [part.drop_columns(list(fitted.declaration.keep)) for part in parts]
    features = _together(parts, np.concatenate([learnt, others]), training.rows, form)
    return _with_kept(fitted, features, training) if form in TABLES else features


def later_features(
    fitted: Fitted,
    training: TrainingRows,
    numbers: NDArray[np.int64],
    to: str,
    *,
    categories: bool = False,
) -> Any:
    """Return the features of some rows of the training data, as `transform` computes them.

    `numbers` are the row numbers in the wanted order, shape (n_wanted,). `to` and `categories` are
    described in `FittedPlan.transform`.
    """
    features = _later_features(fitted, training, numbers, computed_form(fitted, to))
    index = result_forms.rows_of_index(training.index, numbers)
    return convert_features(fitted, features, to, categories=categories, index=index)


def _later_features(
    fitted: Fitted, training: TrainingRows, numbers: NDArray[np.int64], form: str
) -> Any:
    """Return the features of some rows, as `transform` computes them, in the form `form`."""
    later = replace(training.rows, training=False)
    columns = columns_of_chosen(later, [_schedule(fitted, form)])
    chosen = select_rows(later, numbers, columns)
    batch = replace(chosen, types=fitted.types, learnt=dict(fitted.constants))
    return _features(fitted, batch, form, training=False)


def _together(parts: Sequence[Any], places: NDArray[np.int64], rows: Batch, form: str) -> Any:
    """Return the features of two sets of rows merged, in the order of the rows.

    `parts` are in the form `form` of `transform.read_out`. `places` has the final position of each
    row of the parts, shape (n_rows,).
    """
    match form:
        case "arrow" | "columns":
            order = np.empty_like(places)
            order[places] = np.arange(len(places))
            return pa.concat_tables(parts).take(pa.array(order))
        case "csr":
            return sparse.together(parts, places)
        case "numpy" | "rows":
            return _placed(parts, places, MATRIX_ORDERS[form])
        case _:
            from fastfeat.execute.device_results import on_device  # imports the GPU backend

            def placed(pieces: Sequence[Any]) -> Any:
                return on_device(_placed([piece.get() for piece in pieces], places), rows)

            if form == "cupy":
                return placed(parts)
            return {name: placed([part[name] for part in parts]) for name in parts[0]}


def _with_kept(fitted: Fitted, features: Table, training: TrainingRows) -> Table:
    """Return features with the kept columns of the rows appended unchanged."""
    for name in fitted.declaration.keep:
        column, field = training.rows.table.column(name), training.rows.table.schema.field(name)
        if training.wanted is not None:
            column = take_rows_of_type(column, training.wanted)
        features = features.append_column(field, column)
    return features


def _placed(
    parts: Sequence[NDArray[Any]], places: NDArray[np.int64], order: Literal["C", "F"] = "F"
) -> NDArray[Any]:
    """Return the arrays merged into one, with each row at its position in `places`.

    `order` is the memory order.
    """
    shape = (len(places), *parts[0].shape[1:])
    whole = np.empty(shape, parts[0].dtype, order=order)
    for part, at in zip(parts, np.split(places, [len(parts[0])]), strict=True):
        whole[at] = part
    return whole


def _features(fitted: Fitted, batch: Batch, form: str, *, training: bool) -> Any:
    """Return the features of a batch, in the form `form` of `transform.read_out`."""
    roots, key = list(fitted.nodes.values()), (form, training, *fitted.nodes.items())
    program: Program | None = batch.shared.get(key)
    if program is None:
        programs = {
            "arrow": arrow_program,
            "columns": arrow_program,
            "cupy_columns": arrays_program,
        }
        with use_zone_tables(fitted.zones):
            if form == "csr":
                program = sparse.dense_program(fitted.typed, training=training)
            else:
                program = programs.get(form, matrix_program)(
                    fitted.typed, fitted.nodes, fitted.types, training=training
                )
        batch.shared[key] = program
    run(batch, _schedule(fitted, form, training=training))
    constants = bind(program, known_constants(batch, roots))
    return read_out(fitted, batch, program, constants, form)


def _schedule(fitted: Fitted, form: str, *, training: bool = False) -> Schedule:
    """Return the schedule of the steps that features in a form read."""
    if form == "csr":
        return sparse.sparse_schedule(fitted, training=training)
    return fitted.training_schedule if training else fitted.schedule
