"""Calls of the grouped kernel: target memory, and a survey of the exponents of floats."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from fastfeat_kernels.arrays import Int32Array, Int64Array
from fastfeat_kernels.column import ELEMENTS, ArrowChunk, CallRunner, ChunkRows, KernelRowCall
from fastfeat_kernels.grouped import layout
from fastfeat_kernels.grouped.state import NO_EXTREMES
from fastfeat_kernels.grouped.tables import Partitions, aligned_zeros, column_table, scratch
from fastfeat_kernels.moments.state import Level

MAX_HEADROOM = 8  # bits above the greatest magnitude in the surveyed blocks
COMMON = 8  # windows have multiples of it as exponents, if that loses at most one float in 1,024


class MomentsRequest(NamedTuple):
    """A request for the moments of groups."""

    element: str
    n_groups: int
    level: Level
    exponent: int
    extremes: bool
    headroom: int


class MomentsMemory(NamedTuple):
    """Memory that calls add to."""

    lines: Int64Array
    extremes: Int64Array
    missing: Int64Array
    positive_infinite: Int64Array
    negative_infinite: Int64Array
    left_values: npt.NDArray[np.float64]
    left_groups: Int32Array


def new_target(task: MomentsRequest, n_rows: int) -> MomentsMemory:
    """Return memory of zeros; pages that are never touched cost nothing."""
    n_groups = task.n_groups
    return MomentsMemory(
        aligned_zeros(n_groups, layout.LINE_WORDS[task.level]),
        np.empty((n_groups, 2), np.int64) if task.extremes else NO_EXTREMES,
        np.zeros(n_groups, np.int64),
        np.zeros(n_groups, np.int64),
        np.zeros(n_groups, np.int64),
        np.empty(n_rows, np.float64),
        np.empty(n_rows, np.int32),
    )


def words_of(
    task: MomentsRequest, target: MomentsMemory, state: Int64Array, space: Int64Array
) -> dict[int, int]:
    """Return the table words for the target memory and the task."""
    return {
        layout.TABLE_STATE: state.ctypes.data,
        layout.TABLE_LEVEL: task.level,
        layout.TABLE_EXPONENT: task.exponent,
        layout.TABLE_HEADROOM: task.headroom,
        layout.TABLE_LINES: target.lines.ctypes.data,
        layout.TABLE_EXTREMES: target.extremes.ctypes.data if task.extremes else 0,
        layout.TABLE_MISSING: target.missing.ctypes.data,
        layout.TABLE_POSITIVE_INFINITE: target.positive_infinite.ctypes.data,
        layout.TABLE_NEGATIVE_INFINITE: target.negative_infinite.ctypes.data,
        layout.TABLE_LEFT_VALUES: target.left_values.ctypes.data,
        layout.TABLE_LEFT_GROUPS: target.left_groups.ctypes.data,
        layout.TABLE_N_GROUPS: task.n_groups,
        layout.TABLE_SCRATCH: space.ctypes.data,
    }


def partition_calls(
    task: MomentsRequest,
    partitions: Partitions,
    which: Sequence[int],
    target: MomentsMemory,
    states: Int64Array,
    n: int,
    stage: int = layout.FIRST_CALL | layout.LAST_CALL,
) -> list[list[KernelRowCall]]:
    """Return n sequences of calls, one call for each partition."""
    starts, size = partitions.starts, 1 << partitions.shift
    calls: list[list[KernelRowCall]] = []
    for k in range(min(len(which), n)):
        space = scratch()
        common = np.zeros(layout.N_TABLE_WORDS, np.int64)
        for place, word in words_of(task, target, states[0], space).items():
            common[place] = word
        common[layout.TABLE_VALUES] = partitions.values.ctypes.data
        common[layout.TABLE_ELEMENT] = ELEMENTS.index(partitions.element)
        common[layout.TABLE_GROUPS] = partitions.groups.ctypes.data
        common[layout.TABLE_MARKED] = 1
        common[layout.TABLE_STAGE] = stage
        calls.append([])
        for p in which[k::n]:
            first, table = int(starts[p]), common.copy()
            table[layout.TABLE_STATE] = states[p].ctypes.data
            table[layout.TABLE_FIRST_GROUP] = p * size
            table[layout.TABLE_N_GROUPS] = min(size, task.n_groups - p * size)
            table[layout.TABLE_LEFT_VALUES] += 8 * first
            table[layout.TABLE_LEFT_GROUPS] += 4 * first
            owners = (partitions, target, states, space)
            calls[-1].append(KernelRowCall(table, first, int(starts[p + 1]) - first, owners))
    return calls


def look(
    task: MomentsRequest, parts: Sequence[Sequence[ChunkRows[ArrowChunk]]], run: CallRunner
) -> tuple[Int64Array, Int64Array]:
    """Return two histograms over biased exponents, from some of the blocks.

    The first counts the floats for which a window is the lowest that holds them, the second those
    for which it is the highest.
    """
    counters = np.zeros((len(parts), 2, layout.N_EXPONENTS), np.int64)
    calls: list[list[KernelRowCall]] = []
    for part, own in zip(parts, counters, strict=True):
        space = scratch()
        calls.append([])
        for rows in part:
            table = column_table(task.element, rows.chunk)
            table[layout.TABLE_LEVEL] = task.level
            table[layout.TABLE_EXPONENTS] = own.ctypes.data
            table[layout.TABLE_HEADROOM] = task.headroom
            table[layout.TABLE_SCRATCH] = space.ctypes.data
            calls[-1].append(
                KernelRowCall(table, rows.first, rows.n, (rows.chunk, counters, space))
            )
    run("look", calls)
    begins, ends = counters.sum(axis=0)
    return begins, ends


def held_by(begins: Int64Array, ends: Int64Array) -> Int64Array:
    """Return the number of floats from `look` that a window of each biased exponent holds."""
    return (begins - ends).cumsum() + ends


def best_exponent(begins: Int64Array, ends: Int64Array) -> int:
    """Return the exponent of the window that holds most floats; of several, about the middle.

    `begins` and `ends` are the histograms of `look`.
    """
    return _best(held_by(begins, ends))


def _best(held: Int64Array) -> int:
    first = int(held.argmax())
    last = int((held == held[first]).nonzero()[0][-1])
    return min((first + last) // 2, first + MAX_HEADROOM) - layout.EXPONENT_BIAS


def common_exponent(begins: Int64Array, ends: Int64Array) -> int:
    """Return the best exponent or one near it, so that similar columns get the same.

    Their tables then join without shifts. `begins` and `ends` are the histograms of `look`.
    """
    held = held_by(begins, ends)
    best = _best(held)
    below = best // COMMON * COMMON
    enough = held[best + layout.EXPONENT_BIAS] * (1 - 2.0**-10)
    for exponent in sorted((below, below + COMMON), key=lambda one: abs(one - best)):
        place = exponent + layout.EXPONENT_BIAS
        if 0 < place < layout.N_EXPONENTS and held[place] >= enough:
            return exponent
    return best
