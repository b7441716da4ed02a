"""Windows over an entity's own earlier rows, and functions of the rows in them.

An entity is, for example, a customer; its key is given as `by=`. A window gives the same values in
training and in later calls.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from fastfeat_kernels.records import dataclass

from fastfeat.calls.arguments import with_argument_errors
from fastfeat.calls.completion import with_completion
from fastfeat.errors import InvalidPlan, TypeMismatch
from fastfeat.expr import Expr, call, col, when
from fastfeat.ir.durations import length_text
from fastfeat.ir.node import Call, Literal, Node, params_of
from fastfeat.ir.parameters import LONGEST, WindowEnds
from fastfeat.ir.scope import OVER, sees_table, table_columns_of
from fastfeat.ir.show import show
from fastfeat.ir.writing import Texts, Writer
from fastfeat.operators import lookup
from fastfeat.operators.durations import Duration, describe_limit, resolve_duration
from fastfeat.operators.keys import KeyColumns, resolve_keys
from fastfeat.operators.operator import check_parameters, parameters_of

if TYPE_CHECKING:
    from fastfeat.operators.lookup import LookupKeys


@with_completion()
@dataclass(frozen=True, slots=True)
class Window:
    """The definition of the rows that each row sees, by time; made by `window` and `ahead`.

    Args:
        node: The plan node of the window.
    """

    node: Call

    def __repr__(self) -> str:
        """Return the window as Python source."""
        return show(self.node)


@with_argument_errors
def window(
    last: Duration | None = None,
    *,
    time: str | Expr,
    by: KeyColumns | LookupKeys | None = None,
    rows: int | None = None,
    offset: Duration | None = None,
    closed: WindowEnds = "left",
    min_samples: int = 0,
    tie: str | Expr | None = None,
    table: str | None = None,
    right_time: str | None = None,
) -> Window:
    """Return a window over the earlier rows of the entity that a row belongs to.

    A row at time t looks back from t' = t - offset. `closed` says which ends count: "left" is
    [t' - last, t'), "right" is (t' - last, t'], "both" is [t' - last, t'] and "neither" is
    (t' - last, t'). The rows of an entity are ordered by time, then by `tie`, then by position in
    the data; the data itself may come in any order. If "right" or "both" include the moment t
    itself, the window holds the row and the rows before it in that order, none after it. A row
    with a missing time or key has no window and is in no other row's window. Windows over the same
    entity and time share one ordering of the rows, which `plan.explain()` shows.

    With `table` the window holds rows of that table instead of rows of the data. The expression
    before `over=` then reads columns of the table, and a row of the data at t sees the table's
    rows of its key. The data's row is not part of the table, so "right" and "both" include all
    table rows at the moment t'; the same holds with an offset. Pass the table at each call,
    `plan.fit(data, tables={"logins": logins})`, in any order. It is never stored. The table
    contains its own past; `history=` adds nothing to it.

    Args:
        last: How far the window reaches back: a text such as "7d", "90m" or "1h30m" (units ns, us,
            ms, s, m, h, d of 24 hours, w), a timedelta, or a whole number if times are whole
            numbers. None reaches back to the entity's first row; with closed="right" this gives
            cumulative aggregates.
        time: Time of each row: a column or expression of timestamps, dates or whole numbers. In
            windows over late columns, which are known only after the prediction, this must be a
            column, or a column that is rounded down, cast, or moved by a constant. Nested windows
            over late columns must share the same time.
        by: The entity: one or several keys, as names or expressions. None treats all rows as one
            entity. With a table also a mapping from columns of the data, or expressions, to columns
            of the table.
        rows: Keep only this many of the latest rows in the window.
        offset: How long before the row's own time the window ends; for labels that arrive late, or
            for "28 days ago".
        closed: Which ends belong to the window: "left", "right", "both" or "neither".
        min_samples: If the window has fewer values than this, the result is missing. Counts are
            never missing.
        tie: Order of rows with equal times: a column or expression of numbers or times; with a
            table, one of its columns.
        table: Name of the table in `tables=` that supplies the rows. None uses the data.
        right_time: The table's time column. None uses the name of `time`.

    Raises:
        InvalidPlan: A duration has months or years, or is negative or zero; durations and whole
            numbers are mixed; or `closed` is unknown.
        TypeMismatch: An argument is not a duration, a name or an expression.

    Example:
        >>> week = ff.window("7d", time="t", by="card")
        >>> plan = ff.Plan({"spent": col("x").sum(over=week)})
        >>> from datetime import date
        >>> days = [date(2024, 1, d) for d in (1, 5, 20)]
        >>> data = {"t": days, "card": ["a", "a", "a"], "x": [1.0, 2.0, 4.0]}
        >>> plan.fit_transform(data)[1]["spent"].to_pylist()
        [0.0, 1.0, 0.0]
        >>> seen = ff.window(2, time="t", by={"user": "who"}, table="logins")
        >>> plan = ff.Plan({"failed": (col("status") != "ok").sum(over=seen)})
        >>> logins = {"t": [1, 2, 3], "who": ["a", "a", "a"], "status": ["ok", "bad", "bad"]}
        >>> data = {"t": [3, 4, 4], "user": ["a", "a", "b"]}
        >>> plan.fit_transform(data, tables={"logins": logins})[1]["failed"].to_pylist()
        [1, 2, 0]
    """
    reach, unit = resolve_duration(f"window(last={last!r})", last)
    back, unit_of_offset = resolve_duration(f"window(offset={offset!r})", offset)
    if reach is not None and reach == 0:
        raise InvalidPlan(f"window(last={last!r}): a window of length zero has no rows")
    if (reach or 1) + (back or 0) > LONGEST:  # an end may lie a step before the offset
        raise InvalidPlan(
            f"window(last={last!r}, offset={offset!r}): last= and offset= together are "
            f"{describe_limit(unit)}"
        )
    units = {one for one in (unit, unit_of_offset) if one is not None}
    if len(units) > 1:
        raise InvalidPlan(
            f"window(last={last!r}, offset={offset!r}): one is a duration and the other a whole "
            "number. Write both as durations, or both as whole numbers if the time column holds "
            "integers"
        )
    node = call(
        "window",
        resolve_order("window", time, by, tie, table, right_time),
        last=reach,
        offset=back or 0,
        **check_parameters(
            "window", parameters_of("window"), rows=rows, closed=closed, min_samples=min_samples
        ),
        unit=next(iter(units), None),
    )
    assert isinstance(node.node, Call)
    return Window(node.node)


def resolve_order(
    told: str, time: Any, by: Any, tie: Any, table: str | None, right_time: str | None
) -> Expr:
    """Return the order node of a window: the entity and time order of the rows it sees.

    The window sees rows of the data or of a table. `told` is the call as text, for error messages;
    the other arguments are those of `window`.
    """
    moment = _part(told, "time", time)
    if table is not None:
        return Expr((lookup.table_order(told, table, time, right_time, by, tie),))
    if right_time is not None:
        raise InvalidPlan(
            f"{told}(right_time={right_time!r}): names the time column of a table, so table= is "
            "needed too"
        )
    if isinstance(by, Mapping):
        raise InvalidPlan(
            f"{told}(by={by!r}): a mapping names columns of a table, so table= is needed too"
        )
    keys = [] if by is None else resolve_keys(told, by)
    parts = [moment, *keys, *([] if tie is None else [_part(told, "tie", tie)])]
    return call("order", *parts, n_keys=len(keys), has_tie=tie is not None)


def _part(told: str, name: str, given: Any) -> Expr:
    if not isinstance(given, str | Expr):
        raise TypeMismatch(f"{told}({name}={given!r}): takes the name of a column or an expression")
    return col(given) if isinstance(given, str) else given


def over_window(function: str, x: Expr, over: Any, **params: Any) -> Expr:
    """Return the call of a function of x over the rows of a window.

    `function` is a key of `steps.windows.rows.OVER_FUNCTIONS`.
    """
    told = f"{x!r}.{function}"
    chosen = resolve_window(told, over)
    refuse_ahead(function, chosen)
    if sees_table(chosen.node):
        x = lookup.read_in_table(told, x, chosen.node)
    return call(f"over.{function}", x, Expr((chosen.node,)), **params)


def resolve_window(told: str, over: Any) -> Window:
    """Return the user's `over=` as a Window; the error for other values says how to write one."""
    if isinstance(over, Window):
        return over
    if isinstance(over, str) and over[:1].isdigit():
        raise InvalidPlan(
            f"{told}(over={over!r}): over= takes a window: over=ff.window({over!r}, by='key', "
            "time='t')"
        )
    if isinstance(over, str):
        raise InvalidPlan(
            f"{told}(over={over!r}): over= takes a window: over=ff.window('7d', by={over!r}, "
            f"time='t'). To learn from all training rows of each key write by={over!r}"
        )
    raise TypeMismatch(f"{told}(over={over!r}): takes a window, such as ff.window('7d', time='t')")


