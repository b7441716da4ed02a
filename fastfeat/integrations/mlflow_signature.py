"""The signature of a plan for MLflow: the columns that rows to predict have, and their types.

MLflow refuses what it cannot convert before the plan sees it: an integer or bool of pandas that is
missing, a time in a zone, text as a categorical. Such columns are of any type to it, and the plan
itself checks them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastfeat.api.plan import FittedPlan
from fastfeat.errors import InvalidPlan, did_you_mean
from fastfeat.execute.guard import columns_judged, row_inputs
from fastfeat.integrations.library import library
from fastfeat.io.columns.types import UnsupportedType
from fastfeat.ir.dtypes import DType
from fastfeat.plan.declare.arguments import resolve_names

_FIXED = {
    "binary": "binary",
    "float16": "double",
    "float32": "double",
    "float64": "double",
}
"""Floats are double: MLflow refuses those of pandas, which are, where a float is declared."""


def signature_of(fitted: FittedPlan, not_missing: Sequence[str], outputs: Any = None) -> Any:
    """Return the signature of a plan and a model.

    Args:
        fitted: the plan.
        not_missing: columns of integers or bools that are never missing.
        outputs: some predictions; None where they are not told.

    Raises:
        InvalidPlan: one of `not_missing` is no column that the plan reads of its rows.
    """
    models, schema = library("mlflow.models", "mlflow"), library("mlflow.types.schema", "mlflow")
    plan = fitted.plan
    of_rows = [*dict.fromkeys([*plan.declaration.row_columns, *columns_judged(fitted.record)])]
    late = [name for name in plan.declaration.past_columns if name not in of_rows]
    row_id = plan.declaration.row_ids if plan.declaration.past_columns else []
    for name in (not_missing := resolve_names(not_missing, "not_missing")):
        if name not in of_rows:
            raise InvalidPlan(
                f"not_missing={list(not_missing)}: {name!r} is no column that the plan reads."
                f"{did_you_mean(name, of_rows)}"
            )

    def column(name: str, *, required: bool) -> Any:
        dtype = row_inputs(fitted.record).get(name)
        kind = column_type(dtype, never_missing=name in not_missing)
        return schema.ColSpec(kind or schema.AnyType(), name, required=required)

    inputs = [
        *(column(name, required=True) for name in of_rows),
        *(column(name, required=False) for name in dict.fromkeys([*late, *row_id])),
    ]
    given = None if outputs is None else models.infer_signature(None, outputs).outputs
    return models.ModelSignature(schema.Schema(inputs), given, _params(fitted, schema))


def _params(fitted: FittedPlan, schema: Any) -> Any:
    """Return the parameters of `predict`: the path of a history, where windows see one."""
    if not fitted.plan.declaration.past_columns:
        return None
    return schema.ParamSchema([schema.ParamSpec("history", "string", None)])


def column_type(dtype: DType | UnsupportedType | None, *, never_missing: bool) -> str | None:
    """Return the name of MLflow for the type of a column; None for any type.

    Args:
        dtype: as fit saw it; None where it did not.
        never_missing: whether no value of a column of integers or bools is missing.
    """
    if not isinstance(dtype, DType):
        return None
    if dtype.name in _FIXED:
        return _FIXED[dtype.name]
    if never_missing and dtype.name == "bool":
        return "boolean"
    if never_missing and dtype.is_integer and dtype.name != "uint64":
        return "long"
    return "datetime" if dtype.name == "timestamp" and dtype.tz is None else None
