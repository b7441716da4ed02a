"""Scores of single columns as predictors of a label: AUC, or rank correlation.

Rows are only compared within strata: rows of the same block of time and, where possible, of the
same entity.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastfeat.errors import InvalidData
from fastfeat.io.arrow import ChunkedArray, call, pa
from fastfeat.io.columns.decode import decode_column


class LabelKind(NamedTuple):
    """The rule by which a label becomes numbers, the same for all permutations.

    Args:
        are_classes: Whether the label has two values, or is text.
        one: The value that becomes class 1.
    """

    are_classes: bool
    one: Any


class NumericLabels(NamedTuple):
    """The labels of some rows as numbers.

    Args:
        values: One value per row, shape (n_rows,), NaN if missing; 0 and 1 for classes.
        are_classes: Whether there are two classes.
    """

    values: NDArray[np.float64]
    are_classes: bool


def kind_of(label: ChunkedArray) -> LabelKind:
    """Return the rule that turns this label into numbers; the most frequent text is class 1.

    Raises:
        InvalidData: All labels are the same, or missing.
    """
    column = decode_column(label)
    counts = call("value_counts", call("drop_null", column)).to_pylist()
    if len(counts) < 2:
        values = [entry["values"] for entry in counts]
        raise InvalidData(
            f"all rows have the same label, {values[0]!r}" if values else "no row has a label"
        )
    is_number = pa.types.is_integer(column.type) or pa.types.is_floating(column.type)
    are_classes = len(counts) == 2 or not is_number
    return LabelKind(are_classes, max(counts, key=lambda entry: entry["counts"])["values"])


def labels_of(label: ChunkedArray, kind: LabelKind) -> NumericLabels:
    """Return a label as numbers."""
    column = decode_column(label)
    if kind.are_classes:
        column = call("equal", column, pa.scalar(kind.one, column.type))
    numbers = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
    return NumericLabels(numbers, kind.are_classes)


def scores(
    values: NDArray[Any], labels: NumericLabels, rows: NDArray[np.int64], strata: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return the score of each column for the labels of `rows`, shape (n_columns,).

    `values` has one row for each of `rows`, shape (n_rows, n_columns); their labels must not be
    missing. For two classes the score is the AUC within strata: the share of pairs, one row of each
    class in the same stratum, in which the row of class 1 has the larger value; ties count half.
    For other labels it is the rank correlation within strata. A missing value ranks below all
    others.
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


def scores_apart(
    features: tuple[NDArray[Any], NDArray[Any]],
    labels: tuple[NumericLabels, NumericLabels, NumericLabels],
    strata: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Return the score of each column, shape (n_columns,), compared across permutations.

    A world is a permuted copy of the data. `features` come from two worlds, shape (n_rows,
    n_columns), `labels` from the same two and a third. Values of the first world are ranked among
    those of the second; labels of the first are compared with those of the third.

    A single world would not do: there the mean of earlier labels predicts a row's own label without
    a leak, because the later rows that it is compared with have seen that label.
    """
    known, of_second, of_third = (np.flatnonzero(~np.isnan(of.values)) for of in labels)
    truth, own, third = labels[0].values[known], strata[known], strata[of_third]
    ranks = np.array(
        [
            _ranks_among(column[known], own, others[of_second], strata[of_second])
            for column, others in zip(features[0].T, features[1].T, strict=True)
        ]
    )
    if not labels[0].are_classes:
        of_truth = _ranks_among(truth, own, labels[2].values[of_third], third)
        spread = np.sqrt(np.square(ranks).sum(axis=1) * np.square(of_truth).sum())
        return ranks @ of_truth / np.where(spread > 0, spread, 1)
    n_strata = int(strata.max(initial=0)) + 1
    n_rows = np.bincount(third, minlength=n_strata)
    n_positive = np.bincount(third, labels[2].values[of_third], n_strata)
    share = n_positive / np.maximum(n_rows, 1)
    n_pairs = float((n_positive * (n_rows - n_positive)).sum())
    return 0.5 + ranks @ (truth - share[own]) / max(n_pairs, 1)


def _ranks_among(
    values: NDArray[Any],
    strata: NDArray[np.int64],
    others: NDArray[Any],
    of_others: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Return each value's rank among `others` of its stratum, minus the mean rank there.

    A missing value ranks below all others. The result has shape (n_rows,).
    """
    both = np.nan_to_num(np.concatenate([values, others]), nan=-np.inf)
    codes = np.unique(both, return_inverse=True)[1]
    keys = np.concatenate([strata, of_others]) * (int(codes.max(initial=0)) + 1) + codes
    sought, among = keys[: len(values)], np.sort(keys[len(values) :])
    n_others = np.bincount(of_others, minlength=int(strata.max(initial=0)) + 1)
    before = np.cumsum(n_others) - n_others
    place = np.searchsorted(among, sought, "left") + np.searchsorted(among, sought, "right")
    return place / 2 - before[strata] - n_others[strata] / 2


def _ranks(values: NDArray[Any], strata: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the rank of each value within its stratum, minus the mean rank there."""
    codes = np.unique(values, return_inverse=True)[1]
    n_rows = np.bincount(strata)
    before = np.cumsum(n_rows) - n_rows
    keys = strata * (int(codes.max(initial=0)) + 1) + codes
    _, places, n_equal = np.unique(keys, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(n_equal) - (n_equal - 1) / 2)[places]  # equal values share the middle rank
    return ranks - before[strata] - (n_rows[strata] + 1) / 2