def refuse_ahead(function: str, over: Any, instead: str | None = None) -> None:
    """Raise InvalidPlan if a window ahead is given to a function that only looks back.

    `instead` tells the user what to write. None takes the text from the function's entry in
    `OVER_FUNCTIONS`, where None means that the function may look ahead.
    """
    if not isinstance(over, Window) or over.node.function != "ahead":
        return
    from fastfeat.steps.windows.rows import OVER_FUNCTIONS  # imports NumPy, as every plan does

    instead = OVER_FUNCTIONS[function].not_ahead if instead is None else instead
    if instead is not None:
        raise InvalidPlan(
            f"{function}(over={over!r}): works only with a window that looks back, and this window "
            f"looks ahead. {instead}"
        )


def lag(x: Expr, n: int = 1, *, over: Window) -> Expr:
    """Return the value of the n-th latest row in a window; missing if there are fewer than n rows.

    Args:
        x: Values of any type except lists; the type is kept.
        n: 1 for the latest row.
        over: The window. It does not need `rows`.

    Example:
        >>> col("x").lag(1, over=ff.window(time="t", by="card"))
        col('x').lag(n=1, over=ff.window(by='card', time='t'))
    """
    try:
        given = check_parameters("lag", parameters_of("over.lag"), n=n)
    except InvalidPlan as error:
        later = "For later rows, in a label only, write .last(over=ff.ahead('30m', ...))"
        raise InvalidPlan(f"{error}. {later}" if str(n).startswith("-") else str(error)) from None
    return over_window("lag", x, over, **given)


