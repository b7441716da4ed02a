"""Statistics of groups that are not merged later; the lines of many groups are never kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import numpy as np

from fastfeat_kernels.arrays import Float64Array, Int64Array
from fastfeat_kernels.column import CallRunner, KernelRowCall
from fastfeat_kernels.grouped import layout
from fastfeat_kernels.grouped.calls import MomentsRequest, new_target, partition_calls
from fastfeat_kernels.grouped.finalize import (
    deviations_of,
    means_of,
    sums_of,
    variances_of,
    wanted_words,
)
from fastfeat_kernels.grouped.state import GroupedMoments, take
from fastfeat_kernels.grouped.summarize import summarize_partitions
from fastfeat_kernels.grouped.tables import SEQUENCES_PER_PART, Partitions, aligned_zeros
from fastfeat_kernels.moments.state import Level


class GroupStatistic(NamedTuple):
    """One statistic of each group; only var and std use `ddof`."""

    name: Literal["sum", "mean", "var", "std"]
    ddof: int = 1


class _Reading(NamedTuple):
    """A statistic's number for the kernel, and its function of moments.

    Args:
        number: Number in `layout`.
        needs_squares: Whether it needs the sums of squares.
        read: Function from moments to the statistic.
    """

    number: int
    needs_squares: bool
    read: Callable[[GroupedMoments, int, CallRunner, int], Float64Array]


def _sums(moments: GroupedMoments, ddof: int, run: CallRunner, n_parts: int) -> Float64Array:
    return sums_of(moments, run, n_parts)


def _means(moments: GroupedMoments, ddof: int, run: CallRunner, n_parts: int) -> Float64Array:
    return means_of(moments, run, n_parts)


_READINGS = {
    "sum": _Reading(layout.TOTAL, False, _sums),
    "mean": _Reading(layout.MEAN, False, _means),
    "var": _Reading(layout.VARIANCE, True, variances_of),
    "std": _Reading(layout.DEVIATION, True, deviations_of),
}


def level_of(wanted: Sequence[GroupStatistic]) -> Level:
    """Return the level of the moments that statistics need."""
    return 2 if any(_READINGS[one.name].needs_squares for one in wanted) else 1


def statistics_in(
    task: MomentsRequest,
    partitions: Partitions,
    wanted: Sequence[GroupStatistic],
    run: CallRunner,
    n_parts: int = 1,
) -> list[Float64Array]:
    """Return statistics of each group of some rows, equal to the bit to those read from moments."""
    n_groups = task.n_groups
    found = [np.empty(n_groups, np.float64) for _ in wanted]
    hard = _read_partitions(task, partitions, wanted, found, n_parts, run)
    if len(hard):
        moments = summarize_partitions(task, partitions, hard.tolist(), n_parts, run)
        size = 1 << partitions.shift
        again = (hard[:, None] * size + np.arange(size)).ravel()
        again = again[again < n_groups]
        moments = take(moments, again)
        for out, one in zip(found, wanted, strict=True):
            out[again] = _read(moments, one, run, n_parts)
    return found


def _read(
    moments: GroupedMoments, wanted: GroupStatistic, run: CallRunner, n_parts: int
) -> Float64Array:
    return _READINGS[wanted.name].read(moments, wanted.ddof, run, n_parts)


def _read_partitions(
    task: MomentsRequest,
    partitions: Partitions,
    wanted: Sequence[GroupStatistic],
    found: Sequence[Float64Array],
    n_parts: int,
    run: CallRunner,
) -> Int64Array:
    """Write statistics of all partitions; return the partitions with a group that is too hard."""
    n_partitions, size = len(partitions.starts) - 1, 1 << partitions.shift
    states = np.zeros((n_partitions, layout.N_STATE_WORDS), np.int64)
    target = new_target(task._replace(n_groups=0), int(partitions.starts[-1]))
    target = target._replace(missing=np.zeros(task.n_groups, np.int64))
    target = target._replace(positive_infinite=np.zeros(task.n_groups, np.int64))
    target = target._replace(negative_infinite=np.zeros(task.n_groups, np.int64))
    numbers = [(_READINGS[one.name].number, one.ddof) for one in wanted]
    asked = wanted_words(numbers, found)
    n_words, which = layout.LINE_WORDS[task.level], range(n_partitions)
    n_sequences = SEQUENCES_PER_PART * n_parts
    calls: list[list[KernelRowCall]] = []
    for sequence in partition_calls(task, partitions, which, target, states, n_sequences):
        lines = aligned_zeros(size, n_words)
        hard = np.empty(len(wanted) * size + 1, np.int32)  # a group once for each statistic
        for call in sequence:
            first = int(call.table[layout.TABLE_FIRST_GROUP])
            call.table[layout.TABLE_STAGE] = layout.FIRST_CALL  # reading out carries
            call.table[layout.TABLE_LINES] = lines.ctypes.data - 8 * n_words * first
            call.table[layout.TABLE_HARD] = hard.ctypes.data
            call.table[layout.TABLE_WANTED] = asked.ctypes.data
            call.table[layout.TABLE_N_WANTED] = len(wanted)
        owners = lines, hard, asked, found
        calls.append([call._replace(owners=(call.owners, owners)) for call in sequence])
    run("partition", calls)
    trouble = states[:, [layout.N_LEFT, layout.N_INFINITE, layout.N_HARD]]
    return np.flatnonzero(trouble.any(axis=1))
