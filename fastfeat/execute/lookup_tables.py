"""Lookup tables from `tables=`, read at each call and converted to the columns that steps read.

Converted columns and indexes of a pyarrow Table are cached as long as the table exists, since it
never changes. Any other table is read and indexed at each call.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import is_
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from fastfeat.errors import FastfeatError, TypeMismatch, UnknownColumn, did_you_mean
from fastfeat.io.arrow import Array, ChunkedArray, pa
from fastfeat.io.columns import conform, lists
from fastfeat.io.columns import keys as column_keys
from fastfeat.io.columns.decode import decode_column
from fastfeat.io.columns.types import schema_of
from fastfeat.io.sources import schema
from fastfeat.io.sources.read import read_table
from fastfeat.ir.dtypes import UTF8, DType
from fastfeat.ir.node import Node, TableColumn
from fastfeat.plan.declare.bind import TableTypes, list_names, missing_table_error
from fastfeat.steps.tables import rows as table_rows

if TYPE_CHECKING:
    from fastfeat.steps.tables.rows import TableValues

Tables = Mapping[str, Any] | None
"""The user's tables, of any kind, by name."""

TableReader: TypeAlias = "Callable[[Tables], dict[Node, TableValues]]"
"""Function from the user's tables to the table columns that steps read."""

KeptTables: TypeAlias = "dict[tuple[str, DType], TableValues]"
_KEPT: dict[int, tuple[weakref.ref[Any], KeptTables]] = {}


def read_tables(tables: Tables, columns: Sequence[TableColumn]) -> dict[str, Any]:
    """Return the tables as Arrow tables with only the given columns."""
    names = dict.fromkeys(column.table for column in columns)
    return {
        name: _read(name, _table_named(name, tables), [c.name for c in columns if c.table == name])
        for name in names
    }


def table_schemas(tables: Mapping[str, Any]) -> TableTypes:
    """Return the column types of each table."""
    return {name: schema_of(table) for name, table in tables.items()}


def resolve_schemas(tables: Tables) -> TableTypes:
    """Return the column types of each table; the user passes types, or tables with data."""
    return {name: schema.read_schema(given) for name, given in resolve_tables(tables).items()}


def columns_of_tables(columns: Iterable[TableColumn], schemas: TableTypes) -> TableTypes:
    """Return the types of the given columns, by table name and column name."""
    found: dict[str, dict[str, Any]] = {}
    for column in columns:
        found.setdefault(column.table, {})[column.name] = schemas[column.table][column.name]
    return found


def table_values(columns: Mapping[TableColumn, DType], tables: Tables) -> dict[Node, TableValues]:
    """Return the columns of lookup tables, converted to the form that steps read.

    `columns` maps each column to the type seen in fit.
    """
    made: dict[Node, TableValues] = {}
    for name in dict.fromkeys(column.table for column in columns):
        given = _table_named(name, tables)
        kept = _kept(given)
        wanted = {c: dtype for c, dtype in columns.items() if c.table == name}
        lacking = [c for c, dtype in wanted.items() if (c.name, dtype) not in kept]
        if lacking:
            table = _read(name, given, [c.name for c in lacking])
            for c in lacking:
                kept[c.name, wanted[c]] = _values(c, table.column(c.name), wanted[c])
        made.update({c: kept[c.name, dtype] for c, dtype in wanted.items()})
    return made


def table_reader(columns: Mapping[TableColumn, DType]) -> TableReader:
    """Return a function equal to `table_values`, but faster if called with the same tables again.

    The function holds only weak references to tables.
    """
    names = list(dict.fromkeys(column.table for column in columns))
    last = list[tuple[list[weakref.ref[Any]], dict[Node, weakref.ref[table_rows.TableValues]]]]()

    def read(tables: Any) -> dict[Node, TableValues]:
        is_dict = type(tables) is dict
        if last and is_dict:
            seen, values = last[0]
            given: list[Any] = [tables.get(name, seen) for name in names]  # `seen`: no table
            if all(map(is_, given, [known() for known in seen])):
                found = {column: known() for column, known in values.items()}
                return cast("dict[Node, TableValues]", found)  # alive as long as their tables
        made = table_values(columns, tables)
        last.clear()
        given = [_table_named(name, tables) for name in names]
        if all(isinstance(table, pa.Table) for table in given):
            refs: dict[Node, weakref.ref[TableValues]] = {
                column: weakref.ref(values) for column, values in made.items()
            }
            last.append(([weakref.ref(table) for table in given], refs))
        return made

    return read


def resolve_tables(tables: Any, example: str = "planes") -> Mapping[str, Any]:
    """Return the user's tables by name; `example` is a table name for the message."""
    if tables is not None and not isinstance(tables, Mapping):
        raise TypeMismatch(
            f"tables= must be a dict of tables by name, got a {type(tables).__name__}. Pass "
            f"tables={{{example!r}: table}}"
        )
    return cast("Mapping[str, Any]", tables or {})


def _table_named(name: str, tables: Any) -> Any:
    there = resolve_tables(tables, name)
    if name not in there:
        raise missing_table_error(name, [key for key in there if isinstance(key, str)])  # pyright: ignore[reportUnnecessaryIsInstance]  # user input
    return there[name]


def _kept(given: Any) -> KeptTables:
    """Return the cache of a table; a new, empty cache for a kind of table that may change."""
    if not isinstance(given, pa.Table):
        return {}
    key = id(given)
    found = _KEPT.get(key)
    if found is not None and found[0]() is given:
        return found[1]
    kept: KeptTables = {}
    _KEPT[key] = weakref.ref(given, lambda _: _KEPT.pop(key, None)), kept
    return kept


def _read(name: str, given: Any, columns: Sequence[str]) -> Any:
    """Return columns of a table as an Arrow table."""
    wanted = list(dict.fromkeys(columns))
    try:
        table = read_table(given, wanted)
    except FastfeatError as error:
        raise type(error)(f"the table {name!r}: {error}") from error
    for column in wanted:
        if column not in table.column_names:
            known = list(read_table(given).column_names) if _is_read_again(given) else []
            there = f" The columns are: {list_names(known)}" if known else ""
            hint = did_you_mean(column, known) or there
            raise UnknownColumn(f"the table {name!r} has no column {column!r}.{hint}")
    return table


def _is_read_again(given: Any) -> bool:
    """Return whether a table can be read again, to list its columns in a message."""
    return not isinstance(given, pa.RecordBatchReader)


def _values(node: TableColumn, column: ChunkedArray, dtype: DType) -> TableValues:
    """Return a table column in its storage type, as one array."""
    try:
        if dtype == UTF8:
            stored = decode_column(column_keys.key_column(column, node.name, dtype))
        elif dtype.is_list:
            stored = lists.list_column(column, node.name, dtype)
        else:
            stored = conform.conform(column, node.name, dtype)
    except FastfeatError as error:
        raise type(error)(f"the table {node.table!r}: {error}") from None
    return table_rows.TableValues(node.table, node.name, _whole(stored))


def _whole(column: ChunkedArray) -> Array:
    if column.num_chunks == 1:
        return column.chunk(0)
    return pa.concat_arrays(column.chunks or [pa.nulls(0, column.type)])
