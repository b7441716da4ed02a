"""What fit has learnt, in two forms: an Arrow table of a row an aggregate, and Python's values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from fastfeat.aggregates.groups import Groups
from fastfeat.aggregates.vocabulary import Vocabulary
from fastfeat.dtypes import TABLE, UTF8, DType
from fastfeat.errors import ArtifactError
from fastfeat.io.arrow import pa
from fastfeat.ir.node import Aggregate, GroupFrame, Node
from fastfeat.ir.walk import postorder
from fastfeat.plan.constants import Learnt
from fastfeat.plan.key_state import (
    groups_of,
    key_table,
    n_codes,
    vocabulary_of,
)
from fastfeat.plan.lower import Constant, Types


def aggregates_of(roots: Iterable[Node]) -> list[Aggregate]:
    """Return the aggregates below the roots, arguments before users."""
    return [node for node in postorder(list(roots)) if isinstance(node, Aggregate)]


def state_parts(values: Sequence[Constant]) -> dict[str, bytes]:
    """Return learnt values as Arrow IPC files by name; equal values give equal bytes.

    "state" has a row a value; what is learnt of keys has a table of its own, "table 3" for row 3.
    """
    tables: dict[str, bytes] = {}
    for row, value in enumerate(values):
        if isinstance(value, Vocabulary | Groups):
            tables[f"table {row}"] = key_table(value)
    return {"state": _state(values), **tables}


def _state(values: Sequence[Constant]) -> bytes:
    rows = [_row(value) for value in values]
    schema = pa.schema(_fields())
    columns = [pa.array([row[k] for row in rows], field.type) for k, field in enumerate(schema)]
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, schema) as writer:
        writer.write_batch(pa.record_batch(columns, schema=schema))
    return sink.getvalue().to_pybytes()


def values_of_state(
    parts: Mapping[str, bytes], aggregates: Sequence[Aggregate], types: Types
) -> Learnt:
    """Return the values that `state_parts` wrote, by their aggregate.

    Args:
        parts: Arrow IPC files by name.
        aggregates: in the order in which their values were written.
        types: the type of every node.

    Raises:
        ArtifactError: it is damaged, or does not fit the types.
    """
    try:
        table = pa.ipc.open_file(pa.py_buffer(parts["state"])).read_all()
        table.validate(full=True)
    except (pa.ArrowException, OSError) as error:
        raise ArtifactError(f"the state cannot be read: {error}") from None
    if table.schema != pa.schema(_fields()):  # a cast would import pyarrow.compute, 30 ms
        raise ArtifactError(f"the state has the columns {table.schema.names}")
    if table.num_rows != len(aggregates):
        n_rows = table.num_rows
        raise ArtifactError(f"the state has {n_rows} values for {len(aggregates)} aggregates")
    learnt: Learnt = {}
    for k, (row, aggregate) in enumerate(zip(table.to_pylist(), aggregates, strict=True)):
        part = parts.get(f"table {k}")
        if aggregate.function == "vocabulary":
            missing, dtypes = dict(aggregate.params)["missing"], [types[a] for a in aggregate.args]
            learnt[aggregate] = vocabulary_of(part, dtypes, missing)
        elif isinstance(aggregate.frame, GroupFrame):
            n_groups = n_codes(aggregate.args[1], learnt)
            learnt[aggregate] = groups_of(part, types[aggregate], n_groups)
        else:
            learnt[aggregate] = _value(row, types[aggregate])
    of_keys = {
        f"table {k}" for k, a in enumerate(aggregates) if isinstance(learnt[a], Vocabulary | Groups)
    }
    odd = {name for name in parts if name.startswith("table ")} ^ of_keys
    if odd:
        raise ArtifactError(f"the state lacks, or the plan does not read, the part {min(odd)!r}")
    return learnt


def _fields() -> list[tuple[str, Any]]:
    return [
        ("kind", pa.string()),
        ("integer", pa.int64()),
        ("number", pa.float64()),
        ("table", pa.list_(pa.float64())),
        ("text", pa.large_string()),
    ]


def _row(value: Constant) -> tuple[Any, ...]:
    match value:
        case None:
            return "missing", None, None, None, None
        case bool():
            return "bool", int(value), None, None, None
        case int():
            return "integer", (value + (1 << 63)) % (1 << 64) - (1 << 63), None, None, None
        case float():
            return "number", None, value, None, None
        case str():
            return "text", None, None, None, value
        case Vocabulary() | Groups():
            return "keys", None, None, None, None
        case _:
            return "table", None, None, list(value), None


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
        case "text", "text":
            return str(row["text"])
        case "table", "table":
            return tuple(float(element) for element in row["table"])
        case kind, wanted:
            raise ArtifactError(f"the state has a value of kind {kind!r} for a {wanted}")


def _kind(dtype: DType) -> str:
    if dtype in (TABLE, UTF8):
        return "table" if dtype == TABLE else "text"
    return {"f64": "number", "i64": "integer", "b1": "bool"}[dtype.physical]
