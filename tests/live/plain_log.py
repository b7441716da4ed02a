"""A log of rows as a list: what rows see of it is found by looking at every row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from fastfeat.api.plan import FittedPlan, fitted_records
from fastfeat.engine.float_environment import with_ieee_arithmetic
from fastfeat.execute.batch import Batch
from fastfeat.execute.lookup_tables import table_values
from fastfeat.execute.steps import make
from fastfeat.io.columns.types import arrow_type
from fastfeat.ir.node import Node
from fastfeat.live.ask.features import AnsweredRows, LogView, answer, kept_arrays
from fastfeat.live.ask.one_row import answer_row
from fastfeat.live.lower.live_plan import LivePlan, lower
from fastfeat.live.lower.row_orders import OrderValues, compute_order_values, log_rows
from fastfeat.scalars.zones import use_zone_tables

Key = tuple[Any, ...] | None


class PlainLog:
    """All rows that came, in order of arrival, with what is kept beside them.

    Args:
        plans: what is asked.
        tables: lookup tables.
        evicts: whether rows that ask see none that is out of reach of its entity's latest row.
    """

    def __init__(
        self,
        plans: Mapping[str, FittedPlan],
        tables: Mapping[str, Any] | None = None,
        *,
        evicts: bool = False,
    ) -> None:
        self.evicts = evicts
        self.lowered: LivePlan = lower(fitted_records(plans))
        self.tables = tables or {}
        types = {**self.lowered.columns, **self.lowered.kept_types}
        self.rows = pa.table({name: pa.array([], arrow_type(t)) for name, t in types.items()})
        self.entities: list[list[Key]] = [[] for _ in self.lowered.orders]
        self.times: list[list[int]] = [[] for _ in self.lowered.orders]

    def ask(
        self, rows: pa.Table, *, alone: bool = False, backend: str = "cpu", **options: Any
    ) -> AnsweredRows:
        """Return rows with what they see; where they ask alone, each has entities of its own."""
        placed = compute_order_values(self.lowered, rows, self.tables)
        seen = [self._seen(k, keys_of(values), alone) for k, values in enumerate(placed)]
        return answer(self.lowered, rows, seen, self.tables, backend, **options)

    def append(self, rows: pa.Table, kept: Mapping[str, pa.Array]) -> None:
        """Put rows into the log."""
        for k, values in enumerate(compute_order_values(self.lowered, rows, self.tables)):
            self.entities[k] += keys_of(values)
            self.times[k] += values.times.tolist()
        new = log_rows(self.lowered, rows)
        for name, column in kept.items():
            new = new.append_column(name, column.cast(self.rows.schema.field(name).type))
        new = new.select(self.rows.column_names).cast(self.rows.schema)
        self.rows = pa.concat_tables([self.rows, new])

    def process(self, rows: pa.Table, **options: Any) -> AnsweredRows:
        """Return rows with what they see, and put them into the log."""
        answered = self.ask(rows, **options)
        self.append(rows, answered.kept)
        return answered

    def process_row(self, row: Mapping[str, Any], rows: pa.Table) -> Any:
        """Return the features of a row, given as a dict and as a table, and put it into the log."""
        placed = compute_order_values(self.lowered, rows, self.tables)
        seen = [self._seen(k, keys_of(values), False) for k, values in enumerate(placed)]
        log = log_rows(self.lowered, rows)
        answered = answer_row(self.lowered, row, log, seen, self.tables)
        self.append(rows, answered.kept)
        return answered.features[""]

    def _seen(self, order: int, asking: Sequence[Key], alone: bool) -> LogView:
        known = self.entities[order]
        if self.evicts:
            known = self._in_reach(order)
        rows: list[int] = []
        codes: list[int] = []
        own: list[int] = []
        if alone:
            for k, key in enumerate(asking):
                found = [j for j, other in enumerate(known) if key is not None and other == key]
                rows, codes = rows + found, codes + [k] * len(found)
                own.append(-1 if key is None else k)
        else:
            numbers: dict[Key, int] = {}
            for key in asking:
                own.append(-1 if key is None else numbers.setdefault(key, len(numbers)))
            rows = [j for j, key in enumerate(known) if key is not None and key in numbers]
            codes = [numbers[known[j]] for j in rows]
        taken = self.rows.take(pa.array(rows, pa.int64()))
        return LogView(taken, np.array(codes, np.int32), np.array(own, np.int32))

    def _in_reach(self, order: int) -> list[Key]:
        """Return the entity of each row, None of one out of reach."""
        reach, times = self.lowered.orders[order].reach, self.times[order]
        tick = 1 if reach.unit == "steps" else 1000  # of microseconds
        found: list[Key] = [None] * len(times)
        for key in set(self.entities[order]) - {None}:
            own = [k for k, other in enumerate(self.entities[order]) if other == key]
            own.sort(key=lambda k: (times[k], k))
            first = (times[own[-1]] * tick - (reach.span or 0)) / tick
            before = [k for k in own if times[k] < first]
            stay = len(before) if reach.n_rows is None else min(reach.n_rows, len(before))
            for k in [*before[len(before) - stay :], *(k for k in own if times[k] >= first)]:
                found[k] = key
        return found


def keys_of(values: OrderValues) -> list[Key]:
    """Return the entity of each row, None for none."""
    parts = [key.to_pylist() for key in values.keys]
    keys = [*zip(*parts, strict=True)] if parts else [() for _ in values.is_placed]
    return [
        key if is_placed else None for key, is_placed in zip(keys, values.is_placed, strict=True)
    ]


@with_ieee_arithmetic
def kept_of_history(
    lowered: LivePlan, rows: pa.Table, tables: Mapping[str, Any], backend: str = "cpu"
) -> dict[str, pa.Array]:
    """Return the values of functions that windows read, for rows that hold their own past.

    Args:
        lowered: what is asked.
        rows: all rows that a log begins with.
        tables: the lookup tables.
        backend: its name.

    Returns:
        A value for each row, by the name of the function in `LivePlan.kept`.
    """
    log = log_rows(lowered, rows)
    batches: dict[str, Batch] = {}
    for name in dict.fromkeys(kept.plans[0] for kept in lowered.kept.values()):
        prepared = lowered.prepared[name]
        made: dict[Node, Any] = dict(table_values(prepared.fitted.table_columns, tables))
        batch = batches[name] = prepared.batch(log, made, backend, 0)
        with use_zone_tables(prepared.fitted.zones):
            make(batch, [kept.call for kept in lowered.kept.values() if kept.plans[0] == name])
    return kept_arrays(lowered, batches, lowered.kept)
