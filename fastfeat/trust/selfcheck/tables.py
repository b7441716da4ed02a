"""The tables of the self-check: equal rows on every machine and with every library.

Plans with windows, tables, keys and folds have their own tables: events, later events, and lookup
tables.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from fastfeat_kernels.arrays import Uint64Array
from numpy.typing import NDArray

from fastfeat.io.arrow import Table, pa

N_TRAINING_ROWS = 3_000
N_ROWS = 20_011  # a multiple of neither 64 nor the block size
LARGEST = 2**63 - 2  # one below the largest, so that a bool can be added
KINDS: dict[str, tuple[str, ...]] = {
    "number": ("f64", "i64", "f32", "i8", "u64", "flag"),
    "float": ("f64", "f32"),
    "integer": ("i64", "i8", "u64"),
    "bool": ("flag",),
    "text": ("text",),
    "list": ("lf64", "li8"),
    "text_list": ("ltext",),
    "degrees": ("lat1", "lat2", "lat3", "lat4"),
    "positive": ("pos",),
}
"""Columns for each kind of argument that an operator's case names."""

_DOUBLES = (
    *(0.0, -0.0, 1.0, -1.0, 0.5, 1.5, 2.5, 3.0, 7.0, 200.0, 1e300, -1e300, 5e-324, -1e-310),
    *(float("nan"), float("inf"), float("-inf"), 1.7976931348623157e308, 2.0**60, 1e15, -1e7),
)
_SINGLES = (*_DOUBLES[:8], float("nan"), float("inf"), 3.4028234663852886e38, -1e-45)
_INTEGERS = (LARGEST, -LARGEST, 0, 1, -1, 2**53 + 1)
_LISTED = ("f64", "i8", "text")
_TEXTS = ("a", "b", "", "é", "zz")


def training_table(n_rows: int = N_TRAINING_ROWS) -> Table:
    """Return rows for fit, without infinities and without values near the limits of their type."""
    return _table(_moderate(n_rows, seed=1), n_rows, seed=2)


def check_table(n_rows: int = N_ROWS) -> Table:
    """Return rows for transform: about a quarter of the values are special, such as type limits."""
    columns = _moderate(n_rows, seed=3)
    special: dict[str, tuple[Any, ...]] = {
        "f64": _DOUBLES,
        "f32": _SINGLES,
        "i64": _INTEGERS,
        "i8": (127, -128, 0),
        "u64": (LARGEST, 0, 2**53 + 1),
    }
    for number, (name, values) in enumerate(special.items()):
        words = pseudo_random_words(n_rows, seed=100 + number)
        chosen = np.array(values, columns[name].dtype)[(words >> np.uint64(8)) % len(values)]
        columns[name] = np.where(words % np.uint64(4) == 0, chosen, columns[name])
    return _table(columns, n_rows, seed=4)


def pseudo_random_words(n: int, seed: int) -> Uint64Array:
    """Return `n` pseudo-random 64-bit integers; equal seeds give equal numbers.

    Source: G. Steele, D. Lea, C. Flood: Fast Splittable Pseudorandom Number Generators (2014).
    """
    x = np.arange(1, n + 1, dtype=np.uint64) + np.uint64(seed << 40)
    x *= np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def _moderate(n: int, seed: int) -> dict[str, NDArray[Any]]:
    """Return `n` ordinary values for each column, by name."""

    def unit(number: int) -> NDArray[np.float64]:
        """Return floats in [-0.5, 0.5), by operations that IEEE 754 defines exactly."""
        words = pseudo_random_words(n, seed=10 * seed + number) >> np.uint64(11)
        return words.astype(np.float64) * 2.0**-53 - 0.5

    def whole(number: int, low: int, n_values: int) -> NDArray[np.int64]:
        words = pseudo_random_words(n, seed=10 * seed + number)
        return (words % np.uint64(n_values)).astype(np.int64) + low

    sizes = np.array([1.0, 20.0, 1e3, 1e6])[whole(0, 0, 4)]
    columns: dict[str, NDArray[Any]] = {
        "f64": np.where(whole(1, 0, 3) == 0, whole(2, -3, 7), unit(3) * sizes),
        "f32": (unit(4) * 1e4).astype(np.float32),
        "i64": np.where(whole(5, 0, 2) == 0, whole(6, -9, 40), whole(7, -(2**50), 2**51)),
        "i8": whole(8, -100, 200).astype(np.int8),
        "u64": whole(9, 0, 31).astype(np.uint64),
        "flag": whole(10, 0, 2) == 1,
        "text": np.array(_TEXTS, object)[whole(11, 0, len(_TEXTS))],
        "t": whole(12, -(2**50), 2**51),  # microseconds: 1934 to 2005
    }
    columns |= {f"lat{k}": unit(12 + k) * 180 for k in range(1, 5)}
    columns["pos"] = (unit(17) + 0.5) * sizes + 2.0**-60
    return columns


