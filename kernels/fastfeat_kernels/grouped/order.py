"""What depends on the order of the values of each group: quantiles, modes, different values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from fastfeat_kernels.column import Call, Chunk, Run, split_rows
from fastfeat_kernels.grouped import layout
from fastfeat_kernels.grouped.finalize import values_of_keys
from fastfeat_kernels.grouped.tables import Groups, column_table

Interpolation = Literal["linear", "lower", "higher", "nearest", "midpoint"]
Keys = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


class Ordered(NamedTuple):
    """The values of a column by group, and in order within each.

    Args:
        element: type of the values, of `column.ELEMENTS`.
        keys: shape (n_values,): `column.key_of` each value.
        starts: shape (n_groups + 1,): where each group begins, and the end.
    """

    element: str
    keys: Keys
    starts: Keys

    @property
    def counts(self) -> Keys:
        """Return the number of values of each group."""
        return np.diff(self.starts)


def order(
    element: str,
    chunks: Sequence[Chunk],
    groups: Groups,
    n_groups: int,
    run: Run,
    n_parts: int = 1,
) -> Ordered:
    """Return the values of a column, those that are there, sorted by group and value.

    Args:
        element: type of the values, of `column.ELEMENTS`.
        chunks: the column.
        groups: shape (n_rows,): number of the group of each row; negative where it is in none.
        n_groups: how many groups there are.
        run: runs sequences of calls of `cpu.ENTRIES`.
        n_parts: into how many runs of rows to divide the work; the result does not depend on it.
    """
    keys, numbers = _gather(element, chunks, groups, run, n_parts)
    places = np.lexsort((keys, numbers))
    counts = np.bincount(numbers, minlength=n_groups)
    starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])
    return Ordered(element, keys[places], starts)


def quantiles_of(
    ordered: Ordered, qs: Sequence[float], interpolation: Interpolation = "linear"
) -> Floats:
    """Return exact quantiles of each group, shape (n_groups, len(qs)); NaN of no values."""
    found = np.full((len(ordered.counts), len(qs)), np.nan)
    present = np.flatnonzero(ordered.counts)
    counts, starts = ordered.counts[present], ordered.starts[present]
    for k, q in enumerate(qs):
        low, high, share = _neighbours(counts, q, interpolation)
        first, second = _floats(ordered, starts + low), _floats(ordered, starts + high)
        found[present, k] = _between(first, second, share)
    return found


def modes_of(ordered: Ordered) -> npt.NDArray[Any]:
    """Return the most frequent value of each group, the least of several; NaN or 0 of no values.

    -0.0 counts as 0.0.
    """
    firsts, groups, keys = _runs(ordered)
    lengths = np.diff(firsts, append=len(ordered.keys))
    n_groups = len(ordered.counts)
    modes = np.zeros(n_groups, np.int64)
    best = np.lexsort((np.arange(len(lengths)), -lengths, groups))
    first_of_group = np.diff(groups[best], prepend=-1) != 0
    modes[groups[best][first_of_group]] = keys[best][first_of_group]
    return values_of_keys(ordered.element, modes, ordered.counts == 0)


def n_unique_of(ordered: Ordered) -> Keys:
    """Return how many different values each group has; -0.0 counts as 0.0."""
    return np.bincount(_runs(ordered)[1], minlength=len(ordered.counts)).astype(np.int64)


def _gather(
    element: str, chunks: Sequence[Chunk], groups: Groups, run: Run, n_parts: int
) -> tuple[Keys, Groups]:
    """Return key and group of all rows that have both a value and a group."""
    groups = np.ascontiguousarray(groups, np.int32)
    calls: list[list[Call]] = []
    found: list[tuple[npt.NDArray[np.int64], Keys, Groups]] = []
    for part in split_rows(chunks, n_parts):
        n_rows = sum(rows.n for rows in part)
        target = (
            np.zeros(layout.N_STATE_WORDS, np.int64),
            np.empty(n_rows, np.int64),
            np.empty(n_rows, np.int32),
        )
        scratch = np.empty(layout.N_SCRATCH_WORDS, np.int64)
        found.append(target)
        calls.append([])
        for rows in part:
            table = column_table(element, rows.chunk)
            table[layout.TABLE_GROUPS] = groups.ctypes.data + 4 * rows.chunk_start
            table[layout.TABLE_STATE] = target[0].ctypes.data
            table[layout.TABLE_LEFT_VALUES] = target[1].ctypes.data
            table[layout.TABLE_LEFT_GROUPS] = target[2].ctypes.data
            table[layout.TABLE_SCRATCH] = scratch.ctypes.data
            owners = (rows.chunk, groups, target, scratch)
            calls[-1].append(Call(table, rows.first, rows.n, owners))
    run("gather", calls)
    sizes = [int(state[layout.N_LEFT]) for state, _, _ in found]
    keys = [keys[:n] for n, (_, keys, _) in zip(sizes, found, strict=True)]
    numbers = [numbers[:n] for n, (_, _, numbers) in zip(sizes, found, strict=True)]
    return (
        np.concatenate([np.zeros(0, np.int64), *keys]),
        np.concatenate([np.zeros(0, np.int32), *numbers]),
    )


def _neighbours(
    counts: Keys, q: float, interpolation: Interpolation
) -> tuple[Keys, Keys, Floats | float]:
    """Return the ranks of the two values that a quantile lies between, and how far, in [0, 1)."""
    index: Floats = (counts - 1).astype(np.float64) * q
    low, high = np.floor(index).astype(np.int64), np.ceil(index).astype(np.int64)
    match interpolation:
        case "lower":
            return low, low, 0.0
        case "higher":
            return high, high, 0.0
        case "nearest":
            nearest = np.rint(index).astype(np.int64)
            return nearest, nearest, 0.0
        case "midpoint":
            return low, high, np.where(low < high, 0.5, 0.0)
        case "linear":
            return low, high, index - low


def _floats(ordered: Ordered, places: Keys) -> Floats:
    keys = ordered.keys[places]
    present = np.zeros(len(keys), np.bool_)
    return values_of_keys(ordered.element, keys, present).astype(np.float64)


def _between(low: Floats, high: Floats, share: Floats | float) -> Floats:
    """Return low + (high - low) * share; halved on the way where that would overflow."""
    with np.errstate(over="ignore", invalid="ignore"):
        step = high - low
        between = low + step * share
        halves = 2 * (low / 2 + (high / 2 - low / 2) * share)
        wide = np.isinf(step) & np.isfinite(low) & np.isfinite(high)
    between = np.where(wide, halves, between)
    return np.where((share == 0) | (low == high), low, between)


def _runs(ordered: Ordered) -> tuple[Keys, Keys, Keys]:
    """Return where each run of equal values begins, its group, and its key."""
    keys = ordered.keys
    if ordered.element.startswith("float"):
        keys = np.where(keys == -1, 0, keys)  # -0.0 and 0.0
    groups = np.repeat(np.arange(len(ordered.counts)), ordered.counts)
    changes = np.ones(len(keys), np.bool_)
    changes[1:] = (keys[1:] != keys[:-1]) | (groups[1:] != groups[:-1])
    firsts = np.flatnonzero(changes)
    return firsts, groups[firsts], keys[firsts]
