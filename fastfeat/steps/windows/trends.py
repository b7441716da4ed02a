"""rank, ewm_mean, slope, streak: where the rows of a window stand, and where they tend."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastfeat_kernels.windows.requests import Wanted
from fastfeat_kernels.windows.statistic import RANK_METHODS

from fastfeat.aggregates.rules import to_float64
from fastfeat.dtypes import BOOL, FLOAT64, INT64, NEVER_COLUMNS, DType
from fastfeat.errors import TypeMismatch
from fastfeat.ir.node import Params
from fastfeat.steps.windows.function import (
    WindowFunction,
    asks,
    seconds_per_tick,
    statistic,
    ticks_of_duration,
)


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


def _rank(params: Mapping[str, Any], dtype: DType, time: DType) -> tuple[Wanted, ...]:
    return (statistic("percentile" if params["pct"] else "rank", method=params["method"]),)


def _ewm_mean(params: Mapping[str, Any], dtype: DType, time: DType) -> tuple[Wanted, ...]:
    return (statistic("ewm_mean", decay=1.0 - params["alpha"]),)


def _ewm_mean_by(params: Mapping[str, Any], dtype: DType, time: DType) -> tuple[Wanted, ...]:
    return (statistic("ewm_mean_by", half_life=ticks_of_duration(params["half_life"], time)),)


def _slope(params: Mapping[str, Any], dtype: DType, time: DType) -> tuple[Wanted, ...]:
    return (statistic("slope", per=seconds_per_tick(time)[::-1]),)


def _valid_rank(params: Params) -> bool:
    match params:
        case (("method", method), ("pct", bool())):
            return method in RANK_METHODS
        case _:
            return False


def _valid_alpha(params: Params) -> bool:
    match params:
        case (("alpha", float(alpha)),):
            return 0 < alpha <= 1
        case _:
            return False


def _valid_half_life(params: Params) -> bool:
    match params:
        case (("half_life", half_life),):
            return type(half_life) is int and 1 <= half_life < 1 << 63
        case _:
            return False


TRENDS: dict[str, WindowFunction] = {
    "ewm_mean": WindowFunction(
        *(_to_float64, ("ewm_mean",), _ewm_mean),
        valid=_valid_alpha,
        not_ahead="Take a mean: col('x').mean(over=...)",
    ),
    "ewm_mean_by": WindowFunction(
        *(_to_float64, ("ewm_mean_by",), _ewm_mean_by),
        valid=_valid_half_life,
        not_ahead="Take a mean: col('x').mean(over=...)",
    ),
    "rank": WindowFunction(
        *(_to_rank, ("rank", "percentile"), _rank),
        valid=_valid_rank,
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
}

__all__ = ["RANK_METHODS", "TRENDS"]
