"""count, sum, mean, var, std, skew, kurtosis, min, max: computed from exact sums and extremes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import TYPE_CHECKING

from fastfeat_kernels.moments import exact as exactly
from fastfeat_kernels.moments import many as columns
from fastfeat_kernels.powers import reference as shapes
from fastfeat_kernels.powers import state as powers

from fastfeat.aggregates import definition
from fastfeat.aggregates.function import (
    AggregateFunction,
    AggregateNumber,
    ColumnSummary,
    LearntValue,
    any_to_integer,
    parameter,
    same,
    to_float64,
    to_level,
    to_sum,
    value_of,
)
from fastfeat.errors import Overflow
from fastfeat.ir.dtypes import INTEGER_RANGE, DType
from fastfeat.ir.node import Params
from fastfeat.ir.parameters import (
    BoolChoice,
    Parameter,
    Whole,
)

if TYPE_CHECKING:
    from fastfeat_kernels.moments.many import ManyMoments

    from fastfeat.aggregates.definition import AggregateColumn


def _count_finalize(summary: ColumnSummary, params: Params) -> int:
    return summary.moments.count


def _counts(many: ManyMoments, dtype: DType, params: Params) -> Sequence[LearntValue]:
    return columns.counts_of(many)


def _count_reference(values: AggregateColumn, params: Params, dtype: DType) -> int:
    return len(definition.drop_missing(values, dtype))


def _null_count_finalize(summary: ColumnSummary, params: Params) -> int:
    return summary.moments.n_rows - summary.moments.count


def _null_counts(many: ManyMoments, dtype: DType, params: Params) -> Sequence[LearntValue]:
    return columns.null_counts_of(many)


def _null_count_reference(values: AggregateColumn, params: Params, dtype: DType) -> int:
    return len(values) - len(definition.drop_missing(values, dtype))


def _sum_finalize(summary: ColumnSummary, params: Params) -> float | int:
    if summary.dtype.physical == "f64":
        return exactly.sum_of(summary.moments)
    return _checked(summary.moments.sum)


def _checked(exact: int) -> int:
    lowest, highest = INTEGER_RANGE["int64"]
    if not lowest <= exact <= highest:
        raise Overflow(f"sum: {exact} does not fit int64. Sum as float64: .cast('float64').sum()")
    return exact


def _sum_reference(values: AggregateColumn, params: Params, dtype: DType) -> float | int:
    known = definition.drop_missing(values, dtype)
    infinite = definition.sum_with_infinities(known)
    if infinite is not None:
        return infinite
    exact = definition.total(known)
    if dtype.physical == "f64":
        return definition.to_float(exact)
    return _checked(int(exact))


def _mean_finalize(summary: ColumnSummary, params: Params) -> float | int | None:
    moments = summary.moments
    if summary.dtype.name == "duration":
        return math.trunc(Fraction(moments.sum, moments.count)) if moments.count else None
    return exactly.mean_of(moments)


def _means(many: ManyMoments, dtype: DType, params: Params) -> Sequence[LearntValue]:
    if dtype.name == "duration":
        return [_mean_finalize(ColumnSummary(dtype, many[k], {}), params) for k in range(len(many))]
    return columns.means_of(many)


def _mean_reference(values: AggregateColumn, params: Params, dtype: DType) -> float | int | None:
    known = definition.drop_missing(values, dtype)
    if not known:
        return None
    infinite = definition.sum_with_infinities(known)
    if infinite is not None:
        return infinite
    if dtype.name == "duration":
        quotient = abs(sum(known)) // len(known)
        return quotient if sum(known) > 0 else -quotient
    return definition.to_float(definition.to_53_bits(definition.total(known)) / len(known))


def _var_finalize(summary: ColumnSummary, params: Params) -> float | None:
    return exactly.variance_of(summary.moments, parameter(params, "ddof"))


def _variances(many: ManyMoments, dtype: DType, params: Params) -> Sequence[LearntValue]:
    return columns.variances_of(many, parameter(params, "ddof"))


def _var_reference(values: AggregateColumn, params: Params, dtype: DType) -> float | None:
    spread = definition.spread_of(values, dtype, parameter(params, "ddof"))
    return definition.to_float(spread) if isinstance(spread, Fraction) else spread


DDOF = Parameter(
    "ddof",
    Whole(0),
    "The divisor is the number of values minus this: 1 for a sample, 0 for a population",
    1,
)


def _std_finalize(summary: ColumnSummary, params: Params) -> float | None:
    return exactly.deviation_of(summary.moments, parameter(params, "ddof"))


def _deviations(many: ManyMoments, dtype: DType, params: Params) -> Sequence[LearntValue]:
    return columns.deviations_of(many, parameter(params, "ddof"))


def _std_reference(values: AggregateColumn, params: Params, dtype: DType) -> float | None:
    spread = definition.spread_of(values, dtype, parameter(params, "ddof"))
    return (
        definition.root_of(definition.to_53_bits(spread))
        if isinstance(spread, Fraction)
        else spread
    )


def _skew_finalize(summary: ColumnSummary, params: Params) -> float | None:
    return powers.skew_of(summary.powers or powers.NO_POWERS, parameter(params, "bias"))


def _kurtosis_finalize(summary: ColumnSummary, params: Params) -> float | None:
    bias, fisher = parameter(params, "bias"), parameter(params, "fisher")
    return powers.kurtosis_of(summary.powers or powers.NO_POWERS, bias, fisher)


def _skew_reference(values: AggregateColumn, params: Params, dtype: DType) -> float | None:
    return shapes.skew_of(definition.drop_missing(values, dtype), **dict(params))


def _kurtosis_reference(values: AggregateColumn, params: Params, dtype: DType) -> float | None:
    return shapes.kurtosis_of(definition.drop_missing(values, dtype), **dict(params))


BIAS = Parameter(
    "bias",
    BoolChoice(),
    "Whether to describe these values; False estimates the population they are a sample of",
    True,
)
FISHER = Parameter(
    "fisher",
    BoolChoice(),
    "Whether the kurtosis of a normal distribution is 0; False makes it 3",
    True,
)


def _min_finalize(summary: ColumnSummary, params: Params) -> AggregateNumber | None:
    return value_of(summary, summary.moments.min_key)


def _least(many: ManyMoments, dtype: DType, params: Params) -> Sequence[LearntValue]:
    return columns.least_of(many)


def _min_reference(values: AggregateColumn, params: Params, dtype: DType) -> AggregateNumber | None:
    return next(iter(definition.sort_values(values, dtype)), None)


def _max_finalize(summary: ColumnSummary, params: Params) -> AggregateNumber | None:
    return value_of(summary, summary.moments.max_key)


def _greatest(many: ManyMoments, dtype: DType, params: Params) -> Sequence[LearntValue]:
    return columns.greatest_of(many)


def _max_reference(values: AggregateColumn, params: Params, dtype: DType) -> AggregateNumber | None:
    return next(reversed(definition.sort_values(values, dtype)), None)


FUNCTIONS = (
    AggregateFunction(
        "count",
        frozenset({"count"}),
        any_to_integer,
        _count_finalize,
        _count_reference,
        grows_with_rows=True,
        finalize_many=_counts,
    ),
    AggregateFunction(
        "null_count",
        frozenset({"count"}),
        any_to_integer,
        _null_count_finalize,
        _null_count_reference,
        grows_with_rows=True,
        finalize_many=_null_counts,
    ),
    AggregateFunction(
        "sum", frozenset({"sum"}), to_sum, _sum_finalize, _sum_reference, grows_with_rows=True
    ),
    AggregateFunction(
        "mean",
        frozenset({"count", "sum"}),
        to_level,
        _mean_finalize,
        _mean_reference,
        tells_number=False,
        finalize_many=_means,
    ),
    AggregateFunction(
        "var",
        frozenset({"count", "sum", "sum_of_squares"}),
        to_float64,
        _var_finalize,
        _var_reference,
        parameters=(DDOF,),
        finalize_many=_variances,
    ),
    AggregateFunction(
        "std",
        frozenset({"count", "sum", "sum_of_squares"}),
        to_float64,
        _std_finalize,
        _std_reference,
        parameters=(DDOF,),
        finalize_many=_deviations,
    ),
    AggregateFunction(
        "skew",
        frozenset({"count", "powers"}),
        to_float64,
        _skew_finalize,
        _skew_reference,
        parameters=(BIAS,),
    ),
    AggregateFunction(
        "kurtosis",
        frozenset({"count", "powers"}),
        to_float64,
        _kurtosis_finalize,
        _kurtosis_reference,
        parameters=(BIAS, FISHER),
    ),
    AggregateFunction(
        "min", frozenset({"min"}), same, _min_finalize, _min_reference, finalize_many=_least
    ),
    AggregateFunction(
        "max", frozenset({"max"}), same, _max_finalize, _max_reference, finalize_many=_greatest
    ),
)
