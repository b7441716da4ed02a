"""A scan: one pass over the rows of a data set, in tables of bounded size.

A thread reads one table ahead. A scratch copy is a file with decoded columns of the data set, from
which later scans read faster. Origins are the files or parts that rows come from.
"""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager

from fastfeat_kernels.records import dataclass

from fastfeat.errors import FastfeatError, InvalidData, Overflow, TypeMismatch, counted
from fastfeat.io.arrow import ChunkedArray, Schema, Table, pa, schema_with
from fastfeat.io.columns.types import column_text
from fastfeat.io.sources.dataset import Dataset, DatasetPart
from fastfeat.io.sources.frames import rows_only
from fastfeat.io.sources.parts import Origin
from fastfeat.io.sources.scratch import Scratch, scratch_writer
from fastfeat.io.sources.widening import in_type, wider_type

MOST_BYTES = 1 << 26
_OF_AN_ARRAY = 1 << 10
"""Overhead in bytes of a small array; without it a million tiny files would become one table."""
_PLACE = " (that is "
_ROW = re.compile(r"\brow ([\d,]*\d)\b")


@dataclass(frozen=True, slots=True)
class ScannedTable:
    """One table of a scan: consecutive rows of a data set.

    Args:
        table: The rows.
        first_row: Number of the first row in the data set.
        origins: The files or parts that the rows come from, in row order.
    """

    table: Table
    first_row: int
    origins: tuple[Origin, ...]

    def place(self, row: int) -> str:
        """Return a row's file and its row number in it, for a message.

        `row` is its number in the data set.

        Example:
            >>> ScannedTable(None, 10, (Origin(10, "b.csv", 0),)).place(12)
            'b.csv, row 2'
        """
        origin = next(of for of in reversed(self.origins) if of.first_row <= row)
        return f"{origin.name}, row {row - origin.first_row + origin.row_in_part}"


@contextmanager
def with_place_in_errors(scanned: ScannedTable) -> Generator[None]:
    """Add the file of a row to errors raised inside that name a row of `scanned` by its number.

    Errors about a history say "history=" and are left alone.
    """
    try:
        yield
    except (InvalidData, Overflow, TypeMismatch) as error:
        end = scanned.first_row + scanned.table.num_rows
        rows = [] if is_of_history(error) else numbers_of_rows(error)
        row = next((row for row in rows if scanned.first_row <= row < end), None)
        if row is None or not scanned.origins:
            raise
        raise with_place(error, scanned, row) from error


def is_of_history(error: FastfeatError) -> bool:
    """Return whether an error is about rows of a history, by its text."""
    return str(error).startswith("history=") or " of history=" in str(error)


def numbers_of_rows(error: FastfeatError) -> list[int]:
    """Return the row numbers in an error's text; empty if it names their file already."""
    text = str(error)
    return [] if _PLACE in text else [int(n.replace(",", "")) for n in _ROW.findall(text)]


def with_place(error: FastfeatError, scanned: ScannedTable, row: int) -> FastfeatError:
    """Return the error with the file of a row added to the line that names the row."""
    lines = str(error).split("\n")
    names_it = next((k for k, line in enumerate(lines) if _ROW.search(line)), -1)
    lines[names_it] += f"{_PLACE}{scanned.place(row)})"
    return type(error)("\n".join(lines))


def scan(
    dataset: Dataset,
    columns: Sequence[str] | None = None,
    most_bytes: int | Callable[[], int] = MOST_BYTES,
    *,
    start: int = 0,
    stop: int | None = None,
    keep: Sequence[str] = (),
) -> Generator[ScannedTable]:
    """Return the rows of a data set, in order, in tables of bounded size; at least one table.

    While a table is processed, a thread reads the next one: two tables are in memory, plus the
    decoded rows of a third. Rows of small files and row groups are joined, and large ones are
    split, so the boundaries depend on `most_bytes`.

    Args:
        dataset: The data.
        columns: Columns to read, in this order; None reads all. Unknown names are left out.
        most_bytes: Size limit of a table, unless a single row or Arrow IPC record batch is larger.
            A function is called before each table, in the thread that reads.
        start: Number of the first row; earlier row groups are not decoded.
        stop: Number after the last row; None for all.
        keep: Columns to write to the data set's scratch copy, if it has one, in a scan of all rows.
            Columns that are already there are read from it.

    Raises:
        UnknownColumn, TypeMismatch: A column differs between parts.
        InvalidData: During reading: a file is damaged or has changed, or a one-shot reader was
            already read.

    Example:
        >>> from fastfeat.io.sources.dataset import dataset_of
        >>> rows = dataset_of({"x": [1, 2, 3]})
        >>> [(of.first_row, of.table.num_rows) for of in scan(rows, most_bytes=16)]
        [(0, 2), (2, 1)]
    """
    wanted = list(dataset.schema.names if columns is None else dict.fromkeys(columns))
    dataset.check([*dataset.column_errors, *wanted] if columns is None else wanted)
    there = set(dataset.schema.names)
    names = [name for name in wanted if name in there]
    asked = most_bytes if callable(most_bytes) else lambda: most_bytes
    if dataset.scratch is None:
        return _ahead(_packed(dataset, names, asked, start, stop))
    kept = [name for name in keep if name in names] if start == 0 and stop is None else []
    end = sys.maxsize if stop is None else stop
    return _ahead(_through(dataset, dataset.scratch, names, asked, range(start, end), kept))


