"""Labels from the future in a plan: where windows ahead may stand, and what of a label is late."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from fastfeat.aggregates import is_target
from fastfeat.errors import InvalidPlan, Leakage
from fastfeat.ir.node import Call, Column, Node, TableColumn
from fastfeat.ir.scope import is_over, is_over_ahead
from fastfeat.ir.show import show
from fastfeat.ir.walk import postorder


def over_ahead(roots: Iterable[Node]) -> list[Call]:
    """Return the functions of rows ahead that expressions are computed from."""
    return [node for node in postorder(list(roots)) if is_over_ahead(node)]


def of_own_row(roots: Iterable[Node]) -> list[Node]:
    """Return the nodes of expressions, arguments first, but those below functions of rows ahead.

    What those read of the row itself, its time and its key, is known at its moment, and so may be
    what is seen ahead: it is the later values of that which are not.
    """
    return _reached(roots, lambda node: () if is_over_ahead(node) else node.args)


def without_targets(roots: Iterable[Node]) -> list[Node]:
    """Return the nodes of features, arguments first, but those of what encoders learn from."""
    return _reached(roots, _without_target)


def _without_target(node: Node) -> tuple[Node, ...]:
    return node.args[1:] if is_target(node) else node.args


def _reached(roots: Iterable[Node], below: Callable[[Node], tuple[Node, ...]]) -> list[Node]:
    """Return the nodes that are reached from roots by some of the arguments of each."""
    roots, reached = list(roots), set[Node]()
    pending = [*roots]
    while pending:
        node = pending.pop()
        if node not in reached:
            reached.add(node)
            pending += below(node)
    return [node for node in postorder(roots) if node in reached]


def late_columns(label: Iterable[Node]) -> list[str]:
    """Return the columns that a label reads of its own row: they are late."""
    names = [node.name for node in of_own_row(label) if isinstance(node, Column)]
    return list(dict.fromkeys(names))


def check_label(name: str, label: Node) -> None:
    """Raise where a label has rows ahead inside of other windows, or reads a table elsewhere.

    Raises:
        InvalidPlan: the first such expression.
    """
    for node in postorder([label]):
        inner = over_ahead(node.args) if is_over(node) else []
        if inner:
            raise InvalidPlan(
                f"the label {name!r}: {show(node)} is over a window, and reads {show(inner[0])}, "
                "which looks ahead itself. Take the value that it sees there"
            )
    looked_up = [node for node in of_own_row([label]) if isinstance(node, TableColumn)]
    if looked_up:
        raise InvalidPlan(
            f"the label {name!r} looks rows up in the table {looked_up[0].table!r}: a label is "
            "computed from its own row. Join the table to the data first"
        )


def check_features(features: Mapping[str, Node], label: Sequence[Node]) -> None:
    """Raise where a feature sees rows ahead, but as the label that is the target of an encoder.

    Args:
        features: their expressions, by name, in which targets that name the label are its
            expression.
        label: the expression of the label.

    Raises:
        Leakage: the first such feature.
    """
    if not over_ahead(features.values()):
        return
    of_label = set(over_ahead(label))
    for name, root in features.items():
        for node in postorder([root]):
            if is_over_ahead(node) and node not in of_label:
                raise _sees_ahead(name, node)
        for node in without_targets([root]):
            if is_over_ahead(node):
                raise _sees_ahead(name, node)


def _sees_ahead(name: str, node: Call) -> Leakage:
    return Leakage(
        f"feature {name!r} reads {show(node)}, which is known only after the prediction: "
        "aggregates over ff.ahead stand in label= only. A feature looks back: ff.window(...)"
    )
