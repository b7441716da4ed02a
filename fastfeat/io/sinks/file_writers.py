"""Files that tables are written to one after another: Parquet, Arrow IPC, CSV.

What is written depends on the rows alone, and not on how they came: whoever writes gives tables of
one chunk, of the same numbers of rows.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from fastfeat.io.arrow import Schema, Table, pa, parquet_module
from fastfeat.io.columns.decode import decoded
from fastfeat.io.sources.formats import Format


class FileWriter(Protocol):
    """A file that is open to be written, of pyarrow."""

    def write_table(self, table: Table) -> None:
        """Write rows behind those that are there."""
        ...

    def close(self) -> None:
        """Write the end of the file."""
        ...


@contextmanager
def writing(path: Path, file_format: Format, schema: Schema) -> Generator[FileWriter]:
    """Give a writer of a new file; the file is whole at the end of the `with`.

    Args:
        path: of the file.
        file_format: what it is written as.
        schema: of every table that is written.

    Raises:
        OSError: the folder is missing, or the disk is full.
        ArrowException: the format cannot hold a type.
    """
    with open(path, "xb") as sink:
        writer = _WRITERS[file_format](sink, schema)
        try:
            yield writer
        except BaseException:
            _close(writer)
            raise
        writer.close()


def _close(writer: FileWriter) -> None:
    """Close the writer of a file that is given up, whose end cannot be written perhaps."""
    try:
        writer.close()
    except (OSError, pa.ArrowException):
        return


def plainly(table: Table) -> Table:
    """Return a table whose dictionaries are decoded: their codes depend on how the rows came."""
    for at, field in enumerate(table.schema):
        column = table.column(at)
        plain = decoded(column)
        if plain is not column:
            table = table.set_column(at, field.with_type(plain.type), plain)
    return table


def _parquet(sink: Any, schema: Schema) -> FileWriter:
    """Return a writer of Parquet: a row group a table, with its statistics.

    Floats have no dictionary: to look for one took four fifths of the time (29 columns of 1M rows
    1.6 s, without 0.32), and where all values differ it made the file larger.
    """
    short = [field.name for field in schema if not pa.types.is_floating(field.type)]
    return parquet_module().ParquetWriter(sink, schema, use_dictionary=short or False)


def _ipc_file(sink: Any, schema: Schema) -> FileWriter:
    """Return a writer of an Arrow IPC file, not compressed, so that it can be mapped."""
    return pa.ipc.new_file(sink, schema)


def _ipc_stream(sink: Any, schema: Schema) -> FileWriter:
    """Return a writer of an Arrow IPC stream."""
    return pa.ipc.new_stream(sink, schema)


def _csv(sink: Any, schema: Schema) -> FileWriter:
    """Return a writer of CSV with a header."""
    return importlib.import_module("pyarrow.csv").CSVWriter(sink, schema)


def _tsv(sink: Any, schema: Schema) -> FileWriter:
    """Return a writer of tab-separated values with a header."""
    csv = importlib.import_module("pyarrow.csv")
    return csv.CSVWriter(sink, schema, write_options=csv.WriteOptions(delimiter="\t"))


_WRITERS: dict[Format, Callable[[Any, Schema], FileWriter]] = {
    "parquet": _parquet,
    "ipc_file": _ipc_file,
    "ipc_stream": _ipc_stream,
    "csv": _csv,
    "tsv": _tsv,
}