def first(x: Expr, *, over: Window) -> Expr:
    """Return the earliest value in a window; missing if it has no values.

    Args:
        x: Values of any type except lists; the type is kept.
        over: The window.

    Example:
        >>> col("x").first(over=ff.window("7d", time="t"))
        col('x').first(over=ff.window('7d', time='t'))
    """
    return over_window("first", x, over)


def last(x: Expr, *, over: Window) -> Expr:
    """Return the latest value in a window; missing if it has no values.

    Args:
        x: Values of any type except lists; the type is kept.
        over: The window.

    Example:
        >>> col("x").last(over=ff.window("7d", time="t"))
        col('x').last(over=ff.window('7d', time='t'))
    """
    return over_window("last", x, over)


def diff(x: Expr, n: int = 1, *, over: Window) -> Expr:
    """Return the row's value minus the value of the n-th latest row in a window.

    Missing if either value is missing or the window has fewer than n rows.

    Args:
        x: Numbers, dates or times.
        n: 1 for the latest row.
        over: The window.

    Example:
        >>> col("x").diff(over=ff.window(time="t"))
        (col('x') - col('x').lag(n=1, over=ff.window(time='t')))
    """
    _refuse_change("diff", over, "col('x').last(over=...) - col('x')")
    return x - lag(x, n, over=over)


def pct_change(x: Expr, n: int = 1, *, over: Window) -> Expr:
    """Return the relative change from the n-th latest row in a window to the row's own value.

    This is x / lag(x, n) - 1. Missing if either value is missing or the window has fewer than n
    rows.

    Args:
        x: Numbers.
        n: 1 for the latest row.
        over: The window.

    Example:
        >>> col("x").pct_change(over=ff.window(time="t"))
        ((col('x') / col('x').lag(n=1, over=ff.window(time='t'))) - 1)
    """
    _refuse_change("pct_change", over, "col('x').last(over=...) / col('x') - 1")
    return x / lag(x, n, over=over) - 1


