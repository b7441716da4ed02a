"""Leakage: a value known only after the moment of prediction must not reach a feature.

A late column, such as the label, has such values. They may reach a feature in two ways: through a
window that excludes the row and has a trusted clock (time column), or as the target of an
out-of-fold encoder. The result of such a window may pass through functions of the row, aggregates
over all rows and windows with the same clock. The result of such an encoder is valid for its own
row only, and may pass through functions of the row and aggregates over all rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from fastfeat.aggregates import is_fold_by_number, is_target
from fastfeat.errors import Leakage, did_you_mean
from fastfeat.ir.node import (
    Aggregate,
    Call,
    Column,
    GroupFrame,
    Node,
    TableColumn,
    fold,
    params_of,
    postorder,
    rewrite_nodes,
    with_args,
)
from fastfeat.ir.scope import (
    is_over_ahead,
    is_over_table,
    is_over_window,
    window_nodes,
)
from fastfeat.ir.show import show
from fastfeat.plan.declare import clocks, late_windows, rows_ahead
from fastfeat.plan.declare.late_columns import LateColumns
from fastfeat.plan.declare.source_columns import columns_of, own_columns
from fastfeat.steps.registry import STEPS

if TYPE_CHECKING:
    from fastfeat.plan.declare.clocks import Clock
    from fastfeat.plan.declare.late_windows import BoundTypes, KnownAfter, LateSight


def check_leakage(
    features: Mapping[str, Node], late: LateColumns, types: BoundTypes | None = None
) -> None:
    """Raise Leakage if a late column reaches a feature in a way that is not allowed.

    Before binding, `types` is None. With the bound types, the zones of columns count too, and the
    ages of the labels that windows see are checked again.
    """

    def visit(node: Node, args: list[LateSight]) -> LateSight:
        match node:
            case Column() | TableColumn():
                return (
                    late_windows.LateSight(late_windows.LatePath.LATE, frozenset({node.name}))
                    if late.holds(node)
                    else late_windows.NOTHING
                )
            case Aggregate() if is_target(node):
                _check_target_of(node, args, late)
                _check_folds_of(node, late, types)
                return late_windows.LateSight(late_windows.LatePath.ENCODED)
            case Aggregate(function, _, _, frame) if function == "vocabulary" or isinstance(
                frame, GroupFrame
            ):
                _refuse_keys(node, args)
                if late.ahead is not None:
                    rows_ahead.refuse_rows_ahead(node, late.ahead)
            case Call() if is_over_ahead(node):
                return late_windows.LateSight(late_windows.LatePath.LATE)
            case Call() if is_over_table(node) or is_over_window(node):
                return late_windows.sight_over(node, args, late, types)
            case Call("lookup_value" | "lookup_row" | "asof_row"):
                _refuse_late_of_tables(node, args, late)
                _refuse_keys(node, args)
            case Call("category_count" | "category_share"):
                if late.ahead is not None:
                    rows_ahead.refuse_rows_ahead(node, late.ahead)
            case Call(function) if function in STEPS and STEPS[function].of_keys:
                _refuse_keys(node, args)
            case _:
                pass
        sight = late_windows.merge_sights(args)
        if isinstance(node, Aggregate) and sight.ways & late_windows.LatePath.LATE:
            return late_windows.LateSight(
                sight.ways ^ late_windows.LatePath.LATE | late_windows.LatePath.LEARNT,
                clocks=sight.clocks,
            )
        return sight

    if late.ahead is not None and late.ahead.counts:
        rows_ahead.refuse_ranks(features, late.ahead)
    seen = fold(list(features.values()), visit)
    for name, root in features.items():
        if seen[root].ways & (late_windows.LatePath.LATE | late_windows.LatePath.LEARNT):
            raise _late_column_error(name, root, late)
    if late.ahead is not None:
        rows_ahead.check_clocks_ahead(features, late, late.ahead, types)


def with_label(roots: Sequence[Node], label: Mapping[str, Node], late: LateColumns) -> list[Node]:
    """Return the features with encoder targets replaced by the label's expression.

    Only targets that name the label are replaced. Encoders with folds by time also get an argument
    by which a fold learns only from rows with a target that is known when the fold begins.
    """
    named: dict[Node, Node] = {
        Column(name): node for name, node in label.items() if node != Column(name)
    }

    def rule(node: Node) -> Node:
        if not is_target(node):
            return node
        target, codes, folds, *_ = node.args
        if named:
            (target,) = rewrite_nodes([target], lambda part: named.get(part, part))
        known = _folds_when_known(node, target, late)
        return with_args(node, (target, codes, folds, *known))

    return rewrite_nodes(roots, rule)


def _check_target_of(node: Aggregate, args: Sequence[LateSight], late: LateColumns) -> None:
    """Raise Leakage if a target is not late, or if it or its encoding is used as a key."""
    target, codes, folds = args[:3]
    if codes.ways or folds.ways:
        _refuse_keys(node, [codes, folds])
    read = sorted(_late_of_target(node.args[0], late))
    undeclared = [name for name in read if name not in late.columns]
    learnt = [part for part in postorder([node.args[0]]) if isinstance(part, Aggregate)]
    if any(map(is_target, learnt)):
        raise Leakage(
            f"{show(node)}: the target contains a target encoding. The encoding of a row leaves "
            "out the targets of that row's fold only, so those of other rows may include this "
            "row's target. Use the label as the target, or a column of outcomes="
        )
    if window_nodes([node.args[0]]):
        raise Leakage(
            f"{show(node)}: the target reads a window of other rows, which may be in other folds. "
            "Use the label, or a column of outcomes="
        )
    if learnt and target.ways & (late_windows.LatePath.LATE | late_windows.LatePath.LEARNT):
        raise Leakage(
            f"{show(node)}: the target contains {show(learnt[0])}, which is learnt from all rows, "
            "so each training row would see its own value. Write that number as a constant"
        )
    if undeclared:
        raise Leakage(
            f"{show(node)}: the target reads {undeclared[0]!r}, which is not declared as known "
            f"only after the prediction. Declare it: Plan(..., label={undeclared[0]!r}), or "
            f"outcomes=[{undeclared[0]!r}].{did_you_mean(undeclared[0], late.names)}"
        )


def _check_folds_of(node: Aggregate, late: LateColumns, types: BoundTypes | None) -> None:
    """Raise Leakage if an encoder's folds let a row learn from rows that its label has seen.

    Folds by time learn from rows with a target that is known when the fold begins, by a trusted
    clock. A label from the future sees later rows of its entity, so no other fold may contain rows
    of that entity. This holds for any target: a statistic learned per entity reveals its number of
    rows.
    """
    folds = node.args[2]
    assert isinstance(folds, Call)
    tells_ahead = _tells_rows_ahead(node, late)
    if folds.function == "time_fold":
        (time,) = folds.args
        columns = _late_of_target(node.args[0], late)
        is_delayed = any(column in late.delays for column in columns)
        if is_delayed or tells_ahead:
            clock = late_windows.trusted_clock(node, time, types)
            known = late_windows.known_after(node, time, clock, columns, late, types)
            _check_delay_of_folds(node, clock, known)
        return
    ahead = late.ahead
    if ahead is None or not tells_ahead:
        return
    of_entity = folds.function == "fold" and folds.args and ahead.entity.issuperset(folds.args)
    if not of_entity:
        keys = ", ".join(sorted(ahead.entity_columns))
        by = f"fold_by={sorted(ahead.entity_columns)!r}, or " if keys else ""
        raise Leakage(
            f"{show(node)}: the label of a row is computed from later rows of the same entity, "
            f"which may be in the folds that the encoder learns from. Set {by}time="
        )


def _tells_rows_ahead(node: Aggregate, late: LateColumns) -> bool:
    """Return whether an encoder's target or key reveals the later rows that the label sees."""
    ahead = late.ahead
    if ahead is None:
        return False
    target, codes, *_ = node.args
    return not (
        (late.of_label | ahead.arguments).isdisjoint(columns_of([target]))
        and ahead.entity_columns.isdisjoint(columns_of([codes]))
        and rows_ahead.clock_in([codes], ahead, counts=False) is None
    )


