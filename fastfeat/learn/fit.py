"""Fit a plan on all training rows, or on some of them.

An encoder is a target encoding. A label looks ahead if it is computed from later rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from fastfeat_kernels.arrays import Int64Array

from fastfeat.aggregates import is_target
from fastfeat.engine.float_environment import with_ieee_arithmetic
from fastfeat.errors import InvalidData, WarningHistory
from fastfeat.execute import encoded_rows as rows_encoded
from fastfeat.execute import order_warnings
from fastfeat.execute.batch import TrainingRows, select_rows, without_learnt_values
from fastfeat.execute.call_rows import CallRows
from fastfeat.execute.fitted import Fitted
from fastfeat.execute.inputs import column_in_host
from fastfeat.execute.lookup_tables import columns_of_tables
from fastfeat.execute.row_selection import rows_to_learn_from
from fastfeat.execute.steps import columns_of_chosen
from fastfeat.execute.transform import transform
from fastfeat.first_use import is_a
from fastfeat.ir.node import Aggregate, Call, Node, postorder
from fastfeat.ir.show import show
from fastfeat.learn import ahead_warnings, fold_warnings, key_warnings, labels, training_features
from fastfeat.learn.in_memory import learn, warn_missing
from fastfeat.learn.training_data import TrainingData, has_windows, prepare, share
from fastfeat.plan.declare.declaration import Declaration
from fastfeat.plan.lower import indicators
from fastfeat.plan.lower.constants import (
    ConstantCalls,
    ConstantWarnings,
    LearntValues,
    constant_calls,
    constant_roots,
    constant_warnings,
    evaluate_calls,
    warn_constants,
)
from fastfeat.plan.lower.lower import LearntConstant
from fastfeat.plan.lower.outputs import check_result
from fastfeat.plan.lower.task_graph import orders_of
from fastfeat.plan.lower.typed import TypedPlan
from fastfeat.scalars.zones import use_zone_tables

if TYPE_CHECKING:
    from fastfeat.aggregates.target import FoldedGroups
    from fastfeat.execute.encoded_rows import EncodedRows
    from fastfeat.learn.fold_warnings import FoldedEncodings, FoldSizes

_FOLDED = "fastfeat.aggregates.target:FoldedGroups"
_OF_TIMES = "fastfeat.steps.targets.time_folds:TimeFolds"


@with_ieee_arithmetic
def fit(plan: Declaration, rows: CallRows, *, stable: Fitted | None = None) -> Fitted:
    """Return the fitted plan; the arguments are described in `Plan.fit`."""
    prepared = prepare(plan, rows, stable=stable, transforms=rows.rows is not None)
    return fit_on(prepared, rows_to_learn_from(rows.rows, prepared.table))[0]


@with_ieee_arithmetic
def fit_transform(
    plan: Declaration,
    rows: CallRows,
    *,
    to: str = "arrow",
    categories: bool = False,
    stable: Fitted | None = None,
) -> tuple[Fitted, Any]:
    """Return the fitted plan and the features of the training rows; see `Plan.fit_transform`."""
    check_result(to, None, rows.backend, categories=categories, dtype=plan.dtype)
    prepared = prepare(plan, rows, further=plan.keep, stable=stable, transforms=True)
    wanted = rows_to_learn_from(rows.rows, prepared.table)
    fitted, training = fit_on(prepared, wanted, transforms=True)
    return fitted, training_row_features(fitted, prepared, training, to, categories=categories)


def training_row_features(
    fitted: Fitted,
    prepared: TrainingData,
    training: TrainingRows,
    to: str,
    *,
    categories: bool = False,
) -> Any:
    """Return the features of the rows given to fit; target encodings are out of fold.

    `training` are the rows after `fit_on(..., transforms=True)`. `to` and `categories` are
    described in `FittedPlan.transform`.
    """
    if training_features.has_folds(training.learnt_from) or training.wanted is not None:
        return training_features.training_features(fitted, training, to, categories=categories)
    return transform(
        fitted,
        prepared.again,
        to=to,
        categories=categories,
        known=training.learnt_from.made if training.is_learnt is None else {},
        orders=training.rows.seen.orders,
        index=prepared.index,
    )


def fit_on(
    prepared: TrainingData, wanted: Int64Array | None = None, *, transforms: bool = False
) -> tuple[Fitted, TrainingRows]:
    """Return the plan fitted on some training rows, and a record of these rows for their features.

    `prepared` holds the columns that fits of the same data share. `wanted` are the numbers of the
    rows given to fit, in their order, shape (n_wanted,); a number may repeat; None for all. Windows
    see all rows. `transforms` says that the features of the rows are needed too.

    Raises InvalidData if there are no rows to learn from, if no row has a label that looks ahead,
    or if a repeated row is in two folds of an encoder. Raises Overflow if a learnt value does not
    fit its type.
    """
    plan, typed, told = prepared.plan, prepared.typed, _copy_warnings(prepared.told)
    encoders = typed.once(encoders_of)
    with use_zone_tables(prepared.zones):
        training = _training_rows(prepared, wanted)
        batch = training.learnt_from
        learn(batch, typed, transforms=transforms, held=prepared.held)
        _check_repeated(training, encoders)
        folded = typed.once(folded_encodings_of)
        sizes: FoldSizes = fold_warnings.sizes_of_folds(batch, folded) if folded else {}
        known = learned_constants(prepared, batch.learnt, training.n_rows, sizes, prepared.told)
        coming = orders_of(typed.schedule("apply")) if transforms else ()
        windows = typed.once(_windows_by_learnt)
        if windows:
            order_warnings.warn_ties(training.rows, windows, told, coming)
        if prepared.labels is not None:
            numbers = None if batch.source is None else batch.source.numbers
            ahead_warnings.warn_ahead(plan, prepared.table, numbers)
        encoded = (
            rows_encoded.record_encoded_rows(training, plan, encoders, prepared.table)
            if encoders
            else None
        )
    n_rows = batch.n_rows
    n_without = training.n_rows - n_rows
    return fitted_of(prepared, known, told, n_rows, n_without, encoded=encoded), training


def learned_constants(
    prepared: TrainingData,
    learnt: LearntValues,
    n_rows: int,
    sizes: FoldSizes,
    told: WarningHistory,
) -> dict[Node, LearntConstant]:
    """Return the learned constants that `transform` needs, after checks of them and their warnings.

    `n_rows` is the number of rows given to fit; `sizes` are the sizes of the folds of encoders;
    `told` are the fold warnings given so far.
    """
    plan, typed = prepared.plan, prepared.typed
    later = _for_later_rows(learnt)
    indicators.check_width(plan.nodes, later, typed.types, n_rows)
    others = dict.fromkeys(plan.keep, "a column of keep=")
    others |= dict.fromkeys(plan.label_nodes, "the label")
    indicators.check_clash(indicators.column_names(plan.nodes, later, typed.types), others)
    known = evaluate_calls(typed.once(_constants), later)
    warn_missing(later)
    key_warnings.warn_rounded_keys(later, _copy_warnings(prepared.told))
    if sizes:
        fold_warnings.warn_of_folds(sizes, typed.once(folded_encodings_of), told)
    indicators.warn_empty(plan.nodes, later, typed.types)
    warn_constants(typed.once(_constant_warnings), known)
    return known


def encoders_of(typed: TypedPlan) -> list[Aggregate]:
    """Return the target encodings of a plan."""
    return [node for node in postorder(typed.nodes.values()) if is_target(node)]


def _constants(typed: TypedPlan) -> ConstantCalls:
    return constant_calls(constant_roots(list(typed.nodes.values())), typed.types)


def folded_encodings_of(typed: TypedPlan) -> dict[Node, FoldedEncodings]:
    """Return a plan's target encodings by their column of fold numbers, except folds by time."""
    return fold_warnings.folded_encodings(typed.nodes) if typed.once(encoders_of) else {}


