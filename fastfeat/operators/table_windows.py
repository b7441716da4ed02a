"""Windows over the rows of a table, passed beside the data: what orders them, and who asks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from fastfeat.errors import InvalidPlan, TypeMismatch
from fastfeat.expr import Expr
from fastfeat.ir.node import Aggregate, Call, Column, Node, TableColumn, params_of
from fastfeat.ir.rewrite import rewritten
from fastfeat.ir.scope import is_of_table, is_over, table_columns_of, table_of
from fastfeat.ir.show import show
from fastfeat.ir.walk import postorder
from fastfeat.operators.lookup import pairs_of


def table_order(
    function: str, table: Any, time: str | Expr, right_time: Any, by: Any, tie: Any
) -> Call:
    """Return the order of the rows of a table, with the moment and key that ask for them.

    Args:
        function: what has the arguments, for messages.
        table: its name.
        time: the moment of a row of the data.
        right_time: the column of the table that says when; None for the name that `time` is.
        by: the key, as of `asof`; None for no key.
        tie: the column of the table that orders rows of one instant; None where their place does.
    """
    if not isinstance(table, str):
        raise TypeMismatch(f"{function}(table={table!r}): takes the name of a table")
    told = f"{function}(table={table!r}"
    moment = Column(time) if isinstance(time, str) else time.node
    if right_time is None:
        if not isinstance(moment, Column):
            raise InvalidPlan(f"{told}, time={time!r}): name the time of the table: right_time=")
        right_time = moment.name
    if not isinstance(right_time, str):
        raise TypeMismatch(f"{told}, right_time={right_time!r}): takes the name of a column")
    pairs = [] if by is None else pairs_of(f"{told}, by={by!r})", by)
    left = [Column(key) if isinstance(key, str) else key.node for key, _ in pairs]
    right = [TableColumn(table, name) for name in (right_time, *(name for _, name in pairs))]
    ties = [] if tie is None else [TableColumn(table, _name(f"{told}, tie={tie!r})", tie))]
    params = params_of(n_keys=len(pairs), has_tie=tie is not None)
    return Call("table_order", (moment, *left, *right, *ties), params)


def _name(told: str, given: Any) -> str:
    """Return the name of a column of a table that a user gave, as a text or as `col(name)`."""
    if isinstance(given, str):
        return given
    if isinstance(given, Expr) and isinstance(given.nodes[0], Column):
        return given.nodes[0].name
    raise TypeMismatch(f"{told}: takes the name of a column of the table")


def sees_table(window: Call) -> bool:
    """Return whether a window is over the rows of a table."""
    return is_of_table(_order(window))


def time_of_table(window: Call) -> Expr:
    """Return the time of the table that a window is over, as an expression inside of it."""
    return Expr((Column(table_columns_of(_order(window))[0].name),))


def refuse_own_value(function: str, window: Call, instead: str) -> None:
    """Raise where a function reads the row's own value, and the window is over a table.

    Args:
        function: its name.
        window: over what it is asked.
        instead: what to write.

    Raises:
        InvalidPlan: a row of the data has no value in the table.
    """
    if sees_table(window):
        raise InvalidPlan(
            f"{function}(over={show(window)}): reads the value of the row itself, which is none of "
            f"the table {table_of(_order(window))!r}. {instead}"
        )


def in_table(told: str, x: Expr, window: Call) -> Expr:
    """Return an expression of which every column is one of the table that a window is over.

    Args:
        told: the function, for messages.
        x: an expression over rows.
        window: the window.

    Raises:
        InvalidPlan: it reads more than the row of the table that it is computed for.
    """
    table = table_of(_order(window))
    for node in postorder(x.nodes):
        reads = _reads_more(node)
        if reads:
            raise InvalidPlan(
                f"{told}: inside of a window over the table {table!r} columns are those of the "
                f"table, and {show(node)} {reads}. Compute it outside of the window, or make it a "
                "column of the table"
            )

    def rule(node: Node) -> Node:
        return TableColumn(table, node.name) if isinstance(node, Column) else node

    return replace(x, nodes=tuple(rewritten(x.nodes, rule)))


def _reads_more(node: Node) -> str:
    """Return the rows that a node reads besides its own of the table, as text; empty for most."""
    match node:
        case Aggregate():
            return "is learnt from the training rows"
        case Call() if is_over(node):
            return "is over a window of other rows"
        case Call("asof_row" | "lookup_row"):
            return "looks rows up"
        case _:
            return ""


def _order(window: Call) -> Call:
    (order,) = window.args
    assert isinstance(order, Call)
    return order
