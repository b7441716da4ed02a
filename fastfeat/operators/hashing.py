"""`hash`: a number, text or combination as a 64-bit hash, or as one of several buckets."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

from fastfeat.expr import Expr, call
from fastfeat.ir.node import Call
from fastfeat.operators.operator import (
    Case,
    Operator,
    ReferenceColumn,
    check_parameters,
    parameters_of,
)


def hash(x: Expr, n_buckets: int | None = None, *, seed: int = 0) -> Expr:
    """Return the hash of x, uint64: XXH64 of its bytes, equal in all versions and on all machines.

    Integers, bools, dates and times are hashed as int64, floats as float64 with -0.0 as 0.0, text
    as UTF-8, and the parts of a `ff.cross` with their lengths, in order. A missing value stays
    missing; a missing part of a cross is hashed as a part.

    Args:
        x: Values of any type, or several combined by `ff.cross`.
        n_buckets: Number of buckets. The result is then the bucket of the hash h, int32:
            floor(h * n_buckets / 2**64). None returns the hash itself.
        seed: Seed of XXH64, from 0 to 2**64 - 1.

    Raises:
        InvalidPlan: A parameter is out of range or has the wrong type.

    Source:
        github.com/Cyan4973/xxHash, doc/xxhash_spec.md.

    Example:
        >>> fitted = ff.Plan({"h": col("k").hash(100)}).fit({"k": ["a"]})
        >>> fitted.transform({"k": ["a", "b", None]}, backend="reference")["h"].to_pylist()
        [82, 46, None]
    """
    params = hash_params("hash", n_buckets, seed)
    node = x.node
    if isinstance(node, Call) and node.function == "cross":
        return call("hash_cross", *(Expr((part,)) for part in node.args), **params)
    return call("hash", x, **params)


def hash_params(operator: str, n_buckets: Any, seed: Any) -> dict[str, Any]:
    """Return the checked parameters of a hash, by name, as plan nodes store them."""
    return check_parameters(operator, parameters_of("hash"), n_buckets=n_buckets, seed=seed)


def _hash(
    train: Sequence[ReferenceColumn],
    rows: Sequence[ReferenceColumn],
    n_buckets: int | None = None,
    seed: int = 0,
) -> list[Any]:
    found = [None if x is None else xxh64(canonical(x), seed) for x in rows[0]]
    if n_buckets is None:
        return found
    return [None if h is None else h * n_buckets // 2**64 for h in found]


def canonical(x: Any) -> bytes:
    """Return the bytes of a value that `hash` hashes, for reference functions."""
    match x:
        case str():
            return x.encode()
        case float():
            return struct.pack("<d", x if x else 0.0)
        case _:
            return struct.pack("<Q", x % 2**64)


def xxh64(content: bytes, seed: int = 0) -> int:
    """Return XXH64 of fewer than 32 bytes, by its specification, for reference functions."""
    p1, p2, p3 = 11400714785074694791, 14029467366897019727, 1609587929392839161
    p4, p5 = 9650029242287828579, 2870177450012600261
    h = seed + p5 + len(content)
    while len(content) >= 8:
        lane = int.from_bytes(content[:8], "little") * p2
        h = _rotate_left(h ^ _rotate_left(lane, 31) * p1, 27) * p1 + p4
        content = content[8:]
    if len(content) >= 4:
        h = _rotate_left(h ^ int.from_bytes(content[:4], "little") * p1, 23) * p2 + p3
        content = content[4:]
    for byte in content:
        h = _rotate_left(h ^ byte * p5, 11) * p1
    h %= 2**64
    h = (h ^ h >> 33) * p2 % 2**64
    h = (h ^ h >> 29) * p3 % 2**64
    return h ^ h >> 32


def _rotate_left(word: int, count: int) -> int:
    word %= 2**64
    return (word << count | word >> 64 - count) % 2**64


_PARAMS: tuple[dict[str, Any], ...] = ({}, {"n_buckets": 7}, {"seed": 2**64 - 1})

OPERATORS: dict[str, Operator] = {
    "hash": Operator(
        hash,
        _hash,
        tuple(Case((on,), params) for params in _PARAMS for on in ("number", "text")),
    ),
}