def n_rows_of(dataset: Dataset) -> int:
    """Return the number of rows of a data set, which is scanned if the number is not known."""
    if dataset.n_rows is not None:
        return dataset.n_rows
    with closing(scan(dataset, dataset.schema.names[:1])) as tables:
        return sum(scanned.table.num_rows for scanned in tables)


def _ahead(tables: Generator[ScannedTable]) -> Generator[ScannedTable]:
    """Yield tables while another thread fetches the next one."""
    with ThreadPoolExecutor(1, "fastfeat-scan") as thread:
        try:
            coming = thread.submit(next, tables, None)
            while (table := coming.result()) is not None:
                coming = thread.submit(next, tables, None)
                yield table
                del table
        finally:
            try:
                thread.submit(tables.close)
            except RuntimeError:  # the interpreter is exiting: its threads accept no more work
                tables.close()


def _through(
    dataset: Dataset,
    scratch: Scratch,
    names: Sequence[str],
    most_bytes: Callable[[], int],
    wanted: range,
    keep: Sequence[str],
) -> Generator[ScannedTable]:
    """Yield tables of a scan, with columns read from the scratch copy if it has them.

    Columns in `keep` are written to the copy.
    """
    there = [name for name in names if name in scratch.pieces]
    rest = [name for name in names if name not in scratch.pieces]
    if there and not rest:
        dataset.check_unchanged()
        yield from _copied(scratch, names, most_bytes, wanted)
        return
    kept = scratch_writer(scratch, [name for name in keep if name in rest])
    stop = None if wanted.stop == sys.maxsize else wanted.stop
    share = len(rest) / max(1, len(names))
    tables = _packed(dataset, rest, lambda: int(most_bytes() * share), wanted.start, stop)
    seconds, began = 0.0, time.perf_counter()
    for scanned in tables:
        seconds += time.perf_counter() - began
        table = scanned.table
        kept.add(table, scanned.origins, seconds)
        if there and table.num_rows:
            yield from _beside(scratch, there, names, scanned, most_bytes)
        else:
            yield scanned
        began = time.perf_counter()
    kept.close()


def _beside(
    scratch: Scratch,
    there: Sequence[str],
    names: Sequence[str],
    scanned: ScannedTable,
    most_bytes: Callable[[], int],
) -> Generator[ScannedTable]:
    """Yield rows of `scanned` together with the columns `there` from a scratch copy.

    The columns of the copy may be much larger than the others, so tables are split again by
    `most_bytes`.
    """
    rows, start = scanned.table, scanned.first_row
    own = rows.nbytes / rows.num_rows
    first, end = start, start + rows.num_rows
    while first < end:
        stop = min(scratch.stop_of(there, most_bytes(), first, own), end)
        both = _columns(rows.slice(first - start, stop - first))
        both |= _columns(scratch.rows(there, first, stop))
        table = pa.table({name: both[name] for name in names})
        yield ScannedTable(table, first, scratch.origins_of(first, stop))
        first = stop


def _columns(table: Table) -> dict[str, ChunkedArray]:
    return dict(zip(table.column_names, table.columns, strict=True))


def _copied(
    scratch: Scratch, names: Sequence[str], most_bytes: Callable[[], int], wanted: range
) -> Generator[ScannedTable]:
    """Yield tables of columns that are all in a scratch copy; at least one table."""
    assert scratch.n_rows is not None
    first, end = min(wanted.start, scratch.n_rows), min(wanted.stop, scratch.n_rows)
    while True:
        stop = min(scratch.stop_of(names, most_bytes(), first), end)
        yield ScannedTable(scratch.rows(names, first, stop), first, scratch.origins_of(first, stop))
        first = stop
        if first >= end:
            return


