"""The functions over windows that a device computes, one column after the other.

Rows are sorted by entity and time; a window is a range of neighbouring rows. Sums over a window are
differences of prefix sums: 128-bit integers, or 256-bit ones for sums of squares. If the values of
an entity lie too far apart for that, the host computes the sums of the column.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import field, replace
from functools import partial
from typing import Any

from fastfeat_kernels.records import dataclass
from fastfeat_kernels.windows import cuda
from fastfeat_kernels.windows.layout import (
    COLUMN_MAX_KEYS,
    COLUMN_MIN_KEYS,
    COLUMN_SQUARES,
    COLUMN_SUMS,
)
from fastfeat_kernels.windows.requests import WantedStatistic, WindowBounds
from fastfeat_kernels.windows.statistics import (
    COMPARING,
    COUNTING,
    PICKING,
    STATISTICS,
    SUMMING,
)

from fastfeat.engine.gpu.pieces.pieces import room_of_pieces
from fastfeat.engine.gpu.pieces.ragged import array_on_host
from fastfeat.engine.gpu.programs.launch import settle_on_error
from fastfeat.engine.gpu.runtime import Runtime
from fastfeat.engine.storage import storage
from fastfeat.errors import OutOfDeviceMemory, Overflow
from fastfeat.ir.dtypes import DType
from fastfeat.steps.keys.gpu.columns import KEPT_SHARE
from fastfeat.steps.on_device import argument_in_host, column_in_host
from fastfeat.steps.step import Argument
from fastfeat.steps.windows import cpu as windows
from fastfeat.steps.windows import cpu_tables as table_windows
from fastfeat.steps.windows.function import ticks_window
from fastfeat.steps.windows.gpu.columns import (
    BOUNDS_BYTES,
    COLUMN_BYTES,
    EXTREME_BYTES,
    RESULT_BYTES,
    Bounds,
    InOrder,
    WindowResults,
    bounds_of,
    column_of,
    count_in,
    extremes,
    in_order,
    pick_values,
    time_since,
)
from fastfeat.steps.windows.gpu.kernels import column_words, whole_column
from fastfeat.steps.windows.gpu.order import (
    ORDER_BYTES,
    SORT_BYTES,
    DeviceOrder,
    is_kept,
    order_of,
)
from fastfeat.steps.windows.gpu.order import n_tied as n_tied_in_order
from fastfeat.steps.windows.gpu.sums import (
    SQUARE_BYTES,
    SUM_BYTES,
    PrefixSums,
    integer_sums,
    levels,
    spreads,
    sums_of,
    whole_means,
)
from fastfeat.steps.windows.rows import (
    OVER_FUNCTIONS,
    OverFailed,
    RowOrder,
    WindowRequest,
    result_over,
)


def is_on_device(function: str) -> bool:
    """Return whether the device computes a function; the names are in `rows.OVER_FUNCTIONS`."""
    return all(row.family.on_device for row in OVER_FUNCTIONS[function].rows)


def needs_near_values(function: str, dtype: DType) -> bool:
    """Return whether the device computes a function only if an entity's values lie close together.

    `function` is a name in `steps.windows.rows.OVER_FUNCTIONS`; `dtype` is the type of its column.
    """
    return dtype.is_float and COLUMN_SUMS in _read(function)


def _read(function: str) -> frozenset[int]:
    """Return the column data that a function's kernels read, as numbers of words in a table."""
    return frozenset(word for row in OVER_FUNCTIONS[function].rows for word in row.reads)


@dataclass(slots=True)
class _Work:
    """The sorted rows, and the column that functions are being computed from.

    Args:
        runtime: The device.
        order: The sorted rows.
        time: Type of their times.
        bounds: Where each row's window begins and ends, by the window's parameters; filled on use.
        column: The column of the functions.
        squares: Whether a function reads sums of squares.
        sums: Empty until first use, then one item: the sums, or None if values lie too far apart.
    """

    runtime: Runtime
    order: DeviceOrder
    time: DType
    bounds: dict[WindowBounds, Bounds]
    column: InOrder
    squares: bool
    sums: list[PrefixSums | None] = field(default_factory=list[PrefixSums | None])

    def known_sums(self) -> PrefixSums | None:
        """Return the prefix sums of the column; None if its values lie too far apart."""
        if not self.sums:
            self.sums.append(sums_of(self.column, with_squares=self.squares))
        return self.sums[0]

    def window(self, asked: WindowRequest) -> Bounds:
        """Return the bounds of each row's window for a function.

        Functions with equal windows share them.
        """
        window = ticks_window(asked.window, self.time)._replace(min_samples=0)
        if window not in self.bounds:
            self.bounds[window] = bounds_of(self.runtime, self.order, window)
        return self.bounds[window]


