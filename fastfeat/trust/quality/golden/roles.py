"""Roles of columns in a plan: clocks that order rows, entity keys, and table lookups."""

from __future__ import annotations

from collections.abc import Mapping

from fastfeat_kernels.records import dataclass

from fastfeat.execute.fitted import Fitted
from fastfeat.ir.node import Call, Column, Node, TableColumn, postorder
from fastfeat.ir.scope import is_over, order_of, query_of
from fastfeat.plan.declare.source_columns import columns_of
from fastfeat.plan.declare.window_reach import history_reach


@dataclass(frozen=True, slots=True)
class Roles:
    """Columns of a plan that must not have arbitrary values, by their roles.

    Args:
        clocks: Columns that order rows in time.
        keys: Columns that identify entities or look up table rows.
        ids: Columns with unique values.
        span: How far windows reach back: nanoseconds for "time", number of steps for "steps".
        asked: For each looked-up column of a table, the data column with the sought values.
        unique: Table columns with unique values: the keys of lookups.
        moments: Table columns that order the table's rows in time, and the delay until a row is
            known, in nanoseconds or steps.
    """

    clocks: frozenset[str]
    keys: frozenset[str]
    ids: frozenset[str]
    span: Mapping[str, int]
    asked: Mapping[TableColumn, str]
    unique: frozenset[TableColumn]
    moments: Mapping[TableColumn, int]


def roles_of(fitted: Fitted) -> Roles:
    """Return the columns of a plan that must not have arbitrary values, by their roles."""
    plan = fitted.declaration
    roots = list(plan.nodes.values())
    clocks, keys = list[Node](), list[Node]()
    asked, unique, moments = dict[TableColumn, str](), set[TableColumn](), dict[TableColumn, int]()
    for node in postorder(roots):
        if is_over(node):
            time, *by = query_of(order_of(node))
            clocks.append(time)
            keys += by
        match node:
            case Call("lookup_row" | "asof_row" | "table_order", args):
                is_lookup = node.function == "lookup_row"
                is_order = node.function == "table_order"
                half = len(query_of(node)) if is_order else len(args) // 2
                for k, (own, other) in enumerate(zip(args[:half], args[half:], strict=False)):
                    if not isinstance(other, TableColumn):
                        continue
                    is_time = not is_lookup and k == 0
                    if is_time:
                        moments[other] = int(dict(node.params).get("delay") or 0)
                    elif is_lookup:
                        unique.add(other)
                    (clocks if is_time else keys).append(own)
                    if isinstance(own, Column):
                        asked[other] = own.name
            case _:
                pass
    span = {"time": 86_400 * 10**9, "steps": 10}
    for reach in history_reach(roots).values():
        if reach.span:
            span[reach.unit] = max(span[reach.unit] * (reach.unit == "time"), reach.span)
    return Roles(
        frozenset(columns_of(clocks)),
        frozenset(columns_of(keys)),
        frozenset(plan.row_ids),
        span,
        asked,
        frozenset(unique),
        moments,
    )
