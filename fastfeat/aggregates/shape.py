"""skew, kurtosis: the shape of values, from exact sums of their powers."""

from __future__ import annotations

from fastfeat_kernels.powers import reference
from fastfeat_kernels.powers.exact import kurtosis_of, skew_of

from fastfeat.aggregates.definition import Values, present
from fastfeat.aggregates.function import AggregateFunction, Summary, parameter
from fastfeat.aggregates.rules import to_float64
from fastfeat.dtypes import DType
from fastfeat.ir.node import Params
from fastfeat.ir.parameters import is_flag, takes


def _skew(summary: Summary, params: Params) -> float | None:
    return skew_of(summary.powers, parameter(params, "bias"))


def _kurtosis(summary: Summary, params: Params) -> float | None:
    bias, fisher = parameter(params, "bias"), parameter(params, "fisher")
    return kurtosis_of(summary.powers, bias, fisher)


def _skew_by_definition(values: Values, params: Params, dtype: DType) -> float | None:
    return reference.skew_of(present(values, dtype), **dict(params))


def _kurtosis_by_definition(values: Values, params: Params, dtype: DType) -> float | None:
    return reference.kurtosis_of(present(values, dtype), **dict(params))


SKEW = AggregateFunction(
    "skew",
    frozenset({"count", "powers"}),
    to_float64,
    _skew,
    _skew_by_definition,
    valid=takes(bias=is_flag),
)
KURTOSIS = AggregateFunction(
    "kurtosis",
    frozenset({"count", "powers"}),
    to_float64,
    _kurtosis,
    _kurtosis_by_definition,
    valid=takes(bias=is_flag, fisher=is_flag),
)
