"""Fitting and transforming on the workers of an engine: the functions that all engines share.

An engine is Ray or Spark; its module decides how parts of the rows reach workers, and how results
travel. A `Learning` is a fit between two rounds (passes over the rows). In each round of fit a
worker returns the state of its part of the rows: the sums, counts and the like from which the plan
learns. States are Arrow tables of the schema `STATES`, one row per state; if a part cannot be
learned from, the row holds an error instead. A worker computes with one thread, because an engine
has one worker per core.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from fastfeat_kernels.records import dataclass

from fastfeat import errors, pickles
from fastfeat.aggregates import is_fold_by_number
from fastfeat.api.learning import Learning, State
from fastfeat.api.plan import FittedPlan, Plan
from fastfeat.engine.cpu import threads
from fastfeat.errors import FastfeatError, InvalidData, InvalidPlan
from fastfeat.execute.guard import check_option, guarded_table_columns
from fastfeat.execute.inputs import read_columns
from fastfeat.execute.lookup_tables import Tables, read_tables
from fastfeat.integrations.exchange import RowsWithHistory, has_windows
from fastfeat.io.arrow import Schema, Table, pa
from fastfeat.ir.node import postorder
from fastfeat.keep.artifact import artifact_bytes
from fastfeat.learn.learning import window_learnt_from
from fastfeat.trust.quality.profiling import ProfileChoice

STATES: Schema = pa.schema([("state", pa.large_binary()), ("error", pa.string())])
"""The schema of a table of states: the bytes of each state, or its error as JSON."""

_NO_QUARANTINE = (
    "workers can reject rows, warn about them, or accept them. check(fitted, rows).rows(rule) "
    "returns the rows that break a rule"
)
_IN_A_PART = (
    "Rows are numbered from 0 in each worker's part, because rows of Ray and Spark have no "
    "numbers. Other rows may fail too"
)


def start_engine_learning(
    plan: Plan,
    schema: Schema,
    tables: Tables,
    *,
    features: bool,
    stable: FittedPlan | None = None,
    profile: ProfileChoice = False,
) -> tuple[Learning[FittedPlan], bool]:
    """Return a plan's `Learning` before its first round, and whether rows must be exchanged.

    `features`: whether the out-of-fold features of the rows are needed too.

    Raises:
        InvalidPlan: Folds are assigned by row number, windows see rows of entities that have no key
            in common, or the label looks ahead (`ff.ahead`).
        FastfeatError: Any error of `Plan.fit` that does not depend on the rows.
    """
    _check_no_numbers(plan)
    begin = partial(plan.learning, schema, tables=tables, stable=stable, profile=profile)
    learning = begin()
    if window_learnt_from(learning.record) is None and not (features and has_windows(plan)):
        return learning, False
    return begin(whole_entities=True), True


def learn(
    learning: Learning[FittedPlan], state_of_all: Callable[[Learning[FittedPlan]], Table]
) -> Learning[FittedPlan]:
    """Run all rounds of fit, and return the `Learning` after the last.

    `state_of_all` returns the state of all rows in a round, merged on workers; a table without rows
    if there are no rows.

    Raises:
        FastfeatError: Any error of `Plan.fit`.
    """
    while learning.round is not None:
        learning = learning.next(_state_in(learning, state_of_all(learning)))
    return learning


def _check_no_numbers(plan: Plan) -> None:
    """Raise if folds are assigned by row number.

    Raises:
        InvalidPlan: A feature has such folds.
    """
    for name, node in plan.declaration.nodes.items():
        for part in postorder([node]):
            if is_fold_by_number(part):
                raise InvalidPlan(
                    f"{name!r} divides rows into folds by row number, but rows of Ray and Spark "
                    "have no numbers. Pass Plan(row_id=) with a column that identifies rows, "
                    "fold_by= with one that identifies entities, fold= with a column of folds, or "
                    "time="
                )


def state_of_part(learning: Learning[Any], parts: Iterable[RowsWithHistory]) -> Table:
    """Learn from some rows in this round; runs on a worker.

    Returns a table of one row: the state, or an error. It is empty if there are no rows.
    """
    state: State | None = None
    try:
        with threads.using_threads(1):
            for part in parts:
                if part.table.num_rows:
                    state = learning.partial(part.table, None, into=state, history=part.history)
            return _states([] if state is None else [state.to_bytes()])
    except FastfeatError as error:
        return _error(error)


def merged_states(learning: Learning[Any], given: Iterable[Table]) -> Table:
    """Merge some states into one; runs on a worker.

    Returns a table of one row: the merged state, or the first error. It is empty without states.
    """
    merged: State | None = None
    try:
        with threads.using_threads(1):
            for table in given:
                if not table.num_rows:  # such a table may have no columns
                    continue
                failed = _first_error(table)
                if failed is not None:
                    return failed
                for content in table.column("state"):
                    state = learning.state_of_bytes(content.as_py())
                    merged = state if merged is None else merged.merge(state)
            return _states([] if merged is None else [merged.to_bytes()])
    except FastfeatError as error:
        return _error(error)


def _state_in(learning: Learning[FittedPlan], found: Table) -> State:
    """Return the `State` of all rows from the table that workers merged; runs on the driver.

    Raises:
        FastfeatError: The error that a worker reported.
    """
    if not found.num_rows:
        return learning.partial(learning.record.empty, range(0))
    failed = _first_error(found)
    if failed is not None:
        raise error_of_text(failed.column("error")[0].as_py())
    return learning.state_of_bytes(found.column("state")[0].as_py())


def _states(contents: list[bytes]) -> Table:
    return pa.table({"state": contents, "error": [None] * len(contents)}, STATES)


def _error(error: FastfeatError) -> Table:
    """Return a table of `STATES` with an error in its only row."""
    return pa.table({"state": [None], "error": [text_of_error(error)]}, STATES)


def _first_error(table: Table) -> Table | None:
    """Return the first row that holds an error, as a table; None if there is none."""
    for row, error in enumerate(table.column("error")):
        if error.is_valid:
            return table.slice(row, 1)
    return None


def text_of_error(error: FastfeatError) -> str:
    """Return an error as text, to be sent from a worker and read by `error_of_text`."""
    return json.dumps({"kind": type(error).__name__, "text": str(error)})


def error_of_text(text: str) -> FastfeatError:
    """Return the error in a text that `text_of_error` made on a worker."""
    told = json.loads(text)
    kind = getattr(errors, told["kind"], InvalidData)
    error = kind(told["text"])
    if "row " in told["text"]:
        error.add_note(_IN_A_PART)
    return error


@dataclass(frozen=True, slots=True, eq=False)
class Transform:
    """A fitted plan and its options, to be sent to workers: data only, without code.

    Args:
        artifact: The artifact of the fitted plan, as bytes.
        tables: Lookup tables, as Arrow tables.
        label: The name of the label column to append after the features; None for no label.
        history: "batch" if the rows of a worker contain their past; None if they do not, or come
            with a history.
        on_violation: The treatment of rows that break a rule of the plan's contract.
    """

    artifact: bytes
    tables: Mapping[str, Table]
    label: str | None
    history: str | None
    on_violation: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Training:
    """A finished fit, sent to workers for out-of-fold features: data only, without code.

    Args:
        learning: The `Learning` after the last round, as bytes.
        label: The name of the label column to append after the features; None for no label.
    """

    learning: bytes
    label: str | None


ComputeRowFeatures = Callable[[RowsWithHistory], Table]
"""`(rows) -> features`."""


def features_of(given: Transform | Training) -> ComputeRowFeatures:
    """Return a worker's function from rows to their features."""
    match given:
        case Transform(artifact, tables, label, past, on_violation):
            fitted = pickles.fitted_of(artifact)

            def own(part: RowsWithHistory) -> Table:
                history = past if part.history is None else part.history
                return fitted.transform(
                    part.table, history=history, tables=tables, on_violation=on_violation
                )

        case Training(content, label):
            learning = Learning.from_bytes(content)
            fitted = learning.finish()

            def own(part: RowsWithHistory) -> Table:
                return learning.training_features(part.table, None, history=part.history)

    def features(part: RowsWithHistory) -> Table:
        with threads.using_threads(1):
            found = own(part)
            if label is None:
                return found
            return found.append_column(label, fitted.label(part.table))

    return features


