"""Features of data a piece at a time: each row gives what it gives in one table of all rows."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, cast

from fastfeat.errors import FastfeatError, InvalidData, InvalidPlan, Overflow, TypeMismatch
from fastfeat.io.arrow import Schema, Table, pa
from fastfeat.plan.declare.declaration import Declaration
from fastfeat.plan.run.fitted import Fitted
from fastfeat.plan.run.history import given_ids
from fastfeat.plan.run.inputs import read_columns
from fastfeat.plan.run.lookup_tables import Tables, read_tables
from fastfeat.plan.run.transform import transform


class Piece(NamedTuple):
    """Neighbouring rows of the data.

    Args:
        table: the rows.
        first_row: number of the first one in the data.
        file: where they stand; "" where that is no file.
        row_in_file: number of the first one there.
    """

    table: Table
    first_row: int
    file: str = ""
    row_in_file: int = 0


@dataclass(frozen=True, slots=True)
class Rows:
    """Data that is read a piece at a time, from any row on.

    Args:
        read: gives its pieces, from a row on.
        schema: of the columns that are read.
        n_rows: how many there are; None where only reading tells.
        source: name, size and time of change of its files; None where it is not in files.
    """

    read: Callable[[int], Iterable[Piece]]
    schema: Schema
    n_rows: int | None = None
    source: tuple[tuple[str, int, int], ...] | None = None

    def none(self) -> Piece:
        """Return a piece without rows."""
        return Piece(pa.Table.from_batches([], self.schema), 0)


def rows_of(fitted: Fitted, data: Any) -> Rows:
    """Return data of any kind as what features are computed of, a piece at a time.

    Args:
        fitted: the plan.
        data: as a user gives it.

    Raises:
        UnknownColumn: it lacks a column.
        InvalidPlan: windows of the plan see other rows of the data.
    """
    check_pieces(fitted.declaration)
    wanted, if_there = columns_read(fitted)
    table = read_columns(data, wanted, if_there)

    def read(first_row: int) -> Iterator[Piece]:
        for start in range(first_row, table.num_rows, _PIECE_ROWS):
            yield Piece(table.slice(start, _PIECE_ROWS), start)

    return Rows(read, table.schema, table.num_rows, _file_of(data))


def _file_of(data: Any) -> tuple[tuple[str, int, int], ...] | None:
    """Return name, size and time of change of a file that data is in; None of other data."""
    if not isinstance(data, str | os.PathLike):
        return None
    found = Path(cast("str", data)).stat()
    return ((str(cast("str", data)), found.st_size, found.st_mtime_ns),)


_PIECE_ROWS = 1 << 17


def columns_read(fitted: Fitted) -> tuple[list[str], list[str]]:
    """Return the columns of the data that must be there, and those that are read if they are."""
    plan = fitted.declaration
    if_there = [*plan.past_columns, *given_ids(plan.row_id, plan.past_columns)]
    if fitted.encoded is not None and fitted.encoded.row_id is not None:
        if_there.append(fitted.encoded.row_id[0])
    return [*plan.row_columns, *plan.keep], if_there


def check_pieces(plan: Declaration) -> None:
    """Raise where a row's features need other rows of the data.

    Raises:
        InvalidPlan: windows see them.
    """
    if plan.past_columns:
        raise InvalidPlan(
            "windows see earlier rows of the data, which may stand in another piece of it. Read "
            "the data whole, fitted.transform(data, history=...), or leave these features out: "
            "fitted.select([...])"
        )


def features_of_pieces(
    fitted: Fitted,
    pieces: Iterable[Piece],
    *,
    tables: Tables = None,
    to: str = "arrow",
    categories: bool = False,
    backend: str = "cpu",
) -> Iterator[Any]:
    """Yield the features of pieces of rows.

    Args:
        fitted: the plan.
        pieces: in any order.
        tables: lookup tables, which are read once.
        to: the form of the result, as in `FittedPlan.transform`.
        categories: as there.
        backend: as there.

    Raises:
        FastfeatError: as `FittedPlan.transform`; rows are numbered in the data, and the message
            says in which file they stand.
    """
    known = known_tables(fitted, tables)
    for piece in pieces:
        try:
            yield transform(
                fitted,
                piece.table,
                tables=known,
                to=to,
                categories=categories,
                backend=backend,
                first_row=piece.first_row,
            )
        except (InvalidData, TypeMismatch, Overflow) as error:
            raise _told_file(error, piece) from error


def known_tables(fitted: Fitted, tables: Tables) -> Tables:
    """Return lookup tables as Arrow tables, of which what is made is kept from piece to piece."""
    columns = list(fitted.table_columns)
    return read_tables(tables, columns) if columns else tables


def _told_file(error: FastfeatError, piece: Piece) -> FastfeatError:
    """Return an error with the file that its rows stand in."""
    if not piece.file:
        return error
    begin = piece.first_row - piece.row_in_file
    return type(error)(f"{error} (in {piece.file}, which begins with row {begin} of the data)")
