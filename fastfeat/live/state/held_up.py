"""Entities that one row holds up: its time is ahead, so that all that come after it are late.

Late rows are counted by entity for as long as the latest row of the entity is the same one. Once
there are some, the row behind which they are late is found, and where it came from.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from threading import Lock

import numpy as np

from fastfeat.io.arrow import Table
from fastfeat.ir.node import Column
from fastfeat.live.lower.live_plan import Order
from fastfeat.live.state.changes import Change
from fastfeat.live.state.lateness import LateBehind, value_text
from fastfeat.live.state.memory import Memory

FEWEST = 10
"""Late rows behind one row, from which on it holds its entity up: a few come late anyway."""
_MOST_ENTITIES = 10_000
MOST_TOLD = 20
"""Entities that are described at a time: for each its row is looked for."""


@dataclass(frozen=True, slots=True)
class HeldUp:
    """An entity whose rows come late, all behind one row.

    Args:
        order: the names of the keys that the entity is told by.
        entity: the entity, such as "card = 'c0'".
        n_late: rows that were late behind that row.
        row: the row, such as "id = 'e7', t = 2026-01-31 12:00:00+00:00".
        place: its source and offset, such as "events:0:1234", or "events:0:1234-1299" for one of a
            message or micro-batch of these; empty if nobody knows.
        remedy: the call that takes the row out; empty if there is none.
        n_more: further entities that are held up, beyond those that are described; the last of
            these has their number.
    """

    order: str
    entity: str
    n_late: int
    row: str
    place: str
    remedy: str
    n_more: int = 0

    def __str__(self) -> str:
        """Return a line that says so."""
        at = f" at {self.place}" if self.place else ""
        remedy = f"; {self.remedy}" if self.remedy else ""
        late = f"{self.n_late:,} late, held up by the event{at} ({self.row})"
        noun = "entity is" if self.n_more == 1 else "entities are"
        more = f"; {self.n_more:,} more {noun} held up" if self.n_more else ""
        return f"entity {self.entity}: {late}{remedy}{more}"


class LateCounts:
    """Counts of late rows by entity, each behind its latest row.

    Which entities there are is bounded: of too many, those that were counted first are forgotten.
    """

    def __init__(self) -> None:
        self._counts: dict[tuple[int, int], tuple[int, int]] = {}
        self._due: dict[tuple[int, int], None] = {}
        self._lock = Lock()

    def note(self, late: Iterable[LateBehind]) -> None:
        """Count late rows."""
        with self._lock:
            self._note(late)

    def _note(self, late: Iterable[LateBehind]) -> None:
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

    def held(self) -> list[tuple[LateBehind, int]]:
        """Return the entities that are held up, and how many rows were late: most first."""
        with self._lock:
            found = [
                (LateBehind(order, entity, latest), n)
                for (order, entity), (latest, n) in self._counts.items()
                if n >= FEWEST
            ]
        return sorted(found, key=lambda one: -one[1])

    def due(self) -> list[tuple[LateBehind, int]]:
        """Return entities that are to be told: at 10 late rows, at 100, and so on, once each."""
        with self._lock:
            due, self._due = self._due, {}
            found = [(key, *self._counts[key]) for key in due]
        return [(LateBehind(*key, latest), n) for key, latest, n in found]

    def counts(self, late: LateBehind) -> bool:
        """Return whether rows are counted behind a row, and not behind a later one by now."""
        with self._lock:
            return self._counts.get((late.order, late.entity), (None, 0))[0] == late.latest


def _is_power_of_ten(n: int) -> bool:
    return n == 10 ** (len(str(n)) - 1)


def is_held_up(memory: Memory, late: LateBehind) -> bool:
    """Return whether the row behind which others are late is the latest of its entity still."""
    entities = np.array([late.entity], np.int32)
    return memory.log is not None and memory.log.latest(late.order, entities)[0] == late.latest


def row_behind(memory: Memory, late: LateBehind) -> Table | None:
    """Return the row behind which others are late; None if it is there no more."""
    log = memory.log
    if log is None or not is_held_up(memory, late):
        return None
    entities, times = np.array([late.entity], np.int32), np.array([late.latest], np.int64)
    seen = log.seen(late.order, entities, times, alone=False)
    rows = log.take(seen, memory.placed_by)
    at = np.flatnonzero(memory.times_of(late.order, rows) == late.latest)
    return rows.slice(int(at[-1]), 1) if len(at) else None


def described(order: Order, row_id: str | None, row: Table, n_late: int, place: str) -> HeldUp:
    """Return an entity that is held up.

    Args:
        order: by which its rows are late.
        row_id: the column of the ids; None where there are none.
        row: the row behind which they are late.
        n_late: how many are.
        place: where that row came from.
    """
    entity = ", ".join(value_text(key, row, 0) for key in order.keys) or "all rows"
    nodes = [order.time] if row_id is None else [Column(row_id), order.time]
    remedy = ""
    if row_id is not None:
        remedy = f"live.remove({row.column(row_id)[0].as_py()!r}) takes it out"
    told = ", ".join(value_text(node, row, 0) for node in nodes)
    return HeldUp(order.entity, entity, n_late, told, place, remedy)


def place_of(row: Table, row_id: str | None, changes: Iterable[Change]) -> str:
    """Return the source and the offset of a row, looked up among changes; empty if it is in none.

    Args:
        row: the row.
        row_id: the column of the ids; None to compare whole rows.
        changes: of a state, in their order. The last one that has the row counts.
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


def _offset_text(change: Change, at: int) -> str:
    """Return the place of a row of a change: its offset, or those of all rows of the change."""
    if change.end - change.first == change.rows.num_rows:
        return f"{change.source}:{change.first + at}"
    return f"{change.source}:{change.first}-{change.end - 1}"
