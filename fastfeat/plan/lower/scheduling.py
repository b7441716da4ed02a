"""Scheduling: the tasks of a plan, from its expressions and their types alone.

Each step, each expression that one reads, each function over a window and each aggregate is a task
at first. The passes of `plan.lower.passes` put together what is run at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeGuard

from fastfeat.aggregates import AGGREGATES, is_target
from fastfeat.dtypes import FLOAT64, NEVER_COLUMNS, DType
from fastfeat.ir.node import (
    TRAINING,
    Aggregate,
    Call,
    GroupFrame,
    Literal,
    Node,
    TableColumn,
    fold,
    with_args,
)
from fastfeat.ir.node import Column as InputColumn
from fastfeat.ir.scope import (
    is_of_table,
    is_over,
    is_over_window,
    order_of,
    query_of,
    row_args,
    row_order,
    table_columns_of,
    table_of,
)
from fastfeat.plan.lower.indicators import is_one_hot
from fastfeat.plan.lower.lower import Types
from fastfeat.plan.lower.passes import PASSES
from fastfeat.plan.lower.schedule import (
    ROWS,
    SEEN,
    Column,
    ColumnOf,
    Purpose,
    Schedule,
    Space,
    SpaceOf,
    Task,
    Value,
    ValueOf,
)
from fastfeat.plan.lower.task_graph import in_order
from fastfeat.steps.lists.rows import is_exploded
from fastfeat.steps.registry import is_step, step_function


def schedule_of(features: Mapping[str, Node], types: Types, purpose: Purpose) -> Schedule:
    """Return the schedule of features.

    Args:
        features: their expressions, by name, as they are declared.
        types: type of every node.
        purpose: what is computed: one of "apply", "training", "fit" and "fit_transform".
    """
    schedule = drafted(features, types, purpose)
    for improve in PASSES:
        schedule = improve(schedule)
    return schedule


def schedule_of_columns(nodes: Sequence[Node], types: Types, *, training: bool = False) -> Schedule:
    """Return the schedule of the steps that expressions read of a row, which stay there.

    Args:
        nodes: the expressions.
        types: type of every node.
        training: whether the rows are those that are learnt from.
    """
    draft = _draft(types, training=training)
    _visit(draft, ROWS, nodes)
    _link_windows(draft)
    made = [place for task in draft.tasks for place in task.gives]
    kinds = [kind for kind, _ in draft.spaces]
    own = [place for place in made if kinds[draft.columns[place].space] in ("rows", "elements")]
    schedule = _schedule(draft, "columns", own)
    for improve in PASSES:
        schedule = improve(schedule)
    return schedule


def drafted(features: Mapping[str, Node], types: Types, purpose: Purpose) -> Schedule:
    """Return the schedule of features before any pass; arguments as of `schedule_of`."""
    in_parts = purpose == "fit in parts"
    learns = in_parts or purpose in ("fit", "fit_transform")
    draft = _draft(types, training=purpose != "apply", learns=learns, in_parts=in_parts)
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
    """Return the aggregates that are learnt in each pass over the training rows, in order.

    Those that another one is learnt from are learnt before.
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
    """Return whether an aggregate is learnt from keys, or per key."""
    counted = "keys" in AGGREGATES[aggregate.function].primitives
    return counted or isinstance(aggregate.frame, GroupFrame)


def of_table(order: Call, values: Iterable[Node]) -> dict[Node, Node]:
    """Return expressions over the columns of a table as those of rows of it are computed.

    Args:
        order: what orders the rows of the table.
        values: the expressions, beside which the time of the order is there.
    """
    return fold([*values, table_columns_of(order)[0]], _as_row)


def type_in_table(node: Node, dtype: DType) -> DType:
    """Return the type of an expression over a table; what is read as float64 is kept as that."""
    is_float = isinstance(node, TableColumn) and dtype.name in ("decimal", "float16")
    return FLOAT64 if is_float else dtype


def _as_row(node: Node, args: list[Node]) -> Node:
    return InputColumn(node.name) if isinstance(node, TableColumn) else with_args(node, tuple(args))


@dataclass(slots=True)
class _Draft:
    """A schedule that is being made; the fields as of `Schedule`.

    Args:
        training: whether the rows are those that are learnt from.
        learns: whether values are learnt too.
        in_parts: whether from rows that come in parts.
    """

    training: bool
    learns: bool
    in_parts: bool
    types: list[dict[Node, DType] | Types]
    spaces: list[tuple[str, str | Node | None]]
    columns: list[Column] = field(default_factory=list[Column])
    values: dict[Aggregate | Call, ValueOf] = field(default_factory=dict[Aggregate | Call, ValueOf])
    tasks: list[Task] = field(default_factory=list[Task])
    round: int = 1
    places: dict[tuple[SpaceOf, Node], ColumnOf] = field(
        default_factory=dict[tuple[SpaceOf, Node], ColumnOf]
    )


