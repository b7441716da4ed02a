"""std: the square root of the variance, also where that is beyond the largest float."""

from __future__ import annotations

from fractions import Fraction

from fastfeat.aggregates.definition import Values, root_of, spread_of, to_53_bits
from fastfeat.aggregates.exact import deviation_of
from fastfeat.aggregates.function import AggregateFunction, Summary, parameter
from fastfeat.aggregates.rules import to_float64
from fastfeat.dtypes import DType
from fastfeat.ir.node import Params


def _finalize(summary: Summary, params: Params) -> float | None:
    return deviation_of(summary.moments, parameter(params, "ddof"))


def _reference(values: Values, params: Params, dtype: DType) -> float | None:
    spread = spread_of(values, dtype, parameter(params, "ddof"))
    return root_of(to_53_bits(spread)) if isinstance(spread, Fraction) else spread


STD = AggregateFunction(
    "std",
    frozenset({"count", "sum", "sum_of_squares"}),
    to_float64,
    _finalize,
    _reference,
)
