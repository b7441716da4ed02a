"""What `explain("live")` says: which way a plan goes live, what a state holds, what is refused."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from fastfeat.ir.node import Call, Node, TableColumn
from fastfeat.ir.scope import is_of_table, is_over, order_of
from fastfeat.ir.show import show_all
from fastfeat.ir.walk import postorder
from fastfeat.plan.declaration import Declaration
from fastfeat.plan.explain_windows import order_text
from fastfeat.plan.reach import Function, live_functions, together

_GENERAL = (
    "general way: the rows of the entity that windows still see go through the kernels of windows"
)
_ALONE = "row way: no window reads earlier rows, so a row is computed as transform_row computes it"


def describe_live(plan: Declaration) -> str:
    """Return how a plan is computed live, as text.

    That is: the way that it goes; the orders of the rows, with how far back each function sees of
    an entity; what stands in the log; the tables that are read; and what is refused, with why.

    Args:
        plan: what is shown.
    """
    functions = live_functions(plan.nodes.items())
    if not functions:
        return "\n".join([_ALONE, *_tables(plan)])
    shown = show_all([function.call for function in functions])
    lines = [_GENERAL, "", "orders of the rows, with how far back each function sees:"]
    orders: dict[Call, list[Function]] = {}
    for function in functions:
        orders.setdefault(function.order, []).append(function)
    for order, own in orders.items():
        reach = together([function.reach for function in own])
        made = ", by what windows before have made" if own[0].placed else ""
        lines.append(f"  {order_text(order)}: {reach}{made}")
        lines += [f"    {one.reach}: {shown[one.call]}" for one in own]
    lines += ["", *_log(plan), *_kept(functions, shown), *_tables(plan)]
    return "\n".join([*lines, *_refused(functions, shown)])


def _log(plan: Declaration) -> list[str]:
    """Return the columns that the log holds: those that windows read, and the id of rows."""
    late = set(plan.late)
    columns = [f"{name} (late)" if name in late else name for name in plan.past_columns]
    if plan.row_id is not None and plan.row_id not in plan.past_columns:
        columns.append(f"{plan.row_id} (row_id)")
    return [f"columns of the log: {', '.join(columns)}"]


def _kept(functions: Sequence[Function], shown: Mapping[Node, str]) -> list[str]:
    """Return the functions that stand in the log beside each row."""
    kept = [one for one in functions if one.is_kept]
    if not kept:
        return []
    return ["kept in the log beside each row, for other windows read it:", *_listed(kept, shown)]


def _tables(plan: Declaration) -> list[str]:
    """Return the tables that rows read, and how: by key and as of a moment, or in windows."""
    nodes = postorder(list(plan.nodes.values()))
    seen = {
        node.table
        for over in nodes
        if is_over(over) and is_of_table(order_of(over))
        for node in postorder([over])
        if isinstance(node, TableColumn)
    }
    names = dict.fromkeys(column.table for column in plan.row_table_columns)
    told = [f"{name} (in windows)" if name in seen else name for name in names]
    return [f"tables: {', '.join(told)}"] if told else []


def _refused(functions: Sequence[Function], shown: Mapping[Node, str]) -> list[str]:
    """Return what a state of the plan refuses, and why."""
    endless = [one for one in functions if one.reach.is_everything]
    kept = [one for one in functions if one.is_kept]
    lines: list[str] = []
    if endless:
        lines += ["  online() without keep='everything': all rows of an entity are seen by"]
        lines += _listed(endless, shown, 4)
    if kept:
        lines += [
            "  late rows, correct, late='insert' and late='drop': what was kept would go stale of"
        ]
        lines += _listed(kept, shown, 4)
    return ["", "refused:", *(lines or ["  nothing"])]


def _listed(functions: Iterable[Function], shown: Mapping[Node, str], indent: int = 2) -> list[str]:
    return [
        f"{' ' * indent}{shown[one.call]}, read by {', '.join(map(repr, one.features))}"
        for one in functions
    ]
