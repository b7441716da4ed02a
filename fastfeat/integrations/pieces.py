"""Rows piece by piece: what is read of tables, Parquet files and readers, anew in each pass."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, cast

from fastfeat.errors import InvalidData, TypeMismatch
from fastfeat.io.arrow import RecordBatch, Table, pa
from fastfeat.io.files import file_columns
from fastfeat.io.frames import class_names
from fastfeat.io.read import read_table
from fastfeat.plan.fitted import FittedPlan

Reading = Callable[[], Iterator[Table]]
"""Begins a pass over the rows: tables, of which none is empty."""

ROWS_OF_A_PIECE = 131_072
"""About what a fitted plan computes at its best speed, and 50 MB of 100 float32 features."""


def reading(
    data: Any, columns: Sequence[str] | None = None, rows_of_a_piece: int = ROWS_OF_A_PIECE
) -> Reading:
    """Return what reads rows piece by piece, as often as it is called.

    Args:
        data: Parquet files, a path or a list of paths, whose row groups are the pieces; a function
            without arguments that returns an iterable of tables, such as a RecordBatchReader, for
            each pass; a pyarrow Dataset; or a table of any kind, which is cut.
        columns: which to read; None reads all. What is not there is left out.
        rows_of_a_piece: how many rows of a table or a Dataset are a piece.

    Raises:
        InvalidData: it can be read once only, is no Parquet file, or cannot be read.
        TypeMismatch: it is not a table.
    """
    if type(rows_of_a_piece) is not int or rows_of_a_piece < 1:
        raise InvalidData(
            f"rows_of_a_piece={rows_of_a_piece!r}: an integer from 1, such as 100_000"
        )
    paths = _paths(data)
    if paths:
        for path in paths:
            file_columns(path)  # raises where there is no such file
        return lambda: chain.from_iterable(_row_groups(path, columns) for path in paths)
    if isinstance(data, pa.RecordBatchReader | Iterator):
        raise InvalidData(
            f"a {type(data).__name__} can be read once, and the rows are read several times. Pass "
            "a function that makes it anew, such as lambda: dataset.scanner().to_reader()"
        )
    if callable(data):
        return lambda: _of_function(cast("Callable[[], Iterable[Any]]", data), columns)
    if "pyarrow.Dataset" in class_names(data):
        return lambda: _of_dataset(data, columns, rows_of_a_piece)
    table = read_table(data, columns)
    starts = range(0, table.num_rows, rows_of_a_piece)
    return lambda: (table.slice(start, rows_of_a_piece) for start in starts)


def columns_needed(fitted: FittedPlan, *, label: bool) -> list[str]:
    """Return the columns that a fitted plan reads of rows, where they are there.

    Args:
        fitted: the plan.
        label: whether its label is computed too.
    """
    plan = fitted.plan
    of_label = [plan.label] if isinstance(plan.label, str) else plan.label_columns
    row_id = [] if plan.row_id is None else [plan.row_id]
    read = [*plan.row_columns, *plan.past_columns, *plan.keep, *row_id]
    return list(dict.fromkeys([*read, *(of_label if label else [])]))


def check_alone(fitted: FittedPlan, history: Any, *, label: bool) -> None:
    """Raise where the features of a piece need rows of other pieces.

    Args:
        fitted: the plan.
        history: earlier rows, which each piece is given.
        label: whether the label of the plan is computed.

    Raises:
        InvalidData: windows see earlier rows, and there is no history; or the label looks ahead.
    """
    if history is None and fitted.plan.past_columns:
        raise InvalidData(
            "windows of the plan see earlier rows, and a piece does not hold them. Pass history= "
            "with all rows, and row_id= in the plan; or transform at once, without pieces"
        )
    if label and fitted.plan.looks_ahead:
        raise InvalidData(
            "the label looks ahead, at rows that a piece does not hold. Put fitted.label(data) "
            "into a column of the data, and pass its name: label='y'"
        )


def _paths(data: Any) -> list[Path]:
    """Return the paths that data is; none where it is something else."""
    given = cast("list[Any]", data) if isinstance(data, list) else [data]
    paths = [Path(cast("str", path)) for path in given if isinstance(path, str | os.PathLike)]
    if paths and len(paths) < len(given):
        raise TypeMismatch("got a list of paths and of something else. Pass paths alone")
    return paths


def _row_groups(path: Path, columns: Sequence[str] | None) -> Iterator[Table]:
    """Yield the row groups of a Parquet file."""
    import pyarrow.parquet  # pyright: ignore[reportMissingTypeStubs]  # pyarrow has no stubs

    parquet: Any = pyarrow.parquet
    try:
        with parquet.ParquetFile(path) as file:
            names: list[str] = file.schema_arrow.names
            wanted = names if columns is None else [name for name in columns if name in names]
            for k in range(file.num_row_groups):
                # A name with a dot may bring its namesake inside a struct along.
                group = file.read_row_group(k, columns=wanted).select(wanted)
                if group.num_rows > 0:
                    yield group
    except (pa.ArrowException, OSError) as error:
        raise InvalidData(
            f"{path}: its row groups cannot be read: {error}. Pieces are row groups of Parquet; "
            "of another format pass a function that returns a reader"
        ) from error


def _of_function(
    function: Callable[[], Iterable[Any]], columns: Sequence[str] | None
) -> Iterator[Table]:
    """Yield the tables of a reader that a function makes."""
    n_rows = 0
    for part in function():
        table = read_table(part, columns)
        n_rows += table.num_rows
        if table.num_rows > 0:
            yield table
    if n_rows == 0:
        raise InvalidData(
            "the function returned no rows. It is called for each pass, and must return a new "
            "reader each time"
        )


def _of_dataset(
    dataset: Any, columns: Sequence[str] | None, rows_of_a_piece: int
) -> Iterator[Table]:
    """Yield batches of a pyarrow Dataset, of which one is read ahead."""
    there: set[str] = set(dataset.schema.names)
    wanted = None if columns is None else [name for name in columns if name in there]
    batches: Iterator[RecordBatch] = dataset.to_batches(
        columns=wanted, batch_size=rows_of_a_piece, batch_readahead=1, fragment_readahead=1
    )
    for batch in batches:
        if batch.num_rows > 0:
            yield pa.Table.from_batches([batch])
