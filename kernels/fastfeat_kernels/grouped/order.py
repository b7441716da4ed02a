"""Order statistics of each group's values: quantiles, modes, distinct values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fastfeat_kernels.arrays import Float64Array, Int32Array, Int64Array
from fastfeat_kernels.column import ELEMENTS, ArrowChunk, CallRunner, KernelRowCall, split_rows
from fastfeat_kernels.grouped import layout
from fastfeat_kernels.grouped.finalize import values_of_keys
from fastfeat_kernels.grouped.tables import SEQUENCES_PER_PART, Partitions, split_groups
from fastfeat_kernels.words import Interpolation

MAX_PARTITION_BITS = 11  # 2**this: number of partitions that are written to at a time

_SIGN, _MAGNITUDE, _INFINITE = np.int64(-(2**63)), np.int64(2**63 - 1), np.int64(0x7FF << 52)


class SortedGroups(NamedTuple):
    """The values of a column by group, sorted within each.

    Args:
        element: Type of the values, of `column.ELEMENTS`.
        keys: `column.key_of` each value, with gaps between some groups.
        starts: Shape (n_groups,): first key of each group.
        counts: Shape (n_groups,): number of keys.
    """

    element: str
    keys: Int64Array
    starts: Int64Array
    counts: Int64Array


def order(
    element: str,
    chunks: Sequence[ArrowChunk],
    groups: Int32Array,
    n_groups: int,
    run: CallRunner,
    n_parts: int = 1,
) -> SortedGroups:
    """Return the present values of a column, sorted by group and value."""
    partitions = split_by_group(element, chunks, groups, n_groups, run, n_parts)
    return order_partitions(element, partitions, n_groups, run, n_parts)


def split_by_group(
    element: str,
    chunks: Sequence[ArrowChunk],
    groups: Int32Array,
    n_groups: int,
    run: CallRunner,
    n_parts: int = 1,
) -> Partitions:
    """Return the rows of a column that are in a group, for `order_partitions`."""
    groups = np.ascontiguousarray(groups, np.int32)
    shift = max(n_groups.bit_length() - MAX_PARTITION_BITS, 0)
    parts = split_rows(chunks, n_parts) or [[]]
    return split_groups(element, parts, groups, n_groups, shift, run)


def order_partitions(
    element: str, partitions: Partitions, n_groups: int, run: CallRunner, n_parts: int = 1
) -> SortedGroups:
    """Return the values of some rows sorted by group and value; the rows are consumed."""
    if n_groups == 0:
        nothing = np.zeros(0, np.int64)
        return SortedGroups(element, nothing, nothing, nothing)
    ordered = SortedGroups(
        element,
        np.empty(len(partitions.values), np.int64),
        np.empty(n_groups, np.int64),
        np.empty(n_groups, np.int64),
    )
    run("sort", _sort_calls(partitions, ordered, SEQUENCES_PER_PART * n_parts))
    for group in np.flatnonzero(ordered.counts > layout.MAX_SORTED).tolist():
        start = int(ordered.starts[group])
        ordered.keys[start : start + int(ordered.counts[group])].sort()
    return ordered


def keys_in(partitions: Partitions) -> tuple[Int64Array, Int32Array]:
    """Return `column.key_of` each present value, and its group."""
    values, groups = partitions.values, partitions.groups
    if partitions.element == "float64":
        is_value = (values & _MAGNITUDE) <= _INFINITE
        keys = values ^ ((values >> 63) & _MAGNITUDE)
    else:
        is_value = groups >= 0
        keys = values ^ _SIGN if partitions.element == "uint64" else values
    if is_value.all():
        return keys, groups
    return keys[is_value], groups[is_value]


def keys_of(ordered: SortedGroups) -> tuple[Int64Array, Int32Array]:
    """Return the sorted keys without gaps, and the group of each."""
    counts = ordered.counts
    places = np.repeat(ordered.starts - (np.cumsum(counts) - counts), counts)
    places += np.arange(len(places))
    groups = np.repeat(np.arange(len(counts), dtype=np.int32), counts)
    return ordered.keys[places], groups


def quantiles_of(
    ordered: SortedGroups, qs: Sequence[float], interpolation: Interpolation = "linear"
) -> Float64Array:
    """Return exact quantiles of each group, shape (n_groups, len(qs)); NaN without values."""
    found = np.full((len(ordered.counts), len(qs)), np.nan)
    present = np.flatnonzero(ordered.counts)
    for k, q in enumerate(qs):
        between = _keys_between(ordered, present, q, interpolation)
        found[present, k] = quantile_between(ordered.element, *between)
    return found


def whole_quantiles_of(ordered: SortedGroups, q: float, interpolation: Interpolation) -> Int64Array:
    """Return a quantile of each group of signed integers, without fraction; 0 without values."""
    found = np.zeros(len(ordered.counts), np.int64)
    present = np.flatnonzero(ordered.counts)
    found[present] = whole_quantile_between(*_keys_between(ordered, present, q, interpolation))
    return found


def modes_of(ordered: SortedGroups, run: CallRunner, n_parts: int = 1) -> npt.NDArray[Any]:
    """Return the most frequent value of each group, the smallest of several; NaN or 0 for none.

    -0.0 counts as 0.0.
    """
    modes = _find_runs(ordered, run, n_parts)[0]
    return values_of_keys(ordered.element, modes, ordered.counts == 0)


def n_unique_of(ordered: SortedGroups, run: CallRunner, n_parts: int = 1) -> Int64Array:
    """Return the number of distinct values in each group; -0.0 counts as 0.0."""
    return _find_runs(ordered, run, n_parts)[1]


def _words_of(ordered: SortedGroups) -> Int64Array:
    table = np.zeros(layout.N_TABLE_WORDS, np.int64)
    table[layout.TABLE_KEYS] = ordered.keys.ctypes.data
    table[layout.TABLE_STARTS] = ordered.starts.ctypes.data
    table[layout.TABLE_COUNTS] = ordered.counts.ctypes.data
    return table


def _sort_calls(
    partitions: Partitions, ordered: SortedGroups, n_sequences: int
) -> list[list[KernelRowCall]]:
    size, n_partitions = 1 << partitions.shift, len(partitions.starts) - 1
    starts, n_groups = partitions.starts.tolist(), len(ordered.starts)
    common = _words_of(ordered)
    common[layout.TABLE_VALUES] = partitions.values.ctypes.data
    common[layout.TABLE_GROUPS] = partitions.groups.ctypes.data
    common[layout.TABLE_ELEMENT] = ELEMENTS.index(partitions.element)
    calls: list[list[KernelRowCall]] = [[] for _ in range(min(n_sequences, n_partitions))]
    for p in range(n_partitions):
        table = common.copy()
        table[layout.TABLE_FIRST_GROUP] = p * size
        table[layout.TABLE_N_GROUPS] = min(size, n_groups - p * size)
        call = KernelRowCall(table, starts[p], starts[p + 1] - starts[p], (partitions, ordered))
        calls[p % len(calls)].append(call)
    return calls


def _find_runs(
    ordered: SortedGroups, run: CallRunner, n_parts: int
) -> tuple[Int64Array, Int64Array]:
    """Return the key of each group's most frequent value, and its number of distinct values."""
    n_groups = len(ordered.counts)
    modes, n_unique = np.zeros(n_groups, np.int64), np.zeros(n_groups, np.int64)
    table, share = _words_of(ordered), -(-n_groups // n_parts) or 1
    table[layout.TABLE_ELEMENT] = ELEMENTS.index(ordered.element)
    table[layout.TABLE_MODES] = modes.ctypes.data
    table[layout.TABLE_N_UNIQUE] = n_unique.ctypes.data
    owners = ordered, modes, n_unique
    run(
        "runs",
        [
            [KernelRowCall(table, first, min(share, n_groups - first), owners)]
            for first in range(0, n_groups, share)
        ],
    )
    return modes, n_unique


def neighbours(
    counts: Int64Array, q: float, interpolation: Interpolation
) -> tuple[Int64Array, Int64Array, Float64Array | float]:
    """Return the ranks of the two values around a quantile, and its share between, in [0, 1)."""
    index: Float64Array = (counts - 1).astype(np.float64) * q
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


def _keys_between(
    ordered: SortedGroups, groups: Int64Array, q: float, interpolation: Interpolation
) -> tuple[Int64Array, Int64Array, Float64Array | float]:
    """Return the keys around a quantile of some groups, and its share between, in [0, 1)."""
    low, high, share = neighbours(ordered.counts[groups], q, interpolation)
    starts = ordered.starts[groups]
    return ordered.keys[starts + low], ordered.keys[starts + high], share


def whole_quantile_between(
    low: Int64Array, high: Int64Array, share: Float64Array | float
) -> Int64Array:
    """Return low + (high - low) * share for integers, without the fraction.

    The result is exact: float64 would lose the nanoseconds of a time beyond 2**53.
    """
    found, shares = low.copy(), np.broadcast_to(np.asarray(share, np.float64), low.shape)
    between = np.flatnonzero((shares != 0) & (low != high))
    lists = (column[between].tolist() for column in (low, high, shares))
    found[between] = [_truncated(*one) for one in zip(*lists, strict=True)]
    return found


def _truncated(low: int, high: int, share: float) -> int:
    """Return low + (high - low) * share without its fraction."""
    numerator, denominator = share.as_integer_ratio()
    exact = low * denominator + (high - low) * numerator
    return exact // denominator if exact >= 0 else -(-exact // denominator)


def quantile_between(
    element: str, low: Int64Array, high: Int64Array, share: Float64Array | float
) -> Float64Array:
    """Return the values between two keys, `share` of the way.

    `high` must not be below `low`; `share` is in [0, 1). `element` is a type of `column.ELEMENTS`.
    """
    absent = np.zeros(len(low), np.bool_)
    first, second = (
        values_of_keys(element, keys, absent).astype(np.float64) for keys in (low, high)
    )
    return _between(first, second, share)


def _between(low: Float64Array, high: Float64Array, share: Float64Array | float) -> Float64Array:
    """Return low + (high - low) * share; the difference is halved if it would overflow."""
    with np.errstate(over="ignore", invalid="ignore"):
        step = high - low
        between = low + step * share
        halves = 2 * (low / 2 + (high / 2 - low / 2) * share)
        wide = np.isinf(step) & np.isfinite(low) & np.isfinite(high)
    between = np.where(wide, halves, between)
    return np.where((share == 0) | (low == high), low, between)
