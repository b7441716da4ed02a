"""Parts of a data set that are no files, and the columns that all parts have."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from fastfeat.errors import FastfeatError, InvalidData, TypeMismatch, UnknownColumn
from fastfeat.io.arrow import DataType, Schema, Table, pa
from fastfeat.io.columns.types import column_text
from fastfeat.io.sources.file_parts import FilePart
from fastfeat.io.sources.frames import check_unique, rows_only
from fastfeat.io.sources.tables import table_in_memory
from fastfeat.io.sources.widening import widened


class Origin(NamedTuple):
    """The place where some rows of a table come from.

    Args:
        first_row: the first of them, by its number in the data set.
        name: of the file, or what messages call the part.
        row_in_part: the number of that row there.
    """

    first_row: int
    name: str
    row_in_part: int


@dataclass(frozen=True, slots=True)
class TablePart:
    """A table in memory.

    Args:
        table: its rows.
    """

    table: Table

    @property
    def name(self) -> str:
        """Its name in messages."""
        return "the table"

    @property
    def n_rows(self) -> int:
        """Its number of rows."""
        return self.table.num_rows

    @property
    def identity(self) -> None:
        """None: it is in no file."""
        return None

    @property
    def all_columns(self) -> Schema:
        """Its columns."""
        return self.table.schema

    def tables(
        self, columns: Sequence[str], most_bytes: Callable[[], int], start: int
    ) -> Iterator[tuple[int, Table]]:
        """Yield its rows, in place, and the number of the first one."""
        yield 0, self.table.select(list(columns)) if columns else rows_only(self.table.num_rows)


@dataclass(frozen=True, slots=True)
class OpenedPart:
    """Tables that a function gives, one after another.

    Args:
        name: what messages call it.
        all_columns: of the first table, or of the reader.
        open: gives an iterable of tables of any kind, of which some columns are read.
    """

    name: str
    all_columns: Schema
    open: Callable[[Sequence[str]], Any]

    @property
    def n_rows(self) -> None:
        """None: only reading tells."""
        return None

    @property
    def identity(self) -> None:
        """None: it is in no file."""
        return None

    def tables(
        self, columns: Sequence[str], most_bytes: Callable[[], int], start: int
    ) -> Iterator[tuple[int, Table]]:
        """Yield the tables that the function gives, each with the number of its first row.

        Raises:
            InvalidData: it cannot be opened again, a table lacks a column, or reading fails.
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
            raise InvalidData(f"{self.name} failed behind row {row:,}: {error}") from error

    def _raise_lacking(self, table: Table, columns: Sequence[str]) -> None:
        for name in columns:
            if name not in table.column_names:
                raise UnknownColumn(
                    f"{self.name} gave a table without {column_text(name)}, which the first one has"
                )


@dataclass(frozen=True, slots=True, eq=False)
class ChosenPart:
    """Some rows of a data set, which are read from it; `chosen.chosen_rows` makes it.

    Args:
        name: what messages call it.
        all_columns: its columns.
        n_rows: its number of rows.
        identity: of the files that it is read from, and of the choice; None if it is not in files.
        tables: as of the other parts.
    """

    name: str
    all_columns: Schema
    n_rows: int
    identity: list[tuple[str, int, int | None]] | None
    tables: Callable[[Sequence[str], Callable[[], int], int], Iterator[tuple[int, Table]]]


Part = FilePart | TablePart | OpenedPart | ChosenPart


def common_columns(parts: Sequence[Part]) -> tuple[Schema, dict[str, FastfeatError]]:
    """Return the columns that all parts have, each of a type for the values of all, and the others.

    Args:
        parts: one at least.

    Returns:
        A schema; and of each other column the error of reading it.

    Raises:
        InvalidData: a part has two columns of one name.
    """
    types: dict[str, DataType] = {}
    where: dict[str, Part] = {}
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
            wider = widened(types.get(name, dtype), dtype)
            if wider is None:
                told = _without_type(name, (types[name], where[name]), (dtype, part))
                at_odds.setdefault(name, TypeMismatch(told))
            elif types.get(name) != wider:
                types[name], where[name] = wider, part
        last = columns
    fields = [pa.field(name, dtype) for name, dtype in types.items() if name not in at_odds]
    return pa.schema(fields), at_odds


def _without_type(name: str, one: tuple[DataType, Part], other: tuple[DataType, Part]) -> str:
    return (
        f"{column_text(name)} is {one[0]} in {one[1].name} and {other[0]} in {other[1].name}, and "
        "no type has the values of both. Write the files with one"
    )
