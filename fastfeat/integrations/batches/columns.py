"""Columns of the data that a training loop takes unchanged: the label, and kept columns (`keep=`).

Their types come from the data, and are the same in all pieces of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from typing import cast as cast_type

import numpy as np
from numpy.typing import NDArray

from fastfeat.errors import InvalidData, TypeMismatch, counted
from fastfeat.integrations.labels import label_column
from fastfeat.io.arrow import ChunkedArray, cast, pa
from fastfeat.io.columns.decode import decode_column, has_value, is_text, plain

Block = dict[tuple[str, str], Any]
LABEL = ("label", "")


def label_array(label: Any) -> NDArray[Any]:
    """Return a label as an array, shape (n_rows,): integers as int64, floats and bools as float32.

    Raises:
        TypeMismatch: The label is neither numbers nor bools.
        InvalidData: A value is missing.
    """
    column = label_column(label)
    types, dtype = pa.types, column.type
    n_missing = len(column) - int(np.count_nonzero(has_value(column)))
    if n_missing:
        raise InvalidData(
            f"the label is missing in {counted(n_missing, 'row')}. Pass label=False, or leave "
            "these rows out of the data. If windows must see them, leave them out of the computed "
            "features instead: of_features(fitted, features.filter(has_label), "
            "label=label.filter(has_label)) with has_label = label.is_valid()"
        )
    if not (types.is_integer(dtype) or types.is_floating(dtype) or types.is_boolean(dtype)):
        raise TypeMismatch(
            f"the label is {dtype}, but tensors hold numbers. Make it a number, such as "
            "label={'y': col('answer') == 'yes'}, or pass label=False"
        )
    made = cast(column, pa.int64() if types.is_integer(dtype) else pa.float32())
    return np.array(made.to_numpy(zero_copy_only=False))  # a copy: torch warns about Arrow's memory


def kept_array(column: ChunkedArray, name: str) -> Any:
    """Return a kept column: numbers and bools as a NumPy array, any other type as an Arrow array.

    Raises:
        InvalidData: An integer or bool is missing.
    """
    column = plain(decode_column(column))  # Arrow cannot take rows of views, nor join dictionaries
    dtype = column.type
    if pa.types.is_floating(dtype):
        return np.array(column.to_numpy())
    if not (pa.types.is_integer(dtype) or pa.types.is_boolean(dtype)):
        whole = column.combine_chunks()
        return pa.concat_arrays(whole.chunks) if isinstance(whole, pa.ChunkedArray) else whole
    if column.null_count:
        raise InvalidData(
            f"keep={name!r} is {dtype} and missing in {counted(column.null_count, 'row')}, but a "
            "tensor of this type has no missing values. Fill them, or cast the column to floats"
        )
    return np.array(column.to_numpy())


def kinds_of(block: Block) -> dict[tuple[str, str], Any]:
    """Return the type of the label and of each kept column of a block, by key."""
    return {key: _kind(of) for key, of in block.items() if key == LABEL or key[0] == "keep"}


def _kind(values: Any) -> Any:
    is_array = isinstance(values, np.ndarray)
    return cast_type("NDArray[Any]", values).dtype if is_array else values.type


def cast_block(block: Block, kinds: Mapping[tuple[str, str], Any]) -> Block:
    """Return a block with label and kept columns converted to the given types.

    They are the types in the first piece of the data, so that batches do not depend on pieces.
    """
    converted = {key: _of_kind(block[key], kind, key) for key, kind in kinds.items()}
    return {key: converted.get(key, of) for key, of in block.items()}


def _of_kind(values: Any, kind: Any, key: tuple[str, str]) -> Any:
    found = _kind(values)
    are_arrays = isinstance(values, np.ndarray), isinstance(kind, np.dtype)
    if found == kind:
        return values
    if all(are_arrays) and np.can_cast(found, kind, "safe"):
        return values.astype(kind)
    if are_arrays == (False, True) and kind.kind == "f" and pa.types.is_null(found):
        return np.full(len(values), np.nan, kind)
    if not any(are_arrays) and (pa.types.is_null(found) or (is_text(found) and is_text(kind))):
        return cast(values, kind)
    name = "the label" if key == LABEL else f"keep={key[1]!r}"
    raise TypeMismatch(
        f"{name} is {found} in this piece of the data, but {kind} in the first piece. Use one type "
        "in all pieces"
    )
