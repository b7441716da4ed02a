"""min: the least value in total order, -0.0 below 0.0; infinities take part."""

from __future__ import annotations

from fastfeat.aggregates.definition import Values, ordered
from fastfeat.aggregates.function import AggregateFunction, Number, Summary, value_of
from fastfeat.aggregates.rules import same
from fastfeat.dtypes import DType
from fastfeat.ir.node import Params


def _finalize(summary: Summary, params: Params) -> Number | None:
    return value_of(summary, summary.moments.min_key)


def _reference(values: Values, params: Params, dtype: DType) -> Number | None:
    return next(iter(ordered(values, dtype)), None)


MIN = AggregateFunction("min", frozenset({"min"}), same, _finalize, _reference)
