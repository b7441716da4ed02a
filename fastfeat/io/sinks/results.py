"""Results as objects of other libraries: pandas and Polars frames, torch tensors, SciPy matrices.

Each library is imported only here, when a result for it is requested.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from fastfeat_kernels.arrays import BoolArray
from numpy.typing import NDArray

from fastfeat.errors import TypeMismatch
from fastfeat.io import libraries
from fastfeat.io.arrow import Array, ChunkedArray, Table, pa
from fastfeat.io.columns.bits import array_of_values, present_rows, unpack


def library(name: str) -> Any:
    """Return a library as `Any`, so that type checking does not depend on its installation.

    `name` is "pandas", "polars", "torch" or "scipy", which is also the extra that installs it.
    """
    return libraries.library(
        name,
        f"to={name!r} needs the package {name}, which is not installed. Install it with "
        f"pip install 'fastfeat[{name}]', or use to='arrow' or to='numpy', which need no package",
    )


def pandas_frame(table: Table, may_miss: Mapping[str, bool], index: Any) -> Any:
    """Return a table as a pandas frame; features are not copied, other columns are."""
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
    """Return a column-major matrix, shape (n_rows, n_columns), as a pandas frame without a copy.

    None for `index` uses row numbers.
    """
    pandas = library("pandas")
    return pandas.DataFrame(matrix, columns=names, index=index, copy=False)


def rows_of_index(index: Any, rows: NDArray[np.int64] | None) -> Any:
    """Return the entries of a pandas index for some rows; None for `rows` means all rows.

    If `index` is None, so is the result.
    """
    return index if index is None or rows is None else index.take(rows)


def own_array(array: Any) -> Array:
    """Return a copy of a feature's array; the memory behind a missing float holds NaN."""
    if not pa.types.is_floating(array.type):
        return array.take(pa.array(np.arange(len(array))))
    return array_of_values(_with_nan(array), present_rows(array), array.type)


def _whole(column: ChunkedArray) -> Array:
    """Return a column as one array."""
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def _feature(pandas: Any, array: Any, may_miss: bool) -> Any:
    """Return a feature as a pandas array if it may have missing values, else as a NumPy array."""
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
    """Return a data column as a pandas array that shares no memory with it."""
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
    """Return the error for a kept column that pandas or Polars cannot represent."""
    return TypeMismatch(
        f"keep={name!r} is {column.type}, which cannot be converted to {told}. Cast the column "
        "first, leave it out, or use to='arrow'"
    )


def float_values(array: Any) -> NDArray[Any]:
    """Return a float feature as a NumPy array, with NaN for missing; copied only if necessary.

    Kernels write NaN under nulls. Other arrays, such as taken rows, need not have it, and are
    copied. A present value of a feature is never NaN.
    """
    values = _stored(array)
    if array.null_count and np.count_nonzero(np.isnan(values)) != array.null_count:
        return _with_nan(array)
    return values


def matrix_values(array: Any) -> NDArray[Any]:
    """Return a feature as one column of a matrix; missing floats are NaN.

    A bfloat16 feature is returned as its bits.
    """
    return float_values(array) if pa.types.is_floating(array.type) else _stored(array)


def _with_nan(array: Any) -> NDArray[Any]:
    """Return a copy of floats with NaN where a value is missing.

    This NaN has the bits that kernels write; Arrow's float16 NaN has others.
    """
    values, present = _stored(array).copy(), present_rows(array)
    if present is not None:
        values[~present] = np.nan
    return values


def _own(values: NDArray[Any]) -> NDArray[Any]:
    """Return the values in writable memory, copied if needed: a frame belongs to its user."""
    return values if values.flags.writeable else values.copy()


def _stored(array: Any) -> NDArray[Any]:
    """Return the values of an array as NumPy, without a copy; arbitrary where missing."""
    values, dtype = array.buffers()[1], np.dtype(array.type.to_pandas_dtype())
    if values is None:
        return np.zeros(len(array), dtype)
    return np.frombuffer(values, dtype, len(array), array.offset * dtype.itemsize)


def _flags(array: Array) -> BoolArray:
    """Return the values of an array of bools."""
    values = array.buffers()[1]
    empty = np.zeros(len(array), np.bool_)
    return empty if values is None else unpack(values, array.offset, len(array))


def _missing(array: Array) -> BoolArray:
    """Return flags of the missing values of an array."""
    present = present_rows(array)
    return np.zeros(len(array), np.bool_) if present is None else ~present


def polars_frame(table: Table, categories: Mapping[str, Array]) -> Any:
    """Return a table as a Polars frame; numbers are not copied.

    `categories` has the entries of each dictionary feature, which becomes an Enum in that order.
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
    """Return the NumPy type of bfloat16, from the package ml_dtypes."""
    module = libraries.library(
        "ml_dtypes",
        "a matrix of bfloat16 in NumPy needs the package ml_dtypes, which is not installed. "
        "Install it with pip install 'fastfeat[bfloat16]', or use to='torch', or to='arrow', which "
        "returns float32",
    )
    return np.dtype(module.bfloat16)


def tensor(matrix: NDArray[Any], *, is_bfloat16: bool = False) -> Any:
    """Return a matrix as a torch tensor without a copy; a bfloat16 matrix is passed as its bits."""
    torch = library("torch")
    if is_bfloat16:
        return torch.from_numpy(matrix.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(matrix)


def csr_matrix(
    values: NDArray[Any], columns: NDArray[Any], starts: NDArray[Any], n_columns: int
) -> Any:
    """Return a SciPy matrix of compressed rows (CSR) over its values and their columns, in order.

    `starts` has the first entry of each row, and the number of entries.
    """
    shape = (len(starts) - 1, n_columns)
    matrix = _sparse().csr_matrix((values, columns, starts), shape)
    matrix.has_sorted_indices = matrix.has_canonical_format = True  # else SciPy looks once
    return matrix


def stacked_rows(parts: Sequence[Any]) -> Any:
    """Return the rows of several CSR matrices below one another."""
    return _sparse().vstack(parts, "csr")


def _sparse() -> Any:
    library("scipy")
    return libraries.library("scipy.sparse", "")


def memory_of_tensor(out: Any) -> NDArray[Any]:
    """Return the memory of a user's output torch tensor as an array; bfloat16 as its bits."""
    torch = library("torch")
    if not isinstance(out, torch.Tensor):
        raise TypeMismatch(
            f"out= must be a torch tensor for to='torch', got {type(out).__name__}. For an array, "
            "use to='numpy'"
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
