"""Tables in memory of any library as pyarrow Tables, without a copy if layouts agree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast
from weakref import WeakSet

from fastfeat.errors import FastfeatError, InvalidData, TypeMismatch
from fastfeat.io.arrow import RecordBatch, Table, pa
from fastfeat.io.sources.frames import (
    check_unique,
    class_names,
    mapping_table,
    pandas_table,
    polars_table,
    rows_only,
    rows_table,
)
from fastfeat.io.sources.strided import RunTasks, run_in_turn


def table_in_memory(
    data: Any, columns: Sequence[str] | None = None, run: RunTasks = run_in_turn
) -> Table:
    """Return data that is not a file as a pyarrow Table.

    `data` may be of any kind that `read_table` takes, except paths and functions. `columns` selects
    columns in this order; names that are missing are left out, and None takes all. `run` copies
    strided columns.
    """
    match data:
        case pa.Table():
            return select(data, columns)
        case pa.RecordBatch():
            return _of_batches([data], columns)
        case pa.RecordBatchReader():
            return _of_reader(data, columns)
        case Mapping():
            return mapping_table(cast("Mapping[Any, Any]", data), columns, run)
        case [*batches] if batches and all(isinstance(batch, pa.RecordBatch) for batch in batches):
            return _of_batches(batches, columns)
        case [Mapping(), *_]:
            return rows_table(data, columns)
        case _:
            return _of_library(data, columns, run)


def select(table: Table, columns: Sequence[str] | None) -> Table:
    """Return the wanted columns that a table or record batch has, in the wanted order.

    None for `columns` takes all.
    """
    schema = table.schema
    if len(schema) == 0:
        if table.num_rows or (columns is not None and not columns):
            return table  # a plan that reads no column needs only the rows
        raise InvalidData("the table has no columns")
    names = schema.names if columns is None else columns
    places = [schema.get_field_index(name) for name in names]
    if -1 in places:  # absent, or present more than once
        check_unique(schema.names, names)
        places = [place for place in places if place >= 0]
    return table if places == list(range(len(schema))) else table.select(places)


def _of_batches(batches: list[RecordBatch], columns: Sequence[str] | None) -> Table:
    """Return record batches as one table."""
    wanted = [select(batch, columns) for batch in batches]
    try:
        return pa.Table.from_batches(wanted)
    except pa.ArrowInvalid as error:
        raise InvalidData(f"the record batches differ in their columns: {error}") from error


def _of_reader(reader: Any, columns: Sequence[str] | None) -> Table:
    """Return all rows of a reader; only the wanted columns of each batch are kept.

    Raises InvalidData if the reader was already read, because it would silently return no rows.
    """
    note_read(reader)
    # schema.empty_table() would import pandas, which takes 200 ms.
    empty = select(pa.Table.from_batches([], reader.schema), columns)
    try:
        batches = [select(batch, columns) for batch in reader]
    except (pa.ArrowException, OSError, ValueError) as error:
        raise InvalidData(f"the reader failed: {error}") from error
    if len(empty.schema) == 0:
        return rows_only(sum(batch.num_rows for batch in batches))
    try:
        return pa.Table.from_batches(batches, empty.schema)
    except pa.ArrowInvalid as error:
        raise InvalidData(
            f"the reader returned a batch with another schema than the reader's: {error}"
        ) from error


def check_unread(reader: Any) -> None:
    """Raise InvalidData if a RecordBatchReader was already read."""
    if reader in _READ:
        raise InvalidData(
            "this RecordBatchReader was already read, and a reader can be read once: "
            "keep reader.read_all() and pass that table"
        )


def note_read(reader: Any) -> None:
    """Record that a RecordBatchReader is being read; raises InvalidData if it was read before."""
    check_unread(reader)
    _READ.add(reader)


def _of_library(data: Any, columns: Sequence[str] | None, run: RunTasks) -> Table:
    """Return a table of another library as a pyarrow Table; no library is imported to detect it."""
    classes = class_names(data)
    if "pandas.DataFrame" in classes:
        return pandas_table(data, columns, run)
    if "polars.LazyFrame" in classes:
        raise TypeMismatch(
            "got a Polars LazyFrame: pass data.collect(), or, if that does not fit in memory, the "
            "files that it reads: a folder, or a pattern such as 'logs/*.parquet'"
        )
    if "polars.DataFrame" in classes:
        return polars_table(data, columns)
    if "pyarrow.Dataset" in classes:
        return _of_dataset(data, columns)
    if hasattr(data, "__arrow_c_stream__") or hasattr(data, "__arrow_c_array__"):
        return _of_capsule(data, columns)
    raise TypeMismatch(f"got {_kind(data)}, which is not a table. {_ACCEPTED}")


def _of_dataset(dataset: Any, columns: Sequence[str] | None) -> Table:
    """Return all rows of a pyarrow dataset as a table."""
    schema = dataset.schema
    if len(schema) == 0:
        raise InvalidData("the dataset has no columns")
    there = set(schema.names)
    names = schema.names if columns is None else [name for name in columns if name in there]
    check_unique(schema.names, names)
    try:
        return dataset.to_table(columns=names)
    except (pa.ArrowException, OSError) as error:
        raise InvalidData(f"the dataset cannot be read: {error}") from error


def _of_capsule(data: Any, columns: Sequence[str] | None) -> Table:
    """Return the table of an object that exports Arrow data through the C interface."""
    try:
        if hasattr(data, "__arrow_c_stream__"):
            return _of_reader(pa.RecordBatchReader.from_stream(data), columns)
        return _of_batches([pa.record_batch(data)], columns)
    except (pa.ArrowException, ValueError, TypeError) as error:
        if isinstance(error, FastfeatError):
            raise
        if not class_names(data).isdisjoint(("pandas.Series", "polars.Series")):
            raise TypeMismatch(
                f"got a {type(data).__name__}, one column or one row, which is not a table. Pass "
                "a part of the frame: frame[['x']] for a column, frame[k : k + 1] for a row"
            ) from None
        raise TypeMismatch(
            f"got {_kind(data)}, whose Arrow data is not a table: {error}. {_ACCEPTED}"
        ) from error


def _kind(data: object) -> str:
    """Return the name of an object's type for messages."""
    module = type(data).__module__
    return type(data).__name__ if module == "builtins" else f"{module}.{type(data).__name__}"


_READ: WeakSet[Any] = WeakSet()
_ACCEPTED = (
    "Pass a pyarrow Table, RecordBatch, RecordBatchReader or Dataset, a list of record batches, "
    "a pandas or Polars DataFrame, a dict of NumPy arrays, a list of dicts, an object with "
    "__arrow_c_stream__ or __arrow_c_array__, or the path of a Parquet, Arrow or CSV file"
)
