"""Windows: what an entity's own earlier rows tell, in training and later alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fastfeat.calls.arguments import explaining
from fastfeat.calls.completion import offering
from fastfeat.calls.recording import Recipe, carrier, recording
from fastfeat.errors import InvalidPlan, TypeMismatch
from fastfeat.expr import Expr, call, col, when
from fastfeat.ir.durations import length_text
from fastfeat.ir.node import Call, Literal, Node, params_of
from fastfeat.ir.parameters import LONGEST, Closed
from fastfeat.ir.scope import OVER, table_columns_of
from fastfeat.ir.show import show
from fastfeat.ir.writing import Texts, Writer
from fastfeat.operators import lookup
from fastfeat.operators.durations import Duration, resolve_duration, too_long
from fastfeat.operators.keys import Keys, keys_of
from fastfeat.operators.operator import checked, parameters_of

if TYPE_CHECKING:
    from fastfeat.operators.lookup import By


@offering()
@carrier
@dataclass(frozen=True, slots=True)
class Window:
    """Some of an entity's rows before the row's own moment; made by `window`.

    Args:
        node: as it stands in a plan.
        recipe: how it was written.
    """

    node: Call
    recipe: Recipe | None = field(default=None, compare=False, repr=False)

    def __repr__(self) -> str:
        """Return the window as it is written."""
        return show(self.node)


@recording("ff.window", always=True)
@explaining
def window(
    last: Duration | None = None,
    *,
    time: str | Expr,
    by: Keys | By | None = None,
    rows: int | None = None,
    offset: Duration | None = None,
    closed: Closed = "left",
    min_samples: int = 0,
    tie: str | Expr | None = None,
    table: str | None = None,
    right_time: str | None = None,
) -> Window:
    """Return a window over the earlier rows of the entity that a row belongs to.

    A row at time t looks from t' = t - offset: "left" takes the rows in [t' - last, t'), "right"
    those in (t' - last, t'], "both" and "neither" as they say. The rows of an entity stand in the
    order of time, then of `tie`, then as they come in; where "right" or "both" take the moment t
    itself, they take the row and those before it in that order, none behind it. Rows come in any
    order. A row whose time or key is missing has no window, and is in none. Windows over the same
    entity and time share one order of the rows, which `plan.explain()` shows.

    With `table` the rows of a table feed the window, and the data's rows only ask: what stands
    before `over=` reads columns of the table, and a row of the data at t sees the table's rows of
    its key. It is none of them itself: "right" and "both" take all that stand at the moment t', as
    with an offset. The table is passed at each call, `plan.fit(data, tables={"logins": logins})`,
    in any order, and never stored; it is its own past, which `history=` adds nothing to.

    Args:
        last: how far the window reaches back: a text such as "7d", "90m" or "1h30m" (units ns, us,
            ms, s, m, h, d of 24 hours, w), a timedelta, or for whole-number times a whole number;
            None reaches back to the entity's first row: with closed="right" aggregates are the
            cumulative ones.
        time: the moment of a row: a column, or an expression, of timestamps, dates or whole
            numbers. Over late columns one that never runs ahead: a column, or what rounds it down,
            casts it or moves it by a constant; and of windows in each other the same.
        by: the entity: one key or several, names or expressions; None where all rows are one's.
            With a table also a mapping from columns of the data, or expressions, to columns of the
            table.
        rows: how many of the latest rows in the window are kept.
        offset: how long before the row's own moment the window ends; for labels that come late, or
            for "28 days ago".
        closed: which ends belong to the window.
        min_samples: with fewer values than this in the window a result is missing; counts are not.
        tie: what orders rows of one instant: a column, or an expression, of numbers or times; of a
            table, one of its columns.
        table: the name of the table in `tables=` whose rows are in the window; None for the data.
        right_time: the column of the table that says when; None for the name that `time` is.

    Raises:
        InvalidPlan: a duration of months or years, one that is negative or zero, a mixture of
            durations and whole numbers, another `closed`.
        TypeMismatch: something else than a duration, a name or an expression.

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
        raise InvalidPlan(f"window(last={last!r}): a window that reaches back nothing has no rows")
    if (reach or 1) + (back or 0) > LONGEST:  # an end may lie a step before the offset
        raise InvalidPlan(
            f"window(last={last!r}, offset={offset!r}): reaches back {too_long(unit)} in all"
        )
    units = {one for one in (unit, unit_of_offset) if one is not None}
    if len(units) > 1:
        raise InvalidPlan(
            f"window(last={last!r}, offset={offset!r}): one is a duration and the other a whole "
            "number. Write both in the kind of the time"
        )
    node = call(
        "window",
        resolve_order("window", time, by, tie, table, right_time),
        last=reach,
        offset=back or 0,
        **checked(
            "window", parameters_of("window"), rows=rows, closed=closed, min_samples=min_samples
        ),
        unit=next(iter(units), None),
    )
    assert isinstance(node.node, Call)
    return Window(node.node)


