"""A function of the rows in a window: what it sees, and a row of the table of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from fastfeat.dtypes import DType
from fastfeat.io.columns.conversions import tick_ns
from fastfeat.ir.parameters import Parameters
from fastfeat.ir.writing import Writer
from fastfeat.steps.step import Values


@dataclass(frozen=True, slots=True)
class Seen:
    """What a row sees in a window.

    Args:
        values: of the rows in it, in order; None where missing.
        times: of the same rows, in ticks.
        time: that of the row itself.
        own: the value of the row itself, which is in the window or not.
        place: the place of the row itself in the window; None where it is not in it.
        ticks: the type of the times.
    """

    values: Values
    times: Values
    time: int
    own: Any
    place: int | None
    ticks: DType


@dataclass(frozen=True, slots=True)
class WindowFunction:
    """A row of the table of functions over windows.

    Args:
        result: type of the value, from that of the column and the parameters.
        reference: the value, from what a row sees, the parameters and the type of the column; None
            is missing.
        counts: whether it counts rows, whatever `min_samples` says.
        parameters: those of each call.
        reads_own: whether it reads the value of the row itself, wherever the window ends.
        of_all_past: whether the window must hold all of the entity's rows before its end.
        looks_back: whether it tells how the window stands to the row, so that it is none of the
            rows ahead.
        tells_number: whether its value tells how many rows are in the window.
        written: how one is written in Python; None for a method of the values that takes a window.
    """

    result: Callable[[DType, Mapping[str, Any]], DType]
    reference: Callable[[Seen, Mapping[str, Any], DType], Any]
    counts: bool = False
    parameters: Parameters = ()
    reads_own: bool = False
    of_all_past: bool = False
    looks_back: bool = False
    tells_number: bool = True
    written: Writer | None = None


def seconds_per_tick(dtype: DType) -> tuple[int, int]:
    """Return by what ticks of a type are multiplied and divided to be seconds; (1, 1) of steps."""
    if not dtype.is_temporal:
        return 1, 1
    tick = tick_ns(dtype)
    return max(tick // 10**9, 1), max(10**9 // tick, 1)


def ticks_of_duration(duration: int, dtype: DType) -> float:
    """Return how many ticks of a type nanoseconds, or steps, are."""
    return duration / (tick_ns(dtype) if dtype.is_temporal else 1)
