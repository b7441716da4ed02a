"""What `verify` does with the rows of plans that have windows: whole entities, halves in time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastfeat.io.arrow import call, cast, index_in, pa
from fastfeat.io.decode import decoded, plain_table
from fastfeat.ir.node import Column
from fastfeat.ir.scope import asking_of, order_of, window_nodes

if TYPE_CHECKING:
    from fastfeat.plan.fitted import FittedPlan


class PastColumns(NamedTuple):
    """What orders the rows that windows see.

    Args:
        keys: the columns that tell entities apart, of the first window.
        one_entity: whether all windows are of the same entity.
        time: the column of the time; None where windows have several, or compute it.
    """

    keys: tuple[str, ...]
    one_entity: bool
    time: str | None


def past_of_plan(fitted: FittedPlan) -> PastColumns | None:
    """Return what orders the rows that the windows of a plan see; None where it has none."""
    orders = [order_of(over) for over in window_nodes(fitted.nodes.values())]
    if not orders:
        return None
    keys = [asking_of(order)[1:] for order in orders]
    names = tuple(key.name for key in keys[0] if isinstance(key, Column))
    time, times = orders[0].args[0], {order.args[0] for order in orders}
    one_time = time.name if isinstance(time, Column) and len(times) == 1 else None
    return PastColumns(names, len(set(keys)) == 1, one_time)


def by_entity(rows: Any, past: PastColumns) -> NDArray[np.int64]:
    """Return the numbers of rows by entity, the rows of each in the order that they have."""
    order: NDArray[np.int64] = np.arange(int(rows.num_rows), dtype=np.int64)
    for name in past.keys[::-1]:
        codes: NDArray[np.int64] = _codes(rows.column(name))[order]
        order = order[np.argsort(codes, kind="stable")]
    return order


def _codes(column: Any) -> NDArray[np.int64]:
    """Return a number for each value of a column, the same for equal ones; -1 where missing."""
    values = decoded(column)
    if pa.types.is_floating(values.type):
        values = call("add", cast(values, pa.float64()), pa.scalar(0.0))  # 0.0 for -0.0
    coded = values.combine_chunks().dictionary_encode()
    return coded.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)


def entities(rows: Any, past: PastColumns, n_rows: int) -> Any:
    """Return about so many rows: those of whole entities, in the order that they have."""
    if rows.num_rows <= n_rows:
        return rows
    return plain_table(rows).take(np.sort(by_entity(rows, past)[:n_rows]))


def of_entities(history: Any, rows: Any, past: PastColumns) -> Any:
    """Return those earlier rows that are of entities of some rows, as far as columns tell them."""
    if not past.one_entity:
        return history
    kept, known = plain_table(history), plain_table(rows)
    for name in past.keys:
        given = known.column(name)
        if kept.column(name).type == given.type and not pa.types.is_floating(given.type):
            found = index_in(kept.column(name), given.combine_chunks().unique())
            kept = kept.filter(call("is_valid", found))
    return kept


def halves_in_time(rows: Any, time: str) -> tuple[Any, Any]:
    """Return the earlier half of the rows and the later one; rows of one instant stay together."""
    column = rows.column(time)
    order = call("sort_indices", column, options=None)
    middle = column[order[rows.num_rows // 2].as_py()]
    is_late = call("coalesce", call("greater_equal", column, middle), pa.scalar(True))
    return rows.filter(call("invert", is_late)), rows.filter(is_late)


def as_history(rows: Any, columns: Sequence[str]) -> Any:
    """Return what windows read of rows; late columns that the rows lack are missing."""
    there = set(rows.column_names)
    found = plain_table(rows.select([name for name in columns if name in there]))
    for name in columns:
        if name not in there:
            found = found.append_column(name, pa.nulls(rows.num_rows))
    return found


def together(history: Any, rows: Any) -> Any:
    """Return earlier rows and the rows after them, which have the same columns, as one table."""
    both = [plain_table(history), rows.select(history.column_names)]
    return pa.concat_tables(both, promote_options="permissive")
