"""What is read out of the moments of groups: floats rounded where the definition rounds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from fastfeat_kernels.column import Run
from fastfeat_kernels.grouped.lines import integers_of
from fastfeat_kernels.grouped.state import GroupedMoments, moments_of
from fastfeat_kernels.moments.exact import deviation_of, mean_of, sum_of, variance_of
from fastfeat_kernels.moments.state import Moments

Floats = npt.NDArray[np.float64]
Keys = npt.NDArray[np.int64]


def sums_of(moments: GroupedMoments, run: Run, n_parts: int = 1) -> Floats:
    """Return RN(sum) of each group; infinite for one sign of infinity, NaN for both."""
    return _of_each(moments, sum_of)


def means_of(moments: GroupedMoments, run: Run, n_parts: int = 1) -> Floats:
    """Return RN(sum) / n of each group; NaN of no values."""
    return _of_each(moments, mean_of)


def variances_of(moments: GroupedMoments, ddof: int, run: Run, n_parts: int = 1) -> Floats:
    """Return RN(n sum(x^2) - sum(x)^2) / (n (n - ddof)); NaN of ddof values or fewer."""
    return _of_each(moments, lambda one: variance_of(one, ddof))


def deviations_of(moments: GroupedMoments, ddof: int, run: Run, n_parts: int = 1) -> Floats:
    """Return the square roots of the variances; NaN of ddof values or fewer."""
    return _of_each(moments, lambda one: deviation_of(one, ddof))


def integer_sums_of(
    moments: GroupedMoments,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Return the exact sums of integers or bools, and where they do not fit (the sum is then 0)."""
    exact = integers_of(moments.lines, 1)[0]
    limits = np.iinfo(np.int64)
    overflow = ((exact < limits.min) | (exact > limits.max)).astype(np.bool_)
    return np.where(overflow, 0, exact).astype(np.int64), overflow


def minima_of(moments: GroupedMoments) -> npt.NDArray[Any]:
    """Return the least value of each group, in the widest type of its kind; NaN or 0 of none."""
    return values_of_keys(moments.element, _known(moments)[:, 0], _has_none(moments))


def maxima_of(moments: GroupedMoments) -> npt.NDArray[Any]:
    """Return the greatest value of each group, in the widest type of its kind; NaN or 0 of none."""
    return values_of_keys(moments.element, _known(moments)[:, 1], _has_none(moments))


def values_of_keys(element: str, keys: Keys, absent: npt.NDArray[np.bool_]) -> npt.NDArray[Any]:
    """Return the values that keys order: float64, int64, uint64 or bool; NaN or 0 where absent."""
    if element.startswith("float"):
        bits = keys ^ ((keys >> 63) & np.int64(2**63 - 1))
        return np.where(absent, np.nan, bits.view(np.float64))
    keys = np.where(absent, np.int64(-(2**63) if element == "uint64" else 0), keys)
    if element == "bool":
        return keys.astype(np.bool_)
    return keys.view(np.uint64) ^ np.uint64(1 << 63) if element == "uint64" else keys


def _known(moments: GroupedMoments) -> Keys:
    if len(moments.extremes) != moments.n_groups:
        raise ValueError("least and greatest values are not known: not asked for, or subtracted")
    return moments.extremes


def _has_none(moments: GroupedMoments) -> npt.NDArray[np.bool_]:
    return moments.lines[:, 0] == 0


def _of_each(moments: GroupedMoments, read: Callable[[Moments], float | None]) -> Floats:
    found = (read(moments_of(moments, group)) for group in range(moments.n_groups))
    return np.array([np.nan if value is None else value for value in found], np.float64)
