"""Writers that append tables to a file: Parquet, Arrow IPC, CSV.

The bytes depend only on the rows if callers always pass single-chunk tables of the same lengths.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from fastfeat.io.arrow import Schema, Table, pa, parquet_module
from fastfeat.io.columns.decode import decode_column
from fastfeat.io.sources.formats import FileFormat


class FileWriter(Protocol):
    """A pyarrow file that is open for writing."""

    def write_table(self, table: Table) -> None:
        """Append rows."""
        ...

    def close(self) -> None:
        """Write the end of the file."""
        ...


@contextmanager
def open_writer(path: Path, file_format: FileFormat, schema: Schema) -> Generator[FileWriter]:
    """Yield a writer of a new file, which is complete at the end of the `with`.

    Raises:
        OSError: The folder is missing, or the disk is full.
        ArrowException: The format cannot hold a type.
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
    """Close the writer of a file that is given up; ignore errors, as its end may not be written."""
    try:
        writer.close()
    except (OSError, pa.ArrowException):
        return


def without_dictionaries(table: Table) -> Table:
    """Return a table with dictionary columns as plain values.

    Dictionary codes would depend on the order in which rows arrive.
    """
    for at, field in enumerate(table.schema):
        column = table.column(at)
        plain = decode_column(column)
        if plain is not column:
            table = table.set_column(at, field.with_type(plain.type), plain)
    return table


def _parquet(sink: Any, schema: Schema) -> FileWriter:
    """Return a Parquet writer: one row group with statistics per table.

    Floats have no dictionary. Trying to build one took four fifths of the time (29 columns of 1M
    rows: 1.6 s; without, 0.32 s), and made the file larger if all values differ.
    """
    short = [field.name for field in schema if not pa.types.is_floating(field.type)]
    return parquet_module().ParquetWriter(sink, schema, use_dictionary=short or False)


def _ipc_file(sink: Any, schema: Schema) -> FileWriter:
    """Return a writer of an uncompressed Arrow IPC file, so that it can be memory-mapped."""
    return pa.ipc.new_file(sink, schema)


def _ipc_stream(sink: Any, schema: Schema) -> FileWriter:
    """Return a writer of an Arrow IPC stream."""
    return pa.ipc.new_stream(sink, schema)


def _csv(sink: Any, schema: Schema) -> FileWriter:
    """Return a CSV writer with a header."""
    return importlib.import_module("pyarrow.csv").CSVWriter(sink, schema)


def _tsv(sink: Any, schema: Schema) -> FileWriter:
    """Return a writer of tab-separated values with a header."""
    csv = importlib.import_module("pyarrow.csv")
    return csv.CSVWriter(sink, schema, write_options=csv.WriteOptions(delimiter="\t"))


_WRITERS: dict[FileFormat, Callable[[Any, Schema], FileWriter]] = {
    "parquet": _parquet,
    "ipc_file": _ipc_file,
    "ipc_stream": _ipc_stream,
    "csv": _csv,
    "tsv": _tsv,
}
