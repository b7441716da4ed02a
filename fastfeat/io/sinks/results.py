"""The way out into other libraries: tables as frames of pandas and Polars, matrices as tensors.

A library is imported when a result of it is asked for, and here alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastfeat.errors import TypeMismatch
from fastfeat.io import libraries
from fastfeat.io.arrow import Array, ChunkedArray, Table, pa
from fastfeat.io.columns.bits import Flags, array_of_values, present_rows, unpack
from fastfeat.io.sources.frames import class_names


def library(name: str) -> Any:
    """Return a library, which is `Any` to a type checker whether it is installed or not.

    Args:
        name: "pandas", "polars" or "torch", which is also the name of the extra that installs it.

    Raises:
        LibraryUnavailable: it is not installed.
    """
    return libraries.library(
        name,
        f"to={name!r} needs the package {name}, which is not installed. Install it with "
        f"pip install 'fastfeat[{name}]', or use to='arrow' or to='numpy', which need nothing more",
    )


def pandas_frame(table: Table, may_miss: Mapping[str, bool], index: Any) -> Any:
    """Return a table as a pandas frame; features are taken in place, other columns are copied.

    Args:
        table: whose features have memory of their own.
        may_miss: whether a value of a feature may be missing, by its name: an integer or bool has
            a nullable type of pandas then, whatever is missing in these rows.
        index: of the rows; None for their numbers.
    """
    pandas = library("pandas")
    columns: dict[str, Any] = {}
    for name, column in zip(table.column_names, table.columns, strict=True):
        if name in may_miss:
            columns[name] = _feature(pandas, _whole(column), may_miss[name])
        else:
            columns[name] = _kept(pandas, name, column)
    rows = pandas.RangeIndex(table.num_rows) if index is None else index
    return pandas.DataFrame(columns, index=rows, copy=False)


def matrix_frame(matrix: NDArray[Any], names: list[str], index: Any) -> Any:
    """Return a matrix, column after column in memory, as a pandas frame in place.

    Args:
        matrix: shape (n_rows, n_columns).
        names: of its columns.
        index: of the rows; None for their numbers.
    """
    pandas = library("pandas")
    return pandas.DataFrame(matrix, columns=names, index=index, copy=False)


def frame_index(data: Any) -> Any:
    """Return the index of a pandas frame; None of anything else."""
    return data.index if "pandas.DataFrame" in class_names(data) else None


def rows_of_index(index: Any, rows: NDArray[np.int64] | None) -> Any:
    """Return the part of an index of some rows; None stays None, for rows or index alike."""
    return index if index is None or rows is None else index.take(rows)


def own_array(array: Any) -> Array:
    """Return a copy of a feature; of floats with NaN under what is missing."""
    if not pa.types.is_floating(array.type):
        return array.take(pa.array(np.arange(len(array))))
    return array_of_values(_with_nan(array), present_rows(array), array.type)


def _whole(column: ChunkedArray) -> Array:
    """Return a column as one array."""
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def _feature(pandas: Any, array: Any, may_miss: bool) -> Any:
    """Return a feature as an array of pandas or NumPy."""
    kind = array.type
    if pa.types.is_floating(kind):
        return _own(float_values(array))
    if pa.types.is_integer(kind):
        values = _own(_stored(array))
        return pandas.arrays.IntegerArray(values, _missing(array)) if may_miss else values
    if pa.types.is_boolean(kind):
        flags = _flags(array)
        return pandas.arrays.BooleanArray(flags, _missing(array)) if may_miss else flags
    return array.to_pandas(date_as_object=False).array.copy()


def _kept(pandas: Any, name: str, column: ChunkedArray) -> Any:
    """Return a column of the data as an array of pandas that shares no memory with it.

    Raises:
        TypeMismatch: pandas has no such values.
    """
    kind = column.type
    if pa.types.is_integer(kind) or pa.types.is_boolean(kind):
        array = _whole(column)
        may_miss = array.null_count > 0
        return _feature(pandas, array, may_miss).copy()
    try:
        return column.to_pandas(date_as_object=False).array.copy()
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise _not_held(name, column, f"pandas: {error}") from None


def _not_held(name: str, column: ChunkedArray, told: str) -> TypeMismatch:
    """Return the error of a column that is passed through into a library without such values."""
    return TypeMismatch(
        f"keep={name!r} is {column.type}, which is no type of {told}. Cast the column first, leave "
        "it out, or take to='arrow'"
    )


def float_values(array: Any) -> NDArray[Any]:
    """Return a feature of floats as NumPy array, NaN where it is missing: in place if it says so.

    What a kernel wrote is NaN under a null; what is made otherwise, such as rows that were taken,
    need not be, and is copied. A value of a feature is never NaN.
    """
    values = _stored(array)
    if array.null_count and np.count_nonzero(np.isnan(values)) != array.null_count:
        return _with_nan(array)
    return values


def matrix_values(array: Any) -> NDArray[Any]:
    """Return a feature as a column of a matrix: a missing float is NaN, of bfloat16 it is bits."""
    return float_values(array) if pa.types.is_floating(array.type) else _stored(array)


def _with_nan(array: Any) -> NDArray[Any]:
    """Return a copy of floats with the NaN that kernels write; Arrow has another one of float16."""
    values, present = _stored(array).copy(), present_rows(array)
    if present is not None:
        values[~present] = np.nan
    return values


def _own(values: NDArray[Any]) -> NDArray[Any]:
    """Return values in memory that may be written to: a frame is its user's."""
    return values if values.flags.writeable else values.copy()


