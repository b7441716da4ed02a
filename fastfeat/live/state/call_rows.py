"""Rows of a call, placed in the orders of a log, and the rows that they see there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fastfeat.io.arrow import Table
from fastfeat.live.ask.features import Batches, LogView
from fastfeat.live.log.entities import RowPlaces
from fastfeat.live.state.lateness import Codes, Numbers


@dataclass(frozen=True, slots=True)
class Here:
    """Rows of a call, placed in the orders of the stages so far.

    Args:
        rows: Rows with the columns that the plans read.
        log: Their log columns, with the stored window results that these orders are made from.
        times: Time of each row in ticks, per order.
        entities: Entity number of each row, -1 for none, per order.
        numbers: For each row, the number of the log row with its id; -1 for none.
        tables: Lookup tables at that moment.
        first: Number by which the user knows the first row.
    """

    rows: Table
    log: Table
    times: Sequence[Numbers]
    entities: Sequence[Codes]
    numbers: Numbers
    tables: Mapping[str, Table]
    first: int = 0

    @property
    def n_rows(self) -> int:
        """The number of rows."""
        return self.rows.num_rows

    def part(self, begin: int, end: int) -> Here:
        """Return consecutive rows as a part."""
        if begin == 0 and end == self.n_rows:
            return self
        return Here(
            self.rows.slice(begin, end - begin),
            self.log.slice(begin, end - begin),
            [times[begin:end] for times in self.times],
            [entities[begin:end] for entities in self.entities],
            self.numbers[begin:end],
            self.tables,
            self.first + begin,
        )

    @property
    def placed(self) -> list[RowPlaces]:
        """The places of the rows, as a log takes them."""
        return [RowPlaces(*pair) for pair in zip(self.times, self.entities, strict=True)]


@dataclass(frozen=True, slots=True)
class Sight:
    """Rows of a call, placed in all orders of the log, with the rows that they see there.

    Args:
        here: The rows.
        seen: Their view of the log, per order.
        begun: Batches with all stages but the last computed; None if nothing is computed yet.
    """

    here: Here
    seen: Sequence[LogView]
    begun: Batches | None = None
