"""The steps order, window, over.*: functions over a row's past, with their definitions.

An entity is all rows with one key. Its rows are ordered by time, then by the tie column, then by
input order. A window takes some of the rows up to the row's own time minus an offset. A row without
a time or a key has no window, and no window has it. History means earlier rows that windows may
see, but that get no values themselves.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Literal, get_args

from fastfeat_kernels.records import dataclass
from fastfeat_kernels.windows.statistic import WindowView
from fastfeat_kernels.windows.statistics import STATISTICS

from fastfeat.aggregates import AGGREGATES
from fastfeat.errors import FastfeatError, Overflow, TypeMismatch
from fastfeat.first_use import RowsOnFirstUse
from fastfeat.io.columns.keys import comparable
from fastfeat.io.columns.types import tick_ns, tick_of
from fastfeat.ir.dtypes import (
    BOOL,
    FLOAT64,
    INT64,
    NEVER_COLUMNS,
    ORDER_OF_INTEGERS,
    ORDER_OF_TIMES,
    UTF8,
    WINDOW,
    DType,
)
from fastfeat.ir.durations import duration_text
from fastfeat.ir.node import Call, Node
from fastfeat.ir.parameters import (
    LONGEST,
    UNIT,
    BoolChoice,
    Parameter,
    TextChoice,
    Whole,
    WindowEnds,
)
from fastfeat.ir.scope import OVER, is_over_table, query_of, table_columns_of
from fastfeat.steps.step import Argument, ReferenceValues, StepFunction
from fastfeat.steps.windows.function import (
    Requests,
    StatisticRequest,
    WindowFunction,
    asks,
    seconds_per_tick,
    ticks_window,
)
from fastfeat.steps.windows.texts import (
    ahead_text,
    order_text,
    over_text,
    since_lag_text,
    window_text,
)
from fastfeat.steps.windows.trends import TRENDS

ORDERS = ("order", "table_order")


@dataclass(frozen=True, slots=True)
class SortedRows:
    """Rows grouped by entity, and in order within each entity.

    Args:
        rows: For each entity, its row numbers in order.
        entity: For each row, (number of its entity, its position there); None if it has no entity.
        times: For each row, its time in ticks.
        dtype: Type of the times.
    """

    rows: Sequence[Sequence[int]]
    entity: Sequence[tuple[int, int] | None]
    times: ReferenceValues
    dtype: DType


@dataclass(frozen=True, slots=True)
class RowOrder:
    """The columns that order the rows of each entity.

    Args:
        times: Times of the rows, a column in the form that `io.columns.conform` returns.
        dtype: Type of the times.
        keys: Parts of the key of each row, in the form of `io.columns.keys`.
        key_dtypes: Types of the key parts.
        tie: Column that orders rows of one instant; None to use their input order.
        tie_dtype: Type of the tie.
        cache: Intermediate results of backends. It lives as long as the table of these rows, or
            until the last caller that uses this order is done. None for rows that are used once.
        is_mixed: Whether rows with and without a requested value are mixed; the latter are then not
            history.
        codes: Entity number of each row, int32 from 0, negative if it has none; None if unknown. If
            known, `keys` holds these numbers, or is empty for a backend that reads codes.
    """

    times: Any
    dtype: DType
    keys: Sequence[Any]
    key_dtypes: Sequence[DType]
    tie: Any = None
    tie_dtype: DType | None = None
    cache: dict[Any, Any] | None = None
    is_mixed: bool = False
    codes: Any = None


@dataclass(frozen=True, slots=True)
class WindowRequest:
    """A request for a function of the rows in a window.

    Args:
        function: Name without "over.".
        params: Parameters of the function.
        values: The column that it reads.
        dtype: Type of the column.
        window: Parameters of the window.
        kept: Cache of backends for results that do not depend on the values; None for a function
            that is requested only once.
    """

    function: str
    params: Mapping[str, Any]
    values: Any
    dtype: DType
    window: Mapping[str, Any]
    kept: dict[Any, Any] | None = None


SUM_TOO_LARGE = (
    "the sum of the window does not fit into int64. Cast the values first: .cast('float64')"
)
TIME_TOO_LONG = "the time since that row does not fit into int64. Use a coarser unit of time"


class OverFailed(Exception):
    """A function over a window cannot be computed for a row.

    Args:
        which: Index of the function in the list of requests.
        row: Row number, counted from the first row with a result.
        text: The problem.
        kind: The error class that the user sees.
    """

    def __init__(self, which: int, row: int, text: str, kind: type[FastfeatError]) -> None:
        super().__init__(which, row, text, kind)


class HistoryOverlaps(Exception):
    """A row of the history is later than a row of its entity in the data.

    The only argument is the row's number in the history.
    """


def check_order(order: SortedRows, first_row: int) -> None:
    """Raise HistoryOverlaps if a history row is later than a data row of its entity.

    Rows from `first_row` on are data; the error has the first such history row.
    """
    late: list[int] = []
    for members in order.rows:
        begins = min((order.times[row] for row in members if row >= first_row), default=None)
        if begins is not None:
            late += [row for row in members if row < first_row and order.times[row] > begins]
    if late:
        raise HistoryOverlaps(min(late))


def sort_rows(
    times: ReferenceValues,
    dtype: DType,
    keys: Sequence[ReferenceValues],
    tie: ReferenceValues | None,
    n_rows: int,
) -> SortedRows:
    """Return rows grouped by entity, and in order within each entity.

    Without keys, all rows belong to one entity. Rows of equal times are ordered by the tie (missing
    first), then by input order.
    """
    entities: dict[tuple[Any, ...], list[int]] = {}
    for row in range(n_rows):
        key = tuple(part[row] for part in keys)
        if times[row] is not None and None not in key:
            entities.setdefault(key, []).append(row)

    def place(row: int) -> tuple[Any, ...]:
        known = () if tie is None else (tie[row] is not None, tie[row] or 0)
        return (times[row], *known, row)

    rows = [sorted(members, key=place) for members in entities.values()]
    entity: list[tuple[int, int] | None] = [None] * n_rows
    for number, members in enumerate(rows):
        for at, row in enumerate(members):
            entity[row] = (number, at)
    return SortedRows(rows, entity, times, dtype)


def window_of(order: SortedRows, row: int, window: Mapping[str, Any]) -> Sequence[int] | None:
    """Return the numbers of the rows in a row's window, in order; None if the row has no window."""
    place = order.entity[row]
    if place is None:
        return None
    number, at = place
    members = order.rows[number]
    tick = tick_of(order.dtype)
    instants = [order.times[member] * tick for member in members]
    end = instants[at] - window["offset"]
    closed = window["closed"]
    if closed in ("left", "neither"):
        stop = bisect_left(instants, end)
    else:
        stop = at + 1 if window["offset"] == 0 else bisect_right(instants, end)
    return members[first_place(instants, end, stop, window) : stop]


