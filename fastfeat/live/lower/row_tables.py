"""Conversion of rows that users pass into tables of the columns and types that plans read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any, TypeGuard, cast

import numpy as np

from fastfeat.errors import InvalidData, UnknownColumn, did_you_mean, shortened
from fastfeat.execute.fitted import Fitted
from fastfeat.execute.inputs import check_still_missing, read_columns
from fastfeat.io.arrow import Array, ChunkedArray, DataType, Schema, Table, pa
from fastfeat.io.arrow import cast as arrow_cast
from fastfeat.io.columns import conform
from fastfeat.io.columns.decode import decode_column
from fastfeat.io.columns.keys import key_column, stored_array
from fastfeat.io.columns.lists import list_column
from fastfeat.io.columns.row_values import content_value, convert, list_value
from fastfeat.io.columns.types import arrow_type, storage_type
from fastfeat.io.sources.frames import columns_table
from fastfeat.ir.dtypes import NULL, UTF8, DType
from fastfeat.ir.scope import order_of, window_nodes
from fastfeat.plan.declare.source_columns import columns_of

FLOAT16 = DType("float16")

LiveColumnTypes = Mapping[str, DType]


def is_one_row(given: Any, types: LiveColumnTypes) -> TypeGuard[Mapping[str, Any]]:
    """Return whether a user passed one row: a dict with one value per column.

    A list counts as one value if `types` says that the column holds lists.
    """
    if not isinstance(given, Mapping):
        return False
    row = cast("Mapping[Any, Any]", given)
    for name, value in row.items():
        if name in types and not types[name].is_list:
            return not _has_values(value)
    for name, value in row.items():
        if name in types:
            return not _has_values(value) or not any(map(_has_values, value))
    return not any(map(_has_values, row.values()))


_PLAIN = frozenset({float, int, str, bool, type(None)})


def _has_values(value: Any) -> bool:
    """Return whether a value is a whole column: an array or list of values, and not text."""
    if type(value) in _PLAIN:
        return False
    if isinstance(value, list | tuple | pa.Array | pa.ChunkedArray):
        return True
    if isinstance(value, str | bytes | pa.Scalar):
        return False
    return bool(getattr(value, "shape", ())) or hasattr(value, "__arrow_c_array__")


def rows_table(
    given: Any, types: LiveColumnTypes, if_there: Iterable[str] = (), others: Iterable[str] = ()
) -> Table:
    """Return rows in any form as a table with the column types seen in fit.

    Args:
        given: One row as a dict, or rows in any form that `FittedPlan.transform` takes.
        types: Columns to read, and their types.
        if_there: Columns that may be absent; their values are then missing in every row.
        others: Columns that are passed through unchanged.

    Raises:
        UnknownColumn: A column is absent, and not named in `if_there`.
        TypeMismatch, InvalidData: A value does not have the type seen in fit, and cannot be
            converted exactly.
    """
    optional, passed = set(if_there), [name for name in others if name not in types]
    if is_one_row(given, types):
        return _one_row(given, types, optional, passed)
    needed = [*(name for name in types if name not in optional), *passed]
    read = read_columns(given, needed, optional)
    there = set(read.column_names)
    columns = {
        name: typed(read.column(name), name, dtype)
        if name in there
        else pa.chunked_array([pa.nulls(read.num_rows, given_type(dtype))])
        for name, dtype in types.items()
    }
    columns |= {name: read.column(name) for name in passed}
    return columns_table(columns, read.num_rows)


def _one_row(
    row: Mapping[str, Any], types: LiveColumnTypes, optional: set[str], passed: list[str]
) -> Table:
    lacking = [n for n in (*types, *passed) if n not in row and n not in optional]
    if lacking:
        raise UnknownColumn(
            f"the row lacks the column{'s' * (len(lacking) > 1)} {shortened(lacking)}, which the "
            f"plan reads.{did_you_mean(lacking[0], map(str, row))}"
        )
    arrays = {name: value_array(row.get(name), name, dtype) for name, dtype in types.items()}
    return columns_table({**arrays, **{name: pa.array([row[name]]) for name in passed}}, 1)


def rows_by_id(given: Any, types: LiveColumnTypes, row_id: str, id_type: DType | None) -> Table:
    """Return a table of the rows' ids and of those columns in `types` that the user passed.

    If `id_type` is None, the id column keeps its type. Raises `UnknownColumn` if the id is absent,
    or if the user passed no other column.
    """
    every = types if id_type is None else {row_id: id_type, **types}
    if is_one_row(given, every):
        there = [name for name in every if name in given]
        table = _one_row(given, {n: every[n] for n in there}, set(), [row_id][: id_type is None])
    else:
        read = read_columns(given, [row_id], types)
        there = [name for name in every if name in read.column_names]
        columns = {name: typed(read.column(name), name, every[name]) for name in there}
        table = pa.table({row_id: read.column(row_id), **columns})
    if table.num_columns < 2:
        raise UnknownColumn(
            f"the rows have the id column {row_id!r}, but no other column that can be set. Pass at "
            f"least one of {shortened(types)}"
        )
    return table


def time_columns(plans: Iterable[Fitted]) -> list[str]:
    """Return the names of the columns from which the times of windows are computed."""
    calls = window_nodes([node for fitted in plans for node in fitted.nodes.values()])
    return columns_of(order_of(over).args[0] for over in calls)


def with_time(
    given: Any, at: Any, types: LiveColumnTypes, times: Sequence[str], others: Iterable[str]
) -> Any:
    """Return rows with the time `at` added to each, in the one time column that they lack.

    Args:
        given: One row as a dict, or rows in any form.
        at: Time of all rows.
        types: Columns to read, and their types.
        times: Names of all time columns.
        others: Names of columns that are passed through.

    Raises:
        InvalidData: The rows have all their times, or lack several time columns.
    """
    is_one = is_one_row(given, types)
    table = None if is_one else read_columns(given, (), [*types, *others])
    there = list(given) if table is None else table.column_names
    lacking = [name for name in times if name not in there]
    if len(lacking) != 1:
        told = f"lack {shortened(lacking)}" if lacking else f"have {shortened(times)}"
        raise InvalidData(
            f"at={at!r}: needs rows that lack exactly one time column, which it fills, but these "
            f"rows {told}. Leave at= out, and give each row its times"
        )
    (name,) = lacking
    if table is None:
        return {**given, name: at}
    moment = value_array(at, name, types[name])
    return table.append_column(name, pa.repeat(moment[0], table.num_rows))


def value_array(value: Any, name: str, dtype: DType) -> Array:
    """Return an array with the one value, converted to the column's type in fit."""
    if dtype.of is not None:
        return array_of_stored([list_value(value, dtype.of, name)], dtype)
    if dtype.holds_bytes:
        return array_of_stored([content_value(value, dtype, name)], dtype)
    return array_of_stored([convert(value, dtype, name)], dtype)


