"""Results of a run: the form that features are computed for, and how they are given to a user.

Memory that a user gives for a matrix must be whole and its own: kernels write to it. Codes of
ordinal encodings may be given as categories, which have the text of what the codes stand for.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from fastfeat.errors import InvalidData, TypeMismatch
from fastfeat.execute.fitted import Fitted
from fastfeat.io.arrow import Array, Table, pa
from fastfeat.io.columns.bits import array_of_values
from fastfeat.io.columns.types import arrow_type
from fastfeat.io.device import DeviceArray
from fastfeat.io.sinks.results import (
    bfloat16_type,
    matrix_frame,
    memory_of_tensor,
    pandas_frame,
    polars_frame,
    tensor,
)
from fastfeat.io.sinks.write import memory_type, overlaps
from fastfeat.ir.dtypes import BFLOAT16
from fastfeat.plan.lower.outputs import FORMS, TABLES
from fastfeat.scalars import op


def with_categories(features: Table, categories: Mapping[str, Array]) -> Table:
    """Return features of which the codes are dictionaries; the code 0 is missing.

    Args:
        features: with the codes, none missing.
        categories: of each ordinal encoding, by its name.
    """
    for name, texts in categories.items():
        at = features.schema.get_field_index(name)
        column: Any = features.column(at)
        pieces = [_dictionary(piece, texts) for piece in column.chunks]
        kind = pa.dictionary(pa.int32(), texts.type)
        features = features.set_column(at, pa.field(name, kind), pa.chunked_array(pieces, kind))
    return features


def _dictionary(codes: Any, texts: Array) -> Array:
    """Return codes as places in the list of categories, missing where they are 0."""
    numbers = codes.to_numpy(zero_copy_only=False).astype(np.int32)
    places = np.maximum(numbers - 1, 0)  # nobody reads a place outside of the list
    indices = array_of_values(places, numbers > 0, pa.int32())
    return pa.DictionaryArray.from_arrays(indices, texts)


def computed_form(fitted: Fitted, to: str) -> str:
    """Return the form in which features are computed, to be given out in another; see `Form`.

    A pandas frame of floats of one type, and of nothing else, is computed as a matrix: it is one
    block, which models take whole.
    """
    return "numpy" if _is_matrix(fitted, to) else FORMS[to].computed


def _is_matrix(fitted: Fitted, to: str) -> bool:
    if to != "pandas" or fitted.declaration.keep:
        return False
    return set(fitted.schema.types) == {arrow_type(fitted.matrix_dtype)}


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
    is_bfloat16 = fitted.matrix_dtype == BFLOAT16
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
            return tensor(features, is_bfloat16=is_bfloat16)
        case "numpy" if is_bfloat16:
            return features.view(bfloat16_type())
        case _:
            return features


def _may_miss(fitted: Fitted) -> dict[str, bool]:
    """Return whether a value of a feature may be missing, by its name, whatever the rows are."""
    outputs = fitted.arrow_program.outputs
    return {output.name: output.ok is not op.TRUE for output in outputs}


def memory_given(fitted: Fitted, to: str, out: Any) -> Any:
    """Return the array that kernels write to, of what a user gives as `out=`; None stays None.

    Raises:
        TypeMismatch, InvalidData: it is no such memory.
        LibraryUnavailable: NumPy has no bfloat16 without ml_dtypes.
    """
    memory = memory_of_tensor(out) if to == "torch" and out is not None else out
    if fitted.matrix_dtype != BFLOAT16 or out is None:
        return memory
    given: object = getattr(out, "dtype", type(out).__name__)
    if to == "numpy" and given == bfloat16_type():
        return out.view(np.uint16)
    if str(given) != "torch.bfloat16":
        raise InvalidData(f"out= must have the type of the plan, bfloat16, got {given}")
    return memory


def row_type(fitted: Fitted) -> np.dtype[Any]:
    """Return the NumPy type of the features of one row.

    Raises:
        LibraryUnavailable: NumPy has no bfloat16 without ml_dtypes.
    """
    dtype = fitted.matrix_dtype
    return bfloat16_type() if dtype == BFLOAT16 else memory_type(dtype)


def check_memory(out: Any, shape: tuple[int, int], dtype: np.dtype[Any], table: Any) -> None:
    """Raise unless an array can take the matrix.

    Args:
        out: what the user gave.
        shape: of the matrix, (n_rows, n_features).
        dtype: of the matrix.
        table: the input columns, whose memory `out` must not share.

    Raises:
        TypeMismatch, InvalidData: it cannot.
    """
    if not isinstance(out, np.ndarray):
        raise TypeMismatch(f"out= must be a NumPy array, got {type(out).__name__}")
    array = cast("NDArray[Any]", out)
    if array.shape != shape or array.dtype != dtype:
        raise InvalidData(
            f"out= must have shape {shape} and type {dtype}, got {array.shape} and {array.dtype}"
        )
    if not array.flags.writeable or not array.flags.aligned:
        raise InvalidData("out= must be writeable and aligned")
    if overlaps_itself(array.shape, array.strides, array.itemsize):
        raise InvalidData("out= must not overlap itself: several elements would be in one place")
    columns = dict(zip(table.column_names, table.columns, strict=True))
    name = overlaps(array, {n: c for n, c in columns.items() if not isinstance(c, DeviceArray)})
    if name is not None:
        raise InvalidData(
            f"out= overlaps the memory of the input column {name!r}: kernels would read what they "
            "have written. Give it memory of its own"
        )


def overlaps_itself(shape: tuple[int, ...], strides: tuple[int, ...], n_bytes: int) -> bool:
    """Return whether two elements may share memory: those of broadcast and of odd strided views.

    Args:
        shape: of the array.
        strides: bytes from one element to the next along each axis.
        n_bytes: of an element.
    """
    if 0 in shape:
        return False
    reach = n_bytes
    for stride, size in sorted(zip(map(abs, strides), shape, strict=True)):
        if size > 1:
            if stride < reach:
                return True
            reach += stride * (size - 1)
    return False