def first_place(instants: Sequence[int], end: int, stop: int, window: Mapping[str, Any]) -> int:
    """Return the position of a window's first row among the sorted rows of an entity.

    `instants` are their times in nanoseconds, or in steps. The window looks back from `end`, and
    ends before the position `stop`.
    """
    first = 0
    if window["last"] is not None:
        find = bisect_left if window["closed"] in ("left", "both") else bisect_right
        first = find(instants, end - window["last"])
    return first if window["rows"] is None else max(first, stop - window["rows"])


def over(order: SortedRows, asked: WindowRequest, which: int, first_row: int) -> list[Any]:
    """Return the value of a function over a window for each row from `first_row` on.

    None is missing. `which` is the index of the request, for errors. Raises OverFailed if a value
    does not fit its type.
    """
    return over_rows(order, asked, which, range(first_row, len(order.entity)))


def over_rows(
    order: SortedRows, asked: WindowRequest, which: int, rows: Sequence[int]
) -> list[Any]:
    """Return the values of a function over a window for some rows; see `over`."""
    found: list[Any] = []
    for k, row in enumerate(rows):
        view = _view(order, asked, row)
        found.append(None if view is None else value_of(view, asked, order.dtype, which, k))
    return found


def result_over(asked: WindowRequest) -> DType:
    """Return the type of the values of a function over a window."""
    return OVER_FUNCTIONS[asked.function].result(comparable(asked.dtype), asked.params)


def _view(order: SortedRows, asked: WindowRequest, row: int) -> WindowView | None:
    rows = window_of(order, row, asked.window)
    if rows is None:
        return None
    return WindowView(
        [asked.values[k] for k in rows],
        [order.times[k] for k in rows],
        order.times[row],
        asked.values[row],
        rows.index(row) if row in rows else None,
    )


def value_of(view: WindowView, asked: WindowRequest, time: DType, which: int, row: int) -> Any:
    """Return the value of a function over a window in one row; None if missing.

    Raises OverFailed(which, row) if the value does not fit its type.
    """
    function = OVER_FUNCTIONS[asked.function]
    n_present = sum(value is not None for value in view.values)
    if not function.counts and n_present < asked.window["min_samples"]:
        return None
    try:
        value = function.value(view, asked.params, asked.dtype, time)
    except Overflow as error:
        raise OverFailed(which, row, function.too_large or str(error), Overflow) from None
    return None if value is None or value != value else value


