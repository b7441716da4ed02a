"""Features that a live state gives: as they are computed for a form, and pieces of them as one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fastfeat.io.arrow import pa
from fastfeat.online.asking import Answered
from fastfeat.online.asking_one import AnsweredRow
from fastfeat.plan.environment import in_ieee
from fastfeat.plan.result_forms import computed_form
from fastfeat.plan.transform import bound, computed

Results = Mapping[str, Any]
"""By plan, features as they are computed for a form: a table, or a matrix."""


@in_ieee
def results_of(answered: Answered, to: str) -> Results:
    """Return the features of rows, by plan, as they are computed for a form.

    Args:
        answered: the rows.
        to: the form.
    """
    found: dict[str, Any] = {}
    for name, batch in answered.batches.items():
        fitted = answered.lowered.plans[name]
        form = computed_form(fitted, to)
        program, constants = bound(fitted, form)
        found[name] = computed(fitted, batch, program, constants, form)
    return found


def results_of_row(answered: AnsweredRow) -> Results:
    """Return the features of one row, by plan, as a matrix of one row."""
    return {name: features[np.newaxis] for name, features in answered.features.items()}


def joined(pieces: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return columns that were given in pieces, by name."""
    if not pieces:
        return {}
    return {name: _joined([piece[name] for piece in pieces]) for name in pieces[0]}


def _joined(pieces: Sequence[Any]) -> Any:
    if len(pieces) == 1:
        return pieces[0]
    if isinstance(pieces[0], pa.Table):
        return pa.concat_tables(pieces).combine_chunks()
    if isinstance(pieces[0], pa.Array):
        return pa.concat_arrays(pieces)
    return np.concatenate(pieces)
