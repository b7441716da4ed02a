"""Find the values at given ranks in every group on a device, without sorting, by radix selection.

Each pass over the column counts one digit of the sort keys (`column.key_of` each value), the
highest digit first. Rows come in pieces that fit the device; a piece has up to three columns:
values, group numbers ("codes"), folds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from fastfeat_kernels.arrays import Float64Array, Int64Array
from fastfeat_kernels.grouped import cuda
from fastfeat_kernels.grouped.cuda import ranks
from fastfeat_kernels.grouped.order import (
    neighbours,
    quantile_between,
    whole_quantile_between,
)
from fastfeat_kernels.words import Interpolation

from fastfeat.engine.gpu.columns.kernels import launch_sums, on_device, zeros_on_device
from fastfeat.engine.gpu.columns.memory import DeviceColumn
from fastfeat.engine.gpu.learn.scan import EachPiece, TakeResult
from fastfeat.engine.gpu.runtime import SHARED_LIMIT, Runtime

Quantile = tuple[float, Interpolation]


class ExcludedRows(NamedTuple):
    """The fold whose rows the search ignores; if `is_ordered`, it ignores later folds too.

    Column 2 of a piece has the fold of each row.
    """

    fold: int
    is_ordered: bool


class RankSearch(NamedTuple):
    """The rows to search: their type, groups and exclusions.

    Args:
        element: Type of the values, from `fastfeat_kernels.column.ELEMENTS`.
        counts: Number of values of each group, shape (n_groups,).
        is_whole: Whether all rows are group 0; otherwise column 1 of a piece has group numbers.
        left_out: Rows to ignore; None to use all.
    """

    element: str
    counts: Int64Array
    is_whole: bool = False
    left_out: ExcludedRows | None = None


def scratch_bytes(n_groups: int, n_searches: int) -> int:
    """Return the device memory in bytes that the search takes, besides the rows."""
    return n_groups * n_searches * ranks.SEARCH_BYTES


def find_quantile(
    runtime: Runtime, search: RankSearch, each_piece: EachPiece, quantile: Quantile
) -> Float64Array:
    """Return a quantile of each group, float64, shape (n_groups,).

    It is NaN for a group without values.
    """
    found = quantile_between(search.element, *_keys_between(runtime, search, each_piece, quantile))
    return np.where(search.counts > 0, found, np.nan)


def find_whole_quantile(
    runtime: Runtime, search: RankSearch, each_piece: EachPiece, quantile: Quantile
) -> Int64Array:
    """Return a quantile of each group of signed integers, truncated; 0 for an empty group."""
    low, high, share = _keys_between(runtime, search, each_piece, quantile)
    low, high = (np.where(search.counts > 0, keys, 0) for keys in (low, high))
    return whole_quantile_between(low, high, share)


def _keys_between(
    runtime: Runtime, search: RankSearch, each_piece: EachPiece, quantile: Quantile
) -> tuple[Int64Array, Int64Array, Float64Array | float]:
    """Return the sort keys below and above each group's quantile, and its position between them.

    The position is from 0 (at the lower) to 1.
    """
    low, high, share = neighbours(np.maximum(search.counts, 1), *quantile)
    wanted = np.stack([low, high], axis=1) if (low != high).any() else low[:, None]
    keys = find_keys(runtime, search, each_piece, wanted)
    return keys[:, 0], keys[:, -1], share


def find_keys(
    runtime: Runtime, search: RankSearch, each_piece: EachPiece, wanted: Int64Array
) -> Int64Array:
    """Return the sort key of the value at each wanted rank of each group, shape (n_groups, n).

    Ranks are below the number of values of a group. For a group without values both rank and key
    are arbitrary.
    """
    n_groups, n = wanted.shape
    if wanted.size == 0:
        return wanted
    prefixes = zeros_on_device(runtime, wanted.nbytes)
    counts = zeros_on_device(runtime, wanted.nbytes * ranks.N_DIGITS)
    inside = on_device(runtime, np.ascontiguousarray(wanted))
    held = ranks.Searches(n, prefixes.address, inside.address, counts.address)
    shared = cuda.shared_of(n_groups, n * ranks.COUNTS_BYTES, SHARED_LIMIT)
    for shift in ranks.SHIFTS:

        def work(
            _: int, n_rows: int, piece: Sequence[DeviceColumn], shift: int = shift
        ) -> TakeResult:
            words = _words(search, piece, held, shift, shared)
            _launch(runtime, "grouped_digits", words, n_rows, shared.n_bytes)
            return _nothing

        each_piece(work)
        _launch(runtime, "grouped_narrow", _words(search, (), held, shift, shared), n_groups)
    found = np.empty(wanted.shape, np.int64)
    runtime.download(prefixes, found)
    runtime.synchronize()
    return found ^ np.int64(-(2**63))


def _words(
    search: RankSearch,
    piece: Sequence[DeviceColumn],
    searches: ranks.Searches,
    shift: int,
    shared: cuda.Shared,
) -> list[int]:
    """Return the words that a kernel reads; `piece` is () for kernels that read no rows."""
    column, rows = (0, 0, 0, 0), ranks.RankedRows(0)
    if piece:
        values = piece[0]
        column = values.values, values.value_bit, values.validity, values.bit
        rows = ranks.RankedRows(0 if search.is_whole else piece[1].values)
        if search.left_out is not None:
            rows = ranks.RankedRows(rows.codes, piece[2].values, *search.left_out)
    return ranks.table_words(search.element, column, rows, searches, shift, shared)


def _launch(
    runtime: Runtime, kernel: str, words: Sequence[int], n: int, shared_bytes: int = 0
) -> None:
    module = runtime.module(ranks.text(runtime.geometry.block))
    launch_sums(runtime, module, kernel, [words], 0, n, shared_bytes)


def _nothing() -> None:
    """Do nothing after a piece: its results stay on the device."""
