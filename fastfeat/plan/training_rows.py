"""The features of the training rows themselves: encodings of the target are out of fold.

Those of rows that nothing was learnt from are as those of any later row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastfeat.aggregates.target import FoldedGroups
from fastfeat.io.arrow import Table, pa
from fastfeat.ir.node import Node
from fastfeat.plan.batch import Batch, chosen_rows, known_constants
from fastfeat.plan.constants import Learnt, bind
from fastfeat.plan.lower import Constant
from fastfeat.plan.made import make
from fastfeat.plan.outputs import arrays_program, arrow_program, matrix_program
from fastfeat.plan.transform import computed
from fastfeat.scalars.zones import using

if TYPE_CHECKING:
    from fastfeat.plan.fitted import FittedPlan


class TrainingRows(NamedTuple):
    """The rows that were given to fit.

    Args:
        rows: all of them; nothing is made of them where only some were learnt from.
        learnt_from: those that were learnt from, as fit has left them.
        chosen: their numbers among all, shape (n_learnt_from,); None where they are all.
    """

    rows: Batch
    learnt_from: Batch
    chosen: NDArray[np.int64] | None


def has_folds(batch: Batch) -> bool:
    """Return whether training rows have other features than later rows of the same values."""
    return any(isinstance(value, FoldedGroups) for value in batch.learnt.values())


def for_later_rows(learnt: Mapping[Node, Constant]) -> Learnt:
    """Return what is kept of what fit has learnt: nothing of folds."""
    return {
        node: value.without_folds if isinstance(value, FoldedGroups) else value
        for node, value in learnt.items()
    }


def training_features(fitted: FittedPlan, training: TrainingRows, to: str) -> Any:
    """Return the features of the training rows, in the order of all.

    Args:
        fitted: the plan.
        training: the rows.
        to: as of `transform`.
    """
    rows, learnt_from, chosen = training
    own = _features(fitted, replace(learnt_from, types=fitted.types), to, training=True)
    if chosen is None:
        return own
    is_other = np.ones(rows.n_rows, np.bool_)
    is_other[chosen] = False
    others = np.flatnonzero(is_other)
    later = replace(
        chosen_rows(rows, others),
        types=fitted.types,
        learnt=dict(fitted.constants),
        training=False,
    )
    parts = own, _features(fitted, later, to, training=False)
    return _together(fitted, parts, np.concatenate([chosen, others]), rows, to)


def _together(
    fitted: FittedPlan, parts: Sequence[Any], places: NDArray[np.int64], rows: Batch, to: str
) -> Any:
    """Return the features of some rows, and of some others, as those of all rows in their order.

    Args:
        fitted: the plan.
        parts: the features, as `transform` gives them.
        places: the number of each row of the parts among all, shape (n_rows,).
        rows: all rows.
        to: as of `transform`.
    """
    match to:
        case "arrow":
            order = np.empty_like(places)
            order[places] = np.arange(len(places))
            return _with_kept(fitted, pa.concat_tables(parts).take(pa.array(order)), rows)
        case "numpy":
            return _placed(parts, places)
        case _:
            from fastfeat.plan.device import on_device  # imports the GPU backend

            def placed(pieces: Sequence[Any]) -> Any:
                return on_device(_placed([piece.get() for piece in pieces], places), rows)

            if to == "cupy":
                return placed(parts)
            return {name: placed([part[name] for part in parts]) for name in parts[0]}


def _with_kept(fitted: FittedPlan, features: Table, rows: Batch) -> Table:
    """Return features with the kept columns of the rows as these have them."""
    for name in fitted.plan.keep:
        at, field = features.schema.get_field_index(name), rows.table.schema.field(name)
        features = features.set_column(at, field, rows.table.column(name))
    return features


def _placed(parts: Sequence[NDArray[Any]], places: NDArray[np.int64]) -> NDArray[Any]:
    """Return arrays of rows as one, each row at its place; of a matrix column after column."""
    shape = (len(places), *parts[0].shape[1:])
    whole = np.empty(shape, parts[0].dtype, order="F")
    for part, at in zip(parts, np.split(places, [len(parts[0])]), strict=True):
        whole[at] = part
    return whole


def _features(fitted: FittedPlan, batch: Batch, to: str, *, training: bool) -> Any:
    """Return the features of rows, in a form of the result."""
    programs = {"arrow": arrow_program, "cupy_columns": arrays_program}
    with using(fitted.zones):
        program = programs.get(to, matrix_program)(
            fitted.plan, fitted.nodes, fitted.types, training=training
        )
    roots = list(fitted.nodes.values())
    make(batch, roots)
    constants = bind(program, known_constants(batch, roots))
    return computed(fitted, batch, program, constants, to)
