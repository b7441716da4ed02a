"""Feature plans: written once as expressions over columns, the same bits in training and serving.

import fastfeat as ff
from fastfeat import col

plan = ff.Plan({"size": col("size").log1p().standard_scale()})
fitted = plan.fit(train)
features = fitted.transform(test)

What there is, by task. Names that begin with a dot are methods of an expression, and
`help(ff.Expr.qcut)` says how one is used.

columns         ff.col ff.lit ff.columns .alias .cast
numbers         .abs .sign .floor .ceil .round .clip .sqrt .cbrt .exp .expm1 .log .log1p .log2
                .log10 .sigmoid .sin .cos .tan .arcsin .arccos .arctan .sinh .cosh .tanh .cyclical
                ff.haversine ff.polynomial_features
conditions      ff.when .is_between .is_in .replace_strict .is_finite .is_infinite
missing values  .is_null .is_not_null .eq_missing .ne_missing .fill_null .fill_infinite .impute
                ff.coalesce
across columns  ff.max_horizontal ff.mean_horizontal ff.min_horizontal ff.sum_horizontal
statistics      .count .null_count .sum .mean .var .std .skew .kurtosis .min .max .quantile .median
                .mode .n_unique: of all training rows, of those of a key (by=), or of earlier rows
                (over=)
scaling         .standard_scale .min_max_scale .max_abs_scale .robust_scale .quantile_transform
                .power_transform
bins, splines   .cut .qcut .k_bins_discretize .spline_transform
categories      .ordinal_encode .one_hot_encode .binary_encode .count_encode .hash ff.cross
by a target     .target_encode .woe_encode
earlier rows    ff.window ff.count ff.time_since ff.time_since_last ff.session_id .lag .diff
                .pct_change .first .last .any .all .range .rank .slope .streak .ewm_mean
                .ewm_sum
labels ahead    ff.ahead
other tables    ff.lookup ff.asof
times           .dt: help(ff.col("t").dt)
text            .str: help(ff.col("s").str)
lists           .list: help(ff.col("tags").list)
plans           ff.Plan ff.FittedPlan ff.Fold ff.Learning ff.load ff.plan_schema
                ff.num_threads ff.set_num_threads
live            ff.online ff.Live ff.replay
checks          ff.certify ff.leak_test ff.Contract ff.Rule ff.infer_contract ff.infer_plan ff.diff
                ff.inspect ff.quality: profile, rounding, feature_map, check_golden
types, errors   ff.DType ff.Expr ff.errors ff.FastfeatError ff.FastfeatWarning
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

import fastfeat.operators  # noqa: F401  # pyright: ignore[reportUnusedImport]  # sets the methods of Expr
from fastfeat import errors
from fastfeat.errors import FastfeatError, FastfeatWarning
from fastfeat.expr import Expr, col, lit, when
from fastfeat.ir.dtypes import DType
from fastfeat.ir.node import Aggregate, Call
from fastfeat.ir.show import ROWS, PrintedFunction
from fastfeat.version import __version__ as __version__

if TYPE_CHECKING:
    from fastfeat.api import quality
    from fastfeat.api.certify import certify
    from fastfeat.api.diff import diff
    from fastfeat.api.infer_plan import infer_plan
    from fastfeat.api.learning import Learning
    from fastfeat.api.online import online, replay
    from fastfeat.api.plan import FittedPlan, Plan, load
    from fastfeat.engine.cpu.threads import num_threads, set_num_threads
    from fastfeat.integrations.leak_test import leak_test
    from fastfeat.keep.schema import plan_schema
    from fastfeat.learn.cross_fit import Fold
    from fastfeat.live.live import Live
    from fastfeat.operators.ahead import ahead
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
    from fastfeat.operators.lookup import asof, lookup
    from fastfeat.operators.polynomial import polynomial_features
    from fastfeat.operators.windows import count, session_id, time_since, time_since_last, window
    from fastfeat.plan.declare.contract import Rule
    from fastfeat.trust.quality.contract import Contract
    from fastfeat.trust.quality.infer import infer_contract
    from fastfeat.trust.quality.inspection import inspect

__all__ = [
    "Contract",
    "DType",
    "Expr",
    "FastfeatError",
    "FastfeatWarning",
    "FittedPlan",
    "Fold",
    "Learning",
    "Live",
    "Plan",
    "Rule",
    "ahead",
    "asof",
    "certify",
    "coalesce",
    "col",
    "columns",
    "count",
    "cross",
    "diff",
    "errors",
    "haversine",
    "infer_contract",
    "infer_plan",
    "inspect",
    "leak_test",
    "lit",
    "load",
    "lookup",
    "max_horizontal",
    "mean_horizontal",
    "min_horizontal",
    "num_threads",
    "online",
    "plan_schema",
    "polynomial_features",
    "quality",
    "replay",
    "session_id",
    "set_num_threads",
    "sum_horizontal",
    "time_since",
    "time_since_last",
    "when",
    "window",
]

_LAZY = {
    "Contract": "fastfeat.trust.quality.contract",
    "FittedPlan": "fastfeat.api.plan",
    "Fold": "fastfeat.learn.cross_fit",
    "Learning": "fastfeat.api.learning",
    "Live": "fastfeat.live.live",
    "Plan": "fastfeat.api.plan",
    "Rule": "fastfeat.plan.declare.contract",
    "ahead": "fastfeat.operators.ahead",
    "asof": "fastfeat.operators.lookup",
    "certify": "fastfeat.api.certify",
    "coalesce": "fastfeat.operators.horizontal",
    "columns": "fastfeat.operators.columns",
    "count": "fastfeat.operators.windows",
    "cross": "fastfeat.operators.categories",
    "diff": "fastfeat.api.diff",
    "haversine": "fastfeat.operators.geo",
    "infer_contract": "fastfeat.trust.quality.infer",
    "infer_plan": "fastfeat.api.infer_plan",
    "inspect": "fastfeat.trust.quality.inspection",
    "leak_test": "fastfeat.integrations.leak_test",
    "load": "fastfeat.api.plan",
    "lookup": "fastfeat.operators.lookup",
    "max_horizontal": "fastfeat.operators.horizontal",
    "mean_horizontal": "fastfeat.operators.horizontal",
    "min_horizontal": "fastfeat.operators.horizontal",
    "num_threads": "fastfeat.engine.cpu.threads",
    "online": "fastfeat.api.online",
    "plan_schema": "fastfeat.keep.schema",
    "polynomial_features": "fastfeat.operators.polynomial",
    "replay": "fastfeat.api.online",
    "session_id": "fastfeat.operators.windows",
    "set_num_threads": "fastfeat.engine.cpu.threads",
    "sum_horizontal": "fastfeat.operators.horizontal",
    "time_since": "fastfeat.operators.windows",
    "time_since_last": "fastfeat.operators.windows",
    "window": "fastfeat.operators.windows",
}
"""Names whose modules `import fastfeat` does without; most import NumPy and PyArrow."""

_MODULES = {"quality": "fastfeat.api.quality"}
"""Modules with public functions."""

_INSTEAD = {
    **{
        name: f"Write fastfeat.{name}_horizontal(x, y) across columns, x.{name}() over all rows"
        for name in ("max", "min", "mean", "sum")
    },
    **dict.fromkeys(
        ("concat_str", "struct"), "To encode several columns as one key, use fastfeat.cross(x, y)"
    ),
    **dict.fromkeys(
        ("all", "selectors"), "fastfeat.columns(data, 'numeric') lists the names of columns"
    ),
}
"""What to write for a function of Polars."""


def __getattr__(name: str) -> Any:
    """Return a name of `_LAZY`, imported on first use."""
    if name in _MODULES:
        return import_module(_MODULES[name])
    if name not in _LAZY:
        hint = f". {_INSTEAD[name]}" if name in _INSTEAD else ""
        raise AttributeError(f"module 'fastfeat' has no attribute {name!r}{hint}")
    value = getattr(import_module(_LAZY[name]), name)
    globals()[name] = value
    return value


def _row_of_call(function: str) -> PrintedFunction | None:
    """Return the written form and the parameters of a scalar function or a step."""
    from fastfeat.scalars import SCALARS
    from fastfeat.steps.registry import STEPS

    row = SCALARS.get(function) or STEPS.get(function)
    return None if row is None else (row.written, row.parameters)


def _row_of_aggregate(function: str) -> PrintedFunction | None:
    """Return the written form and the parameters of an aggregate."""
    from fastfeat.aggregates import AGGREGATES

    row = AGGREGATES.get(function)
    return None if row is None else (row.written, row.parameters)


ROWS.update({Call: _row_of_call, Aggregate: _row_of_aggregate})


def __dir__() -> list[str]:
    """Return the public names."""
    return sorted([*__all__, "__version__"])
