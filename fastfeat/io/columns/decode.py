"""Encoded columns as plain values: dictionaries, run-end encoding, string and binary views."""

from __future__ import annotations

from typing import Any

from fastfeat_kernels.arrays import BoolArray

from fastfeat.io.arrow import Array, ChunkedArray, DataType, Table, call, cast, options_of, pa


def decode_column(column: ChunkedArray) -> ChunkedArray:
    """Return a dictionary or run-end encoded column as plain values, any other column unchanged.

    Dictionaries may differ between pieces and may hold nulls.
    """
    given = column.type
    if pa.types.is_dictionary(given):
        values = plain_type(given.value_type)
        pieces = [call("array_take", plain(p.dictionary), p.indices) for p in column.chunks]
    elif pa.types.is_run_end_encoded(given):
        values = given.value_type
        pieces = [call("run_end_decode", piece) for piece in column.chunks]
    else:
        return column
    return decode_column(pa.chunked_array(pieces, values))


def has_value(column: ChunkedArray | Array) -> BoolArray:
    """Return whether each row has a value; NaN counts as missing, in every encoding.

    Example:
        >>> has_value(pa.chunked_array([[1.0, None, float("nan")]])).tolist()
        [True, False, False]
    """
    nan_is_null = options_of("NullOptions", nan_is_null=True)
    whole = pa.chunked_array([column]) if isinstance(column, pa.Array) else column
    is_missing = call("is_null", plain(decode_column(whole)), options=nan_is_null)
    return ~is_missing.to_numpy(zero_copy_only=False)


def is_text(arrow_type: DataType) -> bool:
    """Return whether values of a type are text, in any form or encoding."""
    types = pa.types
    if types.is_dictionary(arrow_type) or types.is_run_end_encoded(arrow_type):
        return is_text(arrow_type.value_type)
    return bool(
        types.is_string(arrow_type)
        or types.is_large_string(arrow_type)
        or types.is_string_view(arrow_type)
    )


def is_binary(arrow_type: DataType) -> bool:
    """Return whether values of a type are bytes, in any form or encoding."""
    types = pa.types
    if types.is_dictionary(arrow_type) or types.is_run_end_encoded(arrow_type):
        return is_binary(arrow_type.value_type)
    return bool(
        types.is_binary(arrow_type)
        or types.is_large_binary(arrow_type)
        or types.is_binary_view(arrow_type)
    )


def plain_type(arrow_type: DataType) -> DataType:
    """Return the Arrow type that compute functions accept in place of `arrow_type`.

    Compute functions have no kernels for string and binary views: these become large text or bytes.
    Other types are unchanged.
    """
    if pa.types.is_string_view(arrow_type):
        return pa.large_string()
    if pa.types.is_binary_view(arrow_type):
        return pa.large_binary()
    if pa.types.is_list(arrow_type) or pa.types.is_large_list(arrow_type):
        of, given = plain_type(arrow_type.value_type), arrow_type.value_type
        return arrow_type if of == given else pa.large_list(of)
    return arrow_type


def plain(values: Any) -> Any:
    """Return string and binary views as large text or bytes; other arrays are unchanged."""
    wanted = plain_type(values.type)
    return values if wanted == values.type else cast(values, wanted)


def plain_table(table: Table) -> Table:
    """Return a table without views and dictionaries: its rows can be taken and concatenated."""
    columns = [plain(decode_column(column)) for column in table.columns]
    return pa.table(columns, names=table.column_names)
