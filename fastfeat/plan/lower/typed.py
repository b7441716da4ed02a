"""A plan bound to column types, with a cache of everything that follows from both.

A refit on data of the same types finds the cached results and does not repeat binding and lowering.
They are kept with the declaration, but not pickled. A declaration derived from another has its own
cache.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import field
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar, get_args
from weakref import WeakKeyDictionary, WeakValueDictionary

from fastfeat_kernels.records import dataclass

from fastfeat.io.columns.types import UnsupportedType
from fastfeat.ir.dtypes import DType
from fastfeat.ir.node import Node
from fastfeat.plan.declare.bind import TableTypes
from fastfeat.plan.declare.declaration import Declaration
from fastfeat.plan.lower.lower import NodeTypes
from fastfeat.plan.lower.schedule import Purpose, Schedule
from fastfeat.plan.lower.scheduling import schedule_of
from fastfeat.scalars.zones import table_for, use_zone_tables

if TYPE_CHECKING:
    from fastfeat.scalars.zone_files import ZoneTable

R = TypeVar("R")
N_KEPT = 4
"""Number of schemas kept per declaration: each takes some megabytes for 10,000 features."""


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class TypedPlan:
    """The features of a plan with the type of each node, and a cache of results that follow.

    It holds no reference to the declaration, because the declaration refers to it.

    Args:
        nodes: The features, by name.
        dtype: Float type of the features, from the declaration.
        inputs: Type of each column that they read.
        tables: Column types of each lookup table.
        types: Type of every node.
        zones: Tables of the time zones that were read for this.
        codes: Types of the features that are codes, by name, if the smallest types are used; None
            if codes have the types of their functions.
        made: Cached results, by the function that computed them.
    """

    nodes: Mapping[str, Node]
    dtype: str | None
    inputs: Mapping[str, DType | UnsupportedType]
    tables: TableTypes
    types: NodeTypes
    zones: dict[str, ZoneTable]
    codes: Mapping[str, DType] | None = None
    made: dict[Callable[..., Any], Any] = field(default_factory=dict[Callable[..., Any], Any])

    def once(self, make: Callable[[TypedPlan], R]) -> R:
        """Return the result of `make(self)`, cached from the first call.

        Two threads may both compute it; both then get the result that was stored first.
        """
        if make not in self.made:
            with use_zone_tables(self.zones):
                self.made.setdefault(make, make(self))
        return self.made[make]

    def schedule(self, purpose: Purpose) -> Schedule:
        """Return the schedule of the plan for a purpose, cached."""
        return self.once(_SCHEDULES[purpose])


def _scheduled(typed: TypedPlan, purpose: Purpose) -> Schedule:
    return schedule_of(typed.nodes, typed.types, purpose)


_SCHEDULES: dict[Purpose, Callable[[TypedPlan], Schedule]] = {
    purpose: partial(_scheduled, purpose=purpose) for purpose in get_args(Purpose)
}
_KEPT: WeakKeyDictionary[Declaration, tuple[TypedPlan, ...]] = WeakKeyDictionary()
_HELD: WeakValueDictionary[Any, TypedPlan] = WeakValueDictionary()


def share_equal_plan(typed: TypedPlan) -> TypedPlan:
    """Return an equal plan that is still in use, with its cached results; else `typed` itself.

    A loaded file therefore shares work with the plan that it was saved from or replaces: neither is
    lowered again.
    """
    schemas = (tuple(typed.inputs.items()), *((t, *s.items()) for t, s in typed.tables.items()))
    codes = None if typed.codes is None else tuple(typed.codes.items())
    key = tuple(typed.nodes.items()), typed.dtype, schemas, frozenset(typed.zones.items()), codes
    held = _HELD.get(key)
    if held is not None and held.types == typed.types:
        return held
    _HELD[key] = typed
    return typed


def typed_plan(
    plan: Declaration,
    inputs: Mapping[str, DType | UnsupportedType],
    tables: TableTypes,
    bound: Callable[[], NodeTypes],
) -> TypedPlan:
    """Return a plan bound to types, cached from an earlier call with the same types.

    `bound` binds the plan and checks everything that depends on types; if it raises, it is called
    again the next time.
    """
    kept = _KEPT.get(plan, ())
    for one in kept:
        if one.inputs == inputs and one.tables == tables and _are_current(one.zones):
            return one
    zones: dict[str, ZoneTable] = {}
    with use_zone_tables(zones):
        types = bound()
    made = share_equal_plan(
        TypedPlan(plan.nodes, plan.dtype, dict(inputs), dict(tables), types, zones)
    )
    _KEPT[plan] = (made, *kept[: N_KEPT - 1])
    return made


def typed_of(plan: Declaration, types: NodeTypes) -> TypedPlan | None:
    """Return the cached plan with exactly this `types` object, or None."""
    return next((one for one in _KEPT.get(plan, ()) if one.types is types), None)


def _are_current(zones: Mapping[str, ZoneTable]) -> bool:
    """Return whether the time zones have the same rules (tables) now as in `zones`."""
    return all(table_for(name) == table for name, table in zones.items())
