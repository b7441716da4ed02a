"""`leak_test`: does a plan show a model the label of a row, by whatever way?

The late columns of the data are permuted, so that nothing known in time tells of a label, and the
features are made and a model is trained as ever. Whatever it then finds, it was shown.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np
import sklearn.base  # pyright: ignore[reportMissingTypeStubs]  # it has no stubs
import sklearn.ensemble  # pyright: ignore[reportMissingTypeStubs]  # nor has this
from numpy.typing import NDArray
from threadpoolctl import (  # pyright: ignore[reportMissingTypeStubs]  # nor has this
    threadpool_limits,
)

from fastfeat.arguments import explaining
from fastfeat.errors import FastfeatWarning, InvalidData, InvalidPlan, shortened
from fastfeat.integrations.leak_report import LEAST, N_ERRORS, LeakReport, Score
from fastfeat.io.arrow import ChunkedArray, Table, call, pa
from fastfeat.io.decode import decoded, plain_table
from fastfeat.plan.border import read_columns
from fastfeat.plan.folds_given import columns_named
from fastfeat.plan.null_world import NullWorld, null_world, seeing
from fastfeat.plan.purge_given import purging_given

if TYPE_CHECKING:
    from fastfeat.plan.plan import Plan
    from fastfeat.plan.tables import Tables

base: Any = sklearn.base
ensemble: Any = sklearn.ensemble

N_TREES = 50


class _Labels(NamedTuple):
    """The labels of some rows as numbers.

    Args:
        values: one a row; of two classes 0 and 1, shape (n_rows,), NaN is missing.
        are_classes: whether there are two.
    """

    values: NDArray[np.float64]
    are_classes: bool


class _Run(NamedTuple):
    """What one permutation gave.

    Args:
        names: the output columns.
        features: the score of each, shape (n_columns,).
        with_late: that of the model.
        without_late: that of the model without the features that see late columns.
        n_rows: how many rows have a label.
        are_classes: whether the label has two values.
    """

    names: tuple[str, ...]
    features: NDArray[np.float64]
    with_late: float
    without_late: float
    n_rows: int
    are_classes: bool


@explaining
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
    """Return a report: how much features tell of a label of which nothing can be told.

    All late columns are permuted together: the label, the outcomes, and what a label looks ahead
    for. This is done within blocks of time and of entities where the plan has windows, so that how
    often labels come stays as it is; scores compare rows of one block only. Then features are made
    as `fit_transform` does, and a model is trained on those of some rows and asked for the others,
    with the folds of `plan.cross_fit`, near rows left out.

    What the rules of a plan let through is found, such as folds by a column that holds the label.

    Args:
        plan: with a label.
        data: the training rows, as in `Plan.fit`.
        model: any estimator of scikit-learn's kind; None takes HistGradientBoosting.
        history: as in `Plan.fit`; its rows are not permuted.
        tables: as in `Plan.fit`; nor are these.
        cv: the folds, as in `Plan.cross_fit`.
        n_permutations: how often, at least 2: the error comes of it.
        n_rows: most rows that a model is trained on, drawn from the others.
        seed: draws the permutations.

    Returns:
        A report with `.ok`, `.leaks` (names), `.features`, `.model`; printed, it is a table.

    Raises:
        InvalidPlan: the plan has no label, or none of its columns can be permuted.
        InvalidData: no rows, or labels that are all the same.

    Example:
        >>> from fastfeat import Plan, col
        >>> plan = Plan({"size": col("size").target_encode("y")}, label="y")
        >>> rows = {"size": list("SMLM") * 50, "y": [0, 1, 1, 0, 1] * 40}
        >>> ff.leak_test(plan, rows, n_permutations=4).ok
        True
    """
    if n_permutations < 2:
        raise InvalidPlan(
            f"n_permutations must be at least 2, got {n_permutations}: the error comes of several"
        )
    of_folds = [*columns_named(cv, None), *purging_given(plan, None, None).columns]
    read = [*plan.columns, *plan.label_sources, *plan.keep, *of_folds]
    table = plain_table(read_columns(data, read, [*plan.outcomes, *plan.row_ids]))
    world = null_world(plan, table)
    given = {"history": history, "tables": tables}
    # each permutation reads the folds
    folds = list(cast("Iterator[Any]", cv)) if isinstance(cv, Iterator) else cv
    test = _Test(plan, table, world, model, given, folds, n_rows)
    draws = np.random.default_rng(seed).spawn(n_permutations)
    with warnings.catch_warnings():  # of a world that is none
        warnings.simplefilter("ignore", FastfeatWarning)
        runs = [_run(test, generator) for generator in draws]
    return _report(test, runs)


class _Test(NamedTuple):
    """What stays the same from one permutation to the next; see `leak_test`."""

    plan: Plan
    table: Table
    world: NullWorld
    model: Any
    given: Mapping[str, Any]
    cv: Any
    n_rows: int


def _run(test: _Test, generator: np.random.Generator) -> _Run:
    """Return the scores of one permutation."""
    plan, strata = test.plan, test.world.strata
    table = test.world.table(test.table, generator)
    fitted, features = plan.fit_transform(table, to="numpy", **test.given)
    labels = _labels(fitted.label(table, **test.given))
    known = np.flatnonzero(~np.isnan(labels.values))
    own = _scores(features[known], labels, known, strata)
    is_free = ~np.isin(fitted.feature_names, list(seeing(plan, test.world.permuted)))
    told: list[NDArray[np.float64]] = []
    for fold in plan.cross_fit(table, test.cv, to="numpy", **test.given):
        train, rows = _drawn(fold.train_rows, test.n_rows, generator), fold.test_rows
        predicted = [
            _predicted(_model(test.model, labels, generator), columns, labels, train, rows)
            for columns in (features, features[:, is_free])
        ]
        told.append(_scores(np.column_stack(predicted), labels, rows, strata))
    with_late, without_late = np.mean(told, axis=0)
    names = tuple(fitted.feature_names)
    return _Run(names, own, float(with_late), float(without_late), len(known), labels.are_classes)


def _drawn(rows: NDArray[np.int64], most: int, generator: np.random.Generator) -> NDArray[np.int64]:
    """Return some of the rows, in their order."""
    if len(rows) <= most:
        return rows
    return np.sort(generator.choice(rows, most, replace=False))


def _predicted(
    model: Any,
    features: NDArray[Any],
    labels: _Labels,
    train: NDArray[np.int64],
    test: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Return the scores of some rows by a model that is trained on others.

    Args:
        model: not trained.
        features: of all rows, shape (n_rows, n_columns).
        labels: of all rows.
        train: the numbers of the rows that it is trained on.
        test: the same of the others.
    """
    if not features.shape[1]:
        return np.zeros(len(test))
    with threadpool_limits(1):  # of few rows threads take longer: they wait for each other
        model.fit(features[train], labels.values[train])
        if labels.are_classes and hasattr(model, "predict_proba"):
            return model.predict_proba(features[test])[:, -1]
        return np.asarray(model.predict(features[test]), np.float64)


