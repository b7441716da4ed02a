"""Leakage: what is known only after the moment of prediction must not reach a feature.

It may be the target of an out-of-fold encoder. What comes out of one holds for the row itself only:
row functions and aggregates over all rows may take it, but no key, no aggregate per key and no
other encoder.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import IntEnum
from typing import Any

import numpy as np

from fastfeat.aggregates import AGGREGATES
from fastfeat.errors import InvalidData, Leakage
from fastfeat.io.arrow import pa
from fastfeat.ir.durations import duration_text
from fastfeat.ir.node import Aggregate, Call, Column, GroupFrame, Node, TableColumn
from fastfeat.ir.rewrite import rewritten, with_args
from fastfeat.ir.scope import (
    OVER,
    is_over_ahead,
    is_over_rows_ahead,
    is_over_table,
    is_over_window,
    order_of,
    row_order,
    window_nodes,
    window_of,
)
from fastfeat.ir.show import show, show_all
from fastfeat.ir.walk import fold, postorder
from fastfeat.plan.ahead import late_columns
from fastfeat.steps import STEPS
from fastfeat.steps.windows import OVER_FUNCTIONS


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
    own = [over.args[0] for over in over_windows if _reads_own(over)]
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


def _columns_of_rows(roots: Iterable[Node]) -> list[str]:
    names = [node.name for node in row_order(roots) if isinstance(node, Column)]
    return list(dict.fromkeys(names))


class Sight(IntEnum):
    """What an expression sees of late columns."""

    NOTHING = 0
    PAST = 1
    """Values of earlier rows, through a window without the row itself."""
    ENCODED = 2
    """An out-of-fold encoding."""
    LATE = 3
    """The values of the row itself."""
    LEARNT = 4
    """What fit learns from late values of all rows, that of the row itself among them."""


def check_leakage(
    features: Mapping[str, Node],
    of_label: Iterable[str],
    outcomes: Iterable[str],
    label_delay: tuple[int, str] | None = None,
) -> None:
    """Raise Leakage where a late column reaches a feature by a way that is not allowed.

    Args:
        features: their expressions, by name.
        of_label: the columns that the label is computed from, and a column of its own name.
        outcomes: further columns that are late.
        label_delay: how long after a row its late columns are known, and the unit, as of windows.

    Raises:
        Leakage: a feature sees a late column, an encoding reaches a key or another encoder, or the
            target of an encoder is not declared.
    """
    in_label, in_outcomes = set(of_label), set(outcomes)
    declared = in_label | in_outcomes

    def visit(node: Node, args: list[Sight]) -> Sight:
        match node:
            case Column(name):
                return Sight.LATE if name in declared else Sight.NOTHING
            case Aggregate() if _is_target(node):
                _check_target_of(node, args, declared)
                _check_folds(node, label_delay)
                return Sight.ENCODED
            case Aggregate(function, _, _, frame) if function == "vocabulary" or isinstance(
                frame, GroupFrame
            ):
                _refuse_keys(node, args)
            case Call() if is_over_ahead(node):
                return Sight.LATE
            case Call() if is_over_table(node):
                _check_order(node, args[1])
                return args[0]
            case Call() if is_over_window(node):
                return _sight_over(node, args, label_delay)
            case Call(function) if function in STEPS and STEPS[function].of_keys:
                _refuse_keys(node, args)
            case _:
                pass
        sight = max(args, default=Sight.NOTHING)
        return Sight.LEARNT if isinstance(node, Aggregate) and sight is Sight.LATE else sight

    seen = fold(list(features.values()), visit)
    for name, root in features.items():
        if seen[root] >= Sight.LATE:
            raise _late(name, root, in_label, declared)


def with_label(roots: Sequence[Node], label: Mapping[str, Node]) -> list[Node]:
    """Return expressions in which the name of the label, as a target, is what computes the label.

    Args:
        roots: the features.
        label: the expression of the label, by its name.
    """
    named: dict[Node, Node] = {Column(name): node for name, node in label.items()}

    def rule(node: Node) -> Node:
        if not (isinstance(node, Aggregate) and _is_target(node)):
            return node
        target = rewritten([node.args[0]], lambda part: named.get(part, part))
        return with_args(node, (*target, *node.args[1:]))

    return rewritten(roots, rule)


def _is_target(node: Node) -> bool:
    return isinstance(node, Aggregate) and "target" in AGGREGATES[node.function].primitives


def _check_target_of(node: Aggregate, args: Sequence[Sight], declared: set[str]) -> None:
    """Raise where the target is not late, or where it, or its encoding, is a key."""
    _, codes, folds = args
    if max(codes, folds) is not Sight.NOTHING:
        _refuse_keys(node, [codes, folds])
    undeclared = [name for name in late_columns([node.args[0]]) if name not in declared]
    learnt = [part for part in postorder([node.args[0]]) if isinstance(part, Aggregate)]
    if any(map(_is_target, learnt)):
        raise Leakage(
            f"{show(node)}: its target is an encoding itself, which is out of fold for its own row "
            "only. Take the label, or a column of outcomes="
        )
    if window_nodes([node.args[0]]):
        raise Leakage(
            f"{show(node)}: its target reads a window. Take the label, or a column of outcomes="
        )
    if learnt and args[0] >= Sight.LATE:
        raise Leakage(
            f"{show(node)}: its target holds {show(learnt[0])}, which is learnt from all rows, so "
            "that each training row would see its own value. Write the number itself"
        )
    if undeclared:
        raise Leakage(
            f"{show(node)}: its target reads {undeclared[0]!r}, which is not declared as known "
            f"only after the prediction. Declare it: Plan(..., label={undeclared[0]!r}), or "
            f"outcomes=[{undeclared[0]!r}]"
        )


def _check_folds(node: Aggregate, label_delay: tuple[int, str] | None) -> None:
    """Raise where folds by time learn from late columns before they are known."""
    if dict(node.params)["ordered"] and label_delay is not None and label_delay[0]:
        told = _duration_told(*label_delay)
        raise Leakage(
            f"{show(node)}: folds by time learn from all rows of earlier folds, and late columns "
            f"are known {told} after their row (label_delay=). Take a window by the key: "
            f"target.mean(over=ff.window(by=key, time=time, offset={told}))"
        )


def _sight_over(node: Call, args: Sequence[Sight], label_delay: tuple[int, str] | None) -> Sight:
    """Return what a function over a window sees.

    Raises:
        Leakage: an encoding comes into it, or a late value of the row itself, or one that is not
            known yet.
    """
    seen, ordered = args
    params = dict(window_of(node).params)
    _check_order(node, ordered)
    if seen is Sight.ENCODED:
        raise Leakage(
            f"{show(node)}: an encoding of the target is out of fold for its own row only: it may "
            "not come into a window of other rows"
        )
    if seen is Sight.LEARNT:
        raise Leakage(
            f"{show(node)}: reads what fit learns from late values of all rows, so that each "
            "training row would see its own. Take the value itself: "
            "col('y').mean(over=...)"
        )
    if seen is not Sight.LATE:
        return seen
    if _reads_own(node):
        raise Leakage(
            f"{show(node)}: compares the row's own {show(node.args[0])}, which is known only after "
            "the prediction. Compare that of an earlier row: x.lag(1, over=...).rank(over=...)"
        )
    own = params["closed"] in ("right", "both") and not params["offset"]
    if own:
        raise Leakage(
            f"{show(node)}: the window holds the row itself, whose {show(node.args[0])} is known "
            "only after the prediction. Leave closed= out, or give the window an offset="
        )
    if label_delay is not None:
        _check_delay(node, params, *label_delay)
    return Sight.PAST


def _check_order(node: Call, ordered: Sight) -> None:
    """Raise where what orders rows, or what they ask by, is known too late."""
    if ordered is not Sight.NOTHING:
        raise Leakage(
            f"{show(node)}: its time, key or tie reads what is known only after the prediction, or "
            "an encoding of it. Order rows by what is known at their moment"
        )


def _reads_own(over: Call) -> bool:
    """Return whether a function over a window reads the value of the row itself too."""
    return OVER_FUNCTIONS[over.function.removeprefix(OVER)].reads_own


def _check_delay(node: Call, params: Mapping[str, Any], delay: int, unit: str) -> None:
    """Raise where a window reads late columns before they are known."""
    told = _duration_told(delay, unit)
    if params["unit"] not in (None, unit):
        raise Leakage(
            f"{show(node)}: label_delay={told} and the lengths of the window are a duration and a "
            "whole number. Write both in the kind of the time"
        )
    if params["offset"] < delay:
        raise Leakage(
            f"{show(node)}: late columns are known {told} after their row (label_delay=), and the "
            f"window ends before that. Give it offset={told} or more"
        )


def _duration_told(delay: int, unit: str) -> str:
    return repr(duration_text(delay)) if unit == "time" else str(delay)


def _refuse_keys(node: Node, args: Sequence[Sight]) -> None:
    """Raise where late columns or encodings come into a key, or an aggregate per key."""
    sight = max(args, default=Sight.NOTHING)
    if sight is Sight.PAST:
        raise Leakage(
            f"{show(node)}: reads late columns of earlier rows through a window. That may pass "
            "through functions of the row and aggregates of all rows, but not into a key, an "
            "aggregate with by=, or an encoder"
        )
    if sight is Sight.ENCODED:
        raise Leakage(
            f"{show(node)}: an encoding of the target is out of fold for its own row only. It may "
            "pass through functions of the row and aggregates of all rows, but not into a key, an "
            "aggregate with by=, or another encoder"
        )
    if sight >= Sight.LATE and isinstance(node, Aggregate) and node.function != "vocabulary":
        raise Leakage(
            f"{show(node)} learns per key from a column that is known only after the prediction: "
            "each training row would see its own value. Write x.target_encode(target), which is "
            "out of fold"
        )


def _late(name: str, root: Node, in_label: set[str], declared: set[str]) -> Leakage:
    """Return the error of a feature that sees a late column."""
    late = _first_late(root, declared)
    own = late in own_columns([root])
    how = "in its own row" if own else "through what fit learns from all rows"
    option = "label=" if late in in_label else "outcomes="
    instead = "" if late in in_label else ", or the column from outcomes="
    return Leakage(
        f"feature {name!r} reads {late!r} {how}, which is known only after the prediction "
        f"({option}): {show(root)}. Take the feature out{instead}"
    )


def _first_late(root: Node, declared: set[str]) -> str:
    """Return the first late column that a feature reads other than as the target of an encoder."""
    pending, reached = [root], set[Node]()
    while pending:
        node = pending.pop()
        if node in reached:
            continue
        reached.add(node)
        if isinstance(node, Column) and node.name in declared:
            return node.name
        unseen = _is_target(node) or is_over_window(node)
        pending.extend(reversed(node.args[1:] if unseen else node.args))
    raise AssertionError("no late column")


def check_target(shown: str, function: str, values: Any, prior: float) -> None:
    """Raise where a target is not such as its encoder takes.

    Args:
        shown: the encoder, for the message.
        function: the statistic.
        values: the target of the training rows, an Arrow array.
        prior: what was learnt from all of them.

    Raises:
        InvalidData: it has other classes than 0 and 1 where these are needed, or infinite values of
            which all that is learnt would be.
    """
    if function != "target_odds":
        if function != "target_quantile" or math.isinf(prior):
            _check_finite(shown, values)
        return
    numbers = values.drop_null().to_numpy(zero_copy_only=False).astype(np.float64)
    others = numbers[(numbers != 0) & (numbers != 1)]
    if len(others):
        raise InvalidData(
            f"{shown}: needs a target of the classes 0 and 1, found {float(others[0])!r}. Compare "
            "it first: woe_encode(col('y') > 15)"
        )


def _check_finite(shown: str, values: Any) -> None:
    """Raise for the first infinite value of a target."""
    if not pa.types.is_floating(values.type):
        return
    numbers = values.to_numpy(zero_copy_only=False)
    rows = np.flatnonzero(np.isinf(numbers))
    if len(rows):
        raise InvalidData(
            f"{shown} is not finite: the first infinite value of the target is "
            f"{float(numbers[rows[0]])!r} in row {rows[0]}. Replace such values before they are "
            "learnt from: target.fill_infinite(None), or clip them"
        )


def describe_leakage(features: Mapping[str, Node], late: Iterable[str]) -> str:
    """Return what each feature can see: columns of its own row, and what is learnt in fit."""
    declared = sorted(set(late))
    lines = [f"late columns (label, outcomes): {', '.join(declared) or 'none declared'}", ""]
    undeclared: dict[str, None] = {}
    tables: dict[str, None] = {}
    for name, root in features.items():
        own = own_columns([root])
        undeclared.update(dict.fromkeys(own))
        learnt = [n for n in postorder([root]) if isinstance(n, Aggregate)]
        lines.append(f"{name}")
        lines.append(f"  own row: {', '.join(own) or 'nothing'}")
        looked_up = [n for n in postorder([root]) if isinstance(n, TableColumn)]
        if looked_up:
            named = (f"{n.table}[{n.name!r}]" for n in looked_up)
            lines.append(f"  lookup tables: {', '.join(named)}")
            tables.update(dict.fromkeys(n.table for n in looked_up))
        lines += _listed_windows(root)
        lines += _listed("learnt from the training rows", learnt, lambda n: not _is_target(n))
        lines += _listed("learnt out of fold from the target", learnt, _is_target)
    lines += ["", "read from the row itself, so they must be known at the moment of prediction:"]
    lines.append(f"  {', '.join(undeclared) or 'none'}")
    if tables:
        lines += ["", "lookup tables, whose content must be known then:", f"  {', '.join(tables)}"]
    return "\n".join(lines)


def _listed(
    told: str, learnt: Sequence[Aggregate], chosen: Callable[[Aggregate], bool]
) -> list[str]:
    found = [node for node in learnt if chosen(node)]
    return [f"  {told}: {'; '.join(show_all(found).values())}"] if found else []


def _listed_windows(root: Node) -> list[str]:
    """Return what a feature sees of earlier rows, of the data and of tables."""
    of_tables = [node for node in postorder([root]) if is_over_table(node)]
    found = {"earlier rows": window_nodes([root]), "rows of tables": of_tables}
    return [
        f"  {told}: {'; '.join(dict.fromkeys(show_all(nodes).values()))}"
        for told, nodes in found.items()
        if nodes
    ]