def _of_aggregate(
    name: str,
    statistics: tuple[str, ...] = (),
    requests: Requests | None = None,
    joined: Literal["difference", "between"] | None = None,
    too_large: str | None = None,
) -> WindowFunction:
    """Return the table row of a window function that is also an aggregate of training rows."""
    aggregate = AGGREGATES[name]

    def result(dtype: DType, params: Mapping[str, Any]) -> DType:
        return aggregate.result(dtype, tuple(sorted(params.items())))

    def reference(view: WindowView, params: Mapping[str, Any], dtype: DType) -> Any:
        return aggregate.reference(view.values, tuple(sorted(params.items())), dtype)

    return WindowFunction(
        *(result, statistics or (name,), requests or asks(name), reference, joined),
        parameters=aggregate.parameters,
        too_large=too_large,
        tells_number=aggregate.tells_number,
    )


def _same(dtype: DType, params: Mapping[str, Any]) -> DType:
    if dtype.is_list or dtype in NEVER_COLUMNS:
        raise TypeMismatch(f"needs text, numbers, bools, dates or times, got {dtype}")
    return comparable(dtype)


def _seconds(dtype: DType, params: Mapping[str, Any]) -> DType:
    """Return the type of a "time since": float64 seconds, or integer steps for integer times."""
    if not (dtype.is_integer or dtype.name in ("timestamp", "date32", "date64")):
        raise TypeMismatch(f"needs a timestamp, a date or a whole number, got {dtype}")
    return FLOAT64 if dtype.is_temporal else INT64


def _mean(params: Mapping[str, Any], dtype: DType, time: DType) -> tuple[StatisticRequest, ...]:
    return (("whole_mean" if dtype.name == "duration" else "mean", {}),)


def _null_count(
    params: Mapping[str, Any], dtype: DType, time: DType
) -> tuple[StatisticRequest, ...]:
    return ("count", {}), ("n_rows", {})


def _quantile(params: Mapping[str, Any], dtype: DType, time: DType) -> tuple[StatisticRequest, ...]:
    """Return the kernel statistics for a quantile: three to interpolate durations, else one."""
    if not dtype.is_temporal:
        return (("quantile", params),)
    if params["interpolation"] in STATISTICS["whole_quantile"].interpolations:
        return (("whole_quantile", params),)
    low, high = ({"q": params["q"], "interpolation": end} for end in ("lower", "higher"))
    return ("whole_quantile", low), ("whole_quantile", high), ("count", {})


def _since(name: str) -> Requests:
    def requests(
        params: Mapping[str, Any], dtype: DType, time: DType
    ) -> tuple[StatisticRequest, ...]:
        since = seconds_per_tick(dtype) if dtype.is_temporal else (1, 0)
        return ((name, {**params, "since": since}),)

    return requests


_N_BACK = (
    Parameter(
        "n", Whole(1, LONGEST), "Position of the row from the end of the window; 1 is the latest", 1
    ),
)

_UNTIL = "For the time until its first row, write col('t').first(over=...) - col('t')"

_WRITTEN: dict[str, WindowFunction] = {
    "first": WindowFunction(_same, ("first",), asks("first"), tells_number=False),
    "last": WindowFunction(_same, ("last",), asks("last"), tells_number=False),
    "lag": WindowFunction(
        *(_same, ("lag",), asks("lag")),
        parameters=_N_BACK,
        not_ahead="For its last value, write col('x').last(over=...), or .first(over=...)",
    ),
    "time_since": WindowFunction(
        *(_seconds, ("last",), _since("last")),
        of_times=True,
        too_large=TIME_TOO_LONG,
        not_ahead=_UNTIL,
    ),
    "time_since_lag": WindowFunction(
        *(_seconds, ("lag",), _since("lag")),
        parameters=_N_BACK,
        written=since_lag_text,
        of_times=True,
        too_large=TIME_TOO_LONG,
        not_ahead=_UNTIL,
    ),
    **TRENDS,
}

_OF_AGGREGATES: dict[str, Callable[[], WindowFunction]] = {
    **{name: partial(_of_aggregate, name) for name in AGGREGATES if name in STATISTICS},
    "null_count": partial(
        _of_aggregate, "null_count", ("count", "n_rows"), _null_count, "difference"
    ),
    "sum": partial(_of_aggregate, "sum", too_large=SUM_TOO_LARGE),
    "mean": partial(_of_aggregate, "mean", ("mean", "whole_mean"), _mean),
    "quantile": partial(
        _of_aggregate, "quantile", ("quantile", "whole_quantile", "count"), _quantile, "between"
    ),
}
OVER_FUNCTIONS = RowsOnFirstUse(_WRITTEN, _OF_AGGREGATES)
"""Functions over windows. Every aggregate that has a kernel statistic of its name is one."""


