"""The columns that features read from their own row, from other rows, or from lookup tables.

Rows belong to the data, or to a table under a window. A late column is known only after the moment
of its row.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Final

from fastfeat.aggregates import is_target
from fastfeat.errors import ArtifactError
from fastfeat.ir.node import Aggregate, Call, Column, Literal, Node, TableColumn, fold, postorder
from fastfeat.ir.scope import (
    is_of_table,
    is_over,
    is_over_rows_ahead,
    is_over_window,
    order_of,
    query_of,
    row_order,
    table_of,
    window_nodes,
)
from fastfeat.steps.windows import rows as window_rows


def columns_of(roots: Iterable[Node]) -> list[str]:
    """Return the names of the data columns that the expressions read, in order of first use."""
    names = [node.name for node in postorder(list(roots)) if isinstance(node, Column)]
    return list(dict.fromkeys(names))


def own_columns(roots: Iterable[Node]) -> list[str]:
    """Return the names of the data columns that features read from their own row.

    If a window looks up its past, the time and the key of the row are among these columns.
    """
    roots = list(roots)
    over_windows = window_nodes(roots)
    orders = [order for over in over_windows for order in order_of(over).args]
    own = [over.args[0] for over in over_windows if reads_own_row(over)]
    return _columns_of_rows([*roots, *orders, *own])


def past_columns(roots: Iterable[Node], *, training: bool = False) -> list[str]:
    """Return the columns that windows read from earlier rows, or labels from later rows.

    With `training`, windows below learnt statistics count too, because fit reads them.
    """
    nodes = postorder(list(roots)) if training else window_nodes(roots, ahead=True)
    calls = [node for node in nodes if is_over_window(node) or is_over_rows_ahead(node)]
    return _columns_of_rows([arg for over in calls for arg in (over.args[0], *order_of(over).args)])


def window_only_columns(roots: Iterable[Node], late: Collection[str]) -> list[str]:
    """Return the late columns that windows read from earlier rows, except targets of encoders."""
    roots = list(roots)
    targets = columns_of(node.args[0] for node in postorder(roots) if is_target(node))
    of_past = past_columns(roots, training=True)
    return [name for name in of_past if name in late and name not in targets]


def _columns_of_rows(roots: Iterable[Node]) -> list[str]:
    names = [node.name for node in row_order(roots) if isinstance(node, Column)]
    return list(dict.fromkeys(names))


def reads_own_row(over: Call) -> bool:
    """Return whether a window function also reads the row's own value, such as `rank`."""
    return window_rows.function_over(over).reads_own


def table_columns_of(roots: Iterable[Node]) -> tuple[TableColumn, ...]:
    """Return the columns of lookup tables that expressions read, in order of first use."""
    return tuple(node for node in postorder(roots) if isinstance(node, TableColumn))


_DATA: Final = ()

ExpressionRows = str | tuple[()] | None
"""The rows that an expression has values for: a table's name, `_DATA`, or None for a constant."""


def tables_of(roots: Sequence[Node]) -> dict[Node, str | None]:
    """Return for each expression the lookup table that its rows belong to; None for the data."""
    rows = _rows_of(roots)
    found = {root: rows[root] for root in roots}
    return {root: table if isinstance(table, str) else None for root, table in found.items()}


def check_rows(nodes: Sequence[Node]) -> None:
    """Raise ArtifactError at the first node that mixes rows of the data and of tables.

    No operator makes such an expression.
    """
    _rows_of(nodes)


def _rows_of(roots: Sequence[Node]) -> dict[Node, ExpressionRows]:
    def visit(node: Node, args: list[ExpressionRows]) -> ExpressionRows:
        match node:
            case Column():
                return _DATA
            case TableColumn(table):
                return table
            case Literal():
                return None
            case Aggregate():
                _check(node, args, _DATA)
                return _DATA
            case Call("lookup_value"):
                _check(node, args[:1], _DATA)
                return _DATA
            case Call("asof_row" | "lookup_row"):
                _check_halves(node, args, len(args) // 2)
                return _DATA
            case Call("table_order"):
                _check_halves(node, args, len(query_of(node)))
                return _DATA
            case Call() if is_over(node) and is_of_table(order_of(node)):
                _check(node, args[:1], table_of(order_of(node)))
                return _DATA
            case Call():
                rows = next((rows for rows in args if rows is not None), None)
                _check(node, args, rows)
                return rows

    return fold(roots, visit)


def _check_halves(node: Call, args: Sequence[ExpressionRows], half: int) -> None:
    """Raise unless the first `half` arguments are over the data, and the others table columns."""
    _check(node, args[:half], _DATA)
    if not all(isinstance(arg, TableColumn) for arg in node.args[half:]):
        raise ArtifactError(
            f"the saved plan is damaged: {node.function!r} must compare with columns of a table"
        )


def _check(node: Call | Aggregate, args: Sequence[ExpressionRows], rows: ExpressionRows) -> None:
    """Raise if an argument is over other rows than `rows`."""
    odd = [arg for arg in args if arg is not None and arg != rows]
    if odd:
        told = f"the table {odd[0]!r}" if isinstance(odd[0], str) else "the data"
        raise ArtifactError(
            f"the saved plan is damaged: an argument of {node.function!r} is computed from the "
            f"wrong rows, those of {told}"
        )
