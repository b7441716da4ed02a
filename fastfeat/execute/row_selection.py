"""`rows=`: the selected rows of the data, as a mask or as row numbers in any container."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastfeat.errors import InvalidData, InvalidPlan, TypeMismatch, counted
from fastfeat.io.arrow import call, pa
from fastfeat.io.device import DeviceTable
from fastfeat.io.sources.arrays import column_array

Numbers = NDArray[np.int64]
"""Numbers of rows of the data, from 0 on."""
_WRITTEN = "Write a bool for each row, rows=mask, or the numbers of rows, rows=[0, 3]"


def row_numbers(rows: Any, table: Any) -> Numbers | None:
    """Return the numbers of the selected rows, in order; None for all rows in data order.

    Args:
        rows: A bool per row, or row numbers from 0 on, which may repeat: a NumPy or Arrow array, a
            pandas or Polars series, or a list. The index of a series is ignored, like the index of
            data. None for all rows.
        table: The data.

    Raises:
        TypeMismatch: `rows` is neither a mask nor numbers.
        InvalidData: A mask of another length, a number out of range, a missing value, or data in
            the memory of a device.

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
            "rows= beside data in the memory of a device is not read in this version. Bring the "
            "data to the host first, cupy.asnumpy(x), or choose the rows there, x[rows]"
        )
    given, n_rows = _flags_or_numbers(rows), int(table.num_rows)
    numbers = _set_flags(given, n_rows) if given.dtype == bool else _checked(given, n_rows)
    are_all = len(numbers) == n_rows and bool((numbers == np.arange(n_rows)).all())
    return None if are_all else numbers


def rows_to_learn_from(rows: Any, table: Any) -> Numbers | None:
    """Return `row_numbers` for `fit`, which needs at least one row.

    Raises:
        InvalidData: No row is selected.
        FastfeatError: The selection is invalid, as for `row_numbers`.
    """
    numbers = row_numbers(rows, table)
    if numbers is not None and not len(numbers):
        raise InvalidData("rows= chooses no row, and fit learns from rows. Choose at least one")
    return numbers


def flags_of_rows(rows: Any, n_rows: int) -> NDArray[np.bool_] | None:
    """Return flags of the selected rows, for data read in order, shape (n_rows,); None for all.

    Raises:
        InvalidPlan: Row numbers that are not ascending, or that repeat.
        FastfeatError: The selection is invalid or empty.
    """
    if rows is None:
        return None
    given = _flags_or_numbers(rows)
    numbers = _set_flags(given, n_rows) if given.dtype == bool else _checked(given, n_rows)
    if not len(numbers):
        raise InvalidData("rows= chooses no row, and fit learns from rows. Choose at least one")
    if (np.diff(numbers) <= 0).any():
        raise InvalidPlan(
            "rows= has numbers in another order than the data, or one twice, and memory= reads the "
            "rows once a pass, in their order. Sort the numbers, or leave one of the two out"
        )
    flags = np.zeros(n_rows, np.bool_)
    flags[numbers] = True
    return None if flags.all() else flags


def _flags_or_numbers(rows: Any) -> NDArray[Any]:
    """Return the user's selection as an array of bools or integers, shape (n_given,).

    Raises:
        InvalidData: A value is missing.
        TypeMismatch: The selection cannot be such an array.
    """
    try:
        array = column_array(rows, "rows=")
    except TypeMismatch as error:
        raise TypeMismatch(f"rows= is {_kind(rows)}. {_WRITTEN}") from error
    if pa.types.is_null(array.type) and not len(array):  # an empty list has no type
        return np.zeros(0, np.int64)
    if not (pa.types.is_boolean(array.type) or pa.types.is_integer(array.type)):
        raise TypeMismatch(f"rows= holds values of type {array.type}. {_WRITTEN}")
    if array.null_count:
        at = int(np.argmin(call("is_valid", array).to_numpy(zero_copy_only=False)))
        raise InvalidData(f"rows=: value {at} is missing. Say of each row whether it is meant")
    return array.to_numpy(zero_copy_only=False) if isinstance(array, pa.Array) else array.to_numpy()


def _kind(rows: object) -> str:
    """Return the type, and the shape if any, of an invalid `rows=` argument, for messages."""
    shape = getattr(rows, "shape", None)
    return type(rows).__name__ if shape is None else f"{type(rows).__name__} of shape {shape}"


def _set_flags(flags: NDArray[np.bool_], n_rows: int) -> Numbers:
    """Return the numbers of the rows that a mask selects."""
    if len(flags) == n_rows:
        return np.flatnonzero(flags)
    raise InvalidData(
        f"rows= has {counted(len(flags), 'flag')}, and the data {counted(n_rows, 'row')}. "
        "A mask has one for each row of the data"
    )


def _checked(numbers: NDArray[Any], n_rows: int) -> Numbers:
    """Return row numbers after checking that the rows exist."""
    beyond = np.flatnonzero((numbers < 0) | (numbers >= n_rows))
    if not len(beyond):
        return numbers.astype(np.int64)
    at = int(beyond[0])
    hint = " They are counted from 0 on, not from the end" if numbers[at] < 0 else ""
    raise InvalidData(
        f"rows=: value {at} is {numbers[at]}, and the data has {counted(n_rows, 'row')}.{hint}"
    )
