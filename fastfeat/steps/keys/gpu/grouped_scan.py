"""The moments (counts, sums, extremes) of all groups on a device, in one pass over the rows.

Rows come in pieces that fit the device; the sums stay there for all pieces. Floats are summed
exactly, as integers that cover a window of exponents. The window is chosen from the first piece. If
most values of a later piece are outside it, the sums are copied to the host and another window
begins. Single values outside the window are copied to the host, which sums them.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import NamedTuple

import numpy as np
from fastfeat_kernels.arrays import Int64Array
from fastfeat_kernels.grouped import cuda, layout
from fastfeat_kernels.grouped.calls import best_exponent
from fastfeat_kernels.grouped.state import LOWEST_EXPONENT, GroupedMoments, merge, no_moments
from fastfeat_kernels.grouped.wide import left_of_rows, no_left
from fastfeat_kernels.records import dataclass
from numpy.typing import NDArray

from fastfeat.engine.cpu.kernels import runner
from fastfeat.engine.failure import WORD_ROWS
from fastfeat.engine.gpu.columns.kernels import launch_sums, on_device, zeros_on_device
from fastfeat.engine.gpu.columns.memory import DeviceColumn
from fastfeat.engine.gpu.learn.scan import EachPiece, TakeResult
from fastfeat.engine.gpu.runtime import SHARED_LIMIT, Buffer, Runtime

ROWS_LISTED = 1 << 20
"""Highest number of rows that are searched at a time for values outside the window."""
BYTES_LISTED = 12

PieceColumns = Sequence[DeviceColumn]
"""The columns of the rows of a piece, the values first."""


class ListedValues(NamedTuple):
    """Values outside the window, and the group number of each."""

    values: NDArray[np.float64]
    groups: NDArray[np.int32]


class GroupedPass(NamedTuple):
    """The settings of one pass over the rows.

    Args:
        runtime: The device that has the rows.
        task: The moments to compute.
        groups: Numbers of the columns of a piece that give a row's group: (codes,), or (codes,
            folds). Column 0 has the values.
        n_codes: Number of codes, if each pair of code and fold is a group.
    """

    runtime: Runtime
    task: cuda.DeviceMomentsRequest
    groups: tuple[int, ...] = (1,)
    n_codes: int = 0


class GroupedPiece(NamedTuple):
    """Some rows on the device: their number and their columns."""

    n: int
    columns: PieceColumns


@dataclass(frozen=True, slots=True)
class DeviceGroupSums:
    """The sums, on the device, of the pieces that share a window.

    Args:
        exponent: Exponent at which the window begins.
        memory: The sums, laid out by `cuda.places_of`.
        states: Status words of each piece, filled in by its kernels.
        listed: Values outside the window, copied to the host.
    """

    exponent: int
    memory: Buffer
    states: list[Int64Array]
    listed: list[ListedValues]


class HostSums(NamedTuple):
    """The sums of the pieces that share a window, copied to host memory."""

    exponent: int
    arrays: cuda.Arrays
    listed: list[ListedValues]


def scratch_bytes(task: cuda.DeviceMomentsRequest) -> int:
    """Return the device memory in bytes that a pass takes, besides the rows."""
    n_looked = 16 * layout.N_EXPONENTS if task.needs_window else 0
    return cuda.places_of(task).n_bytes + n_looked


def find_groups(given: GroupedPass, each_piece: EachPiece) -> GroupedMoments:
    """Return the moments of each group.

    `each_piece` calls a given function with each piece of the rows.
    """
    current: list[DeviceGroupSums] = []
    found: list[HostSums] = []

    def work(_: int, n: int, columns: PieceColumns) -> TakeResult:
        piece = GroupedPiece(n, columns)
        exponent = _exponent_for(given, piece, current)
        if current and current[0].exponent != exponent:
            found.append(_read(given, current.pop()))
        if not current:
            n_bytes = cuda.places_of(given.task).n_bytes
            current.append(
                DeviceGroupSums(exponent, zeros_on_device(given.runtime, n_bytes), [], [])
            )
        return _add(given, current[0], piece)

    each_piece(work)
    found += [_read(given, current.pop()) for _ in current[:]]
    parts = [_moments_of(given.task, one) for one in found]
    return reduce(merge, parts) if parts else _no_moments(given.task)


def _exponent_for(
    given: GroupedPass, piece: GroupedPiece, current: Sequence[DeviceGroupSums]
) -> int:
    """Return the exponent of the window for a piece: the current one if it suits the values."""
    if not given.task.needs_window:
        return LOWEST_EXPONENT
    counters = np.zeros((2, layout.N_EXPONENTS), np.int64)
    memory = on_device(given.runtime, counters)
    words = _words(given, piece, cuda.TargetAddresses(0, 0, memory.address))
    _launch(given.runtime, "grouped_look", words, 0, piece.n)
    given.runtime.download(memory, counters)
    given.runtime.synchronize()
    if current and cuda.is_well_held(counters[0], counters[1], current[0].exponent):
        return current[0].exponent
    return best_exponent(counters[0], counters[1])


def _add(given: GroupedPass, sums: DeviceGroupSums, piece: GroupedPiece) -> TakeResult:
    """Start adding a piece to the sums.

    Return a function that lists its values beyond the window.
    """
    runtime, state = given.runtime, np.zeros(cuda.N_STATE_WORDS, np.int64)
    held, shared = on_device(runtime, state), _shared(given.task)
    memory = cuda.TargetAddresses(sums.memory.address, held.address)
    words = _words(given, piece, memory, sums.exponent, shared)
    _launch(runtime, cuda.kernel_of(given.task.element), words, 0, piece.n, shared.n_bytes)
    runtime.download(held, state, after=runtime.mark())
    sums.states.append(state)
    exponent, listed = sums.exponent, sums.listed  # the sums may be gone when the piece is done

    def take() -> None:
        if state[cuda.SEEN] & cuda.SEEN_LEFT:
            step = _rows_listed(runtime)
            for first in range(0, piece.n, step):
                n = min(step, piece.n - first)
                listed.append(_list(given, exponent, piece, first, n))

    return take


def _rows_listed(runtime: Runtime) -> int:
    """Return for how many rows to list values in one go.

    The lists may take a quarter of the free memory.
    """
    free, _ = runtime.memory()
    return max(WORD_ROWS, min(ROWS_LISTED, free // (4 * BYTES_LISTED)))


def _list(
    given: GroupedPass, exponent: int, piece: GroupedPiece, first: int, n: int
) -> ListedValues:
    """Return the values outside the window among rows [first, first + n) of a piece."""
    runtime = given.runtime
    state = np.zeros(cuda.N_STATE_WORDS, np.int64)
    held, values, groups = (
        on_device(runtime, state),
        runtime.allocate(8 * n),
        runtime.allocate(4 * n),
    )
    memory = cuda.TargetAddresses(0, held.address, 0, values.address, groups.address)
    words = _words(given, piece, memory, exponent)
    _launch(runtime, "grouped_left", words, first, n)
    runtime.download(held, state)
    runtime.synchronize()
    n_left = int(state[cuda.N_LEFT])
    listed = ListedValues(np.empty(n_left, np.float64), np.empty(n_left, np.int32))
    if n_left:
        runtime.download(values, listed.values)
        runtime.download(groups, listed.groups)
        runtime.synchronize()
    return listed


def _read(given: GroupedPass, sums: DeviceGroupSums) -> HostSums:
    """Copy sums to the host, after a kernel has propagated the carries of their integers."""
    runtime, task = given.runtime, given.task
    words = _words(
        given, GroupedPiece(0, ()), cuda.TargetAddresses(sums.memory.address, 0), sums.exponent
    )
    _launch(runtime, "grouped_finish", words, 0, task.n_groups)
    runtime.synchronize()
    seen = int(np.bitwise_or.reduce([state[cuda.SEEN] for state in sums.states]))
    arrays = cuda.arrays_of(task, seen)
    for array, place in zip(arrays, cuda.places_of(task), strict=False):
        if array.size:
            runtime.download(sums.memory, array, place)
    runtime.synchronize()
    return HostSums(sums.exponent, arrays, sums.listed)


def _moments_of(task: cuda.DeviceMomentsRequest, found: HostSums) -> GroupedMoments:
    """Return the moments of the pieces that share a window, including values outside it."""
    left = no_left()
    if any(len(one.values) for one in found.listed):
        values = np.concatenate([one.values for one in found.listed])
        groups = np.concatenate([one.groups for one in found.listed])
        left = left_of_rows(values, groups, task.level, runner("grouped"))
    return cuda.moments_of(task, found.exponent, found.arrays, left)


def _shared(task: cuda.DeviceMomentsRequest) -> cuda.Shared:
    return cuda.shared_of(task.n_groups, cuda.line_bytes(task), SHARED_LIMIT)


def _no_moments(task: cuda.DeviceMomentsRequest) -> GroupedMoments:
    return no_moments(task.element, task.n_groups, task.level, task.extremes)


def _words(
    given: GroupedPass,
    piece: GroupedPiece,
    memory: cuda.TargetAddresses,
    exponent: int = 0,
    shared: cuda.Shared = cuda.NOTHING_SHARED,
) -> list[int]:
    """Return the words that a kernel reads; `piece` has no columns if the kernel reads no rows."""
    if not piece.columns:
        return cuda.table_words(
            given.task, (0, 0, 0, 0), cuda.RowGroups(0), memory, exponent, shared
        )
    values, *others = (piece.columns[k] for k in (0, *given.groups))
    column = values.values, values.value_bit, values.validity, values.bit
    folds = others[1].values if len(others) > 1 else 0
    cells = cuda.RowGroups(others[0].values, folds, given.n_codes)
    return cuda.table_words(given.task, column, cells, memory, exponent, shared)


def _launch(
    runtime: Runtime, kernel: str, words: Sequence[int], first: int, n: int, shared_bytes: int = 0
) -> None:
    module = runtime.module(cuda.text(runtime.geometry.block))
    launch_sums(runtime, module, kernel, [words], first, n, shared_bytes)
