"""Digests of what a plan learns and computes: equal for equal bits, and for those alone."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Any, cast

from fastfeat.aggregates.groups import Groups
from fastfeat.aggregates.vocabulary import Vocabulary
from fastfeat.plan.plan import FittedPlan
from fastfeat.plan.state import aggregates_of

_FILE = "golden.json"
LEARNT = "what fit learns"

Digests = dict[str, dict[str, str]]
"""By plan, by feature."""


def digests_of(fitted: FittedPlan, features: Any) -> dict[str, str]:
    """Return a digest of each feature of a table, and one of all that was learnt."""
    found = {name: column_digest(features.column(name)) for name in features.column_names}
    learnt = [
        fitted.record.constants[one]
        for one in aggregates_of(fitted.plan.declaration.nodes.values())
    ]
    return {LEARNT: _learnt_digest(learnt), **found}


def column_digest(column: Any) -> str:
    """Return a digest of the type, of which rows are missing, and of the bits of the others.

    Args:
        column: an Arrow chunked array; how it is chunked does not matter.
    """
    digest = hashlib.sha256(str(column.type).encode())
    for chunk in column.chunks:
        digest.update(chunk.is_valid().to_numpy(zero_copy_only=False).tobytes())
    for chunk in column.chunks:
        digest.update(chunk.drop_null().to_numpy(zero_copy_only=False).tobytes())
    return digest.hexdigest()[:16]


def _learnt_digest(learnt: Sequence[Any]) -> str:
    """Return a digest of values in the order of the plan, whatever their aggregates are called."""
    return hashlib.sha256("\0".join(map(_bits, learnt)).encode()).hexdigest()[:16]


def _bits(value: Any) -> str:
    if isinstance(value, Vocabulary):
        keys = [part.to_pylist() for part in value.parts]
        return f"k{_bits([*keys, value.counts.tolist(), [value.n_missing, value.n_rare]])}"
    if isinstance(value, Groups):
        return f"g{_bits([value.values.tolist(), value.present.tolist()])}"
    if isinstance(value, float):
        return f"f{struct.pack('>d', value).hex()}"
    if isinstance(value, (list, tuple)):
        return f"[{','.join(map(_bits, cast('list[Any]', value)))}]"
    return f"{type(value).__name__}{value}"


@cache
def golden_digests() -> Digests:
    """Return the digests that every backend must give."""
    return json.loads((files("fastfeat.contract") / _FILE).read_text("utf-8"))


def golden_text(digests: Digests) -> str:
    """Return digests as the text of the file that holds them."""
    return json.dumps(digests, indent=1, ensure_ascii=False) + "\n"
