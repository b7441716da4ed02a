"""Data in pieces, which are read in each epoch.

A piece is a part of a table, a row group of a Parquet file, or a batch of a reader; it is read and
transformed at once. Each epoch must read the same pieces, which is checked: a file that was
rewritten, or a reader that returns other batches, is an error.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol, cast

from fastfeat_kernels.records import dataclass

from fastfeat.errors import InvalidData, TypeMismatch, UnknownColumn, counted, shortened
from fastfeat.io.arrow import Table, pa, parquet_module
from fastfeat.io.sources.formats import format_of_name
from fastfeat.io.sources.frames import check_unique
from fastfeat.io.sources.locations import FileLocation, check_once, file_at, locate_files
from fastfeat.io.sources.read import is_one_file, read_table
from fastfeat.io.sources.tables import select

ReadPiece = Callable[[int], Table]
"""`(number) -> rows` of a piece."""
_SAMPLE = 64
_ONCE = (
    "can be read once, but each epoch reads the rows again. Pass a function that opens it each "
    "time, such as lambda: open_reader(), or the rows as a table"
)


class DataPieces(Protocol):
    """Data that can be read piece by piece, anew in each epoch."""

    @property
    def sizes(self) -> tuple[int, ...]:
        """The number of rows of each piece."""
        ...

    @property
    def is_in_turn(self) -> bool:
        """Whether pieces can only be read one after another."""
        ...

    def reader(self, columns: Sequence[str]) -> ReadPiece:
        """Return a function that reads a piece by its number, for one pass over the data.

        The piece has those of the given columns that exist.
        """
        ...

    def digest(self) -> str:
        """Return a hash of the data, so that an epoch is not resumed with other data."""
        ...


@dataclass(frozen=True, slots=True)
class TablePieces:
    """Pieces of a table in memory, of `piece_rows` rows each."""

    table: Table
    piece_rows: int

    @property
    def sizes(self) -> tuple[int, ...]:
        """The number of rows of each piece."""
        n_whole, rest = divmod(self.table.num_rows, self.piece_rows)
        return (*[self.piece_rows] * n_whole, *([rest] if rest else []))

    @property
    def is_in_turn(self) -> bool:
        """False: pieces can be read in any order."""
        return False

    def reader(self, columns: Sequence[str]) -> ReadPiece:
        """Return a function that returns a slice of the table, without a copy."""
        chosen = select(self.table, columns)
        return lambda piece: chosen.slice(piece * self.piece_rows, self.piece_rows)

    def digest(self) -> str:
        """Return a hash of the schema and of evenly spaced rows."""
        return _digest([_sampled(self.table)])


@dataclass(frozen=True, slots=True)
class ParquetPieces:
    """Pieces that are row groups of Parquet files.

    Args:
        files: The files, in order.
        groups: The file and the row group number of each piece.
        sizes: The number of rows of each piece.
    """

    files: tuple[FileLocation, ...]
    groups: tuple[tuple[FileLocation, int], ...]
    sizes: tuple[int, ...]

    @property
    def is_in_turn(self) -> bool:
        """False: pieces can be read in any order."""
        return False

    def reader(self, columns: Sequence[str]) -> ReadPiece:
        """Return a function that reads a row group; it uses the calling thread only."""

        def read(piece: int) -> Table:
            file, group = self.groups[piece]
            try:
                return _row_group(file, group, columns)
            except (pa.ArrowException, OSError) as error:
                raise InvalidData(
                    f"{file.name}: row group {group} cannot be read: {error}"
                ) from error

        return _remembering(read)

    def digest(self) -> str:
        """Return a hash of the footers of all files: schemas, sizes, offsets and statistics."""
        return _digest(map(_footer_bytes, self.files))

    def check(self, columns: Sequence[str]) -> None:
        """Raise `UnknownColumn`, with the name of the file, if a file lacks a column."""
        for file in self.files:
            there = set(_footer(file).schema.to_arrow_schema().names)
            lacking = [name for name in columns if name not in there]
            if lacking:
                raise UnknownColumn(f"{file.name} lacks {shortened(lacking)}, which the plan reads")


@dataclass(frozen=True, slots=True)
class BatchPieces:
    """Pieces that a user's function yields: it opens a reader, or returns tables, at each call.

    Args:
        make: The function.
        sizes: The number of rows of each piece, counted in a first pass.
    """

    make: Callable[[], Iterable[Any]]
    sizes: tuple[int, ...]

    @property
    def is_in_turn(self) -> bool:
        """True: pieces can only be read one after another."""
        return True

    def reader(self, columns: Sequence[str]) -> ReadPiece:
        """Return a function that reads a piece; to go back, it opens the reader again."""
        opened: Iterator[Any] = iter(())
        following = len(self.sizes)

        def read(piece: int) -> Table:
            nonlocal opened, following
            if piece < following:
                opened, following = iter(self.make()), 0
            batch: Any = None
            while following <= piece:
                batch = next(opened, None)
                if batch is None:
                    raise InvalidData(self._ended(following))
                following += 1
            table = read_table(batch, columns)
            if table.num_rows != self.sizes[piece]:
                raise InvalidData(
                    f"the reader's piece {piece} had {counted(self.sizes[piece], 'row')} at first, "
                    f"but has {table.num_rows:,} now. It must return the same rows each time"
                )
            return table

        return _remembering(read)

    def digest(self) -> str:
        """Return a hash of the pieces' sizes, and of rows of the first piece."""
        first = next(iter(self.make()), None)
        sample = b"" if first is None else _sampled(read_table(first))
        return _digest([str(self.sizes).encode(), sample])

    def _ended(self, n: int) -> str:
        told = f"the reader had {counted(len(self.sizes), 'piece')} at first, but {n:,} now"
        once = ": it was already read. The function must open a new one each time" if n == 0 else ""
        return f"{told}{once}"


