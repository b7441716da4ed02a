"""As-of joins on the CPU: the rows of the table in order once, the data's looked up among them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastfeat.aggregates.vocabulary import Vocabulary
from fastfeat.backends.cpu.vocabulary import count_keys, encode
from fastfeat.dtypes import DType
from fastfeat.io.arrow import Array, pa
from fastfeat.io.bits import array_of_values
from fastfeat.io.conversions import tick_ns
from fastfeat.io.keys import comparable, keys_as
from fastfeat.io.ticks import ticks_column, ticks_of
from fastfeat.steps import Argument
from fastfeat.steps.asof import parts_of

_ANY_SIZE = 1 << 62
_LEAST, _MOST = np.iinfo(np.int64).min, np.iinfo(np.int64).max
Ticks = NDArray[np.int64]


class _Ordered(NamedTuple):
    """The rows of a table by key and time.

    Args:
        keys: the distinct keys; None where all rows have one.
        rows: the rows in order, those without a time or a key left out.
        times: their times, in ticks of the table.
        instants: the distinct times in order.
        places: of each row in order, the number of its key and the place of its time, as one.
    """

    keys: Vocabulary | None
    rows: NDArray[np.int64]
    times: Ticks
    instants: Ticks
    places: NDArray[np.int64]


def asof_rows(args: Sequence[Argument], params: Mapping[str, Any], n_rows: int) -> Array:
    """Return the row of the table that was known at the moment of each row; see `steps.asof`."""
    time, keys, right, right_keys = parts_of(args)
    dtypes = [comparable(key.dtype) for key in keys]
    table = _ordered(right, right_keys, dtypes)
    codes, known = _codes(table, keys, dtypes, n_rows)
    ticks, present = ticks_of(ticks_column(time.values, time.dtype))
    exact = 0 if params["allow_exact_matches"] else 1
    latest = ticks_before(ticks, params["delay"] + exact, time.dtype, right.dtype)
    places = np.searchsorted(table.instants, latest, side="right")  # of the first that is later
    at = np.searchsorted(table.places, codes * _stride(table) + places, side="left") - 1
    found = known & present & (at >= 0)
    at = np.where(found, at, 0)
    if len(table.rows):
        found &= table.places[at] >= codes * _stride(table)
        if params["tolerance"] is not None:
            oldest = ticks_before(ticks, params["tolerance"] + 1, time.dtype, right.dtype)
            found &= table.times[at] > oldest
        rows = table.rows[at]
    else:
        found, rows = np.zeros(n_rows, bool), np.zeros(n_rows, np.int64)
    return array_of_values(np.where(found, rows, 0), found, pa.int64())


def _stride(table: _Ordered) -> int:
    return len(table.instants) + 1


def _codes(
    table: _Ordered, keys: Sequence[Argument], dtypes: Sequence[DType], n_rows: int
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return the number of the key of each row, and whether the table has it."""
    if table.keys is None:
        return np.zeros(n_rows, np.int64), np.ones(n_rows, bool)
    encoded = encode(table.keys, [key.values for key in keys], dtypes, "key", 1)
    codes = encoded.to_numpy(zero_copy_only=False).astype(np.int64)
    return codes, codes > 1


def ticks_before(ticks: Ticks, less_ns: int, given: DType, wanted: DType) -> Ticks:
    """Return the last tick of another type that is not after some times less a duration.

    Args:
        ticks: times, as a type stores them.
        less_ns: the duration: nanoseconds, or steps of whole numbers.
        given: their type.
        wanted: the other type. What it cannot hold becomes its first or last tick.
    """
    less_ns = min(less_ns, _MOST)
    own, other = (tick_ns(dtype) if dtype.is_temporal else 1 for dtype in (given, wanted))
    if own < other:
        ratio = other // own
        whole, rest = np.divmod(ticks, ratio)
        return _sum(whole, (rest * own - less_ns) // other)
    ratio = own // other
    scaled = np.clip(ticks, -(_MOST // ratio), _MOST // ratio) * ratio
    scaled = np.where(ticks > _MOST // ratio, _MOST, scaled)
    scaled = np.where(ticks < -(_MOST // ratio), _LEAST, scaled)
    return _sum(scaled, np.full(1, -less_ns // other, np.int64))


def _sum(ticks: Ticks, more: Ticks) -> Ticks:
    """Return sums that end at the ends of int64."""
    total = ticks + more
    total = np.where((more > 0) & (total < ticks), _MOST, total)
    return np.where((more < 0) & (total > ticks), _LEAST, total)


def _ordered(right: Argument, keys: Sequence[Argument], dtypes: Sequence[DType]) -> _Ordered:
    """Return the rows of a table in order; made on first use."""
    name = ("asof", tuple(key.values.name for key in keys), tuple(dtypes))
    found: _Ordered | None = right.values.cache.get(name)
    if found is None:
        found = right.values.cache[name] = _in_order(right, keys, dtypes)
    return found


def _in_order(right: Argument, keys: Sequence[Argument], dtypes: Sequence[DType]) -> _Ordered:
    ticks, present = ticks_of(ticks_column(right.values.array, right.dtype))
    codes, known = np.zeros(len(ticks), np.int64), None
    if keys:
        parts = [
            pa.chunked_array([keys_as(key.values.array, comparable(key.dtype), dtype)])
            for key, dtype in zip(keys, dtypes, strict=True)
        ]
        counted = count_keys(parts, dtypes, "key", _ANY_SIZE)
        known = Vocabulary(counted.parts, counted.counts, counted.n_missing)
        codes = encode(known, parts, dtypes, "key", 1).to_numpy(zero_copy_only=False)
        present = present & (codes > 1)
    order = np.lexsort((ticks, codes))  # stable: of equal times the last row is the last
    order = order[present[order]]
    times = ticks[order]
    instants = np.unique(times)
    places = codes[order].astype(np.int64) * (len(instants) + 1) + np.searchsorted(instants, times)
    return _Ordered(known, order, times, instants, places)
