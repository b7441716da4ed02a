"""A live state by its definition: all rows that ever came, and `transform` of one row after them.

It drops nothing, batches nothing and indexes nothing: what `Live` does is compared with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

import fastfeat as ff

Row = dict[str, Any]


@dataclass
class Model:
    """The rows that came, in order of arrival.

    Args:
        fitted: a plan with `row_id="id"`.
        schema: of rows.
        tables: lookup tables.
        backend: that computes.
        rows: by their id.
    """

    fitted: ff.FittedPlan
    schema: pa.Schema
    tables: dict[str, pa.Table]
    backend: str = "cpu"
    rows: dict[Any, Row] = field(default_factory=dict[Any, Row])

    def asked(self, row: Row) -> pa.Table:
        """Return the features of a row, after all that came; one that came has its place."""
        return self.fitted.transform(
            pa.Table.from_pylist([row], self.schema),
            history=self.history(),
            tables=self.tables,
            backend=self.backend,
        )

    def process(self, rows: Sequence[Row], stored: Sequence[bool]) -> pa.Table:
        """Return the features of rows, each after those before it; take those that are stored."""
        found: list[pa.Table] = []
        for row, is_stored in zip(rows, stored, strict=True):
            known = self.rows.get(row["id"])
            found.append(self.asked(row if known is None else known))
            if is_stored and known is None:
                self.rows[row["id"]] = row
        return pa.concat_tables(found)

    def history(self) -> pa.Table:
        """Return the rows that came."""
        return pa.Table.from_pylist(list(self.rows.values()), self.schema)