def function_over(call: Call) -> WindowFunction:
    return OVER_FUNCTIONS[call.function.removeprefix(OVER)]


def _order_result(types: Sequence[DType], params: Mapping[str, Any]) -> DType:
    time, keys = types[0], types[1 : 1 + params["n_keys"]]
    for key in keys:
        if key.is_list or key in NEVER_COLUMNS:
            raise TypeMismatch(f"by= needs text, numbers, bools, dates or times, got {key}")
    if params["has_tie"]:
        check_tie(types[-1])
    return order_of_time(time)


def check_tie(dtype: DType) -> None:
    """Raise TypeMismatch if values of a type cannot order rows of equal times."""
    if not (dtype.is_number or dtype.is_temporal):
        raise TypeMismatch(f"tie= needs numbers, dates or times, got {dtype}")


def order_of_time(time: DType) -> DType:
    """Return the type of the node that orders rows by times of type `time`.

    Raises TypeMismatch if the type is not a type of times.
    """
    if time.name in ("date32", "date64", "timestamp"):
        return ORDER_OF_TIMES
    if time.is_integer and time.name != "uint64":
        return ORDER_OF_INTEGERS
    hint = ""
    if time == UTF8:
        hint = ". Parse text first: .str.to_datetime(format)"
    elif time.is_number and time != BOOL:
        hint = ". Cast whole numbers first: .cast('int64')"
    raise TypeMismatch(f"time= needs a timestamp, a date or whole numbers, got {time}{hint}")


def window_params(window: Call) -> Mapping[str, Any]:
    """Return the parameters of a window node, for a window of earlier or of later rows.

    A window "ahead", of later rows, becomes one that looks back from a later moment, by a negative
    offset: a row at t sees times after t + gap, up to and including t + gap + next. It never sees
    itself. Of rows with equal times it sees all or none.
    """
    given = dict(window.params)
    if window.function != "ahead":
        return given
    return {
        "last": given["next"],
        "offset": -(given["gap"] + given["next"]),
        "closed": "right",
        "rows": None,
        "min_samples": 0,
        "unit": given["unit"],
    }


def _window_result(types: Sequence[DType], params: Mapping[str, Any]) -> DType:
    wanted = {"time": ORDER_OF_TIMES, "steps": ORDER_OF_INTEGERS}.get(params["unit"], types[0])
    if wanted != types[0]:
        given, write = (
            ("durations", f"a whole number, such as {_written(params, 28)}")
            if params["unit"] == "time"
            else ("whole numbers", f"a duration, such as {_written(params, '7d')}")
        )
        if "rows" in params and params["unit"] == "steps":
            write += "; rows=7 keeps seven rows"
        kind = "whole numbers" if types[0] == ORDER_OF_INTEGERS else "dates or timestamps"
        raise TypeMismatch(f"{_reach_names(params)} {given}, but time= has {kind}. Write {write}")
    return WINDOW


