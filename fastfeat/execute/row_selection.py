"""`rows=`: the selected rows of the data, as a mask or as row numbers in any container."""

from __future__ import annotations

from typing import Any

import numpy as np
from fastfeat_kernels.arrays import Int64Array
from numpy.typing import NDArray

from fastfeat.errors import InvalidData, InvalidPlan, TypeMismatch, counted
from fastfeat.io.arrow import call, pa
from fastfeat.io.device import DeviceTable
from fastfeat.io.sources.arrays import column_array

_WRITTEN = "Pass a bool for each row, rows=mask, or row numbers, rows=[0, 3]"


def row_numbers(rows: Any, table: Any) -> Int64Array | None:
    """Return the numbers of the selected rows, in order; None for all rows in data order.

    Example:
        >>> import pyarrow as pa
        >>> table = pa.table({"x": [5, 6, 7]})
        >>> row_numbers([False, True, True], table), row_numbers([2, 0], table)
        (array([1, 2]), array([2, 0]))
    """
    if rows is None:
        return None
    if isinstance(table, DeviceTable) and table.on_device():
        raise InvalidData(
            "rows= cannot be combined with data in device memory in this version. Copy the data to "
            "the host first, cupy.asnumpy(x), or select the rows on the device, x[rows]"
        )
    given, n_rows = _flags_or_numbers(rows), int(table.num_rows)
    numbers = _set_flags(given, n_rows) if given.dtype == bool else _checked(given, n_rows)
    are_all = len(numbers) == n_rows and bool((numbers == np.arange(n_rows)).all())
    return None if are_all else numbers


def rows_to_learn_from(rows: Any, table: Any) -> Int64Array | None:
    """Return `row_numbers` for `fit`, which needs at least one row."""
    numbers = row_numbers(rows, table)
    if numbers is not None and not len(numbers):
        raise InvalidData("rows= selects no row, but fit needs rows. Select at least one")
    return numbers


def flags_of_rows(rows: Any, n_rows: int) -> NDArray[np.bool_] | None:
    """Return flags of the selected rows, for data read in order, shape (n_rows,); None for all."""
    if rows is None:
        return None
    given = _flags_or_numbers(rows)
    numbers = _set_flags(given, n_rows) if given.dtype == bool else _checked(given, n_rows)
    if not len(numbers):
        raise InvalidData("rows= selects no row, but fit needs rows. Select at least one")
    if (np.diff(numbers) <= 0).any():
        raise InvalidPlan(
            "rows= has row numbers that repeat or are not in ascending order, but memory= reads "
            "each row once per pass, in order. Sort the numbers and remove repeated ones, or leave "
            "out rows= or memory="
        )
    flags = np.zeros(n_rows, np.bool_)
    flags[numbers] = True
    return None if flags.all() else flags


def _flags_or_numbers(rows: Any) -> NDArray[Any]:
    """Return the user's selection as an array of bools or integers, shape (n_given,)."""
    try:
        array = column_array(rows, "rows=")
    except TypeMismatch as error:
        raise TypeMismatch(
            f"rows= must hold bools or row numbers, got {_kind(rows)}. {_WRITTEN}"
        ) from error
    if pa.types.is_null(array.type) and not len(array):  # an empty list has no type
        return np.zeros(0, np.int64)
    if not (pa.types.is_boolean(array.type) or pa.types.is_integer(array.type)):
        raise TypeMismatch(
            f"rows= must hold bools or row numbers, got values of type {array.type}. {_WRITTEN}"
        )
    if array.null_count:
        at = int(np.argmin(call("is_valid", array).to_numpy(zero_copy_only=False)))
        raise InvalidData(f"rows=: value {at} is missing. Replace it, in a mask by False")
    return array.to_numpy(zero_copy_only=False) if isinstance(array, pa.Array) else array.to_numpy()


def _kind(rows: object) -> str:
    """Return the type, and the shape if any, of an invalid `rows=` argument, for messages."""
    shape = getattr(rows, "shape", None)
    return type(rows).__name__ if shape is None else f"{type(rows).__name__} of shape {shape}"


def _set_flags(flags: NDArray[np.bool_], n_rows: int) -> Int64Array:
    """Return the numbers of the rows that a mask selects."""
    if len(flags) == n_rows:
        return np.flatnonzero(flags)
    raise InvalidData(
        f"rows= has {counted(len(flags), 'flag')}, but the data has {counted(n_rows, 'row')}. "
        "A mask needs one flag for each row of the data"
    )


def _checked(numbers: NDArray[Any], n_rows: int) -> Int64Array:
    """Return row numbers after checking that the rows exist."""
    beyond = np.flatnonzero((numbers < 0) | (numbers >= n_rows))
    if not len(beyond):
        return numbers.astype(np.int64)
    at = int(beyond[0])
    hint = " Row numbers count from 0, not from the end" if numbers[at] < 0 else ""
    raise InvalidData(
        f"rows=: value {at} is {numbers[at]}, but the data has {counted(n_rows, 'row')}.{hint}"
    )
