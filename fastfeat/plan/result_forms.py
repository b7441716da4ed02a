"""Features on their way out: what is computed for each form of the result, and made into it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastfeat.io.arrow import Array
from fastfeat.io.results import matrix_frame, pandas_frame, polars_frame, tensor
from fastfeat.io.types import arrow_type
from fastfeat.plan.categories import with_categories
from fastfeat.plan.fitted import Fitted
from fastfeat.plan.outputs import FORMS, TABLES, matrix_dtype
from fastfeat.scalars import op


def computed_form(fitted: Fitted, to: str) -> str:
    """Return the form in which features are computed, to be given out in another; see `Form`.

    A pandas frame of floats of one type, and of nothing else, is computed as a matrix: it is one
    block, which models take whole.
    """
    return "numpy" if _is_matrix(fitted, to) else FORMS[to].computed


def _is_matrix(fitted: Fitted, to: str) -> bool:
    if to != "pandas" or fitted.declaration.keep:
        return False
    return set(fitted.schema.types) == {arrow_type(matrix_dtype(fitted.declaration))}


def given_out(
    fitted: Fitted, features: Any, to: str, *, categories: bool = False, index: Any = None
) -> Any:
    """Return computed features in the form of the result.

    Args:
        fitted: the plan.
        features: as `computed_form` says.
        to: the form.
        categories: whether codes become categories.
        index: of the rows in a pandas frame; None for their numbers.
    """
    known: Mapping[str, Array] = fitted.categories if categories else {}
    if known and FORMS[to].computed in TABLES:
        features = with_categories(features, known)
    match to:
        case "pandas" if _is_matrix(fitted, to):
            return matrix_frame(features, fitted.feature_names, index)
        case "pandas":
            return pandas_frame(features, _may_miss(fitted), index)
        case "polars":
            return polars_frame(features, known)
        case "torch":
            return tensor(features)
        case _:
            return features


def _may_miss(fitted: Fitted) -> dict[str, bool]:
    """Return whether a value of a feature may be missing, by its name, whatever the rows are."""
    outputs = fitted.arrow_program.outputs
    return {output.name: output.ok is not op.TRUE for output in outputs}
