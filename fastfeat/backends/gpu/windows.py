"""Windows on a device: computed on the host in this version, from columns brought there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from fastfeat.backends.cpu import table_windows, windows
from fastfeat.backends.gpu.arguments import argument_in_host, column_in_host
from fastfeat.backends.gpu.runtime import Runtime
from fastfeat.steps import Argument
from fastfeat.steps.windows import Asked, Past


def over(runtime: Runtime, past: Past, asked: Sequence[Asked], first_row: int) -> list[Any]:
    """Return an Arrow array for each function of the rows in a window.

    Args:
        runtime: where columns may be.
        past: the columns that order the rows.
        asked: the functions, with the columns that they are of.
        first_row: the first row that they are wanted for.
    """

    return windows.over(_in_host(runtime, past), _asked_in_host(runtime, asked), first_row)


def over_table(runtime: Runtime, past: Past, asked: Sequence[Asked], asking: Past) -> list[Any]:
    """Return an Arrow array for each function of the rows of a table in a window.

    Args:
        runtime: where columns may be.
        past: the columns that order the rows of the table, in the host's memory.
        asked: the functions, with the columns of the table that they are of.
        asking: the times and the keys of the rows that ask.
    """
    moved = _asked_in_host(runtime, asked)
    return table_windows.over_table(past, moved, _in_host(runtime, asking))


def _in_host(runtime: Runtime, past: Past) -> Past:
    """Return the columns that order rows in the host's memory."""

    def keys(values: Any, dtype: Any) -> Any:
        return argument_in_host(runtime, Argument(values, dtype)).values

    return replace(
        past,
        times=column_in_host(runtime, past.times),
        keys=[keys(*pair) for pair in zip(past.keys, past.key_dtypes, strict=True)],
        tie=None if past.tie is None else keys(past.tie, past.tie_dtype),
    )


def _asked_in_host(runtime: Runtime, asked: Sequence[Asked]) -> list[Asked]:
    """Return functions with their columns in the host's memory, each brought there once."""
    columns = {id(one.values): column_in_host(runtime, one.values) for one in asked}
    return [replace(one, values=columns[id(one.values)]) for one in asked]
