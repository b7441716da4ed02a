"""Cross-fitting: fit a plan on each fold's training rows; compute features of train and test rows.

Training rows get out-of-fold features, test rows the features of `transform`; windows, lookups and
joins see all rows. The data is read and bound once. Columns that need no learning are computed
once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Generic

import numpy as np
from fastfeat_kernels.records import dataclass
from numpy.typing import NDArray

from fastfeat.engine.float_environment import with_ieee_arithmetic
from fastfeat.errors import (
    FastfeatError,
    InvalidData,
    RowsWithoutLabel,
    UnknownColumn,
    counted,
    did_you_mean,
    warn,
)
from fastfeat.execute.batch import take_rows_of_type
from fastfeat.execute.call_rows import CallRows
from fastfeat.execute.fitted import Face, Fitted
from fastfeat.execute.row_identity import repeated_ids
from fastfeat.io.arrow import ChunkedArray
from fastfeat.io.columns.decode import has_value
from fastfeat.io.device import DeviceTable
from fastfeat.io.sources.read import column_names
from fastfeat.learn import training_features
from fastfeat.learn.fit import fit_on
from fastfeat.learn.fold_warnings import warn_split
from fastfeat.learn.folds import FoldRows, Split, columns_named, splits_of
from fastfeat.learn.labels import flag_labelled_rows, labels_of
from fastfeat.learn.purge import (
    Purging,
    check_left,
    moments_of,
    purge_training_rows,
    resolve_purging,
)
from fastfeat.learn.training_data import TrainingData, prepare, share, share_keys
from fastfeat.plan.declare.declaration import Declaration
from fastfeat.plan.lower.outputs import check_result
from fastfeat.progress import show_progress


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Fold(Generic[Face]):
    """A fold of `Plan.cross_fit`: a fitted plan, and the features of training and test rows.

    Args:
        fitted: The plan, fitted on the training rows.
        train: Features of the training rows, out of fold, in the requested form.
        test: Features of the test rows, equal to `fitted.transform(data, rows=test_rows)`.
        train_rows: Numbers of the training rows in the data, shape (n_train,).
        test_rows: Numbers of the test rows in the data, shape (n_test,).
        train_label: Label of the training rows, an Arrow array of shape (n_train,); None if the
            plan has no label.
        test_label: Label of the test rows, an Arrow array of shape (n_test,); None if the plan has
            no label.
        n_purged: Number of training rows that were left out because they are too close to test
            rows.
    """

    fitted: Face
    train: Any
    test: Any
    train_rows: NDArray[np.int64]
    test_rows: NDArray[np.int64]
    train_label: ChunkedArray | None
    test_label: ChunkedArray | None
    n_purged: int = 0

    def __repr__(self) -> str:
        """Return the numbers of training, test and purged rows as text."""
        purged = f", {self.n_purged:,} purged" if self.n_purged else ""
        n_train = counted(len(self.train_rows), "training row")
        return f"Fold({n_train}, {counted(len(self.test_rows), 'test row')}{purged})"


def cross_fit(
    plan: Declaration,
    rows: CallRows,
    cv: Any,
    faced: Callable[[Fitted], Face],
    *,
    groups: Any,
    purge: Any,
    embargo: Any,
    to: str,
    categories: bool,
) -> Iterator[Fold[Face]]:
    """Yield the folds of a plan, each fitted when it is requested.

    The other arguments are described in `Plan.cross_fit`; `faced` wraps a fitted plan for the user.
    """
    check_result(to, None, rows.backend, categories=categories, dtype=plan.dtype)
    named = columns_named(cv, groups)
    _check_there(rows.data, named)
    purging = resolve_purging(plan, purge, embargo)
    further = [*plan.keep, *named, *purging.columns, *plan.label_sources]
    prepared = prepare(plan, rows, further=further, transforms=True)
    if isinstance(prepared.table, DeviceTable) and prepared.table.on_device():
        raise InvalidData(
            "cross_fit: the data is in device memory, which this version cannot divide into folds. "
            "Copy it to the host first: cupy.asnumpy(x)"
        )
    label = _label_of(prepared)
    splits = splits_of(cv, groups, _rows_to_divide(prepared, label))
    left = _purge_folds(prepared, purging, splits)
    backend = prepared.rows.backend
    with show_progress("computing columns that all folds share"):
        warn_split(plan.nodes, plan.known_late, prepared.table, left, backend)
        share(prepared)
        share_keys(prepared)
    form = {"to": to, "categories": categories}
    return _folds(prepared, splits, left, label, form, faced)


def _check_there(data: Any, names: Sequence[str]) -> None:
    """Raise UnknownColumn if the data lacks a column of folds or groups."""
    there = column_names(data) if names else None
    for name in names:
        if there is not None and name not in there:
            raise UnknownColumn(
                f"cross_fit: the data has no column {name!r}, which cv= or groups= names."
                f"{did_you_mean(name, there)}"
            )


def _label_of(prepared: TrainingData) -> ChunkedArray | None:
    """Return the label of all rows as a column; None for plans without a label."""
    plan, table = prepared.plan, prepared.table
    if plan.label is None:
        return None
    if isinstance(plan.label, str):
        return table.column(plan.label)
    if prepared.labels is not None:
        return prepared.labels.values
    assert prepared.label is not None
    return labels_of(replace(prepared.label, told=prepared.told), prepared.again).values


def _rows_to_divide(prepared: TrainingData, label: ChunkedArray | None) -> FoldRows:
    """Return the rows to divide into folds; warn about rows without a label, which no fold has."""
    table = prepared.table
    known = np.ones(table.num_rows, np.bool_) if label is None else has_value(label)
    if prepared.labels is not None:
        flag_labelled_rows(prepared.labels, None)  # warns, and raises if no row has one
    elif not known.all():
        warn(
            f"the label {next(iter(prepared.plan.label_nodes))!r} is missing in "
            f"{int(np.count_nonzero(~known)):,} of {counted(table.num_rows, 'row')}: no fold "
            "learns from these rows or tests them",
            RowsWithoutLabel,
        )
    row_id, ids = prepared.plan.row_id, None
    if row_id is not None and row_id in table.column_names:
        ids = repeated_ids(row_id, table)
    return FoldRows(table.num_rows, known, label, table.column, row_id, ids)


def _purge_folds(prepared: TrainingData, purging: Purging, splits: Sequence[Split]) -> list[Split]:
    """Return the folds without the training rows that purging removes, which are near test rows."""
    moments = moments_of(purging, prepared.table, splits, prepared.rows.backend)
    if not moments:
        return list(splits)
    left: list[Split] = []
    for k, split in enumerate(splits):
        train = purge_training_rows(moments, split)
        check_left(f"fold {k + 1} of {len(splits)}", split, train, moments)
        left.append(Split(train, split.test))
    return left


def _folds(
    prepared: TrainingData,
    splits: Sequence[Split],
    left: Sequence[Split],
    label: ChunkedArray | None,
    form: Mapping[str, Any],
    faced: Callable[[Fitted], Face],
) -> Iterator[Fold[Face]]:
    """Yield the folds; a fold is released when the next one is requested."""
    for k, (given, split) in enumerate(zip(splits, left, strict=True)):
        n_purged = len(given.train) - len(split.train)
        told = f"fold {k + 1} of {len(left)}"
        yield _fold(prepared, split, label, form, n_purged, told, faced)


@with_ieee_arithmetic
def _fold(
    prepared: TrainingData,
    split: Split,
    label: ChunkedArray | None,
    form: Mapping[str, Any],
    n_purged: int,
    told: str,
    faced: Callable[[Fitted], Face],
) -> Fold[Face]:
    """Return a fold: the plan fitted on its training rows, and the features of both halves."""
    train, test = split
    try:
        with show_progress(told):
            fitted, training = fit_on(prepared, train, transforms=True)
            features = training_features.training_features(fitted, training, **form)
            later = training_features.later_features(fitted, training, test, **form)
    except FastfeatError as error:
        error.add_note(f"in {told} of cross_fit")
        raise
    of_train, of_test = (
        None if label is None else take_rows_of_type(label, numbers) for numbers in split
    )
    return Fold(faced(fitted), features, later, train, test, of_train, of_test, n_purged)
