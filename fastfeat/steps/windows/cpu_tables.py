"""Windows over a table on the CPU: table rows are sorted once, then each data row looks at them.

Times of table and data are int64 ticks of the finer of their two types, and some times do not fit
int64 then. Windows over past rows never see a table row that is too late to fit. The slow
definition computes data rows with times that do not fit. It computes all rows if the table has a
row that is too early to fit, or has one that is too late and a window has later rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field, replace
from typing import Any

import numpy as np
from fastfeat_kernels.arrays import BoolArray, Int32Array
from fastfeat_kernels.records import dataclass
from fastfeat_kernels.windows.state import WindowOrder, partition_shift

from fastfeat.aggregates.keys import Vocabulary
from fastfeat.io.arrow import Array, ChunkedArray, pa
from fastfeat.io.columns.bits import array_of_values, values_in
from fastfeat.io.columns.keys import comparable, table_keys_as
from fastfeat.io.columns.times import ticks_column, ticks_of
from fastfeat.io.columns.types import tick_ns
from fastfeat.ir.dtypes import DType
from fastfeat.steps.keys.cpu_learner import count_keys
from fastfeat.steps.keys.cpu_vocabulary import encode
from fastfeat.steps.keys.tasks import KeysTask
from fastfeat.steps.windows.cpu import arrays_over, in_order
from fastfeat.steps.windows.rows import OVER_FUNCTIONS, OverFailed, RowOrder, WindowRequest
from fastfeat.steps.windows.table_rows import finer_time
from fastfeat.steps.windows.tasks import over_table as over_by_definition

_ANY_SIZE = 1 << 62
_MOST = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class _Table:
    """The rows of a table, grouped into entities: one per key, and an empty one for unknown keys.

    Args:
        keys: The distinct keys; None if all rows belong to one entity.
        codes: The entity of each row, negative if it has none.
        times: Times in ticks; missing for rows that no window can see.
        has_earlier: Whether some times are too early for the ticks.
        has_later: Whether some times are too late for the ticks.
        orders: The sorted rows, by the `shift` of `cpu.in_order`.
    """

    keys: Vocabulary | None
    codes: Int32Array
    times: ChunkedArray
    has_earlier: bool
    has_later: bool
    orders: dict[int, WindowOrder] = field(default_factory=dict[int, WindowOrder])

    @property
    def n_entities(self) -> int:
        """Number of entities: 1 without keys, else one per key and the empty one, which is last."""
        return 1 + (1 if self.keys is None else len(self.keys))


def over_table(past: RowOrder, asked: Sequence[WindowRequest], query: RowOrder) -> list[Array]:
    """Return the results of each function over a table as an Arrow array.

    See `steps.windows.tasks`.
    """
    time = finer_time(past.dtype, query.dtype)
    table = _table(past, query.key_dtypes, time)
    looks_ahead = any(one.window["offset"] < 0 for one in asked)
    if table.has_earlier or (table.has_later and looks_ahead):
        return over_by_definition(past, asked, query)
    own, too_early, too_late = _in_ticks(query.times, query.dtype, time)
    odd = np.flatnonzero(too_early | too_late)
    arrays = _over(past, table, asked, query, own, time)
    if not len(odd):
        return arrays
    rows = pa.array(odd)
    few = replace(query, times=query.times.take(rows), keys=[k.take(rows) for k in query.keys])
    try:
        by_definition = over_by_definition(past, asked, few)
    except OverFailed as failure:
        which, row, text, kind = failure.args
        raise OverFailed(int(which), int(odd[row]), text, kind) from None
    places = np.arange(len(own))
    places[odd] = len(own) + np.arange(len(odd))
    pairs = zip(arrays, by_definition, strict=True)
    return [pa.concat_arrays([*pair]).take(pa.array(places)) for pair in pairs]


def _over(
    past: RowOrder,
    table: _Table,
    asked: Sequence[WindowRequest],
    query: RowOrder,
    own: Any,
    time: DType,
) -> list[Array]:
    """Return one array per function for the query rows; `own` are their times in ticks of `time`.

    Missing times give missing values.
    """
    shift = partition_shift(len(table.codes) + len(own), table.n_entities)
    if shift not in table.orders:
        table.orders[shift] = in_order(table.codes, table.times, table.n_entities, past, shift)
    query = replace(query, times=own, dtype=time)
    codes = _entities_asked(table, query, len(own))
    asks = in_order(codes, own, table.n_entities, query, shift)
    scaled = [_in_finer(one, time) for one in asked]
    return arrays_over(table.orders[shift], scaled, time, query=asks)


def _in_finer(asked: WindowRequest, time: DType) -> WindowRequest:
    """Return a request for a "time since" function with its column in ticks of `time`.

    Other requests are returned unchanged.
    """
    if not OVER_FUNCTIONS[asked.function].of_times or asked.dtype == time:
        return asked
    times, _, _ = _in_ticks(asked.values, asked.dtype, time)
    return replace(asked, values=times, dtype=time)


def _table(past: RowOrder, key_dtypes: Sequence[DType], time: DType) -> _Table:
    """Return the rows of a table with their entities and times, cached in `past.cache`."""
    cache = {} if past.cache is None else past.cache
    name = (tuple(key_dtypes), time)
    if name not in cache:
        times, too_early, too_late = _in_ticks(past.times, past.dtype, time)
        keys, codes = _entities(past, key_dtypes, len(times))
        has_earlier, has_later = (bool((odd & (codes >= 0)).any()) for odd in (too_early, too_late))
        cache[name] = _Table(keys, codes, times, has_earlier, has_later)
    return cache[name]


def _in_ticks(times: Any, given: DType, wanted: DType) -> tuple[ChunkedArray, BoolArray, BoolArray]:
    """Return times in ticks of a finer type, and flags of times too early and too late for int64.

    Flagged times are missing in the result.
    """
    column = ticks_column(times, given)
    ratio = tick_ns(given) // tick_ns(wanted) if wanted.is_temporal else 1
    if ratio == 1:
        none = np.zeros(len(column), np.bool_)
        return column, none, none
    ticks, present = ticks_of(column)
    most = _MOST // ratio
    too_early, too_late = present & (ticks < -most), present & (ticks > most)
    known = present & ~too_early & ~too_late
    scaled = np.where(known, ticks, 0) * ratio
    return pa.chunked_array([array_of_values(scaled, known, pa.int64())]), too_early, too_late


def _entities(
    past: RowOrder, key_dtypes: Sequence[DType], n_rows: int
) -> tuple[Vocabulary | None, Int32Array]:
    """Return a table's distinct keys, and each row's entity, -1 if a part of its key is missing."""
    if not past.keys:
        return None, np.zeros(n_rows, np.int32)
    dtypes = [comparable(dtype) for dtype in key_dtypes]
    parts = table_keys_as(past.keys, past.key_dtypes, dtypes)
    counted = count_keys(KeysTask(parts, dtypes, "key", _ANY_SIZE, with_rows=True))
    assert counted.of_rows is not None
    n_keys = len(counted.counts)
    codes = counted.of_rows(np.arange(n_keys, dtype=np.int32), -1)
    return Vocabulary(counted.parts, counted.counts, counted.n_missing), codes


def _entities_asked(table: _Table, query: RowOrder, n_rows: int) -> Int32Array:
    """Return the entity of each row of the data.

    A row with a key that the table lacks gets the last entity, which has no table rows.
    """
    if table.keys is None:
        return np.zeros(n_rows, np.int32)
    dtypes = [comparable(dtype) for dtype in query.key_dtypes]
    encoded = values_in(encode(table.keys, query.keys, dtypes, "key", 1))
    return np.where(encoded == 1, table.n_entities - 1, np.maximum(encoded - 2, -1)).astype(
        np.int32
    )
