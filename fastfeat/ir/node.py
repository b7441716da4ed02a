"""The node types of a plan: columns, literals, calls of functions, and aggregates.

An expression is a graph of nodes without cycles; the arguments of a node are its children. Nodes
are frozen and interned: equal expressions are one object, so common subexpressions are computed
once. Types are not part of a node; binding a plan to a schema assigns them.

The functions that traverse graphs are iterative, so that long chains do not reach Python's
recursion limit.
"""

from __future__ import annotations

import copyreg
import os
import struct
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import field, fields
from typing import Any, Protocol, TypeVar, assert_never
from weakref import WeakValueDictionary

from fastfeat_kernels.records import dataclass

_POOL: WeakValueDictionary[tuple[Any, ...], Any] = WeakValueDictionary()
_lock = threading.Lock()
_TOLD_APART = frozenset({tuple, float, int, bool})


def identity_key(value: object) -> object:
    """Return a hashable key that distinguishes 1 from 1.0 and True, and 0.0 from -0.0."""
    kind = type(value)
    if kind not in _TOLD_APART:
        return value
    if kind is tuple:
        return _keys(value)  # type: ignore[arg-type]  # pyright: ignore
    return kind, struct.pack("<d", value) if kind is float else value


def _keys(fields: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return the identity key of each field; `fields` itself if all are their own keys."""
    if _TOLD_APART.isdisjoint(map(type, fields)):
        return fields
    return tuple([f if type(f) not in _TOLD_APART else identity_key(f) for f in fields])


class Interned(type):
    """Metaclass of frozen dataclasses: calling the class returns the one node with these fields."""

    def __init__(cls, *args: Any, **kwargs: Any) -> None:
        """Make pickle and copy recreate nodes by calling the class, so that nodes stay unique."""
        super().__init__(*args, **kwargs)
        copyreg.pickle(cls, _again)

    def __call__(cls, *fields: Any) -> Any:
        """Return the unique node with these fields; pass all fields by position."""
        key = cls, *_keys(fields)
        with _lock:
            node = _POOL.get(key)
            if node is None:
                node = super().__call__(*fields)
                _POOL[key] = node
            return node


def _again(node: Any) -> tuple[Any, ...]:
    """Return (class, fields), the call with which pickle and copy recreate a node."""
    values = tuple(getattr(node, field.name) for field in fields(node) if field.init)
    return type(node), values  # pyright: ignore[reportUnknownVariableType]


def _unlock() -> None:
    """Replace the lock in a forked child: a thread that is gone may still hold the old one."""
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_unlock)


Params = tuple[tuple[str, Any], ...]


@dataclass(frozen=True, slots=True)
class TrainingFrame:
    """Marks an aggregate over all training rows: learnt in `fit`, a constant afterwards."""


@dataclass(frozen=True, slots=True)
class GroupFrame:
    """Marks an aggregate per group of training rows; each row reads the value of its group.

    The aggregate's second argument gives the group number of a row, in training and later.

    Args:
        with_missing: Whether the rows with a missing key form a group too.
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
    """A column of a table that the user passes in `tables=`; only lookups and windows read it."""

    table: str
    name: str
    args: tuple[Node, ...] = field(default=(), init=False)


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Literal(metaclass=Interned):
    """A constant: bool, int, float, str, None, a date or time; or a tuple of these, a table."""

    value: Any
    args: tuple[Node, ...] = field(default=(), init=False)


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Call(metaclass=Interned):
    """The call of a function of the row; `function` is a name in `scalars.SCALARS`."""

    function: str
    args: tuple[Node, ...]
    params: Params


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Aggregate(metaclass=Interned):
    """An aggregate of training rows, all or per group; `function` is a name in `AGGREGATES`."""

    function: str
    args: tuple[Node, ...]
    params: Params
    frame: Frame


Node = Column | TableColumn | Literal | Call | Aggregate


def params_of(**params: Any) -> Params:
    """Return (name, value) pairs sorted by name, so that equal calls are equal nodes."""
    return tuple(sorted(params.items()))


class HasArgs(Protocol):
    """Any node of a graph without cycles, such as a plan node or a primitive operation."""

    @property
    def args(self) -> tuple[HasArgs, ...]:
        """The nodes that this one is computed from."""
        ...


N = TypeVar("N", bound=HasArgs)
R = TypeVar("R")


def postorder(roots: Iterable[N], at_most: int | None = None) -> list[N]:
    """Return every node reachable from the roots once, arguments before the nodes that use them.

    If there are more than `at_most` nodes, return an empty list, without visiting all of them.
    """
    seen: set[N] = set()
    order: list[N] = []
    stack: list[N | None] = [*reversed(list(roots))]
    while stack:
        node = stack.pop()
        if node is None:  # the arguments of the next node on the stack are done
            order.append(stack.pop())  # type: ignore[arg-type]  # pyright: ignore
        elif node not in seen:
            seen.add(node)
            if at_most is not None and len(seen) > at_most:
                return []
            if node.args:
                stack += (node, None, *node.args[::-1])  # type: ignore[arg-type]  # pyright: ignore
            else:
                order.append(node)
    return order


def fold(roots: Iterable[N], visit: Callable[[N, list[R]], R]) -> dict[N, R]:
    """Return, for every reachable node, the result of visit(node, results of its arguments)."""
    results: dict[N, R] = {}
    for node in postorder(roots):
        results[node] = visit(node, [results[argument] for argument in node.args])  # type: ignore[index]  # pyright: ignore
    return results


NodeRule = Callable[[Node], Node]


def rewrite_nodes(roots: Sequence[Node], rule: NodeRule) -> list[Node]:
    """Return the roots with every node replaced by `rule(node)`, arguments first.

    `rule` returns the replacement of a node; to keep a node it returns the node itself.
    """
    found = fold(roots, lambda node, args: rule(with_args(node, tuple(args))))
    return [found[root] for root in roots]


def with_args(node: Node, args: tuple[Node, ...]) -> Node:
    """Return the node with its arguments replaced."""
    if args == node.args:
        return node
    match node:
        case Call(function, _, params):
            return Call(function, args, params)
        case Aggregate(function, _, params, frame):
            return Aggregate(function, args, params, frame)
        case Column() | TableColumn() | Literal():
            return node
        case _:
            assert_never(node)