def _draft(types: Types, *, training: bool, learns: bool = False, in_parts: bool = False) -> _Draft:
    spaces: list[tuple[str, str | Node | None]] = [("rows", None), ("seen", None)]
    return _Draft(training, learns, in_parts, [types, types], spaces)


def _schedule(draft: _Draft, purpose: Purpose, outputs: Iterable[ColumnOf]) -> Schedule:
    spaces = tuple(
        Space(kind, name, types)  # type: ignore[arg-type]
        for (kind, name), types in zip(draft.spaces, draft.types, strict=True)
    )
    values = tuple(map(_kept, draft.values))
    kept = tuple(dict.fromkeys(outputs))
    columns, tasks = tuple(draft.columns), tuple(draft.tasks)
    return in_order(Schedule(purpose, spaces, columns, values, tasks, kept))


def _kept(origin: Aggregate | Call) -> Value:
    """Return a value with where it is kept."""
    if not isinstance(origin, Aggregate):
        return Value(origin, "fit")
    return Value(origin, "artifact and fit" if is_target(origin) else "artifact")


def _place(draft: _Draft, space: SpaceOf, node: Node, width: ValueOf | None = None) -> ColumnOf:
    """Return the place of a column, which is new if it is not there."""
    space = _space_of(draft, space, node)
    known = draft.places.get((space, node))
    if known is None:
        known = draft.places[space, node] = len(draft.columns)
        draft.columns.append(Column(space, draft.types[space][node], node, width))
    return known


def _value(draft: _Draft, origin: Aggregate | Call) -> ValueOf:
    return draft.values.setdefault(origin, len(draft.values))


def _table_space(draft: _Draft, name: str) -> SpaceOf:
    """Return the space of the rows of a table."""
    return _space(draft, ("table", name), {})


def _space_of(draft: _Draft, space: SpaceOf, node: Node) -> SpaceOf:
    """Return the space of a column that is made of some rows: these, or elements of their lists."""
    if not is_exploded(node):
        return space
    return _space(draft, ("elements", node.args[0]), draft.types[space])


def _space(
    draft: _Draft, named: tuple[str, str | Node], types: dict[Node, DType] | Types
) -> SpaceOf:
    """Return the place of a space, which is new if it is not there."""
    if named not in draft.spaces:
        draft.spaces.append(named)
        draft.types.append(types)
    return draft.spaces.index(named)


def _visit(draft: _Draft, space: SpaceOf, roots: Iterable[Node]) -> None:
    """Add the tasks of the steps that expressions read of the rows of a space."""
    types = draft.types[space]

    def is_there(node: Node) -> bool:
        return (_space_of(draft, space, node), node) in draft.places

    for node in row_order(roots, training=draft.training, is_there=is_there):
        if not is_there(node) and is_step(node, types):
            _add_step(draft, space, node)


def _add_step(draft: _Draft, space: SpaceOf, node: Node) -> None:
    if isinstance(node, Aggregate):
        own = (_value(draft, node),)
        draft.tasks.append(
            Task("step", (node,), (), own, (_place(draft, space, node),), round=draft.round)
        )
        return
    assert isinstance(node, Call)
    if is_over_window(node):
        _add_window(draft, space, node)
        return
    if is_over(node):
        _add_query(draft, space, node)
        return
    reads = _columns(draft, space, row_args(node, training=draft.training))
    uses = tuple(_value(draft, arg) for arg in node.args if _is_vocabulary(arg))
    if step_function(node).learning is not None:
        uses = (*uses, _learnt_before(draft, node, reads))
    given = (_place(draft, space, node),)
    draft.tasks.append(Task("step", (node,), reads, uses, given, round=draft.round))


def _learnt_before(draft: _Draft, node: Call, reads: tuple[ColumnOf, ...]) -> ValueOf:
    """Return the value that a step needs, learnt of its arguments; steps may share one."""
    learning = step_function(node).learning
    assert learning is not None
    value = _value(draft, learning.origin(node))
    if not draft.learns:
        return value
    n_rounds = learning.n_rounds if draft.in_parts else 1
    for k, task in enumerate(draft.tasks):
        if value in task.learns:
            most = max(task.n_rounds, n_rounds)
            draft.tasks[k] = replace(task, nodes=(*task.nodes, node), n_rounds=most)
            return value
    task = Task("times", (node,), reads, (), (), (value,), draft.round, n_rounds)
    draft.tasks.append(task)
    return value


def _is_vocabulary(node: Node) -> TypeGuard[Aggregate]:
    return isinstance(node, Aggregate) and node.function == "vocabulary"