def _constant_warnings(typed: TypedPlan) -> ConstantWarnings:
    return constant_warnings(list(typed.nodes.values()), typed.types)


def _windows_by_learnt(typed: TypedPlan) -> dict[Call, Node]:
    if not typed.once(has_windows):
        return {}
    return order_warnings.ordered_windows(typed.nodes.values(), by_learnt=True)


def fitted_of(
    prepared: TrainingData,
    known: Mapping[Node, LearntConstant],
    told: WarningHistory,
    n_rows: int,
    n_rows_without_label: int,
    *,
    encoded: EncodedRows | None = None,
) -> Fitted:
    """Return the fitted plan, made of the prepared data and the learned constants `known`.

    `n_rows` counts the rows learnt from, `n_rows_without_label` the rows left out because they have
    no label. `encoded` are the rows with labels that encodings know.
    """
    plan, label = prepared.plan, prepared.label
    return Fitted(
        plan,
        prepared.schema,
        known,
        n_rows,
        prepared.zones,
        prepared.typed.types,
        None if label is None else label.inputs,
        columns_of_tables(plan.table_columns, prepared.schemas),
        {} if label is None else label.tables,
        n_rows_without_label,
        told,
        encoded,
    )


def _copy_warnings(told: WarningHistory) -> WarningHistory:
    """Return a copy of the warnings given so far, to which a fitted plan adds its own."""
    return WarningHistory(set(told.kinds))


