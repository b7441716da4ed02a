"""The state of a fitted plan, which is its learnt values, as Arrow tables and as Python values.

The state table has one row per aggregate. Values learnt per key have further tables: a `Vocabulary`
is the table of the keys, and `Groups` the values of an aggregate for these keys.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastfeat.aggregates.keys import EarlierLayout, Groups, Vocabulary
from fastfeat.errors import ArtifactError
from fastfeat.io.arrow import Array, RecordBatch, Table, call, pa
from fastfeat.io.columns.bits import array_of_values
from fastfeat.io.columns.keys import key_type
from fastfeat.ir.dtypes import TABLE, UTF8, DType
from fastfeat.ir.node import Aggregate, GroupFrame, Node, postorder
from fastfeat.plan.lower import codes as code_plans
from fastfeat.plan.lower.constants import LearntValues
from fastfeat.plan.lower.lower import LearntConstant, NodeTypes
from fastfeat.steps.targets.time_folds import TimeFolds

PartWriter = Callable[[], Iterable[bytes | memoryview]]
"""Returns a part of a file in consecutive pieces; may be called repeatedly."""


def aggregates_of(roots: Iterable[Node]) -> list[Aggregate]:
    """Return the aggregates in the expressions `roots`, each after the aggregates that it reads."""
    return [node for node in postorder(list(roots)) if isinstance(node, Aggregate)]


def state_parts(values: Sequence[LearntConstant]) -> dict[str, PartWriter]:
    """Return learnt values as Arrow IPC files by name; equal values give equal bytes.

    The part "state" has a row per value. Each value learnt per key has its own part: "table 3" for
    row 3 of "state".
    """
    tables = dict[str, PartWriter]()
    for row, value in enumerate(values):
        if isinstance(value, Vocabulary | Groups):
            tables[f"table {row}"] = partial(key_table, value)
    return {"state": partial(_state, values), **tables}


def _state(values: Sequence[LearntConstant]) -> list[memoryview]:
    rows = [_row(value) for value in values]
    schema = pa.schema(_fields())
    columns = [pa.array([row[k] for row in rows], field.type) for k, field in enumerate(schema)]
    return _written(pa.record_batch(columns, schema=schema), {})


def values_of_state(
    parts: Mapping[str, bytes | memoryview], aggregates: Sequence[Aggregate], types: NodeTypes
) -> LearntValues:
    """Return the learnt values that `state_parts` wrote, by aggregate.

    `aggregates` must be in the order in which their values were written.

    Raises:
        ArtifactError: The state is damaged, or does not match the types.
    """
    try:
        table = pa.ipc.open_file(pa.py_buffer(parts["state"])).read_all()
        table.validate(full=True)
    except (pa.ArrowException, OSError) as error:
        raise ArtifactError(f"the learnt values cannot be read: {error}") from None
    if table.schema != pa.schema(_fields()):  # a cast would import pyarrow.compute, 30 ms
        raise ArtifactError(
            "the learnt values are damaged: their table has the wrong columns or types: "
            f"{table.schema.names}"
        )
    if table.num_rows != len(aggregates):
        n_rows = table.num_rows
        raise ArtifactError(
            f"the learnt values are damaged: there are {n_rows} values for {len(aggregates)} "
            "aggregates"
        )
    learnt: LearntValues = {}
    for k, (row, aggregate) in enumerate(zip(table.to_pylist(), aggregates, strict=True)):
        part = parts.get(f"table {k}")
        if aggregate.function == "vocabulary":
            missing, dtypes = dict(aggregate.params)["missing"], [types[a] for a in aggregate.args]
            learnt[aggregate] = vocabulary_of(part, dtypes, missing)
        elif isinstance(aggregate.frame, GroupFrame):
            n_groups = code_plans.n_codes(aggregate.args[1], learnt)
            learnt[aggregate] = groups_of(part, types[aggregate], n_groups)
        else:
            learnt[aggregate] = _value(row, types[aggregate])
    of_keys = {
        f"table {k}" for k, a in enumerate(aggregates) if isinstance(learnt[a], Vocabulary | Groups)
    }
    odd = {name for name in parts if name.startswith("table ")} ^ of_keys
    if odd:
        told = "is missing" if min(odd) in of_keys else "does not belong to the plan"
        raise ArtifactError(f"the learnt values are damaged: the part {min(odd)!r} {told}")
    return learnt


def _fields() -> list[tuple[str, Any]]:
    return [
        ("kind", pa.string()),
        ("integer", pa.int64()),
        ("number", pa.float64()),
        ("table", pa.list_(pa.float64())),
        ("text", pa.large_string()),
    ]


def _row(value: LearntConstant) -> tuple[Any, ...]:
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
        case TimeFolds():
            raise AssertionError("folds are of training rows alone")
        case _:
            return "table", None, None, list(value), None


def _value(row: Mapping[str, Any], dtype: DType) -> LearntConstant:
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
            raise ArtifactError(
                f"the learnt values are damaged: one is of kind {kind!r} instead of {wanted!r}"
            )


def _kind(dtype: DType) -> str:
    if dtype in (TABLE, UTF8):
        return "table" if dtype == TABLE else "text"
    return {"f64": "number", "i64": "integer", "b1": "bool"}[dtype.physical]


_MOST_ROWS = 1 << 60
_HELD = "held"
"""Metadata key for the layout that a vocabulary keeps from an earlier fit; see `EarlierLayout`."""


def key_table(learnt: Vocabulary | Groups) -> list[memoryview]:
    """Return learnt keys, or values per key, as an Arrow IPC file.

    Equal values give equal bytes.
    """
    return _vocabulary(learnt) if isinstance(learnt, Vocabulary) else _groups(learnt)


def _vocabulary(vocabulary: Vocabulary) -> list[memoryview]:
    """Return an Arrow IPC file of learnt keys: a column per part of the key, then row counts."""
    names = [*(f"key_{k}" for k in range(len(vocabulary.parts))), "count"]
    counts = array_of_values(vocabulary.counts, None, pa.int64())
    numbers = {"n_missing": str(vocabulary.n_missing), "n_rare": str(vocabulary.n_rare)}
    if vocabulary.held is not None:
        numbers[_HELD] = " ".join(str(int(number)) for number in vocabulary.held)
    return _written(pa.Table.from_arrays([*vocabulary.parts, counts], names), numbers)


def vocabulary_of(
    part: bytes | memoryview | None, dtypes: Sequence[DType], missing: str
) -> Vocabulary:
    """Return the vocabulary that `key_table` wrote.

    `part` is the file, or None if the artifact has none. `dtypes` are the types of the parts of the
    key. `missing` is "value" if a part of a key may be missing.

    Raises:
        ArtifactError: There is no table, or no fit gives such a vocabulary: other types, repeated
            keys, or another order.
    """
    table = _read(part)
    names = [*(f"key_{k}" for k in range(len(dtypes))), "count"]
    fields = list(zip(names, [*map(key_type, dtypes), pa.int64()], strict=True))
    if table.schema.remove_metadata() != pa.schema(fields):
        raise ArtifactError(
            "the learnt values are damaged: a vocabulary has the wrong columns or types: "
            f"{table.schema.names}"
        )
    given: Any = table.schema.metadata or {}
    *parts, counts = [_whole(column) for column in table.columns]
    n_missing, n_rare = (int(given[name]) for name in (b"n_missing", b"n_rare"))
    numbers = counts.to_numpy(zero_copy_only=False)
    if counts.null_count or n_missing < 0 or n_rare < 0 or (len(numbers) and numbers.min() < 0):
        raise ArtifactError(
            "the learnt values are damaged: a vocabulary has a count that is missing or below 0"
        )
    if max(n_missing, n_rare, float(numbers.sum(dtype=np.float64))) > _MOST_ROWS:
        raise ArtifactError(
            "the learnt values are damaged: a vocabulary counts more rows than are possible"
        )
    if not code_plans.are_keys(parts, missing):
        raise ArtifactError(
            "the learnt values are damaged: a vocabulary has a key twice, or a value that cannot "
            "be a key"
        )
    held = _held_of(given.get(_HELD.encode()), len(numbers))
    n_held = 0 if held is None else held.n_keys
    if not _are_in_order([part[n_held:] for part in parts], numbers[n_held:]):
        raise ArtifactError(
            "the learnt values are damaged: the keys of a vocabulary are not in order: by count, "
            "then by value"
        )
    return Vocabulary(tuple(parts), numbers.astype(np.int64), n_missing, n_rare, held=held)


def _held_of(written: bytes | None, n_keys: int) -> EarlierLayout | None:
    """Return the codes and columns that an earlier fit fixed; None without an earlier fit.

    Raises ArtifactError for impossible numbers, such as more fixed keys than `n_keys`, the number
    of all keys.
    """
    if written is None:
        return None
    n_held, n_columns, has_rare, n_least = (int(number) for number in written.split())
    of_rows = 0 <= n_columns <= _MOST_ROWS and 0 <= n_least <= _MOST_ROWS
    if not 0 <= n_held <= n_keys:
        raise ArtifactError(
            f"the learnt values are damaged: a vocabulary keeps the codes of {n_held} keys from an "
            f"earlier fit, but has {n_keys} keys"
        )
    if not of_rows or has_rare not in (0, 1):
        raise ArtifactError(
            "the learnt values are damaged: a vocabulary has impossible numbers from an earlier "
            f"fit: {n_columns}, {has_rare}, {n_least}"
        )
    return EarlierLayout(n_held, n_columns, has_rare == 1, n_least)


def _are_in_order(parts: Sequence[Array], counts: NDArray[np.int64]) -> bool:
    """Return whether distinct keys are in the order of codes: by falling count, then by value.

    Missing parts of keys sort first.
    """
    if (counts[1:] > counts[:-1]).any():
        return False
    tied = counts[1:] == counts[:-1]
    for part in parts:
        content = part.view(pa.large_binary()) if part.type == pa.large_string() else part
        left, right = content[:-1], content[1:]
        falls = _flags(call("greater", left, right)) | _flags(
            call("and", left.is_valid(), right.is_null())
        )
        if (tied & falls).any():
            return False
        rises = _flags(call("less", left, right)) | _flags(
            call("and", left.is_null(), right.is_valid())
        )
        tied &= ~rises
    return True


def _flags(found: Array) -> NDArray[np.bool_]:
    """Return a comparison as NumPy bools, false where it is null because an operand is missing."""
    return found.fill_null(False).to_numpy(zero_copy_only=False)


def _groups(groups: Groups) -> list[memoryview]:
    """Return an Arrow IPC file with the value of each group, null for groups without a value.

    The bytes under a null are always NaN or 0, so that equal values give equal bytes.
    """
    is_float = groups.values.dtype.kind == "f"
    content = np.where(groups.present, groups.values, np.nan if is_float else 0)
    kind = pa.float64() if is_float else pa.int64()
    values = array_of_values(content, groups.present, kind)
    return _written(pa.Table.from_arrays([values], ["value"]), {})


def groups_of(part: bytes | memoryview | None, dtype: DType, n_groups: int) -> Groups:
    """Return the value of each of `n_groups` groups from the file that `key_table` wrote.

    Raises:
        ArtifactError: There is no table, or it has another type or number of groups.
    """
    table = _read(part)
    kind = pa.float64() if dtype.physical == "f64" else pa.int64()
    if table.schema != pa.schema([("value", kind)]):
        raise ArtifactError(
            "the learnt values are damaged: a table with the values of groups has the wrong type"
        )
    if table.num_rows != n_groups:
        raise ArtifactError(
            f"the learnt values are damaged: a table has {table.num_rows} groups, but its key has "
            f"{n_groups}"
        )
    column = _whole(table.column(0))
    present = column.is_valid().to_numpy(zero_copy_only=False)
    filler = float("nan") if dtype.physical == "f64" else 0
    values = np.where(present, column.fill_null(0).to_numpy(zero_copy_only=False), filler)
    return Groups(values.astype(np.float64 if dtype.physical == "f64" else np.int64), present)


def _written(table: Table | RecordBatch, metadata: Mapping[str, str]) -> list[memoryview]:
    """Return a table as an Arrow IPC file in chunks of bytes, without copies of large columns."""
    sink = _Pieces()
    schema = table.schema.with_metadata(dict(metadata)) if metadata else table.schema
    with pa.ipc.new_file(pa.PythonFile(sink, "w"), schema) as writer:
        writer.write(table.cast(schema) if metadata else table)
    return sink.pieces


class _Pieces:
    """A writable file object that keeps the chunks written to it without copies."""

    closed = False

    def __init__(self) -> None:
        self.pieces: list[memoryview] = []
        self._n_bytes = 0

    def write(self, piece: Any) -> None:
        self.pieces.append(memoryview(piece))
        self._n_bytes += len(self.pieces[-1])

    def tell(self) -> int:
        """Return the number of bytes written."""
        return self._n_bytes

    def flush(self) -> None:
        """Do nothing."""


def _read(part: bytes | memoryview | None) -> Table:
    if part is None:
        raise ArtifactError("the learnt values are damaged: the table of a key is missing")
    try:
        table = pa.ipc.open_file(pa.py_buffer(part)).read_all()
        table.validate()
        for column in table.columns:  # keys may be text that is not UTF-8
            for chunk in column.chunks:
                is_text = chunk.type == pa.large_string()
                (chunk.view(pa.large_binary()) if is_text else chunk).validate(full=True)
    except (pa.ArrowException, OSError) as error:
        raise ArtifactError(f"the learnt values cannot be read: {error}") from None
    return table


def _whole(column: Any) -> Any:
    """Return a chunked column as one Arrow array."""
    return (
        column.chunk(0)
        if column.num_chunks == 1
        else pa.concat_arrays(column.chunks or [pa.array([], column.type)])
    )
