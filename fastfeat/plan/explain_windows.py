"""Windows in `explain`: which functions read the rows of their entities in one order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from fastfeat.ir.node import Aggregate, Call, Node, params_of
from fastfeat.ir.scope import is_over, order_of, row_order
from fastfeat.ir.show import show, show_all
from fastfeat.ir.walk import postorder
from fastfeat.steps import PARTS_OF_WINDOWS

_WHOLE = params_of(last=None, offset=0, rows=None, closed="left", min_samples=0, unit=None)


def is_window(node: Node) -> bool:
    """Return whether a node is a window, or the order of rows that it is of: no value of a row."""
    return isinstance(node, Call) and node.function in PARTS_OF_WINDOWS


def describe_windows(roots: Iterable[Node]) -> list[str]:
    """Return the functions over windows, those that share an order of the rows together.

    Rows are put in order once for all functions over the same entity and time, whatever their
    windows, and before that once more for those that such functions read.

    Args:
        roots: the features.
    """
    roots = list(roots)
    learnt = [n for n in postorder(roots) if isinstance(n, Aggregate)]
    groups = list(_groups([*roots, *(arg for one in learnt for arg in one.args)], set()))
    shown = show_all([call for _, calls in groups for call in calls])
    lines = ["", "windows, each group over rows in one order:"] if groups else []
    for order, calls in groups:
        lines += [f"  {order_text(order)}:", *(f"    {shown[call]}" for call in calls)]
    return lines


def _groups(roots: Iterable[Node], known: set[Node]) -> Iterator[tuple[Call, list[Call]]]:
    """Yield each order with the functions over it that a row reads, after those that they read.

    Args:
        roots: what is computed for a row.
        known: the functions that were given already; takes those that are given.
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
    """Return an order as a window writes it: "by='card', time='t'"."""
    return show(Call("window", (order,), _WHOLE)).removeprefix("ff.window(").removesuffix(")")
