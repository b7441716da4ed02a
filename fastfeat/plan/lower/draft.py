"""Drafting: the first version of a schedule, with one task per step that expressions read.

A space is a set of rows: those of the data, those that windows see, those of a lookup table, or
list elements. A column is one expression over one space. A value is learned. Tasks name all three
by their index in the schedule; the index of a column is its place.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import field, replace
from typing import TypeGuard

from fastfeat_kernels.records import dataclass

from fastfeat.ir.dtypes import FLOAT64, NEVER_COLUMNS, DType
from fastfeat.ir.node import (
    Aggregate,
    Call,
    Literal,
    Node,
    TableColumn,
    fold,
    with_args,
)
from fastfeat.ir.node import Column as InputColumn
from fastfeat.ir.scope import (
    is_exploded,
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
from fastfeat.plan.lower.lower import NodeTypes
from fastfeat.plan.lower.schedule import (
    SEEN,
    ColumnOf,
    ScheduledColumn,
    ScheduledTask,
    SpaceOf,
    ValueOf,
)
from fastfeat.steps.registry import is_step, step_function


@dataclass(slots=True)
class Draft:
    """A schedule under construction; other fields have the meaning that they have in `Schedule`.

    Args:
        training: Whether the rows are the training rows.
        learns: Whether the schedule also learns values.
        in_parts: Whether training rows arrive in parts, in several passes.
    """

    training: bool
    learns: bool
    in_parts: bool
    types: list[dict[Node, DType] | NodeTypes]
    spaces: list[tuple[str, str | Node | None]]
    columns: list[ScheduledColumn] = field(default_factory=list[ScheduledColumn])
    values: dict[Aggregate | Call, ValueOf] = field(default_factory=dict[Aggregate | Call, ValueOf])
    tasks: list[ScheduledTask] = field(default_factory=list[ScheduledTask])
    round: int = 1
    places: dict[tuple[SpaceOf, Node], ColumnOf] = field(
        default_factory=dict[tuple[SpaceOf, Node], ColumnOf]
    )


def new_draft(
    types: NodeTypes, *, training: bool, learns: bool = False, in_parts: bool = False
) -> Draft:
    """Return a draft without tasks; `types` holds the type of every node."""
    spaces: list[tuple[str, str | Node | None]] = [("rows", None), ("seen", None)]
    return Draft(training, learns, in_parts, [types, types], spaces)


def visit(draft: Draft, space: SpaceOf, roots: Iterable[Node]) -> None:
    """Add the tasks of all steps that the expressions `roots` read, over the rows of a space."""
    types = draft.types[space]

    def is_there(node: Node) -> bool:
        return (_space_of(draft, space, node), node) in draft.places

    for node in row_order(roots, training=draft.training, is_there=is_there):
        if not is_there(node) and is_step(node, types):
            _add_step(draft, space, node)


def _add_step(draft: Draft, space: SpaceOf, node: Node) -> None:
    if isinstance(node, Aggregate):
        own = (value_of(draft, node),)
        draft.tasks.append(
            ScheduledTask(
                "step", (node,), (), own, (place_of(draft, space, node),), round=draft.round
            )
        )
        return
    assert isinstance(node, Call)
    if is_over_window(node):
        _add_window(draft, space, node)
        return
    if is_over(node):
        _add_query(draft, space, node)
        return
    reads = columns_of(draft, space, row_args(node, training=draft.training))
    uses = tuple(value_of(draft, arg) for arg in node.args if is_vocabulary(arg))
    if step_function(node).learning is not None:
        uses = (*uses, _learnt_before(draft, node, reads))
    given = (place_of(draft, space, node),)
    draft.tasks.append(ScheduledTask("step", (node,), reads, uses, given, round=draft.round))


def _learnt_before(draft: Draft, node: Call, reads: tuple[ColumnOf, ...]) -> ValueOf:
    """Return the index of the value that a step must learn first; several steps may share one."""
    learning = step_function(node).learning
    assert learning is not None
    value = value_of(draft, learning.origin(node))
    if not draft.learns:
        return value
    n_rounds = learning.n_rounds if draft.in_parts else 1
    for k, task in enumerate(draft.tasks):
        if value in task.learns:
            most = max(task.n_rounds, n_rounds)
            draft.tasks[k] = replace(task, nodes=(*task.nodes, node), n_rounds=most)
            return value
    task = ScheduledTask("times", (node,), reads, (), (), (value,), draft.round, n_rounds)
    draft.tasks.append(task)
    return value


def _add_window(draft: Draft, space: SpaceOf, node: Call) -> None:
    """Add the task of a window function over the data's rows; `_link_windows` completes it."""
    order = order_of(node)
    given = (place_of(draft, space, node),)
    number = draft.round
    reads, uses = _seen_by(draft, SEEN, order, node.args[0])
    draft.tasks.append(
        ScheduledTask("windows", (node,), reads, uses, given, round=number, order=order)
    )


def _seen_by(
    draft: Draft, space: SpaceOf, order: Call, value: Node
) -> tuple[tuple[ColumnOf, ...], tuple[ValueOf, ...]]:
    """Return indices of the columns and values that a function of sorted rows reads."""
    visit(draft, space, [*order.args, value])
    reads, uses = leaves_of(draft, space, [order.args[0], value])
    return without_repeats(*columns_of(draft, space, order.args), *reads), uses


