"""count: the number of values."""

from __future__ import annotations

from fastfeat.aggregates.definition import Values, present
from fastfeat.aggregates.function import AggregateFunction, Summary
from fastfeat.aggregates.rules import any_to_integer
from fastfeat.dtypes import DType
from fastfeat.ir.node import Params


def _finalize(summary: Summary, params: Params) -> int:
    return summary.moments.count


def _reference(values: Values, params: Params, dtype: DType) -> int:
    return len(present(values, dtype))


COUNT = AggregateFunction("count", frozenset({"count"}), any_to_integer, _finalize, _reference)
