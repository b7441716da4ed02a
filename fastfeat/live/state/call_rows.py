"""Rows of a call, with their time and entity in each order of the log, and the rows they see.

A stage is a group of orders for which times and keys are computed together. Later stages depend on
window results of earlier stages.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fastfeat_kernels.arrays import Int32Array, Int64Array
from fastfeat_kernels.records import dataclass

from fastfeat.io.arrow import Table
from fastfeat.live.ask.features import Batches, LogView
from fastfeat.live.log.entities import RowPlaces


@dataclass(frozen=True, slots=True)
class PlacedRows:
    """Rows of a call, with their time and entity in the orders of the stages so far.

    Args:
        rows: Rows with the columns that the plans read.
        log: The columns of these rows that the log stores, with the window results from which the
            orders are computed.
        times: Per order, the time of each row in ticks.
        entities: Per order, the entity number of each row; -1 for none.
        numbers: For each row, the number of the log row that has its id; -1 for none.
        tables: Lookup tables at the time of the call.
        first: Number of the first row in error messages.
    """

    rows: Table
    log: Table
    times: Sequence[Int64Array]
    entities: Sequence[Int32Array]
    numbers: Int64Array
    tables: Mapping[str, Table]
    first: int = 0

    @property
    def n_rows(self) -> int:
        """The number of rows."""
        return self.rows.num_rows

    def part(self, begin: int, end: int) -> PlacedRows:
        """Return the rows from index `begin` up to `end`, excluded."""
        if begin == 0 and end == self.n_rows:
            return self
        return PlacedRows(
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
        """The time and entity of the rows in each order, in the form that `Log.append` takes."""
        return [RowPlaces(*pair) for pair in zip(self.times, self.entities, strict=True)]


@dataclass(frozen=True, slots=True)
class WindowRows:
    """Rows of a call, with the log rows that each of them sees.

    Args:
        here: The rows, with their time and entity in all orders.
        seen: The visible log rows, one view per order.
        begun: The rows with the window functions of all stages but the last computed; None if there
            is one stage.
    """

    here: PlacedRows
    seen: Sequence[LogView]
    begun: Batches | None = None