def transform_of(
    fitted: FittedPlan,
    tables: Tables,
    *,
    label: bool,
    past: str | None = None,
    on_violation: str | None = None,
) -> Transform:
    """Return a fitted plan in the form that workers get; lookup tables are read here, once.

    `past` is "batch" if the rows contain their past. Rows that break a rule cannot be quarantined.

    Raises:
        InvalidPlan: The plan has no label, or `on_violation` is unknown or "quarantine".
        FastfeatError: Any error of `FittedPlan.transform` about tables.
    """
    check_option(on_violation, {"quarantine": _NO_QUARANTINE})
    known = read_tables(tables, guarded_table_columns(fitted.record))
    name = _label_name(fitted.plan, label)
    return Transform(artifact_bytes(fitted.record), known, name, past, on_violation)


def training_of(learning: Learning[FittedPlan], plan: Plan, *, label: bool) -> Training:
    """Return the `Learning` after the last round in the form that workers get.

    Raises:
        InvalidPlan: The label is wanted, and the plan has none.
    """
    return Training(learning.to_bytes(), _label_name(plan, label))


def _label_name(plan: Plan, label: bool) -> str | None:
    """Return the name of the label to append after the features; None for no label.

    Raises:
        InvalidPlan: The label is wanted, but there is none, it reads later rows, or a kept column
            has its name.
    """
    if not label:
        return None
    given = plan.label
    if given is None:
        raise InvalidPlan("label=True: the plan has no label. Give it one: Plan(..., label='y')")
    name = given if isinstance(given, str) else next(iter(given))
    if plan.declaration.looks_ahead:
        raise InvalidPlan(
            f"label=True: the label {name!r} is computed from later rows, which may be on another "
            "worker. Compute the label with fitted.label(files)"
        )
    if name in plan.keep:
        raise InvalidPlan(f"label=True: {name!r} is in keep=, so it is already in the output")
    return name


def feature_columns(
    plan: Plan, schema: Schema, *, label: bool, judged: Sequence[str] = ()
) -> list[str]:
    """Return the columns of rows that features are computed from, in order.

    `judged` are the columns that rules of a contract read; `label` adds the columns of the label.

    Raises:
        UnknownColumn: The schema lacks one.
    """
    declared = plan.declaration
    of_label = declared.label_sources if label else []
    names = list(dict.fromkeys([*declared.row_columns, *declared.keep, *judged, *of_label]))
    read_columns(schema.empty_table(), names)
    if not has_windows(plan):
        return names
    there = [*declared.past_columns, *declared.row_ids]  # late columns and ids may be absent
    return list(dict.fromkeys([*names, *(name for name in there if name in schema.names)]))


def training_columns(plan: Plan, schema: Schema) -> list[str]:
    """Return the columns of rows that the rounds of fit, and out-of-fold features, read.

    Raises:
        UnknownColumn: The schema lacks one.
    """
    declared = plan.declaration
    names = [*declared.columns, *declared.training_past_columns, *declared.keep]
    names = list(dict.fromkeys([*names, *declared.label_sources]))
    read_columns(schema.empty_table(), names)
    return names
