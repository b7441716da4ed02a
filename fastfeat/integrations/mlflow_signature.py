"""The MLflow signature of a plan: the columns of rows to predict, and their types.

MLflow rejects some values before the plan sees them: integers or bools of pandas that are missing,
times with a zone, and text as a categorical. Such columns have "any type" in the signature, and the
plan checks them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastfeat.api.plan import FittedPlan
from fastfeat.errors import InvalidPlan, did_you_mean
from fastfeat.execute.guard import guarded_columns, row_inputs
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
"""Floats are "double": MLflow rejects doubles, pandas' usual type, for a declared float."""


def signature_of(fitted: FittedPlan, not_missing: Sequence[str], outputs: Any = None) -> Any:
    """Return the signature of a plan and a model.

    `not_missing` names columns of integers or bools that are never missing. `outputs` are some
    predictions; None leaves the output types open.

    Raises:
        InvalidPlan: The plan does not read one of the columns in `not_missing`.
    """
    models, schema = library("mlflow.models", "mlflow"), library("mlflow.types.schema", "mlflow")
    plan = fitted.plan
    of_rows = [*dict.fromkeys([*plan.declaration.row_columns, *guarded_columns(fitted.record)])]
    late = [name for name in plan.declaration.past_columns if name not in of_rows]
    row_id = plan.declaration.row_ids if plan.declaration.past_columns else []
    for name in (not_missing := resolve_names(not_missing, "not_missing")):
        if name not in of_rows:
            raise InvalidPlan(
                f"not_missing={list(not_missing)}: the plan reads no column {name!r}."
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
    """Return MLflow's schema for `params`: a history path. None if the plan has no windows."""
    if not fitted.plan.declaration.past_columns:
        return None
    return schema.ParamSchema([schema.ParamSpec("history", "string", None)])


def column_type(dtype: DType | UnsupportedType | None, *, never_missing: bool) -> str | None:
    """Return MLflow's name for a column's type; None if MLflow should accept any type.

    `dtype` is None for a column that fit has not seen. `never_missing` matters for integers and
    bools, which MLflow rejects if they are missing.
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
