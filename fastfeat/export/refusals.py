"""Refusals: the features that an export cannot have, with the step of each and the reason."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from fastfeat.errors import NotExportable, counted
from fastfeat.execute.fitted import Fitted
from fastfeat.ir.dtypes import NEVER_COLUMNS
from fastfeat.ir.node import Aggregate, Call, Column, Node
from fastfeat.ir.scope import is_over, is_over_table, row_order
from fastfeat.ir.show import show
from fastfeat.plan.lower import indicators
from fastfeat.steps.registry import is_step

Unsupported = Callable[[Fitted, Call | Aggregate], str | None]
"""Returns the reason why a step cannot be written; None if it can be."""
_OF_TABLES = frozenset({"lookup_row", "lookup_value", "asof_row"})


def columns_of_features(fitted: Fitted) -> dict[str, dict[str, Node]]:
    """Return, for each declared feature, its output columns and the expression of each."""
    declared, types = fitted.declaration, fitted.bound
    found: dict[str, dict[str, Node]] = {}
    for name, expression in declared.features.items():
        own = {name + suffix: declared.nodes[name + suffix] for suffix in expression.suffixes}
        found[name] = indicators.expand_one_hot(own, fitted.constants, types)
    return found


def refusals(fitted: Fitted, unsupported: Unsupported) -> dict[str, str]:
    """Return the reason of each declared feature that cannot be written, by name."""
    reasons: dict[Node, str | None] = {}
    found: dict[str, str] = {}
    for name, columns in columns_of_features(fitted).items():
        for node in row_order(columns.values()):
            if node not in reasons:
                reasons[node] = _reason(node, fitted, unsupported)
        told = [reasons[node] for node in row_order(columns.values())]
        told += [
            f"{show(node)}: it is {fitted.types[node]}, no number. Convert it: .dt.epoch('s')"
            for node in columns.values()
            if not fitted.types[node].is_number
        ]
        first = next(filter(None, told), None)
        if first is not None:
            found[name] = first
    return found


def _reason(node: Node, fitted: Fitted, unsupported: Unsupported) -> str | None:
    match node:
        case Column(name):
            dtype = fitted.types[node]
            return f"col({name!r}): it is a list" if dtype.is_list else None
        case Call(function) if is_over(node):
            place = "another table" if is_over_table(node) else "earlier rows"
            return f"{show(node)}: {function.removeprefix('over.')} of {place} needs a state"
        case Call(function) if function in _OF_TABLES:
            return f"{show(node)}: the table is not part of the export"
        case Call() | Aggregate() if _is_step(node, fitted):
            reason = unsupported(fitted, node)
            return None if reason is None else f"{show(node)}: {reason}"
        case _:
            return None


def _is_step(node: Call | Aggregate, fitted: Fitted) -> bool:
    dtype = fitted.types.get(node)
    return dtype is not None and dtype not in NEVER_COLUMNS and is_step(node, fitted.types)


def check(refused: Mapping[str, str], n_features: int, form: str) -> None:
    """Raise `NotExportable` if features are refused; the message names all of them."""
    if not refused:
        return
    told = "".join(f"\n  {name!r}: {reason}" for name, reason in refused.items())
    raise NotExportable(
        f"{len(refused)} of {counted(n_features, 'feature')} cannot be exported as {form}:{told}\n"
        "partial=True leaves them out"
    )
