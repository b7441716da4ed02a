"""Memory that a user gives for a matrix: kernels write to it, so it must be whole and its own."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from fastfeat.errors import InvalidData, TypeMismatch
from fastfeat.io.device import DeviceArray
from fastfeat.io.write import overlaps


def check_memory(out: Any, shape: tuple[int, int], dtype: np.dtype[Any], table: Any) -> None:
    """Raise unless an array can take the matrix.

    Args:
        out: what the user gave.
        shape: of the matrix, (n_rows, n_features).
        dtype: of the matrix.
        table: the input columns, whose memory `out` must not share.

    Raises:
        TypeMismatch, InvalidData: it cannot.
    """
    if not isinstance(out, np.ndarray):
        raise TypeMismatch(f"out= must be a NumPy array, got {type(out).__name__}")
    array = cast("NDArray[Any]", out)
    if array.shape != shape or array.dtype != dtype:
        raise InvalidData(
            f"out= must have shape {shape} and type {dtype}, got {array.shape} and {array.dtype}"
        )
    if not array.flags.writeable or not array.flags.aligned:
        raise InvalidData("out= must be writeable and aligned")
    if overlaps_itself(array.shape, array.strides, array.itemsize):
        raise InvalidData("out= must not overlap itself: several elements would be in one place")
    columns = dict(zip(table.column_names, table.columns, strict=True))
    name = overlaps(array, {n: c for n, c in columns.items() if not isinstance(c, DeviceArray)})
    if name is not None:
        raise InvalidData(
            f"out= overlaps the memory of the input column {name!r}: kernels would read what they "
            "have written. Give it memory of its own"
        )


def overlaps_itself(shape: tuple[int, ...], strides: tuple[int, ...], n_bytes: int) -> bool:
    """Return whether two elements may share memory: those of broadcast and of odd strided views.

    Args:
        shape: of the array.
        strides: bytes from one element to the next along each axis.
        n_bytes: of an element.
    """
    if 0 in shape:
        return False
    reach = n_bytes
    for stride, size in sorted(zip(map(abs, strides), shape, strict=True)):
        if size > 1:
            if stride < reach:
                return True
            reach += stride * (size - 1)
    return False
