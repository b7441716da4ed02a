"""Scheduling: the tasks of a plan, from its expressions and their types alone.

At first, each step, each expression that a step reads, each window function and each aggregate is
one task. The passes of `plan.lower.passes` then combine tasks that can run together.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from fastfeat.aggregates import AGGREGATES, is_target
from fastfeat.ir.node import (
    TRAINING,
    Aggregate,
    Call,
    GroupFrame,
    Node,
    fold,
)
from fastfeat.plan.lower import indicators
from fastfeat.plan.lower.draft import (
    Draft,
    columns_of,
    is_vocabulary,
    leaves_of,
    new_draft,
    place_of,
    value_of,
    visit,
    without_repeats,
)
from fastfeat.plan.lower.lower import NodeTypes
from fastfeat.plan.lower.passes import PASSES
from fastfeat.plan.lower.schedule import (
    ROWS,
    SEEN,
    ColumnOf,
    Purpose,
    Schedule,
    ScheduledColumn,
    ScheduledTask,
    ScheduledValue,
    Space,
    ValueOf,
)
from fastfeat.plan.lower.task_graph import in_order
from fastfeat.steps.registry import is_step


def schedule_of(features: Mapping[str, Node], types: NodeTypes, purpose: Purpose) -> Schedule:
    """Return the schedule of a plan's features for a purpose, such as "fit"; not for "columns"."""
    schedule = draft_schedule(features, types, purpose)
    for improve in PASSES:
        schedule = improve(schedule)
    return schedule


def schedule_of_columns(
    nodes: Sequence[Node], types: NodeTypes, *, training: bool = False
) -> Schedule:
    """Return the schedule that runs all steps that the expressions read.

    The columns of these steps are its outputs. `training` tells whether the rows are the training
    rows.
    """
    draft = new_draft(types, training=training)
    visit(draft, ROWS, nodes)
    _link_windows(draft)
    made = [place for task in draft.tasks for place in task.gives]
    kinds = [kind for kind, _ in draft.spaces]
    own = [place for place in made if kinds[draft.columns[place].space] in ("rows", "elements")]
    schedule = _schedule(draft, "columns", own)
    for improve in PASSES:
        schedule = improve(schedule)
    return schedule


def draft_schedule(features: Mapping[str, Node], types: NodeTypes, purpose: Purpose) -> Schedule:
    """Return the schedule of features before `PASSES` rewrite it; see `schedule_of`."""
    in_parts = purpose == "fit in parts"
    learns = in_parts or purpose in ("fit", "fit_transform")
    draft = new_draft(types, training=purpose != "apply", learns=learns, in_parts=in_parts)
    roots = list(features.values())
    if learns:
        for k, aggregates in enumerate(scans_of(roots)):
            draft.round = k + 1
            _learn(draft, aggregates)
        draft.round += 1
    outputs: Sequence[ColumnOf] = [
        place for task in draft.tasks if task.kind == "target" for place in task.reads
    ]
    if not learns or purpose == "fit_transform":
        outputs = [*outputs, *_features(draft, roots)]
    _link_windows(draft)
    return _schedule(draft, purpose, outputs)


def scans_of(roots: Sequence[Node]) -> list[list[Aggregate]]:
    """Return the aggregates to learn in each pass over the training rows, one list per pass.

    An aggregate comes after those that its own input depends on.
    """

    def depth(node: Node, below: list[int]) -> int:
        deepest = max(below, default=0)
        return deepest + 1 if isinstance(node, Aggregate) else deepest

    depths = fold(roots, depth)
    scans: list[list[Aggregate]] = [[] for _ in range(max(depths.values(), default=0))]
    for node, level in depths.items():
        if isinstance(node, Aggregate):
            scans[level - 1].append(node)
    return scans


def is_of_keys(aggregate: Aggregate) -> bool:
    """Return whether an aggregate counts keys, or is learned per key."""
    counted = "keys" in AGGREGATES[aggregate.function].primitives
    return counted or isinstance(aggregate.frame, GroupFrame)


def _schedule(draft: Draft, purpose: Purpose, outputs: Iterable[ColumnOf]) -> Schedule:
    spaces = tuple(
        Space(kind, name, types)  # type: ignore[arg-type]
        for (kind, name), types in zip(draft.spaces, draft.types, strict=True)
    )
    values = tuple(map(_kept, draft.values))
    kept = tuple(dict.fromkeys(outputs))
    columns, tasks = tuple(draft.columns), tuple(draft.tasks)
    return in_order(Schedule(purpose, spaces, columns, values, tasks, kept))


def _kept(origin: Aggregate | Call) -> ScheduledValue:
    """Return a learned value's record in the schedule, with the place where the value is saved."""
    if not isinstance(origin, Aggregate):
        return ScheduledValue(origin, "fit")
    return ScheduledValue(origin, "artifact and fit" if is_target(origin) else "artifact")


def _link_windows(draft: Draft) -> None:
    """Let window functions of the data's rows read the same functions of the rows that windows see.

    If the latter exist, their columns are copied, and the inputs are not read again.
    """
    for k, task in enumerate(draft.tasks):
        is_over_some = task.kind in ("windows", "windows over a table")
        if not is_over_some or draft.columns[task.gives[0]].space != ROWS:
            continue
        seen = draft.places.get((SEEN, task.nodes[0]))
        if seen is None:
            continue
        if task.kind == "windows over a table":
            draft.tasks[k] = replace(task, reads=(seen,), uses=())
            continue
        assert isinstance(task.order, Call)  # used to compare the history with the rows
        asked, uses = leaves_of(draft, SEEN, task.order.args[:1])
        reads = without_repeats(*columns_of(draft, SEEN, task.order.args), *asked, seen)
        draft.tasks[k] = replace(task, reads=reads, uses=uses)


