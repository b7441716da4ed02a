"""Entries and states made by hand, and how they are compared: for tests of the journal."""

from __future__ import annotations

import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from fastfeat.live.file import entries as entries_module
from fastfeat.live.file.journal import Journal
from fastfeat.live.state.changes import Base, ChangeResults, Entry, Settings, StateChange

_ODD = (float("nan"), -0.0, float("inf"))
PLANS = {"": b"the artifact of a plan"}


def write_plainly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have rows written as they are, so that their values are seen in the bytes of a file."""
    monkeypatch.setattr(entries_module, "OF_ENTRIES", None)
    monkeypatch.setattr(entries_module, "OF_BASES", None)


def rows_of(first: int, n_rows: int = 3) -> pa.Table:
    """Return rows of all kinds of columns, told apart by a number."""
    numbers = range(first, first + n_rows)
    return pa.table(
        {
            "id": pa.array(numbers, pa.int64()),
            "x": pa.array([None if n % 3 == 1 else n / 7 for n in numbers], pa.float64()),
            "text": pa.array([None if n % 4 == 2 else f"text {n}" for n in numbers]),
            "time": pa.array([n * 1_000 for n in numbers], pa.timestamp("us", "Europe/Berlin")),
            "tags": pa.array([[n, None] if n % 2 else None for n in numbers], pa.list_(pa.int32())),
            "code": pa.array([f"c{n % 2}" for n in numbers]).dictionary_encode(),
            "price": pa.array([Decimal(n) / 4 for n in numbers], pa.decimal128(12, 2)),
            "day": pa.array([datetime.date(2026, 1, 1)] * n_rows),
            "is_odd": pa.array([bool(n % 2) for n in numbers]),
            "nan": pa.array([_ODD[n % 3] for n in numbers], pa.float32()),
        }
    )


def entry_of(first: int, n_rows: int = 3, kind: Any = "process", source: str = "events:0") -> Entry:
    """Return an entry of rows, of which those with odd numbers are stored."""
    rows = rows_of(first, n_rows)
    stored = np.arange(first, first + n_rows) % 2 == 1
    kept = {"a window": pa.array(np.arange(n_rows) / 3, mask=~stored)}
    change = StateChange(kind, rows, "", source, first, first + n_rows, 1_700_000_000_000_000_000)
    return Entry(change, ChangeResults({}, stored, kept, {"late": int(stored.sum())}))


def base_of(first: int, n_rows: int = 3) -> Base:
    """Return a state of rows."""
    return Base(rows_of(first, n_rows), {"weather": rows_of(100)}, {}, [None, -(2**63)])


def new_journal(path: Path, durability: Any = "commit", base: Base | None = None) -> Journal:
    """Return the journal of a new state."""
    return Journal.create(path, PLANS, Settings(), base or base_of(0), durability)


def told(entry: Entry) -> tuple[Any, ...]:
    """Return all that an entry holds beside features, in a form that compares, bits included."""
    change, applied = entry.change, entry.applied
    return (
        (change.kind, change.name, change.source, change.first, change.end, change.time_ns),
        bits_of(change.rows),
        applied.stored.tolist(),
        bits_of(pa.table(dict(applied.kept))),
        dict(applied.counts),
    )


def base_rows(base: Base | None) -> pa.Table:
    """Return the rows of a state that has some."""
    assert base is not None
    assert base.rows is not None
    return base.rows


def told_base(base: Base) -> tuple[Any, ...]:
    """Return all that a state holds, in a form that compares, bits included."""
    rows = None if base.rows is None else bits_of(base.rows)
    return rows, {n: bits_of(t) for n, t in base.tables.items()}, dict(base.offsets), [*base.swept]


def bits_of(table: pa.Table) -> tuple[Any, ...]:
    """Return the types and values of a table, of floats their bits."""
    columns = [
        column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column
        for column in table.columns
    ]
    return table.schema.names, table.schema.types, [_values(column) for column in columns]


def _values(column: pa.ChunkedArray) -> list[Any]:
    if not pa.types.is_floating(column.type):
        return column.to_pylist()
    return [None if v is None else np.float64(v).tobytes() for v in column.to_pylist()]
