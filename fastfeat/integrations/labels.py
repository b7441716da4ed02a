"""A label that a user passes beside rows, in any form, as one Arrow column."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastfeat.errors import InvalidData
from fastfeat.io.arrow import cast, pa
from fastfeat.io.sources.arrays import column_array
from fastfeat.io.sources.read import read_table


def label_column(label: Any, name: str = "label") -> Any:
    """Return a label as one Arrow column: categories as their values, NaN unchanged.

    `label` has one value per row: a column in any form, or a DataFrame or matrix of one column.
    Messages call it `name`.

    Raises:
        InvalidData: It does not have exactly one column.
        TypeMismatch: It is not a column.
    """
    column = column_array(_one_column(label, name), name)
    is_coded = pa.types.is_dictionary(column.type)
    return cast(column, column.type.value_type) if is_coded else column


def _one_column(label: Any, name: str) -> Any:
    """Return the only column of a DataFrame or matrix; a single column is returned unchanged."""
    shape: tuple[int, ...] = getattr(label, "shape", ()) or ()
    if len(shape) < 2:
        return label
    if len(shape) > 2 or shape[1] != 1:
        raise InvalidData(
            f"the label has shape {tuple(shape)}, but {name!r} is one column: pass only this one"
        )
    if hasattr(label, "iloc"):
        return label.iloc[:, 0]
    is_table = hasattr(label, "__arrow_c_stream__")
    return read_table(label).column(0) if is_table else np.ravel(label)