def _stored(array: Any) -> NDArray[Any]:
    """Return the numbers of an array in place, and what is under those that are missing."""
    values, dtype = array.buffers()[1], np.dtype(array.type.to_pandas_dtype())
    if values is None:
        return np.zeros(len(array), dtype)
    return np.frombuffer(values, dtype, len(array), array.offset * dtype.itemsize)


def _flags(array: Array) -> Flags:
    """Return the values of an array of bools."""
    values = array.buffers()[1]
    empty = np.zeros(len(array), np.bool_)
    return empty if values is None else unpack(values, array.offset, len(array))


def _missing(array: Array) -> Flags:
    """Return flags of the missing values of an array."""
    present = present_rows(array)
    return np.zeros(len(array), np.bool_) if present is None else ~present


def polars_frame(table: Table, categories: Mapping[str, Array]) -> Any:
    """Return a table as a Polars frame, its numbers in place.

    Args:
        table: the features.
        categories: of those that are dictionaries, by name: they become an Enum, in that order.

    Raises:
        TypeMismatch: Polars has no values such as those of a column that is passed through.
    """
    polars = library("polars")
    errors = polars.exceptions.PolarsError, polars.exceptions.PanicException
    try:
        frame = polars.from_arrow(table, rechunk=False)
    except errors:
        for name, column in zip(table.column_names, table.columns, strict=True):
            try:
                polars.from_arrow(pa.table({name: column}))
            except errors as error:
                raise _not_held(name, column, f"Polars: {error}") from None
        raise
    if not categories:
        return frame
    kinds = {name: polars.Enum(texts.to_pylist()) for name, texts in categories.items()}
    return frame.with_columns(polars.col(name).cast(kind) for name, kind in kinds.items())


def bfloat16_type() -> np.dtype[Any]:
    """Return the NumPy type of bfloat16, which the package ml_dtypes has.

    Raises:
        LibraryUnavailable: it is not installed.
    """
    module = libraries.library(
        "ml_dtypes",
        "a matrix of bfloat16 in NumPy needs the package ml_dtypes, which is not installed. "
        "Install it with pip install 'fastfeat[bfloat16]', or use to='torch', or to='arrow', which "
        "has the values as float32",
    )
    return np.dtype(module.bfloat16)


def tensor(matrix: NDArray[Any], *, is_bfloat16: bool = False) -> Any:
    """Return a matrix as a torch tensor in place; one of bfloat16 is given as its bits."""
    torch = library("torch")
    if is_bfloat16:
        return torch.from_numpy(matrix.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(matrix)


def memory_of_tensor(out: Any) -> NDArray[Any]:
    """Return the memory of a torch tensor, which a user gives for the features, as an array.

    Of bfloat16 it is the bits.


    Raises:
        TypeMismatch: it is no tensor of strided memory on the host, or is part of a gradient.
    """
    torch = library("torch")
    if not isinstance(out, torch.Tensor):
        raise TypeMismatch(
            f"out= must be a torch tensor for to='torch', got {type(out).__name__}. For an array "
            "take to='numpy'"
        )
    tensor: Any = out
    if tensor.device.type != "cpu" or tensor.layout is not torch.strided or tensor.requires_grad:
        raise TypeMismatch(
            "out= must be a dense torch tensor on the CPU that needs no gradient, got one on "
            f"{tensor.device} of layout {tensor.layout}, requires_grad={tensor.requires_grad}"
        )
    if tensor.dtype is torch.bfloat16:
        return tensor.view(torch.int16).numpy().view(np.uint16)
    return tensor.numpy()
