"""Lookups in tables that users pass beside the data: `lookup` by a key, `asof` by a time.

`lookup` finds the row of a table that has a row's key, `asof` the latest row known at a row's time.
Windows over the rows of a table get their order node here: it names the table's time, key and tie
columns, and the time and key of the data that select rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

from fastfeat_kernels.records import dataclass

from fastfeat.calls.arguments import with_argument_errors, with_method_errors
from fastfeat.calls.completion import with_completion
from fastfeat.errors import InvalidPlan, TypeMismatch
from fastfeat.expr import Expr
from fastfeat.ir.node import (
    Aggregate,
    Call,
    Column,
    Node,
    TableColumn,
    params_of,
    postorder,
    rewrite_nodes,
)
from fastfeat.ir.scope import is_over, sees_table, table_columns_of, table_of
from fastfeat.ir.show import show
from fastfeat.operators.durations import Duration, resolve_duration
from fastfeat.operators.operator import check_parameters, parameters_of

LookupKeys = str | Sequence[str] | Mapping[str, str] | Mapping[Expr, str] | Mapping[str | Expr, str]


@with_completion()
@with_method_errors(lambda found: f"ff.lookup({found.table!r}, ...).")
@dataclass(frozen=True, slots=True)
class Lookup:
    """The row of a table that matches a row of the data; made by `lookup` and `asof`.

    Args:
        table: The name of the table.
        row: The plan node that finds the row.
    """

    table: str
    row: Node

    def __repr__(self) -> str:
        """Return the lookup as Python source.

        Example:
            >>> ff.lookup("planes", by="tailnum")
            ff.lookup('planes', by='tailnum')
        """
        return show(self.row)

    def col(self, name: str) -> Expr:
        """Return a column of the table at the matching row; missing if no row matches.

        Args:
            name: Name of a column of numbers, bools, dates, times or text.

        Example:
            >>> ff.lookup("planes", by="tailnum").col("seats") / 2
            (ff.lookup('planes', by='tailnum').col('seats') / 2)
        """
        if not isinstance(name, str):  # pyright: ignore[reportUnnecessaryIsInstance]  # user input
            raise TypeMismatch(f"lookup(...).col() takes the name of a column, got {name!r}")
        return Expr((Call("lookup_value", (self.row, TableColumn(self.table, name)), ()),))


@with_argument_errors
def lookup(table: str, *, by: LookupKeys) -> Lookup:
    """Return the row of a table that has the row's key; take its columns with `.col(name)`.

    Pass the table at each call, `plan.fit(data, tables={"planes": planes})`. It is never stored;
    only the types of its columns are. A missing key, or a key that the table lacks, gives missing
    values. The table must hold only values that are known at the moment of prediction.

    Args:
        table: Name of the table in `tables=`.
        by: The key: the name of a column that both have, a list of names, or a mapping from columns
            of the data, or expressions, to columns of the table. It is an error if two rows of the
            table have the same key.

    Raises:
        InvalidPlan: `by` has no key.
        TypeMismatch: An argument is not a name.

    Example:
        >>> plan = ff.Plan({"seats": ff.lookup("planes", by={"plane": "id"}).col("seats")})
        >>> tables = {"planes": {"id": ["a", "b"], "seats": [180, 50]}}
        >>> fitted = plan.fit({"plane": ["b"]}, tables=tables)
        >>> fitted.transform({"plane": ["a", "z", None]}, tables=tables)["seats"].to_pylist()
        [180, None, None]
    """
    if not isinstance(table, str):  # pyright: ignore[reportUnnecessaryIsInstance]  # user input
        raise TypeMismatch(f"lookup() takes the name of a table, got {table!r}")
    pairs = resolve_key_pairs(f"lookup({table!r}, by={by!r})", by)
    left = [Column(key) if isinstance(key, str) else key.node for key, _ in pairs]
    right = [TableColumn(table, name) for _, name in pairs]
    return Lookup(table, Call("lookup_row", (*left, *right), ()))


def resolve_key_pairs(told: str, by: Any) -> list[tuple[str | Expr, str]]:
    """Return the keys in `by=` as pairs: (column or expression of the data, column of the table).

    `told` begins the message of the error if `by` is neither a name, a list nor a mapping.
    """
    if isinstance(by, Mapping):
        pairs = list(cast("Mapping[Any, Any]", by).items())
    elif isinstance(by, Sequence):
        names = [by] if isinstance(by, str) else list(cast("Sequence[Any]", by))
        pairs = [(name, name) for name in names]
    else:
        raise TypeMismatch(
            f"{told}: takes the name of a column, a list of names, or a mapping from columns of "
            "the data to columns of the table"
        )
    for left, right in pairs:
        odd = right if isinstance(left, str | Expr) else left
        if not isinstance(odd, str):
            raise TypeMismatch(f"{told}: {odd!r} is not a column name")
    if not pairs:
        raise InvalidPlan(f"{told}: names no key. Name at least one column")
    return pairs


@with_argument_errors
def asof(
    table: str,
    *,
    time: str | Expr,
    right_time: str | None = None,
    by: LookupKeys | None = None,
    tolerance: Duration | None = None,
    delay: Duration | None = None,
    allow_exact_matches: bool = True,
) -> Lookup:
    """Return a table's latest row that is known at the row's time; read it with `.col(name)`.

    Pass the table at each call, `plan.fit(data, tables={"weather": weather})`, in any order. It is
    never stored. A row of the table is known from its time plus `delay` on. If several rows share
    key and time, the last one wins, even if its value is missing. A missing time or key matches
    nothing.

    Times compare as exact instants, whatever their units and zones; a date is its midnight. A time
    with a zone cannot be compared with one without, nor a time with a whole number.

    Args:
        table: Name of the table in `tables=`.
        time: Time of each row of the data: a column or expression of timestamps, dates or whole
            numbers.
        right_time: The table's time column. None uses the name of `time`.
        by: The key: the name of a column that both have, a list of names, or a mapping from columns
            of the data, or expressions, to columns of the table. None for no key.
        tolerance: Greatest age of a matching row, such as "3h", counted from its time, not from the
            moment it is known. A tolerance below `delay` matches nothing. None for any age.
        delay: How long after its time a row of the table becomes known.
        allow_exact_matches: Whether a row that becomes known at exactly the row's moment matches.

    Raises:
        InvalidPlan: `by` has no key, or a duration is invalid or negative.
        TypeMismatch: An argument is not a name or an expression.

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
            raise InvalidPlan(
                f"{told}, time={time!r}): the time is an expression, so name the time column of "
                "the table: right_time='t'"
            )
        right_time = moment.name
    if not isinstance(right_time, str):  # pyright: ignore[reportUnnecessaryIsInstance]  # user input
        raise TypeMismatch(f"{told}, right_time={right_time!r}): takes the name of a column")
    pairs = [] if by is None else resolve_key_pairs(f"{told}, by={by!r})", by)
    oldest, unit = resolve_duration(f"{told}, tolerance={tolerance!r})", tolerance)
    later, unit_of_delay = resolve_duration(f"{told}, delay={delay!r})", delay)
    units = {one for one in (unit, unit_of_delay) if one is not None}
    if len(units) > 1:
        raise InvalidPlan(
            f"{told}, tolerance={tolerance!r}, delay={delay!r}): one is a duration and the other a "
            "whole number. Write both as durations, or both as whole numbers if the time column "
            "holds integers"
        )
    left = [Column(key) if isinstance(key, str) else key.node for key, _ in pairs]
    right = [TableColumn(table, name) for _, name in pairs]
    params = params_of(
        tolerance=oldest,
        delay=later or 0,
        **check_parameters(
            "asof", parameters_of("asof_row"), allow_exact_matches=allow_exact_matches
        ),
        unit=next(iter(units), None),
    )
    args = (moment, *left, TableColumn(table, right_time), *right)
    return Lookup(table, Call("asof_row", args, params))


