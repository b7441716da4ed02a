"""Windows over data that is more than memory holds: shares of the rows, by entity, on disk.

A pass over the data writes each row to the share of its entity. Then the features of one share
after the other are computed in memory, and those of all shares are put into the order of the rows.
The files have no name: they are gone when they are closed, whatever ends the process.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from fastfeat.errors import (
    FastfeatError,
    InvalidData,
    InvalidPlan,
    OutputError,
    Overflow,
    TypeMismatch,
    reason_of,
)
from fastfeat.io.arrow import Table, pa
from fastfeat.io.sinks.file_writers import plainly
from fastfeat.io.sinks.parts import row_bytes
from fastfeat.io.sources.dataset import Dataset, dataset_of
from fastfeat.io.sources.scan import Scanned, scan
from fastfeat.plan.run.entities import SHARE, EntityFeatures, features_by_entity, share_plan
from fastfeat.plan.run.feature_subset import selected
from fastfeat.plan.run.fitted import Fitted
from fastfeat.plan.run.history import hint_of, is_batch, naming_history
from fastfeat.plan.run.inputs import read_columns
from fastfeat.plan.run.lookup_tables import Tables
from fastfeat.plan.run.transform import transform

_SHARE_BYTES = 32 << 20
_MOST_SHARES = 128
_BATCH_ROWS = 1 << 13
_BYTES_OF_FILES = 4
"""Bytes in memory for one in a file, where nobody knows the number of rows."""


@dataclass(frozen=True, slots=True)
class Job:
    """The way in which windowed features are computed.

    Args:
        fitted: the plan.
        dataset: the rows.
        history: earlier rows; "batch" or None as of `FittedPlan.transform`.
        tables: lookup tables.
        backend: its name.
        most_bytes: of rows that are read at a time, perhaps asked anew for each table.
        n_shares: how many shares there are; None for as many as have about 32 MiB each.
        folder: where files without names go; None for that of the system.
    """

    fitted: Fitted
    dataset: Dataset
    history: Dataset | str | None
    tables: Tables
    backend: str
    most_bytes: int | Callable[[], int]
    n_shares: int | None = None
    folder: Path | None = None


def history_of(history: Any) -> Dataset | str | None:
    """Return earlier rows as a data set; "batch" and None are themselves.

    Raises:
        FastfeatError: it is no data; the message says that it is of the history.
    """
    if history is None or is_batch(history):
        return history
    with naming_history(hint_of(history)):
        return dataset_of(history)


def windowed_features(job: Job) -> Callable[[Scanned], Table]:
    """Return a function that gives the features of pieces, which are asked in the order of rows.

    Shares are made when the first piece is asked, and given up with the function.

    Raises:
        InvalidPlan: a feature sees rows of several entities; rows have an identity.
    """
    fitted = job.fitted
    if fitted.declaration.row_id is not None:
        raise InvalidPlan(
            "row_id= of a plan with windows is not looked at where data is read in pieces, in this "
            "version. Read the data whole: fitted.transform(data, history=...)"
        )
    groups, alone = features_by_entity(fitted)
    rest = selected(fitted, alone) if alone else None
    merged: list[tuple[Sequence[str], Callable[[int, int], Table]]] = []

    def features(piece: Scanned) -> Table:
        table = piece.table
        if table.num_rows == 0:
            return transform(fitted, table, history="batch", tables=job.tables, backend=job.backend)
        if not merged:
            with _told_full(job.folder):
                merged.extend((group.names, _in_order(_computed(job, group))) for group in groups)
        found: dict[str, Any] = {}
        if rest is not None:
            options: Any = {"tables": job.tables, "backend": job.backend}
            of_rows = transform(rest, table, first_row=piece.first_row, **options)
            found.update(zip(of_rows.column_names, of_rows.columns, strict=True))
        for names, in_order in merged:
            of_windows = in_order(piece.first_row, table.num_rows)
            found.update((name, of_windows.column(name)) for name in names)
        kept = {name: table.schema.field(name) for name in fitted.declaration.keep}
        columns = [*(found[name] for name in fitted.schema.names), *(table[name] for name in kept)]
        return pa.Table.from_arrays(columns, schema=pa.schema([*fitted.schema, *kept.values()]))

    return features


def _computed(job: Job, group: EntityFeatures) -> list[Iterator[Table]]:
    """Return the features of each share, with the numbers of its rows, which rise in each."""
    sub = selected(job.fitted, group.names)
    plan = sub.declaration
    n_shares = job.n_shares or _n_shares(job, plan.columns)
    of = job.fitted
    shares = share_plan(group.keys, n_shares, of.inputs, of.tables, of.zones, of.constants)
    keys = shares.declaration.row_columns
    with ExitStack() as stack:
        wanted = [*plan.row_columns, *keys]
        rows = _split(job, job.dataset, shares, n_shares, wanted, plan.past_columns, stack)
        earlier = None
        if isinstance(job.history, Dataset):
            columns = [*plan.past_columns, *keys]
            with naming_history():
                earlier = _split(job, job.history, shares, n_shares, columns, (), stack)
        found: list[Iterator[Table]] = []
        for k, file in enumerate(rows):
            table, numbers = _unnumbered(_read(file))
            history: Any = job.history
            of_history: NDArray[np.int64] = np.zeros(0, np.int64)
            if earlier is not None:
                history, read = _unnumbered(_read(earlier[k]))
                of_history = read.to_numpy()
            with _renumbering(of_history, numbers.to_numpy()):
                features = transform(
                    sub,
                    table,
                    history=history,
                    tables=job.tables,
                    backend=job.backend,
                    first_row=len(of_history),
                )
            found.append(_written(_numbered(features, numbers), job.folder))
    return found


def _n_shares(job: Job, columns: Sequence[str]) -> int:
    """Return how many shares are made: each has about 32 MiB of rows and history."""
    n_bytes = 0
    for of in (job.dataset, job.history):
        if not isinstance(of, Dataset):
            continue
        schema = pa.schema([field for field in of.schema if field.name in set(columns)])
        if of.n_rows is not None:
            n_bytes += of.n_rows * row_bytes(schema)
        elif of.identity is not None:
            n_bytes += _BYTES_OF_FILES * sum(size for _, size, _ in of.identity)
        else:
            return _MOST_SHARES // 4
    return min(max(1, -(-n_bytes // _SHARE_BYTES)), _MOST_SHARES)


def _split(
    job: Job,
    dataset: Dataset,
    shares: Fitted,
    n_shares: int,
    columns: Sequence[str],
    if_there: Sequence[str],
    stack: ExitStack,
) -> list[IO[bytes]]:
    """Return a file of the rows of each share, in order, with their numbers in the last column."""
    read_columns(pa.Table.from_batches([], dataset.schema), columns)
    names = list(dict.fromkeys([*columns, *if_there]))
    files = [stack.enter_context(_nameless(job.folder)) for _ in range(n_shares)]
    writers: list[Any] = []
    pieces = stack.enter_context(closing(scan(dataset, names, job.most_bytes)))
    for piece in pieces:
        table = plainly(piece.table).combine_chunks()
        rows = range(piece.first_row, piece.first_row + table.num_rows)
        numbered = _numbered(table, pa.array(np.array(rows, np.int64)))
        writers = writers or [
            pa.ipc.new_stream(pa.PythonFile(file, "w"), numbered.schema) for file in files
        ]
        found = transform(shares, table, tables=job.tables, first_row=piece.first_row)
        of_row = found.column(SHARE).fill_null(0).to_numpy()
        order = np.argsort(of_row, kind="stable")
        ends = np.cumsum(np.bincount(of_row, minlength=n_shares))
        taken = numbered.take(pa.array(order)).combine_chunks()
        for writer, start, end in zip(writers, [0, *ends[:-1]], ends, strict=True):
            if end > start:
                writer.write_table(taken.slice(start, end - start))
    for writer in writers:
        writer.close()
    return files


@contextmanager
def _told_full(folder: Path | None) -> Generator[None]:
    """Raise what the system says of a file without a name with the folder that it is in.

    Raises:
        OutputError: the disk is full, or the folder cannot be written.
    """
    try:
        yield
    except OSError as error:
        if isinstance(error, FastfeatError):
            raise
        where = folder or tempfile.gettempdir()
        raise OutputError(
            f"shares of the rows cannot be written to {where}: {reason_of(error)}. They take what "
            "is read of the data"
        ) from error


@contextmanager
def _nameless(folder: Path | None) -> Generator[IO[bytes]]:
    """Give a file that is gone when it is closed."""
    with tempfile.TemporaryFile(dir=folder) as file:
        yield file


def _read(file: IO[bytes]) -> Table:
    """Return the table in a file, which is closed then."""
    file.seek(0)
    with pa.ipc.open_stream(pa.PythonFile(file, "r")) as reader:
        table = reader.read_all()
    file.close()
    return table.combine_chunks()


def _written(table: Table, folder: Path | None) -> Iterator[Table]:
    """Return the batches of a table, from a file that is gone once they are read."""

    none = pa.Table.from_batches([], table.schema)  # a slice would keep all of it in memory

    def read(table: Table) -> Iterator[Table]:
        with tempfile.TemporaryFile(dir=folder) as file:
            with pa.ipc.new_stream(pa.PythonFile(file, "w"), table.schema) as writer:
                writer.write_table(table, _BATCH_ROWS)
            del table
            yield none
            file.seek(0)
            for batch in pa.ipc.open_stream(pa.PythonFile(file, "r")):
                yield pa.Table.from_batches([batch])

    tables = read(table)
    next(tables)  # it is written, and begun: a generator that is given up closes its file
    return tables


def _numbered(table: Table, numbers: Any) -> Table:
    """Return rows with their numbers in the last column, of a name that no other has."""
    name = "row"
    while name in table.column_names:
        name += "'"
    return table.append_column(name, numbers)


def _unnumbered(table: Table) -> tuple[Table, Any]:
    """Return rows without their numbers, and these."""
    last = table.num_columns - 1
    return table.select(range(last)), table.column(last)


def _in_order(shares: Sequence[Iterator[Table]]) -> Callable[[int, int], Table]:
    """Return a function of the number of a row and of how many, which gives their features.

    Args:
        shares: tables of each share, with rising numbers of rows in the last column. Rows are
            taken in order; those before them are passed over.
    """
    waiting: list[Table | None] = [next(share, None) for share in shares]

    def of_share(k: int, first: int, stop: int) -> Iterator[Table]:
        while (table := waiting[k]) is not None:
            numbers: NDArray[np.int64] = _unnumbered(table)[1].to_numpy()
            start, end = np.searchsorted(numbers, (first, stop))
            if end > start:
                yield table.slice(int(start), int(end - start))
            if end < len(numbers):
                waiting[k] = table.slice(int(end))
                return
            waiting[k] = next(shares[k], None)

    def take(first: int, n_rows: int) -> Table:
        pieces = [table for k in range(len(shares)) for table in of_share(k, first, first + n_rows)]
        table, numbers = _unnumbered(pa.concat_tables(pieces).combine_chunks())
        order = np.empty(n_rows, np.int64)
        order[numbers.to_numpy() - first] = np.arange(n_rows)
        return table.take(pa.array(order))

    return take


@contextmanager
def _renumbering(earlier: NDArray[np.int64], numbers: NDArray[np.int64]) -> Generator[None]:
    """Tell rows of a share by their numbers in the history and in the data, in errors of them.

    Args:
        earlier: the numbers of the rows of the history, which errors count first.
        numbers: those of the rows of the data, behind them.
    """
    try:
        yield
    except (InvalidData, TypeMismatch, Overflow) as error:
        every, text = np.concatenate([earlier, numbers]), str(error)
        rows = [int(row) for row in _ROW.findall(text)]
        told = _ROW.sub(
            lambda of: f"row {every[int(of[1])]}" if int(of[1]) < len(every) else of[0], text
        )
        is_of_history = any(row < len(earlier) for row in rows)
        if is_of_history and not text.startswith("history="):
            told = f"history=: {told}"
        raise type(error)(told) from error


_ROW = re.compile(r"\brow (\d+)\b")
