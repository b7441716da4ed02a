"""Features of data a piece at a time: each row gives what it gives in one table of all rows."""

from __future__ import annotations

import re
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from typing import Any

from fastfeat.errors import InvalidData, InvalidPlan, Overflow, TypeMismatch
from fastfeat.io.arrow import Schema, pa
from fastfeat.io.sinks.parts import row_bytes
from fastfeat.io.sources.dataset import Dataset, dataset_of
from fastfeat.io.sources.scan import Scanned, scan
from fastfeat.plan.declare.declaration import Declaration
from fastfeat.plan.run.fitted import Fitted
from fastfeat.plan.run.history import given_ids
from fastfeat.plan.run.inputs import read_columns
from fastfeat.plan.run.lookup_tables import Tables, read_tables
from fastfeat.plan.run.transform import transform

MOST_BYTES = 32 << 20
"""Of a piece: a transform to files of 4M rows took as long with 64 MiB, and 150 MiB more memory."""


def data_of(fitted: Fitted, data: Any) -> Dataset:
    """Return data of any kind as the data set that features are computed of, a piece at a time.

    Args:
        fitted: the plan.
        data: as a user gives it.

    Raises:
        UnknownColumn: it lacks a column.
        TypeMismatch, InvalidData: it is no data, or files differ in a column that is read.
        InvalidPlan: windows of the plan see other rows of the data.
    """
    check_pieces(fitted.declaration)
    dataset = dataset_of(data)
    wanted, if_there = columns_read(fitted)
    dataset.check([*wanted, *if_there])
    read_columns(pa.Table.from_batches([], dataset.schema), wanted)
    return dataset


def pieces_of(
    fitted: Fitted, dataset: Dataset, *, start: int = 0, most_bytes: int = MOST_BYTES
) -> Generator[Scanned]:
    """Return the pieces of a data set, with the columns that features are computed of.

    Args:
        fitted: the plan.
        dataset: as `data_of` gives it.
        start: number of the first row.
        most_bytes: of a piece, or of its features, where these are more.
    """
    read = _schema_read(fitted, dataset)
    growth = row_bytes(fitted.schema) / row_bytes(read)
    return scan(dataset, read.names, int(most_bytes / max(1.0, growth)), start=start)


def no_rows(fitted: Fitted, dataset: Dataset) -> Scanned:
    """Return a piece of a data set that has no rows."""
    return Scanned(pa.Table.from_batches([], _schema_read(fitted, dataset)), 0, ())


def _schema_read(fitted: Fitted, dataset: Dataset) -> Schema:
    """Return the schema of the columns of a data set that are read."""
    wanted, if_there = columns_read(fitted)
    there = set(dataset.schema.names)
    names = [name for name in dict.fromkeys([*wanted, *if_there]) if name in there]
    return pa.schema([dataset.schema.field(name) for name in names])


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
    pieces: Iterable[Scanned],
    *,
    tables: Tables = None,
    to: str = "arrow",
    categories: bool = False,
    backend: str = "cpu",
) -> Generator[Any]:
    """Yield the features of pieces of rows.

    Args:
        fitted: the plan.
        pieces: of a data set.
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
        with telling_place(piece):
            features = transform(
                fitted,
                piece.table,
                tables=known,
                to=to,
                categories=categories,
                backend=backend,
                first_row=piece.first_row,
            )
        yield features


def known_tables(fitted: Fitted, tables: Tables) -> Tables:
    """Return lookup tables as Arrow tables, of which what is made is kept from piece to piece."""
    columns = list(fitted.table_columns)
    return read_tables(tables, columns) if columns else tables


@contextmanager
def telling_place(piece: Scanned) -> Generator[None]:
    """Add to an error of a row of a data set the place of the row: its file, and its number there.

    Args:
        piece: the rows that are worked on.
    """
    try:
        yield
    except (InvalidData, TypeMismatch, Overflow) as error:
        rows = (int(found) for found in _ROW.findall(str(error)))
        n_rows = piece.table.num_rows
        row = next((row for row in rows if 0 <= row - piece.first_row < n_rows), None)
        if row is None or not piece.origins:
            raise
        raise type(error)(f"{error} (that is {piece.place(row)})") from error


_ROW = re.compile(r"\brow (\d+)\b")
