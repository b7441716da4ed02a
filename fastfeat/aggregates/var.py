"""var: the variance from exact sums; `ddof` is taken from the number of values in the divisor."""

from __future__ import annotations

from fractions import Fraction

from fastfeat.aggregates.definition import Values, spread_of, to_float
from fastfeat.aggregates.exact import variance_of
from fastfeat.aggregates.function import AggregateFunction, Summary, parameter
from fastfeat.aggregates.rules import to_float64
from fastfeat.dtypes import DType
from fastfeat.ir.node import Params


def _finalize(summary: Summary, params: Params) -> float | None:
    return variance_of(summary.moments, parameter(params, "ddof"))


def _reference(values: Values, params: Params, dtype: DType) -> float | None:
    spread = spread_of(values, dtype, parameter(params, "ddof"))
    return to_float(spread) if isinstance(spread, Fraction) else spread


VAR = AggregateFunction(
    "var",
    frozenset({"count", "sum", "sum_of_squares"}),
    to_float64,
    _finalize,
    _reference,
)
