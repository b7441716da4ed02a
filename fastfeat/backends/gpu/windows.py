"""Windows on a device: computed on the host in this version, from columns brought there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from fastfeat.backends.cpu import windows
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

    def keys(values: Any, dtype: Any) -> Any:
        return argument_in_host(runtime, Argument(values, dtype)).values

    here = replace(
        past,
        times=column_in_host(runtime, past.times),
        keys=[keys(*pair) for pair in zip(past.keys, past.key_dtypes, strict=True)],
        tie=None if past.tie is None else keys(past.tie, past.tie_dtype),
    )
    columns = {id(one.values): column_in_host(runtime, one.values) for one in asked}
    moved = [replace(one, values=columns[id(one.values)]) for one in asked]
    return windows.over(here, moved, first_row)
