"""A row of the table of functions over windows: its type rule, kernel statistics and definition.

Facts about a single statistic, such as whether it reads the row's own value, stand in the kernel's
table, `fastfeat_kernels.windows.statistics`, and are not repeated here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

from fastfeat_kernels.records import dataclass
from fastfeat_kernels.windows import reference as definitions
from fastfeat_kernels.windows.requests import NO_BOUND, WantedStatistic, WindowBounds
from fastfeat_kernels.windows.statistic import WindowStatistic, WindowView
from fastfeat_kernels.windows.statistics import STATISTICS

from fastfeat.errors import Overflow
from fastfeat.io.columns.types import tick_ns, tick_of
from fastfeat.ir.dtypes import DType
from fastfeat.ir.parameters import Parameters, ParameterValues
from fastfeat.ir.writing import Writer

StatisticRequest = tuple[str, Mapping[str, Any]]
"""Name of a kernel statistic, and its fields of `WantedStatistic` except window and column."""
Requests = Callable[[ParameterValues, DType, DType], tuple[StatisticRequest, ...]]
"""`(parameters, column type, time type) -> requests to the kernel`."""
_WINDOW = WindowBounds()


@dataclass(frozen=True, slots=True)
class WindowFunction:
    """A row of the table of functions over windows.

    Args:
        result: `(column type, parameters) -> type of the value`.
        statistics: Names of all kernel statistics that it may be computed from.
        requests: Returns the statistics that a call with given parameters needs.
        reference: Definition: `(rows seen, parameters, column type) -> value`, for functions that
            are also aggregates of training rows. None if the definition in the kernel package is
            enough.
        joined: The way several statistics become one value; None for a single statistic.
            "difference": the second less the first. "between": a point between the first two; the
            third is the number of values.
        parameters: Parameters of each call.
        of_times: Whether its column holds times, and its value is the time since one of them.
        too_large: Error text for a value that does not fit its type; None for the text of the
            original error.
        not_ahead: Error text with an alternative, for functions that cannot look at later rows
            because they depend on the row's own position; None for other functions.
        tells_number: Whether its value reveals the number of rows in the window.
        written: Returns a call as Python text; None if it is written as a method with a window.
    """

    result: Callable[[DType, ParameterValues], DType]
    statistics: tuple[str, ...]
    requests: Requests
    reference: Callable[[WindowView, ParameterValues, DType], Any] | None = None
    joined: Literal["difference", "between"] | None = None
    parameters: Parameters = ()
    of_times: bool = False
    too_large: str | None = None
    not_ahead: str | None = None
    tells_number: bool = True
    written: Writer | None = None

    @property
    def rows(self) -> tuple[WindowStatistic, ...]:
        return tuple(STATISTICS[name] for name in self.statistics)

    @property
    def counts(self) -> bool:
        """Whether the function counts rows, and so ignores `min_samples`."""
        return all(row.gives == "count" for row in self.rows)

    @property
    def reads_own(self) -> bool:
        """Whether the function reads the row's own value, even if the window ends before it."""
        return any(row.reads_own for row in self.rows)

    @property
    def of_all_past(self) -> bool:
        """Whether the window must begin with the entity's first row."""
        return any(row.of_all_past for row in self.rows)

    @property
    def picks(self) -> Literal["n-th", "latest"] | None:
        """The only row that the function reads: the n-th latest, or the latest with a value.

        None if it reads all rows.
        """
        return self.rows[0].picks

    @property
    def looks_back(self) -> bool:
        """Whether the function cannot be computed over later rows."""
        return self.not_ahead is not None

    def value(self, view: WindowView, params: ParameterValues, dtype: DType, time: DType) -> Any:
        """Return the function's value for one window, by its definition; None if missing.

        Raises Overflow if it does not fit its type.
        """
        if self.reference is not None:
            return self.reference(view, params, dtype)
        ((name, given),) = self.requests(params, dtype, time)
        wanted = WantedStatistic(_WINDOW, 0, name, **given)
        value = definitions.value_in_window(
            wanted, "", view
        )  # of the values themselves, not grouped by key
        if self.of_times and type(value) is int and value >> 63:
            raise Overflow(self.too_large or "")
        return value


def asks(name: str) -> Requests:
    """Return a function that requests a single statistic, with the parameters of the call."""

    def requests(
        params: ParameterValues, dtype: DType, time: DType
    ) -> tuple[StatisticRequest, ...]:
        return ((name, params),)

    return requests


def seconds_per_tick(dtype: DType) -> tuple[int, int]:
    """Return (a, b) such that a tick of a type is a / b seconds; (1, 1) for integer times."""
    if not dtype.is_temporal:
        return 1, 1
    tick = tick_ns(dtype)
    return max(tick // 10**9, 1), max(10**9 // tick, 1)


def ticks_of_duration(duration: int, dtype: DType) -> float:
    """Return a duration (in nanoseconds, or steps for integer times) as a number of ticks."""
    return duration / tick_of(dtype)


def ticks_window(given: Mapping[str, Any], time: DType) -> WindowBounds:
    """Return the window of a call, with its ends in ticks of the time type.

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
    return WindowBounds(low, high, own, given["rows"] or 0, given["min_samples"])
