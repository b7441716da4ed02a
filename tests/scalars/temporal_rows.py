"""Plans over temporal columns: fitted once, computed by both backends, read as integers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

import fastfeat as ff

UNITS = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
SMALLEST, LARGEST = -(2**63), 2**63 - 1
Columns = Mapping[str, tuple[pa.DataType, Sequence[int | None]]]


def column(dtype: pa.DataType, ticks: Sequence[int | None]) -> pa.Array:
    """Return a temporal column from its integers: also those that Python's datetime cannot hold."""
    storage = pa.int32() if dtype.bit_width == 32 else pa.int64()
    return pa.array(ticks, storage).view(dtype)


def table(columns: Columns) -> pa.Table:
    """Return a table of such columns."""
    return pa.table({name: column(dtype, ticks) for name, (dtype, ticks) in columns.items()})


def fitted(features: Mapping[str, Any], **types: pa.DataType) -> ff.FittedPlan:
    """Return a plan fitted to columns of some types."""
    return ff.Plan(features).fit(table({name: (dtype, [0]) for name, dtype in types.items()}))


def computed(plan: ff.FittedPlan, columns: Columns) -> dict[str, list[Any]]:
    """Return the features by name, temporal ones as integers; both backends must agree."""
    given = table(columns)
    fast, slow = (plan.transform(given, backend=backend) for backend in ("cpu", "reference"))
    assert fast.equals(slow)
    return {name: _ticks(fast[name].combine_chunks()) for name in fast.column_names}


def computed_rows(plan: ff.FittedPlan, columns: Columns) -> list[dict[str, Any]]:
    """Return the features as `computed` does, row by row."""
    found = computed(plan, columns)
    return [dict(zip(found, row, strict=True)) for row in zip(*found.values(), strict=True)]


def _ticks(values: pa.Array) -> list[Any]:
    if not pa.types.is_temporal(values.type):
        return values.to_pylist()
    return values.view(pa.int32() if values.type.bit_width == 32 else pa.int64()).to_pylist()
