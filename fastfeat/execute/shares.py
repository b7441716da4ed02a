"""Shares of rows on disk: rows of larger data taken apart by a number, and put in order again.

The files have no name: they are gone when they are closed, whatever ends the process.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from fastfeat.errors import InvalidData, Overflow, TypeMismatch
from fastfeat.io.arrow import Schema, Table, pa
from fastfeat.io.sinks.file_writers import plainly
from fastfeat.io.unnamed import nameless

_BATCH_ROWS = 1 << 13
ROWS_AT_ONCE = 1 << 15


class ShareWriter:
    """A writer of rows to the file of their share.

    Args:
        n_shares: how many there are.
        folder: where the files go; None for that of the system.
        stack: closes the files.
    """

    def __init__(self, n_shares: int, folder: Path | None, stack: ExitStack) -> None:
        """Make the files."""
        self.files = [stack.enter_context(nameless(folder)) for _ in range(n_shares)]
        self.n_rows = 0
        self._writers: list[Any] = []

    def add(self, table: Table, of_row: NDArray[np.int64], numbers: NDArray[np.int64]) -> None:
        """Write rows behind those that are there.

        Args:
            table: the rows.
            of_row: the share of each, shape (n_rows,).
            numbers: the number of each, which rises, shape (n_rows,).
        """
        rows = numbered(plainly(table).combine_chunks(), pa.array(numbers))
        if not self._writers:
            self._writers = [
                pa.ipc.new_stream(pa.PythonFile(file, "w"), rows.schema) for file in self.files
            ]
        order = np.argsort(of_row, kind="stable")
        ends = np.cumsum(np.bincount(of_row, minlength=len(self.files)))
        taken = rows.take(pa.array(order)).combine_chunks()
        for writer, start, end in zip(self._writers, [0, *ends[:-1]], ends, strict=True):
            if end > start:
                writer.write_table(taken.slice(start, end - start))
        self.n_rows += table.num_rows

    def ended(self) -> list[IO[bytes]]:
        """Return the files, with the ends of what is in them."""
        for writer in self._writers:
            writer.close()
        return self.files


def share_in(file: IO[bytes]) -> tuple[Table, NDArray[np.int64]]:
    """Return the rows in the file of a share, which is closed then, and their numbers."""
    file.seek(0)
    with pa.ipc.open_stream(pa.PythonFile(file, "r")) as reader:
        table = reader.read_all()
    file.close()
    rows, numbers = unnumbered(table.combine_chunks())
    return rows, numbers.to_numpy()


def put_away(tables: Iterator[Table], folder: Path | None) -> Iterator[Table]:
    """Return the batches of tables, which are all taken first, from a file that is gone then.

    Args:
        tables: of one schema, or none. They do not stay in memory.
        folder: where the file goes; None for that of the system.
    """

    def read() -> Iterator[Table]:
        with nameless(folder) as file:
            is_written = _write(file, tables)
            yield pa.table({})
            if is_written:
                file.seek(0)
                for batch in pa.ipc.open_stream(pa.PythonFile(file, "r")):
                    yield pa.Table.from_batches([batch])

    found = read()
    next(found)  # it is written, and begun: a generator that is given up closes its file
    return found


def _write(file: IO[bytes], tables: Iterator[Table]) -> bool:
    """Write tables to a file, and return whether there were any."""
    first = next(tables, None)
    if first is None:
        return False
    with pa.ipc.new_stream(pa.PythonFile(file, "w"), first.schema) as writer:
        writer.write_table(first, _BATCH_ROWS)
        del first
        for table in tables:
            writer.write_table(table, _BATCH_ROWS)
    return True


def numbered(table: Table, numbers: Any) -> Table:
    """Return rows with their numbers in the last column, of a name that no other has."""
    name = "row"
    while name in table.column_names:
        name += "'"
    return table.append_column(name, numbers)


def unnumbered(table: Table) -> tuple[Table, Any]:
    """Return rows without their numbers, and these."""
    last = table.num_columns - 1
    return table.select(range(last)), table.column(last)


def in_order(shares: Sequence[Iterator[Table]]) -> Callable[[int, int], Table]:
    """Return a function of the number of a row and of how many, which gives these rows.

    Args:
        shares: tables of each share, with rising numbers of rows in the last column. Rows are
            taken in order; those before them are passed over.
    """
    waiting: list[Table | None] = [next(share, None) for share in shares]

    def of_share(k: int, first: int, stop: int) -> Iterator[Table]:
        while (table := waiting[k]) is not None:
            numbers: NDArray[np.int64] = unnumbered(table)[1].to_numpy()
            start, end = np.searchsorted(numbers, (first, stop))
            if end > start:
                yield table.slice(int(start), int(end - start))
            if end < len(numbers):
                waiting[k] = table.slice(int(end))
                return
            waiting[k] = next(shares[k], None)

    def take(first: int, n_rows: int) -> Table:
        pieces = [table for k in range(len(shares)) for table in of_share(k, first, first + n_rows)]
        table, numbers = unnumbered(pa.concat_tables(pieces).combine_chunks())
        order = np.empty(n_rows, np.int64)
        order[numbers.to_numpy() - first] = np.arange(n_rows)
        return table.take(pa.array(order))

    return take


@dataclass(frozen=True, slots=True, eq=False)
class RowsOnDisk:
    """Columns of all rows in their order, in a file: any rows of them, as often as one likes.

    Args:
        reader: of the record batches in the file, each of `ROWS_AT_ONCE` rows, but the last.
        file: which is gone once nothing refers to it.
    """

    reader: Any
    file: IO[bytes]

    def rows(self, first: int, n_rows: int) -> Table:
        """Return some rows.

        Args:
            first: the number of the first one.
            n_rows: how many.
        """
        batches = range(first // ROWS_AT_ONCE, -(-(first + n_rows) // ROWS_AT_ONCE))
        found = [self.reader.get_batch(k) for k in batches]
        table = pa.Table.from_batches(found, self.reader.schema)
        return table.slice(first - batches.start * ROWS_AT_ONCE, n_rows).combine_chunks()


def groups_of(take: Callable[[int, int], Table], n_rows: int) -> Iterator[Table]:
    """Yield all rows in tables of `ROWS_AT_ONCE` rows, but the last.

    Args:
        take: gives them, as of `in_order`.
        n_rows: how many there are.
    """
    for first in range(0, n_rows, ROWS_AT_ONCE):
        yield take(first, min(ROWS_AT_ONCE, n_rows - first)).combine_chunks()


def on_disk(
    groups: Iterable[Table], schema: Schema, folder: Path | None, stack: ExitStack
) -> RowsOnDisk:
    """Return rows on disk.

    Args:
        groups: tables of `ROWS_AT_ONCE` rows, but the last, of one chunk.
        schema: of the columns.
        folder: where the file goes; None for that of the system.
        stack: closes it.
    """
    file = stack.enter_context(nameless(folder))
    with pa.ipc.new_file(pa.PythonFile(file, "w"), schema) as writer:
        for group in groups:
            writer.write_table(group)
    file.seek(0)
    return RowsOnDisk(pa.ipc.open_file(pa.PythonFile(file, "r")), file)


@contextmanager
def renumbering(earlier: NDArray[np.int64], numbers: NDArray[np.int64]) -> Generator[None]:
    """Tell rows of a share by their numbers in the history and in the data, in errors of them.

    Args:
        earlier: the numbers of the rows of the history, which errors say that they are of.
        numbers: those of the rows of the data.
    """
    try:
        yield
    except (InvalidData, TypeMismatch, Overflow) as error:
        text = str(error)
        is_of_history = text.startswith("history=") or _OF_HISTORY in text

        def told(of: re.Match[str]) -> str:
            own = earlier if is_of_history else numbers
            return f"row {own[int(of[1])]}" if int(of[1]) < len(own) else of[0]

        text = _ROW.sub(told, text)
        if is_of_history and not text.startswith("history="):
            text = f"history=: {text}"
        raise type(error)(text) from error


_OF_HISTORY = " of history="
_ROW = re.compile(rf"\brow (\d+)\b(?:{_OF_HISTORY})?")
