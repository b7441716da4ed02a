"""`leak_test`: a test whether features of a plan reveal the label of a row, in any way.

Each row gets the late values (those known only later, such as labels) of another row, so that
nothing known in time says anything about a label. Such a permuted copy of the data is called a
world. Features are computed and a model is trained as usual. Any signal that it then finds is a
leak.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np
import sklearn.base  # pyright: ignore[reportMissingTypeStubs]  # it has no stubs
import sklearn.ensemble  # pyright: ignore[reportMissingTypeStubs]  # nor has this
from numpy.typing import NDArray
from threadpoolctl import (  # pyright: ignore[reportMissingTypeStubs]  # nor has this
    threadpool_limits,
)

from fastfeat.api.plan import FittedPlan, plan_of
from fastfeat.calls.arguments import with_argument_errors
from fastfeat.errors import FastfeatWarning, InvalidPlan, TypeMismatch, shortened
from fastfeat.execute.call_rows import CallRows, HistoryAndTables
from fastfeat.execute.inputs import read_columns
from fastfeat.integrations.leak_report import ALMOST, LEAST, N_ERRORS, LeakReport, Score
from fastfeat.integrations.leak_scores import (
    LabelKind,
    NumericLabels,
    kind_of,
    labels_of,
    scores,
    scores_apart,
)
from fastfeat.integrations.null_world import (
    NullWorld,
    features_that_see,
    null_world,
    permuted_of_label,
)
from fastfeat.io.arrow import ChunkedArray, Table
from fastfeat.io.columns.decode import plain_table
from fastfeat.learn.folds import columns_named
from fastfeat.learn.purge import resolve_purging
from fastfeat.plan.declare.external_label import with_label_column
from fastfeat.progress import ProgressStep, report_progress, show_progress
from fastfeat.trust.verify.later_rows import LaterRows, later_rows_of

if TYPE_CHECKING:
    from fastfeat.api.plan import Plan
    from fastfeat.execute.lookup_tables import Tables

base: Any = sklearn.base
ensemble: Any = sklearn.ensemble

N_TREES = 50
ROWS_OF_PAST = 1000
"""The number of rows to compute features of without later rows."""


class _Run(NamedTuple):
    """The scores of the features and of a model for one permutation.

    Args:
        names: The output columns.
        features: The score of each output column, shape (n_columns,).
        with_late: The score of the model.
        without_late: The score of the model without the features that see late columns.
        n_rows: The number of rows with a label.
        are_classes: Whether the label has two values.
    """

    names: tuple[str, ...]
    features: NDArray[np.float64]
    with_late: float
    without_late: float
    n_rows: int
    are_classes: bool


@with_argument_errors
def leak_test(
    plan: Plan,
    data: Any,
    model: Any = None,
    *,
    history: Any = None,
    tables: Tables = None,
    cv: Any = 5,
    n_permutations: int = 8,
    n_rows: int = 20_000,
    seed: int = 0,
) -> LeakReport:
    """Test whether features reveal labels that cannot be predicted, and return a report.

    All late columns are permuted together: the label, the outcomes, and the columns that a label
    reads from later rows. Each row gets the late values of a random row. Rows are drawn within
    blocks of time, and within entities if the plan has windows, so that the frequency of labels
    there stays the same; scores compare rows of one block only. Then features are computed as by
    `fit_transform`, and a model is trained on some rows and predicts the others, with the folds and
    the purging of `plan.cross_fit`.

    This finds leaks that the rules of a plan permit, such as folds that leave one row out. A label
    computed from times, keys or tables only, such as whether an entity has later rows, is computed
    first, and the labels themselves are permuted.

    In addition, the features of sampled rows are computed without the rows that come after them, by
    the clock of the label or else of each window, and without later rows of tables. A feature that
    changes sees later rows, and is a leak.

    Args:
        plan: A plan with a label; it is fitted several times.
        data: The training rows, in any form that `Plan.fit` takes.
        model: An estimator with the interface of scikit-learn; None uses HistGradientBoosting.
        history: Earlier rows, which windows see. They are not permuted.
        tables: Lookup tables by name, in any form that `data` may have. They are not permuted.
        cv: The folds: a number of blocks of rows in the order of the data; a splitter of
            scikit-learn; pairs (train, test) of row numbers; or a column name, or an array of shape
            (n_rows,), in which each distinct value is one test fold.
        n_permutations: The number of permutations, at least 2; the standard error is estimated from
            them. Two more are made for comparison.
        n_rows: The maximum number of training rows of a model, drawn at random.
        seed: The seed of the permutations.

    Returns:
        A report with `.ok`, `.leaks` (names), `.features`, `.model` and `.later_rows`. It prints as
        a table.

    Raises:
        InvalidPlan: The plan has no label, or `n_permutations` is less than 2.
        TypeMismatch: `plan` is a fitted plan.
        InvalidData: There are no rows, or all labels are the same.

    Example:
        >>> from fastfeat import Plan, col
        >>> plan = Plan({"size": col("size").target_encode("y")}, label="y")
        >>> rows = {"size": list("SMLM") * 50, "y": [0, 1, 1, 0, 1] * 40}
        >>> ff.leak_test(plan, rows, n_permutations=4).ok
        True
    """
    if isinstance(plan, FittedPlan):
        raise TypeMismatch("leak_test fits the plan itself, but got a FittedPlan: pass fitted.plan")
    if n_permutations < 2:
        raise InvalidPlan(
            f"n_permutations must be at least 2 for a standard error, got {n_permutations}"
        )
    of_folds = [*columns_named(cv, None), *resolve_purging(plan.declaration, None, None).columns]
    read = [*plan.columns, *plan.declaration.label_sources, *plan.keep, *of_folds]
    table = plain_table(read_columns(data, read, [*plan.outcomes, *plan.declaration.row_ids]))
    given: HistoryAndTables = {"history": history, "tables": tables}
    if plan.declaration.looks_ahead and not permuted_of_label(plan.declaration, table):
        plan, table = _with_computed_label(plan, table, given)
    world = null_world(plan.declaration, table)
    # a list, because each permutation reads the folds
    folds = list(cast("Iterator[Any]", cv)) if isinstance(cv, Iterator) else cv
    test = _Test(plan, table, world, model, given, folds, n_rows)
    draws = np.random.default_rng(seed).spawn(n_permutations + 2)
    telling = show_progress("looking for leaks", n_permutations, "permutations")
    with warnings.catch_warnings(), telling as step:  # warnings about permuted rows do not matter
        warnings.simplefilter("ignore", FastfeatWarning)
        kind, almost, later = _as_given(test)
        return _report(test, _runs(test, kind, draws, step), almost, later)


def _with_computed_label(plan: Plan, table: Table, given: HistoryAndTables) -> tuple[Plan, Table]:
    """Compute the label; return a plan that reads it from a column, and rows with this column."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FastfeatWarning)
        label = plan.fit(table, **given).label(table, **given)
    (name,) = plan.declaration.label_nodes
    while name in table.column_names:
        name += " as computed"
    return (
        plan_of(with_label_column(plan.declaration, name)),
        table.append_column(name, label),
    )