def _add_query(draft: Draft, space: SpaceOf, node: Call) -> None:
    """Add the task of a function over later rows, or of a window function over a lookup table."""
    order = order_of(node)
    query = query_of(order)
    asked, uses = leaves_of(draft, space, query[:1])
    asking = without_repeats(*columns_of(draft, space, query), *asked)
    if is_of_table(order):
        kind, (reads, _) = "windows over a table", _read_of_table(draft, space, order, node)
    else:
        kind, (reads, more) = "ahead", _seen_by(draft, SEEN, order, node.args[0])
        uses = without_repeats(*uses, *more)
    task = ScheduledTask(
        *(kind, (node,), without_repeats(*asking, *reads), uses, (place_of(draft, space, node),)),
        round=draft.round,
        order=order,
    )
    draft.tasks.append(task)


def _read_of_table(
    draft: Draft, space: SpaceOf, order: Call, node: Call
) -> tuple[tuple[ColumnOf, ...], tuple[ValueOf, ...]]:
    """Return indices of the columns and values that a window function over a table reads."""
    table, types = _table_space(draft, table_of(order)), draft.types[space]
    renamed = of_table(order, [node.args[0]])
    own = draft.types[table]
    assert isinstance(own, dict)
    own |= {new: type_in_table(old, types[old]) for old, new in renamed.items()}
    value = renamed[node.args[0]]
    visit(draft, table, [value])
    time = renamed[table_columns_of(order)[0]]
    read, uses = leaves_of(draft, table, [value, time])
    own |= {column: types[column] for column in table_columns_of(order)}
    return without_repeats(
        *(place_of(draft, table, one) for one in table_columns_of(order)), *read
    ), uses


def columns_of(draft: Draft, space: SpaceOf, nodes: Iterable[Node]) -> tuple[ColumnOf, ...]:
    """Return the indices of expressions' columns, adding program tasks for those to compute."""
    found = (_column(draft, space, node) for node in nodes)
    return without_repeats(*(place for place in found if place is not None))


def _column(draft: Draft, space: SpaceOf, node: Node) -> ColumnOf | None:
    """Return the index of an expression's column; None if it is not a column."""
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
            return place_of(draft, table, node)
        case Literal():
            return None
        case InputColumn():
            return place_of(draft, space, node)
        case _ if dtype in NEVER_COLUMNS:
            return None
        case _:
            reads, uses = leaves_of(draft, space, [node])
            place = place_of(draft, space, node)
            task = ScheduledTask("program", (node,), reads, uses, (place,), round=draft.round)
            draft.tasks.append(task)
            return place


def leaves_of(
    draft: Draft, space: SpaceOf, roots: Iterable[Node]
) -> tuple[tuple[ColumnOf, ...], tuple[ValueOf, ...]]:
    """Return indices of the columns and values that a program for the expressions `roots` reads.

    The steps that it reads must have tasks already.
    """
    types = draft.types[space]

    def is_made(node: Node) -> bool:
        return is_step(node, types)

    order = row_order(roots, training=draft.training, is_there=is_made)
    steps = {node for node in order if is_made(node)}
    reads = [
        place_of(draft, space, node)
        for node in order
        if isinstance(node, InputColumn) or node in steps
    ]
    learnt = [node for node in order if isinstance(node, Aggregate) and node not in steps]
    return without_repeats(*reads), without_repeats(*(value_of(draft, node) for node in learnt))


def of_table(order: Call, values: Iterable[Node]) -> dict[Node, Node]:
    """Return expressions over a lookup table, rewritten as if its rows were the data.

    The result maps each old node to the new one and includes the time of `order`.
    """
    return fold([*values, table_columns_of(order)[0]], _as_row)


def type_in_table(node: Node, dtype: DType) -> DType:
    """Return the type of an expression over a table; float16 and decimals are stored as float64."""
    is_float = isinstance(node, TableColumn) and dtype.name in ("decimal", "float16")
    return FLOAT64 if is_float else dtype


def _as_row(node: Node, args: list[Node]) -> Node:
    return InputColumn(node.name) if isinstance(node, TableColumn) else with_args(node, tuple(args))


def is_vocabulary(node: Node) -> TypeGuard[Aggregate]:
    """Return whether a node is a vocabulary that fit learns."""
    return isinstance(node, Aggregate) and node.function == "vocabulary"


def place_of(draft: Draft, space: SpaceOf, node: Node, width: ValueOf | None = None) -> ColumnOf:
    """Return the index of an expression's column over a space, adding the column if needed."""
    space = _space_of(draft, space, node)
    known = draft.places.get((space, node))
    if known is None:
        known = draft.places[space, node] = len(draft.columns)
        draft.columns.append(ScheduledColumn(space, draft.types[space][node], node, width))
    return known


def value_of(draft: Draft, origin: Aggregate | Call) -> ValueOf:
    """Return the index of the value that `origin` learns, adding it if needed."""
    return draft.values.setdefault(origin, len(draft.values))


def _table_space(draft: Draft, name: str) -> SpaceOf:
    """Return the index of the space of a lookup table's rows."""
    return _space(draft, ("table", name), {})


def _space_of(draft: Draft, space: SpaceOf, node: Node) -> SpaceOf:
    """Return the space of an expression's column: `space`, or the elements of its lists."""
    if not is_exploded(node):
        return space
    return _space(draft, ("elements", node.args[0]), draft.types[space])


def _space(
    draft: Draft, named: tuple[str, str | Node], types: dict[Node, DType] | NodeTypes
) -> SpaceOf:
    """Return the index of a space (set of rows), adding the space if needed."""
    if named not in draft.spaces:
        draft.spaces.append(named)
        draft.types.append(types)
    return draft.spaces.index(named)


def without_repeats(*places: int) -> tuple[int, ...]:
    """Return indices without repetitions, in the order of their first occurrence."""
    return tuple(dict.fromkeys(places))
