"""null_count: the number of rows without a value."""

from __future__ import annotations

from fastfeat.aggregates.definition import Values, present
from fastfeat.aggregates.function import AggregateFunction, Summary
from fastfeat.aggregates.rules import any_to_integer
from fastfeat.dtypes import DType
from fastfeat.ir.node import Params


def _finalize(summary: Summary, params: Params) -> int:
    return summary.moments.n_rows - summary.moments.count


def _reference(values: Values, params: Params, dtype: DType) -> int:
    return len(values) - len(present(values, dtype))


NULL_COUNT = AggregateFunction(
    "null_count", frozenset({"count"}), any_to_integer, _finalize, _reference
)