def _refuse_change(function: str, over: Any, ahead: str) -> None:
    """Raise InvalidPlan for a window over a table, or ahead: a change needs the row's own value.

    `ahead` tells the user what to write for a window ahead.
    """
    refuse_ahead(function, over, f"Write out the change: {ahead}")
    if isinstance(over, Window):
        instead = (
            "Compare a column of the data with one of the table: "
            "col('x') - col('y').lag(1, over=...)"
        )
        lookup.refuse_own_value(function, over.node, instead)


def any(x: Expr, *, over: Window) -> Expr:  # named as in Polars
    """Return whether any value in a window is true; missing if it has no values.

    Args:
        x: Bools, or numbers where 0 is false. Missing values are skipped.
        over: The window.

    Example:
        >>> plan = ff.Plan({"any": (col("x") > 1).any(over=ff.window(time="t"))})
        >>> plan.fit_transform({"t": [1, 2, 3], "x": [0, 5, 0]})[1]["any"].to_pylist()
        [None, False, True]
    """
    return over_window("max", x.cast("bool"), over)


def all(x: Expr, *, over: Window) -> Expr:  # named as in Polars
    """Return whether all values in a window are true; missing if it has no values.

    Args:
        x: Bools, or numbers where 0 is false. Missing values are skipped.
        over: The window.

    Example:
        >>> plan = ff.Plan({"all": (col("x") > 1).all(over=ff.window(time="t"))})
        >>> plan.fit_transform({"t": [1, 2, 3], "x": [5, 0, 0]})[1]["all"].to_pylist()
        [None, True, False]
    """
    return over_window("min", x.cast("bool"), over)


@with_argument_errors
def count(*, over: Window) -> Expr:
    """Return the number of rows in a window.

    Args:
        over: The window.

    Example:
        >>> ff.count(over=ff.window("1h", time="t"))
        col('t').count(over=ff.window('1h', time='t'))
    """
    chosen = resolve_window("count", over)
    return over_window("count", _time_of(chosen), chosen)


def _time_of(over: Window) -> Expr:
    if sees_table(over.node):
        return lookup.time_of_table(over.node)
    (order,) = over.node.args
    return Expr((order.args[0],))


@with_argument_errors
def time_since_last(*, over: Window) -> Expr:
    """Return the time since the latest row in a window; missing if it has no rows.

    The unit is seconds, or steps if times are whole numbers.

    Args:
        over: The window.

    Example:
        >>> ff.time_since_last(over=ff.window(time="t", by="card"))
        ff.time_since_last(over=ff.window(by='card', time='t'))
    """
    chosen = resolve_window("time_since_last", over)
    return over_window("time_since", _time_of(chosen), chosen)


@with_argument_errors
def time_since(condition: Expr, *, over: Window) -> Expr:
    """Return the time since the latest row in a window that met a condition; missing if none did.

    The unit is seconds, or steps if times are whole numbers.

    Args:
        condition: Bools. A missing value counts as false.
        over: The window.

    Example:
        >>> ff.time_since(col("x") > 100, over=ff.window(time="t", by="card"))
        ff.time_since(col('x') > 100, over=ff.window(by='card', time='t'))
    """
    chosen = resolve_window("time_since", over)
    moments = when(condition).then(_time_of(chosen)).otherwise(None)
    return over_window("time_since", moments, chosen)


