"""Learners: how fit learns from rows that come in parts, and how the results of parts are merged.

A learning task, such as "the mean of each group", makes one or more rounds: passes over all rows. A
state is the summary of the rows that one task has seen in one round; a hint is what one round
passes on to the next. A spec is a task without its rows. Adding all rows at once, or in any parts
merged in any order, with or without serialization, gives the same values bit for bit; the states
themselves may differ. Each kind of task has one learner, in the folder of its subject. Fitting in
memory means adding once.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar, cast

import numpy as np
from fastfeat_kernels.records import dataclass
from numpy.typing import NDArray

from fastfeat.errors import FastfeatError, InvalidData
from fastfeat.io.arrow import Table, ipc_stream, pa

Rows = range | NDArray[np.int64]
"""Row numbers in the whole data: a consecutive or ascending sequence without duplicates."""

SpecT = TypeVar("SpecT")
StateT = TypeVar("StateT")


@dataclass(frozen=True, slots=True)
class LearntResult:
    """The end of a task: a tuple of learnt values, one for each that the task asked for."""

    values: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class NextRound:
    """The result of a round that is not the last: all rows must be read once more.

    Args:
        hint: Input of the next round: plain numbers, texts, None, NumPy arrays, and tuples and
            dicts of these. `hint_to_bytes` sends it to other readers of the rows.
    """

    hint: Any


@dataclass(frozen=True, slots=True)
class PackedState:
    """A state in serializable form.

    Args:
        numbers: By name, integers of any size, texts, booleans, None, and lists and dicts of these.
        tables: Arrow tables by name.
    """

    numbers: Mapping[str, Any] = field(default_factory=dict[str, Any])
    tables: Mapping[str, Table] = field(default_factory=dict[str, Table])


@dataclass(frozen=True, slots=True)
class Learner(Generic[SpecT, StateT]):
    """The functions with which one kind of learning task is done.

    Args:
        kind: Name of the kind, stored in states.
        start: Returns the state of no rows, from the task's spec and the hint of the previous round
            (None in the first).
        add: Adds rows to a state, from the columns that the task reads and the numbers of the rows.
            Raises at the first row that cannot be added, with its number. The state is then
            unusable; if several calls fail, the lowest row number is reported.
        merge: Returns the state of the rows of two states of one task and round, which are
            consumed.
        next: Returns the learnt values, or the hint for the next round.
        pack: Returns a state in serializable form.
        unpack: Returns the state from the task's spec, the hint of its round (which states do not
            contain), and the data.
        size: Returns the bytes that a state takes.
        bound: Returns the most bytes that a state may take, from the task's spec and the number of
            rows.
        spill: Writes the parts that can leave memory to files in a folder and continues; None if
            the state is small or cannot be spilled.
        of_sample: From the state of a sample and the number of all rows, returns the hint with
            which the first round can already do more than sample, or None if it cannot. None for
            kinds that do not use samples.
        takes: Text about the size of a state: in memory, and on disk if it does not fit there.
        row_bytes: Returns the bytes that a state may grow per row, from the task's spec; None for
            kinds that do not grow with rows, or by no more than the columns of the rows.
    """

    kind: str
    start: Callable[[SpecT, Any], StateT]
    add: Callable[[StateT, Mapping[Any, Any], Rows], None]
    merge: Callable[[StateT, StateT], StateT]
    next: Callable[[StateT], LearntResult | NextRound]
    pack: Callable[[StateT], PackedState]
    unpack: Callable[[SpecT, Any, PackedState], StateT]
    size: Callable[[StateT], int]
    bound: Callable[[SpecT, int], int]
    spill: Callable[[StateT, Path], None] | None = None
    of_sample: Callable[[StateT, int], Any] | None = None
    takes: str = ""
    row_bytes: Callable[[SpecT], int] | None = None


class TaskLearner(NamedTuple):
    """The learner of a kind of task that a backend runs, and how it reads such a task.

    Args:
        learner: The learner of the kind.
        told: Returns the learner's spec and the columns to read, from a task of the kind.
        failed: For a state with a value that cannot be computed, returns the first such value as
            two indices into the task's `wanted`, with its error. None for kinds that do not report
            one.
    """

    learner: Learner[Any, Any]
    told: Callable[[Any], tuple[Any, Mapping[Any, Any]]]
    failed: Callable[[Any], tuple[int, int, FastfeatError] | None] | None = None


def number_of(rows: Rows, place: int) -> int:
    """Return the row number at position `place` of a range or list of row numbers.


    >>> number_of(range(100, 200), 3)
    103
    """
    return int(rows[place])


_MAGIC = b"fastfeat-state-1\n"
_DIGEST_BYTES = 32
_HINT = "hint"


def to_bytes(learner: Learner[Any, StateT], state: StateT) -> bytes:
    """Return a state as bytes without code: a digest, a JSON head, tables as Arrow streams."""
    packed = learner.pack(state)
    parts: list[bytes] = [ipc_stream(table).to_pybytes() for table in packed.tables.values()]
    sizes = {name: len(part) for name, part in zip(packed.tables, parts, strict=True)}
    return seal({"kind": learner.kind, "numbers": packed.numbers, "tables": sizes}, parts)


def of_bytes(learner: Learner[SpecT, StateT], spec: SpecT, hint: Any, content: bytes) -> StateT:
    """Return the state that `to_bytes` serialized.

    `spec` is the task's spec, and `hint` the hint that the state's round began with.
    """
    head, rest = unseal(content)
    if head["kind"] != learner.kind:
        raise InvalidData(
            f"the state is from a task of kind {head['kind']!r}, but the task is of kind "
            f"{learner.kind!r}: merge only states of the same task and round"
        )
    tables: dict[str, Table] = {}
    for name, n_bytes in head["tables"].items():
        tables[name] = pa.ipc.open_stream(pa.py_buffer(rest[:n_bytes])).read_all()
        rest = rest[n_bytes:]
    return learner.unpack(spec, hint, PackedState(head["numbers"], tables))


def hint_to_bytes(hint: Any) -> bytes:
    """Return a hint as bytes without code, for all workers that take part in the next round."""
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
                kind = type(value).__name__
                raise TypeError(f"a learner cannot send a value of type {kind} to the next round")

    head = as_json(hint)
    return seal({"kind": _HINT, "hint": head}, arrays)


def hint_of_bytes(content: bytes) -> Any:
    """Return the hint that `hint_to_bytes` serialized."""
    head, rest = unseal(content)
    if head["kind"] != _HINT:
        raise InvalidData(
            f"the {len(content):,} bytes are a state, which a round learns, not the hint that a "
            "round begins with"
        )

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


def seal(head: Mapping[str, Any], parts: Sequence[bytes]) -> bytes:
    """Return a JSON head and byte strings as one byte string that begins with their digest.

    The head may not contain NaN or infinity.
    """
    body = b"".join([json.dumps(head, allow_nan=False).encode() + b"\n", *parts])
    return _MAGIC + hashlib.sha256(body).digest() + body


def unseal(content: bytes) -> tuple[Any, bytes]:
    """Check bytes that `seal` made; return the head, and the bytes after it."""
    start = len(_MAGIC) + _DIGEST_BYTES
    digest, body = content[len(_MAGIC) : start], content[start:]
    if not content.startswith(_MAGIC) or hashlib.sha256(body).digest() != digest:
        raise InvalidData(
            f"the {len(content):,} bytes are from another version, truncated or changed. Pass all "
            "bytes that to_bytes() returned, unchanged"
        )
    first, _, rest = body.partition(b"\n")
    return json.loads(first), rest
