"""Learners: what a learning task makes of rows that come in parts, and how parts join.

A state is what one task has seen in one round. Adding all rows at once, or in any parts that are
merged in any order, through bytes or not, gives the same values, bit for bit; states themselves may
differ. Kinds of tasks have one learner each, in the folder of their subject; to fit in memory is to
add once.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from fastfeat.errors import FastfeatError, InvalidData
from fastfeat.io.arrow import Table, ipc_stream, pa

Rows = range | NDArray[np.int64]
"""The numbers of rows in the whole data: consecutive, or any, ascending; none stands twice."""

Spec = TypeVar("Spec")
State = TypeVar("State")


@dataclass(frozen=True, slots=True)
class Learnt:
    """The end of a task: what it has learnt.

    Args:
        values: one for each that the task learns.
    """

    values: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Again:
    """The end of a round after which all rows are read once more.

    Args:
        hint: what the next round begins with: plain numbers, texts, None, NumPy arrays, and tuples
            and dicts of these; `hint_to_bytes` sends it to others that read the rows.
    """

    hint: Any


@dataclass(frozen=True, slots=True)
class Packed:
    """A state as data.

    Args:
        numbers: integers of any size, texts, booleans, None, and lists and dicts of these, by name.
        tables: Arrow tables by name.
    """

    numbers: Mapping[str, Any] = field(default_factory=dict[str, Any])
    tables: Mapping[str, Table] = field(default_factory=dict[str, Table])


@dataclass(frozen=True, slots=True)
class Learner(Generic[Spec, State]):
    """A row of the table of learners: what one kind of learning task does.

    Args:
        kind: the name of the kind, as states carry it.
        start: the state of no rows, from what the task is told and the hint of the round before
            (None in the first).
        add: takes rows into a state: from the state, the columns that the task reads, and the
            numbers of the rows. Raises where a row cannot be taken, and names it by its number:
            the first of them. The state is then of no use; of several the least number is told.
        merge: the state of the rows of two states of one task and round, which are used up.
        next: the values, or what the next round begins with.
        pack: a state as data.
        unpack: the state, from what the task is told, the hint that its round began with, which
            states do not carry, and the data.
        size: the bytes that a state takes.
        bound: the most bytes that a state may take, from what the task is told and the number of
            rows.
        spill: writes what can leave memory into files of a folder, and goes on; None where the
            state is small or cannot.
        of_sample: gives, of the state of a sample of the rows and the number of all of them, what
            the first round begins with where it may do more than to sample; None where it may not.
            None of kinds that have no use for a sample.
        takes: the bytes of a state, in words: in memory, and on disk where it has no room there.
        row_bytes: how many bytes a state may grow by a row, from what the task is told; None of
            kinds that do not grow with rows, or by no more than the columns of these.
    """

    kind: str
    start: Callable[[Spec, Any], State]
    add: Callable[[State, Mapping[Any, Any], Rows], None]
    merge: Callable[[State, State], State]
    next: Callable[[State], Learnt | Again]
    pack: Callable[[State], Packed]
    unpack: Callable[[Spec, Any, Packed], State]
    size: Callable[[State], int]
    bound: Callable[[Spec, int], int]
    spill: Callable[[State, Path], None] | None = None
    of_sample: Callable[[State, int], Any] | None = None
    takes: str = ""
    row_bytes: Callable[[Spec], int] | None = None


class TaskLearner(NamedTuple):
    """The learner of a kind of task that a backend runs.

    Args:
        learner: of the kind.
        told: gives, of a task of the kind, what the learner is told, and the columns that it reads.
        failed: gives of a state whose values cannot be told the first that fails, as places in
            what the task wants, and its error; None of kinds that name none.
    """

    learner: Learner[Any, Any]
    told: Callable[[Any], tuple[Any, Mapping[Any, Any]]]
    failed: Callable[[Any], tuple[int, int, FastfeatError] | None] | None = None


def number_of(rows: Rows, place: int) -> int:
    """Return the number of the row at a place among some rows.

    >>> number_of(range(100, 200), 3)
    103
    """
    return int(rows[place])


_MAGIC = b"fastfeat-state-1\n"
_DIGEST_BYTES = 32
_HINT = "hint"


def to_bytes(learner: Learner[Any, State], state: State) -> bytes:
    """Return a state as bytes, without code: a digest, a head in JSON, tables as Arrow streams."""
    packed = learner.pack(state)
    parts: list[bytes] = [ipc_stream(table).to_pybytes() for table in packed.tables.values()]
    sizes = {name: len(part) for name, part in zip(packed.tables, parts, strict=True)}
    return sealed({"kind": learner.kind, "numbers": packed.numbers, "tables": sizes}, parts)


def of_bytes(learner: Learner[Spec, State], spec: Spec, hint: Any, content: bytes) -> State:
    """Return the state of some bytes.

    Args:
        learner: of the kind of task.
        spec: what the task is told.
        hint: what the round of the state began with, as of `Learner.start`.
        content: as of `to_bytes`.

    Raises:
        InvalidData: they are cut, changed, or of another kind of task.
    """
    head, rest = opened(content)
    if head["kind"] != learner.kind:
        raise InvalidData(
            f"the state is of a task of kind {head['kind']!r}, and {learner.kind!r} is wanted: "
            "merge states of one task and round"
        )
    tables: dict[str, Table] = {}
    for name, n_bytes in head["tables"].items():
        tables[name] = pa.ipc.open_stream(pa.py_buffer(rest[:n_bytes])).read_all()
        rest = rest[n_bytes:]
    return learner.unpack(spec, hint, Packed(head["numbers"], tables))


def hint_to_bytes(hint: Any) -> bytes:
    """Return the hint of a round as bytes, without code, for all that add in it."""
    arrays: list[bytes] = []

    def as_json(value: Any) -> Any:
        match value:
            case np.ndarray():
                array = cast("NDArray[Any]", value)
                arrays.append(array.tobytes())
                return {"array": array.dtype.str, "shape": array.shape}
            case tuple():
                return {"tuple": [as_json(one) for one in cast("tuple[Any, ...]", value)]}
            case dict():
                items = cast("dict[Any, Any]", value).items()
                return {"dict": [[as_json(key), as_json(one)] for key, one in items]}
            case float():
                return {"float": value.hex()}  # infinities and NaN too
            case None | str() | bool() | int():
                return value
            case _:
                raise TypeError(f"no hint holds {type(value).__name__}")

    head = as_json(hint)
    return sealed({"kind": _HINT, "hint": head}, arrays)


def hint_of_bytes(content: bytes) -> Any:
    """Return the hint of a round from its bytes.

    Raises:
        InvalidData: they are cut, changed, or no hint.
    """
    head, rest = opened(content)
    if head["kind"] != _HINT:
        raise InvalidData(f"{len(content):,} bytes are a state, and the hint of a round is wanted")

    def of_json(value: Any) -> Any:
        nonlocal rest
        match value:
            case {"array": dtype, "shape": shape}:
                n_bytes = np.dtype(dtype).itemsize * math.prod(shape)
                array = np.frombuffer(rest[:n_bytes], dtype).reshape(shape)
                rest = rest[n_bytes:]
                return array
            case {"tuple": values}:
                return tuple(of_json(one) for one in values)
            case {"dict": items}:
                return {of_json(key): of_json(one) for key, one in items}
            case {"float": text}:
                return float.fromhex(text)
            case _:
                return value

    return of_json(head["hint"])


def sealed(head: Mapping[str, Any], parts: Sequence[bytes]) -> bytes:
    """Return bytes of a head and parts, behind their digest; the head has finite numbers."""
    body = b"".join([json.dumps(head, allow_nan=False).encode() + b"\n", *parts])
    return _MAGIC + hashlib.sha256(body).digest() + body


def opened(content: bytes) -> tuple[Any, bytes]:
    """Return the head of sealed bytes, and what follows it.

    Raises:
        InvalidData: they are cut or changed.
    """
    start = len(_MAGIC) + _DIGEST_BYTES
    digest, body = content[len(_MAGIC) : start], content[start:]
    if not content.startswith(_MAGIC) or hashlib.sha256(body).digest() != digest:
        raise InvalidData(
            f"{len(content):,} bytes are no state of this version, or are cut or changed. Take the "
            "bytes that to_bytes() gave, whole"
        )
    first, _, rest = body.partition(b"\n")
    return json.loads(first), rest
