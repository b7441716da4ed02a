"""The rounds over columns on a device: one computes all moments, eight more find values by rank.

A round is one pass over the rows, which come in pieces that fit the device. All columns of a round
share one launch of each kernel; each column is one row of the grid. Values by rank are found by
radix selection: each round counts one digit of the values' sort keys, the highest first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from fastfeat_kernels.moments import cuda as moments_cuda
from fastfeat_kernels.moments.state import Level, Moments, merge, no_moments
from fastfeat_kernels.selection import cuda as selection_cuda
from numpy.typing import NDArray

from fastfeat.engine.gpu.columns.kernels import launch_sums, on_device
from fastfeat.engine.gpu.columns.memory import DeviceColumn
from fastfeat.engine.gpu.runtime import Runtime

MOST_RANKS = 1 << 16
"""Order statistics of a column to search for at once: each takes 2 kB of counts."""

TakeResult = Callable[[], None]
"""Takes the result of work on a piece, once it is done."""
PieceWork = Callable[[int, int, Sequence[DeviceColumn]], TakeResult]
"""Starts work on a piece: `(first row, number of rows, columns)`."""
EachPiece = Callable[[PieceWork], None]
"""Calls its argument for one piece after the other, and takes the results in order."""


class LearntColumn(NamedTuple):
    """A column to learn from.

    Args:
        place: Index of the column among those of a piece.
        element: Type of its values, from `fastfeat_kernels.column.ELEMENTS`.
        level: Highest power that moments sum up.
    """

    place: int
    element: str
    level: Level


def scratch_bytes(n_ranks: int) -> int:
    """Return the device memory in bytes that the rounds over a column take, besides its rows.

    `n_ranks` is the number of values to find by rank.
    """
    n_ranks = min(n_ranks, MOST_RANKS)
    return moments_cuda.new_state().nbytes + n_ranks * 8 * (selection_cuda.N_DIGITS + 1) + 512


def find_moments(
    runtime: Runtime, columns: Sequence[LearntColumn], each_piece: EachPiece
) -> list[Moments]:
    """Return the moments (count, sums, extremes) of each column, in one round."""
    found = [no_moments(column.element) for column in columns]
    module = runtime.module(moments_cuda.text(runtime.geometry.block))
    by_kernel: dict[str, list[int]] = {}
    for k, column in enumerate(columns):
        by_kernel.setdefault(moments_cuda.kernel_of(column.element), []).append(k)

    def work(start: int, n: int, piece: Sequence[DeviceColumn]) -> TakeResult:
        states = np.stack([moments_cuda.new_state() for _ in columns])
        held = on_device(runtime, states)
        for kernel, members in by_kernel.items():
            words = [
                moments_cuda.table_words(
                    columns[k].element,
                    _words(piece[columns[k].place]),
                    held.address + k * states.strides[0],
                    columns[k].level,
                    start,
                )
                for k in members
            ]
            launch_sums(runtime, module, kernel, words, 0, n)
        runtime.download(held, states, after=runtime.mark())

        def take() -> None:
            for k, column in enumerate(columns):
                more = moments_cuda.read_state(column.element, states[k], column.level)
                found[k] = merge(found[k], more)

        return take

    each_piece(work)
    return found


def find_order(
    runtime: Runtime,
    columns: Sequence[LearntColumn],
    ranks: Mapping[int, Sequence[int]],
    each_piece: EachPiece,
) -> dict[int, Mapping[int, Any]]:
    """Return, for each column, the values at its wanted ranks, by rank.

    `ranks` has the wanted ranks by column, at least one each; MOST_RANKS per column are found at a
    time.
    """
    found: dict[int, dict[int, Any]] = {k: {} for k in ranks}
    for first in range(0, max(map(len, ranks.values()), default=0), MOST_RANKS):
        some = {k: wanted[first : first + MOST_RANKS] for k, wanted in ranks.items()}
        wanted_now = {k: wanted for k, wanted in some.items() if wanted}
        for k, values in _search(runtime, columns, wanted_now, each_piece).items():
            found[k].update(values)
    return {**found}


def _search(
    runtime: Runtime,
    columns: Sequence[LearntColumn],
    ranks: Mapping[int, Sequence[int]],
    each_piece: EachPiece,
) -> dict[int, Mapping[int, Any]]:
    """Return, for each column, the values at its wanted ranks, at most MOST_RANKS per column."""
    searches = {k: selection_cuda.begin(wanted) for k, wanted in ranks.items()}
    for shift in selection_cuda.SHIFTS:
        prefixes = {k: search.prefixes for k, search in searches.items()}
        counts = _count_digits(runtime, columns, prefixes, shift, each_piece)
        for k, search in searches.items():
            searches[k] = selection_cuda.narrowed(search, counts[k])
    return {k: selection_cuda.values_of(columns[k].element, s) for k, s in searches.items()}


def _count_digits(
    runtime: Runtime,
    columns: Sequence[LearntColumn],
    prefixes: Mapping[int, NDArray[np.uint64]],
    shift: int,
    each_piece: EachPiece,
) -> dict[int, NDArray[np.int64]]:
    """Return, for each column, how often each digit follows each prefix of the sort keys.

    The counts have the shape (n_prefixes, N_DIGITS). `shift` selects the digit.
    """
    module = runtime.module(selection_cuda.text(runtime.geometry.block))
    ends = np.cumsum([len(own) for own in prefixes.values()])
    firsts = dict(zip(prefixes, [0, *ends.tolist()], strict=False))
    counts = np.zeros((int(ends[-1]), selection_cuda.N_DIGITS), np.int64)
    known = on_device(runtime, np.concatenate([*prefixes.values()]))
    held = on_device(runtime, counts)

    def work(start: int, n: int, piece: Sequence[DeviceColumn]) -> TakeResult:
        words = [
            selection_cuda.table_words(
                columns[k].element,
                _words(piece[columns[k].place]),
                (known.address + 8 * firsts[k], len(own)),
                held.address + counts.strides[0] * firsts[k],
                shift,
            )
            for k, own in prefixes.items()
        ]
        launch_sums(runtime, module, "count_digits", words, 0, n)
        return lambda: None

    each_piece(work)
    runtime.download(held, counts)
    runtime.synchronize()
    return {k: counts[firsts[k] :][: len(own)] for k, own in prefixes.items()}


def _words(column: DeviceColumn) -> tuple[int, int, int, int]:
    return column.values, column.value_bit, column.validity, column.bit
