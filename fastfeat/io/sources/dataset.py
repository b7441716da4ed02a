"""Data sets: rows that may exceed memory, in parts that are read one after another.

A part is a file, a table, or a function that opens its rows again on each call. Creating a data set
reads only the metadata of files. CSV has none, so it is read completely.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import field, replace
from itertools import chain
from pathlib import Path
from typing import Any, cast

from fastfeat_kernels.records import dataclass

from fastfeat.errors import FastfeatError, InvalidData, TypeMismatch, UnknownColumn, counted
from fastfeat.io.arrow import Array, Schema, pa, schema_within
from fastfeat.io.columns.types import column_text, row_bytes
from fastfeat.io.sources.addresses import with_file_in_errors
from fastfeat.io.sources.file_parts import FilePart, delimited_parts, file_part
from fastfeat.io.sources.formats import SUFFIXES, FileFormat, format_of_bytes, format_of_name
from fastfeat.io.sources.frames import class_names
from fastfeat.io.sources.locations import (
    FileLocation,
    check_once,
    file_at,
    hint_of_folders,
    locate_files,
    partition_columns,
)
from fastfeat.io.sources.parts import DatasetPart, OpenedPart, TablePart, common_columns
from fastfeat.io.sources.scratch import Scratch
from fastfeat.io.sources.tables import check_unread, note_read, select, table_in_memory


@dataclass(frozen=True, slots=True)
class Dataset:
    """Rows in parts, numbered across all parts.

    Args:
        schema: Columns that every part has; each type holds the values of all parts.
        parts: Parts in row order.
        column_errors: By name, the error to raise if a column that not all parts have is read.
        is_one_shot: Whether it can be read only once.
        scratch: Decoded columns on disk; None if there is no scratch copy.
    """

    schema: Schema
    parts: tuple[DatasetPart, ...]
    column_errors: Mapping[str, FastfeatError] = field(default_factory=dict[str, FastfeatError])
    is_one_shot: bool = False
    scratch: Scratch | None = None

    @property
    def n_rows(self) -> int | None:
        """The number of rows; None if it is unknown before reading."""
        total = 0
        for part in self.parts:
            if part.n_rows is None:
                return None
            total += part.n_rows
        return total

    @property
    def identity(self) -> list[tuple[str, int, int | None]] | None:
        """Name, bytes and modification time in ns of each file; None unless all parts are files."""
        found: list[tuple[str, int, int | None]] = []
        for part in self.parts:
            if part.identity is None:
                return None
            found += part.identity
        return found

    def bytes_of(self, columns: Sequence[str]) -> int:
        """Return the approximate bytes of columns of files in memory; unknown columns take 0."""
        read = schema_within(self.schema, columns)
        width = row_bytes(read, _TEXT_BYTES) + len(read) / 8
        return sum(
            part.at.n_bytes if part.n_rows is None else int(part.n_rows * width)
            for part in self.parts
            if isinstance(part, FilePart)
        )

    def bytes_of_reader(self, columns: Sequence[str]) -> int:
        """Return the approximate bytes that a file reader holds in addition to the rows it returns.

        Unknown columns count as 0.
        """
        parts = (part for part in self.parts if isinstance(part, FilePart) and part.group_rows)
        largest = max(parts, key=lambda part: max(part.group_rows), default=None)
        there = [name for name in columns if name in self.schema.names]
        return 0 if largest is None else largest.bytes_of_reader(there)

    def check(self, columns: Sequence[str]) -> None:
        """Raise the error of the first column that differs between parts.

        Raises:
            TypeMismatch: No type holds the values of both.
            UnknownColumn: A part lacks a column that another part has.
        """
        for name in columns:
            if name in self.column_errors:
                error = self.column_errors[name]
                raise type(error)(*error.args)

    def check_unchanged(self) -> None:
        """Raise InvalidData if a local file has changed since it was found; the error names it."""
        for part in self.parts:
            if isinstance(part, FilePart) and part.at.is_local:
                part.at.check_unchanged()

    @property
    def n_readings_to_pay_off(self) -> int | None:
        """The number of further readings from which a scratch copy pays off; None if it never does.

        Writing a copy takes about half as long as decoding Parquet; parsing text takes longer.
        """
        match self.parts[0]:
            case TablePart():
                return None
            case FilePart(format="ipc_file" | "ipc_stream", at=at) if at.is_local:
                return None
            case FilePart(format="parquet", at=at) if at.is_local:
                return 2
            case _:
                return 1

    def check_folders(self, columns: Sequence[str]) -> None:
        """Raise UnknownColumn if a missing column is named by a partition folder above the files.

        The error says which path to pass instead.
        """
        for name in columns:
            if name in self.schema.names or name in self.column_errors:
                continue
            files = (part.name for part in self.parts if isinstance(part, FilePart))
            hint = hint_of_folders(name, files)
            if hint:
                raise UnknownColumn(
                    f"the data lacks the column {name!r}, which the plan reads.{hint}"
                )

    def check_passes(self, n_passes: int) -> None:
        """Raise InvalidData if data that can be read once would be read `n_passes` times."""
        if self.is_one_shot and n_passes > 1:
            raise InvalidData(
                f"{self.parts[0].name} can be read once, but its rows are needed "
                f"{counted(n_passes, 'time')}. Pass files, or a function that opens it each time, "
                "such as lambda: open_reader()"
            )


def dataset_of(data: Any) -> Dataset:
    """Return data as a data set.

    Args:
        data: A path, a folder (files by name; hive partitions are columns), a pattern such as
            `logs/*.parquet`, an address such as `s3://bucket/logs`, or a list of any of these, in
            its order; a pyarrow Dataset; a function without arguments that opens a reader of
            record batches, or returns an iterable of tables; a RecordBatchReader or an iterator
            of tables, which is read once; or a table of any kind that `read_table` takes.

    Raises:
        InvalidData: A file does not exist, is damaged, has no columns, or is named twice.
        TypeMismatch: The data is of another kind.

    Example:
        >>> dataset_of({"x": [1.0, 2.0]}).n_rows
        2
    """
    match data:
        case Dataset():
            return data
        case str() | os.PathLike():
            return _of_files(locate_files(cast("str", data)))
        case [*paths] if paths and all(isinstance(path, str | os.PathLike) for path in paths):
            return _of_files([file for path in paths for file in locate_files(path)])
        case pa.RecordBatchReader() | Iterator():
            return _of_once(data)
        case _ if callable(data):
            first = _first_schema(_opened(data), "the function")
            return _of_parts([OpenedPart("the function", first, lambda columns: _opened(data))])
        case _ if "pyarrow.Dataset" in class_names(data):
            return _of_arrow(data)
        case _:
            return _of_parts([TablePart(select(table_in_memory(data), None))])


def bytes_on_disk(paths: Any) -> int:
    """Return the total bytes of the files of a path, folder, pattern or address, or a list of them.

    Raises:
        InvalidData: A file does not exist.
    """
    each = [cast("str", paths)] if isinstance(paths, str | os.PathLike) else paths
    return sum(file.n_bytes for path in each for file in locate_files(path))


def _opened(make: Any) -> Iterator[Any]:
    """Return an iterator over the tables that a user's function gives.

    Raises:
        TypeMismatch: It returns something else, or takes arguments.
    """
    try:
        opened = make()
    except TypeError as error:
        raise TypeMismatch(
            f"{type(make).__name__} as data is called without arguments and must return a reader "
            f"or an iterable of tables: {error}"
        ) from error
    if hasattr(opened, "__arrow_c_stream__"):
        return pa.RecordBatchReader.from_stream(opened)
    if isinstance(opened, Mapping | str) or not hasattr(opened, "__iter__"):
        raise TypeMismatch(
            f"the function returned {type(cast('object', opened)).__name__}. It must return a "
            "RecordBatchReader, or an iterable of tables"
        )
    return iter(opened)


def _first_schema(tables: Iterator[Any], name: str) -> Schema:
    """Return the schema of a reader, or of the first table."""
    known: Any = getattr(tables, "schema", None)
    if isinstance(known, pa.Schema):
        return known
    for table in tables:
        return select(table_in_memory(table), None).schema
    raise InvalidData(f"{name} returned no table, so its columns are unknown")


def _partition_keys(expression: Any) -> dict[str, Any]:
    """Return the partition values of a fragment of a pyarrow Dataset."""
    return importlib.import_module("pyarrow.dataset").get_partition_keys(expression)


def _of_once(reader: Any) -> Dataset:
    """Return a data set of a reader or an iterator, which can be read once."""
    name = f"a {type(reader).__name__}"
    is_reader = isinstance(reader, pa.RecordBatchReader)
    if is_reader:
        check_unread(reader)
    tables = iter(reader)
    if is_reader:
        schema = reader.schema
    else:
        first = next(tables, None)
        if first is None:
            raise InvalidData(f"{name} returned no table, so its columns are unknown")
        schema = select(table_in_memory(first), None).schema
        tables = chain([first], tables)
    unread = [tables]

    def open_once(columns: Sequence[str]) -> Iterator[Any]:
        if not unread:
            raise InvalidData(
                f"{name} can be read once, and was already read. Pass files, or a function that "
                "opens it each time"
            )
        if is_reader:
            note_read(reader)
        return unread.pop()

    parts = (OpenedPart(name, schema, open_once),)
    return Dataset(_of_parts(parts).schema, parts, is_one_shot=True)


def _of_files(files: Sequence[FileLocation]) -> Dataset:
    """Return a data set of files, which must be of one format, with partition columns."""
    check_once(files)
    formats = [_format(file, is_alone=len(files) == 1) for file in files]
    for file, file_format in zip(files, formats, strict=True):
        if file_format != formats[0]:
            raise InvalidData(
                f"{files[0].name} is {formats[0]}, and {file.name} is {file_format}: all files of "
                "a data set must have one format. Pass a pattern for one, such as folder/*.parquet"
            )
    refused: dict[str, FastfeatError] = {}
    if formats[0] in ("csv", "tsv"):
        parts, refused = delimited_parts(files, formats[0])
    else:
        # network files: their heads are requested in parallel
        with ThreadPoolExecutor(1 if files[0].is_local else _MOST_ASKED) as asked:
            parts = _sharing_schemas(asked.map(file_part, files, formats))
    keys = partition_columns(files)
    refused |= _named_twice(parts, keys)
    found = [_in_partition(part, keys, number) for number, part in enumerate(parts)]
    return _of_parts(found, refused)


def _named_twice(parts: Sequence[FilePart], keys: Mapping[str, Array]) -> dict[str, FastfeatError]:
    """Return an error for each column that is both in a file and the name of a folder above it."""
    found: dict[str, FastfeatError] = {}
    for part in parts:
        for name in keys.keys() & set(part.schema.names):
            found.setdefault(
                name,
                InvalidData(
                    f"{column_text(name)}: {part.name} has this column, and is also in a folder "
                    f"{name}=... To read the column, pass only the files, such as "
                    f"sorted(glob.glob({os.path.dirname(part.name) + '/*'!r})). To read the "
                    "folder names, drop the column from the files"
                ),
            )
    return found


def _sharing_schemas(parts: Iterable[FilePart]) -> list[FilePart]:
    """Return the files with equal schemas as one shared object; a million copies take 2 GB."""
    found: list[FilePart] = []
    for part in parts:
        alike = bool(found) and found[-1].schema.equals(part.schema)
        found.append(replace(part, schema=found[-1].schema) if alike else part)
    return found


def _in_partition(part: FilePart, keys: Mapping[str, Array], number: int) -> FilePart:
    """Return the file part with the values of its partition folders as columns.

    A column that the file itself has comes from the file.
    """
    there = set(part.schema.names)
    values = {name: of[number] for name, of in keys.items() if name not in there}
    return replace(part, partition=values) if values else part


def _format(file: FileLocation, *, is_alone: bool) -> FileFormat:
    """Return the format of a file; an empty file is an error."""
    if file.n_bytes == 0:
        raise InvalidData(f"{file.name}: the file is empty")
    named = format_of_name(Path(file.path))
    if named not in (None, "ipc_file", "ipc_stream"):
        return named
    with (
        with_file_in_errors(file.name, file.filesystem),
        file.filesystem.open_input_file(file.path) as opened,
    ):
        seen = format_of_bytes(opened.read(8))
    if seen is None and named is None:
        pattern = "" if is_alone else ". Leave such files out with a pattern: folder/*.parquet"
        raise InvalidData(
            f"{file.name}: neither its suffix nor its first bytes name a format. "
            f"Known suffixes: {', '.join(SUFFIXES)}{pattern}"
        )
    return cast("FileFormat", seen or named)


def _of_arrow(dataset: Any) -> Dataset:
    """Return a data set of a pyarrow Dataset, file by file if it is whole Parquet files."""
    schema = dataset.schema.remove_metadata()
    if len(schema) == 0:
        raise InvalidData("the dataset has no columns")
    found = _of_parquet(dataset)
    if found is not None and found.schema.equals(schema):
        return found

    def batches(columns: Sequence[str]) -> Iterator[Any]:
        scanner = dataset.scanner(columns=list(columns), batch_readahead=1, fragment_readahead=1)
        return iter(scanner.to_batches())

    return _of_parts([OpenedPart("the dataset", schema, batches)])


def _of_parquet(dataset: Any) -> Dataset | None:
    """Return a dataset of unfiltered Parquet files, file by file, or None if it is not one."""
    arrow_format = getattr(dataset, "format", None)
    if getattr(arrow_format, "default_extname", None) != "parquet":
        return None
    try:
        fragments = list(dataset.get_fragments())
    except ValueError:  # the dataset is filtered
        return None
    parts: list[FilePart] = []
    for fragment in fragments:
        part = file_part(file_at(dataset.filesystem, fragment.path), "parquet")
        if len(fragment.row_groups) != len(part.group_rows):
            return None
        keys: dict[str, Any] = _partition_keys(fragment.partition_expression)
        typed = {n: pa.scalar(keys[n], dataset.schema.field(n).type) for n in keys}
        parts.append(replace(part, partition=typed))
    return _of_parts(parts) if parts else None


def _of_parts(
    parts: Sequence[DatasetPart], refused: Mapping[str, FastfeatError] | None = None
) -> Dataset:
    """Return a data set of parts; `refused` has the errors of columns that cannot be read."""
    schema, at_odds = common_columns(parts)
    at_odds |= refused or {}
    fields = [field for field in schema if field.name not in at_odds]
    return Dataset(pa.schema(fields), tuple(parts), at_odds)


_MOST_ASKED = 16
_TEXT_BYTES = 32
