"""What a plan computes, prints and tells, in the forms that fixtures hold."""

from __future__ import annotations

import hashlib
import warnings
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pyarrow as pa
from fastfeat_kernels import processor

import fastfeat as ff
from fastfeat_tests.compatibility.compatible_rows import table, tables

STAGES = ("plan", "leakage", "live", "bound", "optimized", "physical")
GENERATED = ("cpu", "cuda")
"""Stages of which fixtures hold a digest of the generated text, for vectors of 4 lanes."""


def fitted_plan(plan: ff.Plan) -> tuple[ff.FittedPlan, pa.Table]:
    """Return a plan, fitted on the training rows, and their features."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ff.FastfeatWarning)
        return plan.fit_transform(table("train"), tables=tables())


def later_features(fitted: ff.FittedPlan) -> pa.Table:
    """Return the features of the later rows, and their label where there is one."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ff.FastfeatWarning)
        past: dict[str, Any] = {"history": table("train"), "tables": tables()}
        found = fitted.transform(table("later"), **past)
        if fitted.plan.label is not None:
            found = found.append_column("the label", fitted.label(table("later"), **past))
    return found.replace_schema_metadata(None)


def bits(found: pa.Table) -> dict[str, tuple[str, list[bool], bytes]]:
    """Return the type of each column, which rows it has, and the bits of these."""
    columns = {name: found[name].combine_chunks() for name in found.column_names}
    return {
        name: (
            str(column.type),
            column.is_valid().to_pylist(),
            _values(column.drop_null()),
        )
        for name, column in columns.items()
    }


def digests(found: pa.Table) -> dict[str, str]:
    """Return a digest of the bits of each column."""
    return {
        name: hashlib.sha256(repr(column).encode()).hexdigest()[:16]
        for name, column in bits(found).items()
    }


def _values(column: Any) -> bytes:
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        return repr(column.to_pylist()).encode()
    if pa.types.is_temporal(column.type):
        column = column.cast(pa.int32() if column.type == pa.date32() else pa.int64())
    return column.to_numpy(zero_copy_only=False).tobytes()


def printed(fitted: ff.FittedPlan) -> dict[str, str]:
    """Return what `explain` prints at each stage, and what a plan and its parts are shown as."""
    plan = fitted.plan
    shown = {stage: fitted.explain(stage) for stage in STAGES}
    for stage in GENERATED:
        with patch.object(processor, "lanes", lambda: 4):
            shown[stage] = hashlib.sha256(fitted.explain(stage).encode()).hexdigest()
    shown["expressions"] = "\n".join(map(repr, plan.features.values()))
    shown["shown"] = f"{plan!r}\n\n{fitted!r}"
    return shown


def told(fitted: ff.FittedPlan) -> dict[str, Any]:
    """Return what a fitted plan tells of itself, as JSON holds it; floats in hex."""
    plan = fitted.plan
    return {
        "feature_names": list(fitted.feature_names),
        "schema": [f"{field.name}: {field.type}" for field in fitted.schema],
        "learnt": {name: _plain(value) for name, value in fitted.learnt().items()},
        "feature_map": _plain(ff.quality.feature_map(fitted)),
        "history_needed": fitted.history_needed(),
        "columns": list(plan.columns),
    }


def _plain(value: Any) -> str:
    """Return a value as text that no library's version changes: floats in hex."""
    match value:
        case pa.Table() | pa.Array() | pa.ChunkedArray():
            return _plain(value.to_pylist())
        case float():
            return float(value).hex()
        case dict():
            return "{" + ", ".join(f"{k}: {_plain(v)}" for k, v in value.items()) + "}"
        case list() | tuple():
            return "[" + ", ".join(map(_plain, value)) + "]"
        case _ if hasattr(value, "tolist"):
            return _plain(value.tolist())
        case _:
            return repr(value)


def saved(fitted: ff.FittedPlan, folder: Path) -> bytes:
    """Return the content of the artifact of a fitted plan."""
    path = folder / "saved.fastfeat"
    fitted.save(path, golden=False)
    return path.read_bytes()
