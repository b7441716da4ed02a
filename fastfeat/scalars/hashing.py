"""hash: XXH64 of a number, date or time, built from primitive operations; and buckets of hashes.

The hashed bytes are the number's 8 bytes as int64 or float64, little endian, as documented by
`fastfeat_kernels.hashing`. The bucket of a hash h is floor(h * n_buckets / 2**64).
Source: github.com/Cyan4973/xxHash, doc/xxhash_spec.md; D. Lemire: Fast Random Integer Generation in
an Interval (2019).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fastfeat.errors import TypeMismatch
from fastfeat.ir.dtypes import CROSS, INT32, NULL, UINT64, DType
from fastfeat.ir.node import Call
from fastfeat.ir.parameters import (
    Parameter,
    Whole,
)
from fastfeat.scalars import op
from fastfeat.scalars.op import Op
from fastfeat.scalars.value import ScalarFunction, Value, missing

_P1, _P2, _P3, _P4, _P5 = (
    0x9E3779B185EBCA87,
    0xC2B2AE3D27D4EB4F,
    0x165667B19E3779F9,
    0x85EBCA77C2B2AE63,
    0x27D4EB2F165667C5,
)
_LOW = (1 << 32) - 1


def hash_type(params: Mapping[str, Any]) -> DType:
    """Return the result type of `hash`: uint64, or int32 if there are buckets."""
    return UINT64 if params["n_buckets"] is None else INT32


def largest_bucket(call: Call, of_arguments: Sequence[int | None]) -> int | None:
    """Return the number of the last bucket; None if hashes are not divided into buckets."""
    n_buckets: int | None = dict(call.params)["n_buckets"]
    return None if n_buckets is None else n_buckets - 1


def bucket_of(found: int, n_buckets: int | None) -> int:
    """Return the bucket of a hash in [0, 2**64); without buckets, the hash itself.

    Example:
        >>> bucket_of(2**63, 10), bucket_of(2**63, None) == 2**63
        (5, True)
    """
    return found if n_buckets is None else found * n_buckets >> 64


def _type(types: Sequence[DType], params: Mapping[str, Any]) -> DType:
    (dtype,) = types
    if dtype == CROSS or not (dtype.is_number or dtype.is_temporal):
        raise TypeMismatch(f"needs text, bytes, a number, a date or time, got {dtype}")
    return hash_type(params)


def _hash(values: Sequence[Value], params: Mapping[str, Any]) -> Value:
    (value,) = values
    dtype = hash_type(params)
    if value.dtype == NULL:
        return missing(dtype)
    match value.op.physical:
        case "f64":
            word = op.bits_of(value.op + 0.0)  # -0.0 + 0.0 is 0.0
        case "b1":
            word = op.from_bool(value.op)
        case _:
            word = value.op
    found = _xxh64_of_word(word, params["seed"])
    n_buckets = params["n_buckets"]
    if n_buckets is not None:
        found = _bucket(found, n_buckets)
    return Value(dtype, found, value.present, value.status)


def _xxh64_of_word(word: Op, seed: int) -> Op:
    """Return the XXH64 hash of a 64-bit integer."""
    lane = _rotate_left(word * _word(_P2), 31) * _word(_P1)
    total = _rotate_left(lane ^ _word(seed + _P5 + 8), 27) * _word(_P1) + _word(_P4)
    total = (total ^ op.shift_logical(total, 33)) * _word(_P2)
    total = (total ^ op.shift_logical(total, 29)) * _word(_P3)
    return total ^ op.shift_logical(total, 32)


def _rotate_left(word: Op, count: int) -> Op:
    return (word << count) | op.shift_logical(word, 64 - count)


def _word(value: int) -> Op:
    return op.literal(value, "i64")


def _bucket(found: Op, n_buckets: int) -> Op:
    """Return the bucket of a hash: the upper 64 bits of hash * n_buckets.

    n_buckets is below 2**31, so the product is computed from the halves of the hash.
    """
    low = op.shift_logical((found & _LOW) * n_buckets, 32)
    return op.shift_logical(op.shift_logical(found, 32) * n_buckets + low, 32)


SEED = Parameter("seed", Whole(0, 2**64 - 1), "Seed of the hash", 0, hidden=True)
PARAMETERS = (
    Parameter(
        "n_buckets",
        Whole(1, 2**31 - 1),
        "Number of buckets; None returns the hash itself",
        None,
        or_none=True,
        hidden=True,
    ),
    SEED,
)

FUNCTIONS: dict[str, ScalarFunction] = {
    "hash": ScalarFunction(
        _type, _hash, parameters=PARAMETERS, largest=largest_bucket, tells_apart=True
    )
}