def _training_rows(prepared: TrainingData, wanted: Int64Array | None) -> TrainingRows:
    """Return a record of the rows given to fit and of those to learn from, before learning."""
    n_wanted = prepared.table.num_rows if wanted is None else len(wanted)
    is_known = (
        None if prepared.labels is None else labels.flag_labelled_rows(prepared.labels, wanted)
    )
    numbers = wanted
    if is_known is not None:
        numbers = np.flatnonzero(is_known) if wanted is None else wanted[is_known]
    if numbers is None:
        rows = without_learnt_values(prepared.rows)
        return TrainingRows(rows, rows, None, None, n_wanted, prepared.index)
    share(prepared, windows_only=True)  # windows are computed for all rows anyway
    rows = without_learnt_values(prepared.rows)
    schedules = [prepared.typed.schedule("fit"), prepared.typed.schedule("training")]
    columns = columns_of_chosen(rows, schedules)
    chosen = select_rows(rows, numbers, columns)
    return TrainingRows(rows, chosen, wanted, is_known, n_wanted, prepared.index)


def _check_repeated(training: TrainingRows, encoders: Iterable[Aggregate]) -> None:
    """Raise InvalidData if a row is in two folds of an encoder: it would see its own label."""
    batch = training.learnt_from
    if batch.source is None:
        return
    numbers = batch.source.numbers
    if (np.diff(numbers) > 0).all():  # the usual case: each row once
        return
    order = np.argsort(numbers, kind="stable")
    again = np.flatnonzero(np.diff(numbers[order]) == 0)  # rows that repeat in the next place
    if not len(again):
        return
    for encoder in encoders:
        folds = column_in_host(batch.made[encoder.args[2]], batch.backend).to_numpy()
        differ = folds[order[again]] != folds[order[again + 1]]
        if differ.any():
            row = int(numbers[order[again[np.argmax(differ)]]])
            raise InvalidData(
                f"rows= has row {row} more than once, and {show(encoder)} puts it into two folds, "
                "so the features of this row would be learnt from its own label. Give each row "
                "once, or declare which rows share a fold: Plan(row_id=), fold_by= or fold="
            )


def _for_later_rows(learnt: Mapping[Node, LearntConstant]) -> LearntValues:
    """Return the learned constants for `transform`, which needs no results per fold."""
    return {
        node: cast("FoldedGroups", value).without_folds if is_a(value, _FOLDED) else value
        for node, value in learnt.items()
        if not is_a(value, _OF_TIMES)
    }
