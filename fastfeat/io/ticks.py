"""Times as the ticks of their type: what is ordered, and what windows are measured in."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastfeat.dtypes import DType
from fastfeat.io.arrow import ChunkedArray, cast, pa
from fastfeat.io.bits import Flags, present_rows
from fastfeat.io.types import storage_type


def ticks_column(times: Any, dtype: DType) -> ChunkedArray:
    """Return times, or whole numbers, as a column of int64; missing where they are.

    Args:
        times: an array or a column, as stored, as keys or as given out.
        dtype: their type.
    """
    pieces = times.chunks if isinstance(times, pa.ChunkedArray) else [times]
    whole = pa.types.is_integer
    plain = [p if whole(p.type) else p.view(storage_type(dtype)) for p in pieces]
    wide = [piece if piece.type == pa.int64() else cast(piece, pa.int64()) for piece in plain]
    return pa.chunked_array(wide, pa.int64())


def ticks_of(column: ChunkedArray) -> tuple[NDArray[np.int64], Flags]:
    """Return the ticks of a column of int64, 0 where missing, and where there is one."""
    values: list[NDArray[np.int64]] = [np.zeros(0, np.int64)]
    flags: list[Flags] = [np.zeros(0, np.bool_)]
    for chunk in column.chunks:
        present = present_rows(chunk)
        flags.append(np.ones(len(chunk), np.bool_) if present is None else present)
        filled = chunk if present is None else chunk.fill_null(0)
        values.append(filled.to_numpy(zero_copy_only=False))
    return np.concatenate(values), np.concatenate(flags)
