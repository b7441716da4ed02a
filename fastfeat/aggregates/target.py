"""Statistics of a target per category, smoothed towards the statistic of all rows.

Each statistic is learnt several times: once from all training rows, for later rows, and once for
each fold from the rows outside it, for the training rows inside. So no training row sees its own
target. `prior` is the statistic of all rows used; for a fold these are the rows outside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from fastfeat_kernels.arrays import Float64Array
from fastfeat_kernels.records import dataclass

from fastfeat.aggregates.function import AggregateFunction, ColumnSummary, LearntValue
from fastfeat.aggregates.keys import Groups
from fastfeat.aggregates.order import Q
from fastfeat.errors import TypeMismatch
from fastfeat.ir.dtypes import FLOAT64, DType
from fastfeat.ir.node import Aggregate, Call, Params
from fastfeat.ir.parameters import (
    BoolChoice,
    Either,
    Parameter,
    Parameters,
    Real,
    TextChoice,
    Whole,
)

UNSEEN = 1
"""The group of categories that `fit` has not seen or has left out."""


@dataclass(frozen=True, eq=False)
class FoldedGroups(Groups):
    """The values of a statistic per category, and of each category per fold for training rows.

    Args:
        of_folds: For each fold, the values of all categories, learnt from the rows outside the
            fold; NaN if missing. Shape (n_folds * n_groups,), fold by fold.
    """

    of_folds: Float64Array

    @property
    def without_folds(self) -> Groups:
        """The values of the categories alone, for rows after training."""
        return Groups(self.values, self.present)


class CategoryStatistics(NamedTuple):
    """Statistics of the target in each category, and in all rows (`prior`).

    Args:
        count: Number of target values in each category, shape (n_groups,); so are the next three.
        total: Sum of the values, rounded once.
        statistic: Mean, variance or quantile; NaN if no values. Odds, and means without
            smooth="auto", do not read it.
        variance: Variance with ddof=0; NaN if no values. If not needed, the same as `statistic`.
        prior_count: Number of values in all rows.
        prior_total: Sum of the values in all rows.
        prior: The statistic of all rows; NaN if no values.
        prior_variance: Variance of all rows, with ddof=0.
    """

    count: Any
    total: Any
    statistic: Any
    variance: Any
    prior_count: Any
    prior_total: Any
    prior: Any
    prior_variance: Any


def needs_squares(function: str, params: Params) -> bool:
    """Return whether a target statistic needs sums of squares, in addition to counts and sums."""
    return function == "target_var" or dict(params).get("smooth") == "auto"


def bytes_per_cell(function: str, params: Params) -> int:
    """Return the measured memory of learning a target statistic, in bytes per category and fold."""
    if function == "target_quantile":
        return 16
    return 176 if needs_squares(function, params) else 100


def smooth_statistics(
    function: str, s: CategoryStatistics, params: Params, first: int = 0
) -> Float64Array:
    """Return the smoothed statistic of each category, shape (n_groups,).

    The operations are IEEE arithmetic in exactly this order, so that every backend gives the same
    bits. `s` holds consecutive categories; `first` is the code of the first of them.
    """
    given = dict(params)
    if "min_rows" in given:
        s = _drop_small_categories(s, given["min_rows"], UNSEEN - first)
    with np.errstate(all="ignore"):
        if function == "target_odds":
            return _odds(s, given["regularization"])
        if given["smooth"] == "auto":
            return _empirical_bayes(s)
        return _shrink_to_prior(function, s, given["smooth"])


def _drop_small_categories(s: CategoryStatistics, min_rows: int, unseen: int) -> CategoryStatistics:
    """Return statistics in which categories with fewer than `min_rows` values are emptied.

    Emptied means count and sum 0, and NaN for the rest. The category at position `unseen` is
    emptied too: it holds the rows of all categories that the vocabulary left out. The prior still
    counts them.
    """
    is_few = s.count < min_rows
    if 0 <= unseen < len(is_few):
        is_few[unseen] = True
    columns = (s.count, 0.0), (s.total, 0.0), (s.statistic, np.nan), (s.variance, np.nan)
    known = (np.where(is_few, nothing, column) for column, nothing in columns)
    return CategoryStatistics(*known, *s[len(columns) :])


def _shrink_to_prior(function: str, s: CategoryStatistics, weight: float) -> Float64Array:
    """Return the statistic as if `weight` more rows had the value of the prior."""
    sums = s.total if function == "target_mean" else s.statistic * s.count
    n = s.count + weight
    known = np.where(s.count > 0, sums, 0.0)
    return np.asarray(np.where(n > 0, (known + weight * s.prior) / n, s.prior), np.float64)


def _empirical_bayes(s: CategoryStatistics) -> Float64Array:
    """Return the mean of each category averaged with the prior.

    The weights depend on the variance of the category's values and on the variance of all values.
    """
    between = s.prior_variance * s.count
    share = between / (between + s.variance)
    weighed = share * s.statistic + (1.0 - share) * s.prior
    return np.asarray(np.where(share == share, weighed, s.prior), np.float64)


def _odds(s: CategoryStatistics, regularization: float) -> Float64Array:
    """Return each category's share of class 1 divided by its share of class 0; 1 if empty."""
    ones = (s.total + regularization) / (s.prior_total + 2 * regularization)
    others = s.prior_count - s.prior_total + 2 * regularization
    zeros = (s.count - s.total + regularization) / others
    return np.asarray(np.where(s.count > 0, ones / zeros, 1.0), np.float64)


