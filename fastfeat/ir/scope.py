"""The rows that an expression reads: its own row, other rows, or the training rows.

Most nodes read values of their own row only. A node over a window reads other rows of the data, or
rows of a table, at times before or after its own. An aggregate reads the training rows, during
`fit` only. The window's first argument is an order node (`order` below): it says which time and
keys of the data select rows, and by which time, keys and tie column these rows are sorted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeGuard, TypeVar

from fastfeat.ir.node import Aggregate, Call, GroupFrame, Node, TableColumn

OVER = "over."
"""Prefix of the names of functions of the rows in a window."""

R = TypeVar("R")


def row_args(node: Node, *, training: bool = False) -> tuple[Node, ...]:
    """Return the arguments of a node that are computed for the same row as the node.

    A function over the data's past rows has none; over a table or rows ahead it has the time and
    keys that select rows. An aggregate over all rows has none; an aggregate per group has the group
    number, and in training (`training`) also the fold number.
    """
    if is_over(node):
        return () if is_over_window(node) else query_of(order_of(node))
    match node:
        case Aggregate(_, args, _, GroupFrame()):
            return args[1:] if training else args[1:2]
        case Aggregate():
            return ()
        case _:
            return node.args


def is_over(node: Node) -> TypeGuard[Call]:
    """Return whether a node is a function of the rows in a window, in the data or in a table."""
    return isinstance(node, Call) and node.function.startswith(OVER)


def is_over_table(node: Node) -> TypeGuard[Call]:
    """Return whether a node is a function of a window that looks back over the rows of a table."""
    match node:
        case Call(_, (_, Call("window", (Call("table_order"),)))):
            return is_over(node)
        case _:
            return False


def is_asof(node: Node) -> TypeGuard[Call]:
    """Return whether a node finds a table's latest row that is known at a moment (`ff.asof`)."""
    return isinstance(node, Call) and node.function == "asof_row"


def is_over_ahead(node: Node) -> TypeGuard[Call]:
    """Return whether a node is a function of a window ahead (`ff.ahead`), of data or table rows."""
    match node:
        case Call(_, (_, Call("ahead"))):
            return is_over(node)
        case _:
            return False


def is_over_window(node: Node) -> TypeGuard[Call]:
    """Return whether a node is a function of a window that looks back over the data's own rows."""
    return is_over(node) and not is_over_table(node) and not is_over_ahead(node)


def window_of(over: Call) -> Call:
    """Return the window argument of a function over a window."""
    window = over.args[1]
    assert isinstance(window, Call)
    return window


def order_of(over: Call) -> Call:
    """Return the order node of a function over a window."""
    order = window_of(over).args[0]
    assert isinstance(order, Call)
    return order


def query_of(order: Call) -> tuple[Node, ...]:
    """Return the time and the keys by which a row of the data selects rows into its window."""
    return order.args[: 1 + dict(order.params)["n_keys"]]


def table_columns_of(order: Call) -> tuple[TableColumn, ...]:
    """Return the table's columns in an order node: time, keys and, if any, tie column."""
    seen = order.args[1 + dict(order.params)["n_keys"] :]
    return tuple(column for column in seen if isinstance(column, TableColumn))


def is_of_table(order: Call) -> bool:
    """Return whether an order node sorts rows of a table; if not, rows of the data."""
    return order.function == "table_order"


def table_of(order: Call) -> str:
    """Return the name of the table that an order node sorts."""
    return table_columns_of(order)[0].table


def is_over_rows_ahead(node: Node) -> TypeGuard[Call]:
    """Return whether a node is a function of a window ahead (`ff.ahead`) in the data's own rows."""
    return is_over_ahead(node) and not is_of_table(order_of(node))


def is_of_other_rows(node: Node) -> TypeGuard[Call]:
    """Return whether a node is a function of a window, back or ahead, over the data's own rows."""
    return is_over_window(node) or is_over_rows_ahead(node)


def window_nodes(roots: Iterable[Node], *, ahead: bool = False) -> list[Call]:
    """Return the functions over windows that the roots need, directly or in nested windows.

    Inner windows come before the windows that read them. Windows over tables are excluded, because
    their rows come from the table. With `ahead`, windows ahead in the data, which only a label may
    have, are included.
    """
    found: dict[Node, None] = {}
    pending = [*roots]
    while pending:
        order = row_order(pending)
        over = [n for n in order if is_over_window(n) or (ahead and is_over_rows_ahead(n))]
        pending = [arg for node in over for arg in node.args]
        for node in over:
            found.pop(node, None)
            found[node] = None
    return [node for node in reversed(found) if isinstance(node, Call)]


def row_order(
    roots: Iterable[Node],
    *,
    training: bool = False,
    is_there: Callable[[Node], bool] | None = None,
) -> list[Node]:
    """Return the nodes to compute for one row of the roots, each once, after its arguments.

    Arguments of functions over windows are excluded: they are computed for earlier rows. So are
    arguments of nodes for which `is_there` says that they are already computed. For `training`, see
    `row_args`.
    """
    seen: set[Node] = set()
    order: list[Node] = []
    stack: list[Node | None] = [*reversed(list(roots))]
    while stack:
        node = stack.pop()
        if node is None:  # the arguments of the next node on the stack are done
            done = stack.pop()
            assert done is not None
            order.append(done)
        elif node not in seen:
            seen.add(node)
            known = is_there is not None and is_there(node)
            args = () if known else row_args(node, training=training)
            if args:
                stack += (node, None, *args[::-1])
            else:
                order.append(node)
    return order


def row_fold(
    roots: Iterable[Node], visit: Callable[[Node, list[R]], R], *, training: bool = False
) -> dict[Node, R]:
    """Return visit(node, results of its arguments) for every node of `row_order`."""
    results: dict[Node, R] = {}
    for node in row_order(roots, training=training):
        args = row_args(node, training=training)
        results[node] = visit(node, [results[argument] for argument in args])
    return results


def is_exploded(node: Node) -> bool:
    """Return whether a node has one row per list element, which only a vocabulary accepts."""
    return isinstance(node, Call) and node.function == "list.explode"


def includes_own_row(over: Call) -> bool:
    """Return whether a window includes the row itself, or for a table the rows at its moment."""
    params = dict(window_of(over).params)
    return params["closed"] in ("right", "both") and not params["offset"]


def takes_rows_in_order(over: Call) -> bool:
    """Return whether a window's result depends on the order of rows that share the row's time."""
    return includes_own_row(over) and not (_is_of_sessions(over) or _is_own_time(over))


def _is_own_time(over: Call) -> bool:
    """Return whether a window function is `time_since` of the time that orders its rows."""
    return over.function == f"{OVER}time_since" and over.args[0] is order_of(over).args[0]


def _is_of_sessions(over: Call) -> bool:
    """Return whether a function counts sessions, or finds the gaps between sessions.

    All rows with the same time belong to one session, in whatever order they come.
    """
    gaps: Node = over
    while isinstance(gaps, Call) and gaps.args and gaps.function != f"{OVER}time_since_lag":
        if gaps is not over and is_over_window(gaps):
            return False
        gaps = gaps.args[0]
    return isinstance(gaps, Call) and bool(gaps.args)


def sees_table(window: Call) -> bool:
    """Return whether a window is over rows of a table; if not, over rows of the data."""
    (order,) = window.args
    return isinstance(order, Call) and is_of_table(order)
