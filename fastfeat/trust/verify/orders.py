"""Row orders in plans with windows: samples, shuffles and splits for `verify`.

A window puts the rows of each entity in order by a time; a row order is such a pair of entities and
times, and a clock is the time. The functions here respect every row order of a plan at once, also
if its entities or times are computed. Row numbers count from 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from fastfeat_kernels.arrays import Int64Array
from numpy.typing import NDArray

from fastfeat.backends import backend_named
from fastfeat.execute.batch import Batch
from fastfeat.execute.fitted import Fitted
from fastfeat.execute.history import with_past
from fastfeat.execute.lookup_tables import Tables, table_values
from fastfeat.execute.steps import make
from fastfeat.execute.values import compute_columns
from fastfeat.execute.windows import past_of
from fastfeat.io.arrow import call, cast, pa
from fastfeat.io.columns.decode import decode_column, plain_table
from fastfeat.ir.node import Call, Node
from fastfeat.ir.scope import order_of, window_nodes
from fastfeat.scalars.zones import use_zone_tables

PAIRS_PER_ROW = 120
"""Average number of past rows that the reference reads per row of the sample."""
EARLIER_PER_ROW = 20
"""Limit on the history rows per row of the sample."""
_NO_TIME = -1
_MIXING = np.uint64(0x9E3779B97F4A7C15)  # odd, so distinct numbers stay distinct


class WindowRowOrder(NamedTuple):
    """A row order of some windows.

    Args:
        clock: Expression of the time.
        entities: Number of each row's entity, shape `(n_rows,)`.
        times: Rank of each row's time among the distinct times, -1 if missing, shape `(n_rows,)`.
    """

    clock: Node
    entities: Int64Array
    times: Int64Array

    def rows(self, wanted: Int64Array | slice) -> WindowRowOrder:
        """Return the row order of some of the rows, given by number or slice."""
        return WindowRowOrder(self.clock, self.entities[wanted], self.times[wanted])


def orders_of(fitted: Fitted, rows: Any, earlier: Any, tables: Tables) -> list[WindowRowOrder]:
    """Return the row orders of a plan's windows, over the history followed by `rows`.

    `earlier` is the history as a table, or None. Keys and times may be looked up in `tables`.
    """
    orders = dict.fromkeys(order_of(over) for over in window_nodes(fitted.nodes.values()))
    made = table_values(fitted.table_columns, tables)
    batch = Batch(rows, fitted.types, backend_named("cpu"), dict(fitted.constants), {**made})
    with use_zone_tables(fitted.zones):
        seen = with_past(batch, earlier, fitted.declaration.past_columns).seen
        read = [arg for order in orders for arg in order.args]
        make(seen, read)
        compute_columns(seen, read)
        return [_order(seen, order) for order in orders]


def _order(seen: Batch, order: Call) -> WindowRowOrder:
    past = past_of(seen, order)
    entities: Int64Array = np.zeros(seen.n_rows, dtype=np.int64)
    for key in past.keys:
        entities = _numbered(entities, _codes(key))
    return WindowRowOrder(order.args[0], entities, _places(past.times))


def _codes(column: Any) -> Int64Array:
    """Return an integer for each value, equal for equal values; -1 if missing."""
    values = decode_column(column)
    if pa.types.is_floating(values.type):
        values = call("add", cast(values, pa.float64()), pa.scalar(0.0))  # 0.0 for -0.0
    whole = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
    indices = whole.dictionary_encode().indices
    return indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)


def _places(times: Any) -> Int64Array:
    """Return the rank of each time among the distinct times; -1 if missing."""
    whole = times.combine_chunks() if isinstance(times, pa.ChunkedArray) else times
    there: NDArray[np.bool_] = whole.is_valid().to_numpy(zero_copy_only=False)
    known = whole.drop_null()
    places: Int64Array = np.full(len(whole), _NO_TIME, dtype=np.int64)
    if len(known):
        plain = known.view(f"int{known.type.bit_width}") if _is_time(known) else known
        numbers = plain.to_numpy(zero_copy_only=False)
        places[there] = np.unique(numbers, return_inverse=True)[1]
    return places


def _is_time(array: Any) -> bool:
    return pa.types.is_temporal(array.type)


def _numbered(first: Int64Array, second: Int64Array) -> Int64Array:
    """Return an integer from 0 for each pair of integers; equal pairs get equal integers."""
    first = np.unique(first, return_inverse=True)[1].astype(np.int64)
    second = np.unique(second, return_inverse=True)[1].astype(np.int64)
    n_second = int(second.max(initial=0)) + 1
    return np.unique(first * n_second + second, return_inverse=True)[1].astype(np.int64)


def sample_rows(orders: Sequence[WindowRowOrder], n_earlier: int, n_rows: int) -> Int64Array:
    """Return the ascending numbers of about `n_rows` rows for the reference backend.

    It takes whole entities. There are fewer rows if they have a long past, which the reference
    reads row by row. `orders` cover the `n_earlier` rows of the history followed by the rows to
    choose from.
    """
    own = [order.rows(slice(n_earlier, None)) for order in orders]
    chosen: Int64Array = np.argsort(own[0].entities, kind="stable")[:n_rows]
    n_read: Int64Array = np.zeros(len(chosen), dtype=np.int64)
    for order, of_rows in zip(orders, own, strict=True):
        entities = of_rows.entities[chosen]
        counts = np.bincount(order.entities[:n_earlier], minlength=int(order.entities.max()) + 1)
        before = np.minimum(counts, PAIRS_PER_ROW)[entities] + _places_within(entities)
        n_read = np.maximum(n_read, before)
    within = np.cumsum(n_read) <= PAIRS_PER_ROW * n_rows
    return np.sort(chosen[: max(1, int(within.sum()))])


def _places_within(groups: Int64Array) -> Int64Array:
    """Return the number of rows of the same group that come before each row, `(n_rows,)`."""
    order = np.argsort(groups, kind="stable")
    first = np.flatnonzero(np.diff(groups[order], prepend=-1))
    sizes = np.diff(first, append=len(groups))
    places: Int64Array = np.empty(len(groups), dtype=np.int64)
    places[order] = np.arange(len(groups)) - np.repeat(first, sizes)
    return places


def latest_before(orders: Sequence[WindowRowOrder], n_earlier: int, rows: Int64Array) -> Int64Array:
    """Return the ascending numbers of the latest history rows of the entities of some rows.

    `orders` cover the `n_earlier` rows of the history followed by the data; `rows` are row numbers
    in the data.
    """
    kept: NDArray[np.bool_] = np.zeros(n_earlier, dtype=np.bool_)
    for order in orders:
        asking = order.rows(rows + n_earlier)
        wanted = np.unique(asking.entities)
        most = min(PAIRS_PER_ROW, max(1, EARLIER_PER_ROW * len(rows) // len(wanted)))
        earlier = order.rows(slice(0, n_earlier))
        is_seen = np.isin(earlier.entities, wanted) & (earlier.times <= asking.times.max())
        numbers = np.flatnonzero(is_seen)
        latest_first = numbers[
            np.lexsort((-numbers, -earlier.times[numbers], earlier.entities[numbers]))
        ]
        kept[latest_first[_places_within(earlier.entities[latest_first]) < most]] = True
    return np.flatnonzero(kept)


def shuffled_order(orders: Sequence[WindowRowOrder]) -> Int64Array | None:
    """Return the row numbers in a shuffled order that must not change features.

    Windows read rows of one entity and one time in the given order. Such rows keep their order
    among themselves, for every row order of the plan; all others are shuffled. None if this leaves
    no other order.
    """
    labels = _least_bound([_numbered(order.entities, order.times) for order in orders])
    if (labels == labels[0]).all():
        return None
    mixed = labels.astype(np.uint64) * _MIXING
    return np.argsort(mixed, kind="stable").astype(np.int64)


def _least_bound(groupings: Sequence[Int64Array]) -> Int64Array:
    """Return the smallest row number to which each row is connected, shape `(n_rows,)`.

    Rows are connected if they share a group in any of the groupings, directly or through other
    rows. Each grouping gives the group of each row, shape `(n_rows,)`.
    """
    labels: Int64Array = np.arange(len(groupings[0]))
    while True:
        before = labels
        for groups in groupings:
            least = np.full(int(groups.max()) + 1, len(groups), dtype=np.int64)
            np.minimum.at(least, groups, labels)
            labels = least[groups]
        labels = labels[labels]  # so that long chains take few rounds
        if np.array_equal(labels, before):
            return labels


def split_in_time(orders: Sequence[WindowRowOrder]) -> tuple[Int64Array, Int64Array]:
    """Return the numbers of the rows before a middle time, and of the rows from it on.

    Each clock has its own middle time. A row that is earlier by one clock and later by another is
    in neither half.
    """
    clocks = {order.clock: order.times for order in orders}
    n_rows = len(orders[0].times)
    early: NDArray[np.bool_] = np.ones(n_rows, dtype=np.bool_)
    late: NDArray[np.bool_] = np.ones(n_rows, dtype=np.bool_)
    for times in clocks.values():
        is_early = (times != _NO_TIME) & (times < _middle(times))
        early &= is_early
        late &= ~is_early
    return np.flatnonzero(early), np.flatnonzero(late)


def _middle(times: Int64Array) -> int:
    """Return the rank that splits the times into halves: the median without missing times.

    If the median is the first time, the next time is returned, so that the earlier half has rows.
    """
    known = np.sort(times[times != _NO_TIME])
    if not len(known):
        return 0
    middle = known[len(known) // 2]
    later = known[known > middle]
    return int(later[0] if middle == known[0] and len(later) else middle)


def time_order(orders: Sequence[WindowRowOrder]) -> Int64Array | None:
    """Return the row numbers in order of time; None if the windows have several clocks."""
    if len({order.clock for order in orders}) > 1:
        return None
    return np.argsort(orders[0].times, kind="stable").astype(np.int64)


def take_rows(rows: Any, numbers: Int64Array) -> Any:
    """Return rows of a table by their numbers, in the order of the numbers."""
    return plain_table(rows).take(pa.array(numbers))


def as_history(rows: Any, columns: Sequence[str]) -> Any:
    """Return the given columns of rows, to be passed as history; absent columns become nulls."""
    there = set(rows.column_names)
    found = plain_table(rows.select([name for name in columns if name in there]))
    for name in columns:
        if name not in there:
            found = found.append_column(name, pa.nulls(rows.num_rows))
    return found


def join_rows(history: Any, rows: Any) -> Any:
    """Return earlier rows and later rows with the same columns as one table."""
    both = [plain_table(history), rows.select(history.column_names)]
    return pa.concat_tables(both, promote_options="permissive")