def _check_window(window: Call, types: Mapping[Node, DType]) -> None:
    """Raise TypeMismatch if a window lies between two ticks of the time, so is always empty."""
    (order,) = window.args
    assert isinstance(order, Call)
    times = [types[query_of(order)[0]], *(types[time] for time in table_columns_of(order)[:1])]
    if not all(time.is_temporal for time in times):
        return
    finest = min(times, key=tick_ns)
    given, tick = window_params(window), tick_ns(finest)
    found = ticks_window(given, finest)
    if found.own or found.low <= found.high:
        return
    least = -(-given["last"] // tick) * tick + (tick if given["closed"] == "neither" else 0)
    write = _written(dict(window.params), duration_text(least))
    raise TypeMismatch(
        f"the window is always empty: it is {duration_text(given['last'])} long, but the time, "
        f"{finest}, has steps of {duration_text(tick)}. Write {write}, or use a finer time"
    )


def _reach_names(window: Mapping[str, Any]) -> str:
    """Return the window's parameters that are durations or step counts, as text with a verb."""
    if "next" in window:
        return "next= and gap= are"
    has_own = window["last"] or window["offset"]
    return "last= and offset= are" if has_own else "half_life= and the gap are"


def _written(window: Mapping[str, Any], reach: object) -> str:
    return f"{'next' if 'next' in window else 'last'}={reach!r}"


def _never(args: Sequence[Argument], params: Mapping[str, Any], n_rows: int) -> list[Any]:
    raise AssertionError("windows are computed of many rows at once: WindowTask")


def _over_step(function: WindowFunction) -> StepFunction:
    def result(types: Sequence[DType], params: Mapping[str, Any]) -> DType:
        return function.result(_same(types[0], params), params)

    return StepFunction(
        result,
        _never,
        parameters=function.parameters,
        n_args=2,
        ends_with=("ahead", "window"),
        belongs=_is_over,
        written=function.written or over_text,
    )


def _is_order(call: Call) -> bool:
    params = dict(call.params)
    return len(call.args) == 1 + params["n_keys"] + params["has_tie"]


def _is_window(call: Call) -> bool:
    (order,) = call.args
    params = dict(call.params)
    has_unit = params["last"] is not None or params["offset"] > 0
    return (
        isinstance(order, Call)
        and order.function in ("order", "table_order")
        and (params["unit"] is not None or not has_unit)
    )


def _is_ahead(call: Call) -> bool:
    (order,) = call.args
    params = dict(call.params)
    end, reach = params["end"], params["next"] + params["gap"]
    has_end = end is None or params["unit"] == "time" or -LONGEST <= end <= LONGEST
    is_order = isinstance(order, Call) and order.function in ("order", "table_order")
    return is_order and has_end and reach <= LONGEST


def _is_over(call: Call) -> bool:
    """Return whether the arguments of "over.*" are a value and a window that suits the function."""
    function = OVER_FUNCTIONS.get(call.function.removeprefix(OVER))
    match call.args:
        case (_, Call("window", _, window)) if function is not None:
            given = dict(window)
            is_whole = given["last"] is None and given["rows"] is None
            fits = is_whole or not function.of_all_past
            fits &= not (function.reads_own and is_over_table(call))
            return fits
        case (_, Call("ahead")) if function is not None:
            return not function.looks_back
        case _:
            return False


_REACH = Whole(0, LONGEST)
_MOMENT = Whole(-62_135_596_800 * 10**9, 253_402_300_800 * 10**9 - 1)
"""Moments of the years 1 to 9999, in nanoseconds."""
OF_ORDERS = (
    Parameter("n_keys", Whole(0), user_name=None),
    Parameter("has_tie", BoolChoice(), user_name=None),
)

_OF_WINDOWS: dict[str, StepFunction] = {
    "ahead": StepFunction(
        _window_result,
        _never,
        ends_with=ORDERS,
        belongs=_is_ahead,
        check=_check_window,
        written=ahead_text,
        parameters=(
            Parameter("next", Whole(1, LONGEST), "Length of the window, in nanoseconds or steps"),
            Parameter(
                "gap",
                _REACH,
                "Time from the row to the beginning of the window, in nanoseconds or steps",
                0,
                hidden=True,
            ),
            Parameter(
                "end",
                _MOMENT,
                "Moment until which events are recorded, in nanoseconds since 1970 or "
                "steps; None for the last time of the rows",
                None,
                or_none=True,
                hidden=True,
            ),
            Parameter("unit", UNIT, user_name=None),
        ),
    ),
    "order": StepFunction(
        _order_result,
        _never,
        n_args=None,
        belongs=_is_order,
        tells_apart=True,
        written=order_text,
        parameters=OF_ORDERS,
    ),
    "window": StepFunction(
        _window_result,
        _never,
        ends_with=ORDERS,
        belongs=_is_window,
        check=_check_window,
        written=window_text,
        parameters=(
            Parameter(
                "last",
                Whole(1, LONGEST),
                "Length of the window, in nanoseconds or steps; None reaches back to the first row",
                None,
                or_none=True,
                hidden=True,
            ),
            Parameter(
                "rows",
                Whole(1, LONGEST),
                "Maximum number of rows, the latest ones; None keeps all",
                None,
                or_none=True,
                hidden=True,
            ),
            Parameter(
                "offset",
                _REACH,
                "Time from the end of the window to the row, in nanoseconds or steps",
                0,
                hidden=True,
            ),
            Parameter(
                "closed",
                TextChoice(get_args(WindowEnds)),
                "Ends that belong to the window; `left` leaves out the later end",
                "left",
                hidden=True,
            ),
            Parameter(
                "min_samples",
                _REACH,
                "Minimum number of values; with fewer the result is missing, unless it is a count",
                0,
                hidden=True,
            ),
            Parameter("unit", UNIT, or_none=True, user_name=None),
        ),
    ),
}
STEPS = RowsOnFirstUse(
    _OF_WINDOWS,
    {OVER + name: lambda name=name: _over_step(OVER_FUNCTIONS[name]) for name in OVER_FUNCTIONS},
)