def resolve_order(
    told: str, time: Any, by: Any, tie: Any, table: str | None, right_time: str | None
) -> Expr:
    """Return the order of the rows that a window sees: of the data itself, or of a table.

    Args:
        told: what has the arguments, for messages; they are those of `window`.
        time: the moment of a row.
        by: the entity.
        tie: what orders rows of one instant.
        table: the name of a table.
        right_time: its time.
    """
    moment = _part(told, "time", time)
    if table is not None:
        return Expr((lookup.table_order(told, table, time, right_time, by, tie),))
    if right_time is not None:
        raise InvalidPlan(
            f"{told}(right_time={right_time!r}): is the time of a table: give its name too, table="
        )
    if isinstance(by, Mapping):
        raise InvalidPlan(
            f"{told}(by={by!r}): a mapping names columns of a table: give its name too, table="
        )
    keys = [] if by is None else keys_of(told, by)
    parts = [moment, *keys, *([] if tie is None else [_part(told, "tie", tie)])]
    return call("order", *parts, n_keys=len(keys), has_tie=tie is not None)


def _part(told: str, name: str, given: Any) -> Expr:
    if not isinstance(given, str | Expr):
        raise TypeMismatch(f"{told}({name}={given!r}): takes the name of a column or an expression")
    return col(given) if isinstance(given, str) else given


def over_window(function: str, x: Expr, over: Any, **params: Any) -> Expr:
    """Return a function of the rows of x in a window.

    Args:
        function: of `steps.windows.rows.OVER_FUNCTIONS`.
        x: what it is of.
        over: the window.
        params: of the function.
    """
    told = f"{x!r}.{function}"
    chosen = resolve_window(told, over)
    refuse_ahead(function, chosen)
    if lookup.sees_table(chosen.node):
        x = lookup.in_table(told, x, chosen.node)
    return call(f"over.{function}", x, Expr((chosen.node,)), **params)


def resolve_window(told: str, over: Any) -> Window:
    """Return a window that a user gave.

    Raises:
        TypeMismatch: it is none.
    """
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
            f"time='t'). What is learnt from all training rows of a key is by={over!r}"
        )
    raise TypeMismatch(f"{told}(over={over!r}): takes a window, such as ff.window('7d', time='t')")


def refuse_ahead(function: str, over: Any, instead: str | None = None) -> None:
    """Raise where a function that looks back is asked of the rows ahead.

    Args:
        function: its name.
        over: the window, or something else that was given as one.
        instead: what to write of rows ahead; None where the row of the function says it, or that it
            does not look back.

    Raises:
        InvalidPlan: it is one ahead.
    """
    if not isinstance(over, Window) or over.node.function != "ahead":
        return
    from fastfeat.steps.windows.rows import OVER_FUNCTIONS  # imports NumPy, as every plan does

    instead = OVER_FUNCTIONS[function].not_ahead if instead is None else instead
    if instead is not None:
        raise InvalidPlan(
            f"{function}(over={over!r}): looks back from a row, and the window is ahead of it. "
            f"{instead}"
        )


def lag(x: Expr, n: int = 1, *, over: Window) -> Expr:
    """Return the value of the n-th latest row of a window; missing where it has fewer rows.

    Args:
        x: values of any type but lists; the type is kept.
        n: 1 for the latest row.
        over: the window; its `rows` need not be given.

    Example:
        >>> col("x").lag(1, over=ff.window(time="t", by="card"))
        col('x').lag(n=1, over=ff.window(by='card', time='t'))
    """
    try:
        given = checked("lag", parameters_of("over.lag"), n=n)
    except InvalidPlan as error:
        later = "Later rows are for labels: .last(over=ff.ahead('30m', ...))"
        raise InvalidPlan(f"{error}. {later}" if str(n).startswith("-") else str(error)) from None
    return over_window("lag", x, over, **given)


