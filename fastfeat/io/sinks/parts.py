"""Part files of an output: the features of consecutive rows, in one file or one per partition.

A row group is the unit in which Parquet stores rows. Row groups hold the same rows regardless of
the incoming tables, so files have the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import field
from pathlib import Path
from typing import Any

from fastfeat_kernels.records import dataclass

from fastfeat.io.arrow import Schema, Table, pa
from fastfeat.io.columns.types import row_bytes
from fastfeat.io.sinks import atomic
from fastfeat.io.sinks.file_writers import FileWriter, open_writer
from fastfeat.io.sinks.manifest import WrittenFile
from fastfeat.io.sinks.partitions import split
from fastfeat.io.sources.formats import FileFormat

SUFFIX_OF: dict[FileFormat, str] = {
    "parquet": ".parquet",
    "ipc_file": ".arrow",
    "ipc_stream": ".arrows",
    "csv": ".csv",
    "tsv": ".tsv",
}
_GROUP_BYTES = 32 << 20
_PART_BYTES = 256 << 20
_LEAST_GROUP_ROWS, _MOST_GROUP_ROWS, _MOST_PART_ROWS = 1 << 10, 1 << 17, 1 << 22


def group_rows_of(schema: Schema) -> int:
    """Return the number of rows per row group: about 32 MiB, between 1,024 and 131,072 rows."""
    return _rows_of(schema, _GROUP_BYTES, _LEAST_GROUP_ROWS, _MOST_GROUP_ROWS)


def part_rows_of(schema: Schema) -> int:
    """Return the number of rows per part: about 256 MiB, at most 4,194,304 rows."""
    return _rows_of(schema, _PART_BYTES, group_rows_of(schema), _MOST_PART_ROWS)


def _rows_of(schema: Schema, n_bytes: int, least: int, most: int) -> int:
    """Return a number of rows, a power of two, that take about `n_bytes`."""
    fitting = max(1, n_bytes // row_bytes(schema))
    return min(max(least, 1 << (fitting.bit_length() - 1)), most)


def regroup_rows(tables: Iterable[Table], n_rows: int, part_rows: int) -> Iterator[Table]:
    """Yield the rows of tables in new single-chunk tables of `n_rows` rows, within parts.

    No table holds rows of two parts. The last table of a part, and the last part, may have fewer
    rows.

    Example:
        >>> tables = [pa.table({"x": [1] * n}) for n in (1, 9)]
        >>> [table.num_rows for table in regroup_rows(tables, 3, 4)]
        [3, 1, 3, 1, 2]
    """
    waiting: list[Table] = []
    n_waiting, n_of_part = 0, 0
    for table in tables:
        start = 0
        while start < table.num_rows:
            wanted = min(n_rows, part_rows - n_of_part)
            taken = min(wanted - n_waiting, table.num_rows - start)
            waiting.append(table.slice(start, taken))
            start, n_waiting = start + taken, n_waiting + taken
            if n_waiting == wanted:
                n_of_part, n_waiting = (n_of_part + wanted) % part_rows, 0
                yield _joined(waiting)
    if waiting:
        yield _joined(waiting)


def parts_of(groups: Iterator[Table], part_rows: int) -> Iterator[Iterator[Table]]:
    """Yield for each part an iterator over its tables, which come from `regroup_rows`.

    Consume it before the next part.

    Example:
        >>> groups = regroup_rows([pa.table({"x": [1] * 10})], 3, 4)
        >>> [[group.num_rows for group in part] for part in parts_of(groups, 4)]
        [[3, 1], [3, 1], [2]]
    """
    for first in groups:
        waiting = [first]
        del first
        yield _of_part(waiting, groups, part_rows)


def _of_part(waiting: list[Table], groups: Iterator[Table], part_rows: int) -> Iterator[Table]:
    """Yield the tables of one part; no table is referenced while the next one is computed.

    `waiting` holds the first group, and is emptied. `groups` holds all later ones.
    """
    n_rows = waiting[0].num_rows
    yield waiting.pop()
    while n_rows < part_rows and (group := next(groups, None)) is not None:
        n_rows += group.num_rows
        waiting.append(group)
        del group
        yield waiting.pop()


def _joined(tables: list[Table]) -> Table:
    """Return the tables as one with a single chunk. The list is emptied, to save memory."""
    schema, columns = tables[0].schema, [table.columns for table in tables]
    tables.clear()
    joined: list[Any] = []
    for at, dtype in enumerate(schema.types):
        chunks = [chunk for of in columns for chunk in of[at].chunks]
        for of in columns:
            of[at] = None
        # combining a single chunk would copy it
        joined.append(chunks[0] if len(chunks) == 1 else pa.chunked_array(chunks, dtype))
        if len(chunks) != 1:
            joined[at] = joined[at].combine_chunks()
        del chunks
    return pa.Table.from_arrays(joined, schema=schema)


@dataclass(slots=True)
class _OpenFile:
    """A partition's file that is being written, and rows that wait until they fill a row group.

    Args:
        path: Final path.
        writer: Writer of the file.
        waiting: Rows that are not yet written.
        n_waiting: Number of waiting rows.
        n_rows: Number of all rows so far.
    """

    path: Path
    writer: FileWriter
    waiting: list[Table] = field(default_factory=list[Table])
    n_waiting: int = 0
    n_rows: int = 0

    def write(self) -> None:
        """Write the waiting rows as one row group."""
        if self.waiting:
            self.writer.write_table(_joined(self.waiting))
        self.n_waiting = 0


def write_part(
    file_format: FileFormat,
    folder: Path,
    name: str,
    groups: Iterable[Table],
    partition_by: Sequence[str],
    group_rows: int,
) -> tuple[WrittenFile, ...]:
    """Write the files of a part, sync them to disk, and return them by path.

    Args:
        file_format: Format of the files.
        folder: Output folder.
        name: Name of the files, without suffix.
        groups: Rows in single-chunk groups of `group_rows` rows (the last may be shorter); at least
            one group.
        partition_by: Columns that split the rows into folders.
        group_rows: Rows of a row group.

    Raises:
        OSError: The disk is full.
        ArrowException: The format cannot hold a type.
        InvalidData: A value cannot be part of a folder name.
    """
    opened: dict[str, _OpenFile] = {}
    with ExitStack() as stack:
        for group in groups:
            for part in split(group, partition_by):
                file = opened.get(part.folder)
                if file is None:
                    path = folder / part.folder / (name + SUFFIX_OF[file_format])
                    path.parent.mkdir(parents=True, exist_ok=True)
                    partial = stack.enter_context(atomic.replace_file(path))
                    writer = stack.enter_context(
                        open_writer(partial, file_format, part.rows.schema)
                    )
                    file = opened[part.folder] = _OpenFile(path, writer)
                file.waiting.append(part.rows)
                file.n_waiting += part.rows.num_rows
                file.n_rows += part.rows.num_rows
                del part
            # the rows are written or waiting; do not hold them while the next group is computed
            del group
            _write_full(opened, group_rows)
        for file in opened.values():
            file.write()
    for file in opened.values():
        atomic.sync(file.path)
    for path in {file.path.parent for file in opened.values()}:
        atomic.sync(path)
    return tuple(
        WrittenFile(file.path.relative_to(folder).as_posix(), file.n_rows, file.path.stat().st_size)
        for _, file in sorted(opened.items())
    )


def _write_full(opened: dict[str, _OpenFile], group_rows: int) -> None:
    """Write the waiting rows of files, longest first, until fewer than `group_rows` rows wait."""
    n_waiting = sum(file.n_waiting for file in opened.values())
    for file in sorted(opened.values(), key=lambda file: -file.n_waiting):
        if n_waiting < group_rows:
            return
        n_waiting -= file.n_waiting
        file.write()
