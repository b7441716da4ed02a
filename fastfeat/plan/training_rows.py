"""The features of the training rows themselves: encodings of the target are out of fold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from fastfeat.aggregates.target import FoldedGroups
from fastfeat.errors import InvalidPlan
from fastfeat.io.write import empty_matrix
from fastfeat.ir.node import Node
from fastfeat.plan.batch import Batch, compute, known_constants
from fastfeat.plan.constants import Learnt, bind
from fastfeat.plan.lower import Constant
from fastfeat.plan.made import make
from fastfeat.plan.outputs import arrow_program, matrix_dtype, matrix_program
from fastfeat.plan.transform import table_of
from fastfeat.scalars.zones import using

if TYPE_CHECKING:
    from fastfeat.plan.fitted import FittedPlan


def has_folds(batch: Batch) -> bool:
    """Return whether training rows have other features than later rows of the same values."""
    return any(isinstance(value, FoldedGroups) for value in batch.learnt.values())


def for_later_rows(learnt: Mapping[Node, Constant]) -> Learnt:
    """Return what is kept of what fit has learnt: nothing of folds."""
    return {
        node: value.without_folds if isinstance(value, FoldedGroups) else value
        for node, value in learnt.items()
    }


def training_features(fitted: FittedPlan, batch: Batch, to: str) -> Any:
    """Return the features of the training rows.

    Args:
        fitted: the plan.
        batch: the training rows, as fit has left them.
        to: as of `transform`.

    Raises:
        InvalidPlan: a form of memory on a device.
    """
    if to not in ("arrow", "numpy"):
        raise InvalidPlan(
            f"fit_transform(to={to!r}): the features of training rows are out of fold, which is "
            "not computed on a device in this version. Use to='arrow' or to='numpy'"
        )
    program_of = arrow_program if to == "arrow" else matrix_program
    with using(fitted.zones):
        program = program_of(fitted.plan, fitted.nodes, fitted.types, training=True)
    roots = list(fitted.nodes.values())
    batch = replace(batch, types=fitted.types)
    make(batch, roots)
    arrays = compute(batch, program, bind(program, known_constants(batch, roots)))
    if to == "arrow":
        return table_of(fitted, arrays, batch.table)
    dtype = np.dtype(matrix_dtype(fitted.plan).name)
    matrix = empty_matrix((batch.n_rows, len(arrays)), dtype)
    for k, array in enumerate(arrays):
        matrix[:, k] = array.to_numpy(zero_copy_only=False)
    return matrix