def _learn(draft: Draft, aggregates: Sequence[Aggregate]) -> None:
    """Add the tasks that learn the given aggregates, all in one pass over the training rows."""
    of_keys = [one for one in aggregates if is_of_keys(one)]
    visit(draft, ROWS, of_keys)
    visit(draft, ROWS, [arg for one in of_keys for arg in one.args])
    counted = [one for one in of_keys if one.frame == TRAINING]
    targets = [one for one in of_keys if is_target(one)]
    grouped = [one for one in of_keys if one.frame != TRAINING and not is_target(one)]
    for one in counted:
        _add_learning(draft, "keys", one, columns_of(draft, ROWS, one.args), ())
    for kind, members in (("target", targets), ("groups", grouped)):
        for one in members:
            reads, uses = leaves_of(draft, ROWS, one.args[:1])
            codes = columns_of(draft, ROWS, one.args[1:])
            numbered = [arg.args[-1] for arg in one.args[1:] if isinstance(arg, Call) and arg.args]
            n_codes = [value_of(draft, arg) for arg in numbered if is_vocabulary(arg)]
            _add_learning(
                draft, kind, one, without_repeats(*reads, *codes), without_repeats(*uses, *n_codes)
            )
    others = [one for one in aggregates if one not in of_keys]
    visit(draft, ROWS, [one.args[0] for one in others])
    for one in others:
        _add_learning(draft, "statistics", one, *leaves_of(draft, ROWS, one.args[:1]))


def _add_learning(
    draft: Draft,
    kind: str,
    one: Aggregate,
    reads: tuple[ColumnOf, ...],
    uses: tuple[ValueOf, ...],
) -> None:
    learns = (value_of(draft, one),)
    is_of_rounds = draft.in_parts and kind == "statistics"
    n_rounds = AGGREGATES[one.function].n_rounds if is_of_rounds else 1
    draft.tasks.append(ScheduledTask(kind, (one,), reads, uses, (), learns, draft.round, n_rounds))


def _features(draft: Draft, roots: Sequence[Node]) -> tuple[ColumnOf, ...]:
    """Add the task that computes all features; return indices of the columns that it reads."""
    read = [node.args[0] if indicators.is_one_hot(node) else node for node in roots]
    visit(draft, ROWS, read)
    for node in roots:
        if indicators.is_one_hot(node) and _is_of_lists(node):
            _add_indicators(draft, node)
    reads, uses = leaves_of(draft, ROWS, read)
    blocks = [draft.places[ROWS, node] for node in roots if (ROWS, node) in draft.places]
    widths = [value_of(draft, arg) for node in read for arg in node.args if is_vocabulary(arg)]
    reads = without_repeats(*reads, *blocks)
    task = ScheduledTask(
        *("features", tuple(roots), reads, without_repeats(*uses, *widths)),
        round=draft.round,
    )
    draft.tasks.append(task)
    return reads


def _is_of_lists(node: Node) -> bool:
    """Return whether a one-hot encoding is of list elements; each of its columns is a step then."""
    codes = node.args[0]
    return isinstance(codes, Call) and codes.function == "list.encode"


def _add_indicators(draft: Draft, node: Node) -> None:
    """Add the task that makes all columns of a multi-hot encoding, one per category."""
    codes = node.args[0]
    known = [value_of(draft, arg) for arg in codes.args if is_vocabulary(arg)]
    place = place_of(draft, ROWS, node, known[0] if known else None)
    task = ScheduledTask(
        *("indicators", (node,), (draft.places[ROWS, codes],), tuple(known), (place,)),
        round=draft.round,
    )
    draft.tasks.append(task)


def separate_multi_hot(schedule: Schedule, nodes: Iterable[Node], types: NodeTypes) -> Schedule:
    """Return the schedule of a fitted plan: each multi-hot column, now known, has its own step.

    `nodes` are the expressions of the fitted plan's columns; `types` must include them.
    """
    blocks = [task for task in schedule.tasks if task.kind == "indicators"]
    if not blocks:
        return schedule
    columns, steps = list(schedule.columns), dict[Node, ScheduledTask]()
    made: dict[ColumnOf, tuple[ColumnOf, ...]] = {}
    for block in blocks:
        own = [node for node in nodes if node.args[:1] == block.nodes[0].args[:1]]
        for node in own:
            if is_step(node, types) and node not in steps:
                given = (len(columns),)
                steps[node] = replace(block, kind="step", nodes=(node,), gives=given, frees=())
                columns.append(ScheduledColumn(ROWS, types[node], node))
        made[block.gives[0]] = tuple(steps[node].gives[0] for node in own if node in steps)

    def each(places: Iterable[ColumnOf]) -> tuple[ColumnOf, ...]:
        return without_repeats(*(one for place in places for one in made.get(place, (place,))))

    left = [task for task in schedule.tasks if task.kind != "indicators"]
    tasks = [replace(task, reads=each(task.reads)) for task in left]
    first = tasks.index(next(task for task in tasks if task.kind == "features"))
    spaces = (replace(schedule.spaces[ROWS], types=types), *schedule.spaces[1:])
    return replace(
        schedule,
        spaces=spaces,
        columns=tuple(columns),
        tasks=(*tasks[:first], *steps.values(), *tasks[first:]),
        outputs=each(schedule.outputs),
    )
