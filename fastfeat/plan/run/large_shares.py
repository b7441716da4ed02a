"""A share that is too large to be in memory at once: of an entity that has many of all rows.

Where its rows stand in the order of time, as those of logs do, it is read a table after another.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import IO, Any

import numpy as np

from fastfeat.io.arrow import Table, pa
from fastfeat.plan.run.in_time import NotInOrder, Numbers, in_time_of_share, with_types
from fastfeat.plan.run.shares import (
    numbered,
    put_away,
    renumbering,
    unnumbered,
)
from fastfeat.plan.run.stage_work import PlaceOnDisk, StageWork, share_bytes

LARGE = 2
"""Times the bytes that a share has."""
_TABLE_BYTES = 8 << 20


def of_large_share(
    work: StageWork,
    file: IO[bytes],
    past: IO[bytes] | None,
    given: Sequence[PlaceOnDisk],
    n_earlier: int,
) -> Iterator[Table] | None:
    """Return the functions of a large share, with the numbers of its rows, which rise.

    None where it is not large, windows see more than the latest rows, or rows are not in order of
    time: the files are as they were then.

    Args:
        work: the stage.
        file: the rows.
        past: those of the history; None without one.
        given: columns of earlier stages.
        n_earlier: how many rows the whole history has.
    """
    files = [one for one in (past, file) if one is not None]
    most_bytes = share_bytes(work.source)
    if sum(one.tell() for one in files) < LARGE * most_bytes:
        return None

    def tables() -> Iterator[tuple[Table, Numbers]]:
        for one in files:
            first = n_earlier if one is file else 0
            for table, numbers in _tables_in(one, min(_TABLE_BYTES, most_bytes)):
                yield with_types(table, work, len(given)), numbers + first

    @contextmanager
    def telling(places: Numbers, n_past: int) -> Generator[None]:
        numbers = np.where(places < n_earlier, places, places - n_earlier)
        with renumbering(numbers[:n_past], numbers[n_past:]):
            yield

    stream = in_time_of_share(work, tables(), given, telling)
    if stream is None:
        return None

    def found() -> Iterator[Table]:
        for functions, places in stream:
            if work.stage.of_seen:
                yield numbered(functions, pa.array(places))
            else:
                own = places >= n_earlier
                kept = functions.filter(pa.array(own))
                yield numbered(kept, pa.array(places[own] - n_earlier))

    n_tied = Counter(work.n_tied)
    try:
        made = put_away(found(), work.source.folder)
    except NotInOrder:
        work.n_tied.clear()
        work.n_tied.update(n_tied)
        return None
    for one in files:
        one.close()
    return made


def _tables_in(file: IO[bytes], most_bytes: int) -> Iterator[tuple[Table, Numbers]]:
    """Yield the rows in the file of a share, some at a time, and their numbers."""
    file.seek(0)
    waiting: list[Any] = []
    with pa.ipc.open_stream(pa.PythonFile(file, "r")) as reader:
        for batch in reader:
            waiting.append(batch)
            if sum(one.nbytes for one in waiting) >= most_bytes:
                yield _of_batches(waiting)
                waiting = []
    if waiting:
        yield _of_batches(waiting)


def _of_batches(batches: Sequence[Any]) -> tuple[Table, Numbers]:
    table, numbers = unnumbered(pa.Table.from_batches(batches).combine_chunks())
    return table, numbers.to_numpy()
