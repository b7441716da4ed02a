"""`asof`: what a table, passed beside the data, had for the key of a row at the row's moment."""

from __future__ import annotations

from fastfeat.arguments import explaining
from fastfeat.errors import InvalidPlan, TypeMismatch
from fastfeat.expr import Expr
from fastfeat.ir.node import Call, Column, TableColumn, params_of
from fastfeat.operators.durations import Duration, duration_given
from fastfeat.operators.lookup import By, Lookup, pairs_of
from fastfeat.operators.parameters import checked, parameters_of
from fastfeat.recording import recording


@recording("ff.asof", always=True)
@explaining
def asof(
    table: str,
    *,
    time: str | Expr,
    right_time: str | None = None,
    by: By | None = None,
    tolerance: Duration | None = None,
    delay: Duration | None = None,
    allow_exact_matches: bool = True,
) -> Lookup:
    """Return the latest row of a table that was known at a row's moment; take columns with `.col`.

    The table is passed at each call, `plan.fit(data, tables={"weather": weather})`, in any order,
    and never stored. A row of it is known from its time plus `delay` on. Of rows of one key and
    time the last one wins, even where its value is missing. A missing time or key matches nothing.

    Times compare as instants, exactly, whatever their units and zones; a date is its midnight. A
    time with a zone and one without are not compared, nor are times and whole numbers.

    Args:
        table: the name of the table in `tables=`.
        time: the moment of a row of the data: a column, or an expression, of timestamps, dates or
            whole numbers.
        right_time: the column of the table that says when; None for the name that `time` is.
        by: the key: the name of a column that both have, a list of them, or a mapping from columns
            of the data, or expressions, to columns of the table; None for no key.
        tolerance: how old a row of the table may be at most, such as "3h", counted from its time,
            not from when it is known: one below `delay` matches nothing. None for any age.
        delay: how long after its time a row of the table is known.
        allow_exact_matches: whether a row that is known at the very moment counts.

    Raises:
        InvalidPlan: no key in `by`, or a duration that is none, or below zero.
        TypeMismatch: something that is no name.

    Example:
        >>> plan = ff.Plan({"temp": ff.asof("weather", by="city", time="t").col("temp")})
        >>> weather = {"city": ["x", "x"], "t": [10, 20], "temp": [1.5, 2.5]}
        >>> data = {"city": ["x", "x", "y"], "t": [19, 20, 20]}
        >>> plan.fit_transform(data, tables={"weather": weather})[1]["temp"].to_pylist()
        [1.5, 2.5, None]
    """
    told = f"asof({table!r}"
    if not isinstance(table, str):  # pyright: ignore[reportUnnecessaryIsInstance]  # user input
        raise TypeMismatch(f"asof() takes the name of a table, got {table!r}")
    if not isinstance(time, str | Expr):  # pyright: ignore[reportUnnecessaryIsInstance]  # user input
        raise TypeMismatch(f"{told}, time={time!r}): takes the name of a column or an expression")
    moment = Column(time) if isinstance(time, str) else time.node
    if right_time is None:
        if not isinstance(moment, Column):
            raise InvalidPlan(f"{told}, time={time!r}): name the time of the table: right_time=")
        right_time = moment.name
    if not isinstance(right_time, str):  # pyright: ignore[reportUnnecessaryIsInstance]  # user input
        raise TypeMismatch(f"{told}, right_time={right_time!r}): takes the name of a column")
    pairs = [] if by is None else pairs_of(f"{told}, by={by!r})", by)
    oldest, unit = duration_given(f"{told}, tolerance={tolerance!r})", tolerance)
    later, unit_of_delay = duration_given(f"{told}, delay={delay!r})", delay)
    units = {one for one in (unit, unit_of_delay) if one is not None}
    if len(units) > 1:
        raise InvalidPlan(
            f"{told}, tolerance={tolerance!r}, delay={delay!r}): one is a duration and the other a "
            "whole number. Write both in the kind of the time"
        )
    left = [Column(key) if isinstance(key, str) else key.node for key, _ in pairs]
    right = [TableColumn(table, name) for _, name in pairs]
    params = params_of(
        tolerance=oldest,
        delay=later or 0,
        **checked("asof", parameters_of("asof_row"), allow_exact_matches=allow_exact_matches),
        unit=next(iter(units), None),
    )
    args = (moment, *left, TableColumn(table, right_time), *right)
    return Lookup(table, Call("asof_row", args, params))