def _table(columns: dict[str, NDArray[Any]], n_rows: int, seed: int) -> Table:
    arrays: dict[str, Any] = {}
    for number, (name, values) in enumerate(columns.items()):
        is_missing = pseudo_random_words(n_rows, seed=200 * seed + number) % np.uint64(20) == 0
        dtype = pa.string() if name == "text" else None
        array = pa.array(values, dtype, mask=is_missing)
        arrays[name] = array.view(pa.timestamp("us", "UTC")) if name == "t" else array
    arrays |= {f"l{name}": _in_lists(arrays[name], seed, k) for k, name in enumerate(_LISTED)}
    return pa.table(arrays)


def _in_lists(values: Any, seed: int, number: int) -> Any:
    """Return lists of up to 6 consecutive values, some lists missing."""
    n_rows = len(values)
    words = pseudo_random_words(n_rows + 1, seed=200 * seed + 50 + number)
    starts = (words % np.uint64(n_rows // 2)).astype(np.int64)
    lengths = (words >> np.uint64(40)).astype(np.int64) % 7
    lengths[words % np.uint64(20) == 0] = 0
    ends = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths[:n_rows])])
    shifts = np.repeat(starts[:n_rows] - ends[:-1], lengths[:n_rows])
    places: NDArray[np.int64] = shifts + np.arange(ends[-1], dtype=np.int64)
    is_missing = np.append(words[:n_rows] % np.uint64(20) == 0, False)
    offsets = pa.array(ends, pa.int64(), mask=is_missing)
    return pa.LargeListArray.from_arrays(offsets, values.take(pa.array(places)))


N_EVENTS = 1_500
N_LATER = 601
_N_PAYMENTS = 900
_N_KEYS = 25
_TEN_MINUTES = 600 * 10**6
_DAYS = 24 * 6  # in ten-minute steps


class PastTables(NamedTuple):
    """Training rows, later rows of the same entities, and lookup tables by name."""

    train: Table
    later: Table
    tables: dict[str, Table]


def past_tables() -> PastTables:
    """Return tables that are equal on every machine.

    Several rows have the same time, and some rows lack a time or a key.
    """
    tables = {
        "payments": _events(training_table(_N_PAYMENTS), seed=31, first=0, last=70 * _DAYS),
        "keys": _keys(),
    }
    train = _events(training_table(N_EVENTS), seed=32, first=0, last=60 * _DAYS)
    later = _later_values(training_table(N_EVENTS + N_LATER).slice(N_EVENTS))
    return PastTables(train, _events(later, 33, 60 * _DAYS, 90 * _DAYS), tables)


def _later_values(ordinary: Table) -> Table:
    """Return rows with special values in some columns, such as NaN and infinities.

    Wide integers stay small enough for their sums.
    """
    special = check_table(N_LATER)
    for name in ("f64", "f32", "i8"):
        place = ordinary.column_names.index(name)
        ordinary = ordinary.set_column(place, name, special[name])
    return ordinary


def _events(table: Table, seed: int, first: int, last: int) -> Table:
    """Return a table with columns added: time "t", whole-number time "step", "key" and "row".

    `first` is the earliest time and `last` the exclusive end, in units of ten minutes since 1970.
    "key" is the entity and "row" a unique number.
    """
    n_rows = table.num_rows
    times = _whole(n_rows, seed, last - first) + first
    is_missing = _whole(n_rows, 300 + seed, 40) == 0
    has_no_key = _whole(n_rows, 400 + seed, 30) == 0
    moments = pa.array(times * _TEN_MINUTES, pa.int64(), mask=is_missing)
    columns = {
        "t": moments.view(pa.timestamp("us", "UTC")),
        "step": pa.array(times, pa.int64(), mask=is_missing),
        "key": pa.array(_whole(n_rows, 500 + seed, _N_KEYS), mask=has_no_key),
        "row": pa.array(np.arange(n_rows) + (seed << 20)),
    }
    kept = {"at" if name == "t" else name: table[name] for name in table.column_names}
    return pa.table({**kept, **columns})  # "at" covers every part of a time


def _keys() -> Table:
    """Return a lookup table with a row per key.

    Three keys of the events are absent, and three of its keys have no event.
    """
    table = training_table(_N_KEYS)
    keys = np.array([k + 3 for k in range(_N_KEYS)])
    kept = {name: table[name] for name in ("f64", "i64", "f32", "i8", "u64", "flag", "text", "t")}
    return pa.table({"key": keys, "code": pa.array([str(k % 7) for k in keys]), **kept})


def _whole(n: int, seed: int, n_values: int) -> Any:
    return (pseudo_random_words(n, seed) % np.uint64(n_values)).astype(np.int64)
