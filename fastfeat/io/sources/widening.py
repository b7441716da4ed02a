"""Columns with different types in different files: the type that holds all values, if there is one.

Values are checked during reading: an integer that float64 cannot represent is then an error.
"""

from __future__ import annotations

from fastfeat.errors import InvalidData
from fastfeat.io.arrow import DataType, Table, cast, pa
from fastfeat.io.columns.decode import is_text
from fastfeat.io.columns.types import column_text


def wider_type(left: DataType, right: DataType) -> DataType | None:
    """Return a common type for a column that has different types in two files, or None.

    Integers and floats give float64, because pandas turns integers into floats if some are missing.
    Times of two units give the finer unit. Text in any form gives large text.

    Example:
        >>> import pyarrow as pa
        >>> wider_type(pa.int32(), pa.float64()), wider_type(pa.bool_(), pa.int64())
        (DataType(double), None)
    """
    types = pa.types
    if left.equals(right) or types.is_null(right):
        return left
    if types.is_null(left):
        return right
    if types.is_dictionary(left) or types.is_dictionary(right):
        return _widened_dictionaries(left, right)
    if is_text(left) and is_text(right):
        return pa.large_string()
    for is_kind in (types.is_timestamp, types.is_duration):
        if is_kind(left) and is_kind(right):
            return _finer(left, right)
    if types.is_integer(left) and types.is_integer(right):
        return _widened_integers(left, right)
    if all(types.is_integer(t) or types.is_floating(t) for t in (left, right)):
        is_narrow = all(types.is_floating(t) and t.bit_width < 64 for t in (left, right))
        return pa.float32() if is_narrow else pa.float64()
    return None


def _widened_dictionaries(left: DataType, right: DataType) -> DataType | None:
    """Return the common type of dictionary and plain values, as a plain type; None without one."""
    values = [t.value_type if pa.types.is_dictionary(t) else t for t in (left, right)]
    return pa.large_string() if all(map(is_text, values)) else wider_type(*values)


def _finer(left: DataType, right: DataType) -> DataType | None:
    if pa.types.is_timestamp(left) and left.tz != right.tz:
        return None
    return max(left, right, key=lambda dtype: _UNITS.index(dtype.unit))


def _widened_integers(left: DataType, right: DataType) -> DataType:
    """Return the common integer type; int64 for uint64 and a signed type, if its values fit."""
    signed = [pa.types.is_signed_integer(dtype) for dtype in (left, right)]
    if signed[0] == signed[1]:
        return max(left, right, key=lambda dtype: dtype.bit_width)
    return pa.int64()


def in_type(table: Table, name: str, dtype: DataType, file: str) -> Table:
    """Return a table with one of its columns converted to another type; `file` is for messages.

    Raises:
        InvalidData: A value is not exactly representable in that type.
    """
    place = table.schema.get_field_index(name)
    column = table.column(place)
    try:
        made = cast(column, dtype)
    except (pa.ArrowException, ValueError) as error:
        raise InvalidData(
            f"{file}: {column_text(name)} is {column.type} here and {dtype} in the data set, and "
            f"some of its values cannot be converted: {error}"
        ) from error
    return table.set_column(place, pa.field(name, dtype), made)


_UNITS = ("s", "ms", "us", "ns")