def _packed(
    dataset: Dataset,
    names: Sequence[str],
    most_bytes: Callable[[], int],
    start: int,
    stop: int | None,
) -> Generator[ScannedTable]:
    """Yield tables of at most `most_bytes`, joined from smaller ones."""
    pieces: list[Table] = []
    origins: list[Origin] = []
    n_bytes, none_yet, most = 0, True, most_bytes()
    for origin, table in _cut(_pieces(dataset, names, most_bytes, start, stop), most_bytes):
        own = table.nbytes + _OF_AN_ARRAY * (1 + table.num_columns)
        if pieces and n_bytes + own > most:
            yield _joined(pieces, origins)
            pieces, origins, n_bytes, none_yet, most = [], [], 0, False, most_bytes()
        if not origins or origins[-1].name != origin.name:
            origins.append(origin)
        pieces.append(table)
        n_bytes += own
    if pieces or none_yet:
        schema = schema_with(dataset.schema, names)
        yield _joined(pieces or [pa.Table.from_batches([], schema)], origins)


def _joined(pieces: Sequence[Table], origins: Sequence[Origin]) -> ScannedTable:
    first_row = origins[0].first_row if origins else 0
    if pieces[0].num_columns == 0:
        table = rows_only(sum(piece.num_rows for piece in pieces))
    else:
        table = pa.concat_tables(pieces)
    return ScannedTable(table, first_row, tuple(origins))


def _cut(
    pieces: Iterator[tuple[Origin, Table]], most_bytes: Callable[[], int]
) -> Iterator[tuple[Origin, Table]]:
    """Yield tables with their origins, after splitting tables that are larger than `most_bytes`."""
    for origin, table in pieces:
        n_rows = table.num_rows
        n_at_a_time = n_rows
        if table.nbytes > (most := most_bytes()):
            n_at_a_time = max(1, n_rows * most // table.nbytes)
        for row in range(0, n_rows, max(1, n_at_a_time)):
            of = Origin(origin.first_row + row, origin.name, origin.row_in_part + row)
            yield of, table.slice(row, n_at_a_time)


def _pieces(
    dataset: Dataset,
    names: Sequence[str],
    most_bytes: Callable[[], int],
    start: int,
    stop: int | None,
) -> Iterator[tuple[Origin, Table]]:
    """Yield rows `start` to `stop` (exclusive) as the tables that the parts return."""
    first = 0
    for part in dataset.parts:
        if stop is not None and first >= stop:
            return
        n_rows = part.n_rows
        if n_rows is None or first + n_rows > start:
            wanted = range(max(0, start - first), sys.maxsize if stop is None else stop - first)
            n_rows = yield from _pieces_of(part, names, dataset.schema, most_bytes, first, wanted)
        first += n_rows


def _pieces_of(
    part: DatasetPart,
    names: Sequence[str],
    schema: Schema,
    most_bytes: Callable[[], int],
    first: int,
    wanted: range,
) -> Generator[tuple[Origin, Table], None, int]:
    """Yield the wanted rows of one part as tables; return its number of rows if read to the end."""
    end = 0
    for row, table in part.tables(names, most_bytes, wanted.start):
        end = row + table.num_rows
        kept = range(max(row, wanted.start), min(end, wanted.stop))
        if kept:
            table = table.slice(kept.start - row, len(kept))
            yield Origin(first + kept.start, part.name, kept.start), _typed(table, schema, part)
        if end >= wanted.stop:
            return end
    if part.n_rows is not None and part.n_rows != end:
        raise InvalidData(
            f"{part.name} had {counted(part.n_rows, 'row')} when it was first read, and has "
            f"{end:,} now: a data set must not change while it is read. Start again"
        )
    return end


def _typed(table: Table, schema: Schema, part: DatasetPart) -> Table:
    """Return rows with their columns in the types of the data set."""
    for field in table.schema:
        wanted = schema.field(field.name).type
        if field.type != wanted:
            if wider_type(wanted, field.type) != wanted:
                raise TypeMismatch(
                    f"{column_text(field.name)} is {wanted} at first, and {field.type} in a later "
                    f"table of {part.name}. Use one type in all tables"
                )
            table = in_type(table, field.name, wanted, part.name)
    return table
