"""The features of the training rows themselves: encodings of the target are out of fold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fastfeat.aggregates.target import FoldedGroups
from fastfeat.backends import backend_named
from fastfeat.backends.program import Program, RowFailed
from fastfeat.errors import InvalidPlan
from fastfeat.io.write import empty_matrix
from fastfeat.ir.node import Node
from fastfeat.plan.border import slot_columns
from fastfeat.plan.constants import Learnt, bind, constant_roots, evaluate_constants
from fastfeat.plan.failures import failed_row
from fastfeat.plan.lower import Constant
from fastfeat.plan.made import Made, make
from fastfeat.plan.outputs import arrow_program, matrix_dtype, matrix_program
from fastfeat.scalars.zones import using

if TYPE_CHECKING:
    from fastfeat.plan.fitted import FittedPlan


class Training(NamedTuple):
    """What is known of the training rows while a plan is fitted.

    Args:
        learnt: value of each aggregate, those of folds too.
        made: what steps have made of the rows.
    """

    learnt: Learnt
    made: Made

    @property
    def has_folds(self) -> bool:
        """Whether training rows have other features than later rows of the same values."""
        return any(isinstance(value, FoldedGroups) for value in self.learnt.values())


def for_later_rows(learnt: Mapping[Node, Constant]) -> Learnt:
    """Return what is kept of what fit has learnt: nothing of folds."""
    return {
        node: value.without_folds if isinstance(value, FoldedGroups) else value
        for node, value in learnt.items()
    }


def training_features(
    fitted: FittedPlan, table: Any, to: str, backend: str, training: Training
) -> Any:
    """Return the features of the training rows.

    Args:
        fitted: the plan.
        table: the training rows.
        to: as of `transform`.
        backend: likewise.
        training: what is known of these rows.

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
    arrays = _compute(fitted, program, table, backend, training)
    if to == "arrow":
        return fitted.table_of(arrays, table)
    dtype = np.dtype(matrix_dtype(fitted.plan).name)
    matrix = empty_matrix((table.num_rows, len(arrays)), dtype)
    for k, array in enumerate(arrays):
        matrix[:, k] = array.to_numpy(zero_copy_only=False)
    return matrix


def _compute(
    fitted: FittedPlan, program: Program, table: Any, backend: str, training: Training
) -> list[Any]:
    engine, roots = backend_named(backend), list(fitted.nodes.values())
    make(roots, fitted.types, training.learnt, table, engine, training.made, training=True)
    known = evaluate_constants(constant_roots(roots), fitted.types, training.learnt)
    constants = bind(program, known)
    columns = slot_columns(program, table, training.made)
    try:
        return engine.compute(program, columns, table.num_rows, constants)
    except RowFailed as failure:
        row = failure.args[0]
        raise failed_row(program, row, columns, constants, table, engine) from None
