"""`LivePlan`: the columns, orders and window functions that fitted plans need from one log.

An order groups the rows of the log into entities, by equal keys, and sorts each entity's rows by
time. If a time or key depends on a window's result, the order can be computed only after that
window, so orders are placed in stages. Kept window functions are those that other windows read; the
log stores their results beside each row.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from fastfeat_kernels.records import dataclass

from fastfeat.errors import InvalidPlan, TypeMismatch
from fastfeat.execute.fitted import Fitted
from fastfeat.io.columns.types import UnsupportedType
from fastfeat.ir.dtypes import DType
from fastfeat.ir.node import Aggregate, Call, Node, postorder
from fastfeat.ir.scope import query_of
from fastfeat.ir.show import show
from fastfeat.live.lower.schedules import PlanSchedules, WindowRound, prepare
from fastfeat.plan.declare.window_reach import (
    LiveFunction,
    Reach,
    entity_text,
    live_functions,
    merge_reaches,
)

__all__ = ["LivePlan", "LiveStage", "LogOrder", "Reach", "WindowColumn", "lower"]


@dataclass(frozen=True, slots=True)
class LogOrder:
    """One way to group the rows of a log into entities, and to sort the rows of each entity.

    Args:
        time: Expression by which rows are sorted.
        keys: Expressions that together are the entity's key; empty if all rows are one entity.
        tie: Expression that sorts rows with equal times, before order of arrival does; None for
            none.
        reach: How far back the windows of this order see.
        plan: Name of a plan in which these expressions are computed.
        call: Node of this order in that plan.
    """

    time: Node
    keys: tuple[Node, ...]
    tie: Node | None
    reach: Reach
    plan: str
    call: Call

    @property
    def values(self) -> tuple[Node, ...]:
        """The expressions that place a row in the order: the time, the keys and the tie."""
        return (self.time, *self.keys, *(() if self.tie is None else (self.tie,)))

    @property
    def entity(self) -> str:
        """The text of the keys, such as "card", for messages."""
        return entity_text(self.call)


@dataclass(frozen=True, slots=True)
class WindowColumn:
    """A window function that another window reads, stored as a column of the log.

    Args:
        call: The function.
        plans: Names of the plans that have the function; the first one computes it.
        feature: Name of a feature that reads it.
        dtype: Type of its results.
    """

    call: Call
    plans: tuple[str, ...]
    feature: str
    dtype: DType


@dataclass(frozen=True, slots=True)
class LiveStage:
    """Orders in which rows are placed at the same time, and the window functions to compute then.

    Most plans have one stage. If a time, key or tie depends on a window, it is known only after the
    stage that computes this window.

    Args:
        orders: Indices of the orders in `LivePlan.orders`.
        kept: Columns of the log with window results that these times, keys and ties depend on;
            earlier stages computed them.
        rounds: Plan name to the groups of window functions to compute.
    """

    orders: range
    kept: tuple[str, ...]
    rounds: Mapping[str, Sequence[WindowRound]]


@dataclass(frozen=True, slots=True)
class LivePlan:
    """The columns, orders and window functions that several plans need from one log.

    Args:
        plans: Fitted plans, by name.
        columns: Log column name to type: the columns that windows read, and the id column if the
            training rows had it.
        asked: Column name to type of further columns, which plans read from the row to answer, but
            not from the log.
        orders: All orders, sorted by stage.
        stages: Stages in which rows are placed in the orders, at least one.
        kept: Column name to window function that other windows read; the log stores its results
            beside each row, in the column of this name.
        row_id: Name of the id column; None without one.
        late: Columns of the log that are known only after a row is answered; rows to answer may
            lack them, and they are then missing.
        functions: Plan name to its window functions; each comes after the functions that it reads.
        prepared: Plan name to the schedules by which the plan is computed.
    """

    plans: Mapping[str, Fitted]
    columns: Mapping[str, DType]
    asked: Mapping[str, DType]
    orders: tuple[LogOrder, ...]
    stages: tuple[LiveStage, ...]
    kept: Mapping[str, WindowColumn]
    row_id: str | None
    late: frozenset[str]
    functions: Mapping[str, Sequence[LiveFunction]]
    prepared: Mapping[str, PlanSchedules]

    @property
    def kept_types(self) -> dict[str, DType]:
        """A dict of column name to type, for the stored window results."""
        return {name: kept.dtype for name, kept in self.kept.items()}

    @property
    def placed_by(self) -> tuple[str, ...]:
        """The names of the stored window results from which times, keys and ties are computed."""
        return tuple(dict.fromkeys(name for stage in self.stages for name in stage.kept))


def lower(plans: Mapping[str, Fitted]) -> LivePlan:
    """Return the `LivePlan` of plans: the columns, orders and window functions that they need.

    Args:
        plans: Fitted plans, by name.

    Raises:
        TypeMismatch: Plans saw different types of one column of the data or of a table.
        InvalidPlan: Plans name different id columns.
    """
    inputs = _agreed(plans)
    row_id = _row_id(plans)
    columns: dict[str, DType] = {}
    for fitted in plans.values():
        for name in fitted.declaration.past_columns:
            columns[name] = _known(name, inputs[name])
    if row_id is not None and row_id in inputs and columns:
        columns[row_id] = _known(row_id, inputs[row_id])
    asked = {
        name: dtype
        for fitted in plans.values()
        for name in fitted.declaration.row_columns
        if name not in columns and not isinstance(dtype := inputs[name], UnsupportedType)
    }
    late = {
        name for fitted in plans.values() for name in fitted.declaration.late if name in columns
    }
    functions = {name: live_functions(fitted.nodes.items()) for name, fitted in plans.items()}
    orders, places = _orders(functions)
    kept = _kept(plans, functions, columns)
    prepared = {
        name: prepare(
            fitted,
            _grouped(functions[name], lambda call, name=name: places[_shared(call, name)]),
            {text: one.call for text, one in kept.items() if name in one.plans},
            {k: order.values for k, order in enumerate(orders) if order.plan == name},
        )
        for name, fitted in plans.items()
    }
    stages = _stages(orders, prepared, functions, places)
    return LivePlan(
        *(plans, columns, asked, orders, stages, kept),
        *(row_id, frozenset(late), functions, prepared),
    )


def _agreed(plans: Mapping[str, Fitted]) -> dict[str, DType | UnsupportedType]:
    """Return a dict of column name to type, for the data columns that plans read.

    Raises `TypeMismatch` if plans saw different types of one column.
    """
    found: dict[tuple[str | None, str], tuple[str, DType | UnsupportedType]] = {}
    for plan, fitted in plans.items():
        given = [(None, fitted.inputs), *fitted.tables.items()]
        for table, columns in given:
            for name, dtype in columns.items():
                first, known = found.setdefault((table, name), (plan, dtype))
                if known != dtype:
                    of_table = "" if table is None else f" of the table {table!r}"
                    raise TypeMismatch(
                        f"the column {name!r}{of_table}: the plan {first!r} saw {known} in fit, "
                        f"but the plan {plan!r} saw {dtype}. Plans that share a state need equal "
                        "types: fit them on data of the same types"
                    )
    return {name: dtype for (table, name), (_, dtype) in found.items() if table is None}


def _row_id(plans: Mapping[str, Fitted]) -> str | None:
    """Return the name of the id column; None without one.

    Raises `InvalidPlan` if plans with windows name different id columns.
    """
    given = {
        name: fitted.declaration.row_id
        for name, fitted in plans.items()
        if fitted.declaration.past_columns
    }
    ids = dict.fromkeys(given.values())
    if len(ids) > 1:
        told = ", ".join(f"{name!r} has row_id={row_id!r}" for name, row_id in given.items())
        raise InvalidPlan(
            f"plans that share a state need the same id column, but {told}. Give them the same "
            "row_id="
        )
    return next(iter(ids), None)


def _known(name: str, dtype: DType | UnsupportedType) -> DType:
    assert not isinstance(dtype, UnsupportedType), f"binding refuses {name!r} of {dtype}"
    return dtype


def _shared(call: Call, plan: str) -> tuple[Call, str]:
    """Return a key for a node of a plan; plans that may share the node get equal keys.

    A node with learnt values is not shared: its key includes the plan.
    """
    nodes = postorder([call])
    return call, plan if any(isinstance(node, Aggregate) for node in nodes) else ""


def _orders(
    functions: Mapping[str, Sequence[LiveFunction]],
) -> tuple[tuple[LogOrder, ...], dict[tuple[Call, str], int]]:
    """Return the orders of all window functions, sorted by stage, and the index of each.

    The dict of indices has the keys that `_shared` returns.
    """
    reaches: dict[tuple[Call, str], list[Reach]] = {}
    owners: dict[tuple[Call, str], str] = {}
    stages: dict[tuple[Call, str], int] = {}
    for plan, own in functions.items():
        for function in own:
            key = _shared(function.order, plan)
            owners.setdefault(key, plan)
            stages.setdefault(key, function.placed)
            reaches.setdefault(key, []).append(function.reach)
    keys = sorted(reaches, key=stages.__getitem__)
    orders = tuple(_order(key[0], owners[key], merge_reaches(reaches[key])) for key in keys)
    return orders, {key: k for k, key in enumerate(keys)}


def _stages(
    orders: Sequence[LogOrder],
    prepared: Mapping[str, PlanSchedules],
    functions: Mapping[str, Sequence[LiveFunction]],
    places: Mapping[tuple[Call, str], int],
) -> tuple[LiveStage, ...]:
    """Return the stages, at least one, with the orders and window functions of each."""
    placed = {
        places[_shared(function.order, plan)]: function.placed
        for plan, own in functions.items()
        for function in own
    }
    found: list[LiveStage] = []
    end = 0
    for stage in range(1 + max(placed.values(), default=0)):
        own = range(end, end + sum(one == stage for one in placed.values()))
        kept = [name for k in own for name in prepared[orders[k].plan].placing[k].kept]
        rounds = {
            plan: tuple(one for one in of_plan.rounds if one.stage == stage)
            for plan, of_plan in prepared.items()
        }
        found.append(LiveStage(own, tuple(dict.fromkeys(kept)), rounds))
        end = own.stop
    return tuple(found)


def _order(call: Call, plan: str, reach: Reach) -> LogOrder:
    time, *keys = query_of(call)
    tie = call.args[-1] if dict(call.params)["has_tie"] else None
    return LogOrder(time, tuple(keys), tie, reach, plan, call)


def _grouped(
    own: Iterable[LiveFunction], place: Callable[[Call], int]
) -> list[tuple[int, int, list[LiveFunction]]]:
    """Return a plan's window functions in groups of equal stage, order and depth of nesting.

    Returns:
        Tuples of the index of the stage, the index of the order, and the functions. A function that
        others read is in an earlier group.
    """
    found: dict[tuple[int, int, int], list[LiveFunction]] = {}
    for function in own:
        key = (function.stage, function.at, place(function.order))
        found.setdefault(key, []).append(function)
    return [(key[0], key[2], found[key]) for key in sorted(found)]


def _kept(
    plans: Mapping[str, Fitted],
    functions: Mapping[str, Sequence[LiveFunction]],
    columns: Collection[str],
) -> dict[str, WindowColumn]:
    """Return the window functions that other windows read, under names that no column has."""
    found: dict[tuple[Call, str], WindowColumn] = {}
    for plan, own in functions.items():
        for function in own:
            if function.is_kept:
                dtype = plans[plan].types[function.call]
                key = _shared(function.call, plan)
                before = found[key].plans if key in found else ()
                feature = found[key].feature if key in found else function.features[0]
                found[key] = WindowColumn(function.call, (*before, plan), feature, dtype)
    named: dict[str, WindowColumn] = {}
    for kept in found.values():
        text = show(kept.call)
        name = text if text not in {*named, *columns} else f"{text} #{len(named)}"
        named[name] = kept
    return named
