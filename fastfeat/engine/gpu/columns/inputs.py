"""The inputs of pieces on a device: memory that is placed once, and filled piece after piece."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fastfeat.dtypes import DType
from fastfeat.engine.gpu.columns.conform import UnlikeColumn, conformed_rows, place_conformed
from fastfeat.engine.gpu.columns.memory import (
    DeviceColumn,
    DeviceMemory,
    element_bytes,
    fill_column,
    laid_out,
    place_column,
)
from fastfeat.engine.gpu.runtime import Runtime
from fastfeat.scalars.value import InputSlot

Source = DeviceColumn | UnlikeColumn | Any
"""The column of a slot: on the device, or a chunked array in the host's memory."""
Fill = Callable[[], None]
"""Asks for what brings the rows of an input to where they are read."""


@dataclass(frozen=True, slots=True)
class PlacedInput:
    """A column and memory for some of its rows at a time; None where they are read in place."""

    source: Source
    dtype: DType
    memory: DeviceMemory | None


def place_inputs(
    runtime: Runtime, slots: Sequence[InputSlot], sources: Mapping[InputSlot, Source], n_rows: int
) -> list[PlacedInput]:
    """Return the column of each slot, with memory for `n_rows` rows where it needs any."""
    return [_place(runtime, sources[slot], slot.dtype, n_rows) for slot in slots]


def _place(runtime: Runtime, source: Source, dtype: DType, n_rows: int) -> PlacedInput:
    match source:
        case DeviceColumn():
            memory = None
        case UnlikeColumn():
            memory = place_conformed(runtime, source, dtype, n_rows)
        case _:
            memory = place_column(runtime, source, dtype, n_rows)
    return PlacedInput(source, dtype, memory)


def rows_of(
    runtime: Runtime, placed: PlacedInput, start: int, n: int
) -> tuple[DeviceColumn, Fill | None]:
    """Return the column that rows [start, start + n) of an input are read from, and its fill.

    None brings those that are there; a column of another type is converted before this returns.

    Raises:
        RowFailed: the first row that is not exactly a value of the type that fit saw.
    """
    source, dtype, memory = placed.source, placed.dtype, placed.memory
    if isinstance(source, DeviceColumn):
        return source.from_row(start, dtype), None
    assert memory is not None, "all else has a place of its own"
    if isinstance(source, UnlikeColumn):
        conformed_rows(runtime, source, memory, dtype, start, n)
        return memory.as_column(), None
    rows: Any = source.slice(start, n)
    return laid_out(memory, rows, dtype), lambda: fill_column(runtime, memory, rows, dtype)


def added_bytes(sources: Mapping[InputSlot, Source]) -> float:
    """Return the bytes of a row that are not on the device as kernels read them."""
    return sum(
        element_bytes(slot.dtype)
        for slot, source in sources.items()
        if not isinstance(source, DeviceColumn)
    )