def _model(model: Any, labels: _Labels, generator: np.random.Generator) -> Any:
    """Return an estimator that is not trained, the user's or one of scikit-learn's."""
    if model is not None:
        return base.clone(model)
    kinds = ensemble.HistGradientBoostingRegressor, ensemble.HistGradientBoostingClassifier
    seed = int(generator.integers(2**31))
    return kinds[labels.are_classes](
        max_iter=N_TREES, max_leaf_nodes=15, early_stopping=False, random_state=seed
    )


def _labels(label: ChunkedArray) -> _Labels:
    """Return labels as numbers; of text, 1 is the most frequent one.

    Raises:
        InvalidData: all are the same, or missing.
    """
    column = decoded(label)
    counts = call("value_counts", call("drop_null", column)).to_pylist()
    if len(counts) < 2:
        values = [entry["values"] for entry in counts]
        raise InvalidData(
            f"the label of all rows is the same, {values[0]!r}" if values else "no row has a label"
        )
    is_number = pa.types.is_integer(column.type) or pa.types.is_floating(column.type)
    are_classes = len(counts) == 2 or not is_number
    if are_classes:
        most = max(counts, key=lambda entry: entry["counts"])["values"]
        column = call("equal", column, pa.scalar(most, column.type))
    numbers = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
    return _Labels(numbers, are_classes)


