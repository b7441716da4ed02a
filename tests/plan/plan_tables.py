"""Tables for the tests of plans, cut into chunks in any way, and features as bytes."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import strategies as st

SPECIAL = np.array(
    [0.0, -0.0, np.nan, np.inf, -np.inf, 5e-324, -1e-310, 2.0**-1022, 1e308, -1e300, 2.0**53, 1e16]
)
TEXTS = ["a", "b", "", "é", "zz", "abc"]


def table_of(n_rows: int, seed: int, *, finite: bool = False, missing: float = 0.2) -> pa.Table:
    """Return a table with a column of most types.

    Args:
        n_rows: number of rows.
        seed: equal seeds give equal tables.
        finite: without infinities and the largest floats, so that it can be learnt from.
        missing: share of the values that are missing.
    """
    rng = np.random.default_rng(seed)

    def column(values: Any, kind: pa.DataType | None = None) -> pa.Array:
        return pa.array(values, kind, mask=rng.random(n_rows) < missing)

    special = SPECIAL[np.abs(SPECIAL) < 1e30] if finite else SPECIAL
    floats = np.where(rng.random(n_rows) < 0.9, rng.normal(0, 10, n_rows), 0.0)
    floats = np.where(rng.random(n_rows) < 0.1, rng.choice(special, n_rows), floats)
    instants = rng.integers(-(2**31), 2**31, n_rows) * 1_000_000 + rng.integers(0, 10**6, n_rows)
    return pa.table(
        {
            "x": column(floats),
            "y": column(rng.normal(size=n_rows) * 10.0 ** rng.integers(-3, 4, n_rows)),
            "whole": column(np.round(floats)[::-1].copy()),
            "f": column(rng.normal(size=n_rows).astype(np.float32)),
            "full": pa.array(rng.random(n_rows)),
            "i": column(rng.integers(-1000, 1000, n_rows)),
            "small": column(rng.integers(-128, 128, n_rows).astype(np.int8)),
            "u": column(rng.integers(0, 50, n_rows).astype(np.uint32)),
            "flag": column(rng.random(n_rows) < 0.5),
            "other": pa.array(rng.random(n_rows) < 0.3),
            "t": column(instants, pa.timestamp("us", "Europe/Berlin")),
            "naive": column(instants[::-1] // 1000, pa.timestamp("ms")),
            "day": column(rng.integers(-20000, 30000, n_rows).astype(np.int32), pa.date32()),
            "s": column(rng.choice(TEXTS, n_rows).astype(object), pa.string()),
        }
    )


def row_of(table: pa.Table, row: int) -> dict[str, Any]:
    """Return a row as `transform_row` takes it."""
    return table.slice(row, 1).to_pylist()[0]


def cut(table: pa.Table, edges: Sequence[int], offset: int) -> pa.Table:
    """Return the same rows in chunks that are slices, at an offset, of longer arrays.

    Args:
        table: the rows.
        edges: where chunks end; equal ones make an empty chunk.
        offset: rows that the arrays have before the first one in use.
    """
    longer = pa.concat_tables([table.slice(0, offset), table]).combine_chunks()
    rows = longer.slice(longer.num_rows - table.num_rows)
    ends = [0, *sorted(min(edge, table.num_rows) for edge in edges), table.num_rows]
    return pa.concat_tables([rows.slice(a, b - a) for a, b in pairwise(ends)])


def cut_differently(table: pa.Table, edges: Sequence[Sequence[int]], offset: int) -> pa.Table:
    """Return the same rows with chunks that differ from column to column."""
    columns: dict[str, pa.ChunkedArray] = {}
    for k, name in enumerate(table.column_names):
        part = cut(table.select([name]), edges[k % len(edges)], offset + k)
        columns[name] = part.column(0)
    return pa.table(columns)


def cuts(n_rows: int) -> st.SearchStrategy[list[list[int]]]:
    """Return a strategy for the edges of chunks, some at multiples of 64, some empty chunks."""
    edge = st.integers(0, n_rows) | st.integers(0, n_rows // 64).map(lambda k: 64 * k)
    repeated = st.lists(edge, max_size=5).map(lambda edges: [*edges, *edges[:1]])
    return st.lists(repeated, min_size=1, max_size=3)


def column_bytes(column: pa.ChunkedArray | pa.Array) -> tuple[str, bytes, bytes]:
    """Return type, presence and values of a column; also the bytes below missing rows count."""
    array = column
    if isinstance(column, pa.ChunkedArray):
        array = pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)
    present = np.asarray(array.is_valid()).tobytes()
    if array.type in (pa.string(), pa.large_string()):
        return str(array.type), present, repr(array.to_pylist()).encode()
    values = array.buffers()[1]
    if values is None or len(array) == 0:
        return str(array.type), present, b""
    raw = np.frombuffer(values, np.uint8)
    if pa.types.is_boolean(array.type):
        bits = np.unpackbits(raw, bitorder="little")
        return str(array.type), present, bits[array.offset : array.offset + len(array)].tobytes()
    width = array.type.bit_width // 8
    start = array.offset * width
    return str(array.type), present, raw[start : start + len(array) * width].tobytes()


def feature_bytes(features: pa.Table) -> dict[str, tuple[str, bytes, bytes]]:
    """Return all features as bytes, by name: equal exactly when all bits are."""
    return {name: column_bytes(features.column(name)) for name in features.column_names}


def differing(left: pa.Table, right: pa.Table) -> dict[str, tuple[Any, Any]]:
    """Return the first difference of each feature whose bytes differ; empty when none does."""
    one, other = feature_bytes(left), feature_bytes(right)
    assert list(one) == list(other)
    found: dict[str, tuple[Any, Any]] = {}
    for name in one:
        if one[name] != other[name]:
            pairs = zip(left.column(name).to_pylist(), right.column(name).to_pylist(), strict=False)
            shown = [
                (row, *pair) for row, pair in enumerate(pairs) if repr(pair[0]) != repr(pair[1])
            ]
            found[name] = (one[name][0], shown[0] if shown else "bytes below missing rows")
    return found


def hours_apart(n_hours: float) -> datetime.timedelta:
    """Return a difference of times as a literal."""
    return datetime.timedelta(hours=n_hours)