def first(x: Expr, *, over: Window) -> Expr:
    """Return the earliest value in a window; missing of no values.

    Args:
        x: values of any type but lists; the type is kept.
        over: the window.

    Example:
        >>> col("x").first(over=ff.window("7d", time="t"))
        col('x').first(over=ff.window('7d', time='t'))
    """
    return over_window("first", x, over)


def last(x: Expr, *, over: Window) -> Expr:
    """Return the latest value in a window; missing of no values.

    Args:
        x: values of any type but lists; the type is kept.
        over: the window.

    Example:
        >>> col("x").last(over=ff.window("7d", time="t"))
        col('x').last(over=ff.window('7d', time='t'))
    """
    return over_window("last", x, over)


def diff(x: Expr, n: int = 1, *, over: Window) -> Expr:
    """Return the value less that of the n-th latest row of a window.

    Args:
        x: numbers, dates or times.
        n: 1 for the latest row.
        over: the window.

    Example:
        >>> col("x").diff(over=ff.window(time="t"))
        (col('x') - col('x').lag(n=1, over=ff.window(time='t')))
    """
    _refuse_change("diff", over, "col('x').last(over=...) - col('x')")
    return x - lag(x, n, over=over)


def pct_change(x: Expr, n: int = 1, *, over: Window) -> Expr:
    """Return the relative change of the value from that of the n-th latest row of a window.

    Args:
        x: numbers.
        n: 1 for the latest row.
        over: the window.

    Example:
        >>> col("x").pct_change(over=ff.window(time="t"))
        ((col('x') / col('x').lag(n=1, over=ff.window(time='t'))) - 1)
    """
    _refuse_change("pct_change", over, "col('x').last(over=...) / col('x') - 1")
    return x / lag(x, n, over=over) - 1


def _refuse_change(function: str, over: Any, ahead: str) -> None:
    """Raise where the value that changes would be one of a table, or its window is ahead."""
    refuse_ahead(function, over, f"Write the change itself: {ahead}")
    if isinstance(over, Window):
        instead = "Compare a column of the data with the table's: col('x') - col('y').lag(1, over=)"
        lookup.refuse_own_value(function, over.node, instead)


def any(x: Expr, *, over: Window) -> Expr:  # the name of Polars
    """Return whether any value in a window is true; missing of no values.

    Args:
        x: bools, or numbers, of which 0 is false; missing ones are skipped.
        over: the window.

    Example:
        >>> plan = ff.Plan({"any": (col("x") > 1).any(over=ff.window(time="t"))})
        >>> plan.fit_transform({"t": [1, 2, 3], "x": [0, 5, 0]})[1]["any"].to_pylist()
        [None, False, True]
    """
    return over_window("max", x.cast("bool"), over)


def all(x: Expr, *, over: Window) -> Expr:  # the name of Polars
    """Return whether all values in a window are true; missing of no values.

    Args:
        x: bools, or numbers, of which 0 is false; missing ones are skipped.
        over: the window.

    Example:
        >>> plan = ff.Plan({"all": (col("x") > 1).all(over=ff.window(time="t"))})
        >>> plan.fit_transform({"t": [1, 2, 3], "x": [5, 0, 0]})[1]["all"].to_pylist()
        [None, True, False]
    """
    return over_window("min", x.cast("bool"), over)


@recording("ff.count")
@explaining
def count(*, over: Window) -> Expr:
    """Return the number of rows in a window.

    Args:
        over: the window.

    Example:
        >>> ff.count(over=ff.window("1h", time="t"))
        col('t').count(over=ff.window('1h', time='t'))
    """
    chosen = resolve_window("count", over)
    return over_window("count", _time_of(chosen), chosen)


def _time_of(over: Window) -> Expr:
    if lookup.sees_table(over.node):
        return lookup.time_of_table(over.node)
    (order,) = over.node.args
    return Expr((order.args[0],))


