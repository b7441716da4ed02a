"""Digests of learnt values and features, which are equal only if all bits are equal."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Any, cast

from fastfeat.aggregates.keys import Groups, Vocabulary
from fastfeat.api.plan import FittedPlan, Plan
from fastfeat.keep.state import aggregates_of
from fastfeat.trust.selfcheck.tables import PastTables

FILE = "golden.json"
FILE_OF_PAST = "golden_past.json"
LEARNT = "what fit learns"

_N_ARRIVING = 80

DigestsByPlan = dict[str, dict[str, str]]
"""Digest by plan and feature."""


def digests_of(fitted: FittedPlan, features: Any) -> dict[str, str]:
    """Return a digest of each feature by name, and one of all learnt values under `LEARNT`."""
    found = {name: column_digest(features.column(name)) for name in features.column_names}
    learnt = [
        fitted.record.learnt[one] for one in aggregates_of(fitted.plan.declaration.nodes.values())
    ]
    return {LEARNT: _learnt_digest(learnt), **found}


def column_digest(column: Any) -> str:
    """Return a digest of a column: its type, its missing rows, and the bits of its values.

    The digest is 16 hexadecimal digits. The split of the column into chunks does not matter.
    """
    digest = hashlib.sha256(str(column.type).encode())
    for chunk in column.chunks:
        digest.update(chunk.is_valid().to_numpy(zero_copy_only=False).tobytes())
    for chunk in column.chunks:
        digest.update(chunk.drop_null().to_numpy(zero_copy_only=False).tobytes())
    return digest.hexdigest()[:16]


def _learnt_digest(learnt: Sequence[Any]) -> str:
    """Return one digest of all learnt values, in the order of the plan; names do not matter."""
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


def digests_of_past(plan: Plan, rows: PastTables, backend: str = "cpu") -> dict[str, str]:
    """Return digests by name: of learnt values, training features, later features, and label.

    The later rows see the training rows as their history.
    """
    tables = rows.tables
    fitted, training = plan.fit_transform(rows.train, tables=tables, backend=backend)
    later = fitted.transform(rows.later, history=rows.train, tables=tables, backend=backend)
    found = digests_of(fitted, later)
    found |= {f"training: {name}": column_digest(training[name]) for name in training.column_names}
    if plan.label is not None:
        label = fitted.label(rows.later, history=rows.train, tables=tables, backend=backend)
        found["label"] = column_digest(label)
    return found


def digests_of_live(plan: Plan, rows: PastTables) -> dict[str, str]:
    """Return digests of the features that a live state computes for arriving rows, by name.

    The state stores the first half of these rows, and only computes features for the other half.
    Arriving rows lack the label's column `flag`.
    """
    fitted = plan.fit(rows.train, history="batch", tables=rows.tables)
    arriving = rows.later.sort_by("t").slice(0, _N_ARRIVING).drop_columns(["flag"])
    n_kept = _N_ARRIVING // 2
    with fitted.online(history=rows.train, tables=rows.tables, late="insert") as live:
        kept = live.process(arriving.slice(0, n_kept))
        asked = live.features(arriving.slice(n_kept))
    answers = {"kept": kept, "asked": asked}
    return {
        f"{told}: {name}": column_digest(answer[name])
        for told, answer in answers.items()
        for name in answer.column_names
    }


@cache
def golden_digests(file: str = FILE) -> DigestsByPlan:
    """Return the digests that every backend must give, by plan and feature.

    `file` is `FILE` or `FILE_OF_PAST`.
    """
    return json.loads((files("fastfeat.trust.selfcheck") / file).read_text("utf-8"))


def golden_text(digests: DigestsByPlan) -> str:
    """Return digests as JSON, the content of their file."""
    return json.dumps(digests, indent=1, ensure_ascii=False) + "\n"