def _check_delay_of_folds(node: Aggregate, clock: Clock, known: Sequence[KnownAfter]) -> None:
    """Raise Leakage if bound folds by time learn too early because of the zone of their time.

    Before binding, `_folds_when_known` treats a time without a zone as UTC.
    """
    waits: int = next((dict(one.params)["delay"] for one in map(_call, node.args[3:])), 0)
    length = _length_of_folds(clock, known)
    if waits < length:
        raise Leakage(
            f"{show(node)}: {known[0].told}, but time= of the folds is truncated in the column's "
            "time zone, where days differ in length, so folds would learn from rows too early. "
            "Name the zone, .dt.truncate('1d', tz='Europe/Berlin'), or use the column without "
            "truncating"
        )


def _call(node: Node) -> Call:
    assert isinstance(node, Call)
    return node


def _length_of_folds(clock: Clock, known: Sequence[KnownAfter]) -> int:
    lengths = (clocks.offset_for(clock, one.length, holds_end=False) for one in known)
    return max(lengths, default=0)


def _folds_when_known(node: Aggregate, target: Node, late: LateColumns) -> list[Node]:
    """Return the expression for the first fold that may learn from a row, as a list.

    The list is empty unless folds are by time and the target has a delay.
    """
    folds = node.args[2]
    if not (isinstance(folds, Call) and folds.function == "time_fold"):
        return []
    (time,) = folds.args
    columns = _late_of_target(target, late)
    clock = clocks.clock_of(time)
    if clock is None or not any(column in late.delays for column in columns):
        return []  # `_check_folds_of` refuses a clock that cannot be trusted
    known = late_windows.known_after(node, time, clock, columns, late, None)
    length = _length_of_folds(clock, known)
    if not length:
        return []
    params = params_of(**dict(folds.params), delay=length, unit=known[0].unit)
    return [Call("time_fold_known", (time,), params)]


