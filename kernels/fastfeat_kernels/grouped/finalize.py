"""Statistics from the moments of groups: floats rounded where the definition rounds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fastfeat_kernels.arrays import Float64Array, Int64Array
from fastfeat_kernels.column import ELEMENTS, CallRunner, KernelRowCall
from fastfeat_kernels.grouped import layout
from fastfeat_kernels.grouped.lines import carried_sums, integers_of
from fastfeat_kernels.grouped.state import GroupedMoments, all_moments_of, carried, counts_of
from fastfeat_kernels.grouped.tables import scratch
from fastfeat_kernels.moments.exact import deviation_of, mean_of, sum_of, variance_of
from fastfeat_kernels.moments.state import Moments

_MIDDLE_BITS = 63 - layout.LIMB_BITS  # of the middle limb of a sum that fits int64


def sums_of(moments: GroupedMoments, run: CallRunner, n_parts: int = 1) -> Float64Array:
    """Return RN(sum) of each group; infinite for one sign of infinity, NaN for both.

    RN rounds to the nearest float. The moments need level 1 or 2.
    """
    return _read_out(moments, _Statistic(layout.TOTAL, sum_of), run, n_parts)


def means_of(moments: GroupedMoments, run: CallRunner, n_parts: int = 1) -> Float64Array:
    """Return RN(sum) / n of each group; NaN without values, and where `sums_of` gives NaN."""
    return _read_out(moments, _Statistic(layout.MEAN, mean_of), run, n_parts)


def variances_of(
    moments: GroupedMoments, ddof: int, run: CallRunner, n_parts: int = 1
) -> Float64Array:
    """Return RN(n sum(x^2) - sum(x)^2) / (n (n - ddof)); NaN for ddof values or fewer.

    The moments need level 2.
    """
    statistic = _Statistic(layout.VARIANCE, partial(variance_of, ddof=ddof), ddof)
    return _read_out(moments, statistic, run, n_parts)


def deviations_of(
    moments: GroupedMoments, ddof: int, run: CallRunner, n_parts: int = 1
) -> Float64Array:
    """Return the square roots of the variances; NaN for ddof values or fewer."""
    statistic = _Statistic(layout.DEVIATION, partial(deviation_of, ddof=ddof), ddof)
    return _read_out(moments, statistic, run, n_parts)


def integer_sums_of(
    moments: GroupedMoments,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Return the exact sums of integers or bools, and a mask of overflows (their sums are 0)."""
    high, middle, low = carried_sums(moments.lines).T
    fits = (high == 0) & (middle < 1 << _MIDDLE_BITS)
    fits |= (high == -1) & (middle >= (1 << layout.LIMB_BITS) - (1 << _MIDDLE_BITS))
    return np.where(fits, (middle << layout.LIMB_BITS) + low, 0), ~fits


def truncated_means_of(moments: GroupedMoments) -> npt.NDArray[np.int64]:
    """Return the exact means of integers without fraction, for durations; 0 without values."""
    exact, counts = integers_of(moments.lines, 1)[0], np.maximum(counts_of(moments), 1)
    means = np.abs(exact) // counts.astype(object)
    return np.where(exact < 0, -means, means).astype(np.int64)


def minima_of(moments: GroupedMoments) -> npt.NDArray[Any]:
    """Return the minimum of each group, in the widest type of its kind; NaN or 0 without values."""
    return values_of_keys(moments.element, _known(moments)[:, 0], _has_none(moments))


def maxima_of(moments: GroupedMoments) -> npt.NDArray[Any]:
    """Return the maximum of each group, in the widest type of its kind; NaN or 0 without values."""
    return values_of_keys(moments.element, _known(moments)[:, 1], _has_none(moments))