@recording("ff.time_since_last")
@explaining
def time_since_last(*, over: Window) -> Expr:
    """Return the time since the latest row of a window: seconds, or steps of whole-number times.

    Args:
        over: the window.

    Example:
        >>> ff.time_since_last(over=ff.window(time="t", by="card"))
        ff.time_since_last(over=ff.window(by='card', time='t'))
    """
    chosen = resolve_window("time_since_last", over)
    return over_window("time_since", _time_of(chosen), chosen)


@recording("ff.time_since")
@explaining
def time_since(condition: Expr, *, over: Window) -> Expr:
    """Return the time since the latest row of a window for which a condition held.

    Args:
        condition: bools; a missing one does not hold.
        over: the window.

    Example:
        >>> ff.time_since(col("x") > 100, over=ff.window(time="t", by="card"))
        ff.time_since(col('x') > 100, over=ff.window(by='card', time='t'))
    """
    chosen = resolve_window("time_since", over)
    moments = when(condition).then(_time_of(chosen)).otherwise(None)
    return over_window("time_since", moments, chosen)


@recording("ff.session_id")
@explaining
def session_id(gap: Duration, *, over: Window) -> Expr:
    """Return the number of the session of a row, from 0: a new one begins after a gap.

    Args:
        gap: how long without a row ends a session: longer than this begins another.
        over: the window that says what the entity is; all of its past counts.

    Raises:
        InvalidPlan: the window is bounded or asks for values, or `gap` is no duration.

    Example:
        >>> visits = ff.window(time="t", by="user")
        >>> plan = ff.Plan({"session": ff.session_id(10, over=visits)})
        >>> plan.fit_transform({"t": [0, 5, 30, 31], "user": [*"aaaa"]})[1]["session"].to_pylist()
        [0, 0, 1, 1]
    """
    chosen = resolve_window("session_id", over)
    refuse_ahead("session_id", chosen, "Count the rows in it: ff.count(over=...)")
    lookup.refuse_own_value(
        "session_id", chosen.node, "Number the sessions in the table, and take the .last(over=)"
    )
    given = dict(chosen.node.params)
    if given["last"] or given["rows"] or given["offset"] or given["min_samples"]:
        raise InvalidPlan(
            f"session_id(over={chosen!r}): counts the sessions of all of an entity's past. Leave "
            "last, rows, offset and min_samples of the window out"
        )
    longest, unit = resolve_duration(f"session_id(gap={gap!r})", gap)
    if longest is None:
        raise TypeMismatch("session_id(gap=None): takes a duration, such as '30m'")
    limit = longest / 10**9 if unit == "time" else longest
    so_far = _with_own_row(chosen, unit)
    since = over_window("time_since_lag", _time_of(chosen), so_far, n=2)
    return over_window("sum", (since > limit).fill_null(False), so_far)


def _with_own_row(over: Window, unit: str | None) -> Window:
    """Return all of an entity's past up to the row itself, of times in a unit."""
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
"""What expressions have as methods, besides the aggregates that take `over=`."""


def _time_since_text(node: Call, texts: Texts) -> str | None:
    """Return the text of the time since the latest of some moments."""
    match node.args:
        case (moment, Call("window") as window) if _is_time(moment, window):
            return f"ff.time_since_last(over={texts[window]})"
        case (Call("when", (held, time, Literal(None))), Call("window") as window) if _is_time(
            time, window
        ):
            return f"ff.time_since({texts.bare(held)}, over={texts[window]})"
        case (moment, Call("window") as window):  # of a plan that someone has altered
            return f"time_since({texts[moment]}, over={texts[window]})"
        case _:
            return None


def _is_time(moment: Node, window: Call) -> bool:
    """Return whether an expression is the time of the rows in a window."""
    match window.args:
        case (Call("order", (time, *_)),):
            return moment is time
        case (Call("table_order") as order,):
            return moment is table_columns_of(order)[0]
        case _:
            return False


def _session_text(node: Call, texts: Texts) -> str | None:
    """Return the text of the number of a session, which counts the rows that begin one."""
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
    if params["closed"] == "right":  # as of `_with_own_row`
        over = Call("window", over.args, params_of(**{**params, "closed": "left"}))
    return f"ff.session_id({gap}, over={texts.of_changed(over)})"


def _limit_of_session(begins: Node, over: Node) -> Any:
    """Return the gap after which rows begin a session, of all rows up to one; None of no gap."""
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
"""How functions of the time of rows are written, by the function of their last node."""
