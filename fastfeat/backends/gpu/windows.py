"""Windows on a device; what has no kernel is computed on the host, from columns brought there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from fastfeat.backends.cpu import table_windows, windows
from fastfeat.backends.gpu.arguments import argument_in_host, column_in_host
from fastfeat.backends.gpu.runtime import Runtime
from fastfeat.backends.gpu.window_functions import found_on_device, is_on_device
from fastfeat.steps import Argument
from fastfeat.steps.windows import OverFailed, RowOrder, WindowRequest


def over(
    runtime: Runtime, past: RowOrder, asked: Sequence[WindowRequest], first_row: int
) -> list[Any]:
    """Return a column for each function of the rows in a window: Arrow's or of the device.

    Args:
        runtime: where columns may be.
        past: the columns that order the rows.
        asked: the functions, with the columns that they are of.
        first_row: the first row that they are wanted for.

    Raises:
        HistoryOverlaps: a row before that is later than one of its entity from there on.
        OverFailed: a value that does not fit its type.
        OutOfDeviceMemory: the rows do not fit the device.
    """
    chosen = {k: one for k, one in enumerate(asked) if is_on_device(one.function)}
    found: dict[int, Any] = {}
    if chosen and len(past.times):
        work = partial(found_on_device, runtime, past, chosen, first_row)
        found = runtime.computations.run(work)
    others = [k for k in range(len(asked)) if k not in found]
    if others or not asked:  # without functions, the host checks the order of the rows
        moved = _asked_in_host(runtime, [asked[k] for k in others])
        try:
            arrays = windows.over(_in_host(runtime, past), moved, first_row)
        except OverFailed as failure:
            which, row, text, kind = failure.args
            raise OverFailed(others[int(which)], row, text, kind) from None
        found |= zip(others, arrays, strict=True)
    return [found[k] for k in range(len(asked))]


def over_table(
    runtime: Runtime, past: RowOrder, asked: Sequence[WindowRequest], query: RowOrder
) -> list[Any]:
    """Return an Arrow array for each function of the rows of a table in a window.

    Args:
        runtime: where columns may be.
        past: the columns that order the rows of the table, in the host's memory.
        asked: the functions, with the columns of the table that they are of.
        query: the times and the keys of the rows that ask.
    """
    moved = _asked_in_host(runtime, asked)
    return table_windows.over_table(past, moved, _in_host(runtime, query))


def _in_host(runtime: Runtime, past: RowOrder) -> RowOrder:
    """Return the columns that order rows in the host's memory."""

    def keys(values: Any, dtype: Any) -> Any:
        return argument_in_host(runtime, Argument(values, dtype)).values

    return replace(
        past,
        times=column_in_host(runtime, past.times),
        keys=[keys(*pair) for pair in zip(past.keys, past.key_dtypes, strict=True)],
        tie=None if past.tie is None else keys(past.tie, past.tie_dtype),
    )


def _asked_in_host(runtime: Runtime, asked: Sequence[WindowRequest]) -> list[WindowRequest]:
    """Return functions with their columns in the host's memory, each brought there once."""
    columns = {id(one.values): column_in_host(runtime, one.values) for one in asked}
    return [replace(one, values=columns[id(one.values)]) for one in asked]
