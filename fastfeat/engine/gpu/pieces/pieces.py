"""Split rows into pieces that fit the memory of a device, or raise if nothing fits."""

from __future__ import annotations

from typing import NamedTuple

from fastfeat.engine.failure import WORD_ROWS
from fastfeat.engine.gpu.runtime import Buffer, Runtime
from fastfeat.errors import OutOfDeviceMemory, counted

SHARE_OF_MEMORY = 0.8
"""Share of the free memory that the pieces of rows on a device may take."""
PIECE_BYTES = 256 << 20
"""Largest piece, in bytes, of rows that are only copied, computed and copied back.

While one piece is computed the next one is copied, which takes much longer than launching its
kernels.
"""
SMALL_SHARE = 1 / 4
MOST_SMALL_BYTES = 64 << 20
"""Memory of a computation besides its pieces, for words and states: the smaller of both limits."""


class DevicePieces(NamedTuple):
    """Ranges of rows that go through a device one after the other.

    Args:
        spans: (first, end) of each; all but the last have the same length, a multiple of 64.
        at_once: Number of pieces that fit the device at a time: 2, or 1.
    """

    spans: tuple[tuple[int, int], ...]
    at_once: int

    @property
    def n_rows(self) -> int:
        """Return the number of rows of the longest piece."""
        return max((stop - start for start, stop in self.spans), default=0)


def pieces_of(
    runtime: Runtime,
    row_bytes: float,
    n_rows: int,
    reserved: float = 0,
    most_bytes: float = float("inf"),
) -> DevicePieces:
    """Return ranges of rows that fit the memory of the device.

    If one piece cannot take all rows, two are on the device at a time, each in half of the memory,
    unless 64 rows do not fit in half.

    `row_bytes` is the memory per row, and `reserved` further memory per piece. A piece is at most
    `most_bytes` large, but has at least 64 rows. Raises OutOfDeviceMemory if not even 64 rows fit.
    """
    if not n_rows:
        return DevicePieces((), 1)
    if not row_bytes:
        return DevicePieces(((0, n_rows),), 1)
    room, share = _room(runtime, row_bytes, n_rows, reserved), runtime.computations.share()
    pieces = _pieces_in(room, row_bytes, n_rows, reserved, most_bytes / row_bytes, share)
    n_bytes = pieces.at_once * pieces.n_rows * row_bytes
    runtime.computations.plan(
        reserved + min(SMALL_SHARE * n_bytes, MOST_SMALL_BYTES),
        can_shrink=pieces.at_once * pieces.n_rows > WORD_ROWS,
    )
    return pieces


def _pieces_in(
    room: float, row_bytes: float, n_rows: int, reserved: float, most: float, share: float
) -> DevicePieces:
    """Return ranges of at most `most` rows that fit a share of `room` bytes."""
    whole, half = ((part - reserved) / row_bytes for part in (room, room / 2))
    if n_rows <= share * min(whole, most):
        return DevicePieces(((0, n_rows),), 1)
    at_once, fitting = (2, half) if share * half >= WORD_ROWS else (1, whole)
    step = max(1, int(share * min(fitting, most)) // WORD_ROWS) * WORD_ROWS
    starts = range(0, n_rows, step)
    return DevicePieces(tuple((start, min(n_rows, start + step)) for start in starts), at_once)


def _room(runtime: Runtime, row_bytes: float, n_rows: int, reserved: float) -> float:
    """Return how many bytes of device memory pieces may take, after the reserved bytes."""
    fewest = min(WORD_ROWS, n_rows)
    needed = reserved + fewest * row_bytes
    room = room_of_pieces(runtime)
    if room < needed:
        runtime.give_back()  # memory kept for later may be enough
        room = room_of_pieces(runtime)
    if room >= needed:
        return room
    free, _ = runtime.memory()
    need = "needs" if fewest == 1 else "need"
    raise OutOfDeviceMemory(
        f"{counted(fewest, 'row')} {need} {needed:,.0f} bytes of device memory. {free:,} bytes are "
        f"free, and the rows may use {SHARE_OF_MEMORY:.0%} of them. Compute fewer features at a "
        "time, or free memory"
    )


def room_of_pieces(runtime: Runtime) -> float:
    """Return how many bytes pieces may take: memory that is free, and claimed by no computation."""
    free, _ = runtime.memory()
    return SHARE_OF_MEMORY * runtime.computations.unclaimed(free)


def room_for(runtime: Runtime, n_bytes: int, purpose: str) -> Buffer:
    """Return device memory for a result that needs one block.

    `purpose` is a text for messages. Raises OutOfDeviceMemory with the bytes needed and free.
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
            f"{purpose} needs {n_bytes:,} bytes of device memory, and {free:,} are free. Transform "
            "fewer rows at a time, use Plan(dtype='float32'), or free memory"
        ) from None
