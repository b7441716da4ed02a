"""Profiles of training rows that are read in passes: first a sample, then all rows."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastfeat.engine.float_environment import with_ieee_arithmetic
from fastfeat.errors import FastfeatError, FastfeatWarning
from fastfeat.execute.fitted import Fitted
from fastfeat.execute.pieces import MOST_BYTES
from fastfeat.io.arrow import Table, pa
from fastfeat.io.budget import Budget, use_budget
from fastfeat.io.sources.scan import ScannedTable, scan
from fastfeat.learn.round import LearningRound
from fastfeat.learn.row_sample import numbers_of_sample
from fastfeat.learn.rows_in_passes import RowsInPasses
from fastfeat.trust.quality.layout import SAMPLED
from fastfeat.trust.quality.profile import Profile
from fastfeat.trust.quality.profiling import NO_FEATURES, ProfileChoice, failure_reason
from fastfeat.trust.quality.table_profiles import counted_tables, layout_of_tables, take_places

N_PASSES = 2
"""A pass that samples rows, and a pass that counts them."""


class _Piece(NamedTuple):
    """Some consecutive training rows.

    Args:
        scanned: Rows as they were read; they contain these training rows, and perhaps others.
        inputs: Input columns of the training rows.
        first: Number of training rows before this piece.
    """

    scanned: ScannedTable
    inputs: Table
    first: int


@with_ieee_arithmetic
def profiled_in_passes(
    fitted: Fitted,
    learning: LearningRound,
    rows: RowsInPasses,
    budget: Budget,
    profile: ProfileChoice,
) -> Fitted:
    """Return a fitted plan with the profile of its training rows, which takes two more passes."""
    if not profile:
        return fitted
    with use_budget(budget), warnings.catch_warnings():
        warnings.simplefilter("ignore", FastfeatWarning)
        told = set(fitted.told.kinds)
        made = _profile(fitted, learning, rows, budget, with_features=profile is True)
        fitted.told.kinds.intersection_update(told)
    return replace(fitted, profile=made)


def _profile(
    fitted: Fitted,
    learning: LearningRound,
    rows: RowsInPasses,
    budget: Budget,
    *,
    with_features: bool,
) -> Profile:
    reason = "" if with_features else NO_FEATURES
    if with_features:
        try:
            return _count_in_pass(fitted, learning, rows, budget, "")
        except FastfeatError as error:
            reason = failure_reason(error)
    return _count_in_pass(fitted, learning, rows, budget, reason)


def _count_in_pass(
    fitted: Fitted, learning: LearningRound, rows: RowsInPasses, budget: Budget, no_features: str
) -> Profile:
    """Return the profile of the training rows after two passes: one samples rows, one counts all.

    `no_features` says why features are not counted; "" if they are.
    """
    chosen = rows.chosen
    n_given = int(learning.n_rows or 0) if chosen is None else chosen.n_given
    numbers = numbers_of_sample(n_given, SAMPLED)
    inputs: list[Table] = []
    features: list[Table] = []
    for piece in _pieces(fitted, learning, rows, budget):
        places = _within(numbers, piece) - piece.first
        inputs.append(take_places(piece.inputs, places))
        if not no_features:
            features.append(rows.later_features(learning, piece.scanned, places))
    of_features = pa.concat_tables(features) if features else None
    layout = layout_of_tables(fitted, pa.concat_tables(inputs), of_features, no_features)
    profile = layout
    for piece in _pieces(fitted, learning, rows, budget):
        made = None if no_features else rows.later_features(learning, piece.scanned)
        profile = profile.merge(counted_tables(layout, fitted, piece.inputs, made))
    return profile


def _within(numbers: NDArray[np.int64], piece: _Piece) -> NDArray[np.int64]:
    """Return the numbers of the sampled rows that lie within a piece.

    `numbers` are ascending and count training rows from 0.
    """
    end = piece.first + piece.inputs.num_rows
    return numbers[np.searchsorted(numbers, piece.first) : np.searchsorted(numbers, end)]


def _pieces(
    fitted: Fitted, learning: LearningRound, rows: RowsInPasses, budget: Budget
) -> Iterator[_Piece]:
    """Yield the training rows in pieces, in the order of the data."""
    columns = [*dict.fromkeys((*learning.columns, *fitted.inputs, *fitted.declaration.row_columns))]
    chosen, first = rows.chosen, 0

    def most_bytes() -> int:
        return min(MOST_BYTES, budget.table_bytes())

    with closing(scan(rows.dataset, columns, most_bytes)) as tables:
        for scanned in tables:
            table = scanned.table
            inputs = table.select([name for name in fitted.inputs if name in table.column_names])
            if chosen is not None:
                given = chosen.of(scanned.first_row, table.num_rows).given
                inputs = inputs.filter(pa.array(given))
            yield _Piece(scanned, inputs, first)
            first += inputs.num_rows