def _result(dtype: DType, params: Params) -> DType:
    if dtype.is_number:
        return FLOAT64
    raise TypeMismatch(
        f"needs a target that is a number or bool, got {dtype}. Compare it with a class first: "
        "col('label') == 'yes'. target_encode also takes classes=[...]"
    )


def _finalize(summary: ColumnSummary, params: Params) -> LearntValue:
    raise AssertionError("must not be called: a target is learnt per category")


def _reference(values: Sequence[Any], params: Params, dtype: DType) -> LearntValue:
    raise AssertionError("must not be called: a target is learnt per category")


def _is_in_folds(aggregate: Aggregate) -> bool:
    """Return whether the call that assigns training rows to folds fits the other parameters."""
    given, folds = dict(aggregate.params), aggregate.args[2]
    n_folds, ordered = given["n_folds"], given["ordered"]
    made_by = "encode" if n_folds is None else "time_fold" if ordered else "fold"
    return (
        isinstance(folds, Call)
        and folds.function == made_by
        and (n_folds is None or dict(folds.params)["n_folds"] == n_folds)
    )


_WEIGHT = Real(0.0, 1e300, or_whole=True)
FOLDS = Whole(2, 1000)
_OF_FOLDS: Parameters = (
    Parameter(
        "n_folds",
        FOLDS,
        "Number of folds of the training rows; None if a column holds the folds",
        5,
        or_none=True,
        user_name="folds",
    ),
    Parameter("ordered", BoolChoice(), user_name=None),
    Parameter(
        "min_rows",
        Whole(2),
        "Minimum number of training rows per category; others count as unseen; None keeps all",
        None,
        is_optional=True,
    ),
)
_SMOOTH = Parameter("smooth", _WEIGHT, "Number of rows of the prior added to each category")
_PARAMETERS: Mapping[str, Parameters] = {
    "target_mean": (
        Parameter("smooth", Either((TextChoice(("auto",)), _WEIGHT)), _SMOOTH.about, "auto"),
        *_OF_FOLDS,
    ),
    "target_var": (_SMOOTH, *_OF_FOLDS),
    "target_quantile": (Q, _SMOOTH, *_OF_FOLDS),
    "target_odds": (
        Parameter(
            "regularization",
            Real(1e-300, 1e300, or_whole=True),
            "Number of rows of each class added to each category",
            1.0,
        ),
        *_OF_FOLDS,
    ),
}

FUNCTIONS = tuple(
    AggregateFunction(
        name,
        frozenset({"target"}),
        _result,
        _finalize,
        _reference,
        parameters=parameters,
        belongs=_is_in_folds,
        called=f"{name.removeprefix('target_')} of the label",
    )
    for name, parameters in _PARAMETERS.items()
)