_Result = tuple[WindowResults, int | None] | None
"""Results, and the first row with a value out of range; None if the host must compute it."""


def compute_on_device(
    runtime: Runtime, past: RowOrder, asked: Mapping[int, WindowRequest], first_row: int
) -> dict[int, Any]:
    """Return the results of the functions that the device can compute, by their index in `asked`.

    Raises HistoryOverlaps if a history row is later than a data row of its entity, OverFailed for
    the first function with a value that does not fit its type, and OutOfDeviceMemory.
    """
    found: dict[int, Any] = {}
    failed: dict[int, int] = {}
    with settle_on_error(runtime):
        _check_room(runtime, past, list(asked.values()), first_row)
        order = order_of(runtime, past, first_row)
        bounds: dict[WindowBounds, Bounds] = {}
        left = KEPT_SHARE * room_of_pieces(runtime)
        for members in _by_column(asked).values():
            one = asked[members[0]]
            placed = whole_column(runtime, one.values, one.dtype)
            words = column_words(placed, storage(one.dtype))
            column = in_order(runtime, order, words, one.dtype)
            squares = any(COLUMN_SQUARES in _read(asked[k].function) for k in members)
            work = _Work(runtime, order, past.dtype, bounds, column, squares)
            for k in members:
                result = _found(work, asked[k])
                if result is None:
                    continue
                if result[1] is not None:
                    failed[k] = result[1]
                made = column_of(runtime, result[0], order.n_asking, result_over(asked[k]))
                left -= made.item_bytes * len(made)
                found[k] = made if left > 0 else array_on_host(runtime, made)
    for k in sorted(failed):
        text = OVER_FUNCTIONS[asked[k].function].too_large or ""
        raise OverFailed(k, failed[k], text, Overflow)
    return found


def _by_column(asked: Mapping[int, WindowRequest]) -> dict[int, list[int]]:
    """Return the indices of the functions that read each column, by the id of the column."""
    members: dict[int, list[int]] = {}
    for k, one in asked.items():
        members.setdefault(id(one.values), []).append(k)
    return members


def _check_room(
    runtime: Runtime, past: RowOrder, asked: Sequence[WindowRequest], first_row: int
) -> None:
    """Raise OutOfDeviceMemory, with the bytes needed, if the rows do not fit the device."""
    n, read = len(past.times), frozenset[int]().union(*(_read(one.function) for one in asked))
    windows = {tuple(sorted(one.window.items())) for one in asked}
    row_bytes = ORDER_BYTES + 8 + COLUMN_BYTES + len(windows) * BOUNDS_BYTES
    row_bytes += SUM_BYTES if COLUMN_SUMS in read else 0
    row_bytes += SQUARE_BYTES if COLUMN_SQUARES in read else 0
    row_bytes += 2 * EXTREME_BYTES if read & {COLUMN_MIN_KEYS, COLUMN_MAX_KEYS} else 0
    is_there = is_kept(runtime, past)
    row_bytes = row_bytes - ORDER_BYTES if is_there else max(row_bytes, SORT_BYTES)
    needed = n * row_bytes + (n - first_row) * RESULT_BYTES
    if needed > room_of_pieces(runtime):
        runtime.give_back()
    if needed > room_of_pieces(runtime):
        free, _ = runtime.memory()
        raise OutOfDeviceMemory(
            f"windows over {n:,} rows need {needed:,.0f} bytes of device memory, and {free:,} are "
            "free. Use backend='cpu', transform fewer entities at a time, or free memory"
        )


def _found(work: _Work, asked: WindowRequest) -> _Result:
    """Return the results of a function, by the kernels for its kind of statistic."""
    (name, given), *others = OVER_FUNCTIONS[asked.function].requests(
        asked.params, asked.dtype, work.time
    )
    if others:  # the number of rows minus the number of values
        return count_in(work.column, work.window(asked), cuda.COUNT_MISSING), None
    wanted = WantedStatistic(ticks_window(asked.window, work.time), 0, name, **given)
    family = STATISTICS[name].family.number
    return _FAMILIES[family](work, work.window(asked), wanted, asked.window["min_samples"])


def _count(work: _Work, bounds: Bounds, wanted: WantedStatistic, least: int) -> _Result:
    return count_in(work.column, bounds, cuda.COUNT_VALUES), None


