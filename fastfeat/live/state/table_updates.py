"""Lookup tables of a live state: the rows that an update replaces or adds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from fastfeat.execute.fitted import Fitted
from fastfeat.io.arrow import ChunkedArray, Table, pa
from fastfeat.io.columns.decode import decode_column
from fastfeat.io.columns.keys import key_column
from fastfeat.ir.dtypes import DType
from fastfeat.ir.node import Call, Node, TableColumn, postorder
from fastfeat.live.lower.live_plan import LivePlan


def table_types(plans: Mapping[str, Fitted]) -> dict[str, dict[str, DType]]:
    """Return the types of the table columns that plans read: table name to column name to dtype."""
    found: dict[str, dict[str, DType]] = {}
    for fitted in plans.values():
        for column, dtype in fitted.table_columns.items():
            found.setdefault(column.table, {})[column.name] = dtype
    return found


def key_columns(lowered: LivePlan, table: str) -> list[tuple[str, ...]]:
    """Return the names of the key columns of each lookup by key in a table.

    The list is empty if the table is only read by windows and as-of lookups, which see many rows of
    one key.
    """
    keys: dict[tuple[str, ...], None] = {}
    for node in _nodes(lowered):
        match node:
            case Call("lookup_row", args):
                seen = [a for a in args[len(args) // 2 :] if isinstance(a, TableColumn)]
                if seen[0].table == table:
                    keys[tuple(column.name for column in seen)] = None
            case _:
                pass
    return list(keys)


def _nodes(lowered: LivePlan) -> Iterable[Node]:
    roots = [n for fitted in lowered.plans.values() for n in fitted.declaration.nodes.values()]
    return postorder(roots)


def update_lookup_table(lowered: LivePlan, name: str, known: Table | None, rows: Table) -> Table:
    """Return a lookup table with new rows added; `known` are its rows so far, or None.

    If the table is looked up by key, the last row of each key replaces earlier ones; otherwise the
    rows are appended.
    """
    joined = rows if known is None else pa.concat_tables([known, rows])
    types = table_types(lowered.plans)[name]
    for keys in key_columns(lowered, name):
        parts = [decode_column(key_column(joined.column(k), k, types[k])) for k in keys]
        joined = joined.take(pa.array(_last_of_each(parts, joined.num_rows)))
    return joined.combine_chunks()


def _last_of_each(keys: Sequence[ChunkedArray], n_rows: int) -> NDArray[np.int64]:
    """Return the index of the last row of each key, in the order in which keys first occur.

    `keys` has one column per part of the key.
    """
    codes: NDArray[np.int64] = np.zeros(n_rows, np.int64)
    for column in keys:
        indices = column.combine_chunks().dictionary_encode().indices.fill_null(-1)
        part = indices.to_numpy(zero_copy_only=False).astype(np.int64)
        pairs = codes * (int(part.max(initial=0)) + 2) + part + 1
        codes = np.unique(pairs, return_inverse=True)[1].astype(np.int64)
    last: dict[int, int] = {}
    for row, code in enumerate(codes.tolist()):
        last[code] = row
    return np.fromiter(last.values(), np.int64, len(last))
