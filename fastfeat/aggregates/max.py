"""max: the greatest value in total order, 0.0 above -0.0; infinities take part."""

from __future__ import annotations

from fastfeat.aggregates.definition import Values, ordered
from fastfeat.aggregates.function import AggregateFunction, Number, Summary, value_of
from fastfeat.aggregates.rules import same
from fastfeat.dtypes import DType
from fastfeat.ir.node import Params


def _finalize(summary: Summary, params: Params) -> Number | None:
    return value_of(summary, summary.moments.max_key)


def _reference(values: Values, params: Params, dtype: DType) -> Number | None:
    return next(reversed(ordered(values, dtype)), None)


MAX = AggregateFunction("max", frozenset({"max"}), same, _finalize, _reference)
