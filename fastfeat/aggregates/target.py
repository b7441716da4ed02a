"""Statistics of a target per category, smoothed towards those of all rows; out of fold in training.

Each is computed once from all training rows, for later rows, and once for every fold from the rows
outside of it, for the training rows within. `prior` is the statistic of the rows that are looked
at, so that a fold sees nothing of its own rows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastfeat.aggregates.function import AggregateFunction, Learnt, Summary
from fastfeat.aggregates.keys import Groups
from fastfeat.aggregates.order import is_share
from fastfeat.dtypes import FLOAT64, DType
from fastfeat.errors import TypeMismatch
from fastfeat.ir.node import Params

Floats = NDArray[np.float64]
UNSEEN = 1
"""The group of the categories that fit has not seen, and of those that it leaves out."""


@dataclass(frozen=True, eq=False)
class FoldedGroups(Groups):
    """The values of a statistic per category, and in training those of each fold.

    Args:
        of_folds: values of the categories from the rows outside of each fold, NaN where missing,
            shape (n_folds * n_groups,): those of the first fold first.
    """

    of_folds: Floats

    @property
    def without_folds(self) -> Groups:
        """What later rows need."""
        return Groups(self.values, self.present)


class Statistics(NamedTuple):
    """What is known of the target in each category, and in all rows (`prior`).

    Args:
        count: number of values, shape (n_groups,).
        total: their sum, rounded once.
        statistic: mean, variance or quantile; NaN of none. Not read without `needs_squares`.
        variance: with ddof=0; NaN of none. Where it is not needed, the statistic again.
        prior_count: of all rows.
        prior_total: of all rows.
        prior: the statistic of all rows; NaN of none.
        prior_variance: with ddof=0, of all rows.
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
    """Return whether a statistic of moments takes more than counts and sums."""
    return function == "target_var" or dict(params).get("smooth") == "auto"


def bytes_per_cell(function: str, params: Params) -> int:
    """Return about how many bytes learning takes for each category in each fold, as measured."""
    if function == "target_quantile":
        return 16
    return 176 if needs_squares(function, params) else 100


def smoothed(function: str, s: Statistics, params: Params) -> Floats:
    """Return the smoothed statistic of each category.

    The operations are those of IEEE arithmetic in this very order: any backend gives these bits.
    """
    given = dict(params)
    if "min_rows" in given:
        s = _without_few(s, given["min_rows"])
    with np.errstate(all="ignore"):
        if function == "target_odds":
            return _odds(s, given["regularization"])
        if given["smooth"] == "auto":
            return _empirical_bayes(s)
        return _towards_prior(function, s, given["smooth"])


def _without_few(s: Statistics, min_rows: int) -> Statistics:
    """Return what is known as if categories of fewer values, and those left out, had none.

    The rows of the categories that the vocabulary has left out stand together in the group of the
    unseen ones; they take part in the prior.
    """
    is_few = s.count < min_rows
    is_few[UNSEEN] = True
    columns = (s.count, 0.0), (s.total, 0.0), (s.statistic, np.nan), (s.variance, np.nan)
    known = (np.where(is_few, nothing, column) for column, nothing in columns)
    return Statistics(*known, *s[len(columns) :])


def _towards_prior(function: str, s: Statistics, weight: float) -> Floats:
    """Return the statistic as if `weight` more rows had that of all rows."""
    sums = s.total if function == "target_mean" else s.statistic * s.count
    n = s.count + weight
    known = np.where(s.count > 0, sums, 0.0)
    return np.asarray(np.where(n > 0, (known + weight * s.prior) / n, s.prior), np.float64)


def _empirical_bayes(s: Statistics) -> Floats:
    """Return the mean and the prior, weighed by how far rows of a category and of all differ."""
    between = s.prior_variance * s.count
    share = between / (between + s.variance)
    weighed = share * s.statistic + (1.0 - share) * s.prior
    return np.asarray(np.where(share == share, weighed, s.prior), np.float64)


def _odds(s: Statistics, regularization: float) -> Floats:
    """Return how much likelier a category is among rows of class 1 than among those of class 0."""
    ones = (s.total + regularization) / (s.prior_total + 2 * regularization)
    others = s.prior_count - s.prior_total + 2 * regularization
    zeros = (s.count - s.total + regularization) / others
    return np.asarray(np.where(s.count > 0, ones / zeros, 1.0), np.float64)


def _result(dtype: DType, params: Params) -> DType:
    if dtype.is_number:
        return FLOAT64
    raise TypeMismatch(
        f"needs a target that is a number or bool, got {dtype}. Compare it with a class first, "
        "col('label') == 'yes'; target_encode takes classes=[...] too"
    )


def _finalize(summary: Summary, params: Params) -> Learnt:
    raise AssertionError("a target is learnt from per category")


def _reference(values: Sequence[Any], params: Params, dtype: DType) -> Learnt:
    raise AssertionError("a target is learnt from per category")


_OPTIONS = {
    "target_mean": {"smooth"},
    "target_var": {"smooth"},
    "target_quantile": {"q", "smooth"},
    "target_odds": {"regularization"},
}
"""The parameters of each statistic, besides those of its folds."""


def _valid(function: str, params: Params) -> bool:
    given: Mapping[str, Any] = dict(params)
    smooth, min_rows = given.get("smooth", 0), given.get("min_rows", 2)
    return (
        set(given) - {"min_rows"} == {"n_folds", "ordered"} | _OPTIONS[function]
        and type(min_rows) is int
        and min_rows > 1
        and (given["n_folds"] is None or type(given["n_folds"]) is int)
        and type(given["ordered"]) is bool
        and (_is_weight(smooth) or (smooth == "auto" and function == "target_mean"))
        and is_share(given.get("q", 0))
        and _is_weight(given.get("regularization", 1))
    )


def _is_weight(value: Any) -> bool:
    return type(value) in (int, float) and 0 <= value < math.inf


TARGET_FUNCTIONS = tuple(
    AggregateFunction(
        name,
        frozenset({"target"}),
        _result,
        _finalize,
        _reference,
        valid=partial(_valid, name),
    )
    for name in _OPTIONS
)
