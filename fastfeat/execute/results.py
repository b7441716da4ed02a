"""Results of a run: the form in which features are computed, and their conversion for the user.

Memory passed for a matrix must not overlap itself or the data, since kernels write to it. Codes of
ordinal encodings can be returned as categories, with the text behind each code.
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
from fastfeat.io.columns.types import arrow_type, memory_type
from fastfeat.io.device import DeviceArray
from fastfeat.io.sinks import results as result_forms
from fastfeat.io.sinks import write
from fastfeat.ir.dtypes import BFLOAT16
from fastfeat.plan.lower.outputs import FORMS, TABLES
from fastfeat.scalars import op


def with_categories(features: Table, categories: Mapping[str, Array]) -> Table:
    """Return the table of features with ordinal codes as dictionary columns; code 0 is missing.

    `categories` holds the texts of each ordinal encoding by name. No code in `features` is missing.
    """
    for name, texts in categories.items():
        at = features.schema.get_field_index(name)
        column: Any = features.column(at)
        pieces = [_dictionary(piece, texts) for piece in column.chunks]
        kind = pa.dictionary(pa.int32(), texts.type)
        features = features.set_column(at, pa.field(name, kind), pa.chunked_array(pieces, kind))
    return features


def _dictionary(codes: Any, texts: Array) -> Array:
    """Return codes as indices into the categories; 0 becomes missing."""
    numbers = codes.to_numpy(zero_copy_only=False).astype(np.int32)
    places = np.maximum(numbers - 1, 0)  # keeps every index inside the list
    indices = array_of_values(places, numbers > 0, pa.int32())
    return pa.DictionaryArray.from_arrays(indices, texts)


def computed_form(fitted: Fitted, to: str) -> str:
    """Return the form in which features are computed before conversion; see `ResultForm`.

    A pandas frame with only floats of one type is computed as a matrix: it becomes a single block,
    which models take without a copy.
    """
    return "numpy" if _is_matrix(fitted, to) else FORMS[to].computed


def _is_matrix(fitted: Fitted, to: str) -> bool:
    if to != "pandas" or fitted.declaration.keep:
        return False
    return set(fitted.schema.types) == {arrow_type(fitted.matrix_dtype)}


def convert_features(
    fitted: Fitted, features: Any, to: str, *, categories: bool = False, index: Any = None
) -> Any:
    """Return computed features, converted to the form that the user asked for."""
    known: Mapping[str, Array] = fitted.categories if categories else {}
    is_bfloat16 = fitted.matrix_dtype == BFLOAT16
    if known and FORMS[to].computed in TABLES:
        features = with_categories(features, known)
    match to:
        case "pandas" if _is_matrix(fitted, to):
            return result_forms.matrix_frame(features, fitted.feature_names, index)
        case "pandas":
            return result_forms.pandas_frame(features, _may_miss(fitted), index)
        case "polars":
            return result_forms.polars_frame(features, known)
        case "torch":
            return result_forms.tensor(features, is_bfloat16=is_bfloat16)
        case "numpy" if is_bfloat16:
            return features.view(result_forms.bfloat16_type())
        case _:
            return features


def _may_miss(fitted: Fitted) -> dict[str, bool]:
    """Return whether each feature can be missing in any row at all, by feature name."""
    outputs = fitted.arrow_program.outputs
    return {output.name: output.ok is not op.TRUE for output in outputs}


def output_memory(fitted: Fitted, to: str, out: Any) -> Any:
    """Return the array that kernels write to, made from the user's `out=`; None without one."""
    memory = result_forms.memory_of_tensor(out) if to == "torch" and out is not None else out
    if fitted.matrix_dtype != BFLOAT16 or out is None:
        return memory
    given: object = getattr(out, "dtype", type(out).__name__)
    if to == "numpy" and given == result_forms.bfloat16_type():
        return out.view(np.uint16)
    if str(given) != "torch.bfloat16":
        raise InvalidData(f"out= must have the plan's type, bfloat16, got {given}")
    return memory


def row_type(fitted: Fitted) -> np.dtype[Any]:
    """Return the NumPy type of the features of one row."""
    dtype = fitted.matrix_dtype
    return result_forms.bfloat16_type() if dtype == BFLOAT16 else memory_type(dtype)


def check_memory(out: Any, shape: tuple[int, int], dtype: np.dtype[Any], table: Any) -> None:
    """Raise TypeMismatch or InvalidData unless an array can take the matrix.

    `shape` is (n_rows, n_features). `table` holds the input columns; `out` must not share memory
    with them.
    """
    if not isinstance(out, np.ndarray):
        raise TypeMismatch(f"out= must be a NumPy array, got {type(out).__name__}")
    array = cast("NDArray[Any]", out)
    if array.shape != shape or array.dtype != dtype:
        raise InvalidData(
            f"out= must have shape {shape} and type {dtype}, got {array.shape} and {array.dtype}"
        )
    if not array.flags.writeable:
        raise InvalidData("out= is read-only. Pass a writeable array")
    if not array.flags.aligned:
        raise InvalidData(
            "out= must be aligned: the address and the strides must be multiples of "
            f"{dtype.alignment} bytes"
        )
    if overlaps_itself(array.shape, array.strides, array.itemsize):
        raise InvalidData("out= must not overlap itself: several elements share one address")
    columns = dict(zip(table.column_names, table.columns, strict=True))
    name = write.overlaps(
        array, {n: c for n, c in columns.items() if not isinstance(c, DeviceArray)}
    )
    if name is not None:
        raise InvalidData(
            f"out= overlaps the memory of the input column {name!r}: kernels would overwrite "
            "values that they still have to read. Pass an array with its own memory"
        )


def overlaps_itself(shape: tuple[int, ...], strides: tuple[int, ...], n_bytes: int) -> bool:
    """Return whether two elements may share memory, as in broadcast or oddly strided views.

    `strides` are the bytes between elements along each axis, `n_bytes` the bytes of an element.
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