def _pick(work: _Work, bounds: Bounds, wanted: WantedStatistic, least: int) -> _Result:
    kind = STATISTICS[wanted.statistic].number
    if wanted.since is None:
        return pick_values(work.column, bounds, kind, wanted.n, least), None
    factor, parts = wanted.since
    return time_since(
        work.column, bounds, kind, wanted.n, least, (factor, parts) if parts else None
    )


def _extreme(work: _Work, bounds: Bounds, wanted: WantedStatistic, least: int) -> _Result:
    return extremes(work.column, bounds, STATISTICS[wanted.statistic].number, least), None


def _sum(work: _Work, bounds: Bounds, wanted: WantedStatistic, least: int) -> _Result:
    sums = work.known_sums()
    if sums is None:
        return None
    number = STATISTICS[wanted.statistic].number
    match STATISTICS[wanted.statistic].gives:
        case "sum" if not work.column.element.startswith("float"):
            return integer_sums(work.column, sums, bounds, least)
        case "whole":
            return whole_means(work.column, sums, bounds, least), None
        case _ if COLUMN_SQUARES in STATISTICS[wanted.statistic].reads:
            return spreads(work.column, sums, bounds, number, wanted.ddof, least), None
        case _:
            return levels(work.column, sums, bounds, number, least), None


_FAMILIES: dict[int, Callable[[_Work, Bounds, WantedStatistic, int], _Result]] = {
    COUNTING: _count,
    PICKING: _pick,
    COMPARING: _extreme,
    SUMMING: _sum,
}
"""Functions that compute the statistics of the families that have kernels on the device."""


def over(
    runtime: Runtime, past: RowOrder, asked: Sequence[WindowRequest], first_row: int
) -> list[Any]:
    """Return each function's results: an Arrow array if the host computes it, else a DeviceArray.

    Raises HistoryOverlaps if a history row is later than a data row of its entity, OverFailed if a
    value does not fit its type, and OutOfDeviceMemory.
    """
    chosen = {k: one for k, one in enumerate(asked) if is_on_device(one.function)}
    found: dict[int, Any] = {}
    if chosen and len(past.times):
        work = partial(compute_on_device, runtime, past, chosen, first_row)
        found = runtime.computations.run(work)
    others = [k for k in range(len(asked)) if k not in found]
    if others or not asked:  # without functions, the host still checks the order of the rows
        moved = _asked_in_host(runtime, [asked[k] for k in others])
        try:
            arrays = windows.over(_in_host(runtime, past), moved, first_row)
        except OverFailed as failure:
            which, row, text, kind = failure.args
            raise OverFailed(others[int(which)], row, text, kind) from None
        found |= zip(others, arrays, strict=True)
    return [found[k] for k in range(len(asked))]


def n_tied(runtime: Runtime, past: RowOrder, first_row: int) -> int:
    """Return the number of rows that share their time with another row of their entity.

    Raises OutOfDeviceMemory if the rows do not fit.
    """
    if not len(past.times):
        return 0

    def count() -> int:
        with settle_on_error(runtime):
            _check_room(runtime, past, [], len(past.times))
            return n_tied_in_order(runtime, past, first_row)

    return runtime.computations.run(count)


def over_table(
    runtime: Runtime, past: RowOrder, asked: Sequence[WindowRequest], query: RowOrder
) -> list[Any]:
    """Return the results of each function over a table as Arrow arrays; the host computes them.

    The table's rows, `past`, are in host memory. `query` has the times and keys of the query rows.
    """
    moved = _asked_in_host(runtime, asked)
    return table_windows.over_table(past, moved, _in_host(runtime, query))


def _in_host(runtime: Runtime, past: RowOrder) -> RowOrder:
    """Return the columns by which rows are sorted, copied to host memory."""

    def keys(values: Any, dtype: Any) -> Any:
        return argument_in_host(runtime, Argument(values, dtype)).values

    return replace(
        past,
        times=column_in_host(runtime, past.times),
        keys=[keys(*pair) for pair in zip(past.keys, past.key_dtypes, strict=True)],
        tie=None if past.tie is None else keys(past.tie, past.tie_dtype),
    )


def _asked_in_host(runtime: Runtime, asked: Sequence[WindowRequest]) -> list[WindowRequest]:
    """Return the requests with their columns in host memory; each column is copied once."""
    columns = {id(one.values): column_in_host(runtime, one.values) for one in asked}
    return [replace(one, values=columns[id(one.values)]) for one in asked]
