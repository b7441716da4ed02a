"""Shares (hash partitions) that are too large for memory because one entity has many of the rows.

Rows that are sorted by time, like those in logs, are read one table after another.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import IO, Any

import numpy as np
from fastfeat_kernels.arrays import Int64Array

from fastfeat.execute.shares import (
    renumbering,
    spill_tables,
    with_row_numbers,
    without_row_numbers,
)
from fastfeat.execute.stage_work import WORK, SpilledColumn, StageWork, share_bytes
from fastfeat.execute.time_ordered_stage import NotInOrder, compute_share_in_time_order, with_types
from fastfeat.io.arrow import Table, pa
from fastfeat.io.budget import check_within, current_budget

LARGE = 2
"""A share is large from this multiple of the usual share size."""
_TABLE_BYTES = 8 << 20
_WORK_BYTES = 4
"""Working memory per byte of a table, without sums."""
_SUM_BYTES = 320
"""Bytes of exact sums per row and function: 120,000 rows of 4 means took 159 MiB."""
_FEWEST_ROWS = 1 << 12


def compute_large_share(
    work: StageWork,
    file: IO[bytes],
    past: IO[bytes] | None,
    given: Sequence[SpilledColumn],
    n_earlier: int,
) -> Iterator[Table] | None:
    """Return an iterator over tables of a large share's functions, in row order.

    None if the share is not large, windows see more than the latest rows, or rows are not sorted by
    time; the files are then unchanged.

    Args:
        work: The stage.
        file: Rows of the share.
        past: History rows of the share; None without history.
        given: Columns of earlier stages.
        n_earlier: Number of rows of the whole history.
    """
    files = [one for one in (past, file) if one is not None]
    most_bytes = share_bytes(work.source)
    if sum(one.tell() for one in files) < LARGE * most_bytes:
        return None

    def tables() -> Iterator[tuple[Table, Int64Array]]:
        for one in files:
            first = n_earlier if one is file else 0
            for table, numbers in _tables_in(one, lambda row: _rows_at_once(work, row)):
                yield with_types(table, work, len(given)), numbers + first

    @contextmanager
    def telling(places: Int64Array, n_past: int) -> Generator[None]:
        numbers = np.where(places < n_earlier, places, places - n_earlier)
        with renumbering(numbers[:n_past], numbers[n_past:]):
            yield

    stream = compute_share_in_time_order(work, tables(), given, telling)
    if stream is None:
        return None

    def found() -> Iterator[Table]:
        for functions, places in stream:
            check_within(WORK)
            if work.stage.of_seen:
                yield with_row_numbers(functions, pa.array(places))
            else:
                own = places >= n_earlier
                kept = functions.filter(pa.array(own))
                yield with_row_numbers(kept, pa.array(places[own] - n_earlier))

    n_tied = Counter(work.n_tied)
    try:
        made = spill_tables(found(), work.source.folder)
    except NotInOrder:
        work.n_tied.clear()
        work.n_tied.update(n_tied)
        return None
    for one in files:
        one.close()
    return made


def _rows_at_once(work: StageWork, row_bytes: float) -> int:
    """Return the number of rows per table that the memory budget allows, for rows of some bytes."""
    n_rows = int(min(_TABLE_BYTES, share_bytes(work.source)) / row_bytes)
    budget = current_budget()
    if budget is not None:
        of_row = _WORK_BYTES * row_bytes + _SUM_BYTES * len(work.stage.nodes)
        n_rows = min(n_rows, int(budget.spare() / 2 / of_row))
    return max(_FEWEST_ROWS, n_rows)


def _tables_in(
    file: IO[bytes], rows_at_once: Callable[[float], int]
) -> Iterator[tuple[Table, Int64Array]]:
    """Yield the rows in a share's file as tables, each with the numbers of its rows.

    `rows_at_once` returns the number of rows of the next table, from the bytes of a row.
    """
    file.seek(0)
    waiting: list[Any] = []
    with pa.ipc.open_stream(pa.PythonFile(file, "r")) as reader:
        for batch in reader:
            waiting.append(batch)
            n_waiting = sum(len(one) for one in waiting)
            most = rows_at_once(max(1.0, sum(one.nbytes for one in waiting) / max(1, n_waiting)))
            while n_waiting >= most:
                table = pa.Table.from_batches(waiting)
                yield _of_table(table.slice(0, most))
                waiting = table.slice(most).to_batches()
                n_waiting -= most
    if waiting:
        yield _of_table(pa.Table.from_batches(waiting))


def _of_table(rows: Table) -> tuple[Table, Int64Array]:
    table, numbers = without_row_numbers(rows.combine_chunks())
    return table, numbers.to_numpy()
