"""Shares on disk: hash partitions of rows, one temporary file each, and their merge in row order.

Each row is stored with its number in the data as the last column. The files have no name, so they
disappear when they are closed, however the process ends.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from fastfeat_kernels.records import dataclass
from numpy.typing import NDArray

from fastfeat.errors import InvalidData, Overflow, TypeMismatch
from fastfeat.io.arrow import Schema, Table, pa
from fastfeat.io.sinks.file_writers import without_dictionaries
from fastfeat.io.temporary_files import open_unnamed

_BATCH_ROWS = 1 << 13
ROWS_AT_ONCE = 1 << 15


class ShareWriter:
    """Writes each row to the file of its share (partition).

    Args:
        n_shares: Number of shares.
        folder: Folder of the files; None for the system's.
        stack: Closes the files.
    """

    def __init__(self, n_shares: int, folder: Path | None, stack: ExitStack) -> None:
        """Create the files."""
        self.files = [stack.enter_context(open_unnamed(folder)) for _ in range(n_shares)]
        self.n_rows = 0
        self._writers: list[Any] = []

    def add(self, table: Table, of_row: NDArray[np.int64], numbers: NDArray[np.int64]) -> None:
        """Append rows. `of_row` is the share of each row, shape (n_rows,).

        `numbers` is the number of each row, increasing, shape (n_rows,).
        """
        rows = with_row_numbers(without_dictionaries(table).combine_chunks(), pa.array(numbers))
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
        """Finish the files and return them, one per share."""
        for writer in self._writers:
            writer.close()
        return self.files


def read_share(file: IO[bytes]) -> tuple[Table, NDArray[np.int64]]:
    """Return the rows in the file of a share and the numbers of the rows, and close the file."""
    file.seek(0)
    with pa.ipc.open_stream(pa.PythonFile(file, "r")) as reader:
        table = reader.read_all()
    file.close()
    rows, numbers = without_row_numbers(table.combine_chunks())
    return rows, numbers.to_numpy()


def spill_tables(tables: Iterator[Table], folder: Path | None) -> Iterator[Table]:
    """Write all tables to a temporary file, and return an iterator that reads their batches back.

    The tables have one schema and do not stay in memory. `folder` is the file's folder; None for
    the system's.
    """

    def read() -> Iterator[Table]:
        with open_unnamed(folder) as file:
            is_written = _write(file, tables)
            yield pa.table({})
            if is_written:
                file.seek(0)
                for batch in pa.ipc.open_stream(pa.PythonFile(file, "r")):
                    yield pa.Table.from_batches([batch])

    found = read()
    next(found)  # writes the file; the started generator closes it even if abandoned
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


def with_row_numbers(table: Table, numbers: Any) -> Table:
    """Return rows with their numbers as the last column, under an unused name."""
    name = "row"
    while name in table.column_names:
        name += "'"
    return table.append_column(name, numbers)


def without_row_numbers(table: Table) -> tuple[Table, Any]:
    """Return rows without their numbers, and the numbers."""
    last = table.num_columns - 1
    return table.select(range(last)), table.column(last)


def merge_shares(shares: Sequence[Iterator[Table]]) -> Callable[[int, int], Table]:
    """Return a function `(first, n_rows) -> table` that merges the shares in row order.

    Each share yields tables with increasing row numbers in the last column. Rows must be requested
    in increasing order, and those before the requested ones are skipped.
    """
    waiting: list[Table | None] = [next(share, None) for share in shares]

    def of_share(k: int, first: int, stop: int) -> Iterator[Table]:
        while (table := waiting[k]) is not None:
            numbers: NDArray[np.int64] = without_row_numbers(table)[1].to_numpy()
            start, end = np.searchsorted(numbers, (first, stop))
            if end > start:
                yield table.slice(int(start), int(end - start))
            if end < len(numbers):
                waiting[k] = table.slice(int(end))
                return
            waiting[k] = next(shares[k], None)

    def take(first: int, n_rows: int) -> Table:
        pieces = [table for k in range(len(shares)) for table in of_share(k, first, first + n_rows)]
        table, numbers = without_row_numbers(pa.concat_tables(pieces).combine_chunks())
        order = np.empty(n_rows, np.int64)
        order[numbers.to_numpy() - first] = np.arange(n_rows)
        return table.take(pa.array(order))

    return take


@dataclass(frozen=True, slots=True, eq=False)
class RowsOnDisk:
    """Columns of all rows in a file, in row order. Any range of rows can be read, repeatedly.

    Args:
        reader: Reads the record batches of the file, each of `ROWS_AT_ONCE` rows except the last.
        file: The file, which disappears when nothing refers to it.
    """

    reader: Any
    file: IO[bytes]

    def rows(self, first: int, n_rows: int) -> Table:
        """Return `n_rows` rows, starting with row `first`."""
        batches = range(first // ROWS_AT_ONCE, -(-(first + n_rows) // ROWS_AT_ONCE))
        found = [self.reader.get_batch(k) for k in batches]
        table = pa.Table.from_batches(found, self.reader.schema)
        return table.slice(first - batches.start * ROWS_AT_ONCE, n_rows).combine_chunks()


def groups_of(take: Callable[[int, int], Table], n_rows: int) -> Iterator[Table]:
    """Yield all rows in order, as tables of `ROWS_AT_ONCE` rows; the last one may be shorter.

    `take` is a function from `merge_shares`.
    """
    for first in range(0, n_rows, ROWS_AT_ONCE):
        yield take(first, min(ROWS_AT_ONCE, n_rows - first)).combine_chunks()


def write_rows(
    groups: Iterable[Table], schema: Schema, folder: Path | None, stack: ExitStack
) -> RowsOnDisk:
    """Write tables to a temporary file, and return them as `RowsOnDisk`; `stack` closes the file.

    `groups` are tables of one chunk with `ROWS_AT_ONCE` rows, except the last. `folder` is the
    file's folder; None for the system's.
    """
    file = stack.enter_context(open_unnamed(folder))
    with pa.ipc.new_file(pa.PythonFile(file, "w"), schema) as writer:
        for group in groups:
            writer.write_table(group)
    file.seek(0)
    return RowsOnDisk(pa.ipc.open_file(pa.PythonFile(file, "r")), file)


@contextmanager
def renumbering(earlier: NDArray[np.int64], numbers: NDArray[np.int64]) -> Generator[None]:
    """In errors about rows of a share, name the rows by their numbers in history or data.

    `earlier` holds the numbers of history rows, `numbers` those of data rows.
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
