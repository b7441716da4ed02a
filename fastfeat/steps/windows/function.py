"""A row of the table of functions over windows: its type, its kernel requests and its definition.

Facts about a single statistic, such as whether it reads the row's own value, stand in the kernel's
table, `fastfeat_kernels.windows.statistics`, and are not repeated here.
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
"""Name of a kernel statistic, and its fields of `Wanted` except window and column."""
Requests = Callable[[Params, DType, DType], tuple[Request, ...]]
"""`(parameters, column type, time type) -> requests to the kernel`."""
_WINDOW = Window()


@dataclass(frozen=True, slots=True)
class WindowFunction:
    """A row of the table of functions over windows.

    Args:
        result: `(column type, parameters) -> type of the value`.
        statistics: All kernel statistics that it may need.
        requests: Returns the statistics that one call needs.
        reference: Definition: `(rows seen, parameters, column type) -> value`, for functions that
            are also aggregates of training rows. None if the definition in the kernel package is
            enough.
        joined: How several statistics become one value. "difference": the second less the first.
            "between": a point between the first two; the third is the number of values.
        parameters: Parameters of each call.
        of_times: Whether its column holds times, and its value is the time since one of them.
        too_large: Error text for a value that does not fit its type; None for the text of the
            original error.
        not_ahead: Text that names an alternative, for functions that cannot look at rows ahead
            because they depend on the row's own place; None for other functions.
        tells_number: Whether its value reveals the number of rows in the window.
        written: Writes a call in Python; None for a method of the values that takes a window.
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
        return tuple(STATISTICS[name] for name in self.statistics)

    @property
    def counts(self) -> bool:
        """Whether it counts rows, and so ignores `min_samples`."""
        return all(row.gives == "count" for row in self.rows)

    @property
    def reads_own(self) -> bool:
        """Whether it reads the row's own value, even if the window ends before it."""
        return any(row.reads_own for row in self.rows)

    @property
    def of_all_past(self) -> bool:
        """Whether the window must hold all of the entity's rows before its end."""
        return any(row.of_all_past for row in self.rows)

    @property
    def picks(self) -> Literal["n-th", "latest"] | None:
        """The only row read: the n-th latest, or the latest with a value; None if it reads all."""
        return self.rows[0].picks

    @property
    def looks_back(self) -> bool:
        """Whether it cannot be computed over rows ahead."""
        return self.not_ahead is not None

    def value(self, view: WindowView, params: Params, dtype: DType, time: DType) -> Any:
        """Return the value by the definition; None if missing.

        Raises Overflow if it does not fit its type.
        """
        if self.reference is not None:
            return self.reference(view, params, dtype)
        ((name, given),) = self.requests(params, dtype, time)
        wanted = Wanted(_WINDOW, 0, name, **given)
        value = definitions.value_in_window(
            wanted, "", view
        )  # of the values themselves, not grouped by key
        if self.of_times and type(value) is int and value >> 63:
            raise Overflow(self.too_large or "")
        return value


def asks(name: str) -> Requests:
    """Return the requests of a function for one statistic that has the same parameters."""

    def requests(params: Params, dtype: DType, time: DType) -> tuple[Request, ...]:
        return ((name, params),)

    return requests


def seconds_per_tick(dtype: DType) -> tuple[int, int]:
    """Return factor and divisor from ticks of a type to seconds; (1, 1) for integer times."""
    if not dtype.is_temporal:
        return 1, 1
    tick = tick_ns(dtype)
    return max(tick // 10**9, 1), max(10**9 // tick, 1)


def ticks_of_duration(duration: int, dtype: DType) -> float:
    """Return a duration (nanoseconds, or steps) in ticks of a type."""
    return duration / tick_of(dtype)


def ticks_window(given: Mapping[str, Any], time: DType) -> Window:
    """Return a window in ticks of the time type.

    A row at t sees times from t + low to t + high. Ends between two ticks are rounded inwards.
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