def as_dicts(rows: Table) -> list[dict[str, Any]] | None:
    """Return one dict per row of a table; None if Python cannot represent a value exactly."""
    columns = [_python_values(column) for column in rows.columns]
    if any(values is None for values in columns):
        return None
    names = rows.column_names
    if not columns:
        return [{} for _ in range(rows.num_rows)]
    return [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]


def _python_values(column: ChunkedArray) -> list[Any] | None:
    if column.type == pa.timestamp("ns"):
        return list(column.to_numpy())
    try:
        return column.to_pylist()
    except (ArithmeticError, LookupError, ValueError, pa.ArrowException):  # nanoseconds, zones
        return None


def table_of_stored(
    lines: Sequence[Sequence[Any]], types: LiveColumnTypes, schema: Schema
) -> Table:
    """Return a table of values in stored form: one sequence of values per row, in order of `types`.

    `schema` is the schema of the tables that `rows_table` returns. A missing float is NaN, any
    other missing value None.
    """
    pairs = zip(zip(*lines, strict=True), types.values(), strict=True)
    return pa.Table.from_arrays(
        [array_of_stored(values, dtype) for values, dtype in pairs], schema=schema
    )


def array_of_stored(stored: Sequence[Any], dtype: DType) -> Array:
    """Return values in stored form as an array of the type that the log uses for `dtype`.

    None and NaN become null.
    """
    wanted = given_type(dtype)
    values = [None if value is None or value != value else value for value in stored]
    if len(values) == values.count(None):
        return pa.nulls(len(values), wanted)
    if dtype.of is not None:
        inner = _stored([one for value in values for one in value or ()], dtype.of)
        ends = np.cumsum([0, *(0 if value is None else len(value) for value in values)])
        is_missing = pa.array([value is None for value in values])
        mask = is_missing if None in values else None
        return pa.LargeListArray.from_arrays(pa.array(ends, pa.int64()), inner, mask=mask)
    if dtype.is_temporal:
        return pa.array(values, storage_type(dtype)).view(wanted)
    return _stored(values, dtype) if dtype == FLOAT16 else pa.array(values, wanted)


def _stored(values: list[Any], dtype: DType) -> Array:
    array = stored_array(values, dtype)
    wanted = given_type(dtype)
    return array if array.type == wanted else arrow_cast(array, wanted)


def typed(column: ChunkedArray, name: str, dtype: DType) -> ChunkedArray:
    """Return a column converted to the Arrow type that a log uses for `dtype`.

    Raises `TypeMismatch` or `InvalidData` for a value of another type that cannot be converted
    exactly.
    """
    wanted = given_type(dtype)
    if column.type == wanted:
        return column
    if dtype.of is not None:
        found = list_column(column, name, dtype)
    elif dtype.holds_bytes:
        found = decode_column(key_column(column, name, dtype))
    elif dtype == NULL:
        check_still_missing(pa.table({name: column}), [name])
        return pa.chunked_array([pa.nulls(len(column))])
    else:
        found = conform.conform(column, name, dtype)
        if dtype.is_temporal:
            return pa.chunked_array([chunk.view(wanted) for chunk in found.chunks], wanted)
    return found if found.type == wanted else arrow_cast(found, wanted)


@cache
def given_type(dtype: DType) -> DataType:
    """Return the Arrow type that a log uses for a type of columns; text has 64-bit offsets."""
    if dtype.of is not None:
        return pa.large_list(given_type(dtype.of))
    if dtype.holds_bytes:
        return pa.large_string() if dtype == UTF8 else pa.large_binary()
    return arrow_type(dtype)
