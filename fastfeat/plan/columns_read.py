"""Which columns of the data features read: anywhere, of their own row, or of rows of the past."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from fastfeat.aggregates import is_target
from fastfeat.ir.node import Call, Column, Node
from fastfeat.ir.scope import (
    is_over_rows_ahead,
    is_over_window,
    order_of,
    row_order,
    window_nodes,
)
from fastfeat.ir.walk import postorder
from fastfeat.steps.windows import function_over


def columns_of(roots: Iterable[Node]) -> list[str]:
    """Return the names of the input columns that the roots read, in order of first use."""
    names = [node.name for node in postorder(list(roots)) if isinstance(node, Column)]
    return list(dict.fromkeys(names))


def own_columns(roots: Iterable[Node]) -> list[str]:
    """Return the columns whose value in a feature's own row some features see.

    The time and the key of a row are among them where a window asks for its past.
    """
    roots = list(roots)
    over_windows = window_nodes(roots)
    orders = [order for over in over_windows for order in order_of(over).args]
    own = [over.args[0] for over in over_windows if reads_own(over)]
    return _columns_of_rows([*roots, *orders, *own])


def past_columns(roots: Iterable[Node], *, training: bool = False) -> list[str]:
    """Return the columns that windows read of rows of the past, or of those ahead.

    Args:
        roots: the features, or a label.
        training: whether the rows are those that are learnt from: then the windows below what is
            learnt count too.
    """
    nodes = postorder(list(roots)) if training else window_nodes(roots, ahead=True)
    calls = [node for node in nodes if is_over_window(node) or is_over_rows_ahead(node)]
    return _columns_of_rows([arg for over in calls for arg in (over.args[0], *order_of(over).args)])


def seen_by_windows_alone(roots: Iterable[Node], late: Collection[str]) -> list[str]:
    """Return the late columns that windows read of earlier rows, and no encoder learns from.

    Args:
        roots: the features.
        late: the late columns.
    """
    roots = list(roots)
    targets = columns_of(node.args[0] for node in postorder(roots) if is_target(node))
    of_past = past_columns(roots, training=True)
    return [name for name in of_past if name in late and name not in targets]


def _columns_of_rows(roots: Iterable[Node]) -> list[str]:
    names = [node.name for node in row_order(roots) if isinstance(node, Column)]
    return list(dict.fromkeys(names))


def reads_own(over: Call) -> bool:
    """Return whether a function over a window reads the value of the row itself too."""
    return function_over(over).reads_own
