"""The tables of the contract's plans of the past: events, what came after, and tables beside."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from fastfeat.io.arrow import Table, pa
from fastfeat.selfcheck.tables import check_table, pseudo_random_words, training_table

N_EVENTS = 1_500
N_LATER = 601
_N_PAYMENTS = 900
_N_KEYS = 25
_TEN_MINUTES = 600 * 10**6
_DAYS = 24 * 6  # in ten minutes


class PastTables(NamedTuple):
    """Rows to learn from, later rows of the same entities, and what is passed as `tables=`."""

    train: Table
    later: Table
    tables: dict[str, Table]


def past_tables() -> PastTables:
    """Return tables, equal on every machine: rows share an instant, and lack a time or a key."""
    tables = {
        "payments": _events(training_table(_N_PAYMENTS), seed=31, first=0, last=70 * _DAYS),
        "keys": _keys(),
    }
    train = _events(training_table(N_EVENTS), seed=32, first=0, last=60 * _DAYS)
    later = _later_values(training_table(N_EVENTS + N_LATER).slice(N_EVENTS))
    return PastTables(train, _events(later, 33, 60 * _DAYS, 90 * _DAYS), tables)


def _later_values(ordinary: Table) -> Table:
    """Return rows with special floats; integers stay small enough to be added."""
    special = check_table(N_LATER)
    for name in ("f64", "f32", "i8"):
        place = ordinary.column_names.index(name)
        ordinary = ordinary.set_column(place, name, special[name])
    return ordinary


def _events(table: Table, seed: int, first: int, last: int) -> Table:
    """Return a table with a time, a step, an entity and a number of the row besides.

    Args:
        table: of ordinary columns.
        seed: of what is drawn.
        first: the least time, in tens of minutes since 1970.
        last: where the times end.
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
    return pa.table({**kept, **columns})  # "at" has times of every part


def _keys() -> Table:
    """Return a row of each key and some that no event has, but for a few keys."""
    table = training_table(_N_KEYS)
    keys = np.array([k + 3 for k in range(_N_KEYS)])
    kept = {name: table[name] for name in ("f64", "i64", "f32", "i8", "u64", "flag", "text", "t")}
    return pa.table({"key": keys, "code": pa.array([str(k % 7) for k in keys]), **kept})


def _whole(n: int, seed: int, n_values: int) -> Any:
    return (pseudo_random_words(n, seed) % np.uint64(n_values)).astype(np.int64)
