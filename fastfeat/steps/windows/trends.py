"""The window functions rank, ewm_mean, ewm_sum, slope, streak: positions and trends in a window."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

from fastfeat_kernels.words import RankMethod

from fastfeat.aggregates.function import to_float64
from fastfeat.errors import TypeMismatch
from fastfeat.ir.dtypes import BOOL, FLOAT64, INT64, NEVER_COLUMNS, DType
from fastfeat.ir.parameters import (
    LONGEST,
    BoolChoice,
    Parameter,
    ParameterValues,
    Real,
    TextChoice,
    Whole,
)
from fastfeat.steps.windows.function import (
    Requests,
    StatisticRequest,
    WindowFunction,
    asks,
    seconds_per_tick,
    ticks_of_duration,
)
from fastfeat.steps.windows.texts import by_time_text


def _to_rank(dtype: DType, params: Mapping[str, Any]) -> DType:
    if dtype.is_list or dtype in NEVER_COLUMNS:
        raise TypeMismatch(f"needs text, numbers, bools, dates or times, got {dtype}")
    return FLOAT64


def _to_float64(dtype: DType, params: Mapping[str, Any]) -> DType:
    return to_float64(dtype, ())


def _to_streak(dtype: DType, params: Mapping[str, Any]) -> DType:
    if dtype != BOOL:
        raise TypeMismatch(f"needs bools, got {dtype}. Compare first: (x > 0).streak(over=...)")
    return INT64


def _rank(params: Mapping[str, Any], dtype: DType, time: DType) -> tuple[StatisticRequest, ...]:
    return (("percentile" if params["pct"] else "rank", {"method": params["method"]}),)


def _by_rows(statistic: str) -> Requests:
    def requests(
        params: ParameterValues, dtype: DType, time: DType
    ) -> tuple[StatisticRequest, ...]:
        return ((statistic, {"decay": 1.0 - params["alpha"]}),)

    return requests


def _by_time(statistic: str) -> Requests:
    def requests(
        params: ParameterValues, dtype: DType, time: DType
    ) -> tuple[StatisticRequest, ...]:
        return ((statistic, {"half_life": ticks_of_duration(params["half_life"], time)}),)

    return requests


def _slope(params: Mapping[str, Any], dtype: DType, time: DType) -> tuple[StatisticRequest, ...]:
    return (("slope", {"per": seconds_per_tick(time)[::-1]}),)


_HALF_LIFE = (
    Parameter(
        "half_life", Whole(1, LONGEST), "Time in which a weight halves, in nanoseconds or steps"
    ),
)

TRENDS: dict[str, WindowFunction] = {
    "ewm_mean": WindowFunction(
        *(_to_float64, ("ewm_mean",), _by_rows("ewm_mean")),
        parameters=(
            Parameter(
                "alpha",
                Real(0.0, 1.0, above=True),
                "Decay per row: a value k rows before the latest one has the weight (1 - alpha)^k",
            ),
        ),
        not_ahead="Take a mean: col('x').mean(over=...)",
    ),
    "ewm_mean_by": WindowFunction(
        *(_to_float64, ("ewm_mean_by",), _by_time("ewm_mean_by")),
        parameters=_HALF_LIFE,
        not_ahead="Take a mean: col('x').mean(over=...)",
        written=by_time_text,
    ),
    "rank": WindowFunction(
        *(_to_rank, ("rank", "percentile"), _rank),
        parameters=(
            Parameter(
                "method",
                TextChoice(get_args(RankMethod)),
                "Rank of equal values: the average, lowest or highest of their places",
                "average",
            ),
            Parameter(
                "pct",
                BoolChoice(),
                "Whether to divide by the number of values, for a percentile up to 1",
                False,
            ),
        ),
        not_ahead="Compare the value itself: col('x') > col('x').mean(over=...)",
    ),
    "slope": WindowFunction(
        *(_to_float64, ("slope",), _slope),
        not_ahead="Write the change itself: col('x').last(over=...) - col('x')",
    ),
    "streak": WindowFunction(
        *(_to_streak, ("streak",), asks("streak")),
        not_ahead="Ask whether all are true, or any: condition.all(over=...)",
    ),
    "ewm_sum": WindowFunction(
        *(_to_float64, ("ewm_sum",), _by_rows("ewm_sum")),
        parameters=(
            Parameter(
                "alpha",
                Real(0.0, 1.0, above=True),
                "Decay per row: a value k rows before the latest one has the weight (1 - alpha)^k",
            ),
        ),
        not_ahead="Take a sum: col('x').sum(over=...)",
    ),
    "ewm_sum_by": WindowFunction(
        *(_to_float64, ("ewm_sum_by",), _by_time("ewm_sum_by")),
        parameters=_HALF_LIFE,
        not_ahead="Take a sum: col('x').sum(over=...)",
        written=by_time_text,
    ),
}
