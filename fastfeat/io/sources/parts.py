"""Parts of a data set that are not files, and the columns that all parts share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from fastfeat_kernels.records import dataclass

from fastfeat.errors import FastfeatError, InvalidData, TypeMismatch, UnknownColumn
from fastfeat.io.arrow import DataType, Schema, Table, pa
from fastfeat.io.columns.types import column_text
from fastfeat.io.sources.file_parts import FilePart
from fastfeat.io.sources.frames import check_unique, rows_only
from fastfeat.io.sources.tables import table_in_memory
from fastfeat.io.sources.widening import wider_type


class Origin(NamedTuple):
    """The source of some rows of a table: the file or part, and the row number in it.

    Args:
        first_row: Number of the first row in the data set.
        name: Name of the file or part, for messages.
        row_in_part: Number of that row in the file or part.
    """

    first_row: int
    name: str
    row_in_part: int


@dataclass(frozen=True, slots=True)
class TablePart:
    """A table in memory, as a part of a data set."""

    table: Table

    @property
    def name(self) -> str:
        """The name for messages."""
        return "the table"

    @property
    def n_rows(self) -> int:
        """The number of rows."""
        return self.table.num_rows

    @property
    def identity(self) -> None:
        """None, because it is not in a file."""
        return None

    @property
    def all_columns(self) -> Schema:
        """The columns of the table."""
        return self.table.schema

    def tables(
        self, columns: Sequence[str], most_bytes: Callable[[], int], start: int
    ) -> Iterator[tuple[int, Table]]:
        """Yield the number of the first row, 0, and all rows as a table, without a copy."""
        yield 0, self.table.select(list(columns)) if columns else rows_only(self.table.num_rows)


@dataclass(frozen=True, slots=True)
class OpenedPart:
    """A part of a data set that a function opens: it returns tables one after another.

    Args:
        name: Name for messages.
        all_columns: Columns of the first table, or of the reader.
        open: Function from the columns to read to an iterable of tables of any kind.
    """

    name: str
    all_columns: Schema
    open: Callable[[Sequence[str]], Any]

    @property
    def n_rows(self) -> None:
        """None, because the number is unknown before reading."""
        return None

    @property
    def identity(self) -> None:
        """None, because it is not in a file."""
        return None

    def tables(
        self, columns: Sequence[str], most_bytes: Callable[[], int], start: int
    ) -> Iterator[tuple[int, Table]]:
        """Yield the tables that the function returns, each with the number of its first row.

        Raises:
            InvalidData: It cannot be opened again, or reading fails.
            UnknownColumn: A later table lacks a column.
        """
        row = 0
        try:
            for given in self.open(columns):
                table = table_in_memory(given, columns)
                if table.num_columns < len(columns):
                    self._raise_lacking(table, columns)
                yield row, table
                row += table.num_rows
        except (pa.ArrowException, OSError) as error:
            raise InvalidData(f"{self.name} failed after row {row:,}: {error}") from error

    def _raise_lacking(self, table: Table, columns: Sequence[str]) -> None:
        for name in columns:
            if name not in table.column_names:
                raise UnknownColumn(
                    f"{self.name} returned a table without {column_text(name)}, which its first "
                    "table has"
                )


@dataclass(frozen=True, slots=True, eq=False)
class ChosenPart:
    """Selected rows of a data set, read from it on demand; `selected_rows.chosen_rows` creates it.

    Args:
        name: Name for messages.
        all_columns: Its columns.
        n_rows: Its number of rows.
        identity: Identity of the underlying files and of the choice of rows; None if not in files.
        tables: Function from columns, bytes per table and first row to tables, like the method of
            the other parts.
    """

    name: str
    all_columns: Schema
    n_rows: int
    identity: list[tuple[str, int, int | None]] | None
    tables: Callable[[Sequence[str], Callable[[], int], int], Iterator[tuple[int, Table]]]


DatasetPart = FilePart | TablePart | OpenedPart | ChosenPart


def common_columns(parts: Sequence[DatasetPart]) -> tuple[Schema, dict[str, FastfeatError]]:
    """Return the schema of the columns that all parts have, and an error for each other column.

    The type of a column holds the values of all parts. There must be at least one part.

    Raises:
        InvalidData: A part has two columns of one name.
    """
    types: dict[str, DataType] = {}
    where: dict[str, DatasetPart] = {}
    at_odds: dict[str, FastfeatError] = {}
    last: Schema = None
    for part in parts:
        columns = part.all_columns
        if last is not None and columns.equals(last):
            continue
        check_unique(columns.names, columns.names)
        for name in (types.keys() ^ set(columns.names)) if last is not None else ():
            has, lacks = (where[name], part) if name in types else (part, parts[0])
            told = f"{lacks.name} lacks {column_text(name)}, which {has.name} has"
            at_odds.setdefault(name, UnknownColumn(told))
        for name, dtype in zip(columns.names, columns.types, strict=True):
            wider = wider_type(types.get(name, dtype), dtype)
            if wider is None:
                told = _without_type(name, (types[name], where[name]), (dtype, part))
                at_odds.setdefault(name, TypeMismatch(told))
            elif types.get(name) != wider:
                types[name], where[name] = wider, part
        last = columns
    fields = [pa.field(name, dtype) for name, dtype in types.items() if name not in at_odds]
    return pa.schema(fields), at_odds


def _without_type(
    name: str, one: tuple[DataType, DatasetPart], other: tuple[DataType, DatasetPart]
) -> str:
    return (
        f"{column_text(name)} is {one[0]} in {one[1].name} and {other[0]} in {other[1].name}, and "
        "no type fits both. Write the files with one type"
    )
