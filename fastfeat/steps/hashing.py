"""Hashes of text, bytes and crosses: XXH64 of what `fastfeat_kernels.hashing` publishes.

The hash of a number, date or time is a scalar function: `scalars.hashing`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fastfeat_kernels.hashing.reference import canonical_row, xxh64

from fastfeat.dtypes import DType
from fastfeat.errors import TypeMismatch
from fastfeat.io.strings import content_of
from fastfeat.ir import schemas
from fastfeat.ir.node import Call
from fastfeat.ir.writing import Texts, options
from fastfeat.scalars.hashing import bucket_of, hash_type
from fastfeat.steps.step import Argument, StepFunction

Params = Mapping[str, Any]


def bytes_of(value: Any) -> Any:
    """Return a value as it is hashed: text as its bytes, anything else as it is."""
    return content_of(value) if isinstance(value, str | bytes) else value


def _type(types: Sequence[DType], params: Params) -> DType:
    for dtype in types:
        if not (dtype.holds_bytes or dtype.is_number or dtype.is_temporal):
            raise TypeMismatch(f"needs text, bytes, numbers, dates or times, got {dtype}")
    return hash_type(params)


def _hash(args: Sequence[Argument], params: Params, n_rows: int) -> list[Any]:
    seed, n_buckets = params["seed"], params["n_buckets"]
    hashes = (None if v is None else xxh64(content_of(v), seed) for v in args[0].values)
    return [None if found is None else bucket_of(found, n_buckets) for found in hashes]


def _hash_cross(args: Sequence[Argument], params: Params, n_rows: int) -> list[Any]:
    seed, n_buckets = params["seed"], params["n_buckets"]
    rows = zip(*(map(bytes_of, argument.values) for argument in args), strict=True)
    return [bucket_of(xxh64(canonical_row(row), seed), n_buckets) for row in rows]


def _hash_cross_text(node: Call, texts: Texts) -> str:
    parts = ", ".join(texts[part] for part in node.args)
    how = ", ".join(options(schemas.STEPS["hash_cross"], node.params))
    return f"ff.cross({parts}).hash({how})"


STEPS: dict[str, StepFunction] = {
    "hash_cross": StepFunction(
        _type, _hash_cross, always_present=True, n_args=None, least_args=2, written=_hash_cross_text
    )
}
OF_CONTENT: dict[str, StepFunction] = {"hash": StepFunction(_type, _hash, narrow=True)}