def table_order(
    function: str, table: Any, time: str | Expr, right_time: Any, by: Any, tie: Any
) -> Call:
    """Return the order node of a table.

    It names the columns by which the table's rows are ordered, and the time and key by which rows
    of the data select them. `function` is for error messages. `tie` is the column that orders rows
    with equal times; None keeps their position in the table.
    """
    if not isinstance(table, str):
        raise TypeMismatch(f"{function}(table={table!r}): takes the name of a table")
    told = f"{function}(table={table!r}"
    moment = Column(time) if isinstance(time, str) else time.node
    if right_time is None:
        if not isinstance(moment, Column):
            raise InvalidPlan(
                f"{told}, time={time!r}): the time is an expression, so name the time column of "
                "the table: right_time='t'"
            )
        right_time = moment.name
    if not isinstance(right_time, str):
        raise TypeMismatch(f"{told}, right_time={right_time!r}): takes the name of a column")
    pairs = [] if by is None else resolve_key_pairs(f"{told}, by={by!r})", by)
    left = [Column(key) if isinstance(key, str) else key.node for key, _ in pairs]
    right = [TableColumn(table, name) for name in (right_time, *(name for _, name in pairs))]
    ties = (
        []
        if tie is None
        else [TableColumn(table, _table_column_name(f"{told}, tie={tie!r})", tie))]
    )
    params = params_of(n_keys=len(pairs), has_tie=tie is not None)
    return Call("table_order", (moment, *left, *right, *ties), params)