@with_argument_errors
def session_id(gap: Duration, *, over: Window) -> Expr:
    """Return the number of a row's session within its entity, from 0; long pauses separate them.

    Args:
        gap: Longest pause within a session. A longer pause starts a new one.
        over: The window that names the entity and its time. All of the entity's past is counted.

    Raises:
        InvalidPlan: The window sets `last`, `rows`, `offset` or `min_samples`, or `gap` is not a
            duration.

    Example:
        >>> visits = ff.window(time="t", by="user")
        >>> plan = ff.Plan({"session": ff.session_id(10, over=visits)})
        >>> plan.fit_transform({"t": [0, 5, 30, 31], "user": [*"aaaa"]})[1]["session"].to_pylist()
        [0, 0, 1, 1]
    """
    chosen = resolve_window("session_id", over)
    refuse_ahead("session_id", chosen, "Count the rows in the window: ff.count(over=...)")
    lookup.refuse_own_value(
        "session_id",
        chosen.node,
        "Add the session number to the table as a column, and read it with .last(over=...)",
    )
    given = dict(chosen.node.params)
    if given["last"] or given["rows"] or given["offset"] or given["min_samples"]:
        raise InvalidPlan(
            f"session_id(over={chosen!r}): counts the sessions in an entity's whole past. Leave "
            "out last=, rows=, offset= and min_samples= of the window"
        )
    longest, unit = resolve_duration(f"session_id(gap={gap!r})", gap)
    if longest is None:
        raise TypeMismatch("session_id(gap=None): takes a duration, such as '30m'")
    limit = longest / 10**9 if unit == "time" else longest
    so_far = _with_own_row(chosen, unit)
    since = over_window("time_since_lag", _time_of(chosen), so_far, n=2)
    return over_window("sum", (since > limit).fill_null(False), so_far)


def _with_own_row(over: Window, unit: str | None) -> Window:
    """Return the window with the row itself included, and `unit` as the unit of its times.

    `unit` is "time" or "steps".
    """
    params = {**dict(over.node.params), "closed": "right", "min_samples": 0, "unit": unit}
    return Window(Call("window", over.node.args, params_of(**params)))


METHODS: dict[str, Callable[..., Expr]] = {
    "all": all,
    "any": any,
    "diff": diff,
    "first": first,
    "lag": lag,
    "last": last,
    "pct_change": pct_change,
}
"""Methods of expressions, besides the aggregates that take `over=`."""


def _time_since_text(node: Call, texts: Texts) -> str | None:
    """Return the text of a node as `ff.time_since_last(...)` or `ff.time_since(...)`."""
    match node.args:
        case (moment, Call("window") as window) if _is_time(moment, window):
            return f"ff.time_since_last(over={texts[window]})"
        case (Call("when", (held, time, Literal(None))), Call("window") as window) if _is_time(
            time, window
        ):
            return f"ff.time_since({texts.bare(held)}, over={texts[window]})"
        case (moment, Call("window") as window):  # someone has altered the plan
            return f"time_since({texts[moment]}, over={texts[window]})"
        case _:
            return None


def _is_time(moment: Node, window: Call) -> bool:
    """Return whether an expression is the time by which the rows of a window are ordered."""
    match window.args:
        case (Call("order", (time, *_)),):
            return moment is time
        case (Call("table_order") as order,):
            return moment is table_columns_of(order)[0]
        case _:
            return False


def _session_text(node: Call, texts: Texts) -> str | None:
    """Return the text of a `session_id`: a sum over rows that begin a session; None if not one."""
    match node.args:
        case (Call("fill_null", (begins, _)), over):
            limit = _limit_of_session(begins, over)
        case _:
            return None
    if limit is None:
        return None
    if not isinstance(over, Call) or over.function != "window":  # someone has altered the plan
        return f"{texts[begins]}.sum(over={texts[over]})"
    params = dict(over.params)
    unit = params["unit"]
    gap = length_text(round(limit * 10**9), unit) if unit == "time" else str(limit)
    if params["closed"] == "right":  # set by `_with_own_row`
        over = Call("window", over.args, params_of(**{**params, "closed": "left"}))
    return f"ff.session_id({gap}, over={texts.of_changed(over)})"


def _limit_of_session(begins: Node, over: Node) -> Any:
    """Return the gap that starts a session; None if `session_id` did not build the nodes."""
    match begins:
        case Call("gt", (Call(since, (_, one), (("n", 2),)), Literal(limit))) if (
            since == f"{OVER}time_since_lag" and one is over and isinstance(limit, int | float)
        ):
            return limit
        case _:
            return None


WRITTEN: dict[str, Writer] = {
    f"{OVER}sum": _session_text,
    f"{OVER}time_since": _time_since_text,
}
"""Writers (see `ir.writing`) of functions of the rows' time, by the function of the last node."""
