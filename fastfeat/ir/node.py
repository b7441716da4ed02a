"""The kinds of node in a plan: columns, literals, calls of functions, aggregates.

Nodes are frozen and interned: equal expressions are one object. Types are not part of a node;
binding gives them for one schema.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from fastfeat.ir.intern import Interned

Params = tuple[tuple[str, Any], ...]


@dataclass(frozen=True, slots=True)
class TrainingFrame:
    """The frame of an aggregate over all training rows: learnt in `fit`, a constant afterwards."""


@dataclass(frozen=True, slots=True)
class GroupFrame:
    """The frame of an aggregate per group of training rows, in which a row finds its own group.

    The second argument numbers the group of a row; it is computed for training rows and later ones.

    Args:
        with_missing: whether the rows without a key are a group too.
    """

    with_missing: bool = False


Frame = TrainingFrame | GroupFrame
TRAINING = TrainingFrame()
GROUPS = GroupFrame()
GROUPS_AND_MISSING = GroupFrame(with_missing=True)


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Column(metaclass=Interned):
    """An input column, by name."""

    name: str
    args: tuple[Node, ...] = field(default=(), init=False)


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class TableColumn(metaclass=Interned):
    """A column of a lookup table, which is passed beside the data; only steps of lookups read it.

    Args:
        table: the name of the table.
        name: that of the column.
    """

    table: str
    name: str
    args: tuple[Node, ...] = field(default=(), init=False)


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Literal(metaclass=Interned):
    """A Python value: bool, int, float, str, None, a date or time; a tuple of those for a table."""

    value: Any
    args: tuple[Node, ...] = field(default=(), init=False)


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Call(metaclass=Interned):
    """A scalar function of the row: `function` names a row of `scalars.SCALARS`."""

    function: str
    args: tuple[Node, ...]
    params: Params


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Aggregate(metaclass=Interned):
    """An aggregate of one argument over a frame: `function` names a row of AGGREGATES."""

    function: str
    args: tuple[Node, ...]
    params: Params
    frame: Frame


Node = Column | TableColumn | Literal | Call | Aggregate


def params_of(**params: Any) -> Params:
    """Return parameters in the one order that makes equal calls equal nodes."""
    return tuple(sorted(params.items()))
