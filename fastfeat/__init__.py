"""Feature plans: written once as expressions over columns, the same bits in training and serving.

import fastfeat as ff
from fastfeat import col

plan = ff.Plan({"size": col("size").log1p().standard_scale()})
fitted = plan.fit(train)
features = fitted.transform(test)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from fastfeat import errors
from fastfeat.dtypes import DType
from fastfeat.errors import FastfeatError, FastfeatWarning
from fastfeat.expr import Expr, col, lit, when
from fastfeat.named_values import param
from fastfeat.operators.ahead import ahead
from fastfeat.operators.asof import asof
from fastfeat.operators.categories import cross
from fastfeat.operators.columns import columns
from fastfeat.operators.geo import haversine
from fastfeat.operators.horizontal import (
    coalesce,
    max_horizontal,
    mean_horizontal,
    min_horizontal,
    sum_horizontal,
)
from fastfeat.operators.lookup import lookup
from fastfeat.operators.polynomial import polynomial_features
from fastfeat.operators.windows import count, session_id, time_since, time_since_last, window

if TYPE_CHECKING:
    from fastfeat.backends.cpu.threads import num_threads, set_num_threads
    from fastfeat.integrations.leak_test import leak_test
    from fastfeat.plan.artifact import load
    from fastfeat.plan.cross_fit import Fold
    from fastfeat.plan.fitted import FittedPlan
    from fastfeat.plan.plan import Plan

__version__ = "0.1.0"

__all__ = [
    "DType",
    "Expr",
    "FastfeatError",
    "FastfeatWarning",
    "FittedPlan",
    "Fold",
    "Plan",
    "ahead",
    "asof",
    "coalesce",
    "col",
    "columns",
    "count",
    "cross",
    "errors",
    "haversine",
    "leak_test",
    "lit",
    "load",
    "lookup",
    "max_horizontal",
    "mean_horizontal",
    "min_horizontal",
    "num_threads",
    "param",
    "polynomial_features",
    "session_id",
    "set_num_threads",
    "sum_horizontal",
    "time_since",
    "time_since_last",
    "when",
    "window",
]

_LAZY = {
    "FittedPlan": "fastfeat.plan.fitted",
    "Fold": "fastfeat.plan.cross_fit",
    "Plan": "fastfeat.plan.plan",
    "leak_test": "fastfeat.integrations.leak_test",
    "load": "fastfeat.plan.artifact",
    "num_threads": "fastfeat.backends.cpu.threads",
    "set_num_threads": "fastfeat.backends.cpu.threads",
}
"""Names whose modules import pyarrow and NumPy: writing expressions does without them."""

_INSTEAD = {
    **{
        name: f"Write fastfeat.{name}_horizontal(x, y) within a row, x.{name}() for what fit learns"
        for name in ("max", "min", "mean", "sum")
    },
    **dict.fromkeys(
        ("concat_str", "struct"), "A key of several parts is fastfeat.cross(x, y), for an encoder"
    ),
    **dict.fromkeys(
        ("all", "selectors"), "fastfeat.columns(data, 'numeric') lists the names of columns"
    ),
}
"""What to write for a function of Polars."""


def __getattr__(name: str) -> Any:
    """Return a name of `_LAZY`, imported on first use."""
    if name not in _LAZY:
        hint = f". {_INSTEAD[name]}" if name in _INSTEAD else ""
        raise AttributeError(f"module 'fastfeat' has no attribute {name!r}{hint}")
    value = getattr(import_module(_LAZY[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Return the public names."""
    return sorted([*__all__, "__version__"])
