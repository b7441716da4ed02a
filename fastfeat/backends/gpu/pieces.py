"""Pieces of rows that fit the memory of a device, and what to say where nothing fits."""

from __future__ import annotations

from collections.abc import Iterator

from fastfeat.backends.gpu.runtime import Buffer, Runtime
from fastfeat.backends.search import WORD_ROWS
from fastfeat.errors import OutOfDeviceMemory

SHARE_OF_MEMORY = 0.8
"""How much of the free memory a piece of rows may take."""


def pieces_of(
    runtime: Runtime, row_bytes: float, n_rows: int, reserved: float = 0
) -> Iterator[tuple[int, int]]:
    """Yield (first, end) of runs of rows that fit the memory of the device; multiples of 64.

    Args:
        runtime: of the device.
        row_bytes: memory that a row takes.
        n_rows: number of rows.
        reserved: bytes that are needed besides.

    Raises:
        OutOfDeviceMemory: not even 64 rows fit.
    """
    if not n_rows:
        return
    fitting = _rows_that_fit(runtime, row_bytes, n_rows, reserved)
    step = n_rows if fitting == n_rows else max(WORD_ROWS, fitting // WORD_ROWS * WORD_ROWS)
    for start in range(0, n_rows, step):
        yield start, min(n_rows, start + step)


def _rows_that_fit(runtime: Runtime, row_bytes: float, n_rows: int, reserved: float) -> int:
    if not row_bytes:
        return n_rows
    fewest = min(WORD_ROWS, n_rows)
    needed = reserved + fewest * row_bytes
    free, _ = runtime.memory()
    if SHARE_OF_MEMORY * free < needed:
        runtime.give_back()  # what is kept for later may be what is lacking
        free, _ = runtime.memory()
    if SHARE_OF_MEMORY * free >= needed:
        return min(int((SHARE_OF_MEMORY * free - reserved) / row_bytes), n_rows)
    raise OutOfDeviceMemory(
        f"{fewest} rows need {needed:,.0f} bytes of device memory, {free:,} are free, of which a "
        f"piece takes at most {SHARE_OF_MEMORY:.0%}. Compute fewer features at a time, or free "
        "memory"
    )


def room_for(runtime: Runtime, n_bytes: int, purpose: str) -> Buffer:
    """Return memory that a result needs whole.

    Args:
        runtime: of the device.
        n_bytes: how much.
        purpose: what it is for, for the message.

    Raises:
        OutOfDeviceMemory: names the need, and what is free.
    """
    try:
        return runtime.allocate(n_bytes)
    except OutOfDeviceMemory:
        runtime.give_back()
    try:
        return runtime.allocate(n_bytes)
    except OutOfDeviceMemory:
        free, _ = runtime.memory()
        raise OutOfDeviceMemory(
            f"{purpose} needs {n_bytes:,} bytes of device memory, {free:,} are free. Transform "
            "fewer rows at a time, use Plan(dtype='float32'), or free memory"
        ) from None
