"""A row of the table of functions over windows: its type, what it asks of the kernel, what it sees.

The kernel's statistics have rows of their own, in `fastfeat_kernels.windows.statistics`: what those
say, such as whether one reads the value of the row itself, is not said here again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from fastfeat_kernels.windows import reference as definitions
from fastfeat_kernels.windows.requests import NO_BOUND, Wanted, Window
from fastfeat_kernels.windows.statistic import Statistic, WindowView
from fastfeat_kernels.windows.statistics import STATISTICS

from fastfeat.errors import Overflow
from fastfeat.io.columns.conversions import tick_ns, tick_of
from fastfeat.ir.dtypes import DType
from fastfeat.ir.parameters import Parameters
from fastfeat.ir.writing import Writer

Params = Mapping[str, Any]
Request = tuple[str, Mapping[str, Any]]
"""A statistic of the kernel, and its parameters: those of `Wanted` but window and column."""
Requests = Callable[[Params, DType, DType], tuple[Request, ...]]
"""Requests of a function, from its parameters, the type of the column and that of the
times."""
_WINDOW = Window()


@dataclass(frozen=True, slots=True)
class WindowFunction:
    """A row of the table of functions over windows.

    Args:
        result: type of the value, from that of the column and the parameters.
        statistics: the statistics of the kernel that it may ask for.
        requests: those that it asks for.
        reference: the value, from what a row sees, the parameters and the type of the column, of
            those that are aggregates of training rows too; None where the kernel's definition of
            the one statistic that is asked for says it.
        joined: how the value comes of several statistics: the second less the first, or what lies
            between the first two by the third, the number of values.
        parameters: those of each call.
        of_times: whether its column is of times, and it says how long ago one was.
        too_large: what is wrong where a value does not fit its type; None for the words of the
            error that says so.
        not_ahead: of a function that tells how the window stands to the row, so that it is none of
            the rows ahead: what to write of those instead.
        tells_number: whether its value tells how many rows are in the window.
        written: how one is written in Python; None for a method of the values that takes a window.
    """

    result: Callable[[DType, Params], DType]
    statistics: tuple[str, ...]
    requests: Requests
    reference: Callable[[WindowView, Params, DType], Any] | None = None
    joined: Literal["difference", "between"] | None = None
    parameters: Parameters = ()
    of_times: bool = False
    too_large: str | None = None
    not_ahead: str | None = None
    tells_number: bool = True
    written: Writer | None = None

    @property
    def rows(self) -> tuple[Statistic, ...]:
        """The rows of its statistics in the table of the kernel."""
        return tuple(STATISTICS[name] for name in self.statistics)

    @property
    def counts(self) -> bool:
        """Whether it counts rows, whatever `min_samples` says."""
        return all(row.gives == "count" for row in self.rows)

    @property
    def reads_own(self) -> bool:
        """Whether it reads the value of the row itself, wherever the window ends."""
        return any(row.reads_own for row in self.rows)

    @property
    def of_all_past(self) -> bool:
        """Whether the window must hold all of the entity's rows before its end."""
        return any(row.of_all_past for row in self.rows)

    @property
    def picks(self) -> Literal["n-th", "latest"] | None:
        """Whether it reads one of the latest rows alone: the n-th, or the latest with a value."""
        return self.rows[0].picks

    @property
    def looks_back(self) -> bool:
        """Whether it is none of the rows ahead."""
        return self.not_ahead is not None

    def value(self, view: WindowView, params: Params, dtype: DType, time: DType) -> Any:
        """Return its value by the definition; None is missing.

        Args:
            view: what a row sees.
            params: its parameters.
            dtype: the type of the column.
            time: that of the times.

        Raises:
            Overflow: it does not fit its type.
        """
        if self.reference is not None:
            return self.reference(view, params, dtype)
        ((name, given),) = self.requests(params, dtype, time)
        wanted = Wanted(_WINDOW, 0, name, **given)
        value = definitions.value_in_window(
            wanted, "", view
        )  # of the values as they are, not by keys
        if self.of_times and type(value) is int and value >> 63:
            raise Overflow(self.too_large or "")
        return value


def asks(name: str) -> Requests:
    """Return the requests of a function for one statistic, whose parameters are its own."""

    def requests(params: Params, dtype: DType, time: DType) -> tuple[Request, ...]:
        return ((name, params),)

    return requests


def seconds_per_tick(dtype: DType) -> tuple[int, int]:
    """Return the factor and the divisor from ticks of a type to seconds; (1, 1) of steps."""
    if not dtype.is_temporal:
        return 1, 1
    tick = tick_ns(dtype)
    return max(tick // 10**9, 1), max(10**9 // tick, 1)


def ticks_of_duration(duration: int, dtype: DType) -> float:
    """Return how many ticks of a type nanoseconds, or steps, are."""
    return duration / tick_of(dtype)


def ticks_window(given: Mapping[str, Any], time: DType) -> Window:
    """Return a window in ticks of the time.

    A row at t sees times from t + low to t + high; ends that are no whole number of ticks are
    rounded to the ticks inside.
    """
    tick = tick_of(time)
    last, offset, closed = given["last"], given["offset"], given["closed"]
    low = NO_BOUND
    if last is not None:
        reach = last + offset
        low = -(reach // tick) if closed in ("left", "both") else 1 + (-reach // tick)
    own = closed in ("right", "both") and not offset
    high = -offset // tick if closed in ("right", "both") else -(offset // tick) - 1
    return Window(low, high, own, given["rows"] or 0, given["min_samples"])
