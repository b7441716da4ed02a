"""What fit has learnt of keys, as Arrow tables in the state, and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastfeat.aggregates.groups import Groups
from fastfeat.aggregates.vocabulary import Vocabulary
from fastfeat.dtypes import DType
from fastfeat.errors import ArtifactError, InvalidPlan, TypeMismatch
from fastfeat.io.arrow import Array, Table, call, index_in, pa
from fastfeat.io.bits import array_of_values
from fastfeat.io.keys import key_array, key_type
from fastfeat.ir.node import Call, Literal, Node
from fastfeat.ir.show import show
from fastfeat.ir.walk import postorder
from fastfeat.plan.lower import Constant, Types
from fastfeat.plan.row_values import stored_literal

_MOST_ROWS = 1 << 60


def n_codes(codes: Node, learnt: Mapping[Node, Constant]) -> int:
    """Return how many codes there are: of missing, of unseen, of the keys."""
    assert isinstance(codes, Call)
    known = codes.args[-1]
    n_keys = len(known.value) if isinstance(known, Literal) else _n_keys(learnt[known])
    return 1 + int(dict(codes.params)["n_unseen"]) + n_keys


def _n_keys(found: Constant) -> int:
    assert isinstance(found, Vocabulary)
    return len(found)


def vocabulary_of_codes(codes: Node, learnt: Mapping[Node, Constant], types: Types) -> Vocabulary:
    """Return the vocabulary that codes count in, learnt or given."""
    assert isinstance(codes, Call)
    known = codes.args[-1]
    if isinstance(known, Literal):
        return given_vocabulary(known, types[codes.args[0]])
    found = learnt[known]
    assert isinstance(found, Vocabulary)
    return found


@lru_cache(maxsize=128)
def given_vocabulary(listed: Literal, dtype: DType) -> Vocabulary:
    """Return the vocabulary of categories that a user has listed.

    Args:
        listed: the categories, in the order of their codes.
        dtype: the type that they are compared as.

    Raises:
        TypeMismatch: a category that is no value of that type.
        InvalidPlan: one that is listed twice, or is none.
    """
    values = [stored_literal(value, dtype) for value in listed.value]
    keys = key_array(values, dtype)
    if not _are_keys([keys], "key"):
        raise InvalidPlan(
            f"ordinal_encode(vocabulary={list(listed.value)!r}): as {dtype}, two categories are "
            "the same, or one is missing. List each once"
        )
    return Vocabulary((keys,), np.zeros(len(values), np.int64), 0)


def check_given_vocabularies(roots: Sequence[Node], types: Types) -> None:
    """Raise where a listed category is no value of the type of its column.

    Raises:
        TypeMismatch: the first such category.
    """
    for node in postorder(roots):
        if isinstance(node, Call) and node.function == "encode":
            known = node.args[-1]
            if isinstance(known, Literal):
                try:
                    given_vocabulary(known, types[node.args[0]])
                except TypeMismatch as error:
                    told = str(error).partition(": ")[2]
                    raise TypeMismatch(f"{show(node)}: a category: {told}") from None


def key_table(learnt: Vocabulary | Groups) -> bytes:
    """Return what is learnt of keys as an Arrow IPC file; equal values give equal bytes."""
    return _vocabulary(learnt) if isinstance(learnt, Vocabulary) else _groups(learnt)


def _vocabulary(vocabulary: Vocabulary) -> bytes:
    """Return the keys, a column a part, and their counts."""
    names = [*(f"key_{k}" for k in range(len(vocabulary.parts))), "count"]
    counts = array_of_values(vocabulary.counts, None, pa.int64())
    numbers = {"n_missing": str(vocabulary.n_missing), "n_rare": str(vocabulary.n_rare)}
    return _written(pa.Table.from_arrays([*vocabulary.parts, counts], names), numbers)


def vocabulary_of(part: bytes | None, dtypes: Sequence[DType], missing: str) -> Vocabulary:
    """Return the vocabulary that `key_table` wrote.

    Args:
        part: an Arrow IPC file.
        dtypes: the types of the parts of the key.
        missing: "value" where a part of a key may be missing.

    Raises:
        ArtifactError: there is none, or it is none that fit learns: of other types, keys twice or
            in another order.
    """
    table = _read(part)
    names = [*(f"key_{k}" for k in range(len(dtypes))), "count"]
    fields = list(zip(names, [*map(key_type, dtypes), pa.int64()], strict=True))
    if table.schema.remove_metadata() != pa.schema(fields):
        raise ArtifactError(f"a vocabulary has the columns {table.schema.names}")
    given: Any = table.schema.metadata or {}
    *parts, counts = [_whole(column) for column in table.columns]
    n_missing, n_rare = (int(given[name]) for name in (b"n_missing", b"n_rare"))
    numbers = counts.to_numpy(zero_copy_only=False)
    if counts.null_count or n_missing < 0 or n_rare < 0 or (len(numbers) and numbers.min() < 0):
        raise ArtifactError("a vocabulary has a count that is missing or below 0")
    if max(n_missing, n_rare, float(numbers.sum(dtype=np.float64))) > _MOST_ROWS:
        raise ArtifactError("a vocabulary counts more rows than there can be")
    if not _are_keys(parts, missing):
        raise ArtifactError("a vocabulary has a key twice, or one that is no key")
    if not _are_in_order(parts, numbers):
        raise ArtifactError("a vocabulary is not in the order of codes: by count, then by value")
    return Vocabulary(tuple(parts), numbers.astype(np.int64), n_missing, n_rare)


def _are_keys(parts: Sequence[Array], missing: str) -> bool:
    """Return whether arrays are the parts of distinct keys, as `io.keys` stores them."""
    for part in parts:
        if part.null_count and missing == "key":
            return False
        if part.type == pa.float64():
            floats = part.drop_null().to_numpy(zero_copy_only=False)
            if (np.isnan(floats) | ((floats == 0) & np.signbit(floats))).any():
                return False
    return _are_distinct(parts)


def _are_distinct(parts: Sequence[Array]) -> bool:
    """Return whether no combination of the parts is there twice."""
    n_keys = len(parts[0])
    values = [call("unique", part) for part in parts]
    if any(len(distinct) == n_keys for distinct in values):
        return True
    keys = np.zeros(n_keys, np.int64)
    for part, distinct in zip(parts, values, strict=True):
        places = index_in(part, distinct).to_numpy(zero_copy_only=False)
        keys = np.unique(keys * len(distinct) + places, return_inverse=True)[1]
    return int(keys.max()) == n_keys - 1


def _are_in_order(parts: Sequence[Array], counts: NDArray[np.int64]) -> bool:
    """Return whether distinct keys are in the order of their codes: a missing part is the first."""
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
    """Return where a comparison holds; where a side is missing, it does not."""
    return found.fill_null(False).to_numpy(zero_copy_only=False)


def _groups(groups: Groups) -> bytes:
    """Return a column of values, null where a group has none: there one NaN stands, or 0."""
    is_float = groups.values.dtype.kind == "f"
    content = np.where(groups.present, groups.values, np.nan if is_float else 0)
    kind = pa.float64() if is_float else pa.int64()
    values = array_of_values(content, groups.present, kind)
    return _written(pa.Table.from_arrays([values], ["value"]), {})


def groups_of(part: bytes | None, dtype: DType, n_groups: int) -> Groups:
    """Return what is learnt per group, as `key_table` wrote it.

    Args:
        part: an Arrow IPC file.
        dtype: the type of the values.
        n_groups: how many there must be.

    Raises:
        ArtifactError: there are none, or others.
    """
    table = _read(part)
    kind = pa.float64() if dtype.physical == "f64" else pa.int64()
    if table.schema != pa.schema([("value", kind)]) or table.num_rows != n_groups:
        raise ArtifactError(f"the state has {table.num_rows} groups for the {n_groups} of a key")
    column = _whole(table.column(0))
    present = column.is_valid().to_numpy(zero_copy_only=False)
    filler = float("nan") if dtype.physical == "f64" else 0
    values = np.where(present, column.fill_null(0).to_numpy(zero_copy_only=False), filler)
    return Groups(values.astype(np.float64 if dtype.physical == "f64" else np.int64), present)


def _written(table: Table, metadata: Mapping[str, str]) -> bytes:
    sink = pa.BufferOutputStream()
    schema = table.schema.with_metadata(dict(metadata)) if metadata else table.schema
    with pa.ipc.new_file(sink, schema) as writer:
        writer.write_table(table.cast(schema) if metadata else table)
    return sink.getvalue().to_pybytes()


def _read(part: bytes | None) -> Table:
    if part is None:
        raise ArtifactError("the state lacks the table of a key")
    try:
        table = pa.ipc.open_file(pa.py_buffer(part)).read_all()
        table.validate()
        for column in table.columns:  # keys may be text that is not UTF-8
            for chunk in column.chunks:
                is_text = chunk.type == pa.large_string()
                (chunk.view(pa.large_binary()) if is_text else chunk).validate(full=True)
    except (pa.ArrowException, OSError) as error:
        raise ArtifactError(f"the state cannot be read: {error}") from None
    return table


def _whole(column: Any) -> Any:
    """Return a column as one array."""
    return (
        column.chunk(0)
        if column.num_chunks == 1
        else pa.concat_arrays(column.chunks or [pa.array([], column.type)])
    )
