"""Of which rows an expression is: the data's, or those of a table that a window is over.

Only functions over windows of a table, and lookups in one, lead from the rows of a table to those
of the data.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from fastfeat.errors import ArtifactError
from fastfeat.ir.node import Aggregate, Call, Column, Literal, Node, TableColumn
from fastfeat.ir.scope import is_of_table, is_over, order_of, query_of, table_of
from fastfeat.ir.walk import fold

_DATA: Final = ()
Rows = str | tuple[()] | None
"""The name of a table, `_DATA` for the rows of the data, None for whatever rows there are."""


def tables_of(roots: Sequence[Node]) -> dict[Node, str | None]:
    """Return of each root the table whose rows it is of; None where it is of rows of the data.

    Raises:
        ArtifactError: an expression mixes rows of the data and of tables.
    """
    rows = _rows_of(roots)
    found = {root: rows[root] for root in roots}
    return {root: table if isinstance(table, str) else None for root, table in found.items()}


def check_rows(nodes: Sequence[Node]) -> None:
    """Raise where no operator makes such expressions: they mix rows of the data and of tables.

    Args:
        nodes: the nodes of a plan.

    Raises:
        ArtifactError: the first that does.
    """
    _rows_of(nodes)


def _rows_of(roots: Sequence[Node]) -> dict[Node, Rows]:
    def visit(node: Node, args: list[Rows]) -> Rows:
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


def _check_halves(node: Call, args: Sequence[Rows], half: int) -> None:
    """Raise where what is compared is not of the data first, and then columns of a table."""
    _check(node, args[:half], _DATA)
    if not all(isinstance(arg, TableColumn) for arg in node.args[half:]):
        raise ArtifactError(f"{node.function!r} compares with what is no column of a table")


def _check(node: Call | Aggregate, args: Sequence[Rows], rows: Rows) -> None:
    """Raise where an argument is of other rows."""
    odd = [arg for arg in args if arg is not None and arg != rows]
    if odd:
        told = f"the table {odd[0]!r}" if isinstance(odd[0], str) else "the data"
        raise ArtifactError(f"{node.function!r} has rows of {told} as an argument")
