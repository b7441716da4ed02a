"""What fit has learnt, in two forms: an Arrow table of a row an aggregate, and Python's values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

from fastfeat.dtypes import TABLE, DType
from fastfeat.errors import ArtifactError
from fastfeat.io.arrow import pa
from fastfeat.io.types import arrow_type
from fastfeat.ir.node import Aggregate, Node
from fastfeat.ir.walk import postorder
from fastfeat.plan.lower import Constant


def aggregates_of(roots: Iterable[Node]) -> list[Aggregate]:
    """Return the aggregates below the roots, arguments before users."""
    return [node for node in postorder(list(roots)) if isinstance(node, Aggregate)]


def state_bytes(values: Sequence[Constant]) -> bytes:
    """Return learnt values as an Arrow IPC file; equal values give equal bytes."""
    rows = [_row(value) for value in values]
    schema = pa.schema(_fields())
    columns = [pa.array([row[k] for row in rows], field.type) for k, field in enumerate(schema)]
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, schema) as writer:
        writer.write_batch(pa.record_batch(columns, schema=schema))
    return sink.getvalue().to_pybytes()


def values_of_state(state: bytes, types: Sequence[DType]) -> list[Constant]:
    """Return the values that `state_bytes` wrote.

    Args:
        state: an Arrow IPC file.
        types: the type of each value.

    Raises:
        ArtifactError: it is damaged, or does not fit the types.
    """
    try:
        table = pa.ipc.open_file(pa.py_buffer(state)).read_all()
        table.validate(full=True)
    except (pa.ArrowException, OSError) as error:
        raise ArtifactError(f"the state cannot be read: {error}") from None
    if table.schema != pa.schema(_fields()):  # a cast would import pyarrow.compute, 30 ms
        raise ArtifactError(f"the state has the columns {table.schema.names}")
    if table.num_rows != len(types):
        raise ArtifactError(f"the state has {table.num_rows} values for {len(types)} aggregates")
    return [_value(row, dtype) for row, dtype in zip(table.to_pylist(), types, strict=True)]


def python_value(value: Constant, dtype: DType) -> Any:
    """Return a learnt value as a user reads it: a time, if it is one, in place of its number."""
    if value is None or not dtype.is_temporal:
        return value
    exact = arrow_type(dtype)
    scalar = pa.scalar(value, exact)
    if dtype.unit == "ns":  # Python's times have microseconds
        microseconds, rest = divmod(cast("int", value), 1000)
        if rest:
            return scalar
        zoned = (dtype.tz,) if dtype.name == "timestamp" else ()
        kinds = {"timestamp": pa.timestamp, "duration": pa.duration, "time": pa.time64}
        scalar_us = pa.scalar(microseconds, kinds[dtype.name]("us", *zoned))
    else:
        scalar_us = scalar
    try:
        return scalar_us.as_py()
    except (ValueError, OverflowError, LookupError):  # a year or zone that Python does not have
        return scalar


def _fields() -> list[tuple[str, Any]]:
    return [
        ("kind", pa.string()),
        ("integer", pa.int64()),
        ("number", pa.float64()),
        ("table", pa.list_(pa.float64())),
    ]


def _row(value: Constant) -> tuple[Any, ...]:
    match value:
        case None:
            return "missing", None, None, None
        case bool():
            return "bool", int(value), None, None
        case int():
            return "integer", (value + (1 << 63)) % (1 << 64) - (1 << 63), None, None
        case float():
            return "number", None, value, None
        case _:
            return "table", None, None, list(value)


def _value(row: Mapping[str, Any], dtype: DType) -> Constant:
    match row["kind"], _kind(dtype):
        case "missing", _:
            return None
        case "bool", "bool":
            return bool(row["integer"])
        case "integer", "integer":
            whole = int(row["integer"])
            return whole % (1 << 64) if dtype.name == "uint64" else whole
        case "number", "number":
            return float(row["number"])
        case "table", "table":
            return tuple(float(element) for element in row["table"])
        case kind, wanted:
            raise ArtifactError(f"the state has a value of kind {kind!r} for a {wanted}")


def _kind(dtype: DType) -> str:
    if dtype == TABLE:
        return "table"
    return {"f64": "number", "i64": "integer", "b1": "bool"}[dtype.physical]