def _add_window(draft: _Draft, space: SpaceOf, node: Call) -> None:
    """Add the task of a function over a window of the data's rows; `_link_windows` ends it."""
    order = order_of(node)
    given = (_place(draft, space, node),)
    number = draft.round
    reads, uses = _seen_by(draft, SEEN, order, node.args[0])
    draft.tasks.append(Task("windows", (node,), reads, uses, given, round=number, order=order))


def _seen_by(
    draft: _Draft, space: SpaceOf, order: Call, value: Node
) -> tuple[tuple[ColumnOf, ...], tuple[ValueOf, ...]]:
    """Return the columns and values that a function of ordered rows reads."""
    _visit(draft, space, [*order.args, value])
    reads, uses = _leaves(draft, space, [order.args[0], value])
    return _once(*_columns(draft, space, order.args), *reads), uses


def _add_query(draft: _Draft, space: SpaceOf, node: Call) -> None:
    """Add the task of a function of the rows ahead, or of those of a table in a window."""
    order = order_of(node)
    query = query_of(order)
    asked, uses = _leaves(draft, space, query[:1])
    asking = _once(*_columns(draft, space, query), *asked)
    if is_of_table(order):
        kind, (reads, _) = "windows over a table", _read_of_table(draft, space, order, node)
    else:
        kind, (reads, more) = "ahead", _seen_by(draft, SEEN, order, node.args[0])
        uses = _once(*uses, *more)
    task = Task(
        *(kind, (node,), _once(*asking, *reads), uses, (_place(draft, space, node),)),
        round=draft.round,
        order=order,
    )
    draft.tasks.append(task)


def _read_of_table(
    draft: _Draft, space: SpaceOf, order: Call, node: Call
) -> tuple[tuple[ColumnOf, ...], tuple[ValueOf, ...]]:
    """Return the columns and values that a function over a window of a table reads."""
    table, types = _table_space(draft, table_of(order)), draft.types[space]
    renamed = of_table(order, [node.args[0]])
    own = draft.types[table]
    assert isinstance(own, dict)
    own |= {new: type_in_table(old, types[old]) for old, new in renamed.items()}
    value = renamed[node.args[0]]
    _visit(draft, table, [value])
    time = renamed[table_columns_of(order)[0]]
    read, uses = _leaves(draft, table, [value, time])
    own |= {column: types[column] for column in table_columns_of(order)}
    return _once(*(_place(draft, table, one) for one in table_columns_of(order)), *read), uses


def _columns(draft: _Draft, space: SpaceOf, nodes: Iterable[Node]) -> tuple[ColumnOf, ...]:
    """Return the columns of expressions, computed where they are no columns."""
    found = (_column(draft, space, node) for node in nodes)
    return _once(*(place for place in found if place is not None))


def _column(draft: _Draft, space: SpaceOf, node: Node) -> ColumnOf | None:
    """Return the place of the column of an expression; None for what is no column."""
    known = draft.places.get((_space_of(draft, space, node), node))
    if known is not None:
        return known
    dtype = draft.types[space][node]
    match node:
        case TableColumn(table=name):
            table = _table_space(draft, name)
            types = draft.types[table]
            assert isinstance(types, dict)
            types[node] = dtype
            return _place(draft, table, node)
        case Literal():
            return None
        case InputColumn():
            return _place(draft, space, node)
        case _ if dtype in NEVER_COLUMNS:
            return None
        case _:
            reads, uses = _leaves(draft, space, [node])
            place = _place(draft, space, node)
            task = Task("program", (node,), reads, uses, (place,), round=draft.round)
            draft.tasks.append(task)
            return place


def _leaves(
    draft: _Draft, space: SpaceOf, roots: Iterable[Node]
) -> tuple[tuple[ColumnOf, ...], tuple[ValueOf, ...]]:
    """Return the columns that a program of expressions reads, and the values.

    Steps that it reads are there.
    """
    types = draft.types[space]

    def is_made(node: Node) -> bool:
        return is_step(node, types)

    order = row_order(roots, training=draft.training, is_there=is_made)
    steps = {node for node in order if is_made(node)}
    reads = [
        _place(draft, space, node)
        for node in order
        if isinstance(node, InputColumn) or node in steps
    ]
    learnt = [node for node in order if isinstance(node, Aggregate) and node not in steps]
    return _once(*reads), _once(*(_value(draft, node) for node in learnt))


def _once(*places: int) -> tuple[int, ...]:
    return tuple(dict.fromkeys(places))


