"""Lineage: the source columns of each feature, and how their values reach the feature."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, get_args

from fastfeat_kernels.records import dataclass

from fastfeat.ir.node import Aggregate, Call, Column, GroupFrame, Node, TableColumn
from fastfeat.ir.scope import is_of_table, is_over, order_of, query_of
from fastfeat.plan.declare.source_columns import reads_own_row

ColumnUse = Literal["itself", "computed", "past", "group", "join", "learnt"]
"""The way in which a column reaches a feature.

"itself": it is the feature. "computed": from the feature's own row. "past": from other rows in a
window. "group" or "join": it finds the group, or the rows of a table. "learnt": fit learnt from it.
"""


@dataclass(frozen=True, slots=True)
class ColumnSource:
    """A source column of a feature.

    Args:
        table: Lookup table of the column; None for a column of the data.
        column: Name of the column.
        ways: How its values reach the feature, in the order of `ColumnUse`.
    """

    table: str | None
    column: str
    ways: tuple[ColumnUse, ...]


def lineage(nodes: Mapping[str, Node]) -> dict[str, tuple[ColumnSource, ...]]:
    """Return the source columns of each output column, in order of first use."""
    return {name: _sources(node) for name, node in nodes.items()}


def _sources(root: Node) -> tuple[ColumnSource, ...]:
    found: dict[tuple[str | None, str], set[ColumnUse]] = {}
    pending: list[tuple[Node, ColumnUse]] = [(root, "itself")]
    seen = set(pending)
    while pending:
        node, way = pending.pop()
        match node:
            case Column(name):
                found.setdefault((None, name), set()).add(way)
            case TableColumn(table, name):
                found.setdefault((table, name), set()).add(way)
            case _:
                below = [each for each in _argument_uses(node, way) if each not in seen]
                seen.update(below)
                pending += reversed(below)
    return tuple(
        ColumnSource(table, column, tuple(way for way in get_args(ColumnUse) if way in ways))
        for (table, column), ways in found.items()
    )


def _argument_uses(node: Node, way: ColumnUse) -> list[tuple[Node, ColumnUse]]:
    """Return the arguments of a node, each with the way in which its values reach the feature.

    `way` is the way in which the values of the node itself reach the feature.
    """
    if way == "learnt":  # from training rows, however these compute it
        return [(arg, way) for arg in node.args]
    if is_over(node):
        order = order_of(node)
        past: list[tuple[Node, ColumnUse]] = [(arg, "past") for arg in (node.args[0], *order.args)]
        if is_of_table(order):  # the row finds the table's rows by its own time and keys
            asks: ColumnUse = "past" if way == "past" else "join"
            past[1 : 1 + len(query_of(order))] = [(arg, asks) for arg in query_of(order)]
        own: ColumnUse = "computed" if way == "itself" else way
        return [*past, (node.args[0], own)] if reads_own_row(node) else past
    match node:
        case Aggregate(_, args, _, GroupFrame()):
            return [*((arg, _LEARNT) for arg in args), (args[1], "group")]
        case Aggregate(_, args):
            return [(arg, _LEARNT) for arg in args]
        case Call("lookup_value", args):
            return [
                (args[0], "past" if way == "past" else "join"),
                *((arg, way) for arg in args[1:]),
            ]
        case Call("lookup_row" | "asof_row", args):
            return [(arg, "past" if way == "past" else "join") for arg in args]
        case _:
            return [(arg, "computed" if way == "itself" else way) for arg in node.args]


_LEARNT: ColumnUse = "learnt"