def _scores(
    values: NDArray[Any], labels: _Labels, rows: NDArray[np.int64], strata: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return a score of each column: how much it tells of the labels of rows, none missing.

    Of two classes it is the AUC within strata: the share of pairs of a row of each class, in one
    stratum, of which the row of class 1 has the larger value, a tie for a half. Of other labels it
    is the correlation of ranks within strata. A missing value is below all others.

    Args:
        values: of these rows, a column each, shape (n_rows, n_columns).
        labels: of all rows.
        rows: their numbers, shape (n_rows,).
        strata: of all rows.
    """
    truth, strata = labels.values[rows], strata[rows]
    ranks = np.array([_ranks(np.nan_to_num(column, nan=-np.inf), strata) for column in values.T])
    if not labels.are_classes:
        of_truth = _ranks(truth, strata)
        spread = np.sqrt(np.square(ranks).sum(axis=1) * np.square(of_truth).sum())
        return ranks @ of_truth / np.where(spread > 0, spread, 1)
    n_positive, n_rows = np.bincount(strata, truth), np.bincount(strata)
    n_pairs = float((n_positive * (n_rows - n_positive)).sum())
    return 0.5 + ranks @ truth / max(n_pairs, 1)


def _ranks(values: NDArray[Any], strata: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the rank of each value within its stratum, less the mean rank there."""
    codes = np.unique(values, return_inverse=True)[1]
    n_rows = np.bincount(strata)
    before = np.cumsum(n_rows) - n_rows
    keys = strata * (int(codes.max(initial=0)) + 1) + codes
    _, places, n_equal = np.unique(keys, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(n_equal) - (n_equal - 1) / 2)[places]  # equal ones share the middle
    return ranks - before[strata] - (n_rows[strata] + 1) / 2


def _report(test: _Test, runs: Sequence[_Run]) -> LeakReport:
    """Return the report of all permutations."""
    plan, world, first = test.plan, test.world, runs[0]
    none, least = (0.5, LEAST) if first.are_classes else (0.0, 2 * LEAST)
    late = seeing(plan, world.permuted)
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
        tuple(_not_found(plan, world)),
    )


def _score(
    name: str, sees_late: bool, scores: NDArray[np.float64], none: float, least: float
) -> Score:
    """Return the score of a column, or the gain of the model, over the permutations."""
    mean = float(scores.mean())
    error = float(scores.std(ddof=1) / np.sqrt(len(scores)))
    is_leak = abs(mean - none) > max(least, N_ERRORS * error)
    return Score(name, sees_late, mean, error, is_leak)


def _not_found(plan: Plan, world: NullWorld) -> Iterator[str]:
    """Yield which leaks the permutation cannot show."""
    declared = {*world.permuted, *plan.known}
    read = [name for name in plan.row_columns if name not in declared]
    if read:
        yield (
            "columns that are known too late, and are not declared late: a copy of the label in "
            f"one of {shortened(read)} is not permuted with it. explain('leakage') lists them"
        )
    if plan.known:
        yield f"the same of known={list(plan.known)}, which the label reads"
    names = dict.fromkeys(column.table for column in plan.table_columns)
    if names:
        yield f"what tables tell that was not known then: {shortened(names)}"
    yield "a label that depends on rows near in time, where label_delay= is too short"
