"""`explain("live")`: how a plan computes arriving rows. Also the list of windows in `explain`.

A live state keeps a log, which holds the earlier rows of each entity as far as windows reach. A row
order is the pair of an entity key and a time, by which windows find earlier rows; windows with
equal row orders are listed together.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from fastfeat.ir.node import Aggregate, Call, Node, TableColumn, params_of, postorder
from fastfeat.ir.scope import is_of_table, is_over, order_of, row_order
from fastfeat.ir.show import show, show_all
from fastfeat.plan.declare.declaration import Declaration
from fastfeat.plan.declare.window_reach import LiveFunction, live_functions, merge_reaches
from fastfeat.steps.registry import PARTS_OF_WINDOWS

_WHOLE = params_of(last=None, offset=0, rows=None, closed="left", min_samples=0, unit=None)


def is_window(node: Node) -> bool:
    """Return whether a node is a window or a row order, not a value per row."""
    return isinstance(node, Call) and node.function in PARTS_OF_WINDOWS


def describe_windows(roots: Iterable[Node]) -> list[str]:
    """Return lines on the functions over windows, grouped by row order.

    Rows are sorted once for all functions over the same entity and time, whatever their windows.
    Functions come before the functions that read them.
    """
    roots = list(roots)
    learnt = [n for n in postorder(roots) if isinstance(n, Aggregate)]
    groups = list(_groups([*roots, *(arg for one in learnt for arg in one.args)], set()))
    shown = show_all([call for _, calls in groups for call in calls])
    lines = ["", "windows, grouped by the order of their rows:"] if groups else []
    for order, calls in groups:
        lines += [f"  {order_text(order)}:", *(f"    {shown[call]}" for call in calls)]
    return lines


def _groups(roots: Iterable[Node], known: set[Node]) -> Iterator[tuple[Call, list[Call]]]:
    """Yield each row order with its functions, after the functions that these read.

    `known` are the functions already yielded; new ones are added to it.
    """
    by_order: dict[Call, list[Call]] = {}
    for node in row_order(roots):
        if isinstance(node, Call) and is_over(node) and node not in known:
            by_order.setdefault(order_of(node), []).append(node)
    for order, calls in by_order.items():
        yield from _groups([*order.args, *(call.args[0] for call in calls)], known)
        new = [call for call in calls if call not in known]
        known.update(new)
        if new:
            yield order, new


def order_text(order: Call) -> str:
    """Return a row order in the form of window arguments: "by='card', time='t'"."""
    return show(Call("window", (order,), _WHOLE)).removeprefix("ff.window(").removesuffix(")")


_GENERAL = (
    "general path: window kernels compute a new row from the rows of its entity that windows see"
)

_ALONE = "row path: no window reads earlier rows, so each row is computed as by transform_row"


def describe_live(plan: Declaration) -> str:
    """Return a text on how a live state computes a plan.

    The text lists the row orders, how far back each function sees, the columns of the log, the
    tables, and the calls that a live state of this plan refuses, with reasons.
    """
    functions = live_functions(plan.nodes.items())
    if not functions:
        return "\n".join([_ALONE, *_tables(plan)])
    shown = show_all([function.call for function in functions])
    lines = [_GENERAL, "", "orders of the rows, and how far back each function sees:"]
    orders: dict[Call, list[LiveFunction]] = {}
    for function in functions:
        orders.setdefault(function.order, []).append(function)
    for order, own in orders.items():
        reach = merge_reaches([function.reach for function in own])
        made = ", ordered by results of other windows" if own[0].placed else ""
        lines.append(f"  {order_text(order)}: {reach}{made}")
        lines += [f"    {one.reach}: {shown[one.call]}" for one in own]
    lines += ["", *_log(plan), *_stored_result_lines(functions, shown), *_tables(plan)]
    return "\n".join([*lines, *_refusal_lines(functions, shown)])


def _log(plan: Declaration) -> list[str]:
    """Return a line with the columns of the log: those that windows read, and the row id."""
    late = set(plan.late)
    columns = [f"{name} (late)" if name in late else name for name in plan.past_columns]
    if plan.row_id is not None and plan.row_id not in plan.past_columns:
        columns.append(f"{plan.row_id} (row_id)")
    return [f"columns of the log: {', '.join(columns)}"]


def _stored_result_lines(functions: Sequence[LiveFunction], shown: Mapping[Node, str]) -> list[str]:
    """Return lines on the functions with results that the log keeps for other windows."""
    kept = [one for one in functions if one.is_kept]
    if not kept:
        return []
    return ["results stored in the log, for other windows to read:", *_function_lines(kept, shown)]


def _tables(plan: Declaration) -> list[str]:
    """Return a line with the names of the tables that features read.

    Tables that windows read are marked with "(in windows)".
    """
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


def _refusal_lines(functions: Sequence[LiveFunction], shown: Mapping[Node, str]) -> list[str]:
    """Return lines on the calls that a live state of the plan refuses, with reasons."""
    endless = [one for one in functions if one.reach.is_everything]
    kept = [one for one in functions if one.is_kept]
    lines: list[str] = []
    if endless:
        lines += [
            "  online() without keep='everything', because all rows of an entity are seen by:"
        ]
        lines += _function_lines(endless, shown, 4)
    if kept:
        lines += [
            "  late rows, correct(), late='insert' and late='drop', because the log would keep "
            "outdated results of:"
        ]
        lines += _function_lines(kept, shown, 4)
    return ["", "refused:", *(lines or ["  nothing"])]


def _function_lines(
    functions: Iterable[LiveFunction], shown: Mapping[Node, str], indent: int = 2
) -> list[str]:
    return [
        f"{' ' * indent}{shown[one.call]}, read by {', '.join(map(repr, one.features))}"
        for one in functions
    ]