def _table_column_name(told: str, given: Any) -> str:
    """Return the name of a table's column, given as text or as `col(name)`; else TypeMismatch."""
    if isinstance(given, str):
        return given
    if isinstance(given, Expr) and isinstance(given.nodes[0], Column):
        return given.nodes[0].name
    raise TypeMismatch(f"{told}: takes the name of a column of the table")


def time_of_table(window: Call) -> Expr:
    """Return the table's time column, as an expression that is read within the window."""
    return Expr((Column(table_columns_of(_order(window))[0].name),))


def refuse_own_value(function: str, window: Call, instead: str) -> None:
    """Raise InvalidPlan if a window is over a table, for functions that read the row's own value.

    A row of the data is not in the table. `instead` tells the user what to write.
    """
    if sees_table(window):
        raise InvalidPlan(
            f"{function}(over={show(window)}): reads the row's own value, but rows of the data are "
            f"not in the table {table_of(_order(window))!r}. {instead}"
        )


def read_in_table(told: str, x: Expr, window: Call) -> Expr:
    """Return the expression with its columns replaced by columns of the window's table.

    Raises InvalidPlan if the expression reads other rows than the table's own row. `told` begins
    the message.
    """
    table = table_of(_order(window))
    for node in postorder(x.nodes):
        reads = _describe_other_rows(node)
        if reads:
            raise InvalidPlan(
                f"{told}: a window over the table {table!r} reads only columns of the table, but "
                f"{show(node)} {reads}. Compute it outside the window, or add it to the table as a "
                "column"
            )

    def rule(node: Node) -> Node:
        return TableColumn(table, node.name) if isinstance(node, Column) else node

    return replace(x, nodes=tuple(rewrite_nodes(x.nodes, rule)))


def _describe_other_rows(node: Node) -> str:
    """Return a phrase on the other rows that a node reads; empty if it reads its own row only."""
    match node:
        case Aggregate():
            return "is learnt from the training rows"
        case Call() if is_over(node):
            return "reads a window of other rows"
        case Call("asof_row" | "lookup_row"):
            return "looks up rows"
        case _:
            return ""


def _order(window: Call) -> Call:
    (order,) = window.args
    assert isinstance(order, Call)
    return order