def values_of_keys(
    element: str, keys: Int64Array, absent: npt.NDArray[np.bool_]
) -> npt.NDArray[Any]:
    """Return the values of keys: float64, int64, uint64 or bool; NaN or 0 where absent."""
    if element.startswith("float"):
        bits = keys ^ ((keys >> 63) & np.int64(2**63 - 1))
        return np.where(absent, np.nan, bits.view(np.float64))
    keys = np.where(absent, np.int64(-(2**63) if element == "uint64" else 0), keys)
    if element == "bool":
        return keys.astype(np.bool_)
    return keys.view(np.uint64) ^ np.uint64(1 << 63) if element == "uint64" else keys


def _known(moments: GroupedMoments) -> Int64Array:
    if len(moments.extremes) != moments.n_groups:
        raise ValueError("the extremes are unknown: they were not requested, or were subtracted")
    return moments.extremes


def _has_none(moments: GroupedMoments) -> npt.NDArray[np.bool_]:
    return moments.lines[:, 0] == 0


def wanted_words(statistics: Sequence[tuple[int, int]], out: Sequence[Float64Array]) -> Int64Array:
    """Return request words for the kernel: statistics, ddof, and arrays of shape (n_groups,)."""
    addresses = [one.ctypes.data for one in out]
    return np.array([(*s, at) for s, at in zip(statistics, addresses, strict=True)], np.int64)


class _Statistic(NamedTuple):
    """One statistic: its number in the kernel, and its definition for one group."""

    number: int
    read: Callable[[Moments], float | None]
    ddof: int = 0


def _read_out(
    moments: GroupedMoments, statistic: _Statistic, run: CallRunner, n_parts: int
) -> Float64Array:
    if moments.level < (1 if statistic.number <= layout.MEAN else 2):
        raise ValueError("the sums were not requested: summarize at a higher level")
    moments = carried(moments)
    out = np.empty(moments.n_groups, np.float64)
    wanted = wanted_words([(statistic.number, statistic.ddof)], [out])
    share = -(-moments.n_groups // n_parts) or 1
    calls: list[list[KernelRowCall]] = []
    found: list[tuple[Int64Array, npt.NDArray[np.int32]]] = []
    for first in range(0, moments.n_groups, share):
        n = min(share, moments.n_groups - first)
        state, hard = np.zeros(layout.N_STATE_WORDS, np.int64), np.empty(n + 1, np.int32)
        space = scratch()
        found.append((state, hard))
        table = np.zeros(layout.N_TABLE_WORDS, np.int64)
        table[layout.TABLE_ELEMENT] = ELEMENTS.index(moments.element)
        table[layout.TABLE_EXPONENT] = moments.exponent
        table[layout.TABLE_LEVEL] = moments.level
        table[layout.TABLE_LINES] = moments.lines.ctypes.data
        table[layout.TABLE_STATE] = state.ctypes.data
        table[layout.TABLE_HARD] = hard.ctypes.data
        table[layout.TABLE_SCRATCH] = space.ctypes.data
        table[layout.TABLE_WANTED], table[layout.TABLE_N_WANTED] = wanted.ctypes.data, 1
        calls.append([KernelRowCall(table, first, n, (moments, state, hard, out, wanted, space))])
    run("finalize", calls)
    hard = [groups[: int(state[layout.N_HARD])] for state, groups in found]
    _read_out_infinite(moments, statistic, out)
    groups = np.concatenate([moments.left.groups, *hard]).astype(np.int64)
    if len(groups):
        values = [statistic.read(one) for one in all_moments_of(moments, groups)]
        out[groups] = [np.nan if value is None else value for value in values]
    return out


def _read_out_infinite(moments: GroupedMoments, statistic: _Statistic, out: Float64Array) -> None:
    """Write the statistic of the groups with infinities."""
    positive, negative = moments.n_positive_infinite, moments.n_negative_infinite
    if len(positive) == 0 and len(negative) == 0:
        return
    zeros = np.zeros(moments.n_groups, np.bool_)
    above = positive > 0 if len(positive) else zeros
    below = negative > 0 if len(negative) else zeros
    out[above], out[below] = np.inf, -np.inf
    out[(above & below) | ((above | below) & (statistic.number > layout.MEAN))] = np.nan
