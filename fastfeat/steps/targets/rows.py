"""Folds of training rows by a stable hash of the row number or of a key.

Only training rows have folds; no later row has one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fastfeat_kernels.hashing.reference import canonical_bytes, canonical_row, xxh64

from fastfeat.aggregates.target import (
    FOLDS,
)
from fastfeat.errors import TypeMismatch
from fastfeat.ir.dtypes import INT32, DType
from fastfeat.ir.node import Call
from fastfeat.ir.parameters import Parameter
from fastfeat.ir.writing import Texts
from fastfeat.scalars.hashing import bucket_of
from fastfeat.steps.keys.rows import bytes_of
from fastfeat.steps.step import Argument, StepFunction


def _fold_type(types: Sequence[DType], params: Mapping[str, Any]) -> DType:
    for dtype in types:
        if not (dtype.holds_bytes or dtype.is_number or dtype.is_temporal):
            raise TypeMismatch(
                f"fold_by= needs text, bytes, a number, a bool, a date or time, got {dtype}"
            )
    return INT32


def _fold(args: Sequence[Argument], params: Mapping[str, Any], n_rows: int) -> list[int]:
    """Return the fold of each row: by a hash of its number, or of its key."""
    n_folds = params["n_folds"]
    if not args:
        return [bucket_of(xxh64(canonical_bytes(row)), n_folds) for row in range(n_rows)]
    keys = zip(*[argument.values for argument in args], strict=True)
    rows = (canonical_row([bytes_of(part) for part in key]) for key in keys)
    return [bucket_of(xxh64(row), n_folds) for row in rows]


def _fold_text(node: Call, texts: Texts) -> str | None:
    match node.params:
        case (("n_folds", n_folds),):
            return f"fold({', '.join([*(texts[arg] for arg in node.args), f'n_folds={n_folds}'])})"
        case _:
            return None


N_FOLDS = Parameter("n_folds", FOLDS, "Number of folds of the training rows", 5, user_name="folds")

FOLD = StepFunction(
    _fold_type,
    _fold,
    always_present=True,
    of_keys=True,
    tells_apart=True,
    n_args=None,
    of_all_rows=True,  # depends on the number of a row among all rows
    written=_fold_text,
    parameters=(N_FOLDS,),
)
STEPS: dict[str, StepFunction] = {"fold": FOLD}
