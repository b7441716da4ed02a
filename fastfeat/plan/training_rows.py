"""The features of the training rows themselves: encodings of the target are out of fold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from fastfeat.aggregates.target import FoldedGroups
from fastfeat.ir.node import Node
from fastfeat.plan.batch import Batch, known_constants
from fastfeat.plan.constants import Learnt, bind
from fastfeat.plan.lower import Constant
from fastfeat.plan.made import make
from fastfeat.plan.outputs import arrays_program, arrow_program, matrix_program
from fastfeat.plan.transform import computed
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
    """
    programs = {"arrow": arrow_program, "cupy_columns": arrays_program}
    with using(fitted.zones):
        program = programs.get(to, matrix_program)(
            fitted.plan, fitted.nodes, fitted.types, training=True
        )
    roots = list(fitted.nodes.values())
    batch = replace(batch, types=fitted.types)
    make(batch, roots)
    constants = bind(program, known_constants(batch, roots))
    return computed(fitted, batch, program, constants, to)