class _World(NamedTuple):
    """A permuted table, the plan fitted on it, its features (n_rows, n_columns), and its labels."""

    table: Table
    fitted: FittedPlan
    features: NDArray[Any]
    labels: NumericLabels


class _Test(NamedTuple):
    """The arguments that all permutations share; see `leak_test`."""

    plan: Plan
    table: Table
    world: NullWorld
    model: Any
    given: HistoryAndTables
    cv: Any
    n_rows: int


def _as_given(test: _Test) -> tuple[LabelKind, tuple[str, ...], LaterRows]:
    """Examine the data as given, without a permutation.

    Returns the way the label becomes numbers, the columns that almost equal it, and the comparison
    of features with and without later rows.
    """
    fitted, features = test.plan.fit_transform(test.table, to="numpy", **test.given)
    report_progress("computing features without later rows")
    later = later_rows_of(fitted.record, CallRows(test.table, **test.given), ROWS_OF_PAST)
    given = _label_of(fitted, test.table, test.given)
    kind = kind_of(given)
    labels, late = (
        labels_of(given, kind),
        features_that_see(test.plan.declaration, test.world.permuted),
    )
    known = np.flatnonzero(~np.isnan(labels.values))
    alike = np.abs(scores(features[known], labels, known, np.zeros(len(labels.values), np.int64)))
    if kind.are_classes:
        alike = np.maximum(alike, 1 - alike)
    named = zip(fitted.feature_names, alike.tolist(), strict=True)
    return kind, tuple(name for name, score in named if score >= ALMOST and name not in late), later


def _label_of(fitted: FittedPlan, table: Table, given: HistoryAndTables) -> ChunkedArray:
    """Return the label of rows: a column, or computed by the plan."""
    column = fitted.record.declaration.label_column
    return fitted.label(table, **given) if column is None else table.column(column)


def _runs(
    test: _Test, kind: LabelKind, draws: Sequence[np.random.Generator], step: ProgressStep
) -> list[_Run]:
    """Return the scores of each permutation; the first two only serve for comparison."""
    worlds = [_world(test, kind, generator) for generator in draws[:2]]
    runs: list[_Run] = []
    for generator in draws[2:]:
        worlds.append(_world(test, kind, generator))
        runs.append(_run(test, worlds, generator))
        del worlds[0]
        step(len(runs))
    return runs


def _world(test: _Test, kind: LabelKind, generator: np.random.Generator) -> _World:
    """Permute the table, and return it with its features and labels."""
    table = test.world.table(test.table, generator)
    fitted, features = test.plan.fit_transform(table, to="numpy", **test.given)
    return _World(table, fitted, features, labels_of(_label_of(fitted, table, test.given), kind))


