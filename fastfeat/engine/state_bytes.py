"""States of learners and hints as bytes, for rows that several workers learn from.

The bytes hold no code: a digest, a JSON head, then Arrow tables or arrays. Truncated or changed
bytes are refused before anything is read from them.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from fastfeat.engine.learner import Learner, PackedState, SpecT, StateT
from fastfeat.errors import InvalidData
from fastfeat.io.arrow import Table, ipc_stream, pa

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