def pieces_of(data: Any, columns: Sequence[str], piece_rows: int) -> DataPieces:
    """Return the user's data as pieces, which can be read in each epoch.

    Data is a table in memory, in any form that `fit` takes; Parquet files (a path, several, a
    folder, a pattern or an address); or a function without arguments that opens a reader of record
    batches, or returns tables one after another. A file that is not Parquet is read into memory. A
    table is cut into pieces of `piece_rows` rows, with those `columns` that it has.

    Raises:
        TypeMismatch: A reader that can only be read once, or an object that is not a table.
        InvalidData: A file that is absent or damaged, or a folder without Parquet files.
    """
    match data:
        case str() | os.PathLike():
            path = cast("str", data)
            if not is_one_file(path):
                return parquet_pieces([path])
            if format_of_name(Path(path)) in (None, "parquet") and _is_parquet(Path(path)):
                return parquet_pieces([path])
        case [*paths] if paths and all(isinstance(path, str | os.PathLike) for path in paths):
            return parquet_pieces(paths)
        case pa.RecordBatchReader():
            raise TypeMismatch(f"a RecordBatchReader {_ONCE}")
        case _ if callable(data):
            make = cast("Callable[[], Iterable[Any]]", data)
            return BatchPieces(make, tuple(read_table(batch).num_rows for batch in make()))
        case Iterator():
            raise TypeMismatch(f"a {type(cast('object', data)).__name__} {_ONCE}")
        case _:
            pass
    return TablePieces(read_table(data, columns), piece_rows)


def parquet_pieces(paths: Sequence[str | os.PathLike[str]]) -> ParquetPieces:
    """Return the non-empty row groups of Parquet files as pieces.

    Paths may be files, folders, patterns and addresses.

    Raises:
        InvalidData: A file is absent, damaged, not Parquet, or given twice.
    """
    files = tuple(file for path in paths for file in locate_files(path, ".parquet"))
    check_once(files)
    groups: list[tuple[FileLocation, int]] = []
    sizes: list[int] = []
    for file in files:
        footer = _footer(file)
        for group in range(footer.num_row_groups):
            n_rows = footer.row_group(group).num_rows
            if n_rows:
                groups.append((file, group))
                sizes.append(n_rows)
    return ParquetPieces(files, tuple(groups), tuple(sizes))


def _is_parquet(path: Path) -> bool:
    """Return whether a file begins like Parquet; False if it cannot be opened.

    A file that cannot be opened is reported later, when it is read.
    """
    try:
        with path.open("rb") as file:
            return file.read(4) == b"PAR1"
    except OSError:
        return False


def _row_group(file: FileLocation, group: int, columns: Sequence[str]) -> Table:
    """Return a row group as a table with the given columns, as far as they exist."""
    now = file_at(file.filesystem, file.path)
    if (now.n_bytes, now.changed_ns) != (file.n_bytes, file.changed_ns):
        raise InvalidData(
            f"{file.name} was rewritten after it was first read. Create the data set again, which "
            "gives its rows a new order"
        )
    parquet = parquet_module()
    # Arrow's own threads do not outlive a fork, and workers have one core each.
    with (
        file.filesystem.open_input_file(file.path) as source,
        parquet.ParquetFile(source, metadata=_footer(file), pre_buffer=False) as opened,
    ):
        there: list[str] = opened.schema_arrow.names
        wanted = [name for name in columns if name in set(there)]
        check_unique(there, wanted)
        table = opened.read_row_group(group, columns=wanted or there[:1], use_threads=False)
    return table.select(wanted or there[:1])


@lru_cache(maxsize=256)
def _footer(file: FileLocation) -> Any:
    """Return pyarrow's metadata of a Parquet file."""
    parquet = parquet_module()
    try:
        with file.filesystem.open_input_file(file.path) as source:
            return parquet.read_metadata(source)
    except (pa.ArrowException, OSError) as error:
        raise InvalidData(f"{file.name}: cannot be read as Parquet: {error}") from error


def _footer_bytes(file: FileLocation) -> bytes:
    """Return the raw footer of a Parquet file; the file ends with its length."""
    with file.filesystem.open_input_file(file.path) as opened:
        opened.seek(-8, os.SEEK_END)
        n_bytes = int.from_bytes(opened.read(4), "little")
        opened.seek(-8 - n_bytes, os.SEEK_END)
        return opened.read(n_bytes)


def _remembering(read: ReadPiece) -> ReadPiece:
    """Return a reader that keeps the last piece, in case it is requested again."""
    return lru_cache(maxsize=1)(read)


def _sampled(table: Table) -> bytes:
    """Return bytes that differ between tables: schema, number of rows, and values of some rows."""
    n = table.num_rows
    rows = sorted({k * (n - 1) // (_SAMPLE - 1) for k in range(_SAMPLE)}) if n else []
    # `take` of a chunked column of text may overflow its offsets: rows one by one
    values = [table.slice(row, 1).to_pydict() for row in rows]
    return ascii((str(table.schema.remove_metadata()), n, values)).encode()


def _digest(parts: Iterable[bytes]) -> str:
    found = hashlib.sha256()
    for part in parts:
        found.update(hashlib.sha256(part).digest())
    return found.hexdigest()
