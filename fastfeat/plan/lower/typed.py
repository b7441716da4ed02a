"""A plan bound to types: what follows from its features and the types of the data, made once.

A refit on data of the same types finds it again, beside the declaration: it is neither bound nor
lowered anew. Nothing of it is pickled, and a declaration that is made of another one has its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar, get_args
from weakref import WeakKeyDictionary, WeakValueDictionary

from fastfeat.io.columns.types import UnsupportedType
from fastfeat.ir.dtypes import DType
from fastfeat.ir.node import Node
from fastfeat.plan.declare.bind import Schemas
from fastfeat.plan.declare.declaration import Declaration
from fastfeat.plan.lower.lower import Types
from fastfeat.plan.lower.schedule import Purpose, Schedule
from fastfeat.plan.lower.scheduling import schedule_of
from fastfeat.scalars.zones import ZoneTable, table_for, using

R = TypeVar("R")
N_KEPT = 4
"""Schemas of one declaration: some megabytes each for 10,000 features."""


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class TypedPlan:
    """The features of a plan with the type of each node.

    It does not refer to the declaration, beside which it is kept as long as that lives.

    Args:
        nodes: the features, by name.
        dtype: the float type of the features, as the declaration has it.
        inputs: type of each column that they read.
        tables: the same of lookup tables.
        types: type of every node.
        zones: the tables of the time zones that were read for this.
        codes: the types of the features that are codes, by name, where they are the smallest;
            None where codes have the types of their functions.
        made: what was made of it, by the function that made it.
    """

    nodes: Mapping[str, Node]
    dtype: str | None
    inputs: Mapping[str, DType | UnsupportedType]
    tables: Schemas
    types: Types
    zones: dict[str, ZoneTable]
    codes: Mapping[str, DType] | None = None
    made: dict[Callable[..., Any], Any] = field(default_factory=dict[Callable[..., Any], Any])

    def once(self, make: Callable[[TypedPlan], R]) -> R:
        """Return the result of a function of this alone: that of the first call.

        Two threads may both make it; they then have the one that came first.
        """
        if make not in self.made:
            with using(self.zones):
                self.made.setdefault(make, make(self))
        return self.made[make]

    def schedule(self, purpose: Purpose) -> Schedule:
        """Return the schedule of a purpose."""
        return self.once(_SCHEDULES[purpose])


def _scheduled(typed: TypedPlan, purpose: Purpose) -> Schedule:
    return schedule_of(typed.nodes, typed.types, purpose)


_SCHEDULES: dict[Purpose, Callable[[TypedPlan], Schedule]] = {
    purpose: partial(_scheduled, purpose=purpose) for purpose in get_args(Purpose)
}
_KEPT: WeakKeyDictionary[Declaration, tuple[TypedPlan, ...]] = WeakKeyDictionary()
_HELD: WeakValueDictionary[Any, TypedPlan] = WeakValueDictionary()


def as_held(typed: TypedPlan) -> TypedPlan:
    """Return a plan of the same content that somebody holds, with what was made of it; or itself.

    So a file is loaded beside the plan that it was saved of, or that it is to replace, and neither
    is lowered anew.
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
    tables: Schemas,
    bound: Callable[[], Types],
) -> TypedPlan:
    """Return a plan bound to types, kept from an earlier call where these are the same.

    Args:
        plan: what is bound.
        inputs: type of each column that the features read.
        tables: the same of lookup tables.
        bound: binds it and checks what follows from types; what it raises is raised again each
            time.
    """
    kept = _KEPT.get(plan, ())
    for one in kept:
        if one.inputs == inputs and one.tables == tables and _are_current(one.zones):
            return one
    zones: dict[str, ZoneTable] = {}
    with using(zones):
        types = bound()
    made = as_held(TypedPlan(plan.nodes, plan.dtype, dict(inputs), dict(tables), types, zones))
    _KEPT[plan] = (made, *kept[: N_KEPT - 1])
    return made


def typed_of(plan: Declaration, types: Types) -> TypedPlan | None:
    """Return the plan that has these very types, None where it is not kept."""
    return next((one for one in _KEPT.get(plan, ()) if one.types is types), None)


def _are_current(zones: Mapping[str, ZoneTable]) -> bool:
    """Return whether time zones are looked up as they were."""
    return all(table_for(name) == table for name, table in zones.items())
