"""Input columns in the storage that a fitted plan reads: without a copy, or converted exactly.

Numbers may arrive as text: a single "unknown" makes a whole CSV column text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from fastfeat.errors import InvalidData, TypeMismatch
from fastfeat.io.arrow import Array, ChunkedArray, DataType, pa
from fastfeat.io.columns import conversions
from fastfeat.io.columns.bits import array_of_values, present_rows
from fastfeat.io.columns.column import combined
from fastfeat.io.columns.decode import decode_column, is_binary, is_text
from fastfeat.io.columns.types import (
    ALWAYS_CONVERTED,
    arrow_type,
    column_text,
    known_type,
    storage_type,
)
from fastfeat.ir.dtypes import INT64, DType

if TYPE_CHECKING:
    from fastfeat.io.columns.conversions import ConvertedPiece


def conform(column: ChunkedArray, name: str, dtype: DType, first_row: int = 0) -> ChunkedArray:
    """Return a column as values of `dtype` in the Arrow type that kernels read (`storage_type`).

    A column of that type is not copied, however it is sliced; many tiny pieces are combined. Any
    other column is converted if each of its values is exactly a value of `dtype`: int32 for int64,
    integral floats for integers (NaN is missing), times of another unit, or a column without any
    value for every type. Text is returned unchanged. `dtype` is the type in fit; `first_row` is the
    number of the first row, for messages.

    Example:
        >>> import pyarrow as pa
        >>> from fastfeat.ir.dtypes import INT64
        >>> conform(pa.chunked_array([[1.0, float("nan")]]), "age", INT64).to_pylist()
        [1, None]
    """
    if column.type != arrow_type(dtype) and not is_accepted_text(column.type, dtype):
        column = decode_column(column)
    stored = in_storage(column, dtype)
    return _converted(combined(column), name, dtype, first_row) if stored is None else stored


def in_storage(column: ChunkedArray, dtype: DType) -> ChunkedArray | None:
    """Return a column in kernel storage if its values are stored as `dtype` already, else None.

    Missing values must be nulls, and dictionaries other than text must already be decoded.
    """
    exact = arrow_type(dtype)
    if column.type != exact:
        return column if is_accepted_text(column.type, dtype) else None
    if dtype.name in ALWAYS_CONVERTED:
        return None
    column, storage = combined(column), storage_type(dtype)
    if storage is exact:
        return column
    return pa.chunked_array([piece.view(storage) for piece in column.chunks], storage)


def is_accepted_text(given: DataType, dtype: DType) -> bool:
    """Return whether an Arrow type is a form of text or bytes that `dtype` accepts."""
    if dtype.name == "binary":
        return is_binary(given) or is_text(given)
    return dtype.name == "utf8" and is_text(given)


def all_missing(column: ChunkedArray) -> bool:
    """Return whether a column holds no value: each is null or NaN."""
    column = decode_column(column)
    if column.null_count == len(column):
        return True
    dtype = known_type(column.type)
    if dtype is None or not dtype.is_float or dtype.name == "decimal":
        return False
    return all(_holds_only_nan(piece, dtype) for piece in column.chunks)


def mismatch(column: ChunkedArray, name: str, wanted: str, hint: str) -> NoReturn:
    """Raise the error for a column of another type than fit saw; `hint` is a sentence of advice."""
    given = known_type(column.type) or column.type
    raise TypeMismatch(
        f"{column_text(name)}: fit saw {wanted}, got {given} ({_first_value(column)}). {hint}"
    )


def _converted(column: ChunkedArray, name: str, dtype: DType, first_row: int) -> ChunkedArray:
    """Return a column converted to the storage of `dtype`; raise unless every value is exact."""
    storage = storage_type(dtype)
    given = known_type(column.type)
    convert = None if given is None else conversions.conversion(given, dtype)
    if given is None or convert is None:
        if all_missing(column):
            return pa.chunked_array([pa.nulls(len(column), storage)])
        odd = almost_numbers(column, name) if dtype.is_number else ""
        mismatch(column, name, str(dtype), odd or _hint(given, dtype))
    pieces = [convert(piece, given, dtype) for piece in column.chunks]
    _check_exact(column, pieces, name, dtype, first_row)
    arrays = [_array(piece, storage) for piece in pieces]
    return pa.chunked_array(arrays, storage)


def _check_exact(
    column: ChunkedArray, pieces: list[ConvertedPiece], name: str, dtype: DType, first_row: int
) -> None:
    """Raise for the first value that the conversion would change."""
    at = 0
    for piece in pieces:
        wrong = ~piece.exact if piece.present is None else ~piece.exact & piece.present
        if wrong.any():
            row = at + int(np.argmax(wrong))
            shown = _shown(column, row, first_row)
            given = known_type(column.type)
            advice = (
                _WHOLE_DECIMALS  # an int64 is always exact, so this is a decimal
                if given == dtype == INT64
                else f", which fit saw (got {given}). Cast the column yourself, or fit again"
            )
            raise InvalidData(
                f"{column_text(name)}: {shown} is not exactly a value of type {dtype}{advice}"
            )
        at += len(piece.values)


def _array(piece: ConvertedPiece, storage: DataType) -> Array:
    """Return converted values of a chunk as an Arrow array; missing integers are stored as 0."""
    values = piece.values
    if piece.present is not None and values.dtype.kind != "f":
        values = np.where(piece.present, values, values.dtype.type(0))
    return array_of_values(values, piece.present, storage)


def _holds_only_nan(piece: Array, dtype: DType) -> bool:
    """Return whether each value of an array of floats is null or NaN."""
    present = present_rows(piece)
    values = conversions.read_values(piece, dtype)
    return bool(np.isnan(values if present is None else values[present]).all())


def _hint(given: DType | None, wanted: DType) -> str:
    """Return advice for a column that has another type than in fit."""
    if given is None or given.name != "timestamp" or wanted.name != "timestamp":
        return "Cast the column yourself, or fit again"
    if given.tz is None:
        return (
            f"Say which time zone these times are in: 'UTC', or {wanted.tz!r} for local times "
            f"(pandas: .dt.tz_localize({wanted.tz!r}); Polars: "
            f".dt.replace_time_zone({wanted.tz!r}))"
        )
    return (
        "fit saw times without a zone. Pass times without a zone here too: as local times or as "
        "UTC, as in the training data"
    )


def _first_value(column: ChunkedArray) -> str:
    """Return the first value that is not missing and its row number, as text for a message."""
    first_row = 0
    for piece in column.chunks:
        present = present_rows(piece)
        if len(piece) and (present is None or present.any()):
            return _shown(column, first_row + (0 if present is None else int(np.argmax(present))))
        first_row += len(piece)
    return "no value"


def _shown(column: ChunkedArray, row: int, first_row: int = 0) -> str:
    """Return one value with its row number, counted from `first_row`, as text for a message."""
    text = _scalar_text(column[row])
    value = text if len(text) <= _LONGEST else text[:_LONGEST] + "..."
    return f"{value} in row {first_row + row}"


def _scalar_text(scalar: Any) -> str:
    """Return a value as Python shows it; a time beyond Python's range as its number."""
    try:
        return str(scalar)
    except (ValueError, OverflowError, KeyError):
        return str(scalar.value)


_WHOLE_DECIMALS = (
    ". Decimals without digits after the point are read as int64. Cast the column first: ids with "
    "column.cast(pyarrow.string()), amounts with column.cast(pyarrow.float64()), which rounds"
)
_LONGEST = 60


_LOOKED_AT = 1_000_000


def almost_numbers(column: ChunkedArray, name: str) -> str:
    """Return a message about the first text in a column that otherwise holds numbers, or ""."""
    if not is_text(column.type):
        return ""
    texts: list[Any] = decode_column(column.slice(0, _LOOKED_AT)).to_pylist()
    odd = [row for row, text in enumerate(texts) if text is not None and not _is_number(text)]
    n_numbers = sum(text is not None for text in texts) - len(odd)
    if not odd or n_numbers < len(odd):
        return ""
    return (
        f"{column_text(name)} is text because of {texts[odd[0]][:60]!r} in row {odd[0]}. Leave "
        "such fields empty, or read the file by pandas.read_csv(..., na_values=...)"
    )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