def _late_of_target(target: Node, late: LateColumns) -> frozenset[str]:
    """Return the columns that a target reads, and the label's name if it contains the label."""
    names, pending = set[str](), [target]
    while pending:
        node = pending.pop()
        if node in late.label:
            names |= late.names
        elif isinstance(node, Column):
            names.add(node.name)
        else:
            pending.extend(node.args)
    return frozenset(names)


def _refuse_keys(node: Node, args: Sequence[LateSight]) -> None:
    """Raise Leakage if late columns or encodings enter a key, or an aggregate per key."""
    ways = late_windows.merge_sights(args).ways
    if ways & late_windows.LatePath.PAST:
        raise Leakage(
            f"{show(node)}: reads, through a window of earlier rows, a column known only after the "
            "prediction. Use such a window in functions of a single row or in aggregates over all "
            "rows, but not as a key, in an aggregate with by=, or in an encoder"
        )
    if ways & late_windows.LatePath.ENCODED:
        raise Leakage(
            f"{show(node)}: reads a target encoding in a way that leaks the target. The encoding "
            "of a row leaves out the targets of that row's fold, but those of other rows include "
            "them. Use it in functions of a single row or in aggregates over all rows, but not as "
            "a key, in an aggregate with by=, or in another encoder"
        )
    if ways and isinstance(node, Aggregate) and node.function != "vocabulary":
        raise Leakage(
            f"{show(node)} learns per key from a column that is known only after the prediction: "
            "each training row would see its own value. Use x.target_encode(target), which leaves "
            "out the fold of each training row"
        )


def _refuse_late_of_tables(node: Call, args: Sequence[LateSight], late: LateColumns) -> None:
    """Raise Leakage if a lookup or as-of join reads a table column with the name of a late one."""
    pairs = [*zip(node.args, args, strict=True)]
    if any(
        seen.ways & late_windows.LatePath.LATE
        for arg, seen in pairs
        if not isinstance(arg, TableColumn)
    ):
        return  # the feature is refused because of the row's own late columns
    for column, _ in pairs:
        if isinstance(column, TableColumn) and late.holds(column):
            raise Leakage(
                f"{show(node)}: reads {column.name!r} of the table {column.table!r}, and the "
                "column with that name in the data is known only after the prediction. If the "
                "table holds the training rows, each row would see its own value. If the values "
                "are known at the moment of prediction, declare them: Plan(..., known_tables="
                f"{{{column.table!r}: [{column.name!r}]}})"
            )


def _late_column_error(name: str, root: Node, late: LateColumns) -> Leakage:
    """Return the error for a feature that sees a late column."""
    column = _first_late(root, late)
    own = column in own_columns([root])
    how = "in its own row" if own else "through a value that fit learns from all rows"
    if column not in late.of_label:
        option, instead = "outcomes=", ", or remove the column from outcomes="
    elif column in late.may_be_known:
        option = "label=: the label is computed from it"
        instead = (
            f". Or, if {column!r} is known at the moment of prediction, declare it: "
            f"Plan(..., known=[{column!r}])"
        )
    else:
        option, instead = "label=", ""
    return Leakage(
        f"feature {name!r} reads {column!r} {how}, but {column!r} is known only after the "
        f"prediction ({option}): {show(root)}. Remove the feature{instead}"
    )


def _first_late(root: Node, late: LateColumns) -> str:
    """Return the first late column that a feature reads, except as the target of an encoder."""
    pending, reached = [root], set[Node]()
    while pending:
        node = pending.pop()
        if node in reached:
            continue
        reached.add(node)
        if isinstance(node, Column | TableColumn) and late.holds(node):
            return node.name
        unseen = is_target(node) or is_over_window(node) or is_over_table(node)
        pending.extend(reversed(node.args[1:] if unseen else node.args))
    raise AssertionError("no late column")


def learn_from_column(
    roots: Sequence[Node], label: Mapping[str, Node], column: str | None
) -> Sequence[Node]:
    """Return the features with encoders that learn the label from `column`; unchanged if None.

    In `roots`, targets must already be the expression of the label.
    """
    if column is None:
        return roots
    given = Column(column)
    named: dict[Node, Node] = {node: given for node in label.values()}  # noqa: C420  # its type

    def rule(node: Node) -> Node:
        if not is_target(node):
            return node
        target, *others = node.args
        (target,) = rewrite_nodes([target], lambda part: named.get(part, part))
        return with_args(node, (target, *others))

    return rewrite_nodes(roots, rule)


def fold_by_id(roots: Sequence[Node], column: str | None) -> Sequence[Node]:
    """Return the features with default folds computed from the id column; unchanged if it is None.

    Otherwise default folds are computed from row numbers. By id, duplicates of a row are in one
    fold, and neither row order nor the split into files matters.
    """
    if column is None or not any(map(is_fold_by_number, postorder(roots))):
        return roots
    by_id = (Column(column),)
    return rewrite_nodes(
        roots, lambda node: with_args(node, by_id) if is_fold_by_number(node) else node
    )
