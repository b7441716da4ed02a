"""Single files as Arrow tables: wanted columns of Parquet, Arrow IPC (file or stream) and CSV."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from fastfeat.errors import InvalidData
from fastfeat.io.arrow import RecordBatch, Schema, Table, pa, parquet_module
from fastfeat.io.sources.delimited_values import (
    beyond_int64,
    csv_module,
    empty_texts,
    options_for_empty,
    options_for_texts,
    parse_options,
    whole_types,
    with_empty_text,
)
from fastfeat.io.sources.formats import SUFFIXES, FileFormat, format_of_bytes, format_of_name
from fastfeat.io.sources.frames import check_unique, rows_only
from fastfeat.io.sources.locations import no_file


def read_file(path: Path, columns: Sequence[str] | None) -> Table:
    """Return a file as a table; its suffix, or else its first bytes, give the format.

    An Arrow file is memory-mapped. In CSV an empty field is missing; a quoted empty field (`""`) is
    an empty string in text columns, and missing in others. Whole numbers are int64, or uint64 if
    they do not fit. None for `columns` reads all; names that the file lacks are left out.

    Raises:
        InvalidData: The file is missing or damaged, has another format, or has no columns.
    """
    read = _READERS[_format(path)]
    try:
        return read(path, columns)
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        if isinstance(error, InvalidData):
            raise
        raise InvalidData(f"{path}: cannot be read: {reword_long_row(error)}") from error


def file_schema(path: Path) -> Schema:
    """Return the Arrow schema of a file from its header; CSV types are inferred from its start.

    Raises:
        InvalidData: The file is missing or damaged, or has another format.
    """
    schema = _SCHEMAS[_format(path)]
    try:
        return schema(path)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise InvalidData(f"{path}: cannot be read: {reword_long_row(error)}") from error


def _format(path: Path) -> FileFormat:
    """Return the format of a file; raises InvalidData if it is missing or empty."""
    if os.path.exists(path) and not (os.path.isfile(path) or os.path.isdir(path)):
        raise no_file(str(path))  # opening a pipe may block forever
    try:
        with path.open("rb") as file:
            start = file.read(8)
    except FileNotFoundError as error:
        raise InvalidData(f"no such file: {path}") from error
    except (OSError, ValueError) as error:
        raise InvalidData(f"{path}: cannot be read: {error}") from error
    if not start:
        raise InvalidData(f"{path}: the file is empty")
    named, seen = format_of_name(path), format_of_bytes(start)
    if named in (None, "ipc_file", "ipc_stream") and seen is not None:
        return seen
    if named is None:
        raise InvalidData(
            f"{path}: neither its suffix nor its first bytes name a format. "
            f"Known suffixes: {', '.join(SUFFIXES)}"
        )
    return named


def _wanted(names: Sequence[str], columns: Sequence[str] | None, path: Path) -> list[str]:
    """Return the wanted columns that a file has, each once; all columns for None."""
    if not names:
        raise InvalidData(f"{path}: the file has no columns")
    wanted = list(names) if columns is None else [name for name in columns if name in set(names)]
    check_unique(names, wanted)
    return wanted


def _read_parquet(path: Path, columns: Sequence[str] | None) -> Table:
    """Return the wanted columns of a Parquet file."""
    parquet = parquet_module()
    with parquet.ParquetFile(path) as file:
        wanted = _wanted(file.schema_arrow.names, columns, path)
        if not wanted:
            return rows_only(file.metadata.num_rows)
        # A name with a dot may also select a field of the same name inside a struct.
        return file.read(columns=wanted).select(wanted)


def _read_ipc_file(path: Path, columns: Sequence[str] | None) -> Table:
    """Return the wanted columns of an Arrow IPC file, memory-mapped."""
    reader = pa.ipc.open_file(pa.memory_map(str(path)))
    wanted = _wanted(reader.schema.names, columns, path)
    # IpcReadOptions(included_fields=) would copy data that can be mapped.
    batches = (reader.get_batch(at) for at in range(reader.num_record_batches))
    return _of_batches(batches, wanted, reader.schema)


def _read_ipc_stream(path: Path, columns: Sequence[str] | None) -> Table:
    """Return the wanted columns of an Arrow IPC stream, memory-mapped."""
    source = pa.memory_map(str(path))
    n_end = min(source.size(), len(END_OF_STREAM))
    check_ended(source.read_at(n_end, 0), source.read_at(n_end, source.size() - n_end))
    reader = pa.ipc.open_stream(source)
    wanted = _wanted(reader.schema.names, columns, path)
    return _of_batches(reader, wanted, reader.schema)


def check_ended(start: bytes, end: bytes) -> None:
    """Raise OSError if an Arrow IPC stream has no end marker: record batches may be missing.

    `start` and `end` are its first and last bytes. Streams from before Arrow 0.15, and compressed
    ones, start differently and are not checked.
    """
    if start[:4] == END_OF_STREAM[:4] and end[-8:] != END_OF_STREAM:
        raise OSError(
            "the stream has no end: it was cut off, or its writer was not closed. Write it again"
        )


END_OF_STREAM = b"\xff\xff\xff\xff\0\0\0\0"
"""The last bytes of a complete Arrow IPC stream."""


def _of_batches(batches: Iterable[RecordBatch], wanted: list[str], schema: Schema) -> Table:
    """Return the wanted columns of record batches; the others are freed batch by batch."""
    if not wanted:
        return rows_only(sum(batch.num_rows for batch in batches))
    names: list[str] = schema.names
    places = [names.index(name) for name in wanted]
    kept = [batch.select(places) for batch in batches]
    return pa.Table.from_batches(kept, pa.schema([schema.field(place) for place in places]))


def _read_csv(path: Path, columns: Sequence[str] | None) -> Table:
    """Return the wanted columns of a CSV file with a header."""
    return _read_delimited(path, columns, ",")


def _read_tsv(path: Path, columns: Sequence[str] | None) -> Table:
    """Return the wanted columns of a tab-separated file with a header."""
    return _read_delimited(path, columns, "\t")


def _read_delimited(path: Path, columns: Sequence[str] | None, delimiter: str) -> Table:
    """Return the wanted columns of a delimited file with a header."""
    parse, names = parse_options(delimiter), _head(path, delimiter).names
    wanted = _wanted(names, columns, path)

    def read(convert: Any) -> Table:
        return csv_module().read_csv(path, parse_options=parse, convert_options=convert)

    # An empty list would include all columns; one is needed to count the rows.
    included = wanted or names[:1]
    table = read(csv_module().ConvertOptions(include_columns=included))
    if beyond := sorted(beyond_int64(table)):
        types = whole_types(beyond, [read(options_for_texts(beyond))])
        for error in types.values():
            if isinstance(error, InvalidData):
                raise type(error)(f"{path}: {error}")
        if types:
            convert = csv_module().ConvertOptions(include_columns=included, column_types=types)
            table = read(convert)
    if empty := empty_texts(table):
        table = with_empty_text(table, read(options_for_empty(empty)))
    return table.select(wanted)


def reword_long_row(error: Exception) -> Exception:
    """Return a pyarrow error, reworded if it is about a row longer than a block."""
    if "straddl" not in str(error):
        return error
    return ValueError("a row is longer than one block of the file: is a closing quote missing?")


def _head(path: Path, delimiter: str) -> Schema:
    """Return the schema of the first block of a delimited file."""
    with csv_module().open_csv(path, parse_options=parse_options(delimiter)) as header:
        return header.schema


def _parquet_schema(path: Path) -> Schema:
    """Return the schema of a Parquet file."""
    parquet = parquet_module()
    return parquet.read_schema(path)


_READERS: dict[FileFormat, Callable[[Path, Sequence[str] | None], Table]] = {
    "parquet": _read_parquet,
    "ipc_file": _read_ipc_file,
    "ipc_stream": _read_ipc_stream,
    "csv": _read_csv,
    "tsv": _read_tsv,
}
_SCHEMAS: dict[FileFormat, Callable[[Path], Schema]] = {
    "parquet": _parquet_schema,
    "ipc_file": lambda path: pa.ipc.open_file(pa.memory_map(str(path))).schema,
    "ipc_stream": lambda path: pa.ipc.open_stream(pa.memory_map(str(path))).schema,
    "csv": lambda path: _head(path, ","),
    "tsv": lambda path: _head(path, "\t"),
}