def _run(test: _Test, worlds: Sequence[_World], generator: np.random.Generator) -> _Run:
    """Return the scores of the last of three permuted worlds; the others serve for comparison."""
    plan, strata = test.plan, test.world.strata
    table, fitted, features, labels = worlds[2]
    known = np.flatnonzero(~np.isnan(labels.values))
    own = scores_apart(
        (features, worlds[1].features), (labels, worlds[1].labels, worlds[0].labels), strata
    )
    is_free = ~np.isin(
        fitted.feature_names, list(features_that_see(plan.declaration, test.world.permuted))
    )
    told: list[NDArray[np.float64]] = []
    for fold in plan.cross_fit(table, test.cv, to="numpy", **test.given):
        train, rows = _drawn(fold.train_rows, test.n_rows, generator), fold.test_rows
        report_progress("training a model")
        predicted = [
            _predicted(_model(test.model, labels, generator), columns, labels, train, rows)
            for columns in (features, features[:, is_free])
        ]
        told.append(scores(np.column_stack(predicted), labels, rows, strata))
    with_late, without_late = np.mean(told, axis=0)
    names = tuple(fitted.feature_names)
    return _Run(names, own, float(with_late), float(without_late), len(known), labels.are_classes)


def _drawn(rows: NDArray[np.int64], most: int, generator: np.random.Generator) -> NDArray[np.int64]:
    """Return at most `most` of the row numbers, drawn at random, in ascending order."""
    if len(rows) <= most:
        return rows
    return np.sort(generator.choice(rows, most, replace=False))


def _predicted(
    model: Any,
    features: NDArray[Any],
    labels: NumericLabels,
    train: NDArray[np.int64],
    test: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Train a model on the rows `train`, and return its predictions for the rows `test`.

    `features` has all rows, shape (n_rows, n_columns).
    """
    is_known = bool(features.shape[1]) and len(np.unique(labels.values[train])) > 1
    if not is_known:
        return np.zeros(len(test))
    with threadpool_limits(1):  # with few rows threads are slower: they wait for each other
        model.fit(features[train], labels.values[train])
        if labels.are_classes and hasattr(model, "predict_proba"):
            return model.predict_proba(features[test])[:, -1]
        return np.asarray(model.predict(features[test]), np.float64)


def _model(model: Any, labels: NumericLabels, generator: np.random.Generator) -> Any:
    """Return an untrained copy of the user's estimator, or one of scikit-learn's."""
    if model is not None:
        return base.clone(model)
    kinds = ensemble.HistGradientBoostingRegressor, ensemble.HistGradientBoostingClassifier
    seed = int(generator.integers(2**31))
    return kinds[labels.are_classes](
        max_iter=N_TREES, max_leaf_nodes=15, early_stopping=False, random_state=seed
    )


def _report(
    test: _Test, runs: Sequence[_Run], almost: tuple[str, ...], later: LaterRows
) -> LeakReport:
    """Return the report of the scores of all permutations."""
    plan, world, first = test.plan, test.world, runs[0]
    none, least = (0.5, LEAST) if first.are_classes else (0.0, 2 * LEAST)
    late = features_that_see(plan.declaration, world.permuted)
    own = np.array([run.features for run in runs])
    features = tuple(
        _score(name, name in late, own[:, at], none, least) for at, name in enumerate(first.names)
    )
    gains = np.array([run.with_late - run.without_late for run in runs])
    return LeakReport(
        "AUC" if first.are_classes else "rank correlation",
        features,
        _score("model", True, gains, 0.0, least),
        float(np.mean([run.with_late for run in runs])),
        float(np.mean([run.without_late for run in runs])),
        world.permuted,
        world.within,
        first.n_rows,
        len(runs),
        almost,
        tuple(_not_found(plan, world)),
        later,
    )


def _score(
    name: str, sees_late: bool, scores: NDArray[np.float64], none: float, least: float
) -> Score:
    """Return the mean and error of a column's score, or the model's gain, over the permutations."""
    mean = float(scores.mean())
    error = float(scores.std(ddof=1) / np.sqrt(len(scores)))
    is_leak = abs(mean - none) > max(least, N_ERRORS * error)
    return Score(name, sees_late, mean, error, is_leak)


def _not_found(plan: Plan, world: NullWorld) -> Iterator[str]:
    """Yield texts about leaks that this test cannot find, for the report."""
    declared = {*world.permuted, *plan.known}
    read = [name for name in plan.declaration.row_columns if name not in declared]
    if read:
        yield (
            "columns that are known too late but not declared late: a copy of the label in one of "
            f"{shortened(read)} is not permuted with the label. explain('leakage') lists them"
        )
    if plan.known:
        yield f"the same for known={list(plan.known)}, which the label reads"
    names = dict.fromkeys(column.table for column in plan.declaration.table_columns)
    if names:
        yield f"values in tables that were not known yet: {shortened(names)}"
    yield "a label that depends on rows near in time, if label_delay= is too short"