def _link_windows(draft: _Draft) -> None:
    """Have functions over windows of the rows that are computed of those seen read these.

    They are then taken from there, and what they are of is not read again.
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
        assert isinstance(task.order, Call)  # by which history is held against the rows
        asked, uses = _leaves(draft, SEEN, task.order.args[:1])
        reads = _once(*_columns(draft, SEEN, task.order.args), *asked, seen)
        draft.tasks[k] = replace(task, reads=reads, uses=uses)


def _learn(draft: _Draft, aggregates: Sequence[Aggregate]) -> None:
    """Add the tasks that learn aggregates of one pass."""
    of_keys = [one for one in aggregates if is_of_keys(one)]
    _visit(draft, ROWS, of_keys)
    _visit(draft, ROWS, [arg for one in of_keys for arg in one.args])
    counted = [one for one in of_keys if one.frame == TRAINING]
    targets = [one for one in of_keys if is_target(one)]
    grouped = [one for one in of_keys if one.frame != TRAINING and not is_target(one)]
    for one in counted:
        _add_learning(draft, "keys", one, _columns(draft, ROWS, one.args), ())
    for kind, members in (("target", targets), ("groups", grouped)):
        for one in members:
            reads, uses = _leaves(draft, ROWS, one.args[:1])
            codes = _columns(draft, ROWS, one.args[1:])
            numbered = [arg.args[-1] for arg in one.args[1:] if isinstance(arg, Call) and arg.args]
            n_codes = [_value(draft, arg) for arg in numbered if _is_vocabulary(arg)]
            _add_learning(draft, kind, one, _once(*reads, *codes), _once(*uses, *n_codes))
    others = [one for one in aggregates if one not in of_keys]
    _visit(draft, ROWS, [one.args[0] for one in others])
    for one in others:
        _add_learning(draft, "statistics", one, *_leaves(draft, ROWS, one.args[:1]))


def _add_learning(
    draft: _Draft,
    kind: str,
    one: Aggregate,
    reads: tuple[ColumnOf, ...],
    uses: tuple[ValueOf, ...],
) -> None:
    learns = (_value(draft, one),)
    is_of_rounds = draft.in_parts and kind == "statistics"
    n_rounds = AGGREGATES[one.function].n_rounds if is_of_rounds else 1
    draft.tasks.append(Task(kind, (one,), reads, uses, (), learns, draft.round, n_rounds))


def _features(draft: _Draft, roots: Sequence[Node]) -> tuple[ColumnOf, ...]:
    """Add the tasks of the features; return the columns that their program reads."""
    read = [node.args[0] if is_one_hot(node) else node for node in roots]
    _visit(draft, ROWS, read)
    for node in roots:
        if is_one_hot(node) and _is_of_lists(node):
            _add_indicators(draft, node)
    reads, uses = _leaves(draft, ROWS, read)
    blocks = [draft.places[ROWS, node] for node in roots if (ROWS, node) in draft.places]
    widths = [_value(draft, arg) for node in read for arg in node.args if _is_vocabulary(arg)]
    reads = _once(*reads, *blocks)
    task = Task(
        *("features", tuple(roots), reads, _once(*uses, *widths)),
        round=draft.round,
    )
    draft.tasks.append(task)
    return reads


def _is_of_lists(node: Node) -> bool:
    """Return whether indicators are of the elements of lists: a step each makes their columns."""
    codes = node.args[0]
    return isinstance(codes, Call) and codes.function == "list.encode"


def _add_indicators(draft: _Draft, node: Node) -> None:
    """Add the task of a block of columns, as many as there are categories."""
    codes = node.args[0]
    known = [_value(draft, arg) for arg in codes.args if _is_vocabulary(arg)]
    place = _place(draft, ROWS, node, known[0] if known else None)
    task = Task(
        *("indicators", (node,), (draft.places[ROWS, codes],), tuple(known), (place,)),
        round=draft.round,
    )
    draft.tasks.append(task)


def laid_out(schedule: Schedule, nodes: Iterable[Node], types: Types) -> Schedule:
    """Return the schedule of a fitted plan: what makes a block of columns is a step for each.

    Args:
        schedule: of the features as they are declared.
        nodes: the expressions of the columns of the fitted plan.
        types: type of every node, of these too.
    """
    blocks = [task for task in schedule.tasks if task.kind == "indicators"]
    if not blocks:
        return schedule
    columns, steps = list(schedule.columns), dict[Node, Task]()
    made: dict[ColumnOf, tuple[ColumnOf, ...]] = {}
    for block in blocks:
        own = [node for node in nodes if node.args[:1] == block.nodes[0].args[:1]]
        for node in own:
            if is_step(node, types) and node not in steps:
                given = (len(columns),)
                steps[node] = replace(block, kind="step", nodes=(node,), gives=given, frees=())
                columns.append(Column(ROWS, types[node], node))
        made[block.gives[0]] = tuple(steps[node].gives[0] for node in own if node in steps)

    def each(places: Iterable[ColumnOf]) -> tuple[ColumnOf, ...]:
        return _once(*(one for place in places for one in made.get(place, (place,))))

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
