"""Entities held up by one row with a time far ahead, so that all their later rows are late.

Late rows are counted per entity as long as its latest row, which makes them late, stays the same.
That row, and the source and offset that it came from, are looked up only when a report is wanted.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from threading import Lock

import numpy as np
from fastfeat_kernels.records import dataclass

from fastfeat.errors import counted
from fastfeat.io.arrow import Table
from fastfeat.ir.node import Column
from fastfeat.live.lower.live_plan import LogOrder
from fastfeat.live.state.changes import StateChange
from fastfeat.live.state.lateness import BlockingRow, value_text
from fastfeat.live.state.memory import StateMemory

FEWEST = 10
"""Number of late rows behind one row from which on the entity counts as held up.

A few late rows are normal.
"""
_MOST_ENTITIES = 10_000
MOST_TOLD = 20
"""Maximum number of entities in one report, because each needs a lookup of its row."""


@dataclass(frozen=True, slots=True)
class HeldUp:
    """An entity with many late rows, and the one row that makes them late.

    Args:
        order: Names of the key columns of the entity.
        entity: Text of the entity's key, such as "card = 'c0'".
        n_late: Number of rows that are late because of that row.
        row: Text of the row that makes them late, such as "id = 'e7', t = 2026-01-31
            12:00:00+00:00".
        place: Source and offset of that row, such as "events:0:1234", or "events:0:1234-1299" if
            only the range of its message or micro-batch is known; "" if unknown.
        remedy: Text of a call that removes the row; "" if rows have no ids.
        n_more: Number of further held-up entities that are not in the report; set only on the last
            entity.
    """

    order: str
    entity: str
    n_late: int
    row: str
    place: str
    remedy: str
    n_more: int = 0

    def __str__(self) -> str:
        """Return the entity, number of late rows, row and remedy in one line of text."""
        at = f" at {self.place}" if self.place else ""
        remedy = f"; {self.remedy}" if self.remedy else ""
        late = f"{counted(self.n_late, 'late row')}, held up by the event{at} ({self.row})"
        noun = "entity is" if self.n_more == 1 else "entities are"
        more = f"; {self.n_more:,} more {noun} held up" if self.n_more else ""
        return f"entity {self.entity}: {late}{remedy}{more}"


class LateCounts:
    """For each entity, the number of late rows since its latest row came. Thread-safe.

    The number of entities is bounded: if there are too many, those counted first are forgotten.
    """

    def __init__(self) -> None:
        self._counts: dict[tuple[int, int], tuple[int, int]] = {}
        self._due: dict[tuple[int, int], None] = {}
        self._lock = Lock()

    def note(self, late: Iterable[BlockingRow]) -> None:
        """Count late rows; `late` has the row that makes each of them late."""
        with self._lock:
            self._note(late)

    def _note(self, late: Iterable[BlockingRow]) -> None:
        for one in late:
            key = one.order, one.entity
            latest, n = self._counts.pop(key, (one.latest, 0))
            n = n + 1 if latest == one.latest else 1
            self._counts[key] = one.latest, n
            if n >= FEWEST and _is_power_of_ten(n):
                self._due[key] = None
            if len(self._counts) > _MOST_ENTITIES:
                oldest = next(iter(self._counts))
                del self._counts[oldest]
                self._due.pop(oldest, None)

    def held(self) -> list[tuple[BlockingRow, int]]:
        """Return the rows that hold entities up, and their numbers of late rows, largest first."""
        with self._lock:
            found = [
                (BlockingRow(order, entity, latest), n)
                for (order, entity), (latest, n) in self._counts.items()
                if n >= FEWEST
            ]
        return sorted(found, key=lambda one: -one[1])

    def due(self) -> list[tuple[BlockingRow, int]]:
        """Return the entities that reached 10, 100, 1,000, ... late rows since the last call.

        Each entity comes with the row that makes its rows late, and the number of late rows now.
        """
        with self._lock:
            due, self._due = self._due, {}
            found = [(key, *self._counts[key]) for key in due]
        return [(BlockingRow(*key, latest), n) for key, latest, n in found]

    def counts(self, late: BlockingRow) -> bool:
        """Return whether late rows are still counted for the latest row that `late` names.

        False if a later row came, or the entity was forgotten.
        """
        with self._lock:
            return self._counts.get((late.order, late.entity), (None, 0))[0] == late.latest


def _is_power_of_ten(n: int) -> bool:
    return n == 10 ** (len(str(n)) - 1)


def is_held_up(memory: StateMemory, late: BlockingRow) -> bool:
    """Return whether the row that holds an entity up is still the latest row of the entity."""
    entities = np.array([late.entity], np.int32)
    return memory.log is not None and memory.log.latest(late.order, entities)[0] == late.latest


def find_blocking_row(memory: StateMemory, late: BlockingRow) -> Table | None:
    """Return the row that holds an entity up, with the columns that identify and order it.

    None if it is no longer the entity's latest row.
    """
    log = memory.log
    if log is None or not is_held_up(memory, late):
        return None
    entities, times = np.array([late.entity], np.int32), np.array([late.latest], np.int64)
    seen = log.seen(late.order, entities, times, alone=False)
    rows = log.take(seen, memory.placed_by)
    at = np.flatnonzero(memory.times_of(late.order, rows) == late.latest)
    return rows.slice(int(at[-1]), 1) if len(at) else None


def describe_held_up(
    order: LogOrder, row_id: str | None, row: Table, n_late: int, place: str
) -> HeldUp:
    """Return the report of a held-up entity; `row` is the row that holds it up."""
    entity = ", ".join(value_text(key, row, 0) for key in order.keys) or "all rows"
    nodes = [order.time] if row_id is None else [Column(row_id), order.time]
    remedy = ""
    if row_id is not None:
        remedy = f"live.remove({row.column(row_id)[0].as_py()!r}) removes it"
    told = ", ".join(value_text(node, row, 0) for node in nodes)
    return HeldUp(order.entity, entity, n_late, told, place, remedy)


def find_row_source(row: Table, row_id: str | None, changes: Iterable[StateChange]) -> str:
    """Return the source and offset of a row, such as "events:0:1234", looked up among changes.

    "" if no change with a source has the row. Rows are compared by id, or as a whole if `row_id` is
    None. The last change that has the row counts.
    """
    names = [row_id] if row_id is not None else row.column_names
    wanted = [row.column(name)[0].as_py() for name in names]
    found = ""
    for change in changes:
        if not change.source or change.kind not in ("process", "update"):
            continue
        if any(name not in change.rows.column_names for name in names):
            continue
        columns: list[Sequence[object]] = [change.rows.column(n).to_pylist() for n in names]
        for at, values in enumerate(zip(*columns, strict=True)):
            if list(values) == wanted:
                found = _offset_text(change, at)
    return found


def _offset_text(change: StateChange, at: int) -> str:
    """Return the source and offset of the row at index `at` of a change, as text.

    The offset is the row's own if each row of the change has one, else the range of the change.
    """
    if change.end - change.first == change.rows.num_rows:
        return f"{change.source}:{change.first + at}"
    return f"{change.source}:{change.first}-{change.end - 1}"
