"""Files of a data set, a little at a time: their schemas, and tables of some of their rows.

What is in memory at a time is bounded in bytes, also where a row group is larger than memory.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from fastfeat.errors import FastfeatError, InvalidData
from fastfeat.io.arrow import Schema, Table, pa, parquet_module
from fastfeat.io.sources.addresses import naming
from fastfeat.io.sources.delimited import delimited_schemas, delimited_tables
from fastfeat.io.sources.files import END_OF_STREAM, check_ended
from fastfeat.io.sources.formats import Format
from fastfeat.io.sources.frames import check_unique, rows_only
from fastfeat.io.sources.locations import Located

MOST_ROWS_AT_A_TIME = 1 << 16
"""Rows that are decoded together: more are not faster, and take new memory from the system."""


@dataclass(frozen=True, slots=True)
class FilePart:
    """A file of a data set.

    Args:
        at: where it is.
        format: of it.
        schema: its columns, without those of partitions.
        n_rows: None where only reading tells.
        group_rows: rows of each row group; empty in formats that have none.
        partition: the value of each partition that it is in, an Arrow scalar.
    """

    at: Located
    format: Format
    schema: Schema
    n_rows: int | None
    group_rows: tuple[int, ...]
    partition: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @property
    def name(self) -> str:
        """Its name, for messages."""
        return self.at.name

    @property
    def identity(self) -> list[tuple[str, int, int | None]]:
        """Its name, bytes and time of writing."""
        return [(self.at.name, self.at.n_bytes, self.at.changed_ns)]

    @property
    def all_columns(self) -> Schema:
        """Its columns, those of partitions behind the others."""
        added = [pa.field(name, value.type) for name, value in self.partition.items()]
        return pa.schema([*self.schema, *added])

    def tables(
        self, columns: Sequence[str], most_bytes: Callable[[], int], start: int
    ) -> Iterator[tuple[int, Table]]:
        """Yield its rows in tables, each with the number of its first row.

        A record batch of Arrow IPC comes whole, however large it is.

        Args:
            columns: which are decoded; it has them all.
            most_bytes: gives those of a table, about.
            start: a row before which row groups are left out.

        Raises:
            InvalidData: the file is damaged, or was written anew; it names the file.
        """
        decoded = [name for name in columns if name not in self.partition]
        check_unique(self.schema.names, decoded)
        with naming(self.name, self.at.filesystem):
            self.at.check_unchanged()
            for row, table in _TABLES[self.format](self, decoded, most_bytes, start):
                yield row, self._with_partition(table, columns)
            self.at.check_unchanged()

    def bytes_of_reader(self, columns: Sequence[str]) -> int:
        """Return about how many bytes a reader holds of columns of the largest row group.

        A reader of Parquet has of each column a buffer, a dictionary and a page.
        """
        decoded = {name for name in columns if name not in self.partition}
        if self.format != "parquet" or len(decoded) < _FEW_COLUMNS or not self.group_rows:
            return 0
        number = max(range(len(self.group_rows)), key=self.group_rows.__getitem__)
        with naming(self.name, self.at.filesystem), _opened_parquet(self.at) as file:
            group = file.metadata.row_group(number)
            chunks = map(group.column, range(group.num_columns))
            return sum(
                _bytes_of_chunk(chunk)
                for chunk in chunks
                if chunk.path_in_schema.partition(".")[0] in decoded
            )

    def _with_partition(self, table: Table, columns: Sequence[str]) -> Table:
        if len(columns) == table.num_columns:
            return table
        n_rows = table.num_rows
        for name, value in self.partition.items():
            if name in columns:
                table = table.append_column(name, pa.repeat(value, n_rows))
        return table.select(list(columns))


def file_part(at: Located, file_format: Format) -> FilePart:
    """Return a file, of a format with types, by what its head or its foot says.

    Raises:
        InvalidData: it is damaged, or has no columns; it names the file.
    """
    with naming(at.name, at.filesystem):
        schema, group_rows = _HEADS[file_format](at)
    if len(schema) == 0:
        raise InvalidData(f"{at.name}: the file has no columns")
    n_rows = sum(group_rows) if file_format == "parquet" else None
    return FilePart(at, file_format, schema.remove_metadata(), n_rows, group_rows)


def delimited_parts(
    files: Sequence[Located], file_format: Format
) -> tuple[list[FilePart], dict[str, FastfeatError]]:
    """Return delimited files, which are read for their types, and columns that have an error.

    Raises:
        InvalidData: one is damaged, or has no columns; it is named.
    """
    found, refused = delimited_schemas(files, file_format)
    parts = [
        FilePart(at, file_format, schema, n_rows, ())
        for at, (schema, n_rows) in zip(files, found, strict=True)
    ]
    return parts, refused


def _parquet_head(at: Located) -> tuple[Schema, tuple[int, ...]]:
    with _opened_parquet(at) as file:
        foot = file.metadata
        rows = (foot.row_group(group).num_rows for group in range(foot.num_row_groups))
        return file.schema_arrow, tuple(rows)


def _ipc_file_head(at: Located) -> tuple[Schema, tuple[int, ...]]:
    with at.filesystem.open_input_file(at.path) as source, pa.ipc.open_file(source) as reader:
        return reader.schema, ()


def _ipc_stream_head(at: Located) -> tuple[Schema, tuple[int, ...]]:
    with at.filesystem.open_input_file(at.path) as source:
        start = source.read(len(END_OF_STREAM))
        source.seek(max(0, at.n_bytes - len(END_OF_STREAM)))
        check_ended(start, source.read())
    with at.filesystem.open_input_stream(at.path) as source, pa.ipc.open_stream(source) as reader:
        return reader.schema, ()


@contextmanager
def _opened_parquet(at: Located) -> Generator[Any]:
    # pages are read through a buffer: otherwise whole chunks of columns would be in memory
    buffer_size = _LOCAL_BUFFER if at.is_local else _REMOTE_BUFFER
    with (
        at.filesystem.open_input_file(at.path) as source,
        parquet_module().ParquetFile(source, buffer_size=buffer_size, pre_buffer=False) as file,
    ):
        yield file


def _bytes_of_chunk(chunk: Any) -> int:
    """Return about how many bytes a reader holds of a column of a row group.

    By 20,000 rows of float64 it held 447 KiB, where the dictionary is 160 KB, and of 400,000 rows
    2.5 MiB, where it is 1 MiB. Of small integers it held 0.2 MiB.
    """
    whole, stored = chunk.total_uncompressed_size, chunk.total_compressed_size
    of_dictionary = 0
    if chunk.has_dictionary_page and chunk.dictionary_page_offset is not None:
        stored_dictionary = chunk.data_page_offset - chunk.dictionary_page_offset
        of_dictionary = min(whole, stored_dictionary * whole // max(1, stored))
    page = min(whole - of_dictionary, _PAGE)
    return min(stored, _LOCAL_BUFFER) + _OF_DICTIONARY * of_dictionary // 4 + page


def _parquet_tables(
    part: FilePart, wanted: list[str], most_bytes: Callable[[], int], start: int
) -> Iterator[tuple[int, Table]]:
    first = 0
    with _opened_parquet(part.at) as file:
        row_bytes = _row_bytes(file, part.schema, wanted)
        for group, n_rows in enumerate(part.group_rows):
            row, first = first, first + n_rows
            if first <= start:
                continue
            if not wanted:
                yield row, rows_only(n_rows)
                continue
            n_at_a_time = _rows_within(most_bytes(), row_bytes)
            for batch in file.iter_batches(n_at_a_time, row_groups=[group], columns=wanted):
                # a name with a dot may bring its namesake inside a struct along
                table = pa.Table.from_batches([batch]).select(wanted)
                row_bytes = table.nbytes / max(1, len(batch))
                yield row, table
                row += len(batch)


def _row_bytes(file: Any, schema: Schema, wanted: Sequence[str]) -> float:
    """Return the memory that a row takes: by the types, or by the first rows if there is text."""
    types = [schema.field(name).type for name in wanted]
    if all(pa.types.is_primitive(dtype) for dtype in types):
        return sum(dtype.bit_width + 1 for dtype in types) / 8
    if file.metadata.num_rows <= _FIRST_ROWS:
        return 0.0
    for batch in file.iter_batches(_FIRST_ROWS, columns=wanted):
        return batch.nbytes / max(1, len(batch))
    return 0.0


def _rows_within(most_bytes: int, row_bytes: float) -> int:
    """Return how many rows are decoded together: a quarter of the bytes, for rows may grow."""
    within = most_bytes / 4 / row_bytes if row_bytes else MOST_ROWS_AT_A_TIME
    return min(MOST_ROWS_AT_A_TIME, max(1, int(within)))


def _ipc_file_tables(
    part: FilePart, wanted: list[str], most_bytes: Callable[[], int], start: int
) -> Iterator[tuple[int, Table]]:
    with (
        part.at.filesystem.open_input_file(part.at.path) as source,
        pa.ipc.open_file(source, options=_included(part, wanted)) as reader,
    ):
        batches = (reader.get_batch(number) for number in range(reader.num_record_batches))
        yield from _of_batches(batches, wanted)


def _ipc_stream_tables(
    part: FilePart, wanted: list[str], most_bytes: Callable[[], int], start: int
) -> Iterator[tuple[int, Table]]:
    with (
        part.at.filesystem.open_input_stream(part.at.path) as source,
        pa.ipc.open_stream(source, options=_included(part, wanted)) as reader,
    ):
        yield from _of_batches(reader, wanted)


def _included(part: FilePart, wanted: Sequence[str]) -> Any:
    """Return options of Arrow IPC by which the wanted columns alone are read."""
    places = [part.schema.get_field_index(name) for name in wanted]
    return pa.ipc.IpcReadOptions(included_fields=places or [0])  # none would mean all


def _of_batches(batches: Any, wanted: list[str]) -> Iterator[tuple[int, Table]]:
    row = 0
    for batch in batches:
        table = pa.Table.from_batches([batch])
        yield row, table.select(wanted) if wanted else rows_only(len(batch))
        row += len(batch)


def _delimited_tables(
    part: FilePart, wanted: list[str], most_bytes: Callable[[], int], start: int
) -> Iterator[tuple[int, Table]]:
    row = 0
    for table in delimited_tables(part.at, part.format, part.schema, wanted, most_bytes()):
        yield row, table
        row += table.num_rows


_LOCAL_BUFFER = 1 << 16
_REMOTE_BUFFER = 1 << 23
_FIRST_ROWS = 1 << 10
_FEW_COLUMNS = 16
"""Of fewer a reader holds at most 40 MiB, which is room that each budget leaves for rows."""
_OF_DICTIONARY = 9
"""Quarters of the bytes of a dictionary: as it is stored, and as it is decoded."""
_PAGE = 1 << 18
_Tables = Callable[[FilePart, list[str], Callable[[], int], int], Iterator[tuple[int, Table]]]
_TABLES: dict[Format, _Tables] = {
    "parquet": _parquet_tables,
    "ipc_file": _ipc_file_tables,
    "ipc_stream": _ipc_stream_tables,
    "csv": _delimited_tables,
    "tsv": _delimited_tables,
}
_HEADS: dict[Format, Callable[[Located], tuple[Schema, tuple[int, ...]]]] = {
    "parquet": _parquet_head,
    "ipc_file": _ipc_file_head,
    "ipc_stream": _ipc_stream_head,
}
