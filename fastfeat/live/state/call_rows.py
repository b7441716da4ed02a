"""Rows of a call as they stand in the orders of a log, and what they see there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fastfeat.io.arrow import Table
from fastfeat.live.ask.features import Batches, LogView
from fastfeat.live.log.entities import RowPlaces
from fastfeat.live.state.lateness import Codes, Numbers


@dataclass(frozen=True, slots=True)
class Here:
    """Rows of a call, as they stand in the orders of the log: in those of the first stages.

    Args:
        rows: with the columns that the plans read.
        log: their columns of the log, with the kept functions that these orders are made of.
        times: of each, in ticks, by order.
        entities: the number of the entity of each, by order; -1 for none.
        numbers: of each row the number of the row in the log that has its id; -1 for none.
        tables: the lookup tables as they were then.
        first: the number that a user knows the first row by.
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
        """Return some of the rows, one after the other."""
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
    """Rows of a call in all orders of the log, with what they see there.

    Args:
        here: the rows.
        seen: what they see, by order.
        begun: the rows, of which all is made but what the last stage makes; None for nothing.
    """

    here: Here
    seen: Sequence[LogView]
    begun: Batches | None = None
