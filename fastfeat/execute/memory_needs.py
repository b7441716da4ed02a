"""Memory that a call needs in any case, such as for lookup tables, counted before rows are read.

This memory follows from column types and numbers of rows; for files, both are in their metadata.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from fastfeat.errors import counted
from fastfeat.execute.lookup_tables import Tables, resolve_tables
from fastfeat.io.arrow import Schema, pa, schema_within
from fastfeat.io.budget import Need
from fastfeat.io.columns.types import row_bytes
from fastfeat.io.sources.dataset import Dataset, dataset_of
from fastfeat.io.sources.frames import class_names
from fastfeat.io.sources.read import is_in_parts
from fastfeat.ir.node import TableColumn

_COPIES = 2
"""Copies of a table from files: its columns as they are read, and as one piece."""
_INDEX_BYTES = 16
"""Bytes per table row for sorting rows by key and time. 6M rows of 24 bytes took 55 bytes each."""
_TEXT_BYTES = 32


def needs_of_call(
    dataset: Dataset,
    columns: Sequence[str],
    tables: Tables,
    table_columns: Sequence[TableColumn],
) -> list[Need]:
    """Return the memory needed for lookup tables and for reading the rows, as input of `budget_of`.

    Only the metadata of files is read.

    Args:
        dataset: The rows.
        columns: Columns of the rows that are read together.
        tables: The user's lookup tables.
        table_columns: Columns of the tables that are read.
    """
    return [*_of_tables(tables, table_columns), *needs_of_reading(dataset, columns)]


def needs_of_reading(dataset: Dataset, columns: Sequence[str]) -> Iterator[Need]:
    """Yield the memory that a reader of files needs for some of their columns."""
    n_bytes = dataset.bytes_of_reader(columns)
    if n_bytes:
        yield Need(f"reading {counted(len(columns), 'column')} of the data", n_bytes)


def _of_tables(tables: Tables, columns: Sequence[TableColumn]) -> Iterator[Need]:
    """Yield the memory that each lookup table takes after it is read."""
    given = resolve_tables(tables)
    for name in dict.fromkeys(column.table for column in columns):
        read = [column.name for column in columns if column.table == name]
        n_bytes = _bytes_of_table(given.get(name), read)
        if n_bytes:
            yield Need(f"the table {name!r}, which must be in memory whole,", n_bytes)


def _bytes_of_table(given: Any, columns: Sequence[str]) -> int:
    """Return the bytes of memory that a lookup table adds; 0 if unknown before it is read."""
    if isinstance(given, pa.Table):
        own = schema_within(given.schema, columns)
        is_whole = all(given.column(name).num_chunks == 1 for name in own.names)
        return int(given.num_rows) * (_INDEX_BYTES + (0 if is_whole else _width(own)))
    is_files = is_in_parts(given) and not callable(given)
    if not is_files and "pyarrow.Dataset" not in class_names(given):
        return 0
    dataset = dataset_of(given)
    n_bytes = dataset.bytes_of(columns)
    n_rows = dataset.n_rows
    if n_rows is None:
        n_rows = n_bytes // _width(schema_within(dataset.schema, columns))
    return _COPIES * n_bytes + _INDEX_BYTES * n_rows


def _width(schema: Schema) -> int:
    return row_bytes(schema, _TEXT_BYTES)
